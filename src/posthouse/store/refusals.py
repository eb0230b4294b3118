"""Which journeys are those of refused messages: they are forgotten earlier than the others (functions on `tx`)."""

from typing import Final

from posthouse.mail.instant import DAY, Instant
from posthouse.store import ids
from posthouse.store.database import Transaction

KEPT_FOR: Final = 7 * DAY
_SWEPT: Final = 5_000

_NOTE = "INSERT INTO refusals (journey_id) VALUES ($1)"
_OLD = "SELECT journey_id FROM refusals WHERE journey_id < $1 ORDER BY journey_id LIMIT $2"


def note(tx: Transaction, journey_id: int) -> None:
    """The message of this journey was refused."""
    tx.execute(_NOTE, journey_id)


def sweep(tx: Transaction, now: Instant) -> int:
    """Forgets the journeys of what was refused a week ago, some thousands at a time; gives how many."""
    old = [(row[0],) for row in tx.all(_OLD, ids.at(now - KEPT_FOR), _SWEPT)]
    for table in ("journeys", "journey_parts", "journey_names", "refusals"):
        tx.many(f"DELETE FROM {table} WHERE journey_id = $1", old)  # noqa: S608 -- names from above
    return len(old)
