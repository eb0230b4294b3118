"""How the one SQL text of the house becomes SQLite's: parameters, lists, type words, and what a migration marks.

A migration line ending in `-- sqlite: TEXT` is replaced by TEXT: there a table says how SQLite is to lay it out.
"""

import re
import sqlite3
from functools import partial

import msgspec

# A quoted text is matched first, so that nothing inside it is taken for a parameter.
_PARAMETER = re.compile(r"('(?:[^']|'')*')|=\s*ANY\s*\(\s*\$(\d+)\s*\)|\$(\d+)", re.IGNORECASE)
_MARKED = re.compile(r"^.*--\s*sqlite:[ \t]*(.*)$", re.MULTILINE)
_COMMENT = re.compile(r"--.*$", re.MULTILINE)
_TYPES = re.compile(r"\b(BIGINT|SMALLINT|BYTEA)\b")
_TYPE_WORDS = {"BIGINT": "INTEGER", "SMALLINT": "INTEGER", "BYTEA": "BLOB"}


_TEXTS_LIMIT = 4_000


class Texts(dict[str, str]):
    """SQL of the house → SQL for SQLite; each text is translated once."""

    def __missing__(self, sql: str) -> str:
        # Searches and FETCH make texts of their own, in as many forms as a client likes.
        if len(self) >= _TEXTS_LIMIT:
            self.clear()
        numbers = [match[2] or match[3] for match in _PARAMETER.finditer(sql) if match[1] is None]
        in_order = numbers == [str(number + 1) for number in range(len(numbers))]
        self[sql] = text = _PARAMETER.sub(partial(_parameter, in_order), sql)
        return text


def _parameter(in_order: bool, match: re.Match[str]) -> str:
    quoted, array, number = match.groups()
    if quoted is not None:
        return str(quoted)
    # `$1` would be a name to SQLite; only `?1` is bound by its number. Python 3.12 up to 3.12.3 takes that for a name
    # as well and warns each time, which costs more than the statement: so, where the order is the same, a bare `?`.
    place = "?" if in_order else f"?{array or number}"
    return f"IN (SELECT value FROM json_each({place}))" if array is not None else place  # noqa: S608 -- digits


def statements(migration: str) -> list[str]:
    """The statements of a migration file, for SQLite."""
    text = _COMMENT.sub("", _MARKED.sub(r"\1", migration))
    text = _TYPES.sub(lambda match: _TYPE_WORDS[match.group()], text)
    return [statement for part in text.split(";") if (statement := part.strip())]


def _encode_list(values: list[int] | list[str]) -> str:
    return msgspec.json.encode(values).decode()


# What `json_each` reads. No other room of the house speaks to sqlite3.
sqlite3.register_adapter(list, _encode_list)
