"""Copies SQLite's log into the database, in a thread beside the writer's."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from posthouse.store.connection import connect, fault_of
from posthouse.store.database import StoreFault

_CACHE = 256
_PASSES = 3
# Pages that the writer may copy itself without keeping anybody waiting.
_REST = 256


class Checkpoint:
    """`rest` is set when little is left to copy: the writer copies that between two batches, so that the log starts
    anew, and takes the mark away."""

    def __init__(self, path: Path, failed: Callable[[StoreFault], None]) -> None:
        """`failed` is called, in the thread, when the disk has lied. Raises sqlite3.Error."""
        self.rest = False
        self._connection = connect(path, cache=_CACHE, writing=True)
        self._failed = failed
        self._wanted: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-checkpoint", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Asks for a checkpoint; returns at once."""
        if self._wanted.empty():
            self._wanted.put(True)

    def close(self) -> None:
        """Ends the thread. Blocks."""
        self._wanted.put(False)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while self._wanted.get():
            try:
                self._copy()
            except sqlite3.Error as error:
                fault = fault_of(error)
                # Without room, or beside another process's checkpoint, it is simply tried again later.
                if fault is not None and fault.broken:
                    self._failed(fault)

    def _copy(self) -> None:
        for _ in range(_PASSES):
            busy, log, copied = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if busy:
                return
            if log - copied < _REST:
                break
        self.rest = True
