"""`posthouse explain`: what it tells of any message, as JSON, on a terminal of 80 columns, and into a pipe."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.program import Outcome, call, spawn
from posthouse.cli import asking, rawmessage, storybook
from posthouse.cli.office import Office, now, work
from posthouse.mail.address import Address
from posthouse.mail.fetch import FetchFault
from posthouse.serve import fetch
from posthouse.store import correspondents, directory
from posthouse.store.database import Transaction

LETTER = b"""\
Return-Path: <bounce@news.example.org>
Received: from mx.example.org (mx.example.org [192.0.2.1])
\tby mx.posthouse.test with ESMTPS id 0DQ4W8SZJ6A2G
\tfor <bob@posthouse.test>
\ttls TLS_AES_256_GCM_SHA384 (TLSv1.3, 256 bits);
\tSat, 01 Mar 2025 10:15:30 -0800
Received: from laptop.local (cable.example.net [198.51.100.7])
\tby mx.example.org (Postfix) with ESMTPSA id ABC; Sat, 01 Mar 2025 13:15:28 -0500
From: Alice <alice@example.org>
To: Bob <bob@posthouse.test>
Subject: Lunch
Date: Sat, 01 Mar 2025 13:15:27 -0500
Message-ID: <x@laptop.local>
User-Agent: Mutt/2.2.9

