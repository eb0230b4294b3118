"""Passwords as they are stored: Argon2id for PLAIN and LOGIN, SCRAM-SHA-256 keys for SCRAM (RFC 5802, RFC 7677).

`make` and `verify` are heavy on the processor on purpose: call them in a bounded thread pool.
"""

import secrets
from dataclasses import dataclass
from functools import cache

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from posthouse.store.database import Fault, StoreFault, Transaction
from posthouse.wire.sasl import PASSWORD_OCTETS, PreparationError, ScramKeys, derive, saslprep

SCRAM_ITERATIONS = 4096
"""PBKDF2 rounds of every account's keys; what `wire.sasl.fabricated` needs for strangers."""

_SALT_OCTETS = 16
# 19 MiB, two passes, one lane: the least memory that OWASP's advice on Argon2id allows, so that logins stay cheap.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)

_SAVE = "INSERT INTO credentials VALUES ($1, $2, $3, $4, $5, $6)"
_LOAD = "SELECT password_hash, salt, iterations, stored_key, server_key FROM credentials WHERE account_id = $1"
_REMOVE = "DELETE FROM credentials WHERE account_id = $1"


class PasswordError(ValueError):
    """The password cannot be used; the text is a sentence for its owner."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """All that is kept of one password; `password_hash` is Argon2's own text form."""

    password_hash: str
    keys: ScramKeys


def make(password: str) -> Credentials:
    """Derives what is stored (about 40 ms). `PasswordError` when empty, too long or of impossible characters."""
    try:
        prepared = saslprep(password)
    except PreparationError as error:
        raise PasswordError(f"this password cannot be used: {error}") from None
    if not prepared:
        raise PasswordError("a password cannot be empty")
    if len(prepared.encode()) > PASSWORD_OCTETS:
        raise PasswordError(f"a password has at most {PASSWORD_OCTETS} octets")
    return Credentials(_HASHER.hash(prepared), derive(prepared, secrets.token_bytes(_SALT_OCTETS), SCRAM_ITERATIONS))


def verify(password: str, password_hash: str | None) -> bool:
    """Whether the password is the one (about 25 ms). None (no such account) takes the same time and is False."""
    try:
        prepared = saslprep(password)
    except PreparationError:
        prepared = ""
    # A password that is too long is never right; it costs a try nonetheless, but not the hashing of megabytes.
    usable = 0 < len(prepared.encode()) <= PASSWORD_OCTETS
    try:
        _HASHER.verify(password_hash or _decoy(), prepared if usable else "-")
    except (VerificationError, InvalidHashError):
        return False
    return usable and password_hash is not None


def save(tx: Transaction, account_id: int, credentials: Credentials) -> None:
    """Sets the account's password; the old one is gone."""
    keys = credentials.keys
    tx.execute(_REMOVE, account_id)
    tx.execute(
        _SAVE,
        account_id,
        credentials.password_hash,
        keys.salt,
        keys.iterations,
        keys.stored_key,
        keys.server_key,
    )


def load(tx: Transaction, account_id: int) -> Credentials | None:
    """The account's credentials, None where it has no password."""
    row = tx.one(_LOAD, account_id)
    return None if row is None else Credentials(row[0], ScramKeys(*row[1:]))


def remove(tx: Transaction, account_id: int) -> None:
    """Takes the password away: nobody can log in until a new one is set."""
    tx.execute(_REMOVE, account_id)


def secret(tx: Transaction) -> bytes:
    """The 32 octets of this house for `wire.sasl.fabricated`, made when the database was; the same for ever."""
    row = tx.one("SELECT value FROM house WHERE name = 'secret'")
    if row is None:
        raise StoreFault(Fault.BROKEN, "the secret of the house is missing from the database")
    value: bytes = row[0]
    return value


@cache
def _decoy() -> str:
    return _HASHER.hash(secrets.token_hex(16))
