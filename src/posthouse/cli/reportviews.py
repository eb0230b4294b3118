"""How reports look: tables for people within 80 columns, bars for days, and the same as JSON."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence, Sized
from textwrap import fill
from typing import TYPE_CHECKING, Any

from posthouse.cli.terminal import clean, table
from posthouse.mail.instant import DAY, Instant, rfc3339
from posthouse.route.overview import Source, trend
from posthouse.store.feedback import Line, ReceivedReport, Span
from posthouse.store.ids import to_text
from posthouse.store.reports import SentReport

if TYPE_CHECKING:
    from posthouse.cli.reports import Findings

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 80
# Rows of one table; the rest is told in one line. --json has all of them.
SOURCES = 20
FAILURES = 15
LATEST = 5
# As many bars stand beside a table, and as many below each other.
_SHORT_TREND = 14
_LONG_TREND = 40
_NAME_CHARACTERS = 40
_WORDS = {"none": "taken", "pass": "taken", "quarantine": "junk", "reject": "refused"}


def bars(values: Sequence[int]) -> str:
    """One character for each value: as high as it is beside the largest, a blank for nothing."""
    most = max(values, default=0)
    return "".join(BARS[(value * (len(BARS) - 1) + most - 1) // most] if value else " " for value in values)


def tell(found: "Findings", span: Span) -> None:
    """The summary for people."""
    domains = sorted({day.domain for day in found.days})
    if not found.reports:
        print(f"Nobody has reported about {found.domain or 'any domain of yours'} since {_date(span.since)}.")
    elif found.domain or len(domains) == 1:
        _tell_one(found, found.domain or domains[0])
    else:
        _tell_all(found, domains)
    if found.reports:
        _tell_sources(found)
        _tell_failing(found)
    _tell_failures(found)
    _tell_tls(found)
    if found.unproven:
        what, it = ("1 more report", "it") if found.unproven == 1 else (f"{found.unproven:,} more reports", "them")
        print(f"\n{what} may be forged: nothing proves who sent {it}. --all counts {it}.")


def _tell_one(found: "Findings", domain: str) -> None:
    counts = trend(found.days, found.first, found.last)
    messages = sum(count for count, _ in counts)
    passed = sum(passed for _, passed in counts)
    print(f"{domain} since {_date(found.first * DAY)}: {messages:,} messages, {_share(passed, messages)} passed DMARC.")
    reporters = Counter(report.organization for report in found.reports)
    told = [f"{clean(name)[:_NAME_CHARACTERS]} ({count:,})" for name, count in reporters.most_common(LATEST)]
    more = [f"{len(reporters) - LATEST:,} more"] if len(reporters) > LATEST else []
    print(fill(f"Reported by {', '.join([*told, *more])}.", WIDTH))
    shown = counts[-_LONG_TREND:]
    failing = [count - passed for count, passed in shown]
    print(f"\n  {bars([count for count, _ in shown])}  messages a day, at most {max(c for c, _ in shown):,}")
    if any(failing):
        print(f"  {bars(failing)}  did not pass, at most {max(failing):,}")
    left_out = sum(report.left_out for report in found.reports)
    if left_out:
        print(f"\nOf {left_out:,} messages the sources are not known: their reports were too long.")
    print()


def _tell_all(found: "Findings", domains: Sequence[str]) -> None:
    rows = []
    for domain in domains:
        counts = trend((day for day in found.days if day.domain == domain), found.first, found.last)
        messages = sum(count for count, _ in counts)
        passed = sum(passed for _, passed in counts)
        rows.append((domain, f"{messages:,}", _share(passed, messages), bars([c for c, _ in counts[-_SHORT_TREND:]]),
                     bars([c - p for c, p in counts[-_SHORT_TREND:]])))
    table(("domain", ">messages", ">passed", f"{_SHORT_TREND} days", "not passed"), rows, "")
    print()


def _tell_sources(found: "Findings") -> None:
    rows = [
        (source.name, len(source.addresses), f"{source.messages:,}",
         _share(source.passed, source.messages), _share(source.aligned_dkim, source.messages),
         _share(source.aligned_spf, source.messages))
        for source in found.sources[:SOURCES]
    ]
    table(("source", ">addresses", ">messages", ">passed", ">dkim", ">spf"), rows, "")
    _tell_rest(found.sources, SOURCES, "sources")


def _tell_failing(found: "Findings") -> None:
    """What does not pass: who sent it, in whose name, who vouched for it by himself, what became of it."""
    failing: Counter[tuple[str, str, str, str]] = Counter()
    for source in found.sources:
        for line in source.failures:
            fate = _WORDS.get(line.disposition, line.disposition)
            failing[source.name, line.header_from, _vouched(line), fate] += line.messages
    if not failing:
        print("\nEverything passed.")
        return
    print("\nWhat did not pass:\n")
    rows = [
        (name, f"{messages:,}", header_from, vouched, fate)
        for (name, header_from, vouched, fate), messages in failing.most_common(FAILURES)
    ]
    table(("source", ">messages", "in the name of", "vouched for by", "was"), rows, "")
    _tell_rest(failing, FAILURES, "lines")


def _tell_failures(found: "Findings") -> None:
    if not found.failures:
        return
    print(f"\nSingle messages that failed, the latest of {len(found.failures):,}:\n")
    rows = []
    for report in found.failures[:LATEST]:
        facts = json.loads(report.facts)
        rows.append((_date(report.begin), facts["source_ip"], clean(facts["header_from"]), clean(facts["subject"]),
                     report.reporter))
    table(("day", "address", "from", "subject", "reported by"), rows, "")


def _tell_tls(found: "Findings") -> None:
    if not found.tls:
        return
    sessions = sum(report.messages for report in found.tls)
    encrypted = sum(report.passed for report in found.tls)
    print(f"\nConnections to your servers with TLS as you ask for it: {_share(encrypted, sessions)} of {sessions:,}.")
    kinds: Counter[str] = Counter()
    for report in found.tls:
        for policy in json.loads(report.facts)["policies"]:
            for failure in policy["failures"]:
                kinds[failure["kind"]] += failure["sessions"]
    if kinds:
        print()
        rows = [(kind, f"{sessions:,}") for kind, sessions in kinds.most_common(LATEST)]
        table(("went wrong", ">connections"), rows, "")


def _tell_rest(rows: Sized, shown: int, what: str) -> None:
    if len(rows) > shown:
        print(f"... and {len(rows) - shown:,} more {what} (--json has all)")


def tell_sent(found: Sequence[SentReport]) -> None:
    """What was sent, for people."""
    rows = [
        (_date(sent.begin), sent.kind, sent.domain, f"{sent.messages:,}", ", ".join(sent.rcpt_to) or sent.note)
        for sent in found
    ]
    table(("day", "report", "about", ">messages", "to"), rows, "No report was sent in that time.")


def facts(found: "Findings", span: Span, at: Instant) -> dict[str, Any]:
    """The summary as JSON."""
    counts = trend(found.days, found.first, found.last)
    return {
        "domain": found.domain,
        "since": rfc3339(span.since),
        "until": rfc3339(at),
        "messages": sum(count for count, _ in counts),
        "passed": sum(passed for _, passed in counts),
        "days": [
            {"day": _date((found.first + number) * DAY), "messages": count, "passed": passed}
            for number, (count, passed) in enumerate(counts)
        ],
        "domains": list(_domain_facts(found)),
        "sources": [_source_facts(source) for source in found.sources],
        "reports": [_report_facts(report) for report in found.reports],
        "failures": [_report_facts(report) for report in found.failures],
        "tls": [_report_facts(report) for report in found.tls],
        "unproven": found.unproven,
    }


def sent_facts(sent: SentReport) -> dict[str, Any]:
    """One report that was sent, as JSON; `id` is that of its journey."""
    return {
        "id": to_text(sent.sent_id), "at": rfc3339(sent.at), "kind": sent.kind, "domain": sent.domain,
        "report_id": sent.report_id, "begin": rfc3339(sent.begin), "end": rfc3339(sent.end),
        "messages": sent.messages, "to": list(sent.rcpt_to), "note": sent.note,
    }  # fmt: skip


def _domain_facts(found: "Findings") -> Iterator[dict[str, Any]]:
    for domain in sorted({day.domain for day in found.days}):
        days = [day for day in found.days if day.domain == domain]
        yield {
            "domain": domain,
            "messages": sum(day.messages for day in days),
            "passed": sum(day.passed for day in days),
        }


def _source_facts(source: Source) -> dict[str, Any]:
    return {
        "name": source.name,
        "named": source.named,
        "addresses": [{"ip": ip, "name": name} for ip, name in source.addresses],
        "messages": source.messages,
        "passed": source.passed,
        "aligned_dkim": source.aligned_dkim,
        "aligned_spf": source.aligned_spf,
        "failed": dict(source.fates),
        "lines": [line._asdict() for line in source.lines],
    }


def _report_facts(report: ReceivedReport) -> dict[str, Any]:
    return {
        "id": to_text(report.journey_id), "domain": report.domain, "reporter": report.reporter,
        "organization": report.organization, "report_id": report.report_id, "begin": rfc3339(report.begin),
        "end": rfc3339(report.end), "received": rfc3339(report.received), "proven": report.proven,
        "messages": report.messages, "passed": report.passed, "left_out": report.left_out,
        **json.loads(report.facts),
    }  # fmt: skip


def _vouched(line: Line) -> str:
    """Whose signature or SPF passed, though not for this author: `lists.example (dkim, spf)`."""
    methods: dict[str, list[str]] = {}
    for method, told in (("dkim", line.dkim), ("spf", line.spf)):
        for each in told.split(", "):
            domain, _, result = each.rpartition(" ")
            if result == "pass" and method not in methods.setdefault(domain, []):
                methods[domain].append(method)
    return ", ".join(f"{domain} ({', '.join(names)})" for domain, names in methods.items()) or "nobody"


def _share(part: int, whole: int) -> str:
    """A share in per cent that says 100 and 0 only where it is that."""
    if not whole:
        return "-"
    share = min(max(part / whole * 100, 0.1 if part else 0), 100 if part == whole else 99.9)
    return f"{share:.0f} %" if share in (0, 100) else f"{share:.1f} %"


def _date(at: Instant) -> str:
    return rfc3339(at)[:10]
