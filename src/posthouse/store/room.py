"""Whether the disk has room for more mail."""

import os
from pathlib import Path
from time import monotonic

from posthouse.store.database import Transaction, kept_free

ROOM_SECONDS = 0.2
"""How long an answer about the room on the disk is good for at most."""
COMMIT_OCTETS = 32 * 1024
"""What a commit writes besides the mail, roughly."""

_PAGE = 4096


def is_short(folder: Path) -> bool:
    """Whether mail is being refused for want of room on the disk of this folder, or soon will be. OSError."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize < 2 * kept_free(disk)


class Room:
    """Knows how much mail the disk still takes.

    Everything counts twice, since what is written to the log needs room in the database as well, once it is copied.
    `low` is set when little more than the reserve is left: then the log is to be cut to nothing.
    """

    def __init__(self, path: Path, reserve: int) -> None:
        self.low = False
        self._path = path
        self._log = Path(f"{path}-wal")
        self._reserve = reserve
        self._margin = reserve
        self._left = 0
        self._until = 0.0

    def enough(self, octets: int, tx: Transaction) -> bool:
        """Whether so many octets more leave the reserve untouched."""
        wanted = 2 * (octets + octets // 8 + COMMIT_OCTETS)
        self._left -= wanted
        if self._left < 0 or monotonic() >= self._until:
            self._left = self._look() - wanted
            self._until = monotonic() + ROOM_SECONDS
        self.low = self.low or self._left < self._margin
        if self._left >= 0:
            return True
        # Pages that removed mail has left in the file are room as well.
        row = tx.one("PRAGMA freelist_count")
        return row is not None and self._left + row[0] * _PAGE >= 0

    def _look(self) -> int:
        disk = os.statvfs(self._path)
        log = self._log.stat().st_size if self._log.exists() else 0
        self._margin = kept_free(disk, self._reserve)
        return disk.f_bavail * disk.f_frsize - log - self._margin
