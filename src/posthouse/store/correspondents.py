"""Whom an account writes to and hears from (functions on `tx`).

    note(tx, account_id, address, "Carol", now, wrote=True)     it has written to Carol
    familiar(tx, account_id)                                    whom it knows well enough to be deceived with

Hearing from somebody makes nobody familiar: whoever wants to pass for an acquaintance only has to write first. Who is
familiar has been written to, or has written in several hours over at least a week; that takes a stranger time, in which
a message that is called junk ends it. Only mail whose author was proved may be noted as heard.

An account knows `CORRESPONDENTS` people at most. Then the oldest are forgotten, first those it has never written to: so
whoever floods an account from many addresses drives out nobody it knows.
"""

from collections.abc import Sequence
from typing import NamedTuple

from posthouse.mail.address import Address
from posthouse.mail.instant import DAY, HOUR, Instant
from posthouse.mail.words import one_line
from posthouse.store import learners
from posthouse.store.database import Row, Transaction

CORRESPONDENTS = 5_000
"""Most people that an account remembers."""
OCCASION = HOUR
"""Letters that come from somebody within this time count as one."""

# What makes somebody familiar whom the account has never written to.
_HEARD = 3
_HEARD_FOR = 7 * DAY
# So many are forgotten at once.
_FORGOTTEN = 250
_NAME_CHARACTERS = 200


class Correspondent(NamedTuple):
    """Somebody an account has to do with. `written` counts letters to him, `heard` hours in which some came."""

    address: Address
    name: str
    first_seen: Instant
    last_seen: Instant
    written: int
    heard: int

    @property
    def familiar(self) -> bool:
        """Whether others may be compared with him."""
        return self.written > 0 or (self.heard >= _HEARD and self.last_seen - self.first_seen >= _HEARD_FOR)


_COLUMNS = "local_part, domain, name, first_seen, last_seen, written, heard"
_WHO = "account_id = $1 AND domain = $2 AND local_key = $3"
_FIND = f"SELECT {_COLUMNS} FROM correspondents WHERE {_WHO}"  # noqa: S608
_ADD = (
    "INSERT INTO correspondents (account_id, domain, local_key, local_part, name, first_seen, last_seen, written,"
    " heard) VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8)"
)
_UPDATE = f"UPDATE correspondents SET name = $4, last_seen = $5, written = $6, heard = $7 WHERE {_WHO}"  # noqa: S608
_FAMILIAR = (
    f"SELECT {_COLUMNS} FROM correspondents WHERE account_id = $1"  # noqa: S608
    " AND (written > 0 OR (heard >= $2 AND last_seen - first_seen >= $3)) ORDER BY last_seen DESC LIMIT $4"
)
_LATEST = f"SELECT {_COLUMNS} FROM correspondents WHERE account_id = $1 ORDER BY last_seen DESC LIMIT $2"  # noqa: S608
_OLDEST = (
    "SELECT domain, local_key FROM correspondents WHERE account_id = $1"
    " ORDER BY CASE WHEN written > 0 THEN 1 ELSE 0 END, last_seen LIMIT $2"
)
_REMOVE = f"DELETE FROM correspondents WHERE {_WHO}"  # noqa: S608
_DISOWN = f"{_REMOVE} AND written = 0"


def note(tx: Transaction, account_id: int, address: Address, name: str, now: Instant, *, wrote: bool) -> bool:
    """Remembers that the account wrote to `address`, or heard from it; True where a copy of `familiar` is out of date.

    `name` is what he calls himself, or is called; "" keeps the one that is known.
    """
    name = one_line(name[:_NAME_CHARACTERS]).strip()
    before = find(tx, account_id, address)
    if before is None:
        if not learners.change(tx, account_id, version=int(wrote), correspondents=1):
            return False
        counts = (1, 0) if wrote else (0, 1)
        tx.execute(_ADD, account_id, address.domain, address.key, address.local_part, name, now, *counts)
        _forget_oldest(tx, account_id)
        return wrote
    occasion = not wrote and now - before.last_seen >= OCCASION
    if not wrote and not occasion:
        return False
    if not name or (wrote and before.name):
        # In To stands what the account calls him; what he calls himself goes before.
        name = before.name
    after = before._replace(
        name=name, last_seen=max(now, before.last_seen), written=before.written + wrote, heard=before.heard + occasion
    )
    tx.execute(
        _UPDATE, account_id, address.domain, address.key, after.name, after.last_seen, after.written, after.heard
    )
    changed = after.familiar and (not before.familiar or after.name != before.name)
    if changed:
        learners.change(tx, account_id)
    return changed


def find(tx: Transaction, account_id: int, address: Address) -> Correspondent | None:
    """What is known of that very address."""
    row = tx.one(_FIND, account_id, address.domain, address.key)
    return None if row is None else _correspondent(row)


def familiar(tx: Transaction, account_id: int, limit: int) -> list[Correspondent]:
    """Those with whom others may be compared, the latest first."""
    rows = tx.all(_FAMILIAR, account_id, _HEARD, _HEARD_FOR, limit)
    return [_correspondent(row) for row in rows]


def latest(tx: Transaction, account_id: int, limit: int) -> list[Correspondent]:
    """Everybody the account has to do with, the latest first."""
    return [_correspondent(row) for row in tx.all(_LATEST, account_id, limit)]


def disown(tx: Transaction, account_id: int, address: Address) -> None:
    """Somebody's message was called junk: forgets him, unless the account has written to him."""
    if tx.execute(_DISOWN, account_id, address.domain, address.key):
        learners.change(tx, account_id, correspondents=-1)


def remove_all(tx: Transaction, account_id: int) -> None:
    """For an account that goes; `learners.remove` takes its numbers."""
    tx.execute("DELETE FROM correspondents WHERE account_id = $1", account_id)


def _forget_oldest(tx: Transaction, account_id: int) -> None:
    if learners.find(tx, account_id).correspondents <= CORRESPONDENTS:
        return
    oldest: Sequence[Row] = tx.all(_OLDEST, account_id, _FORGOTTEN)
    tx.many(_REMOVE, [(account_id, domain, key) for domain, key in oldest])
    learners.change(tx, account_id, correspondents=-len(oldest))


def _correspondent(row: Row) -> Correspondent:
    local_part, domain, *rest = row
    return Correspondent(Address(local_part, domain), *rest)
