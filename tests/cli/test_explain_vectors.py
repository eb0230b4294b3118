"""`posthouse explain` on every published message: none may fail, and what a suite expects is what is told."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.arc.test_arc_vectors import OPEN
from checks.dkim.test_dkim_vectors import CHASQUID, MAIL_AUTH, OTHERWISE
from checks.test_spf_suite import records
from cli.program import call

SPF_CASES = 203
ARC_CASES = 87
ARC_EMPTY = {"cv_empty"}  # without a single octet there is no message to explain
# Before the end of a signature, see the tests of DKIM.
UNDERWAY = "2022-11-07T23:15:00Z"
MESSAGES = 84
SAMPLE = 40  # of the mail that people got; the rest differs in nothing that matters here
LETTER = b"From: a@example.net\nSubject: x\n\nHello\n"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSTHOUSE_CONFIG", str(tmp_path / "none.toml"))


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    path = tmp_path / "zone.json"
    path.write_text("{}", "ascii")
    return path


def shown(zone: Path, letter: bytes) -> None:
    """A person is told in characters that can be seen."""
    human = call("explain", "-", "--zone", zone, stdin=letter)
    assert human.code == 0, human.err
    assert human.out.replace("\n", "").isprintable()


def told(zone: Path, letter: bytes, *options: str) -> Any:
    outcome = call("explain", "-", "--zone", zone, "--json", *options, stdin=letter)
    assert outcome.code == 0, outcome.err
    return outcome.json


def of(data: Any, method: str) -> list[str]:
    return [verdict["result"] for verdict in data["verdicts"] if verdict["method"] == method]


def test_every_case_of_the_spf_suite(vectors: Path, zone: Path) -> None:
    seen, wrong = 0, []
    for scenario in yaml.safe_load_all((vectors / "spf" / "rfc7208-tests.yml").read_text("utf-8")):
        zone.write_text(json.dumps(records(scenario["zonedata"])), "ascii")
        for name, case in scenario["tests"].items():
            options = ("--ip", case["host"], "--helo", case["helo"], "--mail-from", case["mailfrom"])
            outcome = call("explain", "-", "--zone", zone, "--json", *options, stdin=LETTER)
            allowed = [case["result"]] if isinstance(case["result"], str) else case["result"]
            seen += 1
            if outcome.code or of(outcome.json, "spf")[0] not in allowed:
                wrong.append(f"{name}: {outcome.err or of(outcome.json, 'spf')}, not {allowed}")
    assert not wrong, "\n".join(wrong)
    assert seen == SPF_CASES


def test_every_case_of_the_arc_suite(vectors: Path, zone: Path) -> None:
    seen, wrong = 0, []
    for scenario in yaml.safe_load_all((vectors / "arc" / "validation.yml").read_text("utf-8")):
        texts = {name: {"TXT": [text]} for name, text in scenario["txt-records"].items()}
        zone.write_text(json.dumps(texts), "ascii")
        for name, case in scenario["tests"].items():
            seen += 1
            if name in ARC_EMPTY:
                continue
            # The messages are of 2016 and 2017, and their keys do not end.
            data = told(zone, case["message"].encode("utf-8", "surrogateescape"))
            expected = "fail" if name in OPEN else (case["cv"] or "none").lower()
            if of(data, "arc") != [expected]:
                wrong.append(f"{name}: {of(data, 'arc')}, not {case['cv']}")
    assert not wrong, "\n".join(wrong)
    assert seen == ARC_CASES


@pytest.mark.parametrize("case", CHASQUID)
def test_chasquid(case: str, vectors: Path, zone: Path) -> None:
    folder = vectors / "dkim" / "chasquid"
    file = folder / f"{case}.dns"
    texts: dict[str, list[str]] = {}
    for line in file.read_text("ascii").replace("\\\n", "").splitlines() if file.exists() else ():
        name, colon, text = line.partition(":")
        if colon and text.strip() != "PERMERROR":
            texts.setdefault(name, []).append(text.strip().replace("TEMPERROR", "TIMEOUT"))
    zone.write_text(json.dumps({name: {"TXT": found} for name, found in texts.items()}), "ascii")
    found = of(told(zone, (folder / f"{case}.msg").read_bytes()), "dkim")
    if case in OTHERWISE:
        assert found == (OTHERWISE[case][0] or ["none"])
        return
    expected = json.loads((folder / f"{case}.result").read_text("utf-8"))["Results"]
    words = {"SUCCESS": {"pass"}, "TEMPFAIL": {"temperror"}, "PERMFAIL": {"fail", "permerror", "neutral"}}
    assert len(found) == max(len(expected), 1)
    assert all(result in words[each["State"]] for result, each in zip(found, expected, strict=False))


@pytest.mark.parametrize("case", MAIL_AUTH)
def test_mail_auth(case: str, vectors: Path, zone: Path) -> None:
    texts, _, message = (vectors / "dkim" / "mail-auth" / f"{case}.txt").read_text("latin-1").partition("\n\n")
    pairs = dict(line.split(" ", 1) for line in texts.splitlines())
    zone.write_text(json.dumps({name: {"TXT": [text]} for name, text in pairs.items()}), "ascii")
    data = told(zone, message.encode("latin-1"), "--at", UNDERWAY)
    assert set(of(data, "dkim")) == {"pass"}


def test_every_message_about_reports_and_mime(vectors: Path, zone: Path) -> None:
    files = [*(vectors / "mime").rglob("*.eml"), *(vectors / "dmarc").rglob("*.eml")]
    assert len(files) == MESSAGES
    for file in files:
        octets = file.read_bytes()
        if octets.strip():
            shown(zone, octets)
            data = told(zone, octets)
            assert len(data["hops"]) <= octets.lower().count(b"received:")


@pytest.mark.parametrize("kind", ["ham", "spam"])
def test_mail_that_people_got(kind: str, vectors: Path, zone: Path) -> None:
    with tarfile.open(vectors / "spam" / f"{kind}.tar.xz") as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        for member in members[:: len(members) // SAMPLE]:
            file = archive.extractfile(member)
            assert file is not None
            octets = file.read()
            shown(zone, octets)
            data = told(zone, octets)
            assert bool(data["hops"]) is (b"\nReceived:" in octets or octets.startswith(b"Received:"))
            if octets.startswith(b"From ") or b"Return-Path: <" in octets:
                assert data["envelope"]["mail_from"] is not None
