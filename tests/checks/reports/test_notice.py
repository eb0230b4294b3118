"""Failure reports of ours: asked for, short, and silent about people."""

import pytest

from checks.dmarc.letters import check, records, signature, spf
from checks.zone import NOW, Zone
from posthouse.checks.dkim.signature import Signature
from posthouse.checks.reports.failure import FailureReport
from posthouse.checks.reports.notice import Delivery, Incident, wanted, write_failure
from posthouse.checks.reports.reading import read
from posthouse.checks.spf.evaluation import Spf
from posthouse.mail.address import Address
from posthouse.mail.headers import parse_header
from posthouse.mail.message import Message
from posthouse.mail.verdict import Evidence, Verdict

RUF = "ruf=mailto:fail@a.example"
LETTER = (
    b"Received: from evil.example by mx.posthouse.test for <bob@posthouse.test>; Sat, 01 Mar 2025 18:15:30 +0000\r\n"
    b"DKIM-Signature: v=1; a=rsa-sha256; d=a.example; s=s1; i=alice.secret@a.example; z=To:bob@posthouse.test|\r\n"
    b"\tSubject:salary; darn=posthouse.test; h=from:to; bh=abc=; b=def=\r\n"
    b"From: \"Alice Secret\" <alice.secret@a.example>\r\nTo: Bob Hidden <bob@posthouse.test>\r\n"
    b"Cc: carol@far.test\r\nSubject: My salary\r\nDate: Sat, 01 Mar 2025 18:15:28 +0000\r\n"
    b"Message-ID: <1@a.example>\r\nList-Id: <hobby.lists.example>\r\nX-Secret: yes\r\n\r\nthe body\r\n"
)
# What a redacted report may not hold, in any encoding of ours.
PRIVATE = ("alice", "Secret", "bob", "Hidden", "carol", "salary", "hobby", "X-Secret", "the body", "darn", "far.test")


def incident(
    text: str = "p=reject",
    of_spf: Spf | None = None,
    signatures: tuple[Signature, ...] = (),
    *,
    mail_from: Address | None = None,
    delivery: Delivery = "reject",
    ip: str = "192.0.2.1",
) -> Incident:
    found = check("a.example", Zone(records(a_example=f"v=DMARC1; {text}; {RUF}")), of_spf, signatures)
    return Incident(found, of_spf, signatures, ip, mail_from, NOW, delivery)


def write(case: Incident, letter: bytes = LETTER, *, redact: bool = True) -> bytes:
    header = parse_header(letter)
    return write_failure(
        case,
        letter,
        header,
        wanted(case, header),
        submitter="mail.posthouse.test",
        author=Address("dmarc", "posthouse.test"),
        to=[Address("fail", "a.example")],
        now=NOW,
        report_id="0DQ4W8SZJ6A2G",
        secret=b"key",
        redact=redact,
    )


def report(octets: bytes) -> FailureReport:
    found = read(octets)
    assert isinstance(found, FailureReport)
    return found


FAILED = signature("a.example", "fail")


@pytest.mark.parametrize(
    ("text", "of_spf", "signatures", "kind"),
    [
        ("p=none", None, (), "dmarc"),
        ("p=none", spf("a.example"), (), ""),
        ("p=none; fo=0", spf("a.example"), (FAILED,), ""),
        ("p=none; fo=1", spf("a.example"), (FAILED,), "dmarc"),
        ("p=none; fo=1", spf("a.example"), (signature("a.example"),), ""),
        ("p=none; fo=d", spf("a.example"), (FAILED,), "signature"),
        ("p=none; fo=d", None, (), ""),
        ("p=none; fo=s", spf("b.example", "softfail"), (), "spf"),
        ("p=none; fo=s", spf("b.example", "none"), (), ""),
        ("p=none; fo=d:s", spf("b.example", "fail"), (FAILED,), "signature"),
        ("p=none; fo=0:d", None, (FAILED,), "dmarc"),
    ],
)
def test_only_what_was_asked_for_is_told(
    text: str, of_spf: Spf | None, signatures: tuple[Signature, ...], kind: str
) -> None:
    assert wanted(incident(text, of_spf, signatures), parse_header(LETTER)) == kind


def test_nobody_is_told_who_did_not_ask() -> None:
    for text in ("v=DMARC1; p=reject", f"v=DMARC1; p=reject; psd=y; {RUF}", f"v=DMARC1; p=x; {RUF}"):
        found = check("a.example", Zone(records(a_example=text)))
        assert wanted(Incident(found, None, (), "192.0.2.1", None, NOW, "reject"), parse_header(LETTER)) == ""


def test_what_is_open_for_now_is_not_told() -> None:
    assert wanted(incident("p=none", spf("a.example", "temperror")), parse_header(LETTER)) == ""


@pytest.mark.parametrize(
    "field",
    [
        b"Auto-Submitted: auto-generated",
        b"Content-Type: multipart/report; boundary=x",
        b"auto-submitted: auto-replied (x)",
    ],
)
def test_automatic_mail_is_never_told_of(field: bytes) -> None:
    assert wanted(incident(), parse_header(field + b"\r\n" + LETTER)) == ""
    assert wanted(incident(), parse_header(b"Auto-Submitted: no\r\n" + LETTER)) == "dmarc"


