"""SMTP TLS reports of others."""

from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.checks.reports.archive import ReportError
from posthouse.checks.reports.tls import TlsFailure, read_tls
from posthouse.mail.instant import DAY, SECOND

REPORT = {
    "organization-name": "Other",
    "date-range": {"start-datetime": "2024-01-09T00:00:00Z", "end-datetime": "2024-01-09T23:59:59+00:00"},
    "report-id": "1",
    "policies": [{"policy": {"policy-type": "no-policy-found"}, "summary": {}}],
}


def test_the_example_of_the_standard_is_read(vectors: Path) -> None:
    report = read_tls((vectors / "dmarc" / "smtp_tls" / "rfc8460.json").read_bytes())
    assert (report.organization, report.contact) == ("Company-X", "sts-reporting@company-x.example")
    assert report.end - report.begin == DAY - SECOND
    policy = report.policies[0]
    assert (policy.kind, policy.domain, policy.hosts) == ("sts", "company-y.example", ("*.mail.company-y.example",))
    assert (policy.successful, policy.failed) == (5326, 303)
    assert policy.failures[2] == TlsFailure(
        "validation-failure", 3, "198.51.100.62", "mx-backup.mail.company-y.example", "203.0.113.58",
        "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"contact-info": None, "x": {"y": [1, 2]}},
        {"policies": [{"policy": {"policy-type": "sts", "mx-host": "a"}, "summary": {}, "failure-details": None}]},
        {"policies": [{"policy": {"policy-type": "tlsa"}, "summary": {"total-failure-session-count": "3"}}]},
        {"policies": []},
        {"date-range": {"start-datetime": "2024-01-09", "end-datetime": "2024-01-10"}},
    ],
)
def test_odd_forms_are_read(changes: dict[str, object]) -> None:
    assert read_tls(b"\xef\xbb\xbf" + msgspec.json.encode(REPORT | changes)).organization == "Other"


@pytest.mark.parametrize(
    "changes",
    [
        {"policies": "x"},
        {"date-range": {}},
        {"date-range": {"start-datetime": "yesterday", "end-datetime": "today"}},
        {"organization-name": 3},
        {"policies": [{"policy": {}, "summary": {}}]},
    ],
)
def test_what_is_no_report_is_refused_with_a_reason(changes: dict[str, object]) -> None:
    with pytest.raises(ReportError) as error:
        read_tls(msgspec.json.encode(REPORT | changes))
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "octets", [b"", b"{", b"[" * 1_000_000, b'{"a":' * 1_000_000, b'{"organization-name":"\xff"}', b"nul"]
)
def test_no_json_is_refused(octets: bytes) -> None:
    with pytest.raises(ReportError):
        read_tls(octets)


def test_texts_are_one_line_and_short() -> None:
    report = read_tls(msgspec.json.encode(REPORT | {"organization-name": "a\r\nb" + "x" * 5000}))
    assert report.organization.startswith("a  b")
    assert len(report.organization) == 1000


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
def test_any_json_is_read_or_refused(value: object) -> None:
    for place in REPORT:
        with suppress(ReportError):
            read_tls(msgspec.json.encode(REPORT | {place: value}))
