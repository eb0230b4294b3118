"""The hunt: inputs for one target after the other until the time is over; what is new is kept, what breaks is noted.

build/fuzz/corpus/TARGET/…          inputs that showed a new shape; the next hunt begins with them
build/fuzz/failures/TARGET/….bin    an input that broke something, made as short as could be
build/fuzz/failures/TARGET/….txt    how, and how to see it again
"""

import os
import random
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import FrameType

from fuzz.mutation import LONGEST, Mutation
from fuzz.target import Shape, Target

SLOW_SECONDS = 1.0
"""Processor time after which an input of at most 16 KiB is a failure by itself."""
HANG_SECONDS = 20.0
TURN = 200
"""Inputs for one target before it is another's turn."""
KEPT_MOST = 300
SHORTEN_SECONDS = 3.0


class Slow(Exception):
    """The input took longer than any input of its size should."""


@dataclass
class Prey:
    """A target with what was found out about it."""

    target: Target
    corpus: list[bytes]
    shapes: set[bytes] = field(default_factory=set)
    failures: dict[str, Path] = field(default_factory=dict)


class Hunt:
    """`going` hears now and then how it goes, `found` of each failure; a line each."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        folder: Path,
        seed: int,
        going: Callable[[str], None] = lambda line: None,
        found: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.inputs = 0
        self._folder = folder
        self._chance = random.Random(seed)
        self._going = going
        self._found = found
        self._prey = [Prey(target, [*target.seeds, *self._known(target)]) for target in targets.values()]

    @property
    def failures(self) -> list[Path]:
        """The inputs that broke something, in the order of the targets."""
        return [path for prey in self._prey for path in prey.failures.values()]

    def run(self, seconds: float) -> None:
        """Until the time is over; every target has its turn at least once."""
        began = time.monotonic()
        for prey in self._prey:
            for octets in list(prey.corpus):
                self._try(prey, octets)
        turns = 0
        while turns < len(self._prey) or time.monotonic() - began < seconds:
            prey = self._prey[turns % len(self._prey)]
            mutation = Mutation(self._chance, prey.corpus, prey.target.words)
            for _ in range(TURN):
                self._try(prey, mutation.make())
            turns += 1
            self._going(self.line(time.monotonic() - began))

    def line(self, seconds: float) -> str:
        """How far it has come."""
        shapes = sum(len(prey.shapes) for prey in self._prey)
        return (
            f"{seconds:5.0f} s  {self.inputs:,} inputs for {len(self._prey)} targets, {shapes:,} shapes, "
            f"{len(self.failures)} failures"
        )

    def _try(self, prey: Prey, octets: bytes) -> None:
        self.inputs += 1
        shape, error = attempt(prey.target, octets)
        if error is not None:
            self._note(prey, octets, error)
            return
        mark = sha256(repr(shape).encode("utf-8", "replace")).digest()
        if mark not in prey.shapes and len(prey.shapes) < KEPT_MOST:
            prey.shapes.add(mark)
            if octets not in prey.target.seeds:
                prey.corpus.append(octets)
                _write(self._folder / "corpus" / prey.target.name, octets, ".bin")

    def _note(self, prey: Prey, octets: bytes, error: BaseException) -> None:
        place = where(error)
        if place in prey.failures:
            return
        octets = shortened(prey.target, octets, place)
        path = _write(self._folder / "failures" / prey.target.name, octets, ".bin")
        _, again_error = attempt(prey.target, octets)
        told = "".join(traceback.format_exception(again_error or error))
        again = f"\n{octets[:2000]!r}\n\nAgain: python -m fuzz --replay {path}\n"
        path.with_suffix(".txt").write_text(told + again, "utf-8", "backslashreplace")
        prey.failures[place] = path
        self._found(f"{prey.target.name}: {place}, see {path.with_suffix('.txt')}")

    def _known(self, target: Target) -> list[bytes]:
        folder = self._folder / "corpus" / target.name
        return [path.read_bytes()[:LONGEST] for path in sorted(folder.glob("*.bin"))[:KEPT_MOST]]


def attempt(target: Target, octets: bytes) -> tuple[Shape, BaseException | None]:
    """The shape, or what was raised."""
    began = time.process_time()
    try:
        with _no_longer_than(HANG_SECONDS):
            shape = target.run(octets)
        seconds = time.process_time() - began
        if seconds > SLOW_SECONDS:
            raise Slow(f"{seconds:.1f} seconds of processor time for {len(octets)} octets")
    except Exception as error:
        return None, error
    return shape, None


def where(error: BaseException) -> str:
    """The kind of error and the innermost place: what makes two failures the same."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}:{frames[-1].name}" if frames and not isinstance(error, Slow) else ""
    return f"{type(error).__name__}{place}"


def shortened(target: Target, octets: bytes, place: str) -> bytes:
    """The same failure from fewer octets, as far as that can be found soon."""
    until = time.monotonic() + SHORTEN_SECONDS
    size = len(octets) // 2
    while size and time.monotonic() < until:
        for start in range(0, len(octets), size):
            less = octets[:start] + octets[start + size :]
            _, error = attempt(target, less)
            if error is not None and where(error) == place:
                octets = less
                break
            if time.monotonic() >= until:
                break
        else:
            size //= 2
    return octets


@contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Slow(f"no end after {seconds:.0f} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _write(folder: Path, octets: bytes, ending: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{sha256(octets).hexdigest()[:16]}{ending}"
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_bytes(octets)
    fresh.replace(path)
    return path
