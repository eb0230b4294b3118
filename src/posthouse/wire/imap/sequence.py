"""Sets of sequence numbers or unique identifiers (RFC 3501 §9, sequence-set), held as ranges and never spread out.

`1:4294967295` costs as much as `1:2`; a set of n ranges costs n log n once.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from posthouse.wire.imap.faults import Malformed

MAXIMUM = 0xFFFFFFFF
# Stands for "*" until the mailbox is known. Larger than any number, so that it sorts last.
STAR = 1 << 32

TOKEN = re.compile(rb"[0-9*][0-9*:,]*")
_RANGE = re.compile(rb"([1-9][0-9]{0,9}|\*)(?::([1-9][0-9]{0,9}|\*))?")

Ranges = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """The ranges as given, each with its lower bound first; `STAR` where `*` was."""

    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, token: bytes) -> "SequenceSet":
        """From `2,4:7,9,12:*`. Raises Malformed."""
        ranges = []
        for item in token.split(b","):
            found = _RANGE.fullmatch(item)
            if found is None:
                raise Malformed("not a sequence set")
            low = _number(found[1])
            high = low if found[2] is None else _number(found[2])
            ranges.append((low, high) if low <= high else (high, low))
        return cls(tuple(ranges))

    def resolve(self, last: int) -> Ranges:
        """The same numbers in rising order, without overlaps or neighbours, `*` being `last`."""
        if len(self.ranges) == 1:
            low, high = self.ranges[0]
            return [_placed(low, high, last)]
        merged: Ranges = []
        for low, high in sorted(_placed(low, high, last) for low, high in self.ranges):
            if merged and low <= merged[-1][1] + 1:
                if high > merged[-1][1]:
                    merged[-1] = (merged[-1][0], high)
            else:
                merged.append((low, high))
        return merged


def _placed(low: int, high: int, last: int) -> tuple[int, int]:
    # RFC 3501 §9: 3291:* includes the last one even where that is below 3291.
    if high == STAR:
        low = last if low == STAR else low
        high = last
        if low > high:
            low, high = high, low
    return low, high


def _number(token: bytes) -> int:
    if token == b"*":
        return STAR
    number = int(token)
    if number > MAXIMUM:
        raise Malformed("a number is larger than 4294967295")
    return number


def render(numbers: Ranges) -> bytes:
    """As sent: `1:3,7`. The ranges are rising and apart."""
    return b",".join([b"%d" % low if low == high else b"%d:%d" % (low, high) for low, high in numbers])


def gather(numbers: Iterable[int]) -> Ranges:
    """Rising numbers as ranges of neighbours."""
    ranges: Ranges = []
    for number in numbers:
        if ranges and ranges[-1][1] + 1 == number:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges
