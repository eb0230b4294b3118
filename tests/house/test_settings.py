"""Every setting is documented, with the default it really has, and the documentation names no other."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import msgspec
import pytest

from posthouse.config import Config, Duration, Size, parse

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
ROW = re.compile(r"^\| `([a-z0-9_.]+)` \| (.+?) \| (.+) \|$", re.MULTILINE)


class Key(NamedTuple):
    path: str
    default: Any
    description: str


def keys(kind: type[msgspec.Struct] = Config, path: str = "") -> Iterator[Key]:
    hints = get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        hint = hints[field.name]
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield from keys(hint, f"{path}{field.name}.")
            continue
        default = field.default
        if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        meta = next(meta for meta in hint.__metadata__ if isinstance(meta, msgspec.Meta))
        yield Key(f"{path}{field.name}", default, meta.description or "")


def documented() -> dict[str, tuple[str, str]]:
    return {key: (default, meaning) for key, default, meaning in ROW.findall(DOCUMENT.read_text("utf-8"))}


def as_documented(default: str) -> Any:
    """The value that a default in the table stands for, read as the settings file itself would be."""
    if default.startswith("none"):
        return None
    return tomllib.loads(f"value = {default.strip('`')}")["value"]


def plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    if value is msgspec.NODEFAULT or value is None:
        return None
    if isinstance(value, Duration | Size | bool | int | dict):
        return value
    return str(value) if not hasattr(value, "port") else repr(value)


def test_every_key_is_documented_and_no_other() -> None:
    assert sorted(documented()) == sorted(key.path for key in keys())


@pytest.mark.parametrize("key", list(keys()), ids=lambda key: key.path)
def test_the_documented_default_is_the_real_one(key: Key) -> None:
    written = as_documented(documented()[key.path][0])
    real = plain(key.default)
    if isinstance(key.default, Size):
        written = Size.parse(str(written))
    elif isinstance(key.default, Duration):
        written = Duration.parse(written)
    elif key.path == "queue.gaps":
        written = [Duration.parse(each) for each in written]
    assert written == real


@pytest.mark.parametrize("key", list(keys()), ids=lambda key: key.path)
def test_the_documented_meaning_is_that_of_the_code(key: Key) -> None:
    assert key.description
    assert documented()[key.path][1] == key.description


def test_the_examples_are_settings_that_load() -> None:
    examples = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    assert examples
    for example in examples:
        text = example if "hostname" in example else f'hostname = "mx.example.org"\n{example}'
        assert parse(text).hostname == "mx.example.org"
