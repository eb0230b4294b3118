"""The contract of `Database`: many units share one commit, each stands and falls alone."""

import asyncio
import fcntl
import gc
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from posthouse.store.database import Fault, StoreFault, Transaction
from posthouse.store.sqlite import SqliteDatabase
from posthouse.store.writer import BATCH_UNITS
from store.rooms import Rooms


@pytest.fixture(params=[False, True], ids=["in the thread", "on the loop"])
def counter(rooms: Rooms, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Rooms:
    """Units that do not say where they run do so in the thread, and then again on the loop."""
    rooms.do(lambda tx: tx.execute("CREATE TABLE counter (n BIGINT NOT NULL PRIMARY KEY)"))
    monkeypatch.setattr(rooms.database, "write", partial(rooms.database.write, quick=request.param))
    return rooms


def insert(number: int) -> Callable[[Transaction], int]:
    return lambda tx: tx.execute("INSERT INTO counter (n) VALUES ($1)", number)


def numbers(rooms: Rooms) -> list[int]:
    return [row[0] for row in rooms.see(lambda tx: tx.all("SELECT n FROM counter ORDER BY n"))]


def fail_after(number: int) -> Callable[[Transaction], int]:
    def unit(tx: Transaction) -> int:
        tx.execute("INSERT INTO counter (n) VALUES ($1)", number)
        raise LookupError(number)

    return unit


def test_a_write_gives_the_units_result_and_reads_see_it(counter: Rooms) -> None:
    assert counter.do(insert(7)) == 1
    assert counter.see(lambda tx: tx.one("SELECT n FROM counter")) == (7,)
    assert counter.see(lambda tx: tx.one("SELECT n FROM counter WHERE n = $1", 8)) is None
    assert counter.run(counter.database.read(lambda tx: tx.all("SELECT n FROM counter"))) == [(7,)]


def test_many_changes_count_together(counter: Rooms) -> None:
    assert counter.do(lambda tx: tx.many("INSERT INTO counter (n) VALUES ($1)", [(n,) for n in range(5)])) == 5
    assert counter.do(lambda tx: tx.execute("DELETE FROM counter WHERE n = ANY($1)", [1, 2, 99])) == 2


def test_columns_come_in_the_order_of_the_rows(counter: Rooms) -> None:
    assert counter.see(lambda tx: tx.columns(2, "SELECT n, n FROM counter ORDER BY n")) == [[], []]
    counter.do(lambda tx: tx.many("INSERT INTO counter (n) VALUES ($1)", [(n * 7919 % 10_007,) for n in range(3_000)]))
    wanted = sorted((row[0] for row in counter.see(lambda tx: tx.all("SELECT n FROM counter"))), reverse=True)[10:]
    sql = "SELECT n, -n FROM counter ORDER BY n DESC LIMIT 10000 OFFSET $1"
    assert counter.see(lambda tx: tx.columns(2, sql, 10)) == [wanted, [-n for n in wanted]]


@pytest.mark.parametrize("failing", [0, 1, 30, 63, 99])
def test_one_failing_unit_does_not_hurt_the_others(counter: Rooms, failing: int) -> None:
    async def together() -> list[object]:
        units = [fail_after(n) if n == failing else insert(n) for n in range(100)]
        return await asyncio.gather(*map(counter.database.write, units), return_exceptions=True)

    results = counter.run(together())
    assert isinstance(results.pop(failing), LookupError)
    assert results == [1] * 99
    assert numbers(counter) == [n for n in range(100) if n != failing]


def test_every_failing_unit_gets_its_own_exception(counter: Rooms) -> None:
    async def together() -> list[object]:
        units = [fail_after(n) if n % 3 == 0 else insert(n) for n in range(60)]
        return await asyncio.gather(*map(counter.database.write, units), return_exceptions=True)

    results = counter.run(together())
    assert [result.args[0] for result in results if isinstance(result, LookupError)] == list(range(0, 60, 3))
    assert numbers(counter) == [n for n in range(60) if n % 3]


def test_a_broken_constraint_is_the_units_own_affair(counter: Rooms) -> None:
    counter.do(insert(1))

    async def together() -> list[object]:
        return await asyncio.gather(*[counter.database.write(insert(n % 4)) for n in range(8)], return_exceptions=True)

    results = counter.run(together())
    assert sum(isinstance(result, sqlite3.IntegrityError) for result in results) == 5
    assert numbers(counter) == [0, 1, 2, 3]
    assert counter.do(insert(9)) == 1


def test_a_unit_that_raises_before_it_changes_anything_spoils_nothing(counter: Rooms) -> None:
    runs: list[int] = []

    def look(tx: Transaction) -> None:
        tx.one("SELECT n FROM counter")
        raise LookupError

    def count(tx: Transaction) -> int:
        runs.append(1)
        return insert(len(runs))(tx)

    async def together() -> list[object]:
        units = [count, look, count, look, count]
        return await asyncio.gather(*map(counter.database.write, units), return_exceptions=True)

    results = counter.run(together())
    assert [isinstance(result, LookupError) for result in results] == [False, True, False, True, False]
    assert len(runs) == 3


def test_units_that_wait_share_a_commit(counter: Rooms) -> None:
    """While the first unit runs, the others queue up behind it; they are one transaction then."""
    started, go_on = threading.Event(), threading.Event()
    batches: list[int] = []

    def slow(tx: Transaction) -> None:
        started.set()
        go_on.wait(10)

    async def together() -> None:
        loop = asyncio.get_running_loop()
        database = counter.database
        hand_back = loop.call_soon_threadsafe

        def counted(callback: object, *values: object) -> object:
            if isinstance(values[0], list):
                batches.append(len(values[0]))
            return hand_back(callback, *values)  # type: ignore[arg-type]

        loop.call_soon_threadsafe = counted  # type: ignore[assignment, method-assign]
        first = asyncio.ensure_future(database.write(slow, quick=False))
        await loop.run_in_executor(None, started.wait)
        others = [asyncio.ensure_future(database.write(insert(n))) for n in range(100)]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, *others)
        loop.call_soon_threadsafe = hand_back  # type: ignore[method-assign]

    counter.run(together())
    assert sum(batches) == 101
    assert max(batches) <= BATCH_UNITS
    assert len(batches) <= 4


