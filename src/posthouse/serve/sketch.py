"""Limits that hold for all processes of one server together, counted in memory that they share.

    shared = SharedLimits(processes, services)    # before the processes are forked
    shared.join(number)                           # in each of them, as it begins

A `Sketch` does what a `Tally` does, for all processes: it is a count-min sketch, whose cells a key reaches by two
hashes under a secret of this start. Each process writes a row of its own and reads those of all, so nobody waits for a
lock, and a process that dies leaves none behind. A count is too high where other keys share both cells of a key: with
some 300 addresses at their limits, that happens to one stranger in ten thousand. Two processes that count the last
place of an address at the same moment may both refuse it; they do not both give it away.
"""

import math
import mmap
from collections.abc import Hashable, Iterable
from hashlib import blake2b
from secrets import token_bytes

from posthouse.serve.balance import Balance
from posthouse.serve.login import Doorkeeper

CELLS = 1 << 15
"""Cells for each of the two hashes; the share of them that is taken, squared, is how often a stranger meets others."""
_CELL = 2  # numbers: the count, and the time it is of
_NUMBER = 4  # octets, a float: counts up to sixteen millions are exact
_ROW = 2 * CELLS * _CELL


class Sketch:
    """Counts per key that halve every `half_life` seconds (`math.inf`: that stay), as all processes made them.

    The methods are those of `limits.Tally`. `process` says whose row is written.
    """

    __slots__ = ("_half_life", "_memory", "_rows", "_secret", "process")

    def __init__(self, processes: int, half_life: float) -> None:
        self.process = 0
        self._half_life = half_life
        self._secret = token_bytes(16)
        # Nobody's file, and the same pages in every process that is forked from this one. A page that no key has
        # reached takes no memory.
        self._memory = mmap.mmap(-1, processes * _ROW * _NUMBER)
        numbers = memoryview(self._memory).cast("f")
        self._rows = [numbers[start : start + _ROW] for start in range(0, processes * _ROW, _ROW)]

    def add(self, key: Hashable, now: float, amount: float = 1.0) -> float:
        row = self._rows[self.process]
        cells = self._cells(key)
        for cell in cells:
            # Who reads between the two sees one count that has faded too much or too little, once.
            row[cell] = self._faded(row, cell, now) + amount
            row[cell + 1] = now
        return self._least(cells, now)

    def count(self, key: Hashable, now: float) -> float:
        return self._least(self._cells(key), now)

    def forget(self, key: Hashable, now: float) -> None:
        # What others have counted is theirs to write: our row makes up for it, and fades as theirs do.
        self.add(key, now, -self.count(key, now))

    def vacate(self) -> None:
        """Forget all that this process, or one that had its place before, has counted."""
        size = _ROW * _NUMBER
        self._memory.madvise(mmap.MADV_REMOVE, self.process * size, size)

    def _cells(self, key: Hashable) -> tuple[int, int]:
        digest = blake2b(repr(key).encode(), key=self._secret, digest_size=8).digest()
        number = int.from_bytes(digest, "little")
        return number % CELLS * _CELL, ((number >> 32) % CELLS + CELLS) * _CELL

    def _least(self, cells: tuple[int, int], now: float) -> float:
        one, other = cells
        return min(
            sum([self._faded(row, one, now) for row in self._rows]),
            sum([self._faded(row, other, now) for row in self._rows]),
        )

    def _faded(self, row: "memoryview[float]", cell: int, now: float) -> float:
        return float(row[cell] * 0.5 ** (max(0.0, now - row[cell + 1]) / self._half_life))


class SharedLimits:
    """What the processes of one server count together. Made before they are."""

    def __init__(self, processes: int, services: Iterable[str]) -> None:
        self.processes = processes
        self.balance = Balance(processes, services)
        self._sketches: list[Sketch] = []
        self.strangers = self._sketch(math.inf)
        self.doorkeeper = Doorkeeper(self._sketch)

    def join(self, process: int) -> None:
        """Say in a process which one it is, counted from 0. The connections of one that died are forgotten with it."""
        for sketch in self._sketches:
            sketch.process = process
        self.strangers.vacate()
        self.balance.join(process)

    def _sketch(self, half_life: float) -> Sketch:
        sketch = Sketch(self.processes, half_life)
        self._sketches.append(sketch)
        return sketch
