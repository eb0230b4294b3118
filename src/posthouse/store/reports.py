"""Aggregate reports of ours: what is counted day by day, whose turn it is, and what was sent (functions on `tx`).

    count(tx, counter, day, due)                 a message that came in; a statement, where one like it came before
    claim(tx, now, owner, lease) -> Period       a day of one domain that is over, for one process at a time
    gathered(tx, period) -> [Gathered]           its rows, a policy at a time
    finish(tx, period), postpone(tx, period, …)  in the transaction that sends, or for another try

A *day* is a number: UTC days since 1970. What one sender can make us keep is bounded: rows of a domain and day, its
policies, and domains of a day. What is beyond is only counted.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from posthouse.checks.reports import AggregateCounter, PolicyPublished, ReportRow
from posthouse.mail.instant import Instant
from posthouse.store import ids
from posthouse.store.database import Transaction

# Bounds of what is kept: rows of one domain and day, policies it may have in a day, domains of one day.
LINES = 20_000
POLICIES = 20
DOMAINS = 10_000


class Period(NamedTuple):
    """A day of mail in the name of one domain, claimed until `lease_until`. `left_out`: messages beyond the bounds."""

    day: int
    domain: str
    left_out: int
    tries: int
    owner: str
    lease_until: Instant


class Gathered(NamedTuple):
    """What one report tells: a policy as it was published, the URIs that want to hear, and the rows."""

    policy: PolicyPublished
    rua: tuple[str, ...]
    rows: tuple[ReportRow, ...]


class SentReport(NamedTuple):
    """A report that was sent, or could not be. `kind` is "aggregate" or "failure"; `sent_id` is that of the journey.

    `note` is a sentence where it went to nobody.
    """

    sent_id: int
    kind: str
    domain: str
    report_id: str
    begin: Instant
    end: Instant
    messages: int
    rcpt_to: tuple[str, ...]
    note: str

    @property
    def at(self) -> Instant:
        """When it was made, to the millisecond."""
        return ids.instant(self.sent_id)


_COUNT = "UPDATE report_lines SET messages = messages + 1 WHERE day = $1 AND domain = $2 AND digest = $3"
_LINES = "SELECT lines FROM report_periods WHERE day = $1 AND domain = $2"
_DOMAINS = "SELECT COUNT(*) FROM (SELECT 1 FROM report_periods WHERE day = $1 LIMIT $2) some"
_OPEN = (
    "INSERT INTO report_periods (day, domain, due, lines, left_out, tries, lease_until, owner)"
    " VALUES ($1, $2, $3, 0, 0, 0, 0, '')"
)
_ONE_MORE = "UPDATE report_periods SET lines = lines + 1 WHERE day = $1 AND domain = $2"
_LEAVE_OUT = "UPDATE report_periods SET left_out = left_out + 1 WHERE day = $1 AND domain = $2"
_POLICIES = "SELECT number, policy, rua FROM report_policies WHERE day = $1 AND domain = $2 ORDER BY number"
_ADD_POLICY = "INSERT INTO report_policies (day, domain, number, policy, rua) VALUES ($1, $2, $3, $4, $5)"
_ADD_LINE = (
    "INSERT INTO report_lines (day, domain, digest, messages, number, facts) VALUES ($1, $2, $3, 1, $4, $5)"
)
_CLAIM = (
    "UPDATE report_periods SET owner = $2, lease_until = $3, tries = tries + 1 WHERE (day, domain) ="
    " (SELECT day, domain FROM report_periods WHERE due <= $1 AND lease_until <= $1 ORDER BY due LIMIT 1)"
    " RETURNING day, domain, left_out, tries, owner, lease_until"
)
_ROWS = "SELECT facts, messages FROM report_lines WHERE day = $1 AND domain = $2 AND number = $3"
# Only who holds the lease may end a period: somebody else may be sending it by now.
_MINE = "day = $1 AND domain = $2 AND owner = $3 AND lease_until = $4"
_END = f"DELETE FROM report_periods WHERE {_MINE}"  # noqa: S608
_POSTPONE = f"UPDATE report_periods SET due = $5, lease_until = 0, owner = '' WHERE {_MINE}"  # noqa: S608
_SENT_COLUMNS = "sent_id, kind, domain, report_id, period_begin, period_end, messages, rcpt_to, note"
_SENT = f"INSERT INTO reports_sent ({_SENT_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"  # noqa: S608
_RECENT = (
    f"SELECT {_SENT_COLUMNS} FROM reports_sent WHERE sent_id >= $1 AND ($2 = '' OR domain = $2)"  # noqa: S608
    " ORDER BY sent_id DESC LIMIT $3"
)
_HOW_MANY = "SELECT COUNT(*) FROM reports_sent WHERE ($1 = '' OR domain = $1) AND kind = $2 AND sent_id >= $3"
_OF_PERIOD = (
    "SELECT COUNT(*) FROM reports_sent WHERE domain = $1 AND kind = 'aggregate' AND period_begin = $2 AND sent_id >= $3"
)
_OLD_PERIODS = "SELECT day, domain FROM report_periods WHERE day < $1 LIMIT $2"


def count(tx: Transaction, counter: AggregateCounter, day: int, due: Instant) -> None:
    """Counts one message for the report about that day. `due`: when the report may go, should this be the first."""
    domain = counter.policy.domain
    policy, rua, facts = counter.policy.key, msgspec.json.encode(counter.rua).decode(), counter.row.key
    digest = blake2b("\0".join((policy, rua, facts)).encode(), digest_size=16).digest()
    if not tx.execute(_COUNT, day, domain, digest):
        _count_first(tx, day, domain, due, (policy, rua), (digest, facts))


def _count_first(
    tx: Transaction, day: int, domain: str, due: Instant, published: tuple[str, str], line: tuple[bytes, str]
) -> None:
    """A message such as none came before on that day."""
    period = tx.one(_LINES, day, domain)
    if period is None:
        row = tx.one(_DOMAINS, day, DOMAINS)
        if row is not None and row[0] >= DOMAINS:
            return
        tx.execute(_OPEN, day, domain, due)
    known = {(policy, rua): number for number, policy, rua in tx.all(_POLICIES, day, domain)}
    number = known.get(published, len(known))
    if number >= POLICIES or (period is not None and period[0] >= LINES):
        tx.execute(_LEAVE_OUT, day, domain)
        return
    if number == len(known):
        tx.execute(_ADD_POLICY, day, domain, number, *published)
    digest, facts = line
    tx.execute(_ADD_LINE, day, domain, digest, number, facts)
    tx.execute(_ONE_MORE, day, domain)


def claim(tx: Transaction, now: Instant, owner: str, lease: int) -> Period | None:
    """The day and domain whose reports are due longest, for `owner` alone during `lease` (µs); None where none is."""
    rows = tx.all(_CLAIM, now, owner, now + lease)
    return Period(*rows[0]) if rows else None


def gathered(tx: Transaction, period: Period) -> list[Gathered]:
    """What the reports of a period tell, in the order in which its policies were first met."""
    day, domain = period.day, period.domain
    found = []
    for number, policy, rua in tx.all(_POLICIES, day, domain):
        rows = [ReportRow.of(facts, messages) for facts, messages in tx.all(_ROWS, day, domain, number)]
        found.append(Gathered(PolicyPublished.of(policy), tuple(msgspec.json.decode(rua, type=list[str])), tuple(rows)))
    return found


def finish(tx: Transaction, period: Period) -> bool:
    """Forgets what was counted; False where somebody else holds the period by now: then send nothing."""
    if not tx.execute(_END, *_fence(period)):
        return False
    _forget(tx, [(period.day, period.domain)])
    return True


def postpone(tx: Transaction, period: Period, due: Instant) -> None:
    """Gives a claimed period back, for another try at `due`."""
    tx.execute(_POSTPONE, *_fence(period), due)


def remember(tx: Transaction, sent: SentReport) -> None:
    """Keeps a note of what was sent."""
    tx.execute(
        _SENT, sent.sent_id, sent.kind, sent.domain, sent.report_id, sent.begin, sent.end, sent.messages,
        " ".join(sent.rcpt_to), sent.note,
    )  # fmt: skip


def sent_reports(tx: Transaction, since: Instant, domain: str = "", limit: int = 1_000) -> list[SentReport]:
    """What was sent since then, newest first; about one domain, or all."""
    rows = tx.all(_RECENT, ids.at(since), domain, limit)
    return [
        SentReport(sent_id, kind, about, report_id, begin, end, messages, tuple(rcpt_to.split()), note)
        for sent_id, kind, about, report_id, begin, end, messages, rcpt_to, note in rows
    ]


def sent_since(tx: Transaction, domain: str, kind: str, since: Instant) -> int:
    """How many reports of that kind were sent about a domain ("": about all) since then."""
    row = tx.one(_HOW_MANY, domain, kind, ids.at(since))
    return 0 if row is None else int(row[0])


def sent_about(tx: Transaction, domain: str, begin: Instant) -> int:
    """How many aggregate reports were sent about a domain and the period that began at `begin`."""
    row = tx.one(_OF_PERIOD, domain, begin, ids.at(begin))
    return 0 if row is None else int(row[0])


def sweep(tx: Transaction, day: int, before: Instant, limit: int = 1_000) -> int:
    """Forgets periods from before `day`, which could not be sent, and notes of what was sent before `before`; a part
    of them at a time. Gives how many rows of either went."""
    old: Sequence[tuple[int, str]] = [(row[0], row[1]) for row in tx.all(_OLD_PERIODS, day, limit)]
    tx.many("DELETE FROM report_periods WHERE day = $1 AND domain = $2", old)
    _forget(tx, old)
    return len(old) + tx.execute("DELETE FROM reports_sent WHERE sent_id < $1", ids.at(before))


def _forget(tx: Transaction, periods: Sequence[tuple[int, str]]) -> None:
    for table in ("report_lines", "report_policies"):
        tx.many(f"DELETE FROM {table} WHERE day = $1 AND domain = $2", periods)  # noqa: S608 -- names from above


def _fence(period: Period) -> tuple[int, str, str, Instant]:
    return period.day, period.domain, period.owner, period.lease_until
