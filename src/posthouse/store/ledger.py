"""The account's books: its modification sequence, its octets, and the log of what changed (functions on `tx`).

One `modseq` for each account orders all its changes. The log names UIDs of changed flags and of removals as ranges, one
entry an operation, and reaches back `LOG_LIMIT` entries. New messages are not in it: within a mailbox, those added
after a modseq are the ones with the highest UIDs.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import IntEnum

from posthouse.store.database import Transaction

Uids = Sequence[tuple[int, int]]

LOG_LIMIT = 2_000
"""How many entries of an account the log keeps, at least."""

_TRIM_EVERY = 256
_ENTRY_OCTETS = 8 * 1024
_CHUNK = 5_000
# A range of at most so many UIDs is asked for together with single ones.
_NARROW = 4


class MailboxError(Exception):
    """What was asked of a mailbox cannot be done; the text is a sentence for the client.

    `code` is the response code of RFC 5530: `NONEXISTENT`, `ALREADYEXISTS`, `CANNOT`, `LIMIT`, `OVERQUOTA`.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Kind(IntEnum):
    """What an entry of the log tells. The value is stored."""

    FLAGS = 1
    REMOVED = 2
    # Too many gaps to name: everything within the one range that does not exist now.
    REMOVED_WITHIN = 3


_ADVANCE = "UPDATE accounts SET modseq = modseq + 1, octets = octets + $2 WHERE account_id = $1 RETURNING modseq"
_COUNT_ENTRY = "UPDATE accounts SET logged = logged + 1 WHERE account_id = $1 RETURNING logged"
_LOG = "INSERT INTO changes (account_id, modseq, mailbox_id, kind, uids) VALUES ($1, $2, $3, $4, $5)"
_OLDEST = "SELECT modseq FROM changes WHERE account_id = $1 ORDER BY modseq DESC LIMIT 1 OFFSET $2"
_TRIM = "DELETE FROM changes WHERE account_id = $1 AND modseq <= $2"
_TRIMMED = "UPDATE accounts SET logged_from = $2 WHERE account_id = $1"

_RELEASE = (
    "UPDATE messages SET placements = placements - $3 WHERE account_id = $1 AND message_key = ANY($2)"
)
_LOOSEN = (
    "INSERT INTO loose_blobs (blob_id) SELECT DISTINCT blob_id FROM messages"
    " WHERE account_id = $1 AND message_key = ANY($2) AND placements = 0 ON CONFLICT DO NOTHING"
)
_REMOVE = "DELETE FROM messages WHERE account_id = $1 AND message_key = ANY($2) AND placements = 0"


def advance(tx: Transaction, account_id: int, octets: int = 0) -> int:
    """The next modseq of the account, which now holds `octets` more. `MailboxError` NONEXISTENT."""
    row = tx.one(_ADVANCE, account_id, octets)
    if row is None:
        raise MailboxError("NONEXISTENT", "there is no such account")
    modseq: int = row[0]
    return modseq


def log(tx: Transaction, account_id: int, modseq: int, mailbox_id: int, kind: Kind, uids: Sequence[int]) -> None:
    """Remembers what the change with this modseq did to which UIDs (rising)."""
    text = to_text(gather(uids))
    if len(text) > _ENTRY_OCTETS:
        # A superset does no harm: whoever reads the log looks at what there is now.
        text = f"{uids[0]}:{uids[-1]}"
        kind = Kind.REMOVED_WITHIN if kind is Kind.REMOVED else kind
    tx.execute(_LOG, account_id, modseq, mailbox_id, int(kind), text)
    row = tx.one(_COUNT_ENTRY, account_id)
    if row is not None and row[0] % _TRIM_EVERY == 0:
        oldest = tx.one(_OLDEST, account_id, LOG_LIMIT)
        if oldest is not None:
            tx.execute(_TRIM, account_id, oldest[0])
            tx.execute(_TRIMMED, account_id, oldest[0])


def release(tx: Transaction, account_id: int, message_keys: Iterable[int]) -> None:
    """Each key lost one placement (one that lost two occurs twice); a message without any goes, its blob is loose."""
    times: dict[int, list[int]] = {}
    for key, count in Counter(message_keys).items():
        times.setdefault(count, []).append(key)
    for count, keys in times.items():
        for start in range(0, len(keys), _CHUNK):
            some = keys[start : start + _CHUNK]
            tx.execute(_RELEASE, account_id, some, count)
            tx.execute(_LOOSEN, account_id, some)
            tx.execute(_REMOVE, account_id, some)


def gather(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Rising numbers as ranges."""
    ranges: list[tuple[int, int]] = []
    if numbers:
        low = high = numbers[0]
        for number in numbers:
            if number > high + 1:
                ranges.append((low, high))
                low = number
            high = number
        ranges.append((low, high))
    return ranges


def union(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in any order as rising ones that are apart."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            if high > merged[-1][1]:
                merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return merged


def without(ranges: Uids, numbers: Sequence[int]) -> list[tuple[int, int]]:
    """The ranges with the numbers (rising) cut out."""
    rest: list[tuple[int, int]] = []
    position = 0
    for low, high in ranges:
        while position < len(numbers) and numbers[position] <= high:
            number = numbers[position]
            position += 1
            if number >= low:
                if number > low:
                    rest.append((low, number - 1))
                low = number + 1
        if low <= high:
            rest.append((low, high))
    return rest


def to_text(ranges: Uids) -> str:
    """`1:20,25`, as the log keeps it."""
    return ",".join([f"{low}:{high}" if low != high else str(low) for low, high in ranges])


def from_text(text: str) -> list[tuple[int, int]]:
    """The ranges of `to_text`."""
    ranges = []
    for item in text.split(","):
        low, _, high = item.partition(":")
        ranges.append((int(low), int(high or low)))
    return ranges


def spread(uids: Uids) -> tuple[list[tuple[int, int]], list[list[int]]]:
    """Ranges to ask for one by one, and lists of single UIDs to ask for together."""
    wide: list[tuple[int, int]] = []
    single: list[int] = []
    for low, high in uids:
        if high - low >= _NARROW or len(uids) == 1:
            wide.append((low, high))
        else:
            single.extend(range(low, high + 1))
    return wide, [single[start : start + _CHUNK] for start in range(0, len(single), _CHUNK)]
