"""The writing side of the SQLite adapter: one transaction for all who wait, one sync.

    jobs wait → a batch: turn, BEGIN, the units, COMMIT → sync in the thread → results, on the loop

*Where units run.* Quick ones run on the event loop's own thread, as soon as the batch before is durable: handing them
to another thread would cost more than they do, since each statement hands Python's lock over. Others run in the
writer's thread. Waiting for the disk is always the thread's; meanwhile the loop goes on, and what it submits is the
next batch.

*Other processes.* The loop never waits for its turn: it looks again a little later, and leaves the batch to the thread
where that goes on.
"""

import asyncio
import contextlib
import threading
from asyncio import AbstractEventLoop
from asyncio import Future as Waiter
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import NamedTuple

from posthouse.store.checkpoint import Checkpoint
from posthouse.store.commit import Committer, Job, Outcome, Spoilt
from posthouse.store.database import StoreFault
from posthouse.store.room import COMMIT_OCTETS, ROOM_SECONDS

BATCH_UNITS = 64
"""Most units in one commit."""
BATCH_OCTETS = 4 * 1024 * 1024
"""A batch takes no more units once they have announced so much mail."""
QUICK_SECONDS = 0.005
"""A batch on the loop takes no more units once it has run for so long."""
CHECKPOINT_OCTETS = 24 * 1024 * 1024
"""A checkpoint begins after about so many octets were written."""
CHECKPOINT_IDLE = 2.0
"""… or when nothing was written for so many seconds."""

# The loop looks so often whether the turn is free, and at most so many times.
_TURN_SECONDS = 0.001
_TURN_LOOKS = 20
# What a unit writes besides its mail, roughly.
_UNIT_OCTETS = 8 * 1024


class Batch(NamedTuple):
    """What the thread has to do: run the jobs and sync; or only sync, where `outcomes` are there already."""

    loop: AbstractEventLoop
    jobs: Sequence[Job]
    outcomes: list[Outcome] | None