Hello
"""
ZONE = {
    "news.example.org": {"TXT": ["v=spf1 ip4:192.0.2.0/28 -all"]},
    "_dmarc.example.org": {"TXT": ["v=DMARC1; p=reject"]},
    "mx.example.org": {"A": ["192.0.2.1"]},
    "1.2.0.192.in-addr.arpa": {"PTR": ["mx.example.org."]},
}
# The contract of the outside of the house.
KEYS = {"judgement", "decision", "envelope", "header_from", "verdicts", "hops", "leaks", "findings"}


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    path = tmp_path / "zone.json"
    path.write_text(json.dumps(ZONE), "utf-8")
    return path


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSTHOUSE_CONFIG", str(tmp_path / "none.toml"))


def explain(zone: Path, *options: str, letter: bytes = LETTER) -> Outcome:
    return call("explain", "-", "--zone", zone, *options, stdin=letter)


def told(zone: Path, *options: str, letter: bytes = LETTER) -> Any:
    outcome = explain(zone, "--json", *options, letter=letter)
    assert outcome.code == 0, outcome.err
    return outcome.json


def results(data: Any) -> dict[str, str]:
    return {verdict["method"]: verdict["result"] for verdict in data["verdicts"]}


def test_json_has_every_key_that_was_promised(zone: Path) -> None:
    data = told(zone)
    assert set(data) >= KEYS
    assert set(data["decision"]) >= {"action", "rule", "reason"}
    assert set(data["envelope"]) >= {"mail_from", "rcpt_to", "helo", "ip"}
    assert set(data["header_from"]) >= {"address", "display_name"}
    for hop in data["hops"]:
        assert set(hop) >= {"from", "by", "protocol", "at", "delay_seconds", "tls", "trusted"}
    for verdict in data["verdicts"]:
        assert set(verdict) == {"method", "result", "identity", "reason", "evidence"}
        assert all(set(each) == {"question", "answer"} for each in verdict["evidence"])
    assert all(set(leak) == {"what", "value", "where"} for leak in data["leaks"])


def test_two_hops_in_two_time_zones_are_two_seconds_apart(zone: Path) -> None:
    hops = told(zone)["hops"]
    assert [(hop["by"], hop["at"], hop["delay_seconds"], hop["trusted"]) for hop in hops] == [
        ("mx.example.org", "2025-03-01T18:15:28Z", None, False),
        ("mx.posthouse.test", "2025-03-01T18:15:30Z", 2, True),
    ]
    assert "+2 s" in explain(zone).out


def test_what_was_not_given_is_taken_from_the_message(zone: Path) -> None:
    data = told(zone)
    envelope = data["envelope"]
    assert envelope["mail_from"] == "bounce@news.example.org"
    assert (envelope["ip"], envelope["helo"], envelope["rcpt_to"]) == (
        "192.0.2.1", "mx.example.org", ["bob@posthouse.test"]
    )
    assert envelope["sources"]["mail_from"] == "Return-Path"
    assert envelope["sources"]["ip"] == "Received 1"
    assert {"spf": "pass", "dmarc": "pass", "iprev": "pass", "dkim": "none"}.items() <= results(data).items()
    assert data["decision"]["action"] == "accept"
    assert data["judgement"].startswith("It is really from example.org")


def test_what_is_given_counts(zone: Path) -> None:
    data = told(zone, "--ip", "203.0.113.9", "--helo", "x.test", "--mail-from", "m@news.example.org",
                "--rcpt-to", "carol@far.test", "--at", "2025-03-02T00:00:00+01:00")
    assert data["envelope"]["at"] == "2025-03-01T23:00:00Z"
    assert data["envelope"]["rcpt_to"] == ["carol@far.test"]
    assert {"spf": "fail", "dmarc": "fail"}.items() <= results(data).items()
    assert (data["decision"]["action"], data["decision"]["rule"]) == ("reject", "dmarc-reject")
    assert data["decision"]["reply"].startswith("550 5.7.")


def test_the_time_may_be_written_as_mail_writes_it(zone: Path) -> None:
    assert told(zone, "--at", "Sun, 02 Mar 2025 00:00:00 +0100")["envelope"]["at"] == "2025-03-01T23:00:00Z"


@pytest.mark.parametrize("sender", ["", "<>"])
def test_the_null_sender_may_be_given(zone: Path, sender: str) -> None:
    data = told(zone, "--mail-from", sender)
    assert data["envelope"]["mail_from"] == ""
    assert data["envelope"]["sources"]["mail_from"] == "given"


def test_a_sender_that_no_server_takes_is_refused_and_proves_nothing(zone: Path) -> None:
    data = told(zone, "--mail-from", "x@example.org(.news.example.org")
    assert (data["decision"]["action"], data["decision"]["rule"]) == ("reject", "mail-from")
    assert results(data)["dmarc"] != "pass"


def test_a_message_without_an_envelope_is_told_without_spf(zone: Path) -> None:
    data = told(zone, letter=b"From: alice@example.org\n\nHello\n")
    assert data["envelope"]["ip"] is None
    assert data["envelope"]["mail_from"] is None
    spf = next(verdict for verdict in data["verdicts"] if verdict["method"] == "spf")
    assert spf["result"] == "none"
    assert "nobody who can be believed recorded" in spf["reason"]


def test_a_master_file_is_a_zone_as_well(tmp_path: Path) -> None:
    path = tmp_path / "zone"
    path.write_text("$ORIGIN example.org.\nnews TXT \"v=spf1 -all\"\n_dmarc TXT TIMEOUT\n", "ascii")
    found = results(told(path))
    assert (found["spf"], found["dmarc"]) == ("fail", "temperror")


def test_a_lookalike_of_the_recipient_is_found(zone: Path) -> None:
    data = told(zone, "--rcpt-to", "bob@example.com", letter=b"From: bob@examp1e.com\n\nHello\n")
    assert {"kind": "lookalike", "severity": "high", "text": "looks like example.com, but the l is a 1",
            "about": "example.com"} in data["findings"]
    assert results(data)["lookalike"] == "fail"


def test_leaks_name_their_fields(zone: Path) -> None:
    leaks = told(zone)["leaks"]
    assert {"what": "client address", "value": "198.51.100.7", "where": "Received 2"} in leaks
    assert {"what": "software", "value": "Mutt/2.2.9", "where": "User-Agent"} in leaks
    assert {"what": "time zone", "value": "-0500", "where": "Date"} in leaks


def test_the_first_message_of_an_mbox_is_read(zone: Path) -> None:
    first = b"From alice@news.example.org Sat Mar  1 18:15:30 2025\nFrom: alice@example.org\n\nOne\n\n"
    mbox = first + b"From bob@far.test Sat Mar  1 18:20:00 2025\nFrom: bob@far.test\n\nTwo\n"
    data = told(zone, letter=mbox)
    assert data["header_from"]["address"] == "alice@example.org"
    assert data["envelope"]["sources"]["mail_from"] == "From line"
    assert data["envelope"]["mail_from"] == "alice@news.example.org"
    assert data["more_messages"] is True


def test_line_ends_are_mended_before_a_signature_is_checked(tmp_path: Path) -> None:
    from posthouse.checks.dkim import SigningKey, sign

    key = SigningKey.generate("example.org", "s1", "ed25519-sha256")
    letter = LETTER.replace(b"\n", b"\r\n")
    octets = sign(letter, [key], 1_740_852_900_000_000) + letter
    path = tmp_path / "zone.json"
    path.write_text(json.dumps({key.dns_name: {"TXT": [key.dns_record()]}}), "ascii")
    for saved in (octets, octets.replace(b"\r\n", b"\n")):
        assert results(told(path, letter=saved))["dkim"] == "pass"


def test_a_server_s_own_name_tells_where_trust_begins(zone: Path, tmp_path: Path) -> None:
    settings = tmp_path / "posthouse.toml"
    settings.write_text('hostname = "mx.posthouse.test"\ndata_dir = "data"\n', "ascii")
    data = told(zone, "--config", str(settings))
    assert data["trust"]["begins"] == "Received 1"
    assert data["trust"]["assumed"] is False


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["missing.eml"], 1, "missing.eml: No such file"),
        (["-", "--ip", "nonsense"], 2, "no IP address"),
        (["-", "--ip", "fe80::1%eth0"], 2, "no part of an address"),
        (["-", "--at", "yesterday"], 2, "no time"),
        (["-", "--rcpt-to", "nobody"], 2, "no mail address"),
        (["-", "--zone", "missing.zone"], 1, "missing.zone: No such file"),
        (["-", "--dnsbl", "a b"], 2, "posthouse: 'a b' is no zone of a list"),
        (["-", "--config", "missing.toml"], 1, "missing.toml"),
        ([], 2, "missing argument"),
    ],
)
def test_mistakes_are_told_in_one_line(options: list[str], code: int, words: str) -> None:
    outcome = call("explain", *options, stdin=LETTER)
    assert outcome.code == code
    assert words in outcome.err
    assert outcome.err.count("\n") == 1


def test_nothing_at_all_is_no_message(zone: Path) -> None:
    outcome = explain(zone, letter=b"\n\n")
    assert (outcome.code, outcome.err) == (1, "posthouse: -: is empty\n")


@pytest.mark.parametrize(
    ("letter", "converted"),
    [
        (LETTER, True),
        (LETTER.replace(b"\n", b"\r\n"), False),
        (LETTER.replace(b"\n", b"\r\n", 1), True),
        (LETTER.replace(b"\n", b"\r"), True),
        (LETTER.replace(b"\n", b"\r\n") + b"a bare\nline end\r\n", False),
    ],
)
def test_line_ends_that_a_program_changed_are_changed_back(letter: bytes, converted: bool) -> None:
    raw = rawmessage.take(letter, "x")
    assert raw.converted is converted
    assert raw.octets.startswith(LETTER.replace(b"\n", b"\r\n"))


def test_what_is_too_large_for_a_message_is_not_read(zone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rawmessage, "OCTETS", 100)
    outcome = explain(zone)
    assert (outcome.code, outcome.err) == (1, "posthouse: -: is larger than 100 B, which no message is\n")


def test_what_is_too_large_for_a_zone_is_not_read(zone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ZONE_OCTETS", 100)
    outcome = explain(zone)
    assert outcome.code == 1
    assert "is too large for a zone" in outcome.err


def test_a_folder_is_no_message(tmp_path: Path) -> None:
    outcome = call("explain", tmp_path)
    assert outcome.code == 1
    assert "Is a directory" in outcome.err


def test_into_a_pipe_go_neither_colours_nor_trailing_spaces(zone: Path) -> None:
    out = explain(zone).out
    assert "\x1b" not in out
    assert all(line == line.rstrip() for line in out.splitlines())
    assert len(out.splitlines()) < 50


# What could drive a terminal or turn a line round: escapes, C1 controls, direction marks, line separators, NUL.
EVIL = "\x1b]0;x\x07\x1b[2J\x9b31m\u202egnp.exe\u2066\u200f\u2028\x00\x08\r"
HOSTILE = "\r\n".join((
    f"Return-Path: <{EVIL}@x.test>",
    f"Received: from {EVIL} ({EVIL} [192.0.2.1]) by {EVIL}.test with {EVIL}; Sat, 01 Mar 2025 18:15:30 +0000",
    f"Received: from a by {'b' * 3000}.test; Sat, 31 Dec 9999 23:59:59 -2300",
    f"From: \"{EVIL}\" <mallory@far.test>",
    f"To: {EVIL}, {'x' * 5000}@far.test",
    "Subject: =?utf-8?b?G1syShtdMDt4B+KArmducC5leGU=?= " + "a\u0301\u0302\u0303\u0304\u0305" * 500,
    f"Date: {EVIL} Sat, 01 Mar 2025 18:15:30 +0000",
    f"Authentication-Results: mx.{EVIL}; spf=pass reason=\"{EVIL}\"",
    f"X-Mailer: {EVIL}",
    f"DKIM-Signature: v=1; d={EVIL}; s=x",
    *(f"Received: from h{n}.test by h{n}.test; Sat, 01 Mar 2025 18:15:30 +0000" for n in range(2000)),
    "",
    EVIL,
)).replace("\x00\x08\r", "\x00\x08").encode()  # fmt: skip


def test_nothing_in_a_message_reaches_the_terminal_but_printable_characters(zone: Path) -> None:
    out = explain(zone, letter=HOSTILE).out
    assert not [character for character in out if character != "\n" and not character.isprintable()]
    assert max(map(len, out.splitlines())) < 1_000
    assert len(out.splitlines()) < 150
    assert "\u0303" not in out


def test_json_shows_no_control_character_either(zone: Path) -> None:
    outcome = explain(zone, "--json", letter=HOSTILE)
    assert outcome.out.rstrip("\n").isprintable()
    assert len(outcome.json["hops"]) == 200


@pytest.mark.parametrize("letter", [LETTER, HOSTILE], ids=["plain", "hostile"])
def test_everything_fits_into_80_columns(zone: Path, letter: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.cells import cell_len

    wide = Console(width=80, force_terminal=True, color_system=None, highlight=False, markup=False, emoji=False)
    monkeypatch.setattr(storybook, "console", lambda: wide)
    with wide.capture() as captured:
        explain(zone, letter=letter)
    lines = captured.get().splitlines()
    assert len(lines) > 20
    assert max(map(cell_len, lines)) <= 80


@pytest.mark.parametrize("width", [60, 80])
def test_a_long_way_is_folded_to_the_right_of_its_marks(
    zone: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = Console(width=width, force_terminal=True, color_system=None, highlight=False, markup=False, emoji=False)
    monkeypatch.setattr(storybook, "console", lambda: narrow)
    with narrow.capture() as captured:
        long = b"mx.a-very-long-name-of-a-host.outbound.posthouse.test"
        explain(zone, letter=LETTER.replace(b"mx.posthouse.test", long))
    way = captured.get().partition("The way it came")[2].partition("Envelope beside")[0].splitlines()[1:]
    assert all(line.startswith("  ") for line in way if line)
    assert any("trust begins here" in line for line in way)
    assert next(line.split()[-3:] for line in way if "●" in line) == ["18:15:30", "+2", "s"]


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """The settings of a server with one account, you@example.org, who has written to Carol."""
    made = call("quickstart", "you@example.org", "--dir", tmp_path / "server", "--json")
    assert made.code == 0, made.err
    settings = tmp_path / "server" / "posthouse.toml"

    async def task(office: Office) -> None:
        def unit(tx: Transaction) -> None:
            (account,) = directory.accounts(tx)
            carol = Address("carol", "far-away.test")
            correspondents.note(tx, account.account_id, carol, "Carol Farber", now(), wrote=True)

        await office.database.write(unit)

    work(settings, task)
    return settings


def test_an_account_here_is_compared_with_whom_it_knows(zone: Path, server: Path) -> None:
    letter = b"From: Carol Farber <carol@far-avvay.test>\nSubject: x\n\nHello\n"
    data = told(zone, "--config", str(server), "--rcpt-to", "you@example.org", letter=letter)
    kinds = {finding["kind"]: finding["text"] for finding in data["findings"]}
    assert kinds["lookalike"] == "looks like far-away.test, but the w is vv"
    assert kinds["namesake"].startswith("has the name of Carol Farber <carol@far-away.test>, but is from")
    # For others she is nobody.
    data = told(zone, "--config", str(server), "--rcpt-to", "you@elsewhere.test", letter=letter)
    assert not data["findings"]


def test_our_own_domain_is_known_without_a_recipient(zone: Path, server: Path) -> None:
    letter = b"From: you@examp1e.org\nSubject: x\n\nHello\n"
    data = told(zone, "--config", str(server), letter=letter)
    assert [finding["text"] for finding in data["findings"]] == ["looks like example.org, but the l is a 1"]


def test_to_explain_a_message_notes_nothing_down(zone: Path, server: Path) -> None:
    async def task(office: Office) -> list[str]:
        def unit(tx: Transaction) -> list[str]:
            (account,) = directory.accounts(tx)
            return [str(each.address) for each in correspondents.latest(tx, account.account_id, 10)]

        return await office.database.read(unit)

    told(zone, "--config", str(server), "--rcpt-to", "you@example.org")
    assert work(server, task) == ["carol@far-away.test"]


LOGO = {"default._bimi.example.org": {"TXT": ["v=BIMI1; l=https://example.org/logo.svg"]}}


def test_a_logo_is_not_fetched_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Web:
        def __init__(self, *_: object) -> None: ...

        async def get(self, url: str, *, limit: int) -> bytes:
            asked.append(url)
            raise FetchFault("nobody is at home", temporary=True)

    monkeypatch.setattr(fetch, "Fetcher", Web)
    path = tmp_path / "zone.json"
    path.write_text(json.dumps({**ZONE, **LOGO}), "ascii")
    (bimi,) = [each for each in told(path)["verdicts"] if each["method"] == "bimi"]
    assert (bimi["result"], asked) == ("none", [])
    assert bimi["reason"] == "example.org publishes the logo https://example.org/logo.svg, which was not fetched"
    assert results(told(path, "--online"))["bimi"] == "temperror"
    assert asked == ["https://example.org/logo.svg"]


def test_it_is_a_program_that_needs_neither_settings_nor_data(zone: Path, tmp_path: Path) -> None:
    letter = tmp_path / "letter.eml"
    letter.write_bytes(LETTER)
    outcome = spawn("explain", letter, "--zone", zone, "--json", cwd=tmp_path, env={"HOME": os.devnull})
    assert outcome.code == 0
    assert outcome.json["decision"]["action"] == "accept"


def test_a_terminal_that_lacks_characters_shows_others(zone: Path, tmp_path: Path) -> None:
    letter = tmp_path / "letter.eml"
    letter.write_bytes(LETTER)
    outcome = spawn("explain", letter, "--zone", zone, cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert (outcome.code, outcome.err) == (0, "")
    assert "? mx.posthouse.test" in outcome.out
