"""Failure reports of others: what they tell of one message."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.checks.reports.archive import ReportError
from posthouse.checks.reports.failure import FailureReport, read_exim
from posthouse.checks.reports.reading import read
from posthouse.mail.authentication_results import Property, Result
from posthouse.mail.instant import SECOND

FIELDS = (
    "Feedback-Type: auth-failure\r\nUser-Agent: Mill/1.0\r\nVersion: 1\r\nAuth-Failure: dmarc (all of it)\r\n"
    "Authentication-Results: gen.example; dmarc=fail header.from=consumer.example\r\nIdentity-Alignment: spf, DKIM\r\n"
    "DKIM-Domain: consumer.example\r\nDKIM-Identity: @consumer.example\r\nDKIM-Selector: epsilon\r\n"
    "Original-Mail-From: <author@forwarder.example>\r\nOriginal-Rcpt-To: <a@gen.example>\r\n"
    "Original-Rcpt-To: <b@gen.example>\r\nSource-IP: 192.0.2.2\r\nReported-Domain: Consumer.Example.\r\n"
    "Arrival-Date: Tue, 19 Jul 2022 00:57:48 -0500\r\nIncidents: 3\r\nDelivery-Result: spam\r\n"
    'SPF-DNS: txt : consumer.example : "v=spf1 -all"\r\n'
)
ORIGINAL = (
    "From: Author <author@consumer.example>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    "Message-ID: <1@consumer.example>\r\n"
)


def mail(fields: str = FIELDS, original: str = ORIGINAL, *, kind: str = "text/rfc822-headers") -> bytes:
    return (
        "From: DMARC@gen.example\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nThis is a failure report.\r\n"
        f"--b\r\nContent-Type: message/feedback-report\r\n\r\n{fields}\r\n"
        f"--b\r\nContent-Type: {kind}\r\n\r\n{original}\r\nbody\r\n--b--\r\n"
    ).encode()


def report(octets: bytes) -> FailureReport:
    found = read(octets)
    assert isinstance(found, FailureReport)
    return found


@pytest.mark.parametrize("kind", ["text/rfc822-headers", "message/rfc822", "message/global"])
def test_a_report_is_read_in_full(kind: str) -> None:
    found = report(mail(kind=kind))
    assert (found.auth_failure, found.reported_domain, found.source_ip) == ("dmarc", "consumer.example", "192.0.2.2")
    assert found.arrival == 1_658_210_268 * SECOND
    assert (found.mail_from, found.rcpt_to) == ("<author@forwarder.example>", ("<a@gen.example>", "<b@gen.example>"))
    assert (found.failed, found.delivery_result, found.incidents) == (("dkim", "spf"), "spam", 3)
    assert found.results == (Result("dmarc", "fail", "", (Property("header", "from", "consumer.example"),)),)
    assert (found.dkim_domain, found.dkim_selector, found.dkim_identity) == (
        "consumer.example", "epsilon", "@consumer.example",
    )
    assert found.spf_records == ('txt : consumer.example : "v=spf1 -all"',)
    assert (found.generator, found.header_from) == ("Mill/1.0", "Author <author@consumer.example>")
    assert (found.subject, found.message_id) == ("Grüße", "<1@consumer.example>")


def test_an_encoded_message_is_read_too() -> None:
    kind = "message/rfc822\r\nContent-Transfer-Encoding: quoted-printable"
    assert report(mail(original="From: a=40b.example\r\n", kind=kind)).header_from == "a@b.example"


def test_what_is_missing_is_empty() -> None:
    found = report(mail("Feedback-Type: auth-failure\r\n", ""))
    assert (found.source_ip, found.arrival, found.failed, found.incidents, found.results) == ("", None, (), 1, ())
    assert (found.auth_failure, found.header_from) == ("", "")


@pytest.mark.parametrize(
    ("line", "ip"),
    [
        ("[192.0.2.1]", "192.0.2.1"),
        ("IPv6:2001:db8::1", "2001:db8::1"),
        ("[IPv6:2001:DB8::1]", "2001:db8::1"),
        ("192.0.2.1 (a host)", "192.0.2.1"),
        ("192.0.2.999", ""),
        ("fe80::1%<b>", "fe80::1"),
    ],
)
def test_addresses_are_read_in_every_form(line: str, ip: str) -> None:
    assert report(mail(f"Feedback-Type: auth-failure\r\nSource-IP: {line}\r\n")).source_ip == ip


@pytest.mark.parametrize(
    ("line", "failed"), [("none", ()), ("dkim", ("dkim",)), ("spf", ("spf",)), (" dkim , spf ", ("dkim", "spf"))]
)
def test_the_mechanisms_that_failed_are_named(line: str, failed: tuple[str, ...]) -> None:
    assert report(mail(f"Feedback-Type: auth-failure\r\nIdentity-Alignment: {line}\r\n")).failed == failed


@pytest.mark.parametrize("kind", ["abuse", "", "fraud\x07"])
def test_a_report_about_something_else_is_refused(kind: str) -> None:
    with pytest.raises(ReportError, match="not about authentication") as error:
        read(mail(f"Feedback-Type: {kind}\r\n"))
    assert str(error.value).isprintable()


def test_a_result_that_cannot_be_read_does_not_matter() -> None:
    assert report(mail('Feedback-Type: auth-failure\r\nAuthentication-Results: a; dkim="\r\n')).results == ()


def test_an_attachment_of_the_reported_message_is_no_report_of_its_own() -> None:
    original = (
        "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: text/xml\r\n\r\n"
        "<feedback/>\r\n--c--"
    )
    assert report(mail(original=original, kind="message/rfc822")).auth_failure == "dmarc"


def test_the_samples_tell_what_happened(vectors: Path) -> None:
    folder = vectors / "dmarc" / "failure"
    name = "DMARC_Failure_Report_for_domain.de_mail-from_sharepoint_domain.de_ip_10.10.10.10_.eml"
    found = report((folder / name).read_bytes())
    assert (found.reported_domain, found.mail_from, found.delivery_result) == (
        "domain.de", "sharepoint@domain.de", "smg-policy-action",
    )
    assert [(result.method, result.result) for result in found.results] == [("dmarc", "fail")]
    assert found.subject == "Subject"
    found = report((folder / "exim_plain_text_only_no_arf_part.eml").read_bytes())
    assert (found.reported_domain, found.source_ip, found.failed) == ("example.com", "203.0.113.68", ("dkim", "spf"))
    assert found.arrival == 1_744_060_569 * SECOND
    assert (found.header_from, found.subject) == ("<user@example.com>", "Payment from your account.")
    assert [(result.method, result.result) for result in found.results] == [
        ("iprev", "fail"), ("spf", "softfail"), ("dmarc", "none"), ("spf", "softfail"),
    ]


def test_other_texts_are_no_reports_of_exim() -> None:
    assert read_exim("hello") is None
    assert read_exim("A message claiming to be from you has failed the published DMARC policy for your domain.") is None


@given(st.text(max_size=300))
def test_any_fields_are_read_or_refused(text: str) -> None:
    with suppress(ReportError):
        read(mail("Feedback-Type: auth-failure\r\n" + text, text))
    read_exim("has failed the published DMARC policy for your domain\n  Sender Domain: " + text)


@pytest.mark.parametrize(
    "line",
    ["Authentication-Results: a; dkim=fail\r\n", "Original-Rcpt-To: <a@b.example>\r\n", "X: " + "y" * 70 + "\r\n"],
)
def test_reading_is_linear_and_bounded(line: str) -> None:
    found = report(mail("Feedback-Type: auth-failure\r\n" + line * 20_000))
    assert len(found.results) <= 50
    assert len(found.rcpt_to) <= 50
    read_exim("has failed the published DMARC policy for your domain\n" + "Sender Domain: x\n" * 20_000 + "-" * 100_000)
