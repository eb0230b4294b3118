"""How many connections each process holds, so that none takes what another has more time for.

The kernel wakes every process for a new connection, and whoever comes first may take all that wait. So a process that
is ahead of another steps back for a moment (`listener`), which gives the next connection to the one with fewer. Few
connections stay together: for them a second process would only be in the way at the database.
"""

import mmap
from collections.abc import Iterable

MARGIN = 4
"""A process is ahead that holds so many connections of a service more than the one that holds least."""
_NUMBER = 4  # octets


class Balance:
    """Made before the processes are forked; each counts in its own row, and reads those of all."""

    def __init__(self, processes: int, services: Iterable[str]) -> None:
        self.process = 0
        self._columns = {service: column for column, service in enumerate(services)}
        width = len(self._columns)
        numbers = memoryview(mmap.mmap(-1, max(1, processes * width) * _NUMBER)).cast("i")
        self._rows = [numbers[start * width : (start + 1) * width] for start in range(processes)]

    def join(self, process: int) -> None:
        """Say in a process which one it is, counted from 0; the connections of one that died are forgotten."""
        self.process = process
        for column in self._columns.values():
            self._rows[process][column] = 0

    def count(self, service: str, more: int) -> None:
        """So many more connections of this process, or fewer."""
        self._rows[self.process][self._columns[service]] += more

    def is_ahead(self, service: str) -> bool:
        """Whether another process should have the next connection."""
        column = self._columns[service]
        return self._rows[self.process][column] - min([row[column] for row in self._rows]) >= MARGIN
