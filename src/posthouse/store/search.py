"""Finding messages in a mailbox by what was filed about them (functions on `tx`).

A condition is a small tree which becomes one SQL query. What needs the octets themselves (BODY, TEXT, any other header
field) is not known here: the caller searches the rest, reads those candidates, and combines the sets of UIDs.
"""

from dataclasses import dataclass

from posthouse.mail.instant import Instant
from posthouse.store.database import Transaction
from posthouse.store.messages import Uids

DEPTH_LIMIT = 50
"""Deepest nesting of conditions."""


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


Condition = Every | InUids | HasFlags | LacksFlags | Size | Received | Sent | Contains | ModseqFrom | All | Either | Not


def search(tx: Transaction, account_id: int, mailbox_id: int, condition: Condition) -> list[int]:
    """UIDs of the messages that match, rising. ValueError for a tree deeper than `DEPTH_LIMIT`."""
    raise NotImplementedError
