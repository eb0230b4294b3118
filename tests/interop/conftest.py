"""The demo, started once for all programs that meet it."""

from collections.abc import Iterator

import pytest

from interop import world


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[world.Demo]:
    with world.demo(tmp_path_factory.mktemp("world")) as running:
        yield running
