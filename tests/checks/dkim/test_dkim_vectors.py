"""Published DKIM messages: chasquid's and mail-auth's, every one."""

import json
import re
from pathlib import Path

import pytest

from checks.dkim.signers import look
from checks.zone import NOW, Zone
from posthouse.mail.instant import SECOND

CHASQUID = (
    "01-rfc8463", "02-too_many_headers", "03-bad_message", "04-bad_dkim_signature_header", "05-dns_temp_error",
    "06-dns_perm_error", "07-algo_mismatch", "08-our_signature", "09-limited_body", "10-strict_domain_check_pass",
    "11-strict_domain_check_fail",
)  # fmt: skip
MAIL_AUTH = ("001", "002", "003", "004", "005", "006")

# Where the suite expects something else of us than chasquid does: what we say, and why.
OTHERWISE = {
    "02-too_many_headers": (["pass"] * 7, "chasquid looks at 5 signatures, we at 10"),
    "03-bad_message": ([], "chasquid refuses the message; here reception does, and nothing in it is signed"),
    "09-limited_body": (["policy", "pass", "pass"], "l= never counts as a pass"),
}
# When the mail-auth messages were on their way: after the last t=, before the x= of 005.
UNDERWAY = 1_667_862_900 * SECOND


def octets(file: Path) -> bytes:
    return file.read_bytes().replace(b"\n", b"\r\n")


def chasquid_zone(file: Path) -> Zone:
    """`name: text`, with continuation lines; a permanent error of the DNS is a name that does not exist."""
    records: dict[str, list[str]] = {}
    text = file.read_text("ascii") if file.exists() else ""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        name, colon, record = line.partition(":")
        if colon:
            records.setdefault(name, []).append({"TEMPERROR": "TIMEOUT"}.get(record.strip(), record.strip()))
    return Zone({name: {"TXT": texts} for name, texts in records.items() if texts != ["PERMERROR"]})


@pytest.mark.parametrize("case", CHASQUID)
def test_chasquid(case: str, vectors: Path) -> None:
    folder = vectors / "dkim" / "chasquid"
    found = look(octets(folder / f"{case}.msg"), chasquid_zone(folder / f"{case}.dns"))
    if case in OTHERWISE:
        assert [signature.result for signature in found] == OTHERWISE[case][0]
        return
    expected = json.loads((folder / f"{case}.result").read_text("utf-8"))["Results"]
    words = {"SUCCESS": {"pass"}, "TEMPFAIL": {"temperror"}, "PERMFAIL": {"fail", "permerror", "neutral"}}
    assert len(found) == len(expected)
    for signature, result in zip(found, expected, strict=True):
        assert signature.result in words[result["State"]], signature.verdict.reason
        if result["Domain"]:
            assert (signature.domain, signature.selector) == (result["Domain"], result["Selector"])


def test_no_chasquid_case_is_left_out(vectors: Path) -> None:
    assert sorted(file.stem for file in (vectors / "dkim" / "chasquid").glob("*.msg")) == list(CHASQUID)


def mail_auth(file: Path) -> tuple[Zone, bytes]:
    records, _, message = file.read_text("latin-1").partition("\n\n")
    texts = dict(line.split(" ", 1) for line in records.splitlines())
    return Zone({name: {"TXT": [text]} for name, text in texts.items()}), message.encode("latin-1")


@pytest.mark.parametrize("case", MAIL_AUTH)
def test_mail_auth(case: str, vectors: Path) -> None:
    zone, message = mail_auth(vectors / "dkim" / "mail-auth" / f"{case}.txt")
    found = look(message.replace(b"\n", b"\r\n"), zone, UNDERWAY)
    assert found
    assert {signature.result for signature in found} == {"pass"}, found[0].verdict.reason


def test_mail_auth_005_has_expired_by_now(vectors: Path) -> None:
    zone, message = mail_auth(vectors / "dkim" / "mail-auth" / "005.txt")
    [signature] = look(message.replace(b"\n", b"\r\n"), zone, NOW)
    assert signature.result == "policy"
    assert "2022-11-08" in signature.verdict.reason


def test_no_mail_auth_case_is_left_out(vectors: Path) -> None:
    assert sorted(file.stem for file in (vectors / "dkim" / "mail-auth").glob("0*.txt")) == list(MAIL_AUTH)
