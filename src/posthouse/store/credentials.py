"""Passwords as they are stored: Argon2id for PLAIN and LOGIN, SCRAM-SHA-256 keys for SCRAM (RFC 5802, RFC 7677).

`make` and `verify` are heavy on the processor on purpose: call them in a bounded thread pool.
"""

from dataclasses import dataclass

from posthouse.store.database import Transaction
from posthouse.wire.sasl import ScramKeys

SCRAM_ITERATIONS = 4096
"""PBKDF2 rounds of every account's keys; what `wire.sasl.fabricated` needs for strangers."""


class PasswordError(ValueError):
    """The password cannot be used; the text is a sentence for its owner."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """All that is kept of one password; `password_hash` is Argon2's own text form."""

    password_hash: str
    keys: ScramKeys


def make(password: str) -> Credentials:
    """Derives what is stored (about 40 ms). `PasswordError` when empty, too long or of impossible characters."""
    raise NotImplementedError


def verify(password: str, password_hash: str | None) -> bool:
    """Whether the password is the one (about 25 ms). None (no such account) takes the same time and is False."""
    raise NotImplementedError


def save(tx: Transaction, account_id: int, credentials: Credentials) -> None:
    """Sets the account's password; the old one is gone."""
    raise NotImplementedError


def load(tx: Transaction, account_id: int) -> Credentials | None:
    """The account's credentials, None where it has no password."""
    raise NotImplementedError


def secret(tx: Transaction) -> bytes:
    """The 32 octets of this house for `wire.sasl.fabricated`, made when the database was; the same for ever."""
    raise NotImplementedError
