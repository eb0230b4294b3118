"""The port to the database: what a unit of work may do, and what every engine promises.

A *unit* is a plain function of a `Transaction`. It must be rerunnable: an engine may run it, take it back and run
it again, so its only lasting effect is what it does through the transaction. It may run in any thread. A unit that
raises takes back its own work alone, whoever shares its commit; its exception goes to its caller.

SQL is one text for every engine, in the style of PostgreSQL: `$1`, `$2`, … bound by number, `= ANY($n)` for a `list`
of integers or strings, `RETURNING`, `ON CONFLICT`. Times are BIGINT microseconds, truth values SMALLINT, octets BYTEA.
The database's own clock and sequences are never used.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Value = int | str | bytes | None
Row = tuple[Any, ...]


class Transaction(Protocol):
    """What a unit of work sees. Rows are tuples. Never keep one beyond the unit.

    A list given for `= ANY($n)` holds integers or strings; every other value is a `Value`.
    """

    def execute(self, sql: str, *values: Value | list[int] | list[str]) -> int:
        """Runs one statement; gives the number of rows it changed."""
        ...

    def many(self, sql: str, rows: Iterable[Sequence[Value]]) -> int:
        """Runs one statement for each row of values; gives the number of rows changed in all."""
        ...

    def one(self, sql: str, *values: Value | list[int] | list[str]) -> Row | None:
        """The first row, or None."""
        ...

    def all(self, sql: str, *values: Value | list[int] | list[str]) -> list[Row]:
        """All rows."""
        ...

    def columns(self, count: int, sql: str, *values: Value | list[int] | list[str]) -> list[list[int]]:
        """All rows of a query of `count` columns of integers, column by column, in the order of the rows.

        For the many rows of a whole mailbox this is four times as fast as `all`, and hardly holds up other threads.
        """
        ...


Unit = Callable[[Transaction], T]


class Database(Protocol):
    """One open database. Called from the event loop's thread."""

    async def write(self, unit: Callable[[Transaction], T], *, octets: int = 0, quick: bool = False) -> T:
        """Runs the unit and returns its result once its commit is durable; many units share one commit.

        `octets`: about how much mail the unit adds to what is kept (the body of an acceptance or APPEND); 0 for all
        else. Such a unit is refused with FULL while the disk has hardly any room, so that deleting and administration
        go on; and the fewer units share a commit, the larger they are.
        `quick`: a few rows by key, well below a millisecond; runs in the calling thread, which saves much of its cost.
        Raises what the unit raises (its work is then undone), or `StoreFault` when the commit is not known to be
        durable. If the caller is cancelled while it waits, the unit may have been committed or not.
        """
        ...

    async def read(self, unit: Callable[[Transaction], T], *, quick: bool = False) -> T:
        """Runs the unit on one consistent snapshot; it sees every write that was awaited before.

        `quick`: a few rows by key; runs in the calling thread. Anything that may take milliseconds is not quick.
        """
        ...

    async def close(self) -> None:
        """Finishes what waits, then closes. Later calls raise `StoreFault`."""
        ...


RESERVE = 16 * 1024 * 1024
"""Octets that mail leaves free on the disk (but never more than a twentieth of it)."""


def kept_free(disk: os.statvfs_result, reserve: int = RESERVE) -> int:
    """How many octets of `disk` mail leaves free, so that deleting and administration go on when it is full."""
    return min(reserve, disk.f_blocks * disk.f_frsize // 20)


class Fault(StrEnum):
    """What kind of fault it is."""

    FULL = "full"          # no room on the disk; heals by itself once there is
    BROKEN = "broken"      # the disk or the file lies: writing has stopped for good
    BUSY = "busy"          # too much is waiting, or the database is closed


class StoreFault(Exception):
    """The work is not known to be durable, or what is stored cannot be trusted: answer 4xx, never 250.

    Its text is a sentence for the log, not for a remote client.
    """

    def __init__(self, fault: Fault, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault

    def again(self) -> "StoreFault":
        """The same fault for one more caller, with a traceback of its own."""
        return StoreFault(self.fault, str(self))

    @property
    def full(self) -> bool:
        """The disk is full (452 4.3.1)."""
        return self.fault is Fault.FULL

    @property
    def broken(self) -> bool:
        """Nothing can be written before a person has looked (421 4.3.0)."""
        return self.fault is Fault.BROKEN


class SerializationFault(Exception):
    """Raised and caught inside an adapter: the engine asks for the unit to be run again. No caller ever sees it."""
