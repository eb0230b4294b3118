"""Keywords (flags with names that clients choose): an account gives each a bit, so that all flags are one number.

Bits 0-4 are those of `mail.flags.Flag`; keywords take the next 58. The same keyword has the same bit in all mailboxes
of an account, so copying changes nothing. Case does not count (RFC 3501 §2.3.2); the first spelling is kept.
"""

from collections.abc import Iterable

from posthouse.mail.flags import Flag
from posthouse.store.database import Transaction
from posthouse.store.ledger import MailboxError

_FIRST = len(Flag)

KEYWORD_LIMIT = 63 - _FIRST
"""Most keywords of an account."""

_NAMES = "SELECT bit, name FROM keywords WHERE account_id = $1 ORDER BY bit"
_USED = "SELECT DISTINCT flags FROM placements WHERE account_id = $1"
_ADD = "INSERT INTO keywords (account_id, bit, name) VALUES ($1, $2, $3)"
_REMOVE = "DELETE FROM keywords WHERE account_id = $1 AND bit = $2"


def names(tx: Transaction, account_id: int) -> dict[int, str]:
    """Bit value (32, 64, …) → keyword."""
    return {1 << bit: name for bit, name in tx.all(_NAMES, account_id)}


def bits(tx: Transaction, account_id: int, keywords: Iterable[str]) -> int:
    """The bitmask of known keywords; unknown ones are passed over. For searches and for removing flags."""
    wanted = {keyword.lower() for keyword in keywords}
    return sum([value for value, name in names(tx, account_id).items() if name.lower() in wanted])


def claim(tx: Transaction, account_id: int, keywords: Iterable[str]) -> int:
    """The bitmask of the keywords; new ones get bits, those nobody uses any more are given up for that.

    Needs a write transaction. `MailboxError` LIMIT when there are too many.
    """
    known = {name.lower(): value for value, name in names(tx, account_id).items()}
    wanted = {keyword.lower(): keyword for keyword in keywords}
    new = [keyword for key, keyword in wanted.items() if key not in known]
    mask = sum([known[key] for key in wanted if key in known])
    if len(known) + len(new) > KEYWORD_LIMIT:
        known = _give_up(tx, account_id, known, mask)
    if len(known) + len(new) > KEYWORD_LIMIT:
        raise MailboxError("LIMIT", f"an account has at most {KEYWORD_LIMIT} keywords")
    taken = set(known.values())
    free = [bit for bit in range(_FIRST, _FIRST + KEYWORD_LIMIT) if 1 << bit not in taken]
    for bit, keyword in zip(free, new, strict=False):
        tx.execute(_ADD, account_id, bit, keyword)
        mask |= 1 << bit
    return mask


def _give_up(tx: Transaction, account_id: int, known: dict[str, int], wanted: int) -> dict[str, int]:
    """Forgets keywords that no message has; gives those that stay. Reads all flags of the account."""
    used = wanted
    for (flags,) in tx.all(_USED, account_id):
        used |= flags
    for value in known.values():
        if not value & used:
            tx.execute(_REMOVE, account_id, value.bit_length() - 1)
    return {key: value for key, value in known.items() if value & used}
