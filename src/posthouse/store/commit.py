"""Units of work in one transaction of SQLite, its commit, and when that is durable.

*Commit, then sync.* SQLite's own COMMIT does not wait for the disk (`synchronous=NORMAL`); `sync` does, afterwards and
without the turn, for all that was committed before it. Nobody is told of a result before that (decision 0011).

*Turns.* Writers of several processes take turns (`turn`): whole transactions take one by themselves, while what begins
with `begin_at_once` has it until its caller gives it.

*Failing units.* Units run bare, without savepoints (a savepoint costs a tenth of a small delivery). A unit that raises
before it has changed anything fails alone at no cost. One that raises later spoils the transaction: it is taken back
and every unit runs again within a savepoint of its own. Where the disk is full, each unit gets a transaction of its
own, so that one that deletes is not refused for the sake of one that adds.
"""

import os
import sqlite3
from asyncio import Future as Waiter
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

from posthouse.store.connection import WRITER_CACHE, SqliteTransaction, connect, fault_of, is_busy, roll_back
from posthouse.store.database import Fault, StoreFault, Transaction
from posthouse.store.folder import sync_folder
from posthouse.store.room import Room
from posthouse.store.turn import Turn

BATCH_SECONDS = 0.02
"""A transaction takes no more units once it has run for so long."""
BUSY_SECONDS = 10.0
"""How long to wait for another program that has the file locked without taking turns."""

_BUSY_PAUSE = 0.001


class Job(NamedTuple):
    """A unit that waits, and who waits for it."""

    unit: Callable[[Transaction], Any]
    waiter: Waiter[Any]
    octets: int
    quick: bool


class Outcome(NamedTuple):
    """What came of a job: a result, or an error."""

    waiter: Waiter[Any]
    result: Any
    error: BaseException | None


class Spoilt(Exception):
    """A unit raised after it had changed something, or SQLite gave the transaction up; it is taken back."""


