"""Keywords (flags with names that clients choose): an account gives each a bit, so that all flags are one number.

Bits 0-4 are those of `mail.flags.Flag`; keywords take the next 58. The same keyword has the same bit in all mailboxes
of an account, so copying changes nothing. Case does not count; the first spelling is kept.
"""

from collections.abc import Iterable

from posthouse.store.database import Transaction

KEYWORD_LIMIT = 58
"""Most keywords of an account."""


def names(tx: Transaction, account_id: int) -> dict[int, str]:
    """Bit value (32, 64, …) → keyword."""
    raise NotImplementedError


def bits(tx: Transaction, account_id: int, keywords: Iterable[str]) -> int:
    """The bitmask of known keywords; unknown ones are passed over. For searches and for removing flags."""
    raise NotImplementedError


def claim(tx: Transaction, account_id: int, keywords: Iterable[str]) -> int:
    """The bitmask of the keywords; new ones get bits, those nobody uses any more are given up for that.

    Needs a write transaction. `MailboxError` LIMIT when there are too many.
    """
    raise NotImplementedError
