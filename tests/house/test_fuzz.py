"""The fuzzer is run seldom and for long; here each target is run a little, and the hunt is seen to find something."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz import engines, hunt, parsers
from fuzz.__main__ import replay
from fuzz.hunt import Hunt, attempt
from fuzz.mutation import LONGEST, Mutation
from fuzz.target import Target

TARGETS = parsers.TARGETS | engines.TARGETS
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_examples_and_a_few_accidents(name: str) -> None:
    target = TARGETS[name]
    mutation = Mutation(random.Random(name), target.seeds, target.words)
    for octets in (*target.seeds, *(mutation.make() for _ in range(25))):
        assert len(octets) <= LONGEST
        _, error = attempt(target, octets)
        if error is not None:
            raise error


def breaks(octets: bytes) -> int:
    """A parser with a mistake."""
    if b"<<" in octets:
        raise IndexError("there is nothing between them")
    return octets.count(b"<")


def test_what_breaks_is_found_made_short_written_down_and_seen_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = Target("broken", breaks, (b"a long example with <one> in it, and with <another>",), (b"<",))
    lines: list[str] = []
    found = Hunt({"broken": target}, tmp_path, 1, found=lines.append)
    found.run(0)
    (path,) = found.failures
    assert path.parent == tmp_path / "failures" / "broken"
    assert path.read_bytes() == b"<<"
    assert "IndexError: there is nothing between them" in path.with_suffix(".txt").read_text()
    assert lines == [f"broken: IndexError in test_fuzz.py:breaks, see {path.with_suffix('.txt')}"]
    assert "1 failures" in found.line(0)
    assert replay(target, path) == 1
    assert "IndexError" in capsys.readouterr().err
    # What showed something new is where the next hunt begins.
    kept = {path.read_bytes() for path in (tmp_path / "corpus" / "broken").iterdir()}
    assert len({breaks(octets) for octets in kept}) == len(kept) > 1
    again = Hunt({"broken": target}, tmp_path, 2)
    assert kept <= set(again._prey[0].corpus)


def test_what_takes_too_long_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hunt, "SLOW_SECONDS", 0.001)
    _, error = attempt(Target("slow", lambda octets: sum(range(300_000)), (b"",)), b"x")
    assert isinstance(error, hunt.Slow)
    monkeypatch.setattr(hunt, "HANG_SECONDS", 0.05)
    _, error = attempt(Target("endless", lambda octets: [None for _ in iter(int, 1)], (b"",)), b"x")
    assert isinstance(error, hunt.Slow)


def test_the_same_seed_makes_the_same_inputs() -> None:
    target = TARGETS["address"]
    one, other = (Mutation(random.Random(5), target.seeds, target.words) for _ in range(2))
    assert [one.make() for _ in range(200)] == [other.make() for _ in range(200)]


def test_the_command_tells_of_mistakes_in_one_line(tmp_path: Path) -> None:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "fuzz", *arguments], capture_output=True, text=True, cwd=REPOSITORY, timeout=60
        )

    assert run("--list").stdout.split() == list(TARGETS)
    done = run("--only", "nothing")
    assert done.returncode == 2
    assert "no target begins with nothing" in done.stderr
    done = run("--only", "queue-id", "--seconds", "0", "--seed", "7", "--folder", str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("Seed 7, 1 targets, 0 seconds")
    assert "0 failures" in done.stdout
