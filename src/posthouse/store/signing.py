"""Keys that sign our mail, and where each of them stands (functions on `tx`).

    published → active → retired → withdrawn

A key is *published* while its record spreads in the DNS and nothing is signed with it yet; *active* keys sign, usually
one of RSA and one of Ed25519; a *retired* one signs no more and its private half is forgotten, but its record has to
stay for mail that is still under way; *withdrawn* is one whose record may be taken out of the DNS. Selectors carry the
day they were made on and are never used twice.

Making keys takes some 100 ms for RSA: `generate` outside of a transaction and off the event loop, then `add`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

from posthouse.checks.dkim import KeyFault, SigningKey
from posthouse.checks.dkim.keys import Algorithm
from posthouse.mail.instant import SECOND, Instant
from posthouse.store.database import Row, Transaction

# The first letter of a selector tells the algorithm. In the order in which mail is signed with them.
_LETTERS: dict[Algorithm, str] = {"rsa-sha256": "r", "ed25519-sha256": "e"}
_ORDER = list(_LETTERS)
_MORE = "bcdefghijklmnopqrstuvwxyz"
# Loading a key checks it, which takes much longer than signing with it.
_KEYS_LOADED = 1_024


class KeyState(StrEnum):
    """Where a key stands. The value is stored."""

    PUBLISHED = "published"
    ACTIVE = "active"
    RETIRED = "retired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One key. `record` is the text of its TXT record at `dns_name`; `private` is empty from RETIRED on."""

    domain: str
    selector: str
    algorithm: Algorithm
    state: KeyState
    created: Instant
    activated: Instant | None
    retired: Instant | None
    withdrawn: Instant | None
    record: str
    private: bytes = field(repr=False)

    @property
    def dns_name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"

    def load(self) -> SigningKey:
        """The key, ready to sign. `KeyFault` where what is stored is none (any more)."""
        return _load(self.domain, self.selector, self.private)


_COLUMNS = "domain, selector, algorithm, state, created, activated, retired, withdrawn, record, private"
_OF_DOMAIN = f"SELECT {_COLUMNS} FROM signing_keys WHERE domain = $1 ORDER BY created, selector"  # noqa: S608
_ACTIVE = f"SELECT {_COLUMNS} FROM signing_keys WHERE domain = $1 AND state = 'active'"  # noqa: S608
_ADD = (
    f"INSERT INTO signing_keys ({_COLUMNS})"  # noqa: S608
    " VALUES ($1, $2, $3, $4, $5, $6, NULL, NULL, $7, $8)"
)
_RETIRE = (
    "UPDATE signing_keys SET state = 'retired', retired = $2, private = NULL WHERE domain = $1 AND state = 'active'"
)
_ACTIVATE = "UPDATE signing_keys SET state = 'active', activated = $2 WHERE domain = $1 AND state = 'published'"
_WITHDRAW = (
    "UPDATE signing_keys SET state = 'withdrawn', withdrawn = $2"
    " WHERE domain = $1 AND state = 'retired' AND retired <= $3"
)
_FORGET = (
    "UPDATE signing_keys SET state = 'withdrawn', retired = COALESCE(retired, $2), withdrawn = $2, private = NULL"
    " WHERE domain = $1 AND state <> 'withdrawn'"
)


def generate(domain: str, now: Instant, taken: Iterable[str] = ()) -> tuple[SigningKey, ...]:
    """A new key of each algorithm; `taken` are selectors the domain has or had. None for a domain of one label
    (localhost), nor for one so long that no record fits below it: d= has to be a name that others can ask for."""
    if "." not in domain:
        return ()
    used = set(taken)
    try:
        return tuple(
            SigningKey.generate(domain, _selector(letter, now, used), algorithm)
            for algorithm, letter in _LETTERS.items()
        )
    except KeyFault:
        return ()


def add(tx: Transaction, keys: Iterable[SigningKey], state: KeyState, now: Instant) -> None:
    """Stores new keys as PUBLISHED or ACTIVE."""
    activated = now if state is KeyState.ACTIVE else None
    tx.many(
        _ADD,
        [
            (key.domain, key.selector, key.algorithm, state.value, now, activated, key.dns_record(), key.der())
            for key in keys
        ],
    )


def keys(tx: Transaction, domain: str) -> list[StoredKey]:
    """All keys a domain has or had, oldest first."""
    return [_key(row) for row in tx.all(_OF_DOMAIN, domain)]


def active(tx: Transaction, domain: str) -> list[StoredKey]:
    """What signs for a domain, RSA first; empty where nothing does.

    A domain without active keys of its own, such as the name of this host, has those of the nearest domain above it:
    such a signature is aligned with its From as well, unless the domain asks for strict alignment (RFC 9989 §4.4).
    """
    while domain:
        rows = tx.all(_ACTIVE, domain)
        if rows:
            return sorted(map(_key, rows), key=lambda key: (_ORDER.index(key.algorithm), key.selector))
        above = domain.partition(".")[2]
        # No key is a whole top-level domain's.
        domain = above if "." in above else ""
    return []


def switch(tx: Transaction, domain: str, now: Instant) -> bool:
    """The published keys sign from now on, those that did until now are retired; False where none is published."""
    if not any(key.state is KeyState.PUBLISHED for key in keys(tx, domain)):
        return False
    tx.execute(_RETIRE, domain, now)
    tx.execute(_ACTIVATE, domain, now)
    return True


def withdraw(tx: Transaction, domain: str, now: Instant, retired_before: Instant) -> int:
    """Gives up the keys that were retired by that time; gives how many."""
    return tx.execute(_WITHDRAW, domain, now, retired_before)


def forget(tx: Transaction, domain: str, now: Instant) -> None:
    """Withdraws all keys of a domain that is no longer ours. Should it be ours again, their selectors are taken: other
    servers may still remember the records."""
    tx.execute(_FORGET, domain, now)


def _key(row: Row) -> StoredKey:
    domain, selector, algorithm, state, created, activated, retired, withdrawn, record, private = row
    return StoredKey(
        domain, selector, algorithm, KeyState(state), created, activated, retired, withdrawn, record, private or b""
    )


def _selector(letter: str, now: Instant, used: set[str]) -> str:
    day = datetime.fromtimestamp(now // SECOND, UTC).strftime("%Y%m%d")
    free = [name for more in ("", *_MORE) if (name := f"{letter}{day}{more}") not in used]
    # Nobody rotates 26 times a day; if somebody did, the time of day is as good a name.
    return free[0] if free else f"{letter}{now // SECOND}"


@lru_cache(maxsize=_KEYS_LOADED)
def _load(domain: str, selector: str, private: bytes) -> SigningKey:
    return SigningKey.load(domain, selector, private)