@pytest.mark.parametrize("end", ["ROLLBACK", "COMMIT"])
def test_a_unit_that_meddles_with_the_transaction_stops_nobody_for_good(counter: Rooms, end: str) -> None:
    def meddle(tx: Transaction) -> None:
        tx.execute(end)
        raise LookupError

    async def together() -> list[object]:
        units = [insert(1), meddle, insert(2)]
        return await asyncio.gather(*map(counter.database.write, units), return_exceptions=True)

    results = counter.run(together())
    assert isinstance(results[1], Exception)
    assert counter.do(insert(3)) == 1
    assert 3 in numbers(counter)


def test_a_cancelled_caller_leaves_the_others_their_results(counter: Rooms) -> None:
    async def together() -> list[object]:
        tasks = [asyncio.ensure_future(counter.database.write(insert(n))) for n in range(10)]
        await asyncio.sleep(0)
        tasks[4].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = counter.run(together())
    assert isinstance(results.pop(4), asyncio.CancelledError)
    assert results == [1] * 9


def test_a_reader_sees_one_snapshot(counter: Rooms) -> None:
    counter.do(insert(1))
    started, go_on = threading.Event(), threading.Event()

    def twice(tx: Transaction) -> tuple[object, object]:
        before = tx.all("SELECT n FROM counter")
        started.set()
        go_on.wait(10)
        return before, tx.all("SELECT n FROM counter")

    async def together() -> tuple[object, object]:
        reading = asyncio.ensure_future(counter.database.read(twice))
        await asyncio.get_running_loop().run_in_executor(None, started.wait)
        await counter.database.write(insert(2))
        go_on.set()
        return await reading

    assert counter.run(together()) == ([(1,)], [(1,)])
    assert numbers(counter) == [1, 2]


@pytest.mark.parametrize("quick", [True, False])
def test_reads_change_nothing(counter: Rooms, quick: bool) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        counter.run(counter.database.read(insert(1), quick=quick))
    assert numbers(counter) == []


@pytest.mark.parametrize("quick", [True, False])
def test_a_reading_unit_may_raise(counter: Rooms, quick: bool) -> None:
    def unit(tx: Transaction) -> None:
        tx.one("SELECT 1")
        raise LookupError

    for _ in range(3):
        with pytest.raises(LookupError):
            counter.run(counter.database.read(unit, quick=quick))
    assert numbers(counter) == []


def test_a_result_left_unread_keeps_no_snapshot(counter: Rooms) -> None:
    """`one` on several rows must not pin the log for ever."""
    counter.do(lambda tx: tx.many("INSERT INTO counter (n) VALUES ($1)", [(n,) for n in range(100)]))
    for number in range(100, 103):
        counter.see(lambda tx: tx.one("SELECT n FROM counter"))
        counter.do(lambda tx: tx.one("SELECT n FROM counter"))
        counter.do(insert(number))
        assert counter.see(lambda tx: tx.one("SELECT MAX(n) FROM counter")) == (number,)


def test_nothing_of_a_unit_stays_alive_after_it(counter: Rooms) -> None:
    class Body:
        pass

    async def once() -> "weakref.ref[Body]":
        body = Body()
        await counter.database.write(lambda tx: body and None)
        return weakref.ref(body)

    held = counter.run(once())
    counter.do(insert(1))
    gc.collect()
    assert held() is None


def test_closing_finishes_what_waits_and_refuses_what_comes_later(tmp_path: Path) -> None:
    rooms = Rooms("sqlite", tmp_path)
    rooms.do(lambda tx: tx.execute("CREATE TABLE counter (n BIGINT NOT NULL PRIMARY KEY)"))

    async def together() -> list[object]:
        tasks = [asyncio.ensure_future(rooms.database.write(insert(n))) for n in range(200)]
        await asyncio.sleep(0)
        await rooms.database.close()
        await rooms.database.close()
        results = await asyncio.gather(*tasks)
        for attempt in (rooms.database.write(insert(1)), rooms.database.read(insert(1), quick=True)):
            with pytest.raises(StoreFault) as caught:
                await attempt
            assert caught.value.fault is Fault.BUSY
        return results

    assert rooms.run(together()) == [1] * 200
    rooms.close()
    again = Rooms("sqlite", tmp_path)
    assert len(numbers(again)) == 200
    again.close()


