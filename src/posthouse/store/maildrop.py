"""The exclusive lock on an account's maildrop that a POP3 session holds (RFC 1939 §4).

An flock on a file of the account's own: it holds between processes of one machine and within one process, and the
kernel gives it back when the holder dies. The files stay; they are empty.
"""

import fcntl
import os
from pathlib import Path


class MaildropLock:
    """Held from `take` until `release`."""

    __slots__ = ("_file",)

    def __init__(self, file: int) -> None:
        self._file = file

    @classmethod
    def take(cls, folder: Path, account_id: int) -> "MaildropLock | None":
        """The lock, or None where another session holds it. `folder` is made when missing. May raise OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / f"{account_id}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        except OSError:
            os.close(file)
            raise
        return cls(file)

    def release(self) -> None:
        """Give it back; more than once is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
