"""One connection to the SQLite file: how it is set up, what a unit sees of it, and what its errors mean."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from posthouse.store.database import Fault, Row, StoreFault, Transaction, Value
from posthouse.store.dialect import Texts

T = TypeVar("T")

WRITER_CACHE = 32 * 1024
"""Page cache of the writing connection in KiB."""
READER_CACHE = 8 * 1024
"""Page cache of a reading connection in KiB."""

BUSY_SECONDS = 10
"""How long SQLite itself waits for a lock; only programs that do not take turns make it wait."""
_STATEMENTS = 512

_integers = msgspec.json.Decoder(list[int]).decode

# SQLite's result codes, extended ones where they matter (sqlite.org/rescode.html).
_BUSY, _LOCKED, _IOERR, _CORRUPT, _FULL, _NOTADB = 5, 6, 10, 11, 13, 26
_TRUNCATE, _WRITE = _IOERR | 6 << 8, _IOERR | 3 << 8
_SHMOPEN, _SHMSIZE, _SHMMAP = _IOERR | 18 << 8, _IOERR | 19 << 8, _IOERR | 21 << 8
# Writing failed before anything was promised: nothing is torn, and the next try starts from what is committed.
_ROOM = frozenset((_FULL, _WRITE, _TRUNCATE, _SHMOPEN, _SHMSIZE, _SHMMAP))


class SqliteTransaction:
    """The `Transaction` of a connection; the same object serves all its units, one after another.

    All goes through one cursor, so that a statement somebody has not read to its end is reset by the next one,
    at the latest by the COMMIT.
    """

    __slots__ = ("_cursor", "_texts")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._cursor = connection.cursor()
        self._texts = Texts()

    def execute(self, sql: str, *values: Value | list[int] | list[str]) -> int:
        return self._cursor.execute(self._texts[sql], values).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[Value]]) -> int:
        return self._cursor.executemany(self._texts[sql], rows).rowcount

    def one(self, sql: str, *values: Value | list[int] | list[str]) -> Row | None:
        row: Row | None = self._cursor.execute(self._texts[sql], values).fetchone()
        return row

    def all(self, sql: str, *values: Value | list[int] | list[str]) -> list[Row]:
        return self._cursor.execute(self._texts[sql], values).fetchall()

    def columns(self, count: int, sql: str, *values: Value | list[int] | list[str]) -> list[list[int]]:
        # SQLite writes each column as JSON, without Python's lock; reading that makes no tuples.
        names = [f"c{number}" for number in range(count)]
        arrays = ", ".join([f"json_group_array({name})" for name in names])
        row = self.one(f"WITH q ({', '.join(names)}) AS ({sql}) SELECT {arrays} FROM q", *values)  # noqa: S608
        return [_integers(text) for text in row or ()]


def connect(path: Path, *, cache: int, writing: bool) -> sqlite3.Connection:
    """A connection with nothing begun; `cache` in KiB.

    May be used from any thread, by one at a time.

    Raises sqlite3.Error.
    """
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS, timeout=BUSY_SECONDS
    )
    try:
        for pragma in (
            # The writer's log is made anew by `writer.Writer`, never in the middle of somebody's commit.
            "wal_autocheckpoint = 0",
            f"cache_size = -{cache}",
            "temp_store = MEMORY",
            # Deleted octets are overwritten where the page is written anyway.
            "secure_delete = FAST",
            "trusted_schema = OFF",
            # A commit is durable when it returns (THREATS: NORMAL loses acknowledged mail when the power fails). The
            # writer's own connection does otherwise (`commit`).
            "synchronous = FULL" if writing else "query_only = ON",
        ):
            connection.execute(f"PRAGMA {pragma}").close()
        connection.create_function("contains", 2, _contains, deterministic=True)
    except BaseException:
        connection.close()
        raise
    return connection


def _contains(text: str, needle: str) -> bool:
    """SQL's contains(text, casefolded needle): Unicode's case does not count, as it does in SQLite's own functions."""
    return needle in text.casefold()


def within(tx: SqliteTransaction, unit: Callable[[Transaction], T]) -> T:
    """Runs a reading unit on one snapshot. Raises what it raises, `StoreFault` for errors of the file."""
    try:
        tx.execute("BEGIN")
        try:
            return unit(tx)
        finally:
            tx.execute("COMMIT")
    except sqlite3.Error as error:
        fault = fault_of(error)
        if fault is None:
            raise
        raise fault from error


def fault_of(error: sqlite3.Error) -> StoreFault | None:
    """What an error of SQLite means for the whole database; None where only the unit is at fault."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return StoreFault(Fault.BUSY, f"the database is closed: {error}") if _is_closed(error) else None
    if code in _ROOM:
        return StoreFault(Fault.FULL, f"the database cannot grow: {error}")
    kind = code & 0xFF
    if kind in (_BUSY, _LOCKED):
        return StoreFault(Fault.BUSY, f"the database is held by another program: {error}")
    if kind in (_IOERR, _CORRUPT, _NOTADB):
        return StoreFault(Fault.BROKEN, f"the database cannot be trusted: {error} ({error.sqlite_errorname})")
    return None


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another program has the file locked for now."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == _BUSY


def roll_back(connection: sqlite3.Connection) -> None:
    """Undoes what is begun, if SQLite has not done so already."""
    with contextlib.suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _is_closed(error: sqlite3.Error) -> bool:
    return isinstance(error, sqlite3.ProgrammingError) and "closed database" in str(error)
