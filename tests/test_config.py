"""The settings file: what it means, and what is said about mistakes in it."""

from pathlib import Path

import pytest

from posthouse.config import (
    Config,
    ConfigError,
    Duration,
    Endpoint,
    Run,
    Size,
    find_config,
    load,
    parse,
    read_credentials,
)
from posthouse.mail.instant import DAY, HOUR, MINUTE, SECOND

HOST = 'hostname = "mx.example.org"\n'


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    words = str(caught.value)
    assert "\n" not in words
    assert words.startswith("posthouse.toml: ")
    return words.removeprefix("posthouse.toml: ")


def test_one_key_is_enough() -> None:
    config = parse(HOST)
    assert config == Config(hostname="mx.example.org")
    assert config.limits.message_size == 50 * 1024 * 1024
    assert config.listen.all()["smtp"] == (Endpoint("*", 25),)


@pytest.mark.parametrize(
    ("text", "octets"),
    [("0", 0), ("512 KiB", 524288), ("50 MiB", 52428800), ("10mb", 10_000_000), ("1GB", 10**9), ("77 B", 77)],
)
def test_sizes_have_units(text: str, octets: int) -> None:
    assert Size.parse(text) == octets


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.5 MiB", "5 XB", "5 MiB or so", "1e9", "\u0665 KB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a size"):
        Size.parse(text)


@pytest.mark.parametrize(
    ("text", "span"),
    [("90s", 90 * SECOND), ("4h", 4 * HOUR), ("1h30m", 90 * MINUTE), ("5d", 5 * DAY), ("250ms", SECOND // 4),
     ("1d 12h", 36 * HOUR)],
)
def test_spans_of_time_have_units(text: str, span: int) -> None:
    assert Duration.parse(text) == span
    assert Duration.parse(text).seconds == span / SECOND


@pytest.mark.parametrize("text", ["", "5", "h", "-5m", "5 minutes", "1.5h", "m5"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a span of time"):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:25", "127.0.0.1", 25),
        ("[::1]:587", "::1", 587),
        ("*:0", "*", 0),
        ("a-b.example:465", "a-b.example", 465),
    ],
)
def test_places_are_address_and_port(text: str, host: str, port: int) -> None:
    assert Endpoint.parse(text) == Endpoint(host, port)
    assert repr(Endpoint.parse(text)) == text


