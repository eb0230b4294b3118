"""Bodies: spooled, durable, checked, swept, never lost."""

import asyncio
import errno
import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from posthouse.mail.instant import HOUR
from posthouse.store import messages, queue
from posthouse.store.blobs import HELD_LIMIT, INLINE_LIMIT, SPOOL_PIECE, Blobs, Content, put
from posthouse.store.database import StoreFault, Transaction
from store.rooms import Rooms
from store.test_queue import enqueue

LARGE = INLINE_LIMIT + 100_000


async def gather(content: Content) -> bytes:
    return b"".join([piece async for piece in content.chunks(70_000)])


def files(rooms: Rooms) -> list[Path]:
    return [path for path in (rooms.folder / "blobs").rglob("*") if path.is_file()]


def keep(rooms: Rooms, octets: bytes) -> Content:
    content = rooms.content(octets)
    rooms.do(lambda tx: put(tx, content))
    return content


@pytest.mark.parametrize("size", [0, 1, 4_096, INLINE_LIMIT, INLINE_LIMIT + 1, LARGE, 3 * LARGE])
@pytest.mark.parametrize("piece", [65_536, 10**9])
def test_what_went_in_comes_out(rooms: Rooms, size: int, piece: int) -> None:
    octets = os.urandom(size)

    async def take() -> Content:
        spool = rooms.blobs.spool()
        for start in range(0, size, piece):
            spool.write(memoryview(octets)[start : start + piece])
            assert spool.size == min(size, start + piece)
        return await spool.finish()

    content = rooms.run(take())
    assert content.size == size
    assert content.digest == hashlib.sha256(octets).digest()
    assert (content.path is None) == (size <= INLINE_LIMIT)
    assert (content.octets is None) == (size > INLINE_LIMIT)
    rooms.do(lambda tx: put(tx, content))
    loaded = rooms.run(rooms.blobs.load(content.blob_id))
    assert loaded == content
    for each in (content, loaded):
        with each.open() as inside:
            assert inside[:] == octets
        assert rooms.run(gather(each)) == octets
    assert rooms.run(rooms.blobs.read(content.blob_id)) == octets