def test_a_report_tells_what_failed() -> None:
    evidence = (Evidence("TXT a.example", ("v=spf1 -all", "other")), Evidence("A a.example", ("v=spf1",)))
    of_spf = Spf("fail", "a.example", "mailfrom", "", 1, Verdict("spf", "fail", "a.example", "so", evidence))
    case = incident("p=reject", of_spf, (signature("b.example", "fail"), FAILED), mail_from=Address("x", "a.example"))
    octets = write(case)
    message = Message.parse(octets)
    assert message.root.content_type == ("multipart", "report")
    assert message.root.parameters["report-type"] == "feedback-report"
    assert [part.content_type for part in message.root.parts] == [
        ("text", "plain"), ("message", "feedback-report"), ("text", "rfc822-headers"),
    ]
    found = report(octets)
    assert (found.auth_failure, found.reported_domain, found.source_ip) == ("dmarc", "a.example", "192.0.2.1")
    assert (found.failed, found.delivery_result, found.arrival) == (("dkim", "spf"), "reject", NOW)
    assert (found.dkim_domain, found.dkim_selector, found.dkim_identity) == ("a.example", "s1", "@a.example")
    assert found.spf_records == ('txt : a.example : "v=spf1 -all"',)
    assert [(result.method, result.result) for result in found.results] == [("dmarc", "fail")]
    assert found.results[0].value("header", "from") == "a.example"
    assert found.message_id == "<1@a.example>"
    assert octets.isascii()
    assert max(map(len, octets.split(b"\r\n"))) <= 998


def test_a_redacted_report_tells_of_nobody() -> None:
    case = incident("p=reject", spf("a.example", "fail"), (FAILED,), mail_from=Address("alice.secret", "a.example"))
    octets = write(case)
    message = Message.parse(octets)
    told = octets.decode() + "".join(part.text() for part in message.root.parts)
    assert not [word for word in PRIVATE if word in told]
    original = message.root.parts[2].text()
    token = original.partition("From: <")[2].partition("@")[0]
    assert len(token) == 16
    assert f"i={token}@a.example" in original
    assert f"<{token}@a.example>" in message.root.parts[1].text()
    assert "bh=abc=" in original
    assert "b=def=" in original


def test_the_same_person_has_the_same_token_and_another_key_another() -> None:
    case = incident()
    assert report(write(case)).header_from == report(write(case)).header_from
    other = LETTER.replace(b"alice.secret@", b"ALICE.secret@")
    assert report(write(case, other)).header_from == report(write(case)).header_from
    other = LETTER.replace(b"alice.secret@", b"alice.public@")
    assert report(write(case, other)).header_from != report(write(case)).header_from


def test_where_it_was_switched_off_the_header_is_told_whole_and_the_body_never() -> None:
    octets = write(incident(mail_from=Address("alice.secret", "a.example")), redact=False)
    found = report(octets)
    assert found.subject == "My salary"
    assert found.mail_from == "<alice.secret@a.example>"
    assert Message.parse(octets).header.text("subject") == "FW: My salary"
    assert "Bob Hidden" in Message.parse(octets).root.parts[2].text()
    assert "the body" not in octets.decode()


def test_a_null_reverse_path_and_an_ipv6_address_have_their_forms() -> None:
    octets = write(incident(ip="2001:db8::1"))
    assert b"Source-IP: IPv6:2001:db8::1" in octets
    assert b"Original-Mail-From: <>" in octets
    assert report(octets).source_ip == "2001:db8::1"


@pytest.mark.parametrize(
    ("text", "of_spf", "signatures", "result"),
    [
        ("p=none; fo=d", spf("a.example"), (FAILED,), ("dkim", "fail")),
        ("p=none; fo=s", spf("b.example", "fail"), (), ("spf", "fail")),
    ],
)
def test_a_report_about_one_mechanism_has_its_result(
    text: str, of_spf: Spf, signatures: tuple[Signature, ...], result: tuple[str, str]
) -> None:
    found = report(write(incident(text, of_spf, signatures)))
    assert [(known.method, known.result) for known in found.results] == [result]
    assert found.auth_failure in ("signature", "spf")


@pytest.mark.parametrize(
    "letter",
    [
        b"From: a@a.example\r\nSubject: \x81\xff =?utf-8?b?gYE=?= =?utf-8?q?=0D=0AX:_y?=\r\n\r\n",
        b"From: <a@a.example>, b, \"\r\nDKIM-Signature: i=\xff\xfe@;;=;i\r\n\r\n",
        b"DKIM-Signature: i=x@\r\n\ty\rz\0; a=b\r\nFrom:\r\n\r\n",
        b"Message-ID: " + b"x" * 5000 + b"\r\n" + b"Date: y\r\n" * 9000 + b"\r\n",
        b"\r\n",
    ],
)
@pytest.mark.parametrize("redact", [True, False])
def test_no_header_keeps_a_report_from_being_written(letter: bytes, redact: bool) -> None:
    octets = write(incident(), letter, redact=redact)
    assert len(octets) < 200_000
    assert len(Message.parse(octets).root.parts) == 3
    assert max(map(len, octets.split(b"\r\n"))) <= 998
