"""Brings a database file up to the schema of this program: numbered SQL files, each applied once, in order."""

import re
import secrets
import sqlite3
from importlib.resources import files
from typing import NamedTuple

from posthouse.store.database import Fault, StoreFault
from posthouse.store.dialect import statements

APPLICATION_ID = 0x506F7374
"""What marks a SQLite file as ours ("Post")."""

_WHOSE = "SELECT application_id, (SELECT COUNT(*) FROM sqlite_master) FROM pragma_application_id"
_NAME = re.compile(r"(\d{4})_\w+\.sql")


class Migration(NamedTuple):
    """One file of `schema/`."""

    number: int
    name: str
    text: str


def migrations() -> list[Migration]:
    """All of them, by number."""
    found = []
    for file in files("posthouse.store").joinpath("schema").iterdir():
        match = _NAME.fullmatch(file.name)
        if match:
            found.append(Migration(int(match[1]), file.name, file.read_text("utf-8")))
    return sorted(found)


def migrate(connection: sqlite3.Connection) -> None:
    """Applies what is missing, all or nothing; several programs may do so at once.

    Raises `StoreFault` where the file belongs to another program or to a newer version of this one; sqlite3.Error.
    """
    # In one statement, since another program may be making the file at this moment.
    application, tables = connection.execute(_WHOSE).fetchone()
    if application != APPLICATION_ID and (application or tables):
        raise StoreFault(Fault.BROKEN, "the database file belongs to another program")
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL)"
        )
        _apply(connection, migrations())
        secret = secrets.token_bytes(32)
        connection.execute("INSERT INTO house (name, value) VALUES ('secret', ?) ON CONFLICT DO NOTHING", (secret,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _apply(connection: sqlite3.Connection, known: list[Migration]) -> None:
    (last,) = connection.execute("SELECT COALESCE(MAX(number), 0) FROM schema_migrations").fetchone()
    if known and last > known[-1].number:
        raise StoreFault(Fault.BROKEN, f"the database is newer than this program (migration {last})")
    for migration in known:
        if migration.number > last:
            for statement in statements(migration.text):
                connection.execute(statement)
            connection.execute("INSERT INTO schema_migrations VALUES (?, ?)", (migration.number, migration.name))
