"""Messages in mailboxes: adding, reading, flags, copying, removing (functions on `tx`).

A *message row* holds what was found out once at delivery, a *placement* puts it into a mailbox under a UID with flags;
copying adds a placement only. Each change of an account takes the next `modseq` (see `ledger`).

UIDs are given as `Uids`: inclusive ranges, rising and apart, as `wire.imap.sequence` makes them; those that do
not exist are passed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from posthouse.mail.flags import Flag
from posthouse.mail.instant import Instant
from posthouse.store import junk, ledger, placements
from posthouse.store.database import Row, SerializationFault, Transaction
from posthouse.store.ledger import Kind, Uids
from posthouse.store.placements import EVERY, Changed, Moved, expunge, nonexistent, store_flags

__all__ = [
    "EVERY", "Added", "Changed", "Changes", "Moved", "NewMessage", "Snapshot", "Uids",
    "add", "changes", "copy", "expunge", "fetch", "move", "snapshot", "store_flags",
]  # fmt: skip

_SEEN = int(Flag.SEEN)
_DELETED = int(Flag.DELETED)


class NewMessage(NamedTuple):
    """What is filed about a message; the same value serves several recipients except for `prefix` and its sizes.

    `prefix` is what we put in front of the blob (Return-Path, Received, …); `size` is RFC822.SIZE: prefix and body;
    `header_size` the octets of the header with its empty line, the prefix included. `received_at` is INTERNALDATE.
    `envelope` and `bodystructure` (extended) are as IMAP sends them. `flags` is a bitmask of `Flag` and of the bits
    that `keywords.claim` gave out. The texts are decoded, for search, threads and lists.

    A tuple, since a frozen dataclass of this width takes six times as long to make, twice for each delivery.
    """

    blob_id: int
    prefix: bytes
    size: int
    header_size: int
    received_at: Instant
    sent_at: Instant | None
    envelope: bytes
    bodystructure: bytes
    flags: int = 0
    message_id: str = ""
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    subject: str = ""
    base_subject: str = ""
    header_from: str = ""
    header_to: str = ""
    header_cc: str = ""
    header_bcc: str = ""
    has_attachment: bool = False
    preview: str = ""


class Added(NamedTuple):
    """Where a message went."""

    uid: int
    modseq: int
    uidvalidity: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened in a mailbox since a modseq: `changed` by rising UID (new messages are among them).

    `expunged` as ranges, which may name UIDs that were gone before; None where the log does not reach back so far:
    compare with `snapshot` then. `modseq` is what to ask with next time, `uidnext` and `messages` the mailbox's own.
    """

    changed: tuple[Changed, ...]
    expunged: Uids | None
    modseq: int
    uidnext: int
    messages: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """UIDs (rising), flags and modseqs of a whole mailbox, index by index."""

    uids: list[int]
    flags: list[int]
    modseqs: list[int]


# Reading first costs SQLite half of what two RETURNINGs do. Where others may write at the same time, the counters that
# were read are the fence.
_COUNTERS = (
    "SELECT a.modseq, m.uidnext, m.uidvalidity FROM accounts a, mailboxes m"
    " WHERE a.account_id = $1 AND m.account_id = $1 AND m.mailbox_id = $2"
)
_ADVANCE = "UPDATE accounts SET modseq = modseq + 1, octets = octets + $3 WHERE account_id = $1 AND modseq = $2"
_FILE = (
    "UPDATE mailboxes SET uidnext = uidnext + 1, modseq = $3, messages = messages + 1, unseen = unseen + $4,"
    " deleted = deleted + $5, octets = octets + $6 WHERE account_id = $1 AND mailbox_id = $2"
)
_ADD = (
    "INSERT INTO messages (account_id, message_key, placements, blob_id, header_size, sent_at, has_attachment,"
    " message_id, in_reply_to, refs, subject, base_subject, header_from, header_to, header_cc, header_bcc,"
    " preview, prefix, envelope, bodystructure) VALUES ($1, $2, 1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,"
    " $14, $15, $16, $17, $18, $19)"
)
_PLACE = (
    "INSERT INTO placements (account_id, mailbox_id, uid, message_key, flags, modseq, size, received_at)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
)

