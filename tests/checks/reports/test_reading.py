"""Whatever arrives at an address for reports: every published sample, and mails around them."""

import gzip
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.reports.test_archive import zipped
from checks.reports.test_feedback import document
from posthouse.checks.reports.aggregate import AggregateReport, DkimResult, SpfResult
from posthouse.checks.reports.archive import ReportError
from posthouse.checks.reports.failure import FailureReport
from posthouse.checks.reports.reading import ATTACHMENTS, Report, read
from posthouse.checks.reports.tls import TlsReport
from posthouse.mail.message import Message

# Samples that are refused, and the sentence that says why: this one is no XML.
REFUSED = {"aggregate/invalid_xml.xml": "The XML is malformed in line 5: not well-formed (invalid token)"}
KINDS = {
    "aggregate": AggregateReport,
    "aggregate_invalid": AggregateReport,
    "failure": FailureReport,
    "smtp_tls": TlsReport,
}
NOT_SAMPLES = {"README.md", "LICENSE"}


@pytest.fixture
def samples(vectors: Path) -> dict[str, bytes]:
    folder = vectors / "dmarc"
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in NOT_SAMPLES)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_every_sample_is_read_or_refused_with_its_reason(samples: dict[str, bytes]) -> None:
    assert len(samples) == 23
    refused = {}
    for name, octets in samples.items():
        try:
            report: Report = read(octets)
        except ReportError as error:
            refused[name] = str(error)
            continue
        assert isinstance(report, KINDS[name.partition("/")[0]]), name
        if isinstance(report, AggregateReport):
            assert report.rows, name
            assert not report.flaws, name
    assert refused == REFUSED


def test_every_sample_is_read_from_a_mail_as_well(samples: dict[str, bytes]) -> None:
    for name, octets in samples.items():
        if name.endswith(".eml") or name in REFUSED:
            continue
        packed = octets
        # The large sample is alike in every row: packed, it would grow to more than 50 times its size.
        if name != "aggregate/_large-example.com_1711897200_1711983600.xml":
            packed = gzip.compress(octets)
        assert read(mail("application/octet-stream", packed, "report.gz")) == read(octets), name


def test_what_the_samples_say_is_understood(samples: dict[str, bytes]) -> None:
    report = read(samples["aggregate/mimecast-weird-gzip.eml"])
    assert isinstance(report, AggregateReport)
    assert (report.org_name, report.policy.domain) == ("Mimecast", "ab.id.au")
    report = read(samples["aggregate/rfc9990-example.net_example.com_1700000000_1700086399.xml"])
    assert isinstance(report, AggregateReport)
    assert (report.policy.np, report.policy.testing, report.policy.discovery) == ("reject", True, "treewalk")
    assert [row.count for row in report.rows] == [5, 2]
    report = read(samples["aggregate/ikea.com_example.de_1538690400_1538776800.xml"])
    assert isinstance(report, AggregateReport)
    assert report.rows[0].dkim_results == (DkimResult("example.de", "", "pass"),)
    assert report.rows[0].spf_results == (SpfResult("mailrelay.com", "helo", "none"),)
    report = read(samples["aggregate_invalid/report_with_upper_cased_pass.xml"])
    assert isinstance(report, AggregateReport)
    assert (report.rows[0].disposition, report.rows[0].dkim, report.rows[0].spf) == ("none", "pass", "pass")
    report = read(samples["aggregate/_large-example.com_1711897200_1711983600.xml"])
    assert isinstance(report, AggregateReport)
    assert len(report.rows) == samples["aggregate/_large-example.com_1711897200_1711983600.xml"].count(b"<record>")


# --- mails --------------------------------------------------------------------------------------------


def mail(content_type: str, octets: bytes, name: str) -> bytes:
    return (
        "From: r@other.test\r\nSubject: Report Domain: a.example\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nSee the attachment.\r\n"
        f"--b\r\nContent-Type: {content_type}\r\nContent-Transfer-Encoding: base64\r\n"
        f'Content-Disposition: attachment; filename="{name}"\r\n\r\n{b64encode(octets).decode()}\r\n--b--\r\n'
    ).encode()


@pytest.mark.parametrize(
    ("content_type", "octets", "name"),
    [
        ("application/gzip", gzip.compress(document()), "other.test!a.example!1!2.xml.gz"),
        ("application/zip", zipped(("a.xml", document())), "other.test!a.example!1!2.zip"),
        ("application/x-zip-compressed", zipped(("a.xml", document())), ""),
        ("text/xml", document(), "a.xml"),
        ("application/octet-stream", document(), "a.xml"),
        ("application/octet-stream", gzip.compress(document()), ""),
        ("text/plain", b'<?xml version="1.0"?>' + document(), ""),
    ],
)
def test_a_report_is_found_however_it_is_attached(content_type: str, octets: bytes, name: str) -> None:
    octets = mail(content_type, octets, name)
    assert isinstance(read(octets), AggregateReport)
    assert read(Message.parse(octets)) == read(octets)


def test_a_report_may_be_the_whole_body() -> None:
    octets = b"From: r@other.test\r\nContent-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    assert isinstance(read(octets + b64encode(gzip.compress(document()))), AggregateReport)


def test_a_report_in_a_mail_that_was_forwarded_is_found() -> None:
    inner = mail("application/gzip", gzip.compress(document()), "a.xml.gz")
    outer = (
        b"From: b@a.example\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
        b"--c\r\nContent-Type: message/rfc822\r\n\r\n" + inner + b"\r\n--c--\r\n"
    )
    assert isinstance(read(outer), AggregateReport)


def test_the_first_reason_is_told_where_no_attachment_is_a_report() -> None:
    with pytest.raises(ReportError, match="no feedback element"):
        read(mail("text/xml", b"<html/>", "a.xml"))
    with pytest.raises(ReportError, match="another archive"):
        read(mail("application/gzip", gzip.compress(gzip.compress(document())), "a.gz"))


@pytest.mark.parametrize(
    "octets", [b"", b"From: a@a.example\r\n\r\nHello", b"\0", mail("image/png", b"\x89PNG", "a.png"), b"\r\n\r\n"]
)
def test_a_mail_without_a_report_says_so(octets: bytes) -> None:
    with pytest.raises(ReportError, match="The message has no report in it"):
        read(octets)


def test_only_some_attachments_are_tried() -> None:
    bad = b"--b\r\nContent-Type: text/xml\r\n\r\n<html/>\r\n"
    good = b"--b\r\nContent-Type: text/xml\r\n\r\n" + document() + b"\r\n"
    head = b"From: r@other.test\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    assert isinstance(read(head + bad * (ATTACHMENTS - 1) + good + b"--b--"), AggregateReport)
    with pytest.raises(ReportError, match="no feedback element"):
        read(head + bad * ATTACHMENTS + good + b"--b--")


@given(st.binary(max_size=300))
def test_any_octets_are_read_or_refused(octets: bytes) -> None:
    begun = [mark + octets for mark in (b"", b"<", b"{", b"\x1f\x8b", b"PK\x03\x04")]
    for source in (*begun, mail("application/gzip", octets, "a.gz")):
        with suppress(ReportError):
            read(source)
