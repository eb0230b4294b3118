"""One thing to be fuzzed: what takes the octets, examples of what it expects, and the words of its language."""

from collections.abc import Callable
from dataclasses import dataclass

# Whatever tells one way through the code from another; inputs that make a new one are kept and built upon.
Shape = object


@dataclass(frozen=True)
class Target:
    """`run` takes any octets at all and returns their shape. Whatever it raises is a failure: what the parser may raise
    it catches itself, and what holds for every input it asserts."""

    name: str
    run: Callable[[bytes], Shape]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()


def named(*targets: Target) -> dict[str, Target]:
    """By name, in the order given."""
    return {target.name: target for target in targets}
