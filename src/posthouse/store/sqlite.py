"""The database on one machine: SQLite in WAL mode behind the port of `database`."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from posthouse.store.database import Transaction

T = TypeVar("T")


class SqliteDatabase:
    """Implements `Database` on one file. Several processes may have the same file open."""

    async def write(self, unit: Callable[[Transaction], T], *, octets: int = 0) -> T:
        raise NotImplementedError

    async def read(self, unit: Callable[[Transaction], T], *, quick: bool = False) -> T:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


def open_sqlite(path: Path, *, readers: int = 2) -> SqliteDatabase:
    """Opens (and makes, and migrates) the database file at `path`; its folder must exist. Blocks shortly.

    `readers` is the number of threads for reads that are not quick. Raises `StoreFault` where the file is no
    database of ours, is newer than this program, or cannot be written.
    """
    raise NotImplementedError
