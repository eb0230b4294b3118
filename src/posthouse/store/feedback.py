"""Reports that others send about us: mails that wait to be read, and what they told (functions on `tx`).

    arrive(tx, arrival, …)          with the acceptance of a mail that may be a report
    claim(tx, now, lease)           one that waits, for one process at a time
    keep(tx, report, lines)         what was in it, unless it was told before or too much was told already
    sources(tx, …), days(tx, …)     summed up

What a stranger can make us keep is bounded: octets of one report, and of all that were taken in a day, from one
reporter and from all. A report that somebody sends twice is kept once. Whoever only claims to be a reporter takes
nothing from one who is proved to be it: neither room nor a name that a report goes by.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from posthouse.mail.instant import DAY, Instant
from posthouse.store import ids
from posthouse.store.database import Transaction

# Octets of lines and facts that are kept of one report, of all reports of one reporter in a day, and of all in a day.
REPORT_OCTETS = 2_000_000
REPORTER_OCTETS = 8_000_000
DAY_OCTETS = 40_000_000
# What a report costs beside its lines.
_REPORT_COST = 500
_LINE_COST = 80


class Arrival(NamedTuple):
    """A mail that may be a report. `reporter` is its author's domain, `proven` whether DMARC says so; `addressed` the
    address of ours that a record names for reports, or "" where it came to another."""

    journey_id: int
    blob_id: int
    proven: bool
    tries: int
    reporter: str
    addressed: str


class Kind(StrEnum):
    """What a report is about. The value is stored."""

    AGGREGATE = "aggregate"
    FAILURE = "failure"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class ReceivedReport:
    """One report about one domain. `passed` of `messages` passed DMARC, or were sent with TLS as asked for.

    `facts` is JSON: flaws and errors, the failure, or what went wrong with TLS. `left_out`: messages without a line.
    """

    report_key: int
    journey_id: int
    kind: Kind
    domain: str
    begin: Instant
    end: Instant
    proven: bool
    messages: int
    passed: int
    left_out: int
    reporter: str
    organization: str
    report_id: str
    facts: str

    @property
    def received(self) -> Instant:
        return ids.instant(self.report_key)


class Line(NamedTuple):
    """`messages` of one source with one fate. `dkim` and `spf` tell who vouched ("mailer.example pass"), `reasons` why
    the policy was not applied."""

    messages: int
    aligned_dkim: bool
    aligned_spf: bool
    disposition: str
    source_ip: str
    header_from: str
    dkim: str
    spf: str
    reasons: str

    @property
    def octets(self) -> int:
        return _LINE_COST + sum(len(text) for text in self if isinstance(text, str))


class Fate(StrEnum):
    """What became of a report that was read."""

    KEPT = "kept"
    KNOWN = "known"
    TOO_MUCH = "too much"


class Span(NamedTuple):
    """What is asked about: reports about times from `since` on, about a domain and those below it ("" for all);
    `proven` leaves out those whose sender is not known."""

    since: Instant
    domain: str = ""
    proven: bool = True


class Day(NamedTuple):
    """A UTC day of mail in the name of one domain."""

    domain: str
    day: int
    messages: int
    passed: int


_ARRIVE = (
    "INSERT INTO report_arrivals (journey_id, blob_id, proven, tries, due, reporter, addressed)"
    " SELECT $1, blob_id, $4, 0, $5, $6, $7 FROM blobs WHERE dated = $2 AND digest = $3"
)
_CLAIM = (
    "UPDATE report_arrivals SET due = $2, tries = tries + 1 WHERE journey_id ="
    " (SELECT journey_id FROM report_arrivals WHERE due <= $1 ORDER BY journey_id LIMIT 1)"
    " RETURNING journey_id, blob_id, proven, tries, reporter, addressed"
)
_COLUMNS = (
    "report_key, journey_id, kind, domain, period_begin, period_end, proven, messages, passed, left_out, reporter,"
    " organization, report_id, facts"
)
_KNOWN = (
    "SELECT report_key, proven FROM received_reports"
    " WHERE reporter = $1 AND report_id = $2 AND domain = $3 AND kind = $4"
)
_TAKEN = (
    "SELECT COALESCE(SUM(octets), 0), COALESCE(SUM(CASE WHEN reporter = $2 THEN octets ELSE 0 END), 0)"
    " FROM received_reports WHERE report_key >= $1 AND proven >= $3"
)
_KEEP = (
    f"INSERT INTO received_reports ({_COLUMNS}, octets)"  # noqa: S608
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
)
_LINE_COLUMNS = "messages, aligned_dkim, aligned_spf, disposition, source_ip, header_from, dkim, spf, reasons"
_KEEP_LINE = (
    f"INSERT INTO received_lines (report_key, line, {_LINE_COLUMNS})"  # noqa: S608
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
)
_WITHIN = "period_begin >= $1 AND proven >= $2 AND ($3 = '' OR domain = $3 OR domain LIKE '%.' || $3)"
_REPORTS = f"SELECT {_COLUMNS} FROM received_reports WHERE {_WITHIN} AND kind = $4 ORDER BY report_key DESC LIMIT $5"  # noqa: S608
_DAYS = (
    "SELECT domain, period_begin / $4 AS day, SUM(messages), SUM(passed) FROM received_reports"  # noqa: S608
    f" WHERE {_WITHIN} AND kind = 'aggregate' GROUP BY domain, day ORDER BY domain, day"
)
_SOURCES = (
    "SELECT SUM(l.messages), l.aligned_dkim, l.aligned_spf, l.disposition, l.source_ip, l.header_from, l.dkim, l.spf,"  # noqa: S608
    " l.reasons FROM received_lines l JOIN received_reports r ON r.report_key = l.report_key"
    f" WHERE {_WITHIN} AND kind = 'aggregate' GROUP BY 2, 3, 4, 5, 6, 7, 8, 9 ORDER BY 1 DESC LIMIT $4"
)
_UNPROVEN = f"SELECT COUNT(*) FROM received_reports WHERE {_WITHIN} AND proven = 0"  # noqa: S608
_OLD = "SELECT report_key FROM received_reports WHERE report_key < $1 ORDER BY report_key LIMIT $2"


def arrive(tx: Transaction, arrival: Arrival, dated: Instant | None, digest: bytes, now: Instant) -> None:
    """Lets a mail wait to be read, whose body the same transaction has put; `blob_id` is looked up by its digest."""
    tx.execute(
        _ARRIVE, arrival.journey_id, dated or 0, digest, int(arrival.proven), now, arrival.reporter, arrival.addressed
    )


def waits(tx: Transaction, now: Instant) -> bool:
    """Whether `claim` would have something."""
    return tx.one("SELECT 1 FROM report_arrivals WHERE due <= $1 LIMIT 1", now) is not None


def claim(tx: Transaction, now: Instant, lease: int) -> Arrival | None:
    """The mail that waits longest, for the caller alone during `lease` (µs); None where none waits."""
    rows = tx.all(_CLAIM, now, now + lease)
    if not rows:
        return None
    journey_id, blob_id, proven, tries, reporter, addressed = rows[0]
    return Arrival(journey_id, blob_id, bool(proven), tries, reporter, addressed)


def dismiss(tx: Transaction, arrival: Arrival) -> bool:
    """It was read, or never will be. False where somebody else has seen to it."""
    return tx.execute("DELETE FROM report_arrivals WHERE journey_id = $1", arrival.journey_id) == 1


def keep(tx: Transaction, report: ReceivedReport, lines: Sequence[Line] = ()) -> Fate:
    """Stores a report, once; of its lines those with most messages, as many as REPORT_OCTETS hold."""
    known = tx.one(_KNOWN, report.reporter, report.report_id, report.domain, report.kind.value)
    if known is not None and (known[1] or not report.proven):
        return Fate.KNOWN
    kept, octets = _fitting(lines, len(report.facts) + _REPORT_COST)
    row = tx.one(_TAKEN, ids.at(report.received - DAY), report.reporter, int(report.proven))
    taken, by_reporter = (row[0], row[1]) if row is not None else (0, 0)
    if taken + octets > DAY_OCTETS or by_reporter + octets > REPORTER_OCTETS:
        return Fate.TOO_MUCH
    if known is not None:
        _forget(tx, [(known[0],)])
    left_out = sum(line.messages for line in lines) - sum(line.messages for line in kept)
    tx.execute(
        _KEEP, report.report_key, report.journey_id, report.kind.value, report.domain, report.begin, report.end,
        int(report.proven), report.messages, report.passed, left_out, report.reporter, report.organization,
        report.report_id, report.facts, octets,
    )  # fmt: skip
    tx.many(
        _KEEP_LINE,
        [
            (report.report_key, number, line.messages, int(line.aligned_dkim), int(line.aligned_spf), *line[3:])
            for number, line in enumerate(kept)
        ],
    )
    return Fate.KEPT


def _fitting(lines: Sequence[Line], octets: int) -> tuple[list[Line], int]:
    kept = []
    for line in sorted(lines, key=lambda line: -line.messages):
        octets += line.octets
        if octets > REPORT_OCTETS:
            octets -= line.octets
            break
        kept.append(line)
    return kept, octets


def reports(tx: Transaction, span: Span, kind: Kind, limit: int = 10_000) -> list[ReceivedReport]:
    """Reports of one kind, newest first."""
    return [
        ReceivedReport(key, journey_id, kind, domain, begin, end, bool(proven), *rest)
        for key, journey_id, _, domain, begin, end, proven, *rest in tx.all(
            _REPORTS, *_bounds(span), kind.value, limit
        )
    ]


def unproven(tx: Transaction, span: Span) -> int:
    """How many reports of that span are left out because nothing proves their sender."""
    row = tx.one(_UNPROVEN, span.since, 0, span.domain)
    return 0 if row is None else int(row[0])


def days(tx: Transaction, span: Span) -> list[Day]:
    """How much came and passed, day by day, by domain."""
    return [Day(*row) for row in tx.all(_DAYS, *_bounds(span), DAY)]


def sources(tx: Transaction, span: Span, limit: int = 100_000) -> list[Line]:
    """What all aggregate reports tell of each source, added up; most messages first."""
    return [Line(row[0], bool(row[1]), bool(row[2]), *row[3:]) for row in tx.all(_SOURCES, *_bounds(span), limit)]


def names(tx: Transaction, ips: Iterable[str], since: Instant) -> dict[str, str]:
    """Names of addresses that somebody has asked for since then; "" where an address has none."""
    rows = tx.all("SELECT ip, name FROM source_names WHERE ip = ANY($1) AND asked >= $2", list(ips), since)
    return dict(tuple(row) for row in rows)


def remember_names(tx: Transaction, found: Iterable[tuple[str, str]], now: Instant) -> None:
    """Keeps names of addresses; "" for none."""
    tx.many(
        "INSERT INTO source_names (ip, asked, name) VALUES ($1, $2, $3)"
        " ON CONFLICT (ip) DO UPDATE SET asked = excluded.asked, name = excluded.name",
        [(ip, now, name) for ip, name in found],
    )


def sweep(tx: Transaction, before: Instant, names_before: Instant, limit: int = 200) -> int:
    """Forgets what was received before `before`, a part at a time, and names asked for before `names_before`; gives
    how many reports went."""
    old = [(row[0],) for row in tx.all(_OLD, ids.at(before), limit)]
    _forget(tx, old)
    tx.execute("DELETE FROM source_names WHERE asked < $1", names_before)
    return len(old)


def _forget(tx: Transaction, report_keys: Sequence[tuple[int]]) -> None:
    tx.many("DELETE FROM received_lines WHERE report_key = $1", report_keys)
    tx.many("DELETE FROM received_reports WHERE report_key = $1", report_keys)


def _bounds(span: Span) -> tuple[Instant, int, str]:
    return span.since, int(span.proven), span.domain