@pytest.mark.parametrize("size", [1_000, LARGE])
def test_ranges_are_those_of_a_slice(rooms: Rooms, size: int) -> None:
    octets = os.urandom(size)
    content = keep(rooms, octets)
    edges = [-5, 0, 1, size // 2, size - 1, size, size + 1, 2 * size]
    for start in edges:
        for end in [*edges[1:], None]:
            assert rooms.run(rooms.blobs.read(content.blob_id, start, end)) == octets[max(0, start) : end]


def test_a_large_body_is_synced_before_it_counts_as_finished(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """THREATS, facts 4: without fsync, or without that of the folder, a power cut lost 40 of 40."""
    done: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def note_sync(descriptor: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def note_rename(path: Path, target: Path) -> Path:
        done.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "rename", note_rename)
    rooms.content(bytes(LARGE))
    # The folder for bodies that begin like this one is new as well.
    assert done == ["file", "folder", "rename", "folder"]


def test_memory_holds_no_more_than_a_piece_of_a_large_body(rooms: Rooms) -> None:
    spool = rooms.blobs.spool()
    for _ in range(200):
        spool.write(bytes(65_536))
    assert len(spool._octets) <= 2 * INLINE_LIMIT
    assert len(files(rooms)) == 1
    spool.discard()
    spool.discard()
    assert files(rooms) == []


@pytest.mark.parametrize("size", [HELD_LIMIT // 40, INLINE_LIMIT, LARGE, 3 * LARGE])
def test_many_bodies_that_come_in_at_once_hold_little_together(rooms: Rooms, size: int) -> None:
    octets = os.urandom(size)

    async def take() -> list[Content]:
        spools = [rooms.blobs.spool() for _ in range(60)]
        most = 0
        for start in range(0, size, 50_000):
            for spool in spools:
                spool.write(memoryview(octets)[start : start + 50_000])
                most = max(most, rooms.blobs.held)
                assert rooms.blobs.held == sum(len(each._octets) for each in spools)
        assert most <= HELD_LIMIT + 2 * SPOOL_PIECE
        spools.pop().discard()
        return [await spool.finish() for spool in spools]

    for content in rooms.run(take()):
        with content.open() as inside:
            assert inside[:] == octets
        assert (content.octets is None) == (size > INLINE_LIMIT)
    # What had to wait in a file and became a row has left no file behind.
    assert len(files(rooms)) == (59 if size > INLINE_LIMIT else 0)
    assert rooms.blobs.held == 0


def test_a_body_that_waits_in_a_file_is_a_fault_where_it_cannot_be_read_back(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posthouse.store.blobs.HELD_LIMIT", -1)

    async def take(pread: Callable[[int, int, int], bytes]) -> None:
        spool = rooms.blobs.spool()
        spool.write(bytes(INLINE_LIMIT))
        monkeypatch.setattr(os, "pread", pread)
        with pytest.raises(StoreFault):
            await spool.finish()
        spool.discard()

    def broken(descriptor: int, size: int, at: int) -> bytes:
        raise OSError(5, "Input/output error")

    rooms.run(take(broken))
    rooms.run(take(lambda descriptor, size, at: bytes(size - 1)))
    assert files(rooms) == []


def test_a_finished_body_that_nobody_took_can_be_discarded(rooms: Rooms) -> None:
    large, small = rooms.content(bytes(LARGE)), rooms.content(b"small")
    assert len(files(rooms)) == 1
    for _ in range(2):
        rooms.run(rooms.blobs.discard(large))
        rooms.run(rooms.blobs.discard(small))
    assert files(rooms) == []


def test_putting_twice_is_harmless(rooms: Rooms) -> None:
    content = rooms.content(b"octets")
    rooms.do(lambda tx: (put(tx, content), put(tx, content)))
    rooms.do(lambda tx: put(tx, content))
    assert rooms.see(lambda tx: tx.one("SELECT COUNT(*) FROM blobs")) == (1,)


@pytest.mark.parametrize("size", [6, LARGE])
def test_the_same_octets_are_kept_once(rooms: Rooms, size: int) -> None:
    octets = os.urandom(size)
    first, second = keep(rooms, octets), rooms.content(octets)
    assert first.blob_id != second.blob_id
    assert rooms.do(lambda tx: put(tx, second)) == first.blob_id
    assert rooms.see(lambda tx: tx.one("SELECT COUNT(*) FROM blobs")) == (1,)
    assert rooms.run(rooms.blobs.read(first.blob_id)) == octets


def test_a_damaged_copy_is_mended_by_the_same_octets_coming_in(rooms: Rooms) -> None:
    """Else what was acknowledged just now would lie where it cannot be read."""
    first = keep(rooms, b"whole and sound")
    rooms.do(lambda tx: tx.execute("UPDATE blobs SET octets = $1", b"whole and s0und"))
    with pytest.raises(StoreFault):
        rooms.run(rooms.blobs.load(first.blob_id))
    assert keep(rooms, b"whole and sound").octets == b"whole and sound"
    assert rooms.run(rooms.blobs.load(first.blob_id)).octets == b"whole and sound"


@pytest.mark.parametrize("harm", ["flip", "cut", "lose", "none"])
def test_a_damaged_file_is_mended_by_the_same_octets_coming_in(rooms: Rooms, harm: str) -> None:
    body = os.urandom(LARGE)
    first = keep(rooms, body)
    assert first.path is not None
    if harm == "flip":
        first.path.write_bytes(body[:-5] + bytes((body[-5] ^ 4,)) + body[-4:])
    elif harm == "cut":
        first.path.write_bytes(body[:-5])
    elif harm == "lose":
        first.path.unlink()
    second = rooms.content(body)

    def taken_back(tx: Transaction) -> None:
        assert put(tx, second) == first.blob_id
        raise LookupError

    with pytest.raises(LookupError):
        rooms.do(taken_back)
    assert second.path is not None
    # A unit may be run again, and the second file may be needed yet.
    assert second.path.read_bytes() == body
    assert [rooms.do(lambda tx: put(tx, second)) for _ in range(2)] == [first.blob_id] * 2
    fresh = Blobs(rooms.folder / "blobs", rooms.database, rooms.ids, lambda: rooms.now)
    loaded = rooms.run(fresh.load(first.blob_id))
    assert loaded.path == first.path
    assert rooms.run(gather(loaded)) == body
    assert sorted(files(rooms)) == sorted([first.path, second.path])


def test_where_files_have_one_name_only_a_good_one_is_left_and_a_lost_one_told(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*names: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    body = os.urandom(LARGE)
    first, second = keep(rooms, body), rooms.content(body)
    monkeypatch.setattr(os, "link", no_links)
    assert rooms.do(lambda tx: put(tx, second)) == first.blob_id
    assert rooms.run(rooms.blobs.read(first.blob_id)) == body
    assert first.path is not None
    first.path.unlink()
    with pytest.raises(StoreFault):
        rooms.do(lambda tx: put(tx, second))


def test_another_date_keeps_the_same_octets_apart_and_that_is_all(rooms: Rooms) -> None:
    contents = [rooms.content(b"octets") for _ in range(4)]
    ids = [
        rooms.do(lambda tx, c=content, d=dated: put(tx, c, d))  # type: ignore[misc]
        for content, dated in zip(contents, (None, 5, 0, 5), strict=True)
    ]
    assert ids == [contents[0].blob_id, contents[1].blob_id, contents[0].blob_id, contents[1].blob_id]


def test_a_letter_that_comes_twice_refers_to_one_body(rooms: Rooms) -> None:
    rooms.settle_in()
    uids = [rooms.deliver(octets=b"Subject: twice\r\n\r\n").uid for _ in range(2)]
    rows = rooms.see(lambda tx: messages.fetch(tx, rooms.account_id, 1, messages.EVERY, ("uid", "blob_id", "octets")))
    assert [row[0] for row in rows] == uids
    assert len({row[1] for row in rows}) == 1
    assert rows[1][2] == b"Subject: twice\r\n\r\n"


def test_what_is_missing_is_a_fault(rooms: Rooms) -> None:
    for attempt in (rooms.blobs.load(99), rooms.blobs.read(99)):
        with pytest.raises(StoreFault, match="missing"):
            rooms.run(attempt)
    content = keep(rooms, bytes(LARGE))
    assert content.path is not None
    content.path.unlink()
    for attempt in (rooms.blobs.load(content.blob_id), rooms.blobs.read(content.blob_id, 0, 5)):
        with pytest.raises(StoreFault, match="cannot be read"):
            rooms.run(attempt)


@pytest.mark.parametrize("harm", ["flip", "cut", "grow"])
def test_a_damaged_file_is_never_served_as_good(rooms: Rooms, harm: str) -> None:
    content = keep(rooms, os.urandom(LARGE))
    assert content.path is not None
    octets = bytearray(content.path.read_bytes())
    if harm == "flip":
        octets[-5] ^= 4
    elif harm == "cut":
        del octets[-5:]
    else:
        octets += b"more"
    content.path.write_bytes(octets)
    fresh = Blobs(rooms.folder / "blobs", rooms.database, rooms.ids, lambda: rooms.now)
    with pytest.raises(StoreFault) as caught:
        rooms.run(fresh.load(content.blob_id))
    assert caught.value.broken
    with pytest.raises(StoreFault):
        rooms.run(gather(content))
    if harm != "grow":
        with pytest.raises(StoreFault):
            rooms.run(fresh.read(content.blob_id))
    if harm != "flip":
        with pytest.raises(StoreFault), content.open():
            pass


def test_no_room_for_a_large_body_is_a_fault_that_heals(rooms: Rooms) -> None:
    from store.test_faults import files_end_at

    with files_end_at(300_000):
        spool = rooms.blobs.spool()
        with pytest.raises(StoreFault) as caught:
            deque(map(spool.write, [bytes(65_536)] * 20))
        assert caught.value.full
        spool.discard()
    assert files(rooms) == []
    assert rooms.content(bytes(LARGE)).path is not None


def test_a_large_body_leaves_the_reserve_free(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    class Disk:
        f_frsize, f_blocks, f_bavail = 4096, 1 << 30, 1000

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstatvfs", lambda descriptor: Disk)
        spool = rooms.blobs.spool()
        with pytest.raises(StoreFault) as caught:
            spool.write(bytes(LARGE))
        assert caught.value.full
        spool.discard()
    assert files(rooms) == []


def test_a_file_is_not_closed_under_the_thread_that_completes_it(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number that is free again may be anybody's file or socket a moment later."""
    begun, go_on = threading.Event(), threading.Event()
    sync = os.fsync

    def slow(descriptor: int) -> None:
        begun.set()
        go_on.wait(10)
        sync(descriptor)

    async def cancelled() -> None:
        spool = rooms.blobs.spool()
        spool.write(bytes(LARGE))
        finishing = asyncio.create_task(spool.finish())
        await asyncio.to_thread(begun.wait, 10)
        finishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await finishing
        spool.discard()
        go_on.set()
        while not [path for path in files(rooms) if path.parent.name != "tmp"]:
            await asyncio.sleep(0.01)

    monkeypatch.setattr(os, "fsync", slow)
    rooms.run(asyncio.wait_for(cancelled(), 20))


def test_after_a_failed_fsync_no_large_body_is_taken(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    def lie(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lie)
        with pytest.raises(StoreFault) as caught:
            rooms.content(bytes(LARGE))
        assert caught.value.broken
    with pytest.raises(StoreFault) as caught:
        rooms.content(bytes(LARGE))
    assert caught.value.broken
    assert rooms.content(b"small").octets == b"small"


def sweep_after_grace(rooms: Rooms) -> int:
    swept = rooms.run(rooms.blobs.sweep(rooms.now))
    rooms.now += HOUR
    return swept + rooms.run(rooms.blobs.sweep(rooms.now))


@pytest.mark.parametrize("size", [100, LARGE])
def test_a_body_goes_when_its_last_message_is_expunged(rooms: Rooms, size: int) -> None:
    rooms.settle_in()
    kept = rooms.deliver(octets=os.urandom(size))
    gone = rooms.deliver(octets=os.urandom(size))
    rooms.do(lambda tx: messages.expunge(tx, rooms.account_id, 1, ((gone.uid, gone.uid),), flagged=0))
    assert rooms.run(rooms.blobs.sweep(rooms.now)) == 0
    assert rooms.run(rooms.blobs.sweep(rooms.now + HOUR - 1)) == 0
    assert rooms.run(rooms.blobs.sweep(rooms.now + HOUR)) == 1
    assert rooms.see(lambda tx: tx.one("SELECT COUNT(*) FROM blobs")) == (1,)
    assert len(files(rooms)) == (size > INLINE_LIMIT)
    (blob_id,) = rooms.see(lambda tx: messages.fetch(tx, rooms.account_id, 1, messages.EVERY, ("blob_id",)))[0]
    assert rooms.run(rooms.blobs.load(blob_id)).size == size
    assert kept.uid == 1


def test_a_body_stays_while_anything_refers_to_it(rooms: Rooms) -> None:
    """A copy, another account's message, the queue: each keeps it, and the last one to go lets it go."""
    rooms.settle_in()
    added = rooms.deliver()
    account_id = rooms.account_id
    everything = ((added.uid, added.uid),)
    rooms.do(lambda tx: messages.copy(tx, account_id, 1, everything, 3))
    (blob_id,) = rooms.see(lambda tx: messages.fetch(tx, account_id, 1, everything, ("blob_id",)))[0]
    journey_id = enqueue(rooms, ["x@far.test"], blob_id=blob_id)
    rooms.do(lambda tx: messages.expunge(tx, account_id, 1, flagged=0))
    assert sweep_after_grace(rooms) == 0
    rooms.do(lambda tx: messages.expunge(tx, account_id, 3, flagged=0))
    assert sweep_after_grace(rooms) == 0
    rooms.do(lambda tx: queue.drop(tx, journey_id))
    assert sweep_after_grace(rooms) == 1
    assert rooms.see(lambda tx: tx.all("SELECT * FROM blobs")) == []
    assert rooms.see(lambda tx: tx.all("SELECT * FROM loose_blobs")) == []


def test_a_body_that_is_referred_to_again_is_not_swept(rooms: Rooms) -> None:
    rooms.settle_in()
    added = rooms.deliver()
    (row,) = rooms.see(lambda tx: messages.fetch(tx, rooms.account_id, 1, messages.EVERY, ("blob_id",)))
    rooms.do(lambda tx: messages.expunge(tx, rooms.account_id, 1, ((added.uid, added.uid),), flagged=0))
    rooms.run(rooms.blobs.sweep(rooms.now))
    enqueue(rooms, ["x@far.test"], blob_id=row[0])
    rooms.now += HOUR
    assert rooms.run(rooms.blobs.sweep(rooms.now)) == 0
    assert rooms.run(rooms.blobs.load(row[0])).size > 0


def test_where_the_disk_is_short_a_body_goes_at_once_but_none_that_is_needed_or_on_its_way(rooms: Rooms) -> None:
    rooms.settle_in()
    kept = rooms.deliver(octets=os.urandom(LARGE))
    gone = rooms.deliver(octets=os.urandom(LARGE))
    coming = rooms.content(os.urandom(LARGE))
    rooms.do(lambda tx: messages.expunge(tx, rooms.account_id, 1, ((gone.uid, gone.uid),), flagged=0))
    # Sixteen calls look through all folders.
    assert sum(rooms.run(rooms.blobs.sweep(rooms.now, short=True)) for _ in range(16)) == 1
    (blob_id,) = rooms.see(lambda tx: messages.fetch(tx, rooms.account_id, 1, messages.EVERY, ("blob_id",)))[0]
    assert {rooms.run(rooms.blobs.load(blob_id)).path, coming.path} == set(files(rooms))
    assert kept.uid == 1


def test_files_left_by_a_crash_go_and_those_in_use_stay(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_000.0]
    monkeypatch.setattr("posthouse.store.blobs.monotonic", lambda: clock[0])
    kept = keep(rooms, os.urandom(LARGE))
    lost = rooms.content(os.urandom(LARGE))
    spool = rooms.blobs.spool()
    for _ in range(10):
        spool.write(bytes(65_536))
    assert len(files(rooms)) == 3

    def sweep_all() -> int:
        return sum(rooms.run(rooms.blobs.sweep(rooms.now)) for _ in range(16))

    assert sweep_all() == 0
    clock[0] += 3_599
    # A clock that jumps ten years is no reason to take away what is still coming in.
    rooms.now += 10 * 365 * 24 * HOUR
    assert sweep_all() == 0
    clock[0] += 1
    assert sweep_all() == 2
    assert files(rooms) == [kept.path]
    assert lost.path is not None
    spool.discard()


def test_a_transaction_that_is_taken_back_takes_its_body_back(rooms: Rooms) -> None:
    content = rooms.content(b"octets")

    def unit(tx: Transaction) -> None:
        put(tx, content)
        raise LookupError

    with pytest.raises(LookupError):
        rooms.do(unit)
    assert rooms.see(lambda tx: tx.one("SELECT COUNT(*) FROM blobs")) == (0,)