_SNAPSHOT = "SELECT uid, flags, modseq FROM placements WHERE account_id = $1 AND mailbox_id = $2 ORDER BY uid"
_STANDING = (
    "SELECT m.modseq, m.uidnext, m.messages, a.logged_from FROM mailboxes m, accounts a"
    " WHERE m.account_id = $1 AND m.mailbox_id = $2 AND a.account_id = m.account_id"
)
_LOGGED = (
    "SELECT kind, uids FROM changes WHERE account_id = $1 AND modseq > $3 AND mailbox_id = $2"
)
_SINCE = "SELECT uid, flags, modseq FROM placements WHERE account_id = $1 AND mailbox_id = $2 AND modseq > $3"
# The newest message that is not newer than the modseq: all that were added since have higher UIDs.
_LAST_KNOWN = (
    "SELECT uid FROM placements WHERE account_id = $1 AND mailbox_id = $2 AND modseq <= $3 ORDER BY uid DESC LIMIT 1"
)

_FROM = " FROM placements p"
_WITH_MESSAGES = " JOIN messages m ON m.account_id = p.account_id AND m.message_key = p.message_key"
_WITH_BLOBS = " JOIN blobs b ON b.blob_id = m.blob_id"
_WITHIN = " WHERE p.account_id = $1 AND p.mailbox_id = $2 AND p.uid BETWEEN $3 AND $4 ORDER BY p.uid"
_AMONG = " WHERE p.account_id = $1 AND p.mailbox_id = $2 AND p.uid = ANY($3)"

_PLACEMENT_COLUMNS = ("uid", "flags", "modseq", "size", "received_at", "message_key")
_MESSAGE_COLUMNS = (
    "blob_id", "header_size", "sent_at", "has_attachment", "message_id", "in_reply_to", "subject", "base_subject",
    "header_from", "header_to", "header_cc", "header_bcc", "preview", "prefix", "envelope", "bodystructure",
)  # fmt: skip
_COLUMNS = (
    {name: f"p.{name}" for name in _PLACEMENT_COLUMNS}
    | {name: f"m.{name}" for name in _MESSAGE_COLUMNS}
    | {"references": "m.refs", "digest": "b.digest", "octets": "b.octets"}
)


def add(tx: Transaction, account_id: int, mailbox_id: int, message_key: int, message: NewMessage) -> Added:
    """Files a message; `message_key` is a fresh one from `Ids`; its blob is put by the same transaction.

    Quota is counted but not enforced here (RCPT and APPEND ask before). `MailboxError` NONEXISTENT.
    """
    m = message
    size = m.size
    flags = int(m.flags)
    row = tx.one(_COUNTERS, account_id, mailbox_id)
    if row is None:
        raise nonexistent()
    modseq, uid, uidvalidity = row
    if not tx.execute(_ADVANCE, account_id, modseq, size):
        raise SerializationFault
    modseq += 1
    tx.execute(_FILE, account_id, mailbox_id, modseq, ~flags & _SEEN, (flags & _DELETED) >> 3, size)
    texts: tuple[str, ...] = (
        m.message_id, m.in_reply_to, " ".join(m.references), m.subject, m.base_subject, m.header_from, m.header_to,
        m.header_cc, m.header_bcc, m.preview,
    )  # fmt: skip
    attachment = 1 if m.has_attachment else 0
    octets = (m.prefix, m.envelope, m.bodystructure)
    try:
        tx.execute(_ADD, account_id, message_key, m.blob_id, m.header_size, m.sent_at, attachment, *texts, *octets)
    except UnicodeEncodeError:
        # Half a surrogate pair, from whatever decoded a hostile field: no database takes it as text.
        texts = tuple([text.encode("utf-8", "replace").decode() for text in texts])
        tx.execute(_ADD, account_id, message_key, m.blob_id, m.header_size, m.sent_at, attachment, *texts, *octets)
    tx.execute(_PLACE, account_id, mailbox_id, uid, message_key, flags, modseq, size, m.received_at)
    return Added(uid, modseq, uidvalidity)


def snapshot(tx: Transaction, account_id: int, mailbox_id: int) -> Snapshot:
    """UIDs and flags of all messages."""
    return Snapshot(*tx.columns(3, _SNAPSHOT, account_id, mailbox_id))