@pytest.mark.parametrize("text", ["", "25", ":25", "host", "host:", "host:x", "host:65536", "::1:25", "[::1]", "[x]:25",
                                  "[1::2::3]:25", "a b:25"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Endpoint.parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "hostname: is missing"),
        ("hostnam = 1", "hostnam: is no setting; did you mean hostname?"),
        (HOST + "[limits]\nrecipient = 4", "limits.recipient: is no setting; did you mean recipients?"),
        (HOST + "[listen]\nmailbox = []", "listen.mailbox: is no setting; known are smtp, submission, "),
        (HOST + '[limits]\nrecipients = "4"', "limits.recipients: expected int, got str"),
        (HOST + '[policy]\npreset = "paranoid"',
         "policy.preset: must be one of cautious, balanced, strict, not 'paranoid'"),
        (HOST + "[limits]\nrecipients = 0", "limits.recipients: expected int >= 1"),
        (HOST + '[limits]\nmessage_size = "4 XB"', 'limits.message_size: must be a size such as "50 MiB", not "4 XB"'),
        (HOST + '[limits]\nmessage_size = "4 KiB"', "limits.message_size: must be at least 64 KiB"),
        (HOST + "[limits]\nmessage_size = -1", "limits.message_size: "),
        (HOST + "[limits]\nmessage_size = true", "limits.message_size: "),
        (HOST + '[listen]\nsmtp = ["25"]', 'listen.smtp[0]: must be "address:port"'),
        (HOST + '[listen]\nsmtp = ["localhost:25"]', 'listen.smtp: must be an IP address, not the name "localhost"'),
        (HOST + '[run]\nloop = "trio"', "run.loop: "),
        (HOST + "run = 4", "run: expected object, got int"),
        (HOST + "[queue]\ngaps = []", "queue.gaps: "),
        (HOST + '[queue]\ngaps = ["1s"]', "queue.gaps: must each be at least 1m"),
        (HOST + '[queue]\nexpire = "1h"', "queue.expire: must not be shorter than queue.delay_notice"),
        (HOST + '[tls]\nkey = "x"', "tls: certificate and key belong together"),
        (HOST + 'public_addresses = ["mx.example.org"]', "public_addresses[0]: "),
        (HOST + '[journeys]\nkeep = "23h"', "journeys.keep: must be at least 1d"),
        (HOST + '[run]\ngroup = "x"', "run.group: needs run.user"),
        (HOST + '[web]\nmetrics_from = ["localnet"]', "web.metrics_from[0]: "),
        (HOST + '[dns]\nservers = ["dns.example:53"]', "dns.servers: must be an IP address"),
        (HOST + '[relay]\nhelo = "not a name"', "relay.helo: "),
        (HOST + '[relay]\nsources = ["mx.example.org"]', "relay.sources[0]: must be an IP address"),
        (HOST + '[checks]\ntrusted_networks = ["192.0.2.1/24"]', "checks.trusted_networks[0]: "),
        (HOST + '[checks]\nauthserv_id = "a; b"', "checks.authserv_id: "),
        (HOST + '[checks.lists]\n"not a zone" = 4', "checks.lists.not a zone: "),
        (HOST + '[checks.lists]\n"bl.test" = 400', "checks.lists.bl.test: must be from -100 to 100"),
        (HOST + '[checks.domain_lists]\n"bl.test" = 101', "checks.domain_lists.bl.test: must be from -100 to 100"),
        (HOST + '[checks.lists]\n"bl.test" = 1\n[checks.domain_lists]\n"bl.test" = 1',
         "checks.domain_lists.bl.test: stands in checks.lists as well"),
        (HOST + '[policy]\npreset = "harsh"', "policy.preset: "),
        (HOST + '[policy]\nsealers = ["a b"]', "policy.sealers[0]: "),
        (HOST + '[policy]\nforwarders = ["192.0.2.0/33"]', "policy.forwarders[0]: "),
        (HOST + '[policy]\nforwarders = ["fwd.test", "x y"]', "policy.forwarders[1]: "),
        (HOST + '[reports]\nauthor = "nobody"', 'reports.author: "nobody" is no address: '),
        (HOST + '[reports]\nkeep = "1h"', "reports.keep: must be at least 1d"),
        (HOST + '[reports]\norganization = "a\\nb"', "reports.organization: must not hold control characters"),
        ('hostname = "localhost"', "hostname: must be a full domain name"),
        ('hostname = "mx.example.org\\nX"', "hostname: must be a full domain name"),
        ('hostname = "MX.example.org"', "hostname: must be a full domain name in lower case"),
        ("[", ""),
    ],
)
def test_every_mistake_is_one_clear_line(text: str, words: str) -> None:
    assert complaint(text).startswith(words)


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "posthouse.toml"
    file.write_text(HOST + 'data_dir = "data"\n[tls]\ncertificate = "/etc/c.pem"\nkey = "k.pem"\n')
    config = load(file)
    assert config.data_dir == tmp_path / "data"
    assert config.tls.certificate == Path("/etc/c.pem")
    assert config.tls.key == tmp_path / "k.pem"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml: No such file"):
        load(tmp_path / "missing.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"binary\.toml: is not UTF-8 text"):
        load(tmp_path / "binary.toml")


def test_the_file_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("posthouse.config.SYSTEM_FILE", tmp_path / "etc.toml")
    with pytest.raises(ConfigError, match="no settings found"):
        find_config(None, {})
    (tmp_path / "etc.toml").touch()
    assert find_config(None, {}) == tmp_path / "etc.toml"
    (tmp_path / "posthouse.toml").touch()
    assert find_config(None, {}) == Path("posthouse.toml")
    assert find_config(None, {"POSTHOUSE_CONFIG": "env.toml"}) == Path("env.toml")
    assert find_config("argument.toml", {"POSTHOUSE_CONFIG": "env.toml"}) == Path("argument.toml")


def test_credentials_are_lines_of_three_words(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("# smarthosts\n\nSmart.example alice pass word \n")
    file.chmod(0o600)
    assert read_credentials(file) == {"smart.example": ("alice", "pass word")}
    file.write_text("smart.example alice\n")
    with pytest.raises(ConfigError, match=r"credentials: line 1: must be"):
        read_credentials(file)


def test_credentials_that_everybody_can_read_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("smart.example alice secret\n")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="must not be readable by everybody"):
        read_credentials(file)


def test_without_a_setting_there_is_a_process_for_each_core_up_to_four(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, expected in ((1, 1), (2, 2), (64, 4)):
        monkeypatch.setattr("os.sched_getaffinity", lambda pid, cores=cores: set(range(cores)))
        assert Run().process_count == expected
    monkeypatch.delattr("os.sched_getaffinity")
    assert Run().process_count == 1
    assert Run(processes=7).process_count == 7
