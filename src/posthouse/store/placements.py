"""Messages where they lie: flags, copying, moving, removing (functions on `tx`; the second half of `messages`)."""

from dataclasses import dataclass
from typing import NamedTuple

from posthouse.mail.flags import Flag
from posthouse.store import ledger
from posthouse.store.database import Row, Transaction
from posthouse.store.ledger import Kind, MailboxError, Uids

EVERY: Uids = ((1, 0xFFFFFFFF),)
"""Every message of the mailbox."""

_SEEN = int(Flag.SEEN)
_DELETED = int(Flag.DELETED)
_ANY_MODSEQ = (1 << 63) - 1


class Changed(NamedTuple):
    """A placement's flags after a change; `flags` as in `NewMessage`."""

    uid: int
    flags: int
    modseq: int


@dataclass(frozen=True, slots=True)
class Moved:
    """A copy or move: `source` UIDs became `target` UIDs in order (COPYUID), in a mailbox with `uidvalidity`.

    `keys` are those of the messages; `taught`: it is a lesson for the account's junk filter, which may be hinted at.
    """

    uidvalidity: int
    source: tuple[int, ...]
    target: tuple[int, ...]
    keys: tuple[int, ...]
    taught: bool = False


_HERE = "account_id = $1 AND mailbox_id = $2"

# `keep` ($3) and `fix` ($4) say all that can be done to flags; $5 is the highest modseq that is touched.
_DIFFERING = (
    f"SELECT uid, flags, (flags & $3) | $4 FROM placements WHERE {_HERE}"  # noqa: S608
    " AND ((flags & $3) | $4) <> flags AND modseq <= $5"
)
_DIFFERING_WITHIN = f"{_DIFFERING} AND uid BETWEEN $6 AND $7"
_DIFFERING_AMONG = f"{_DIFFERING} AND uid = ANY($6)"
_FLAG = (
    f"UPDATE placements SET flags = (flags & $3) | $4, modseq = $6 WHERE {_HERE}"  # noqa: S608
    " AND ((flags & $3) | $4) <> flags AND modseq <= $5"
)
_FLAG_WITHIN = f"{_FLAG} AND uid BETWEEN $7 AND $8"
_FLAG_AMONG = f"{_FLAG} AND uid = ANY($7)"

# $3 holds the bits that all have to be set.
_LYING = f"SELECT uid, message_key, flags, size, received_at FROM placements WHERE {_HERE} AND flags & $3 = $3"  # noqa: S608
_LYING_WITHIN = f"{_LYING} AND uid BETWEEN $4 AND $5"
_LYING_AMONG = f"{_LYING} AND uid = ANY($4)"
_LIFT = f"DELETE FROM placements WHERE {_HERE} AND flags & $3 = $3"  # noqa: S608
_LIFT_WITHIN = f"{_LIFT} AND uid BETWEEN $4 AND $5"
_LIFT_AMONG = f"{_LIFT} AND uid = ANY($4)"

_PLACE = (
    "INSERT INTO placements (account_id, mailbox_id, uid, message_key, flags, modseq, size, received_at)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
)
_SHARE = "UPDATE messages SET placements = placements + 1 WHERE account_id = $1 AND message_key = $2"
_TALLY = (
    "UPDATE mailboxes SET modseq = $3, messages = messages + $4, unseen = unseen + $5, deleted = deleted + $6,"
    " octets = octets + $7, uidnext = uidnext + $8 WHERE account_id = $1 AND mailbox_id = $2"
    " RETURNING uidnext, uidvalidity"
)
_QUOTA = "SELECT octets, quota FROM accounts WHERE account_id = $1"


def store_flags(
    tx: Transaction,
    account_id: int,
    mailbox_id: int,
    uids: Uids,
    *,
    add: int = 0,
    remove: int = 0,
    replace: int | None = None,
    unchanged_since: int | None = None,
) -> list[Changed]:
    """Adds, removes or replaces flags; gives those that really changed. All take one modseq.

    With `unchanged_since` those with a higher modseq are passed over (RFC 7162 §3.1.3).
    """
    keep, fix = (~remove, add) if replace is None else (0, replace)
    limit = _ANY_MODSEQ if unchanged_since is None else unchanged_since
    wide, single = ledger.spread(uids)
    found: list[Row] = []
    for low, high in wide:
        found += tx.all(_DIFFERING_WITHIN, account_id, mailbox_id, keep, fix, limit, low, high)
    for some in single:
        found += tx.all(_DIFFERING_AMONG, account_id, mailbox_id, keep, fix, limit, some)
    if not found:
        return []
    found.sort()
    modseq = ledger.advance(tx, account_id)
    for low, high in wide:
        tx.execute(_FLAG_WITHIN, account_id, mailbox_id, keep, fix, limit, modseq, low, high)
    for some in single:
        tx.execute(_FLAG_AMONG, account_id, mailbox_id, keep, fix, limit, modseq, some)
    seen = deleted = 0
    if (~keep | fix) & (_SEEN | _DELETED):
        seen = sum([(now & _SEEN) - (was & _SEEN) for _, was, now in found])
        deleted = sum([(now & _DELETED) - (was & _DELETED) for _, was, now in found]) // _DELETED
    tx.one(_TALLY, account_id, mailbox_id, modseq, 0, -seen, deleted, 0, 0)
    ledger.log(tx, account_id, modseq, mailbox_id, Kind.FLAGS, [row[0] for row in found])
    return [Changed(uid, now, modseq) for uid, _, now in found]


