"""What commands share: the options every one takes, complaints, and output for people or as JSON.

    @click.command("list")
    @json_option
    def list_command(as_json: bool) -> None:
        show({"domains": names}, as_json, lambda: table(("domain",), rows))

What comes from mail or from the network is shown through `clean`: a control character could otherwise drive the
reader's terminal. JSON goes to standard output as one object, indented for a terminal and on one line elsewhere.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from posthouse.mail.instant import DAY, HOUR, MINUTE, SECOND

if TYPE_CHECKING:
    from rich.console import Console

# Where output goes to a file or a pipe, lines are as long as they need to be.
UNBOUNDED_WIDTH = 1000

Function = TypeVar("Function", bound=Callable[..., Any])


class Complaint(Exception):
    """Something the person who typed the command can mend; its text is one clear line."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def json_option(function: Function) -> Function:
    """`--json`, which every command takes; the parameter is `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")(function)


def config_option(function: Function) -> Function:
    """`--config`, for every command that needs a server's settings; the parameter is `config_path`."""
    return click.option(
        "-c",
        "--config",
        "config_path",
        type=click.Path(readable=False, path_type=Path),
        metavar="FILE",
        help="Settings; else $POSTHOUSE_CONFIG, ./posthouse.toml, /etc/posthouse/posthouse.toml.",
    )(function)


def clean(text: str) -> str:
    """On one line, without control characters or what reorders a line (bidirectional overrides)."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


def octets_text(octets: int) -> str:
    """A size for people: `831 B`, `4.2 KB`, `17 MB`."""
    size = float(octets)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def span_text(microseconds: int) -> str:
    """A span of time for people, in its largest unit that fits: `340 ms`, `12 s`, `4 min`, `3 h`, `2 d`."""
    span = microseconds / SECOND
    if span < 1:
        return f"{span * 1000:.0f} ms"
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if microseconds >= 2 * size:
            return f"{microseconds // size} {unit}"
    return f"{span:.1f} s" if span < 10 else f"{span:.0f} s"


def show(data: Mapping[str, object], as_json: bool, human: Callable[[], None]) -> None:
    """Print `data` as JSON if that was asked for, else let `human` print."""
    if as_json:
        print(_as_seen(json.dumps(data, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False)))
    else:
        human()


def _as_seen(text: str) -> str:
    """JSON whose characters can all be seen: what else mail brings in (marks that turn the direction, say) is escaped.

    Outside of its strings JSON has nothing but printable characters and line breaks.
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character.isprintable() or character == "\n":
        return character
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    return f"\\u{0xD800 + (code - 0x10000 >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


@contextmanager
def progress(words: str) -> Iterator[Callable[[float], None]]:
    """A bar on standard error while something takes its time; what it yields is told of each share that is done.

    Nothing is shown where standard error is no terminal, and nothing is left when it is over.
    """
    if not sys.stderr.isatty():
        yield lambda share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(TextColumn("{task.description}"), BarColumn(), console=Console(stderr=True), transient=True)
    with bar:
        task = bar.add_task(words, total=1.0)
        yield lambda share: bar.advance(task, share)


@contextmanager
def waiting(words: str) -> Iterator[None]:
    """Shows on a terminal that something is waited for, until it is there; without words, and elsewhere, nothing."""
    if not words or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(words, spinner="dots"):
        yield


def console() -> "Console":
    """Standard output, with colours where it is a terminal, with neither colours nor wrapped lines elsewhere."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else UNBOUNDED_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Print rows under headings; where there are none, the sentence `empty` on standard error.

    A heading that begins with `>` puts its column flush right.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    cells = [[Text(clean(str(cell))) for cell in row] for row in rows]
    if not cells:
        print(empty, file=sys.stderr)
        return
    found = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        flush_right = column.startswith(">")
        found.add_column(column.removeprefix(">"), justify="right" if flush_right else "left", overflow="fold")
    for row in cells:
        found.add_row(*row)
    out = console()
    if out.is_terminal:
        out.print(found)
        return
    with out.capture() as captured:
        out.print(found)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def program() -> str:
    """How the person who started this would call the program again, from the same folder."""
    import shlex
    import shutil

    called = Path(sys.argv[0])
    found = shutil.which(called.name)
    if found is not None and called.exists() and os.path.samefile(found, called):
        return called.name
    return shlex.quote(str(called))


def forget_stdout() -> None:
    """Let nothing more be written to a standard output that nobody reads, not even by the interpreter at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
