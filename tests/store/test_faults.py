"""Disks that are full, that lie, and files that are damaged."""

import errno
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from posthouse.store import mailboxes, messages
from posthouse.store.blobs import put
from posthouse.store.connection import fault_of
from posthouse.store.database import Fault, StoreFault, Transaction
from posthouse.store.sqlite import SqliteDatabase, open_sqlite
from store.rooms import NOON, Rooms


@contextmanager
def files_end_at(octets: int) -> Iterator[None]:
    """No file of this process grows beyond so many octets (EFBIG instead of ENOSPC)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def grow(tx: Transaction) -> int:
    return tx.execute("INSERT INTO house (name, value) VALUES ($1, $2)", "ballast", bytes(600_000))


def test_no_room_is_a_fault_that_heals(tmp_path: Path) -> None:
    rooms = Rooms("sqlite", tmp_path)
    rooms.settle_in()
    rooms.deliver()
    with files_end_at((tmp_path / "post.db-wal").stat().st_size + 200_000):
        for _ in range(3):
            with pytest.raises(StoreFault) as caught:
                rooms.do(grow)
            assert caught.value.full
        # What needs little room goes on.
        assert len(rooms.do(lambda tx: messages.store_flags(tx, rooms.account_id, 1, messages.EVERY, add=1))) == 1
    assert rooms.do(grow) == 1
    rooms.close()


def test_a_unit_without_room_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    rooms = Rooms("sqlite", tmp_path)
    rooms.settle_in()

    async def together() -> list[object]:
        import asyncio

        def small(number: int) -> object:
            return rooms.database.write(
                lambda tx: tx.execute("INSERT INTO house (name, value) VALUES ($1, $2)", f"small {number}", b"")
            )

        writes = [small(1), rooms.database.write(grow), small(2)]
        return await asyncio.gather(*writes, return_exceptions=True)  # type: ignore[call-overload, no-any-return]

    with files_end_at((tmp_path / "post.db-wal").stat().st_size + 200_000):
        one, large, two = rooms.run(together())
    assert (one, two) == (1, 1)
    assert isinstance(large, StoreFault)
    assert large.full
    rooms.close()


def test_mail_is_refused_before_the_disk_is_quite_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = Rooms("sqlite", tmp_path)
    rooms.settle_in()
    content = rooms.content()
    monkeypatch.setattr("posthouse.store.room.ROOM_SECONDS", 0.0)

    class Disk:
        f_frsize, f_blocks, f_bavail = 4096, 1 << 30, 1000

    def deliver() -> int:
        return rooms.run(rooms.database.write(lambda tx: put(tx, content), octets=content.size))

    with monkeypatch.context() as patch:
        patch.setattr("os.statvfs", lambda path: Disk)
        with pytest.raises(StoreFault) as caught:
            deliver()
        assert caught.value.full
        rooms.do(lambda tx: mailboxes.create(tx, rooms.account_id, "Still possible", NOON))
    assert deliver() == content.blob_id
    rooms.close()


@pytest.mark.root
def test_a_small_disk_runs_full_and_recovers_when_mail_is_deleted(tmp_path: Path) -> None:
    """THREATS, faults: 452; reading, deleting and admin go on; recovers by itself."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        rooms = Rooms("sqlite", disk)
        rooms.settle_in()
        body = b"Subject: large\r\n\r\n" + bytes(60_000)
        taken = 0

        def deliver() -> None:
            key = rooms.id()
            content = rooms.content(body + b"%020d" % key)
            message = rooms.message(content)

            def unit(tx: Transaction) -> None:
                put(tx, content)
                messages.add(tx, rooms.account_id, 1, key, message)

            rooms.run(rooms.database.write(unit, octets=content.size))

        fault = None
        while fault is None:
            try:
                deliver()
                taken += 1
            except StoreFault as error:
                fault = error
        assert fault.full
        # The log was cut when it got tight: it does not keep mail from the room it takes.
        assert taken * len(body) > 0.4 * 12 * 1024 * 1024
        inbox = rooms.see(lambda tx: mailboxes.find(tx, rooms.account_id, "inbox"))
        assert inbox is not None
        assert inbox.messages == taken
        rows = rooms.see(lambda tx: messages.fetch(tx, rooms.account_id, 1, messages.EVERY, ("octets",)))
        assert [row[0][: len(body)] for row in rows] == [body] * taken
        # Deleting goes on, and makes room.
        gone = rooms.do(lambda tx: messages.expunge(tx, rooms.account_id, 1, ((1, taken // 2),), flagged=0))
        assert len(gone) == taken // 2
        rooms.run(rooms.blobs.sweep(rooms.now))
        rooms.now += 7_200_000_000
        assert rooms.run(rooms.blobs.sweep(rooms.now)) == taken // 2
        deliver()
        rooms.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_after_a_failed_fsync_nothing_is_written_any_more(tmp_path: Path) -> None:
    """THREATS, faults: a 4xx reply; never a retry and then 250; the instance stops accepting."""
    rooms = Rooms("sqlite", tmp_path)
    rooms.settle_in()
    assert isinstance(rooms.database, SqliteDatabase)
    writer = rooms.database._writer._committer
    honest = writer._tx

    class Lying:
        def execute(self, sql: str, *values: object) -> int:
            if sql == "COMMIT":
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
                error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
                raise error
            return honest.execute(sql, *values)  # type: ignore[arg-type]

    writer._tx = Lying()  # type: ignore[assignment]
    with pytest.raises(StoreFault) as caught:
        rooms.do(lambda tx: 1)
    assert caught.value.broken
    writer._tx = honest
    for _ in range(2):
        with pytest.raises(StoreFault) as caught:
            rooms.do(lambda tx: 1)
        assert caught.value.broken
    # Reading goes on.
    assert rooms.see(lambda tx: mailboxes.find(tx, rooms.account_id, "INBOX")) is not None
    rooms.close()


def test_after_a_sync_that_failed_alone_nothing_is_promised_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = Rooms("sqlite", tmp_path)
    rooms.settle_in()

    def fdatasync(descriptor: int) -> None:
        raise OSError(errno.EIO, "the disk lies")

    for quick in (True, False):
        with monkeypatch.context() as patch:
            patch.setattr("posthouse.store.commit.os.fdatasync", fdatasync)
            with pytest.raises(StoreFault) as caught:
                rooms.run(rooms.database.write(grow, quick=quick))
            assert caught.value.broken
    with pytest.raises(StoreFault) as caught:
        rooms.do(lambda tx: 1)
    assert caught.value.broken
    rooms.close()


FSYNC = """
import asyncio, sys
from pathlib import Path
from posthouse.store.database import StoreFault
from posthouse.store.sqlite import open_sqlite

async def main():
    database = open_sqlite(Path(sys.argv[1]) / "post.db")
    words = []
    for number in range(8):
        try:
            await database.write(lambda tx: tx.execute("INSERT INTO house VALUES ($1, $2)", str(number), b""))
            words.append("ok")
        except StoreFault as fault:
            words.append(fault.fault.value)
    print(" ".join(words))

asyncio.run(main())
"""


def test_a_disk_that_cannot_sync_is_found_out(tmp_path: Path) -> None:
    """The same with a kernel that says EIO to one sync only, where strace may trace."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    open_sqlite_once(tmp_path)
    command = [
        strace, "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", "trace=fdatasync,fsync",
        "-e", "inject=fdatasync,fsync:error=EIO:when=4", sys.executable, "-c", FSYNC, str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "ptrace" in done.stderr or "PTRACE" in done.stderr:
        pytest.skip("strace may not trace here")
    words = done.stdout.split()
    assert len(words) == 8, done.stderr
    assert words.count("broken") >= 1
    assert "ok" not in words[words.index("broken") :]


def open_sqlite_once(folder: Path) -> None:
    rooms = Rooms("sqlite", folder)
    rooms.close()


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (sqlite3.SQLITE_FULL, Fault.FULL),
        (sqlite3.SQLITE_IOERR_WRITE, Fault.FULL),
        (sqlite3.SQLITE_IOERR_FSYNC, Fault.BROKEN),
        (sqlite3.SQLITE_IOERR_READ, Fault.BROKEN),
        (sqlite3.SQLITE_CORRUPT, Fault.BROKEN),
        (sqlite3.SQLITE_NOTADB, Fault.BROKEN),
        (sqlite3.SQLITE_BUSY, Fault.BUSY),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Fault.BUSY),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, None),
        (sqlite3.SQLITE_ERROR, None),
    ],
)
def test_what_errors_mean(code: int, fault: Fault | None) -> None:
    error = sqlite3.OperationalError("said so")
    error.sqlite_errorcode = code
    error.sqlite_errorname = "NAME"
    found = fault_of(error)
    assert (found and found.fault) == fault


def test_a_damaged_page_is_never_served_as_good(tmp_path: Path) -> None:
    rooms = Rooms("sqlite", tmp_path)
    rooms.settle_in()
    needle = b"needle" * 3_000
    content = rooms.content(needle)
    rooms.do(lambda tx: put(tx, content))
    rooms.close()
    path = tmp_path / "post.db"
    octets = bytearray(path.read_bytes())
    octets[octets.index(b"needleneedle") + 5] ^= 1
    path.write_bytes(octets)
    rooms = Rooms("sqlite", tmp_path)
    for attempt in (rooms.blobs.load, rooms.blobs.read):
        with pytest.raises(StoreFault) as caught:
            rooms.run(attempt(content.blob_id))
        assert caught.value.broken
    rooms.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "post.db").write_bytes(b"something else entirely, and long enough to be looked at" * 100)
    with pytest.raises(StoreFault) as caught:
        open_sqlite(tmp_path / "post.db")
    assert caught.value.broken


OPEN_AND_CLOSE = """
import asyncio, sys
from pathlib import Path
from posthouse.store.sqlite import open_sqlite

asyncio.run(open_sqlite(Path(sys.argv[1])).close())
"""


def test_a_database_opened_again_leaves_the_log_to_those_who_have_it_open(tmp_path: Path) -> None:
    """As a reload does; then a command comes and goes, and would tidy up if it took itself for the last."""
    rooms = Rooms("sqlite", tmp_path)
    rooms.settle_in()
    path = tmp_path / "post.db"
    rooms.run(open_sqlite(path).close())
    subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE, str(path)], check=True, timeout=60)
    assert path.with_name("post.db-wal").exists()
    rooms.do(lambda tx: mailboxes.create(tx, rooms.account_id, "Kept", NOON))
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT COUNT(*) FROM mailboxes WHERE name = 'Kept'").fetchone() == (1,)
    rooms.close()


def test_a_folder_that_is_not_there_is_a_clear_fault(tmp_path: Path) -> None:
    with pytest.raises(StoreFault, match="No such file"):
        open_sqlite(tmp_path / "missing" / "post.db")
