"""What all tests share: the vectors, the mark for root, and who collects the interoperation tests."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parent.parent
INTEROP = REPOSITORY / "tests" / "interop"

# Times vary on a busy machine, so no example has a deadline; `HYPOTHESIS_PROFILE=thorough` looks much longer.
settings.register_profile("house", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("house"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Other people's programs are met only where they are asked for by name: `make interop`."""
    if collection_path == INTEROP and not any("interop" in argument for argument in config.invocation_params.args):
        return True
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
