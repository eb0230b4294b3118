"""Reading SMTP TLS reports: how often mail to a domain could be encrypted as it wishes, and why not (RFC 8460 §4).

    read_tls(octets)       a TlsReport, or ReportError with a sentence
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from posthouse.checks.reports.archive import REPORT_OCTETS, ReportError
from posthouse.mail.instant import SECOND, Instant
from posthouse.mail.words import one_line

_TEXT_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class TlsFailure:
    """Sessions that failed in one way; `kind` is a result type of RFC 8460 §4.3."""

    kind: str
    sessions: int
    sending_ip: str
    receiving_host: str
    receiving_ip: str
    reason: str


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """One policy that was applied: `kind` is "sts", "tlsa" or "no-policy-found", `lines` are its text."""

    kind: str
    domain: str
    lines: tuple[str, ...]
    hosts: tuple[str, ...]
    successful: int
    failed: int
    failures: tuple[TlsFailure, ...]


@dataclass(frozen=True, slots=True)
class TlsReport:
    """One report, by `organization`, about one period."""

    organization: str
    contact: str
    report_id: str
    begin: Instant
    end: Instant
    policies: tuple[TlsPolicy, ...]


# The JSON as RFC 8460 §4.4 has it. What need not be there has a default; members that nobody knows are passed over.
class _Range(msgspec.Struct, rename="kebab"):
    start_datetime: str
    end_datetime: str


class _Policy(msgspec.Struct, rename="kebab"):
    policy_type: str
    policy_domain: str = ""
    policy_string: list[str] | str = ""
    mx_host: list[str] | str = ""


class _Summary(msgspec.Struct, rename="kebab"):
    total_successful_session_count: int = 0
    total_failure_session_count: int = 0


class _Failure(msgspec.Struct, rename="kebab"):
    result_type: str
    failed_session_count: int = 0
    sending_mta_ip: str | None = None
    receiving_mx_hostname: str | None = None
    receiving_ip: str | None = None
    failure_reason_code: str | None = None
    additional_information: str | None = None


class _Applied(msgspec.Struct, rename="kebab"):
    policy: _Policy
    summary: _Summary
    failure_details: list[_Failure] | None = None


class _Report(msgspec.Struct, rename="kebab"):
    organization_name: str
    date_range: _Range
    report_id: str
    policies: list[_Applied]
    contact_info: str | None = None


def read_tls(octets: bytes) -> TlsReport:
    """The report in a JSON document. Raises ReportError."""
    if len(octets) > REPORT_OCTETS:
        raise ReportError(f"The report is larger than {REPORT_OCTETS:,} octets")
    try:
        report = msgspec.json.decode(octets.removeprefix(b"\xef\xbb\xbf"), type=_Report, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        words = one_line(str(error))[:200].encode("ascii", "replace").decode()
        raise ReportError(f"The JSON is no TLS report: {words}") from None
    return TlsReport(
        organization=_text(report.organization_name),
        contact=_text(report.contact_info),
        report_id=_text(report.report_id),
        begin=_instant(report.date_range.start_datetime),
        end=_instant(report.date_range.end_datetime),
        policies=tuple(map(_applied, report.policies)),
    )


def _applied(applied: _Applied) -> TlsPolicy:
    policy, summary = applied.policy, applied.summary
    return TlsPolicy(
        kind=_text(policy.policy_type),
        domain=_text(policy.policy_domain).lower(),
        lines=_texts(policy.policy_string),
        hosts=_texts(policy.mx_host),
        successful=max(summary.total_successful_session_count, 0),
        failed=max(summary.total_failure_session_count, 0),
        failures=tuple(map(_failure, applied.failure_details or ())),
    )


def _failure(failure: _Failure) -> TlsFailure:
    return TlsFailure(
        kind=_text(failure.result_type),
        sessions=max(failure.failed_session_count, 0),
        sending_ip=_text(failure.sending_mta_ip),
        receiving_host=_text(failure.receiving_mx_hostname),
        receiving_ip=_text(failure.receiving_ip),
        reason=_text(failure.failure_reason_code) or _text(failure.additional_information),
    )


def _instant(text: str) -> Instant:
    try:
        at = datetime.fromisoformat(text)
        return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()) * SECOND
    except (ValueError, OverflowError):
        raise ReportError("The report does not say which time it is about") from None


def _texts(value: list[str] | str) -> tuple[str, ...]:
    return tuple(map(_text, [value] if isinstance(value, str) else value)) if value else ()


def _text(value: str | None) -> str:
    return one_line(value[:_TEXT_CHARACTERS]).strip() if value else ""