def copy(tx: Transaction, account_id: int, mailbox_id: int, uids: Uids, target_id: int) -> Moved:
    """Copies to another mailbox (or the same), flags and INTERNALDATE kept. `MailboxError` NONEXISTENT, OVERQUOTA."""
    rows = _lying(tx, account_id, mailbox_id, uids, 0)
    octets = sum([row[3] for row in rows])
    held = tx.one(_QUOTA, account_id)
    if rows and held is not None and held[1] is not None and held[0] + octets > held[1]:
        raise MailboxError("OVERQUOTA", "the account has no room for the copies")
    modseq = ledger.advance(tx, account_id, octets)
    moved = _lay(tx, account_id, target_id, rows, modseq)
    tx.many(_SHARE, [(account_id, row[1]) for row in rows])
    return moved


def move(tx: Transaction, account_id: int, mailbox_id: int, uids: Uids, target_id: int) -> Moved:
    """Moves to another mailbox; at no time is a message in both or neither (RFC 6851). `MailboxError` NONEXISTENT."""
    rows = _lying(tx, account_id, mailbox_id, uids, 0)
    modseq = ledger.advance(tx, account_id)
    _lift(tx, account_id, mailbox_id, uids, 0, rows, modseq)
    return _lay(tx, account_id, target_id, rows, modseq)


def expunge(
    tx: Transaction, account_id: int, mailbox_id: int, uids: Uids = EVERY, *, flagged: int = Flag.DELETED
) -> list[int]:
    """Removes those of `uids` that have all of the `flagged` bits (0: whatever their flags); gives their UIDs."""
    rows = _lying(tx, account_id, mailbox_id, uids, int(flagged))
    if not rows:
        return []
    modseq = ledger.advance(tx, account_id, -sum([row[3] for row in rows]))
    _lift(tx, account_id, mailbox_id, uids, int(flagged), rows, modseq)
    ledger.release(tx, account_id, [row[1] for row in rows])
    return [row[0] for row in rows]


def nonexistent() -> MailboxError:
    """The error for a mailbox that is gone."""
    return MailboxError("NONEXISTENT", "there is no such mailbox")


def _lying(tx: Transaction, account_id: int, mailbox_id: int, uids: Uids, flagged: int) -> list[Row]:
    """(uid, message_key, flags, size, received_at) of those that are there, by rising UID."""
    wide, single = ledger.spread(uids)
    rows: list[Row] = []
    for low, high in wide:
        rows += tx.all(_LYING_WITHIN, account_id, mailbox_id, flagged, low, high)
    for some in single:
        rows += tx.all(_LYING_AMONG, account_id, mailbox_id, flagged, some)
    rows.sort()
    return rows


def _lift(
    tx: Transaction, account_id: int, mailbox_id: int, uids: Uids, flagged: int, rows: list[Row], modseq: int
) -> None:
    """Takes the placements `rows` out of the mailbox; what becomes of the messages is the caller's affair."""
    if not rows:
        return
    wide, single = ledger.spread(uids)
    for low, high in wide:
        tx.execute(_LIFT_WITHIN, account_id, mailbox_id, flagged, low, high)
    for some in single:
        tx.execute(_LIFT_AMONG, account_id, mailbox_id, flagged, some)
    _count(tx, account_id, mailbox_id, modseq, rows, -1, 0)
    ledger.log(tx, account_id, modseq, mailbox_id, Kind.REMOVED, [row[0] for row in rows])


def _lay(tx: Transaction, account_id: int, mailbox_id: int, rows: list[Row], modseq: int) -> Moved:
    """Puts messages into the mailbox under new UIDs."""
    uidnext, uidvalidity = _count(tx, account_id, mailbox_id, modseq, rows, 1, len(rows))
    uids = range(uidnext - len(rows), uidnext)
    tx.many(
        _PLACE,
        [
            (account_id, mailbox_id, uid, key, flags, modseq, size, received_at)
            for uid, (_, key, flags, size, received_at) in zip(uids, rows, strict=True)
        ],
    )
    return Moved(uidvalidity, tuple([row[0] for row in rows]), tuple(uids), tuple([row[1] for row in rows]))


def _count(
    tx: Transaction, account_id: int, mailbox_id: int, modseq: int, rows: list[Row], sign: int, new: int
) -> tuple[int, int]:
    """Adds rows to the mailbox's counters, or takes them off; gives UIDNEXT and UIDVALIDITY."""
    unseen = sum([~row[2] & _SEEN for row in rows])
    deleted = sum([row[2] & _DELETED for row in rows]) // _DELETED
    octets = sum([row[3] for row in rows])
    row = tx.one(
        _TALLY, account_id, mailbox_id, modseq, sign * len(rows), sign * unseen, sign * deleted, sign * octets, new
    )
    if row is None:
        raise nonexistent()
    return row[0], row[1]