class Writer:
    """Owns the writing side and its thread; at any time one batch is under way, on the loop or in the thread.

    `waiting` are the jobs of later batches.
    """

    def __init__(self, path: Path, reserve: int) -> None:
        """`reserve`: units that add mail are refused while the disk has fewer octets left than this.

        Raises sqlite3.Error, OSError.
        """
        self.waiting: deque[Job] = deque()
        self._under_way = False
        self._looks = 0
        self._idle: Waiter[None] | None = None
        self._written = 0
        self._cut = float("-inf")
        self._committer = Committer(path, reserve)
        self._checkpoint = Checkpoint(path, self._stop)
        self._batches: SimpleQueue[Batch | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def stopped(self) -> StoreFault | None:
        """Why nothing is written any more."""
        return self._committer.stopped

    # On the loop.

    def submit(self, job: Job) -> None:
        """Takes a job; its waiter learns what came of it."""
        self.waiting.append(job)
        if not self._under_way:
            self._under_way = True
            # Whatever else the loop has to do at this moment may want to share the commit.
            job.waiter.get_loop().call_soon(self._begin)

    async def finish(self) -> None:
        """Returns when nothing waits any more."""
        while self._under_way:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    def _begin(self) -> None:
        """The next batch of what waits."""
        if not self.waiting:
            self._under_way = False
            if self._idle is not None and not self._idle.done():
                self._idle.set_result(None)
            return
        first = self.waiting[0]
        loop = first.waiter.get_loop()
        if not first.quick or self.stopped is not None or self._looks >= _TURN_LOOKS:
            self._looks = 0
            self._batches.put(Batch(loop, self._take(), None))
        elif self._committer.begin_at_once():
            self._looks = 0
            self._begin_here(loop, self._take())
        else:
            self._looks += 1
            loop.call_later(_TURN_SECONDS, self._begin)

    def _take(self) -> list[Job]:
        """The jobs of the next batch: as many as may share a commit and run in the same place."""
        waiting = self.waiting
        quick = waiting[0].quick
        jobs: list[Job] = []
        octets = 0
        while waiting and len(jobs) < BATCH_UNITS and octets < BATCH_OCTETS and (waiting[0].quick or not quick):
            job = waiting.popleft()
            octets += job.octets
            jobs.append(job)
        return jobs

    def _begin_here(self, loop: AbstractEventLoop, jobs: list[Job]) -> None:
        committer = self._committer
        outcomes = None
        try:
            attempted = committer.attempt(jobs, QUICK_SECONDS)
            outcomes = attempted if committer.commit_at_once() else None
        except Spoilt:
            pass  # the thread finds out who is to blame
        finally:
            committer.turn.give()
        self._batches.put(Batch(loop, jobs, outcomes))

    def _end(self, outcomes: list[Outcome], left: Sequence[Job]) -> None:
        """Tells who waited, and goes on."""
        _hand_back(outcomes)
        self._go_on(left)

    def _go_on(self, left: Sequence[Job]) -> None:
        self.waiting.extendleft(reversed(left))
        self._begin()

    # In the thread.

    def close(self) -> None:
        """Ends the threads; after `finish`, and not on the loop. Blocks."""
        self._batches.put(None)
        self._thread.join()
        self._checkpoint.close()
        self._committer.close()

    def _run(self) -> None:
        while True:
            try:
                batch = self._batches.get(timeout=CHECKPOINT_IDLE if self._written else None)
            except Empty:
                self._begin_checkpoint()
                continue
            if batch is None:
                return
            outcomes = self._serve(batch)
            left = batch.jobs[len(outcomes) :]
            # A loop that is closed has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                if self._checkpoint.rest or self._committer.room.low:
                    batch.loop.call_soon_threadsafe(_hand_back, outcomes)
                    self._tend_log()
                    batch.loop.call_soon_threadsafe(self._go_on, left)
                else:
                    batch.loop.call_soon_threadsafe(self._end, outcomes, left)
            # Nothing of this batch is kept alive while the thread waits for the next.
            del batch, outcomes, left

    def _serve(self, batch: Batch) -> list[Outcome]:
        """Outcomes for as many of the jobs as were tried, in their order; for at least one."""
        committer, jobs = self._committer, batch.jobs
        try:
            outcomes = committer.run(jobs) if batch.outcomes is None else batch.outcomes
            committer.sync()
        except StoreFault as fault:
            return [Outcome(job.waiter, None, fault.again()) for job in jobs]
        except BaseException as error:
            # Whatever a unit has done to the connection: nobody waits for ever, and the thread lives on.
            outcomes = committer.abandon(jobs, error)
        self._written += COMMIT_OCTETS + sum([job.octets + _UNIT_OCTETS for job in jobs[: len(outcomes)]])
        if self._written > CHECKPOINT_OCTETS:
            self._begin_checkpoint()
        return outcomes

    def _stop(self, fault: StoreFault) -> None:
        self._committer.stopped = fault

    def _begin_checkpoint(self) -> None:
        self._written = 0
        self._checkpoint.begin()

    def _tend_log(self) -> None:
        """Between two batches: copies what came in during a checkpoint; gives the disk room back where it is short."""
        room = self._committer.room
        if self._checkpoint.rest:
            # With nothing left over, the next commit starts the log anew.
            self._checkpoint.rest = False
            self._committer.copy_log("PRAGMA wal_checkpoint(PASSIVE)")
        if room.low:
            room.low = False
            now = monotonic()
            if now - self._cut >= ROOM_SECONDS:
                self._cut = now
                # Not where a reader needs the log: nobody is waited for.
                self._committer.copy_log("PRAGMA wal_checkpoint(TRUNCATE)")


def _hand_back(outcomes: list[Outcome]) -> None:
    for waiter, result, error in outcomes:
        if waiter.done():
            # Cancelled meanwhile.
            continue
        if error is None:
            waiter.set_result(result)
        else:
            waiter.set_exception(error)
