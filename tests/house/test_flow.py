"""The documents lead to files that are there."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src" / "posthouse"


def test_every_file_named_on_the_way_of_a_message_exists() -> None:
    text = (REPOSITORY / "docs" / "flow.md").read_text("utf-8")
    named = set(re.findall(r"`([a-z_]+(?:/[a-z_]+)*(?:\.py|/))`", text))
    assert len(named) > 20
    assert not {name for name in named if not (SOURCE / name).exists()}


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/commands.md"])
def test_every_document_named_exists(document: str) -> None:
    named = set(re.findall(r"`((?:docs/|[A-Z]{4,})[\w/.-]+\.(?:md|tsv))`", (REPOSITORY / document).read_text("utf-8")))
    assert not {name for name in named if not (REPOSITORY / name).exists()}
