"""A mail that carries a report is told by its header; whatever the header is, that takes no time."""

import pytest

from posthouse.checks.reports.recognition import is_report
from posthouse.mail.headers import scan_header


def told(fields: bytes) -> bool:
    return is_report(scan_header(fields + b"\r\n\r\n"))


@pytest.mark.parametrize(
    "fields",
    [
        b"Subject: Report Domain: a.test Submitter: b.test Report-ID: <1@b.test>",
        b"Subject: [Reports] Report domain:\r\n a.test\r\n submitter: b.test",
        b"Content-Type: multipart/report; report-type=feedback-report; boundary=x",
        b'Content-Type: multipart/report; boundary="x";\r\n\treport-type="TLSRPT"',
        b"Content-Type: application/gzip; name=x.gz",
        b"Content-Type: application/zip",
        b"Content-Type: application/tlsrpt+gzip",
        b"TLS-Report-Domain: a.test",
    ],
)
def test_reports_are_recognised(fields: bytes) -> None:
    assert told(b"From: a@b.test\r\n" + fields)


@pytest.mark.parametrize(
    "fields",
    [
        b"Subject: Report about our domain",
        b"Subject: Re: Report Domain: what is that?",
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=x",
        b"Content-Type: multipart/mixed; boundary=feedback-report",
        b"Content-Type: application/zipper",
        b"X-Subject: Report Domain: a.test Submitter: b.test",
    ],
)
def test_other_mail_is_not(fields: bytes) -> None:
    assert not told(b"From: a@b.test\r\n" + fields)


@pytest.mark.parametrize(
    "fields",
    [
        b"Subject: " + b"Report Domain:" * 70_000,
        b"Subject: " + b"Report " * 100_000,
        b"Content-Type: multipart/report;" + b" report-type" * 70_000,
        b"Content-Type:" + b" " * 1_000_000 + b"x",
    ],
)
def test_long_fields_take_no_longer_than_short_ones(fields: bytes) -> None:
    header = scan_header(fields + b"\r\n\r\n")
    for _ in range(100):
        assert not is_report(header)