class Committer:
    """The writing connection; used by one thread at a time. `stopped` is set for good once the disk has lied."""

    def __init__(self, path: Path, reserve: int) -> None:
        """`reserve`: units that add mail are refused while the disk has fewer octets left than this.

        Raises sqlite3.Error, OSError.
        """
        self.stopped: StoreFault | None = None
        self.room = Room(path, reserve)
        self.turn = Turn(path)
        self._connection = connect(path, cache=WRITER_CACHE, writing=True)
        self._connection.execute("PRAGMA synchronous = NORMAL").close()
        self._tx = SqliteTransaction(self._connection)
        self._synced = 0
        # The first look at the file makes the log, which stays as long as anybody has the database open. All of it is
        # read: a statement left in the middle would outlive the connection, and hold its files and its snapshot.
        self._tx.all("SELECT 1 FROM sqlite_schema LIMIT 1")
        # From here on others are waited for at the turn, and nowhere else.
        self._connection.execute("PRAGMA busy_timeout = 0").close()
        self._log = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        sync_folder(path.parent)

    def close(self) -> None:
        self._connection.close()
        os.close(self._log)
        self.turn.close()

    def sync(self) -> None:
        """Returns when all that was committed is durable. Blocks. `StoreFault` where it may not be, from then on."""
        changes = self._connection.total_changes
        if changes == self._synced:
            return
        if self.stopped is not None:
            raise self.stopped.again()
        try:
            os.fdatasync(self._log)
            self._synced = changes
        except OSError as error:
            # The next one would succeed, whatever was lost.
            self.stopped = StoreFault(Fault.BROKEN, f"the database cannot be synced: {error.strerror}")
            raise self.stopped from error

    def begin_at_once(self) -> bool:
        """Takes the turn and begins a transaction if both can be had without waiting."""
        if not self.turn.take_at_once():
            return False
        try:
            self._tx.execute("BEGIN IMMEDIATE")
        except sqlite3.Error:
            # Whoever waits for it later reports what is to be reported.
            self.turn.give()
            return False
        return True

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """A whole transaction, in a turn of its own: outcomes for as many of the jobs as were tried, for at least one.

        Blocks. `StoreFault` once nothing is written any more.
        """
        if self.stopped is not None:
            raise self.stopped.again()
        self.turn.take()
        try:
            self._open()
            outcomes = self.attempt(jobs, BATCH_SECONDS)
            return self.commit(jobs[: len(outcomes)], outcomes)
        except Spoilt:
            return self._guarded(jobs)
        except sqlite3.Error as error:
            return self._failed(jobs, error)
        finally:
            self.turn.give()

    def attempt(self, jobs: Sequence[Job], seconds: float) -> list[Outcome]:
        """Runs jobs, without savepoints, until the time is up; they are to be committed. Raises `Spoilt`."""
        connection = self._connection
        end = monotonic() + seconds
        outcomes: list[Outcome] = []
        for job in jobs:
            changes = connection.total_changes
            try:
                outcomes.append(self._outcome(job))
            except BaseException as error:
                if connection.total_changes != changes or not connection.in_transaction or _is_fault(error):
                    roll_back(connection)
                    raise Spoilt from None
                outcomes.append(Outcome(job.waiter, None, error))
            if monotonic() >= end:
                break
        return outcomes

    def commit_at_once(self) -> bool:
        """Commits what was attempted; where that cannot be done it is taken back."""
        try:
            self._tx.execute("COMMIT")
        except sqlite3.Error:
            # Whoever runs the units again reports what is to be reported.
            roll_back(self._connection)
            return False
        return True

    def commit(self, jobs: Sequence[Job], outcomes: list[Outcome]) -> list[Outcome]:
        """Commits what was attempted; the outcomes, which are others where that failed."""
        try:
            self._tx.execute("COMMIT")
        except sqlite3.Error as error:
            return self._alone_or_failed(jobs, error)
        return outcomes

    def copy_log(self, pragma: str) -> None:
        """Copies the log into the database, in a turn of its own."""
        self.turn.take()
        try:
            self._connection.execute(pragma).fetchone()
        except sqlite3.Error as error:
            fault = fault_of(error)
            if fault is not None and fault.broken:
                self.stopped = fault
        finally:
            self.turn.give()

    def abandon(self, jobs: Sequence[Job], error: BaseException) -> list[Outcome]:
        """Takes back what is begun; what to tell those who wait."""
        roll_back(self._connection)
        fault = StoreFault(Fault.BUSY, f"the units could not be run: {error!r}")
        return [Outcome(job.waiter, None, fault.again()) for job in jobs]

    def _open(self) -> None:
        """Begins a transaction; waits for programs that do not take turns."""
        until = monotonic() + BUSY_SECONDS
        while True:
            try:
                self._tx.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.Error as error:
                if not is_busy(error) or monotonic() >= until:
                    raise
                sleep(_BUSY_PAUSE)

    def _guarded(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Runs all jobs in one transaction again, each within its savepoint."""
        connection, tx = self._connection, self._tx
        outcomes: list[Outcome] = []
        try:
            self._open()
            for job in jobs:
                tx.execute("SAVEPOINT unit")
                try:
                    outcomes.append(self._outcome(job))
                except BaseException as error:
                    if not connection.in_transaction or _is_fault(error):
                        raise
                    tx.execute("ROLLBACK TO unit")
                    outcomes.append(Outcome(job.waiter, None, error))
                tx.execute("RELEASE unit")
        except sqlite3.Error as error:
            return self._alone_or_failed(jobs, error)
        return self.commit(jobs, outcomes)

    def _alone_or_failed(self, jobs: Sequence[Job], error: sqlite3.Error) -> list[Outcome]:
        """After a fault of the database: no room for all may still be room for some, each in its own transaction."""
        roll_back(self._connection)
        fault = fault_of(error)
        if fault is None or not fault.full or len(jobs) == 1:
            return self._failed(jobs, error)
        return [outcome for job in jobs for outcome in self._guarded([job])]

    def _failed(self, jobs: Sequence[Job], error: sqlite3.Error) -> list[Outcome]:
        fault = fault_of(error) or StoreFault(Fault.BUSY, f"the database would not commit: {error}")
        if fault.broken:
            self.stopped = fault
        return [Outcome(job.waiter, None, fault.again()) for job in jobs]

    def _outcome(self, job: Job) -> Outcome:
        if job.octets and not self.room.enough(job.octets, self._tx):
            return Outcome(job.waiter, None, StoreFault(Fault.FULL, "the disk has hardly any room left"))
        return Outcome(job.waiter, job.unit(self._tx), None)


def _is_fault(error: BaseException) -> bool:
    return isinstance(error, sqlite3.Error) and fault_of(error) is not None
