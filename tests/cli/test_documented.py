"""docs/commands.md names every command and every option, and none that is not there."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from posthouse.cli.main import posthouse

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text("utf-8")


def walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(command)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from walk(found, f"{path} {name}")
    else:
        yield path, command


COMMANDS = dict(walk(posthouse, "posthouse"))


def section(path: str) -> str:
    """The part of the document under the heading of a command (or of the group it is in)."""
    heading = "## " + " ".join(path.split()[:2])
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^## |\Z)", DOCUMENT, re.M | re.S)
    assert found, f"docs/commands.md has no heading {heading!r}"
    return found[1]


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_is_documented(path: str) -> None:
    assert f"`{path}" in section(path)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_is_documented(path: str) -> None:
    text = section(path) + DOCUMENT.partition("\n## ")[0]
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert any(f"{name}" in text for name in parameter.opts), f"{path} {parameter.opts}"


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_takes_json_and_explains_itself(path: str) -> None:
    command = COMMANDS[path]
    assert "as_json" in {parameter.name for parameter in command.params}
    assert command.help


def test_the_document_names_no_command_that_is_not_there() -> None:
    known = set(COMMANDS) | {path.rpartition(" ")[0] for path in COMMANDS}
    named = {found.strip() for found in re.findall(r"(?:`|^## )(posthouse(?: [a-z]+){1,2})", DOCUMENT, re.M)}
    strange = {name for name in named if name not in known and name.rpartition(" ")[0] not in known}
    assert not strange