def changes(tx: Transaction, account_id: int, mailbox_id: int, since: int) -> Changes:
    """What happened after modseq `since`; costs as much as happened, however large the mailbox is.

    `MailboxError` NONEXISTENT when the mailbox is gone.
    """
    standing = tx.one(_STANDING, account_id, mailbox_id)
    if standing is None:
        raise nonexistent()
    modseq, uidnext, count, logged_from = standing
    if modseq <= since:
        return Changes((), (), modseq, uidnext, count)
    if since < logged_from:
        rows = tx.all(_SINCE + " ORDER BY uid", account_id, mailbox_id, since)
        return Changes(tuple([Changed(*row) for row in rows]), None, modseq, uidnext, count)
    touched: list[tuple[int, int]] = []
    removed: list[tuple[int, int]] = []
    removed_within: list[tuple[int, int]] = []
    for kind, text in tx.all(_LOGGED, account_id, mailbox_id, since):
        ranges = ledger.from_text(text)
        (touched if kind == Kind.FLAGS else removed if kind == Kind.REMOVED else removed_within).extend(ranges)
    known = tx.one(_LAST_KNOWN, account_id, mailbox_id, since)
    touched.append((known[0] + 1 if known else 1, EVERY[0][1]))
    found: list[Row] = []
    wide, single = ledger.spread(ledger.union(touched))
    for low, high in wide:
        found += tx.all(_SINCE + " AND uid BETWEEN $4 AND $5 ORDER BY uid", account_id, mailbox_id, since, low, high)
    for some in single:
        found += tx.all(_SINCE + " AND uid = ANY($4)", account_id, mailbox_id, since, some)
    found.sort()
    if removed_within:
        coarse = ledger.union(removed_within)
        present = [row[0] for row in fetch(tx, account_id, mailbox_id, coarse, ("uid",))]
        removed += ledger.without(coarse, present)
    expunged = tuple(ledger.union(removed))
    return Changes(tuple([Changed(*row) for row in found]), expunged, modseq, uidnext, count)


def fetch(tx: Transaction, account_id: int, mailbox_id: int, uids: Uids, columns: Sequence[str]) -> list[Row]:
    """The columns asked for of each message, by rising UID, in one query for each range.

    Columns: uid flags modseq size received_at message_key | blob_id prefix header_size sent_at envelope bodystructure
    message_id in_reply_to references subject base_subject header_from header_to header_cc header_bcc has_attachment
    preview | digest octets. Those before the first bar are the cheapest. `references` are separated by spaces;
    `octets` is the body without prefix, None for a large one (`Blobs.read`), and its digest is then to be checked by
    `blobs.checked`. ValueError for another name.
    """
    within, among = _selects(tuple(columns))
    wide, single = ledger.spread(uids)
    rows: list[Row] = []
    for low, high in wide:
        rows += tx.all(within, account_id, mailbox_id, low, high)
    for some in single:
        rows += tx.all(among, account_id, mailbox_id, some)
    if len(wide) + len(single) > 1:
        rows.sort(key=_first)
    return [row[1:] for row in rows]


@lru_cache(maxsize=256)
def _selects(columns: tuple[str, ...]) -> tuple[str, str]:
    """The query for a range and the one for a list of UIDs; the UID comes first, for sorting."""
    unknown = [name for name in columns if name not in _COLUMNS]
    if unknown:
        raise ValueError(f"messages have no column {unknown[0]!r}")
    expressions = [_COLUMNS[name] for name in columns]
    select = "SELECT " + ", ".join(["p.uid", *expressions]) + _FROM
    tables = {expression[0] for expression in expressions}
    if tables & {"m", "b"}:
        select += _WITH_MESSAGES
    if "b" in tables:
        select += _WITH_BLOBS
    return select + _WITHIN, select + _AMONG


def copy(tx: Transaction, account_id: int, mailbox_id: int, uids: Uids, target_id: int) -> Moved:
    """As `placements.copy`. Into Junk and out of it, that teaches the account's junk filter."""
    return _taught(tx, account_id, mailbox_id, target_id, placements.copy(tx, account_id, mailbox_id, uids, target_id))


def move(tx: Transaction, account_id: int, mailbox_id: int, uids: Uids, target_id: int) -> Moved:
    """As `placements.move`. Into Junk and out of it, that teaches the account's junk filter."""
    return _taught(tx, account_id, mailbox_id, target_id, placements.move(tx, account_id, mailbox_id, uids, target_id))


def _taught(tx: Transaction, account_id: int, mailbox_id: int, target_id: int, moved: Moved) -> Moved:
    taught = junk.moved(tx, account_id, mailbox_id, target_id, moved.keys)
    return replace(moved, taught=True) if taught else moved


def _first(row: Row) -> int:
    uid: int = row[0]
    return uid
