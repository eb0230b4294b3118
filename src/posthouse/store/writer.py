"""The writing side of the SQLite adapter: one thread, one transaction for all who wait, one commit.

Units run bare, without savepoints (a savepoint costs a tenth of a small delivery). A unit that raises before it has
changed anything fails alone at no cost. One that raises later spoils the batch: it is taken back and every unit runs
again within a savepoint of its own. Where the disk is full, each unit gets a transaction of its own, so
that one that deletes is not refused for the sake of one that adds.
"""

import contextlib
import fcntl
import os
import sqlite3
import threading
from asyncio import Future as Waiter
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, NamedTuple

from posthouse.store.connection import BUSY_MS, WRITER_CACHE, SqliteTransaction, connect, fault_of, roll_back
from posthouse.store.database import Fault, StoreFault, Transaction, kept_free

BATCH_UNITS = 64
"""Most units in one commit."""
BATCH_OCTETS = 4 * 1024 * 1024
"""A batch takes no more units once they have announced so much mail."""
BATCH_SECONDS = 0.02
"""A batch takes no more units once it has run for so long."""
CHECKPOINT_OCTETS = 24 * 1024 * 1024
"""A checkpoint begins after about so many octets were written."""
CHECKPOINT_IDLE = 2.0
"""… or when nothing was written for so many seconds."""
ROOM_SECONDS = 0.2
"""How long an answer about the room on the disk is good for at most."""

# What a commit and a unit write besides their mail, roughly.
_COMMIT_OCTETS = 32 * 1024
_UNIT_OCTETS = 8 * 1024

_CHECKPOINT_CACHE = 256
_CHECKPOINT_PASSES = 3
_CHECKPOINT_REST = 256  # pages that the writer may copy itself without keeping anybody waiting
_PAGE = 4096


class Job(NamedTuple):
    """A unit that waits, and who waits for it."""

    unit: Callable[[Transaction], Any]
    waiter: Waiter[Any]
    octets: int


class Errand(Enum):
    """What the writer does between two batches."""

    CLOSE = auto()
    RESTART_LOG = auto()


class Outcome(NamedTuple):
    """What came of a job: a result, or an error."""

    waiter: Waiter[Any]
    result: Any
    error: BaseException | None


Waiting = SimpleQueue[Job | Errand | StoreFault]


class _Spoilt(Exception):
    """A unit raised after it had changed something, or SQLite gave the transaction up."""


class Writer:
    """Owns the writing connection and its thread. `stopped` is set for good once the disk has lied."""

    def __init__(self, path: Path, reserve: int) -> None:
        """`reserve`: units that add mail are refused while the disk has fewer octets left than this."""
        self.waiting: Waiting = SimpleQueue()
        self.stopped: StoreFault | None = None
        self._room = Room(path, reserve)
        self._connection = connect(path, cache=WRITER_CACHE, writing=True)
        self._tx = SqliteTransaction(self._connection)
        self._turn = os.open(f"{path}-turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held: Job | Errand | StoreFault | None = None
        self._written = 0
        self._cut = float("-inf")
        self._checkpoint = Checkpoint(path, self.waiting)
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finishes what waits, then ends the threads. Blocks."""
        self.waiting.put(Errand.CLOSE)
        self._thread.join()
        self._checkpoint.close()
        self._connection.close()
        os.close(self._turn)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            outcomes = self._serve(job)
            loop = outcomes[0].waiter.get_loop()
            # A loop that is closed has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_hand_back, outcomes)
            # Nothing of this batch is kept alive while the thread waits for the next.
            del job, outcomes, loop

    def _next(self) -> Job | None:
        """The next job, after the errands before it; None: it is over."""
        while True:
            waits, self._held = self._held, None
            if waits is None:
                try:
                    waits = self.waiting.get(timeout=CHECKPOINT_IDLE if self._written else None)
                except Empty:
                    self._begin_checkpoint()
                    continue
            if isinstance(waits, Job):
                return waits
            if waits is Errand.CLOSE:
                return None
            if waits is Errand.RESTART_LOG:
                self._restart_log()
            else:
                self.stopped = waits

    def _serve(self, job: Job) -> list[Outcome]:
        jobs: list[Job] = []
        if self.stopped is not None:
            return [Outcome(job.waiter, None, self.stopped.again())]
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            try:
                outcomes = self._bare(job, jobs)
            except _Spoilt:
                outcomes = self._guarded(jobs)
        except BaseException as error:
            # Whatever a unit has done to the connection: nobody waits for ever, and the thread lives on.
            roll_back(self._connection)
            fault = StoreFault(Fault.BUSY, f"the units could not be run: {error!r}")
            outcomes = [Outcome(each.waiter, None, fault.again()) for each in jobs]
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)
        self._written += _COMMIT_OCTETS + sum([job.octets + _UNIT_OCTETS for job in jobs])
        if self._written > CHECKPOINT_OCTETS:
            self._begin_checkpoint()
        if self._room.low:
            self._cut_log()
        return outcomes

    def _bare(self, job: Job, jobs: list[Job]) -> list[Outcome]:
        """Runs `job` and whatever else waits, without savepoints; raises `_Spoilt` when that does not do."""
        connection, tx, waiting = self._connection, self._tx, self.waiting
        outcomes: list[Outcome] = []
        try:
            tx.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            jobs.append(job)
            return self._failed(jobs, error)
        end = monotonic() + BATCH_SECONDS
        octets = 0
        while True:
            jobs.append(job)
            changes = connection.total_changes
            try:
                outcomes.append(self._outcome(job))
            except BaseException as error:
                if connection.total_changes != changes or not connection.in_transaction or _is_fault(error):
                    roll_back(connection)
                    raise _Spoilt from None
                outcomes.append(Outcome(job.waiter, None, error))
            octets += job.octets
            if len(jobs) >= BATCH_UNITS or octets >= BATCH_OCTETS or waiting.empty() or monotonic() >= end:
                break
            following = waiting.get()
            if not isinstance(following, Job):
                self._held = following
                break
            job = following
        return self._commit(jobs, outcomes)

    def _guarded(self, jobs: list[Job]) -> list[Outcome]:
        """Runs all jobs in one transaction again, each within its savepoint."""
        connection, tx = self._connection, self._tx
        outcomes: list[Outcome] = []
        try:
            tx.execute("BEGIN IMMEDIATE")
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
        return self._commit(jobs, outcomes)

    def _commit(self, jobs: list[Job], outcomes: list[Outcome]) -> list[Outcome]:
        try:
            self._tx.execute("COMMIT")
        except sqlite3.Error as error:
            return self._alone_or_failed(jobs, error)
        return outcomes

    def _alone_or_failed(self, jobs: list[Job], error: sqlite3.Error) -> list[Outcome]:
        """After a fault of the database: no room for all may still be room for some, each in its own transaction."""
        roll_back(self._connection)
        fault = fault_of(error)
        if fault is None or not fault.full or len(jobs) == 1:
            return self._failed(jobs, error)
        return [outcome for job in jobs for outcome in self._guarded([job])]

    def _failed(self, jobs: list[Job], error: sqlite3.Error) -> list[Outcome]:
        fault = fault_of(error) or StoreFault(Fault.BUSY, f"the database would not commit: {error}")
        if fault.broken:
            self.stopped = fault
        return [Outcome(job.waiter, None, fault.again()) for job in jobs]

    def _outcome(self, job: Job) -> Outcome:
        if job.octets and not self._room.enough(job.octets, self._tx):
            return Outcome(job.waiter, None, StoreFault(Fault.FULL, "the disk has hardly any room left"))
        return Outcome(job.waiter, job.unit(self._tx), None)

    def _begin_checkpoint(self) -> None:
        self._written = 0
        self._checkpoint.begin()

    def _restart_log(self) -> None:
        """Copies what came in during the checkpoint; with nothing left over, the next commit starts the log anew."""
        self._copy_log("PRAGMA wal_checkpoint(PASSIVE)")

    def _cut_log(self) -> None:
        """Gives the disk the log's room back, unless a reader needs it; not more often than once in a while."""
        self._room.low = False
        now = monotonic()
        if now - self._cut >= ROOM_SECONDS:
            self._cut = now
            # Nobody waits for a reader here.
            self._connection.execute("PRAGMA busy_timeout = 0").close()
            self._copy_log("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}").close()

    def _copy_log(self, pragma: str) -> None:
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            self._connection.execute(pragma).fetchone()
        except sqlite3.Error as error:
            fault = fault_of(error)
            if fault is not None and fault.broken:
                self.stopped = fault
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)


