"""The schema is made by numbered files, each applied once."""

import asyncio
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from posthouse.store import migrations
from posthouse.store.database import StoreFault
from posthouse.store.migrations import APPLICATION_ID, Migration
from posthouse.store.sqlite import open_sqlite


def open_and_close(path: Path) -> None:
    async def task() -> None:
        await open_sqlite(path).close()

    asyncio.run(task())


def look(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    rows = connection.execute(sql).fetchall()
    connection.close()
    return rows


def test_the_files_are_numbered_without_gaps() -> None:
    known = migrations.migrations()
    assert [migration.number for migration in known] == list(range(1, len(known) + 1))


def test_a_new_file_is_marked_and_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "post.db"
    open_and_close(path)
    assert look(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    applied = [(migration.number, migration.name) for migration in migrations.migrations()]
    assert look(path, "SELECT number, name FROM schema_migrations ORDER BY number") == applied
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "post.db"
    open_and_close(path)
    secret = look(path, "SELECT value FROM house WHERE name = 'secret'")
    open_and_close(path)
    assert look(path, "SELECT value FROM house WHERE name = 'secret'") == secret
    assert len(secret[0][0]) == 32  # type: ignore[arg-type]


def test_a_later_file_is_applied_to_an_older_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "post.db"
    open_and_close(path)
    known = migrations.migrations()
    later = Migration(known[-1].number + 1, "later.sql", "ALTER TABLE house ADD COLUMN more BIGINT;")
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "migrations", lambda: [*known, later])
        open_and_close(path)
    assert look(path, "SELECT more FROM house") == [(None,)]
    with pytest.raises(StoreFault, match="newer than this program"):
        open_sqlite(path)


def test_a_file_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "post.db"
    open_and_close(path)
    known = migrations.migrations()
    bad = Migration(known[-1].number + 1, "bad.sql", "CREATE TABLE half (a BIGINT); CREATE TABLE house (a BIGINT);")
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "migrations", lambda: [*known, bad])
        with pytest.raises(StoreFault):
            open_sqlite(path)
    assert look(path, "SELECT name FROM sqlite_master WHERE name = 'half'") == []
    open_and_close(path)


def test_several_programs_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    together = Barrier(6)

    def begin(path: Path) -> None:
        together.wait(20)
        open_and_close(path)

    with ThreadPoolExecutor(6) as pool:
        # What they find of each other is different every time.
        for number in range(40):
            path = tmp_path / f"{number}.db"
            list(pool.map(begin, [path] * 6))
            assert len(look(path, "SELECT * FROM schema_migrations")) == len(migrations.migrations())


@pytest.mark.parametrize("sql", ["CREATE TABLE theirs (a)", "PRAGMA application_id = 77"])
def test_another_programs_database_is_refused(tmp_path: Path, sql: str) -> None:
    path = tmp_path / "post.db"
    connection = sqlite3.connect(path)
    connection.execute(sql)
    connection.commit()
    connection.close()
    with pytest.raises(StoreFault, match="another program"):
        open_sqlite(path)
