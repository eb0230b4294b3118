"""The journeys of messages: every decision about a message, kept with it in the same commit (functions on `tx`).

A stamp is stored as `[at, step, facts]` in JSON. Finding a journey by its Message-ID reads a narrow table from its end
(some 20 million names a second); an index would cost every acceptance a random page for the sake of a rare question.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from posthouse.mail.instant import Instant
from posthouse.mail.journey import Fact, Journey, Stamp, Step
from posthouse.store import ids
from posthouse.store.database import Fault, StoreFault, Transaction
from posthouse.store.queue import SHARD

SWEEP_LIMIT = 1_000
"""Journeys forgotten in one transaction."""

_BEGIN = "INSERT INTO journeys (journey_id, message_id, stamps) VALUES ($1, $2, $3)"
_NAME = "INSERT INTO journey_names (journey_id, name) VALUES ($1, $2)"
_APPEND = (
    "INSERT INTO journey_parts (journey_id, part, stamps) SELECT $1,"
    " (SELECT COALESCE(MAX(part), 0) + 1 FROM journey_parts WHERE journey_id = $1), $2"
    " FROM journeys WHERE journey_id = $1"
)
_LOAD = "SELECT message_id, stamps FROM journeys WHERE journey_id = $1"
_PARTS = "SELECT stamps FROM journey_parts WHERE journey_id = $1 ORDER BY part"
_FIND = "SELECT journey_id FROM journey_names WHERE name = $1 ORDER BY journey_id DESC LIMIT $2"
_MESSAGE_ID = "SELECT message_id FROM journeys WHERE journey_id = $1"
_RECENT = "SELECT journey_id FROM journeys ORDER BY journey_id DESC LIMIT $1"
_OLD = (
    "SELECT journey_id FROM journeys j WHERE journey_id < $1"
    " AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.shard = $3 AND d.journey_id = j.journey_id)"
    " ORDER BY journey_id LIMIT $2"
)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[tuple[Instant, str, dict[str, Any]]]).decode


def begin(tx: Transaction, journey_id: int, message_id: str, stamps: Sequence[Stamp]) -> None:
    """Starts a journey with what happened so far. `message_id` as in the field, without angle brackets, or empty."""
    message_id = message_id.encode("utf-8", "replace").decode()
    tx.execute(_BEGIN, journey_id, message_id, _octets(stamps))
    tx.execute(_NAME, journey_id, _name(message_id))


def append(tx: Transaction, journey_id: int, stamps: Sequence[Stamp]) -> None:
    """Adds what happened later; does nothing when the journey is not (or no longer) there or `stamps` is empty."""
    if stamps:
        tx.execute(_APPEND, journey_id, _octets(stamps))


def load(tx: Transaction, journey_id: int) -> Journey | None:
    """The whole journey, oldest stamp first. `StoreFault` where what is stored cannot be read."""
    row = tx.one(_LOAD, journey_id)
    if row is None:
        return None
    stamps = _stamps(row[1])
    for (part,) in tx.all(_PARTS, journey_id):
        stamps += _stamps(part)
    # Several recipients are tried at once, so parts may overlap; equal times keep their order.
    stamps.sort(key=lambda stamp: stamp.at)
    return Journey(journey_id, row[0], tuple(stamps))


def find(tx: Transaction, message_id: str, limit: int = 20) -> list[int]:
    """Journey ids of messages with that Message-ID (with or without angle brackets), newest first."""
    message_id = message_id.strip().removeprefix("<").removesuffix(">")
    found = [row[0] for row in tx.all(_FIND, _name(message_id), limit)]
    # The narrow table holds 63 bits of a hash.
    return [journey_id for journey_id in found if tx.one(_MESSAGE_ID, journey_id) == (message_id,)]


def recent(tx: Transaction, limit: int = 20) -> list[int]:
    """The newest journey ids, newest first."""
    return [row[0] for row in tx.all(_RECENT, limit)]


def sweep(tx: Transaction, before: Instant, limit: int = SWEEP_LIMIT) -> int:
    """Forgets up to `limit` journeys that began before `before` and are not in the queue; gives how many."""
    old = [(row[0],) for row in tx.all(_OLD, ids.at(before), limit, SHARD)]
    for table in ("journeys", "journey_parts", "journey_names"):
        tx.many(f"DELETE FROM {table} WHERE journey_id = $1", old)  # noqa: S608 -- names from above
    return len(old)


def _octets(stamps: Sequence[Stamp]) -> bytes:
    rows = [(stamp.at, stamp.step, stamp.facts) for stamp in stamps]
    try:
        return _encode(rows)
    except UnicodeEncodeError:
        # Half a surrogate pair, from whatever decoded a hostile field: JSON has no room for it.
        return _encode([(at, step, {key: _whole(fact) for key, fact in facts.items()}) for at, step, facts in rows])


def _whole(fact: Fact) -> Fact:
    if isinstance(fact, list):
        return [text.encode("utf-8", "replace").decode() for text in fact]
    return fact.encode("utf-8", "replace").decode() if isinstance(fact, str) else fact


def _stamps(octets: bytes) -> list[Stamp]:
    try:
        return [Stamp(at, Step(step), facts) for at, step, facts in _decode(octets)]
    except (msgspec.DecodeError, ValueError) as error:
        raise StoreFault(Fault.BROKEN, f"a journey cannot be read: {error}") from error


def _name(message_id: str) -> int:
    digest = blake2b(message_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
