"""The turn at the database: writers of several processes wait for it in the kernel."""

import fcntl
import os
from pathlib import Path


class Turn:
    """A lock file beside the database; of one process's threads only one at a time may ask for it."""

    def __init__(self, database: Path) -> None:
        """Raises OSError."""
        self._descriptor = os.open(f"{database}-turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self) -> None:
        """Waits until no other process writes."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def take_at_once(self) -> bool:
        """Takes the turn if nobody has it."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def give(self) -> None:
        """Lets others write; harmless where the turn is not ours."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Gives the turn as well."""
        os.close(self._descriptor)
