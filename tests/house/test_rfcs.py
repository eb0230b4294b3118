"""docs/rfcs.tsv says which standards the house keeps, and the code cites none that is missing there."""

import csv
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src" / "posthouse"
COLUMNS = ["rfc", "title", "status", "where", "note"]

CITATION = re.compile(r"\bRFCs?[ -]?(\d{4,5})((?:(?:, | and |/)\d{4,5}\b)*)")


def cited(text: str) -> set[int]:
    """The numbers in `RFC 5321`, `RFC5322.From` and `RFC 5321, 5322 and 6531`."""
    return {int(number) for match in CITATION.finditer(text) for number in re.findall(r"\d+", match.group())}


def table() -> dict[int, dict[str, str]]:
    with (REPOSITORY / "docs" / "rfcs.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return {int(row["rfc"]): row for row in rows}


def test_the_table_is_well_formed() -> None:
    lines = (REPOSITORY / "docs" / "rfcs.tsv").read_text("utf-8").splitlines()
    assert lines[0].split("\t") == COLUMNS
    assert [line for line in lines if len(line.split("\t")) != len(COLUMNS)] == []
    numbers = [int(line.split("\t")[0]) for line in lines[1:]]
    assert numbers == sorted(set(numbers)), "one row an RFC, in ascending order"
    for row in table().values():
        assert row["title"]
        assert row["status"] in {"full", "partial", "no"}, row
        assert row["status"] != "partial" or row["note"], f"RFC {row['rfc']}: say what is missing"


def test_every_cited_rfc_is_in_the_table() -> None:
    kept = {number for number, row in table().items() if row["status"] != "no"}
    missing = {
        f"RFC {number} in {path.relative_to(SOURCE)}"
        for path in SOURCE.rglob("*.py")
        for number in cited(path.read_text("utf-8")) - kept
    }
    assert not missing, "\n".join(sorted(missing))


def test_the_table_points_at_rooms_that_exist() -> None:
    lost = [
        f"RFC {row['rfc']}: {place}"
        for row in table().values()
        if row["status"] != "no"
        for place in row["where"].split()
        if not ((SOURCE / place).is_dir() or (SOURCE / f"{place}.py").is_file())
    ]
    assert not lost
    assert all(row["where"] for row in table().values() if row["status"] != "no")


def test_citations_are_recognised() -> None:
    text = "RFC 5321 §4.1, RFC5322.From, RFC-6531, RFC822.SIZE; RFC 2045, 2046 and 2047, then 1000 messages"
    assert cited(text) == {5321, 5322, 6531, 2045, 2046, 2047}
