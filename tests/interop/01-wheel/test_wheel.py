"""What a user gets: the wheel, built, installed from the lock into an empty environment, and run elsewhere."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder),
        REPOSITORY,
        cwd=folder,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a fresh environment that holds the wheel and the locked dependencies."""
    home = tmp_path_factory.mktemp("user")
    venv.create(home / "venv", with_pip=True)
    binaries = home / "venv" / "bin"
    lock = REPOSITORY / "requirements" / "run.txt"
    run(binaries / "python", "-m", "pip", "install", "--require-hashes", "-r", lock, cwd=home)
    run(binaries / "python", "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=home)
    return binaries


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    source = REPOSITORY / "src"
    expected = {
        path.relative_to(source).as_posix()
        for path in (source / "posthouse").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("posthouse/")}
    assert packed == expected


def test_the_lock_covers_every_dependency_of_the_wheel(installed: Path) -> None:
    assert "No broken requirements" in run(installed / "python", "-m", "pip", "check", cwd=installed)


def test_the_command_runs_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    assert "serve" in run(installed / "posthouse", "--help", cwd=tmp_path)
    where = run(installed / "python", "-c", "import posthouse; print(posthouse.__file__)", cwd=tmp_path)
    assert str(REPOSITORY) not in where
