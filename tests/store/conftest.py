"""Rooms of the store, once for each engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.rooms import ENGINES, Rooms


@pytest.fixture(params=ENGINES)
def rooms(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rooms]:
    opened = Rooms(request.param, tmp_path)
    yield opened
    opened.close()
