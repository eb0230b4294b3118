"""What all tests share: the vectors, the mark for root, and what is run only where it is asked for."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parent.parent
# What takes long, or other people's programs, and is met only where it is asked for by name.
ASKED_FOR = ("interop", "chaos")

# Times vary on a busy machine, so no example has a deadline; `HYPOTHESIS_PROFILE=thorough` looks much longer.
settings.register_profile("house", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("house"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`make interop`, `make chaos`."""
    name = collection_path.name
    if name in ASKED_FOR and collection_path.parent == REPOSITORY / "tests":
        return True if not any(name in argument for argument in config.invocation_params.args) else None
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of published test vectors, which is no part of this repository."""
    folder = Path(os.environ.get("POSTHOUSE_VECTORS", REPOSITORY.parent / "shared" / "vectors"))
    if not folder.is_dir():
        pytest.skip("NO TEST VECTORS: neither POSTHOUSE_VECTORS nor ../shared/vectors names a folder")
    return folder
