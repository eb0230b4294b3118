"""One SQL text for all engines becomes SQLite's."""

import sqlite3

from posthouse.store.dialect import Texts, statements


def test_parameters_are_bound_by_number_whatever_their_order() -> None:
    connection = sqlite3.connect(":memory:")
    text = Texts()["SELECT $2, $1, $2"]
    assert connection.execute(text, ("one", "two")).fetchone() == ("two", "one", "two")
    connection.close()


def test_only_what_is_out_of_order_is_bound_by_its_number() -> None:
    assert Texts()["SELECT $1, $2, a = ANY($3)"] == "SELECT ?, ?, a IN (SELECT value FROM json_each(?))"
    assert Texts()["SELECT $2, a = ANY($1)"] == "SELECT ?2, a IN (SELECT value FROM json_each(?1))"
    assert Texts()["SELECT $1, $1"] == "SELECT ?1, ?1"


def test_a_dollar_inside_quotes_is_no_parameter() -> None:
    assert Texts()["SELECT '$1 it''s $2', $1"] == "SELECT '$1 it''s $2', ?"


def test_lists_of_numbers_and_of_strings_are_searched() -> None:
    connection = sqlite3.connect(":memory:")
    texts = Texts()
    for values, wanted, other in (([1, 7, 1 << 62], 7, 8), (["a", 'quote " and \\', "é"], 'quote " and \\', "b")):
        text = texts["SELECT $1 = ANY($2), $3 = any ( $2 )"]
        assert connection.execute(text, (wanted, values, other)).fetchone() == (1, 0)
    connection.close()


def test_the_memory_of_texts_is_bounded() -> None:
    texts = Texts()
    for number in range(10_000):
        assert texts[f"SELECT {number}, $1"] == f"SELECT {number}, ?"
    assert len(texts) <= 4_000


def test_a_migration_is_written_for_all_and_laid_out_for_sqlite() -> None:
    text = """
        -- A comment; with a semicolon.
        CREATE TABLE t (
            a BIGINT NOT NULL PRIMARY KEY, -- sqlite: a INTEGER PRIMARY KEY,
            b BYTEA NOT NULL -- bytes
        ); -- sqlite: ) WITHOUT ROWID;
        CREATE INDEX i ON t (b);
    """
    table, index = statements(text)
    assert " ".join(table.split()) == "CREATE TABLE t ( a INTEGER PRIMARY KEY, b BLOB NOT NULL ) WITHOUT ROWID"
    assert index == "CREATE INDEX i ON t (b)"