class Checkpoint:
    """Copies the log into the database, in a thread beside the writer's."""

    def __init__(self, path: Path, waiting: Waiting) -> None:
        """`waiting` is told when little is left to copy, or that the disk has failed."""
        self._connection = connect(path, cache=_CHECKPOINT_CACHE, writing=True)
        self._waiting = waiting
        self._wanted: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-checkpoint", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Asks for a checkpoint; returns at once."""
        if self._wanted.empty():
            self._wanted.put(True)

    def close(self) -> None:
        """Ends the thread. Blocks."""
        self._wanted.put(False)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while self._wanted.get():
            try:
                self._copy()
            except sqlite3.Error as error:
                fault = fault_of(error)
                # Without room, or beside another process's checkpoint, it is simply tried again later.
                if fault is not None and fault.broken:
                    self._waiting.put(fault)

    def _copy(self) -> None:
        for _ in range(_CHECKPOINT_PASSES):
            busy, log, copied = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if busy:
                return
            if log - copied < _CHECKPOINT_REST:
                break
        self._waiting.put(Errand.RESTART_LOG)


class Room:
    """Whether the disk has room for more mail.

    Everything counts twice, since what is written to the log needs room in the database as well, once it is copied.
    `low` is set when little more than the reserve is left: then the log is to be cut to nothing.
    """

    def __init__(self, path: Path, reserve: int) -> None:
        self.low = False
        self._path = path
        self._log = Path(f"{path}-wal")
        self._reserve = reserve
        self._margin = reserve
        self._left = 0
        self._until = 0.0

    def enough(self, octets: int, tx: Transaction) -> bool:
        """Whether so many octets more leave the reserve untouched."""
        wanted = 2 * (octets + octets // 8 + _COMMIT_OCTETS)
        self._left -= wanted
        if self._left < 0 or monotonic() >= self._until:
            self._left = self._look() - wanted
            self._until = monotonic() + ROOM_SECONDS
        self.low = self.low or self._left < self._margin
        if self._left >= 0:
            return True
        # Pages that removed mail has left in the file are room as well.
        row = tx.one("PRAGMA freelist_count")
        return row is not None and self._left + row[0] * _PAGE >= 0

    def _look(self) -> int:
        disk = os.statvfs(self._path)
        log = self._log.stat().st_size if self._log.exists() else 0
        self._margin = kept_free(disk, self._reserve)
        return disk.f_bavail * disk.f_frsize - log - self._margin


def _is_fault(error: BaseException) -> bool:
    return isinstance(error, sqlite3.Error) and fault_of(error) is not None


def _hand_back(outcomes: list[Outcome]) -> None:
    """In the event loop: one call for the whole batch."""
    for waiter, result, error in outcomes:
        if waiter.done():
            # Cancelled meanwhile.
            continue
        if error is None:
            waiter.set_result(result)
        else:
            waiter.set_exception(error)
