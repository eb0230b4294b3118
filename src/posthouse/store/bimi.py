"""Logos of domains, as they were last fetched and checked (functions on `tx`).

A logo is kept by the domain and the selector of the BIMI record that names it, with what was found out about it: also
that there is none to be shown, so that nobody asks again for a while. Pages show `indicator`, which is sanitised.
"""

from typing import NamedTuple

from posthouse.mail.instant import DAY, Instant
from posthouse.store.database import Transaction

LOGOS = 5_000
"""Most logos that are kept; those that were fetched longest ago go first."""
KEPT = 30 * DAY
"""How long a logo is kept that nobody asked for anew."""


class Logo(NamedTuple):
    """What was found for one `record` (its text). `result` is BIMI's word; `indicator` is b"" but for a pass.

    `authority`, `organization` and `mark` as in `checks.bimi.Bimi`. After `expires` it is fetched again.
    """

    domain: str
    selector: str
    record: str
    result: str
    reason: str
    authority: str
    organization: str
    mark: str
    preference: str
    fetched: Instant
    expires: Instant
    indicator: bytes


_COLUMNS = ", ".join(Logo._fields)
_FIND = f"SELECT {_COLUMNS} FROM bimi_marks WHERE domain = $1 AND selector = $2"  # noqa: S608
_SAVE = (
    f"INSERT INTO bimi_marks ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"  # noqa: S608
    " ON CONFLICT (domain, selector) DO UPDATE SET record = $3, result = $4, reason = $5, authority = $6,"
    " organization = $7, mark = $8, preference = $9, fetched = $10, expires = $11, indicator = $12"
)
_SURPLUS = "SELECT fetched FROM bimi_marks ORDER BY fetched DESC LIMIT 1 OFFSET $1"


def find(tx: Transaction, domain: str, selector: str) -> Logo | None:
    """What is known; it may have expired."""
    row = tx.one(_FIND, domain, selector)
    return None if row is None else Logo(*row)


def save(tx: Transaction, logo: Logo) -> None:
    """Keeps it in place of what was known."""
    tx.execute(_SAVE, *logo)


def sweep(tx: Transaction, now: Instant) -> None:
    """Forgets what nobody asked for in a long time, and what is too much."""
    surplus = tx.one(_SURPLUS, LOGOS)
    tx.execute("DELETE FROM bimi_marks WHERE fetched <= $1", max(now - KEPT, surplus[0] if surplus else 0))
