"""`python -m fuzz`: a hunt of a minute over everything, or over what is named; exit code 1 where something broke."""

import argparse
import resource
import secrets
import sys
import time
import traceback
from pathlib import Path

from fuzz import engines, parsers
from fuzz.hunt import Hunt, attempt
from fuzz.target import Target

FOLDER = Path("build/fuzz")
MEMORY = 3 * 2**30
TELL_SECONDS = 10.0  # between lines, where nobody watches


def main() -> int:
    targets = parsers.TARGETS | engines.TARGETS
    reader = argparse.ArgumentParser(
        prog="python -m fuzz", description="Random octets against every parser and engine."
    )
    reader.add_argument("--seconds", type=float, default=60, help="how long (60)")
    reader.add_argument("--only", metavar="NAME", action="append", help="targets whose name begins so; may be repeated")
    reader.add_argument("--seed", type=int, default=secrets.randbelow(10**9), help="the same inputs as another time")
    reader.add_argument("--folder", type=Path, default=FOLDER, help=f"corpus and failures ({FOLDER})")
    reader.add_argument("--replay", type=Path, metavar="FILE", help="try one input, FOLDER/failures/TARGET/….bin")
    reader.add_argument("--list", action="store_true", help="name the targets")
    options = reader.parse_args()
    if options.list:
        print("\n".join(targets))
        return 0
    # What eats memory is to fail here, not the machine.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    if options.replay:
        return replay(targets[options.replay.resolve().parent.name], options.replay)
    chosen = {
        name: target
        for name, target in targets.items()
        if not options.only or any(name.startswith(wanted) for wanted in options.only)
    }
    if not chosen:
        reader.error(f"no target begins with {' or '.join(options.only)}; --list names them")
    print(f"Seed {options.seed}, {len(chosen)} targets, {options.seconds:.0f} seconds, into {options.folder}")
    line = Line(sys.stdout.isatty())
    hunt = Hunt(chosen, options.folder, options.seed, line.going, line.found)
    began = time.monotonic()
    hunt.run(options.seconds)
    line.found(hunt.line(time.monotonic() - began))
    for path in hunt.failures:
        print(f"FAILED {path}")
    return 1 if hunt.failures else 0


def replay(target: Target, path: Path) -> int:
    """One input once more, with the whole traceback."""
    shape, error = attempt(target, path.read_bytes())
    if error is None:
        print(f"{target.name}: nothing is wrong with it: {shape!r}")
        return 0
    traceback.print_exception(error)
    return 1


class Line:
    """The progress: one line that changes, on a terminal; elsewhere one now and then."""

    def __init__(self, lively: bool) -> None:
        self._lively = lively
        self._told = time.monotonic()

    def going(self, line: str) -> None:
        """How it goes; replaced by the next line."""
        if self._lively:
            print(f"\r\033[K{line}", end="", flush=True)
        elif time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            print(line, flush=True)

    def found(self, line: str) -> None:
        """What is to stay."""
        print(f"\r\033[K{line}" if self._lively else line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
