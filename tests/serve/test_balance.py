"""Connections of several processes: each gets its share, and nobody waits for one that does not accept."""


import socket
from collections.abc import Iterator

import pytest

from posthouse.serve.balance import MARGIN, Balance
from posthouse.serve.listener import Census, Listener
from posthouse.serve.metrics import Metrics
from serve.loops import on_both_loops, run
from serve.test_listener import Echo, knock, until


class Processes(Balance):
    """As in several processes, though all in this one."""

    def of(self, process: int) -> Balance:
        own = Balance.__new__(Balance)
        own.process, own._columns, own._rows = process, self._columns, self._rows
        return own


def listening(balance: Balance, shared: socket.socket) -> Listener:
    return Listener("smtp", [shared.dup()], Echo, Census(per_address=1000), metrics=Metrics(), balance=balance)


@pytest.fixture
def shared() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as server:
        yield server


@on_both_loops
def test_a_burst_is_shared_out(loop: str, shared: socket.socket) -> None:
    async def main() -> None:
        processes = Processes(2, ("imap", "smtp"))
        listeners = [listening(processes.of(number), shared) for number in (0, 1)]
        # All of them wait before anybody accepts: the first to wake could have them all.
        clients = [await knock(shared.getsockname()[1]) for _ in range(40)]
        for listener in listeners:
            listener.start()
        await until(lambda: sum(listener.census.open for listener in listeners) == 40)
        counts = [listener.census.open for listener in listeners]
        assert max(counts) - min(counts) <= MARGIN
        for _, writer in clients:
            writer.close()
        await until(lambda: not any(listener.census.open for listener in listeners))
        assert [list(row) for row in processes._rows] == [[0, 0], [0, 0]]
        for listener in listeners:
            listener.stop()

    run(main(), loop)


@on_both_loops
def test_one_that_does_not_accept_keeps_nobody_waiting(loop: str, shared: socket.socket) -> None:
    async def main() -> None:
        processes = Processes(3, ("smtp",))
        alone = listening(processes.of(1), shared)
        alone.start()
        clients = [await knock(shared.getsockname()[1]) for _ in range(3 * MARGIN)]
        for reader, _ in clients:
            assert await reader.readline() == b"hello\n"
        assert alone.census.open == 3 * MARGIN
        for _, writer in clients:
            writer.close()
        await until(lambda: not alone.census.open)
        alone.stop()
        await alone.drain(1)

    run(main(), loop)


def test_who_comes_again_holds_no_connections() -> None:
    balance = Balance(2, ("smtp", "imap"))
    balance.join(1)
    balance.count("smtp", MARGIN)
    assert balance.is_ahead("smtp")
    assert not balance.is_ahead("imap")
    balance.join(1)
    assert not balance.is_ahead("smtp")
    balance.join(0)
    balance.count("smtp", MARGIN - 1)
    assert not balance.is_ahead("smtp")
