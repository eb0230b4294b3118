"""docs/policy.md shows the table of rules as it is."""

import re
from pathlib import Path

from posthouse.route.policy import LIMITS, RULES, Action, Preset

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "policy.md").read_text("utf-8")
LINE = re.compile(r"^\| `([a-z-]+)` \| .+? \| (\S+) \| (\S+) \| (\S+) \|$", re.MULTILINE)
LIMIT = re.compile(r"^\| (to Junk from|refused from) \| (\S+) \| (\S+) \| (\S+) \|$", re.MULTILINE)


def shown(name: str, cell: int | Action) -> str:
    if isinstance(cell, Action):
        return "junk" if cell is Action.QUARANTINE else cell.value
    if name == "lists":
        return f"×{cell}"
    return f"{cell:+}" if cell else "0"


def test_every_line_of_the_table_is_shown_with_its_cells_in_order() -> None:
    assert LINE.findall(TEXT) == [
        (rule.name, *(shown(rule.name, cell) for cell in (rule.cautious, rule.balanced, rule.strict)))
        for rule in RULES
    ]


def test_the_limits_of_the_score_are_shown() -> None:
    junk, refuse = ([str(limit) if limit is not None else "never" for limit in limits]
                    for limits in zip(*(LIMITS[preset] for preset in Preset), strict=True))
    assert LIMIT.findall(TEXT) == [("to Junk from", *junk), ("refused from", *refuse)]
