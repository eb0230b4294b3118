"""Finding messages in a mailbox by what was filed about them (functions on `tx`).

A condition is a small tree which becomes one SQL query. What needs the octets themselves (BODY, TEXT, any other header
field) is not known here: the caller searches the rest, reads those candidates, and combines the sets of UIDs.
"""

from dataclasses import dataclass

from posthouse.mail.instant import Instant
from posthouse.store.database import Transaction, Value
from posthouse.store.ledger import Uids, spread

DEPTH_LIMIT = 20
"""How often `All` and `Either` may alternate inside each other; like in like counts once, `Not` does not count."""
TERM_LIMIT = 500
"""Most nodes of a tree; a set of UIDs counts one for each range."""


@dataclass(frozen=True, slots=True)
class Every:
    """Any message."""


@dataclass(frozen=True, slots=True)
class InUids:
    """UID within the ranges."""

    uids: Uids


@dataclass(frozen=True, slots=True)
class HasFlags:
    """All bits of the mask are set."""

    mask: int


@dataclass(frozen=True, slots=True)
class LacksFlags:
    """No bit of the mask is set."""

    mask: int


@dataclass(frozen=True, slots=True)
class Size:
    """More than `above` and less than `below` octets; None: no bound."""

    above: int | None = None
    below: int | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """INTERNALDATE at or after `since`, and before `before`; None: no bound."""

    since: Instant | None = None
    before: Instant | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The Date field, likewise; a message without one never matches."""

    since: Instant | None = None
    before: Instant | None = None


@dataclass(frozen=True, slots=True)
class Contains:
    """`needle`, whatever its case, occurs in `column`: subject, header_from, header_to, header_cc, header_bcc,
    message_id, in_reply_to, references."""

    column: str
    needle: str


@dataclass(frozen=True, slots=True)
class ModseqFrom:
    """modseq at least this (RFC 7162 §3.1.5)."""

    modseq: int


@dataclass(frozen=True, slots=True)
class All:
    """Every one of the conditions; none given: any message."""

    of: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of the conditions; none given: no message."""

    of: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Not the condition."""

    condition: "Condition"


Leaf = Every | InUids | HasFlags | LacksFlags | Size | Received | Sent | Contains | ModseqFrom
Condition = Leaf | All | Either | Not


_COLUMNS = {
    name: f"m.{name}"
    for name in ("subject", "header_from", "header_to", "header_cc", "header_bcc", "message_id", "in_reply_to")
} | {"references": "m.refs"}


def search(
    tx: Transaction, account_id: int, mailbox_id: int, condition: Condition, *, limit: int | None = None
) -> list[int]:
    """UIDs of the messages that match, rising, the first `limit` where given.

    ValueError for a tree too deep or too large, or an odd column.
    """
    query = _Query([account_id, mailbox_id])
    where = query.where(condition)
    join = " JOIN messages m ON m.account_id = p.account_id AND m.message_key = p.message_key" if query.joins else ""
    # Built of the fixed pieces below; what comes from outside is bound.
    sql = (
        f"SELECT p.uid FROM placements p{join}"  # noqa: S608
        f" WHERE p.account_id = $1 AND p.mailbox_id = $2 AND {where} ORDER BY p.uid"
    )
    if limit is not None:
        query.values.append(limit)
        sql += f" LIMIT ${len(query.values)}"
    (uids,) = tx.columns(1, sql, *query.values)
    return uids


class _Query:
    """A query in the making: its values, and whether it needs the message rows."""

    def __init__(self, values: list[Value | list[int]]) -> None:
        self.values = values
        self.joins = False
        self._terms = 0

    def where(self, condition: Condition, negated: bool = False, outer: str = "", depth: int = 0) -> str:
        """The condition in SQL. `outer` is the operator that surrounds it.

        Negations are pushed down to the leaves, and like operators are joined, so that the text nests no deeper than
        the question does: SQLite's parser has a stack of 100.
        """
        self._count(1)
        if isinstance(condition, Not):
            return self.where(condition.condition, not negated, outer, depth)
        if not isinstance(condition, All | Either):
            text = self._leaf(condition)
            return f"NOT ({text})" if negated else text
        operator = " AND " if isinstance(condition, All) != negated else " OR "
        if not condition.of:
            return "1 = 1" if operator == " AND " else "1 = 0"
        if operator != outer:
            depth += 1
            if depth > DEPTH_LIMIT:
                raise ValueError(f"conditions alternate more than {DEPTH_LIMIT} times")
        text = operator.join([self.where(each, negated, operator, depth) for each in condition.of])
        return text if operator == outer else f"({text})"

    def _leaf(self, condition: Leaf) -> str:
        """One comparison; true or false, never unknown."""
        match condition:
            case Every():
                return "1 = 1"
            case InUids(uids=uids):
                return self._uids(uids)
            case HasFlags(mask=mask):
                bits = self._bind(mask)
                return f"p.flags & {bits} = {bits}"
            case LacksFlags(mask=mask):
                return f"p.flags & {self._bind(mask)} = 0"
            case Size(above=above, below=below):
                return self._between("p.size", ">", above, below)
            case Received(since=since, before=before):
                return self._between("p.received_at", ">=", since, before)
            case Sent(since=since, before=before):
                self.joins = True
                return "(m.sent_at IS NOT NULL AND " + self._between("m.sent_at", ">=", since, before) + ")"
            case ModseqFrom(modseq=modseq):
                return f"p.modseq >= {self._bind(modseq)}"
            case Contains(column=column, needle=needle):
                return self._contains(column, needle)

    def _bind(self, value: Value | list[int]) -> str:
        self.values.append(value)
        return f"${len(self.values)}"

    def _count(self, terms: int) -> None:
        # SQLite refuses an expression of more than 1,000 levels, and a chain of ORs is one.
        self._terms += terms
        if self._terms > TERM_LIMIT:
            raise ValueError(f"a search has at most {TERM_LIMIT} conditions")

    def _uids(self, uids: Uids) -> str:
        wide, single = spread(uids)
        self._count(len(wide))
        pieces = [f"p.uid BETWEEN {self._bind(low)} AND {self._bind(high)}" for low, high in wide]
        pieces += [f"p.uid = ANY({self._bind(some)})" for some in single]
        return "(" + " OR ".join(pieces) + ")" if pieces else "1 = 0"

    def _between(self, column: str, operator: str, low: int | None, high: int | None) -> str:
        pieces = []
        if low is not None:
            pieces.append(f"{column} {operator} {self._bind(low)}")
        if high is not None:
            pieces.append(f"{column} < {self._bind(high)}")
        return "(" + " AND ".join(pieces) + ")" if pieces else "1 = 1"

    def _contains(self, column: str, needle: str) -> str:
        if column not in _COLUMNS:
            raise ValueError(f"messages have no text {column!r} to search")
        self.joins = True
        return f"contains({_COLUMNS[column]}, {self._bind(needle.casefold())})"
