"""Identifiers made in the application: 63 bits, ordered by time, unique over all nodes without asking anybody.

    41 bits of milliseconds since 2024 | 10 bits of node | 12 bits of counter

They grow strictly even where the clock stands still or steps back, so rows keyed by them are always appended.
People see them as 13 characters of Crockford's base32 in lower case, which sort as the numbers do.
"""

from threading import Lock

from posthouse.mail.instant import Instant

EPOCH = 1_704_067_200_000_000
"""2024-01-01T00:00:00Z as an `Instant`."""

NODES = 1 << 10
"""How many nodes (processes that make ids) there can be."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
# Two characters for each ten bits: half the steps, and ids are written several times for each message.
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_DIGITS = {c: i for i, c in enumerate(_ALPHABET)} | {"i": 1, "l": 1, "o": 0}
_LENGTH = 13
_LIMIT = 1 << 63


class Ids:
    """The ids of one node; may be shared by threads. Every process of a server needs a `node` of its own."""

    def __init__(self, node: int = 0) -> None:
        """`node` is 0 to 1023."""
        if not 0 <= node < NODES:
            raise ValueError(f"a node number lies between 0 and {NODES - 1}, not {node}")
        self._node = node << 12
        self._last = 0
        self._lock = Lock()

    def next(self, now: Instant) -> int:
        """A new id, greater than every earlier one of this object, whatever the clock does."""
        tick = ((now - EPOCH) // 1000) << 12
        with self._lock:
            # The counter is the low part of the tick: when 4,096 ids of a millisecond are used up, the carry
            # borrows from the next one.
            self._last = tick = tick if tick > self._last else self._last + 1
        return (tick >> 12) << 22 | self._node | (tick & 0xFFF)


def instant(identifier: int) -> Instant:
    """When an id was made, to the millisecond."""
    return (identifier >> 22) * 1000 + EPOCH


def at(now: Instant) -> int:
    """The smallest id that can have been made at `now`: for comparing ids with times."""
    return max(0, (now - EPOCH) // 1000) << 22


def to_text(identifier: int) -> str:
    """13 characters; raises ValueError outside 0 … 2**63 - 1."""
    if not 0 <= identifier < _LIMIT:
        raise ValueError("an id is a number of 63 bits")
    pairs = [_PAIRS[identifier >> shift & 1023] for shift in (50, 40, 30, 20, 10, 0)]
    return _ALPHABET[identifier >> 60] + "".join(pairs)


def from_text(text: str) -> int:
    """The id written as 13 characters, in any case, `i` and `l` read as 1, `o` as 0; ValueError otherwise."""
    if len(text) != _LENGTH:
        raise ValueError(f"an id has {_LENGTH} characters")
    identifier = 0
    for character in text.lower():
        digit = _DIGITS.get(character)
        if digit is None:
            raise ValueError(f"{character!r} does not occur in an id")
        identifier = identifier << 5 | digit
    if identifier >= _LIMIT:
        raise ValueError("an id is a number of 63 bits")
    return identifier
