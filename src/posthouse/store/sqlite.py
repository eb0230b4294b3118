"""The database on one machine: SQLite in WAL mode behind the port of `database`.

*Writing* (`writer`): all units that wait run in one transaction, which is committed and synced once, so everybody who
waits shares the cost of durability.

*Several processes* may have one file open. Their writers take turns at a lock file (`FILE-turn`), where they wait in
the kernel instead of in SQLite's sleeping busy handler.

*Reading*: quick reads run on a connection of the calling thread, others in a few threads with a connection each. A
reader sees one snapshot and never waits for a writer.

*Checkpoints*: a thread copies the log into the database while writing goes on; what came in meanwhile is copied by
the writer between two batches, so that the log starts anew and does not grow for ever.

*Faults*: without room the units get FULL, and the next ones try again. When fsync fails or the file is damaged, nobody
knows what is on the disk, so nothing is written any more until a person has restarted the program.

Pages have 4 KiB, since a usual message then wastes least of them. The file never shrinks by itself (auto_vacuum
would cost every delivery a second page); what removed mail leaves is used again.
"""

import asyncio
import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from posthouse.store.commit import Job
from posthouse.store.connection import (
    READER_CACHE,
    WRITER_CACHE,
    SqliteTransaction,
    connect,
    fault_of,
    within,
)
from posthouse.store.database import RESERVE, Fault, StoreFault, Transaction
from posthouse.store.migrations import migrate
from posthouse.store.turn import Turn
from posthouse.store.writer import Writer

T = TypeVar("T")

WAITING_LIMIT = 20_000
"""When more units wait to be written, further ones are turned away as BUSY."""


class SqliteDatabase:
    """Implements `Database` on one file, for one event loop. Open it after forking, never before."""

    def __init__(self, path: Path, readers: int, reserve: int) -> None:
        """The file has been migrated. Raises sqlite3.Error, OSError."""
        self._path = path
        self._closed = False
        self._here = Reader(path)
        self._readers: list[Reader] = []
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(readers, "store-reader")
        self._writer = Writer(path, reserve)

    async def write(self, unit: Callable[[Transaction], T], *, octets: int = 0, quick: bool = False) -> T:
        writer = self._writer
        if writer.stopped is not None:
            raise writer.stopped.again()
        if self._closed:
            raise StoreFault(Fault.BUSY, "the database is closed")
        if len(writer.waiting) >= WAITING_LIMIT:
            raise StoreFault(Fault.BUSY, f"{WAITING_LIMIT} units wait to be written")
        waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        writer.submit(Job(unit, waiter, octets, quick))
        return await waiter

    async def read(self, unit: Callable[[Transaction], T], *, quick: bool = False) -> T:
        if self._closed:
            raise StoreFault(Fault.BUSY, "the database is closed")
        if quick:
            return self._here.run(unit)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read_there, unit)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._writer.finish()
        await asyncio.get_running_loop().run_in_executor(None, self._shut)

    def _read_there(self, unit: Callable[[Transaction], Any]) -> Any:
        reader: Reader | None = getattr(self._own, "reader", None)
        if reader is None:
            self._own.reader = reader = Reader(self._path)
            self._readers.append(reader)
        return reader.run(unit)

    def _shut(self) -> None:
        self._pool.shutdown()
        for reader in [self._here, *self._readers]:
            reader.close()
        self._writer.close()


class Reader:
    """One reading connection; used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error."""
        self._connection = connect(path, cache=READER_CACHE, writing=False)
        self._tx = SqliteTransaction(self._connection)

    def run(self, unit: Callable[[Transaction], T]) -> T:
        """The unit's result on one snapshot; `StoreFault` where the file cannot be read."""
        return within(self._tx, unit)

    def close(self) -> None:
        self._connection.close()


def open_sqlite(path: Path, *, readers: int = 2, reserve: int = RESERVE) -> SqliteDatabase:
    """Opens (and makes, and migrates) the database file at `path`; its folder must exist. Blocks shortly.

    `readers` is the number of threads for reads that are not quick. Raises `StoreFault` where the file is no
    database of ours, is newer than this program, or cannot be opened.
    """
    try:
        _make(path)
        with closing(Turn(path)) as turn:
            # SQLite waits for nobody while it makes a log, or does away with one.
            turn.take()
            with closing(connect(path, cache=WRITER_CACHE, writing=True)) as connection:
                migrate(connection)
        return SqliteDatabase(path, readers, reserve)
    except OSError as error:
        raise StoreFault(Fault.BROKEN, f"cannot open the database {path}: {error.strerror}") from error
    except sqlite3.Error as error:
        fault = fault_of(error) or StoreFault(Fault.BROKEN, str(error))
        raise StoreFault(fault.fault, f"cannot open the database {path}: {error}") from error


def _make(path: Path) -> None:
    """Makes the file where there is none: the log and its index take their permissions from it. Raises OSError.

    A file that is there is never touched but through SQLite. Closing any descriptor of it would take away all locks
    that this process has on it (POSIX), those of a house that is in service beside the one that begins among them; the
    next program to close the database would then take itself for the last one, and remove the log under the others.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