def test_more_than_can_wait_is_turned_away(counter: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posthouse.store.sqlite.WAITING_LIMIT", 10)
    started, go_on = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        started.set()
        go_on.wait(10)

    async def together() -> list[object]:
        first = asyncio.ensure_future(counter.database.write(slow, quick=False))
        await asyncio.get_running_loop().run_in_executor(None, started.wait)
        others = [asyncio.ensure_future(counter.database.write(insert(n))) for n in range(20)]
        await asyncio.sleep(0)
        go_on.set()
        await first
        return await asyncio.gather(*others, return_exceptions=True)

    results = counter.run(together())
    assert results[:10] == [1] * 10
    assert all(isinstance(result, StoreFault) and result.fault is Fault.BUSY for result in results[10:])


def test_the_log_starts_anew_while_writing_goes_on(counter: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posthouse.store.writer.CHECKPOINT_OCTETS", 256 * 1024)
    counter.do(lambda tx: tx.execute("CREATE TABLE bodies (octets BYTEA)"))
    assert isinstance(counter.database, SqliteDatabase)

    async def pour() -> None:
        async def one() -> None:
            for _ in range(150):
                await counter.database.write(
                    lambda tx: tx.execute("INSERT INTO bodies VALUES ($1)", b"x" * 20_000), octets=20_000
                )

        await asyncio.gather(*[one() for _ in range(8)])

    counter.run(pour())
    written = 8 * 150 * 20_000
    assert (counter.folder / "post.db-wal").stat().st_size < written / 2
    assert counter.see(lambda tx: tx.one("SELECT COUNT(*) FROM bodies")) == (1200,)


def test_nobody_learns_of_a_commit_before_the_log_is_synced(counter: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """THREATS, facts 4: with synchronous=NORMAL alone a power cut lost 40 of 40 acknowledged messages."""
    assert counter.do(lambda tx: tx.one("PRAGMA synchronous")) == (1,)
    assert counter.do(lambda tx: tx.one("PRAGMA journal_mode")) == ("wal",)
    log = (counter.folder / "post.db-wal").stat()
    synced: list[tuple[int, int]] = []
    go_on = threading.Event()

    def fdatasync(descriptor: int) -> None:
        go_on.wait(10)
        synced.append((os.fstat(descriptor).st_dev, os.fstat(descriptor).st_ino))

    async def together() -> None:
        writing = [asyncio.ensure_future(counter.database.write(insert(n))) for n in range(100)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in writing)
        go_on.set()
        await asyncio.gather(*writing)

    monkeypatch.setattr("posthouse.store.commit.os.fdatasync", fdatasync)
    counter.run(together())
    assert set(synced) == {(log.st_dev, log.st_ino)}
    assert len(synced) <= 4
    # Who changes nothing waits for no disk.
    assert counter.do(lambda tx: tx.one("SELECT COUNT(*) FROM counter")) == (100,)
    assert len(synced) <= 4


def test_readers_cannot_write(counter: Rooms) -> None:
    assert counter.see(lambda tx: tx.one("PRAGMA query_only")) == (1,)


def test_quick_units_and_others_run_in_the_order_they_came(rooms: Rooms) -> None:
    order: list[tuple[int, bool]] = []

    def unit(number: int, tx: Transaction) -> None:
        tx.one("SELECT 1")
        order.append((number, threading.current_thread() is threading.main_thread()))

    async def together() -> None:
        await asyncio.gather(*[rooms.database.write(partial(unit, n), quick=n % 5 != 3) for n in range(20)])

    rooms.run(together())
    assert [number for number, _ in order] == list(range(20))
    assert {here for number, here in order if number in (3, 8, 13, 18)} == {False}
    assert order[0] == (0, True)


def test_while_another_process_writes_the_loop_goes_on(rooms: Rooms) -> None:
    """The turn at the lock file is somebody else's for a while: shorter or longer than the loop looks for it."""
    path = rooms.folder / "post.db-turn"

    async def together(seconds: float) -> int:
        with path.open("r+") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            writing = asyncio.ensure_future(rooms.database.write(lambda tx: 7, quick=True))
            for _ in range(10):
                await asyncio.sleep(seconds / 10)
                assert not writing.done()
        return await writing

    assert rooms.run(together(0.005)) == 7
    assert rooms.run(together(0.2)) == 7


@pytest.mark.parametrize("quick", [True, False])
def test_a_program_that_takes_no_turns_is_waited_for(rooms: Rooms, quick: bool) -> None:
    other = sqlite3.connect(rooms.folder / "post.db", isolation_level=None)

    async def together() -> int:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.ensure_future(rooms.database.write(lambda tx: 7, quick=quick))
        await asyncio.sleep(0.1)
        assert not writing.done()
        other.execute("COMMIT")
        return await writing

    assert rooms.run(together()) == 7
    other.close()
