"""What `posthouse check` found, on a terminal: topic by topic, what must be mended in red, with the records to publish.

Everything fits into 80 columns, and what strangers publish gets onto the terminal as printable characters only. Where
the output is no terminal there are neither colours nor line breaks inside a sentence.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Final

from posthouse.checks.survey import Branch, Item, State, Tree, found_out
from posthouse.cli.inspection import Report, published
from posthouse.cli.records import zone_line
from posthouse.cli.storybook import said
from posthouse.cli.terminal import console

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_MARKS: dict[State, tuple[str, str]] = {
    State.GOOD: ("✓", "green"), State.ABSENT: ("·", "dim"), State.ADVICE: ("!", "yellow"), State.UNKNOWN: ("?", "cyan"),
    State.WRONG: ("✗", "red"),
}  # fmt: skip
_TAGS: Final = frozenset(("rua", "ruf", "fo", "adkim", "aspf", "sp", "np", "p", "psd", "pct"))
# Of an SPF tree, and of the networks it comes to.
_TREE_LINES: Final = 40
_FLAT: Final = 600
_CHARACTERS: Final = 800


def print_report(report: Report) -> None:
    """To standard output."""
    out = console()
    if out.is_terminal:
        for part in _parts(report):
            out.print(part, soft_wrap=getattr(part, "no_wrap", None) is True)
        return
    with out.capture() as captured:
        for part in _parts(report):
            out.print(part, soft_wrap=True)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _parts(report: Report) -> Iterator["RenderableType"]:
    from rich.text import Text

    yield _summary(report)
    for topic, group in groupby(report.items, key=lambda item: item.topic):
        items = list(group)
        yield Text(f"\n{topic}", style="bold cyan")
        for item in items:
            yield from _item(item)
        if topic == "SPF" and report.tree.root.text:
            yield from _spf(report.tree)
    if not report.online and report.exchanges:
        yield Text("\nNobody but the DNS was asked; --online also calls the mail hosts.", style="dim")


def _summary(report: Report) -> "Text":
    from rich.text import Text

    counts = report.counts
    well = ("nothing to mend", "bold green") if found_out(report.items) else ("nothing could be found out", "bold red")
    told = [
        (f"{counts['wrong']} to mend", "bold red") if counts["wrong"] else well,
        (f"{counts['advice']} to improve", "yellow") if counts["advice"] else ("", ""),
        (f"{counts['unknown']} not to be found out", "cyan") if counts["unknown"] else ("", ""),
    ]
    text = Text.assemble((said(report.domain), "bold"), "  ")
    for number, (words, style) in enumerate(each for each in told if each[0]):
        text.append(", " if number else "")
        text.append(words, style=style)
    return text


def _item(item: Item) -> Iterator["RenderableType"]:
    from rich.text import Text

    mark, style = _MARKS[item.state]
    found = said(item.found, _CHARACTERS)
    first = found.partition(" ")[0]
    # Names stay as they are: those of hosts, and those of tags.
    if first.isalpha() and first not in (_TAGS | {item.subject}):
        found = found[:1].upper() + found[1:]
    yield _line(f"  {mark} ", Text(found, style=style if item.state is State.WRONG else ""), style)
    if item.state is State.GOOD:
        return
    for label, words in (("means", item.means), ("mend", item.change)):
        if words:
            yield _line(f"      {label:7}", Text(said(words, _CHARACTERS)), "dim")
    for entry in item.publish:
        for number, line in enumerate(zone_line(published(entry)).splitlines()):
            front = "publish" if not number else ""
            record = Text.assemble((f"      {front:8}", "dim"), said(line, _CHARACTERS))
            # A record is for copying: the terminal may fold it, but no line break gets into it.
            record.no_wrap = True
            yield record


def _line(front: str, words: "Text", style: str) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(front, style=style), words)
    return grid


def _spf(tree: Tree) -> Iterator["RenderableType"]:
    """The records as a tree, with the lookups of each, and what they come to."""
    from rich.text import Text

    branches = [term for term in tree.root.terms if isinstance(term, Branch)]
    if branches:
        lines = list(_tree(tree.root, ""))
        for left, lookups in lines[:_TREE_LINES]:
            words = said(left, _CHARACTERS)
            yield _line("    ", Text(f"{words:64}{lookups}" if lookups else words, style="dim"), "dim")
        if len(lines) > _TREE_LINES:
            yield Text(f"    ⋮ {len(lines) - _TREE_LINES} more", style="dim")
    if branches or tree.lookups:
        flat = tree.flattened() or f"there is none: {tree.unlike()}"
        yield _line("    flat ", Text(said(flat, _FLAT)), "dim")


def _tree(branch: Branch, front: str) -> Iterator[tuple[str, str]]:
    if not front:
        yield branch.domain, f"{branch.lookups} lookup{'s' if branch.lookups != 1 else ''}"
    # The order decides: of the terms, the first that matches.
    groups = [(plain, list(terms)) for plain, terms in groupby(branch.terms, key=lambda term: isinstance(term, str))]
    shown = [part for plain, terms in groups for part in ([" ".join(map(str, terms))] if plain else terms)]
    for number, term in enumerate(shown):
        last = number == len(shown) - 1
        arm = "└─ " if last else "├─ "
        if isinstance(term, str):
            yield f"{front}{arm}{term}", ""
            continue
        yield f"{front}{arm}{term.term}", str(term.lookups) if term.lookups else ""
        below = f"{front}{'   ' if last else '│  '}"
        if term.trouble:
            yield f"{below}({term.trouble})", ""
        yield from _tree(term, below)
