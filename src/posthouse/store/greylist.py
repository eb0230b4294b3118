"""Who was asked to come again, and who did (RFC 6647): functions on `tx`.

    state = look(tx, attempt, now)           FRESH, EARLY, READY or KNOWN; TOUCHED: known and written down today
    put_off(tx, attempt, now)                FRESH or EARLY: it is written down that somebody was asked to come again
    let_in(tx, attempt, now)                 READY or KNOWN: from now on this client is known for this author's domain
    forget(tx, attempt)                      it is as if it had never been put off

An attempt is a client's network, the author in the envelope and the first recipient. Who comes again after
`PATIENCE`, and before `WINDOW` is over, has shown that it keeps a queue, as nearly every honest server does and most
senders of junk do not; it is then known with all mail of that domain, as long as it comes once in `KNOWN_FOR`. Only
digests of names are kept.
"""

from enum import StrEnum
from hashlib import blake2b
from ipaddress import ip_address
from typing import Final, NamedTuple

from posthouse.mail.address import Address
from posthouse.mail.instant import DAY, MINUTE, Instant
from posthouse.store.database import Transaction

# RFC 6647 §5: from one minute to 24 hours; what retries at all does so within minutes or hours.
PATIENCE: Final = 4 * MINUTE
WINDOW: Final = 2 * DAY
KNOWN_FOR: Final = 36 * DAY
# How often it is written down that somebody known came again.
_TOUCH: Final = DAY
# Servers that send from several addresses have them near each other.
_NETWORK_BITS: Final = {4: 24, 6: 64}
# Attempts that wait, beyond which the oldest are forgotten.
WAITING_MOST: Final = 200_000
_SWEPT: Final = 5_000

_FIND = "SELECT key, first_seen, last_seen, passed FROM greylist WHERE key = $1 OR key = $2"
_SINCE = "SELECT first_seen FROM greylist WHERE key = $1"
_WAIT = (
    "INSERT INTO greylist (key, first_seen, last_seen, passed) VALUES ($1, $2, $2, NULL)"
    " ON CONFLICT (key) DO UPDATE SET last_seen = $2,"
    # Begun too long ago; or later than now, by a clock that was set back since.
    " first_seen = CASE WHEN greylist.first_seen BETWEEN $3 AND $2 THEN greylist.first_seen ELSE $2 END"
)
_KNOW = (
    "INSERT INTO greylist (key, first_seen, last_seen, passed) VALUES ($1, $2, $2, $2)"
    " ON CONFLICT (key) DO UPDATE SET last_seen = $2"
)
_FORGET = "DELETE FROM greylist WHERE key = $1"
_SWEEP = (
    "DELETE FROM greylist WHERE key IN (SELECT key FROM greylist WHERE last_seen < $1"
    " AND (passed IS NULL OR last_seen < $2) ORDER BY last_seen LIMIT $3)"
)
_COUNT = "SELECT COUNT(*) FROM greylist WHERE passed IS NULL"
_CROWD = (
    "DELETE FROM greylist WHERE key IN"
    " (SELECT key FROM greylist WHERE passed IS NULL ORDER BY last_seen LIMIT $1)"
)


class State(StrEnum):
    """How an attempt stands."""

    FRESH = "fresh"      # nobody knows it
    EARLY = "early"      # it was asked to come again, and has come too soon
    READY = "ready"      # it was asked to come again, and has
    KNOWN = "known"      # it has before
    TOUCHED = "touched"  # and that is written down for today


class Attempt(NamedTuple):
    """Digests of an attempt, and of the client with the author's domain."""

    attempt: bytes
    client: bytes

    @classmethod
    def of(cls, ip: str, helo: str, mail_from: Address | None, rcpt: Address) -> "Attempt":
        """For the null reverse-path HELO stands for the author. ValueError where `ip` is no address."""
        address = ip_address(ip)
        bits = address.max_prefixlen - _NETWORK_BITS[address.version]
        network = f"{address.version}:{int(address) >> bits:x}"
        domain = mail_from.domain if mail_from is not None else helo.lower()
        author = f"{mail_from.key}@{domain}" if mail_from is not None else domain
        return cls(_digest(network, author, rcpt.key, rcpt.domain), _digest(network, domain))

    @classmethod
    def of_domain(cls, domain: str) -> "Attempt":
        """For what waits because of a domain, whoever brings it."""
        return cls(_digest("names", domain), b"")


def waiting_since(tx: Transaction, attempt: Attempt, now: Instant) -> Instant | None:
    """When it was first asked to come again; None where that was never, or too long ago."""
    row = tx.one(_SINCE, attempt.attempt)
    # A clock that was set back makes nobody wait for years.
    return row[0] if row is not None and 0 <= now - row[0] < WINDOW else None


def look(tx: Transaction, attempt: Attempt, now: Instant) -> State:
    """How it stands, by two rows."""
    rows = {bytes(row[0]): row[1:] for row in tx.all(_FIND, attempt.attempt, attempt.client)}
    known = rows.get(attempt.client)
    if known is not None and known[2] is not None and now - known[1] < KNOWN_FOR:
        return State.TOUCHED if now - known[1] < _TOUCH else State.KNOWN
    waiting = rows.get(attempt.attempt)
    # A clock that was set back makes nobody wait for years.
    if waiting is None or not 0 <= now - waiting[0] < WINDOW:
        return State.FRESH
    return State.READY if now - waiting[0] >= PATIENCE else State.EARLY


def put_off(tx: Transaction, attempt: Attempt, now: Instant) -> None:
    """Writes down that it was asked to come again; its time runs from the first try."""
    tx.execute(_WAIT, attempt.attempt, now, now - WINDOW)


def let_in(tx: Transaction, attempt: Attempt, now: Instant) -> None:
    """Writes down that it has come again."""
    forget(tx, attempt)
    tx.execute(_KNOW, attempt.client, now)


def forget(tx: Transaction, attempt: Attempt) -> None:
    """What it was waiting for is over."""
    tx.execute(_FORGET, attempt.attempt)


def sweep(tx: Transaction, now: Instant) -> int:
    """Forgets whoever did not come again, or not for long, some thousands at a time; gives how many."""
    count = tx.execute(_SWEEP, now - WINDOW, now - KNOWN_FOR, _SWEPT)
    waiting: int = (tx.one(_COUNT) or (0,))[0]
    if waiting > WAITING_MOST:
        count += tx.execute(_CROWD, waiting - WAITING_MOST)
    return count


def _digest(*parts: str) -> bytes:
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
