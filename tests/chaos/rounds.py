"""How long a scenario goes on, and what it tells meanwhile."""

import os
import random
import time
from collections.abc import Iterator

SECONDS = float(os.environ.get("CHAOS_SECONDS", "180"))
SEED = os.environ.get("CHAOS_SEED") or str(random.SystemRandom().randrange(10**6))


class Rounds:
    """The rounds of one scenario: at least two, and then as many as begin in its share of the time.

        for chance in (rounds := Rounds("kill -9", 0.3)):
            …
            rounds.tell(f"{count} promises kept")
    """

    def __init__(self, name: str, share: float) -> None:
        self._name = name
        self._seconds = SECONDS * share
        self._number = 0
        self._began = time.monotonic()

    def __iter__(self) -> Iterator[random.Random]:
        while self._number < 2 or time.monotonic() - self._began < self._seconds:
            self._number += 1
            yield random.Random(f"{SEED} {self._name} {self._number}")

    def tell(self, words: str) -> None:
        """What this round has shown."""
        seconds = f"{time.monotonic() - self._began:.0f} of {self._seconds:.0f} s"
        print(f"\n{self._name}, round {self._number}, {seconds}: {words}", end="", flush=True)
