"""What an account has learnt, in numbers: one small row, which also says when a copy of it is out of date.

`version` changes with whatever somebody may keep a copy of: whom the account is familiar with, what its junk filter has
seen. The others count rows and messages, so that nothing has to be counted anew for a bound. (Functions on `tx`.)
"""

from typing import NamedTuple

from posthouse.store.database import Transaction


class Learner(NamedTuple):
    """`correspondents` and `tokens` count rows; `junk` and `good` the messages that the tokens are from."""

    version: int = 0
    correspondents: int = 0
    tokens: int = 0
    junk: int = 0
    good: int = 0


def learnt_topic(account_id: int) -> str:
    """The hint that `version` has changed."""
    return f"learnt:{account_id}"


_FIND = "SELECT version, correspondents, tokens, junk, good FROM learners WHERE account_id = $1"
# Work that was under way when its account went leaves nothing behind.
_CHANGE = (
    "INSERT INTO learners (account_id, version, correspondents, tokens, junk, good)"
    " SELECT account_id, $2, $3, $4, $5, $6 FROM accounts WHERE account_id = $1"
    " ON CONFLICT (account_id) DO UPDATE SET version = learners.version + $2,"
    " correspondents = learners.correspondents + $3, tokens = learners.tokens + $4,"
    " junk = learners.junk + $5, good = learners.good + $6"
)


def find(tx: Transaction, account_id: int) -> Learner:
    """The numbers of an account; zeros where it has learnt nothing."""
    row = tx.one(_FIND, account_id)
    return Learner(*row) if row is not None else Learner()


def change(
    tx: Transaction,
    account_id: int,
    *,
    version: int = 1,
    correspondents: int = 0,
    tokens: int = 0,
    junk: int = 0,
    good: int = 0,
) -> bool:
    """Adds to the numbers; `version` is 0 where no copy gets out of date. False where there is no such account."""
    return tx.execute(_CHANGE, account_id, version, correspondents, tokens, junk, good) > 0


def remove(tx: Transaction, account_id: int) -> None:
    """For an account that goes."""
    tx.execute("DELETE FROM learners WHERE account_id = $1", account_id)
