"""`posthouse check`: what it says of a domain, its exit code, and the hosts it calls."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from checks.zone import Zone
from cli.program import Outcome, call
from posthouse.checks.dkim import SigningKey
from posthouse.cli import inspection, report
from posthouse.cli.asking import FileAsker
from posthouse.cli.inspection import Report, Wishes, inspect
from posthouse.cli.surroundings import Surroundings
from posthouse.config import Config, Endpoint, Relay
from posthouse.mail.fetch import FetchFault
from posthouse.serve import fetch
from serve.loops import run
from serve.test_probe import certified, speaking

NOW = 1_740_852_930_000_000
KEY = SigningKey.generate("example.org", "s1", "ed25519-sha256")
PERFECT: dict[str, dict[str, Any]] = {
    "example.org": {"MX": ["10 mx.example.org"], "TXT": ["v=spf1 mx include:spf.far.test -all"]},
    "spf.far.test": {"TXT": ["v=spf1 ip4:198.51.100.0/28 -all"]},
    "mx.example.org": {"A": ["192.0.2.1"]},
    "1.2.0.192.in-addr.arpa": {"PTR": ["mx.example.org"]},
    KEY.dns_name: {"TXT": [KEY.dns_record()]},
    "_dmarc.example.org": {"TXT": ["v=DMARC1; p=reject; rua=mailto:d@example.org"]},
    "_mta-sts.example.org": {"TXT": ["v=STSv1; id=1"]},
    "_smtp._tls.example.org": {"TXT": ["v=TLSRPTv1; rua=mailto:t@example.org"]},
    "2.0.0.127.bl.test": {"A": ["127.0.0.2"]},
}
POOR: dict[str, dict[str, Any]] = {
    **PERFECT,
    "example.org": {"MX": ["10 mx.example.org"], "TXT": ["v=spf1 +all"]},
    "_dmarc.example.org": {},
}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSTHOUSE_CONFIG", str(tmp_path / "none.toml"))


def check(folder: Path, records: dict[str, dict[str, Any]], *options: str, domain: str = "example.org") -> Outcome:
    path = folder / "zone.json"
    path.write_text(json.dumps(records), "utf-8")
    return call("check", domain, "--zone", path, *options)


def told(folder: Path, records: dict[str, dict[str, Any]], *options: str) -> Any:
    return check(folder, records, "--json", *options).json


def test_a_domain_in_order_leaves_nothing_to_mend(tmp_path: Path) -> None:
    outcome = check(tmp_path, PERFECT, "--selector", "s1", "--dnsbl", "bl.test")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("example.org  nothing to mend\n")
    topics = [line for line in outcome.out.splitlines() if line and line[0] != " "][1:-1]
    assert topics == ["MX", "reverse DNS", "SPF", "DKIM", "DMARC", "MTA-STS", "TLSRPT", "TLSA", "BIMI", "blocklists"]
    assert "\x1b" not in outcome.out


def test_what_must_be_mended_is_told_with_the_record_and_the_exit_code(tmp_path: Path) -> None:
    outcome = check(tmp_path, POOR)
    assert outcome.code == 1
    assert "2 to mend" in outcome.out.splitlines()[0]
    assert '_dmarc.example.org.                3600 IN TXT  "v=DMARC1; p=none;' in outcome.out


def test_json_tells_items_with_what_to_publish(tmp_path: Path) -> None:
    data = told(tmp_path, POOR)
    assert data["must_mend"] is True
    assert data["counts"]["wrong"] == 2
    wrong = [item for item in data["items"] if item["state"] == "wrong"]
    assert [item["topic"] for item in wrong] == ["SPF", "DMARC"]
    assert all(item["means"] and item["change"] for item in wrong)
    assert wrong[1]["publish"][0]["name"] == "_dmarc.example.org"
    assert wrong[1]["publish"][0]["data"].startswith('"v=DMARC1; p=none')
    assert set(data["items"][0]) == {"topic", "subject", "state", "found", "means", "change", "publish", "evidence"}


def test_spf_is_counted_followed_and_laid_flat(tmp_path: Path) -> None:
    spf = told(tmp_path, PERFECT)["spf"]
    assert (spf["lookups"], spf["void_lookups"]) == (2, 0)
    assert spf["flattened"] == "v=spf1 ip4:192.0.2.1 ip4:198.51.100.0/28 -all"
    assert spf["tree"]["terms"][1]["record"] == "v=spf1 ip4:198.51.100.0/28 -all"
    assert spf["networks"][1] == {"network": "198.51.100.0/28", "by": ["include:spf.far.test", "ip4:198.51.100.0/28"]}
    out = check(tmp_path, PERFECT).out
    assert "├─ include:spf.far.test" in out
    assert "flat v=spf1 ip4:192.0.2.1 ip4:198.51.100.0/28 -all" in out


def test_the_tree_keeps_the_order_of_the_record_and_all_of_a_trouble(tmp_path: Path) -> None:
    far = f"{'a' * 60}.test"
    own = {**PERFECT["example.org"], "TXT": [f"v=spf1 mx include:{far} ip4:192.0.2.9 -all"]}
    records = {**PERFECT, "example.org": own}
    out = check(tmp_path, records).out
    tree = out[out.index("    example.org") :].splitlines()[:6]
    assert tree[1:] == [
        "    ├─ mx", f"    ├─ include:{far}", f"    │  ({far} has no SPF record)", "    └─ ip4:192.0.2.9 -all",
        "    flat there is none: not everything in it could be read",
    ]  # fmt: skip


def test_a_listed_address_must_be_mended(tmp_path: Path) -> None:
    listed = {**PERFECT, "1.2.0.192.bl.test": {"A": ["127.0.0.2"]}}
    assert check(tmp_path, listed).code == 0
    assert check(tmp_path, listed, "--dnsbl", "bl.test").code == 1


def test_a_domain_that_does_not_exist_is_told_in_three_lines(tmp_path: Path) -> None:
    outcome = check(tmp_path, PERFECT, domain="nowhere.test")
    assert outcome.code == 1
    assert "nowhere.test does not exist" in outcome.out


def test_where_nothing_could_be_found_out_nothing_is_in_order(tmp_path: Path) -> None:
    outcome = check(tmp_path, {"*.test": {"ANY": ["TIMEOUT"]}, "*.a.test": {"ANY": ["TIMEOUT"]},
                               "a.test": {"ANY": ["TIMEOUT"]}, "_dmarc.a.test": {"ANY": ["TIMEOUT"]},
                               "*._domainkey.a.test": {"ANY": ["TIMEOUT"]}}, domain="a.test")  # fmt: skip
    assert outcome.code == 1
    assert outcome.out.startswith("a.test  nothing could be found out, ")


def test_a_dot_at_the_end_is_no_mistake(tmp_path: Path) -> None:
    assert check(tmp_path, PERFECT, domain="Example.org.").out.startswith("example.org  ")


def test_names_keep_their_letters_at_the_beginning_of_a_sentence(tmp_path: Path) -> None:
    out = check(tmp_path, {
        "example.org": {"MX": ["10 localhost"]}, "_dmarc.example.org": {"TXT": ["v=DMARC1; p=reject; rua=foo"]},
    }).out  # fmt: skip
    assert "✗ localhost has no address" in out
    assert "! rua has foo" in out
    assert "✓ For mail that fails" in out


def test_a_domain_without_mail_may_be_in_order(tmp_path: Path) -> None:
    silent = {
        "quiet.test": {"MX": ["0 ."], "TXT": ["v=spf1 -all"]}, "_dmarc.quiet.test": {"TXT": ["v=DMARC1; p=reject"]},
    }  # fmt: skip
    assert check(tmp_path, silent, domain="quiet.test").code == 0


def test_a_name_with_umlauts_is_a_domain(tmp_path: Path) -> None:
    assert "xn--bcher-kva.test does not exist" in check(tmp_path, PERFECT, domain="bücher.test").out


@pytest.mark.parametrize(("options", "code", "words"), [
    (["no domain"], 2, "no domain name"), ([], 2, "missing argument"),
    (["a.test", "--zone", "gone"], 1, "gone: No such file"),
    (["a.test", "--dnsbl", "a b"], 2, "posthouse: 'a b' is no zone of a list"),
])  # fmt: skip
def test_mistakes_are_told_in_one_line(options: list[str], code: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "zone.json").write_text("{}", "ascii")
    outcome = call("check", *options, *(["--zone", "zone.json"] if "--zone" not in options else []))
    assert outcome.code == code
    assert words in outcome.err
    assert outcome.err.count("\n") == 1


EVIL = "\x1b]0;x\x07\x1b[2J\x9b31m\u202egnp\u2028\x00"


def test_nothing_in_the_dns_reaches_the_terminal_but_printable_characters(tmp_path: Path) -> None:
    records: dict[str, dict[str, Any]] = {
        "example.org": {"MX": ["10 mx.example.org"], "TXT": [f"v=spf1 {EVIL} include:{'x' * 300}.test -all"]},
        "mx.example.org": {"A": ["192.0.2.1"]},
        "1.2.0.192.in-addr.arpa": {"PTR": [f"{EVIL}.test"]},
        "s9._domainkey.example.org": {"TXT": [f"v=DKIM1; p={EVIL}"]},
        "_dmarc.example.org": {"TXT": [f"v=DMARC1; p=reject; rua=mailto:{EVIL}@x.test"]},
        "_mta-sts.example.org": {"TXT": [f"v=STSv1; id={EVIL}"]},
        "_smtp._tls.example.org": {"TXT": [f"v=TLSRPTv1; rua=mailto:a@{EVIL}"]},
        "default._bimi.example.org": {"TXT": [f"v=BIMI1; l=https://{EVIL}/"]},
    }
    for options in ((), ("--json",)):
        out = check(tmp_path, records, "--selector", "s9", *options).out
        assert out.replace("\n", "").isprintable()


def test_but_for_records_everything_fits_into_80_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.cells import cell_len

    wide = Console(width=80, force_terminal=True, color_system=None, highlight=False, markup=False, emoji=False)
    monkeypatch.setattr(report, "console", lambda: wide)
    with wide.capture() as captured:
        check(tmp_path, POOR)
    lines = [line for line in captured.get().splitlines() if "3600 IN" not in line]
    assert len(lines) > 20
    assert max(map(cell_len, lines)) <= 80


# --- online -------------------------------------------------------------------------------------------


def online(folder: Path, records: dict[str, dict[str, Any]], policy: bytes, *, name: str = "mx.example.org") -> Report:
    """The report about a domain whose mail host listens on this machine, and whose policy is a text."""
    context, ca = certified(folder, name)
    found: list[Report] = []

    class Web:
        def __init__(self, *_: object, **options: object) -> None:
            assert options == {"redirects": 0}

        async def get(self, url: str, *, limit: int) -> bytes:
            assert url == "https://mta-sts.example.org/.well-known/mta-sts.txt"
            if not policy:
                raise FetchFault("there is nothing", temporary=False)
            return policy

    async def main() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await speaking(context)(reader, writer)
            except (OSError, EOFError, AssertionError):
                pass
            writer.transport.abort()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            relay = Relay(port=port, private_networks=True, ca_file=ca, routes={"x.test": Endpoint("x", 25)})
            around = Surroundings(Config(hostname="mx.posthouse.test", relay=relay))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(fetch, "Fetcher", Web)
                asker = FileAsker(Zone(records))
                found.append(await inspect("example.org", asker, around, Wishes(online=True), NOW, lambda share: None))
            await asyncio.sleep(0.05)

    run(main())
    return found[0]


HERE = {**PERFECT, "mx.example.org": {"A": ["127.0.0.1"]}, "1.0.0.127.in-addr.arpa": {"PTR": ["mx.example.org"]}}
POLICY = b"version: STSv1\nmode: enforce\nmx: *.example.org\nmax_age: 604800\n"


def of(found: Report, topic: str) -> list[tuple[str, str]]:
    return [(str(item.state), item.found) for item in found.items if item.topic == topic]


def test_online_a_good_host_is_called_and_told_its_tlsa_record(tmp_path: Path) -> None:
    found = online(tmp_path, HERE, POLICY)
    assert not found.must_mend, found.items
    (state, words), = of(found, "STARTTLS")
    assert state == "good"
    assert "with a certificate that can be verified" in words
    tlsa = next(item for item in found.items if item.topic == "TLSA")
    assert tlsa.publish[0].name == "_25._tcp.mx.example.org"
    assert ("good", "the policy names *.example.org") in of(found, "MTA-STS")


def test_online_a_certificate_for_another_name_breaks_an_enforced_policy(tmp_path: Path) -> None:
    found = online(tmp_path, HERE, POLICY, name="mx.elsewhere.test")
    assert [state for state, _ in of(found, "STARTTLS")] == ["wrong"]
    assert [state for state, _ in of(online(tmp_path / "b", HERE, POLICY.replace(b"enforce", b"testing"),
                                            name="mx.elsewhere.test"), "STARTTLS")] == ["advice"]


def test_online_a_policy_that_cannot_be_had_must_be_mended(tmp_path: Path) -> None:
    assert ("wrong", "the policy cannot be had: there is nothing") in of(online(tmp_path, HERE, b""), "MTA-STS")


def test_online_a_key_that_is_not_the_host_s_must_be_mended(tmp_path: Path) -> None:
    keyed = {**HERE, "_25._tcp.mx.example.org": {"TLSA": [f"3 1 1 {'ab' * 32}"]}}
    wrong = [words for state, words in of(online(tmp_path, keyed, POLICY), "STARTTLS") if state == "wrong"]
    assert wrong == ["mx.example.org at 127.0.0.1 shows another key than the one in the DNS (TLSA)"]


def test_without_leave_nobody_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        raise AssertionError("somebody was called")

    monkeypatch.setattr(inspection, "_calls", never)
    monkeypatch.setattr(fetch, "Fetcher", never)
    logo = {"default._bimi.example.org": {"TXT": ["v=BIMI1; l=https://example.org/logo.svg"]}}
    assert check(tmp_path, {**PERFECT, **logo}).code == 0


# --- a domain of ours ---------------------------------------------------------------------------------


def test_our_own_keys_are_compared_with_what_is_published(tmp_path: Path) -> None:
    made = call("quickstart", "you@example.org", "--dir", tmp_path / "server", "--json")
    assert made.code == 0, made.err
    settings = tmp_path / "server" / "posthouse.toml"
    zone = call("domain", "dns", "example.org", "--config", settings, "--json").json["records"]
    keys = {each["name"]: each["data"] for each in zone if "._domainkey." in each["name"]}
    assert len(keys) == 2
    records = {**PERFECT, **{name: {"TXT": ["".join(data.split('"')[1::2])]} for name, data in keys.items()}}
    items = told(tmp_path, records, "--config", str(settings))["items"]
    ours = [item for item in items if item["topic"] == "DKIM" and "of this server" in item["found"]]
    assert {item["state"] for item in ours} == {"good"}
    assert len(ours) == 2
    items = told(tmp_path, PERFECT, "--config", str(settings))["items"]
    missing = [item for item in items if item["topic"] == "DKIM" and item["state"] == "wrong"]
    assert [item["publish"][0]["data"] for item in missing] == list(keys.values())


