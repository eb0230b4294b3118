"""Makes the two tables of `posthouse.checks.lookalike` from files of the Unicode Consortium.

    python tools/unicode_tables.py FOLDER      FOLDER holds confusables.txt and Scripts.txt of one Unicode version

Run it when a new version of Unicode is to be taken over; what it writes is committed.
"""

import sys
from collections import defaultdict
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "src" / "posthouse" / "checks" / "lookalike"
# A character of these belongs to every script (UTS 39 §5.1); whatever the table does not list is taken for such.
EVERYWHERE = {"Common", "Inherited"}


def head(text: str, what: str) -> list[str]:
    """The first lines of a table: what it is, of which version, and whose."""
    lines = [line.lstrip("\ufeff# ").strip() for line in text.splitlines()[:12]]
    version = next(line for line in lines if line.startswith(("Version:", "Scripts-")))
    owner = next(line for line in lines if line.startswith("©"))
    return [f"# {what}", f"# {version}. {owner}, under LICENSE-UNICODE.txt"]


def rows(text: str) -> list[list[str]]:
    return [[part.strip() for part in line.split("#")[0].split(";")] for line in text.splitlines() if ";" in line]


def confusables(text: str) -> list[str]:
    """Each prototype with all that look like it: code points in hexadecimal, a tab between."""
    found: dict[str, list[str]] = defaultdict(list)
    for source, prototype, *_ in (row for row in rows(text) if row[0]):
        found[prototype.lower()].append(source.lower())
    lines = [f"{prototype}\t{' '.join(sources)}" for prototype, sources in found.items()]
    return [*head(text, "Prototype, tab, the characters that are confused with it"), *lines]


def scripts(text: str) -> list[str]:
    """Each script with its ranges, joined where nothing of another script lies between."""
    ranges: list[tuple[int, int, str]] = []
    for places, script in (row for row in rows(text) if row[0]):
        first, _, last = places.partition("..")
        ranges.append((int(first, 16), int(last or first, 16), script))
    joined: dict[str, list[list[int]]] = defaultdict(list)
    previous = ""
    for first, last, script in sorted(ranges):
        if script == previous and joined[script]:
            joined[script][-1][1] = last
        else:
            joined[script].append([first, last])
        previous = script
    lines = [
        f"{script}\t{' '.join(f'{first:x}-{last:x}' if last > first else f'{first:x}' for first, last in found)}"
        for script, found in sorted(joined.items())
        if script not in EVERYWHERE
    ]
    return [*head(text, "Script, tab, its ranges; what is not here belongs to every script"), *lines]


def main(folder: Path) -> None:
    for name, make in (("confusables.txt", confusables), ("Scripts.txt", scripts)):
        lines = make((folder / name).read_text("utf-8"))
        (TARGET / name.lower()).write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
