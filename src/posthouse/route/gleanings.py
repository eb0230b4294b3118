"""What is kept of a report that came in: of each domain it tells about the sums, the lines, and a few words besides.

    for told in glean(report, arrival): …         told.report, told.lines

A reporter may write what he likes: texts are cut, and of many signatures of one line those are kept that say most.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from posthouse.checks.reports import AggregateReport, FailureReport, Report, ReportRow, TlsReport
from posthouse.checks.reports.tls import TlsPolicy
from posthouse.mail.instant import DAY, Instant
from posthouse.store.feedback import Arrival, Fate, Kind, Line, ReceivedReport
from posthouse.store.ids import instant, to_text

_SIGNATURES = 5
_REASONS = 5
_NAME_CHARACTERS = 255
_TEXT_CHARACTERS = 300
_LISTED = 50
# Nobody sees more of one kind; and a sum over many such numbers stays one of 63 bits.
_LARGEST = 10**9


class Told(NamedTuple):
    """What a report tells about one domain. It has no `report_key` yet."""

    report: ReceivedReport
    lines: tuple[Line, ...] = ()


def glean(report: Report, arrival: Arrival) -> Iterator[Told]:
    """Never raises; nothing where a report is about no domain."""
    if isinstance(report, AggregateReport):
        yield _aggregate(report, arrival)
    elif isinstance(report, FailureReport):
        yield _failure(report, arrival)
    else:
        yield from _tls(report, arrival)


def outcome(report: ReceivedReport, fate: Fate) -> str:
    """What the journey tells, as a clause."""
    what = f"{report.kind.value} report by {report.organization} about {report.domain}"
    if fate is Fate.KEPT:
        unproven = "" if report.proven else ", not counted since nothing proves its sender"
        return f"{what}, {report.messages:,} messages{unproven}"
    if fate is Fate.KNOWN:
        return f"{what}, which came before"
    return f"{what}, not kept since there were too many in a day"


def _aggregate(report: AggregateReport, arrival: Arrival) -> Told:
    lines = tuple(map(_line, report.rows))
    messages = sum(line.messages for line in lines)
    passed = sum(line.messages for line in lines if line.aligned_dkim or line.aligned_spf)
    facts = {
        "policy": msgspec.to_builtins(report.policy),
        "email": _text(report.email),
        "errors": [_text(text) for text in report.errors[:_LISTED]],
        "flaws": [_text(text) for text in report.flaws[:_LISTED]],
        "generator": _text(report.generator),
    }
    organization = report.org_name or arrival.reporter
    return Told(
        _report(
            arrival, Kind.AGGREGATE, report.policy.domain, (report.begin, report.end), (messages, passed),
            organization, report.report_id, facts,
        ),
        lines,
    )  # fmt: skip


def _line(row: ReportRow) -> Line:
    # What passes says who vouched, and stands first; of what does not pass, whoever would have had to.
    signatures = sorted(row.dkim_results, key=lambda each: each.result != "pass")[:_SIGNATURES]
    return Line(
        min(row.count, _LARGEST),
        row.dkim == "pass",
        row.spf == "pass",
        row.disposition,
        row.source_ip,
        _name(row.header_from),
        ", ".join(f"{_name(each.domain)} {each.result or 'unknown'}" for each in signatures),
        ", ".join(f"{_name(each.domain)} {each.result or 'unknown'}" for each in row.spf_results[:1]),
        ", ".join(" ".join([each.kind, _text(each.comment)]).strip() for each in row.reasons[:_REASONS]),
    )


def _failure(report: FailureReport, arrival: Arrival) -> Told:
    at = report.arrival if report.arrival is not None and report.arrival >= 0 else instant(arrival.journey_id)
    facts = {
        "auth_failure": _name(report.auth_failure),
        "source_ip": report.source_ip,
        "failed": list(report.failed),
        "delivery_result": _name(report.delivery_result),
        "mail_from": _text(report.mail_from),
        "header_from": _text(report.header_from),
        "subject": _text(report.subject),
        "message_id": _text(report.message_id),
        "dkim": f"{_name(report.dkim_selector)}._domainkey.{_name(report.dkim_domain)}" if report.dkim_domain else "",
    }
    # Such a report has no id of its own: that of the mail stands for it.
    messages = (min(report.incidents, _LARGEST), 0)
    return Told(_report(arrival, Kind.FAILURE, report.reported_domain, (at, at), messages, arrival.reporter, "", facts))


def _tls(report: TlsReport, arrival: Arrival) -> Iterator[Told]:
    by_domain: dict[str, list[TlsPolicy]] = {}
    for policy in report.policies:
        by_domain.setdefault(policy.domain.removesuffix("."), []).append(policy)
    for domain, policies in by_domain.items():
        successful = sum(min(policy.successful, _LARGEST) for policy in policies)
        failed = sum(min(policy.failed, _LARGEST) for policy in policies)
        facts = {"contact": _text(report.contact), "policies": [_policy(policy) for policy in policies[:_LISTED]]}
        yield Told(
            _report(
                arrival, Kind.TLS, domain, (report.begin, report.end), (successful + failed, successful),
                report.organization or arrival.reporter, report.report_id, facts,
            )
        )  # fmt: skip


def _policy(policy: TlsPolicy) -> dict[str, Any]:
    return {
        "kind": _name(policy.kind),
        "hosts": [_name(host) for host in policy.hosts[:_SIGNATURES]],
        "successful": min(policy.successful, _LARGEST),
        "failed": min(policy.failed, _LARGEST),
        "failures": [
            {
                "kind": _name(failure.kind), "sessions": min(failure.sessions, _LARGEST),
                "sending_ip": _name(failure.sending_ip), "receiving_host": _name(failure.receiving_host),
                "reason": _text(failure.reason),
            }
            for failure in policy.failures[:_LISTED]
        ],
    }  # fmt: skip


def _report(
    arrival: Arrival,
    kind: Kind,
    domain: str,
    period: tuple[Instant, Instant],
    messages: tuple[int, int],
    organization: str,
    report_id: str,
    facts: dict[str, Any],
) -> ReceivedReport:
    begin, end = period
    # A period that is said to end in a far year would never be forgotten, and head every list.
    end = min(end, instant(arrival.journey_id) + DAY)
    return ReceivedReport(
        0, arrival.journey_id, kind, _name(domain), min(begin, end), end, arrival.proven, *messages, 0,
        arrival.reporter, _name(organization), _name(report_id) or to_text(arrival.journey_id),
        msgspec.json.encode(facts).decode(),
    )  # fmt: skip


def _name(text: str) -> str:
    return _whole(text[:_NAME_CHARACTERS])


def _text(text: str) -> str:
    return _whole(text[:_TEXT_CHARACTERS])


def _whole(text: str) -> str:
    """Without half surrogate pairs, which no database takes."""
    return text.encode("utf-8", "replace").decode()
