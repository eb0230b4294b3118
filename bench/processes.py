"""What a server's processes cost: CPU seconds and resident memory, read from /proc."""

import os
import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType

_TICK = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on; the second, the name, may contain anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(root: int) -> set[int]:
    """The process and all its living descendants."""
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
    found = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def cpu_seconds(roots: list[int]) -> float:
    """User and system time of the trees so far, with that of the children that have ended and were waited for."""
    ticks = 0
    for pid in set().union(*map(tree, roots)):
        with suppress(OSError, IndexError):
            ticks += sum(int(field) for field in _stat(pid)[11:15])
    return ticks / _TICK


def _rollup(pid: int, field: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return 0


def proportional(roots: list[int]) -> int:
    """Octets of resident memory, a page that several processes share counted once (PSS)."""
    return sum(_rollup(pid, "Pss:") for pid in set().union(*map(tree, roots)))


class PeakResident(AbstractContextManager["PeakResident"]):
    """Watches the resident memory of some trees while it is entered; `peak` in octets."""

    def __init__(self, roots: list[int], gap: float = 0.1) -> None:
        self.peak = 0
        self._roots, self._gap = roots, gap
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakResident":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, proportional(self._roots))
            if self._stop.wait(self._gap):
                return
