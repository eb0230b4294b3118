"""The plan of the house, the law of imports, and the folders say the same."""

import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src" / "posthouse"


def project() -> dict[str, dict[str, object]]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))


def contracts() -> list[dict[str, list[str]]]:
    return project()["tool"]["importlinter"]["contracts"]  # type: ignore[index, return-value]


def floors() -> list[str]:
    layers = next(contract["layers"] for contract in contracts() if "layers" in contract)
    return [name.strip(" ()") for layer in layers for name in layer.split("|")]


def test_every_room_has_its_floor() -> None:
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir() and not path.name.startswith("_")}
    rooms |= {path.stem for path in SOURCE.glob("*.py") if not path.name.startswith("_")}
    assert rooms <= set(floors())


def test_rooms_without_io_are_held_to_it_once_they_are_built() -> None:
    without_io = {name for name in ("mail", "wire", "checks", "sieve") if (SOURCE / name).is_dir()}
    held = next(contract["source_modules"] for contract in contracts() if "source_modules" in contract)
    assert {f"posthouse.{name}" for name in without_io} == set(held)


def test_folders_with_python_are_packages() -> None:
    assert not [p for p in SOURCE.rglob("*.py") if not (p.parent / "__init__.py").is_file()]


def test_every_test_is_named_as_one() -> None:
    """A file that pytest does not collect and no test imports would be a test that never runs."""
    tests = REPOSITORY / "tests"
    assert not list(tests.rglob("*_test.py"))


def test_the_build_tool_is_the_locked_one() -> None:
    wanted = project()["build-system"]["requires"]
    listed = (REPOSITORY / "requirements" / "build.in").read_text("utf-8").splitlines()
    assert set(wanted) <= set(listed)  # type: ignore[call-overload]
