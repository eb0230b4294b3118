"""Wake-ups within a process and between processes."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path

import pytest

from posthouse.store import hints
from posthouse.store.hints import Hints, account_topic


async def soon(condition: asyncio.Event) -> None:
    await asyncio.wait_for(condition.wait(), 10)


def run(task: Coroutine[object, object, None]) -> None:
    asyncio.run(task)


def test_subscribers_of_a_topic_are_called_and_no_others() -> None:
    async def task() -> None:
        bus = Hints()
        await bus.start()
        heard: list[str] = []
        stop = bus.subscribe("queue", lambda: heard.append("one"))
        bus.subscribe("queue", lambda: heard.append("two"))
        bus.subscribe(account_topic(5), lambda: heard.append("account"))
        bus.publish("queue")
        bus.publish(account_topic(6))
        stop()
        stop()
        bus.publish("queue")
        bus.publish(account_topic(5))
        assert heard == ["one", "two", "two", "account"]
        await bus.close()

    run(task())


def test_a_subscriber_may_leave_while_it_is_called() -> None:
    async def task() -> None:
        bus = Hints()
        heard: list[int] = []

        def once(number: int) -> None:
            heard.append(number)
            stops[number]()

        stops = [bus.subscribe("t", lambda n=n: once(n)) for n in range(3)]  # type: ignore[misc]
        bus.publish("t")
        bus.publish("t")
        assert heard == [0, 1, 2]

    run(task())


def test_a_subscriber_that_raises_hurts_nobody() -> None:
    async def task() -> None:
        complaints: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        bus = Hints()
        heard: list[int] = []
        bus.subscribe("t", lambda: 1 // 0)  # type: ignore[arg-type, return-value]
        bus.subscribe("t", lambda: heard.append(1))
        bus.publish("t")
        assert heard == [1]
        assert isinstance(complaints[0]["exception"], ZeroDivisionError)

    run(task())


def test_processes_hear_each_other(tmp_path: Path) -> None:
    async def task() -> None:
        one, two = Hints(tmp_path / "run"), Hints(tmp_path / "run")
        await one.start()
        await two.start()
        here, there = asyncio.Event(), asyncio.Event()
        one.subscribe("t", here.set)
        two.subscribe("t", there.set)
        one.publish("t")
        assert here.is_set()
        await soon(there)
        here.clear()
        two.publish("t")
        await soon(here)
        await one.close()
        await two.close()
        assert list((tmp_path / "run").iterdir()) == []

    run(task())


PUBLISH = """
import asyncio, sys
from pathlib import Path
from posthouse.store.hints import Hints

async def main():
    bus = Hints(Path(sys.argv[1]))
    await bus.start()
    bus.publish("from afar")
    if sys.argv[2] == "die":
        import os
        await asyncio.sleep(0.1)
        os._exit(0)
    await bus.close()

asyncio.run(main())
"""


def test_another_process_is_heard_and_a_dead_one_is_cleared_away(tmp_path: Path) -> None:
    async def task() -> None:
        bus = Hints(tmp_path)
        await bus.start()
        heard = asyncio.Event()
        bus.subscribe("from afar", heard.set)
        for end in ("close", "die"):
            heard.clear()
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", PUBLISH, str(tmp_path), end)
            await soon(heard)
            assert await process.wait() == 0
        assert len(list(tmp_path.iterdir())) == 2
        bus.publish("anything")
        await asyncio.sleep(0.1)
        assert len(list(tmp_path.iterdir())) == 1
        await bus.close()

    run(task())


def test_a_neighbour_that_does_not_listen_blocks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def task() -> None:
        deaf = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        deaf.bind(str(tmp_path / "1-deaf.hints"))
        bus = Hints(tmp_path)
        await bus.start()
        for number in range(5_000):
            bus.publish(f"t{number}")
        await bus.close()
        deaf.close()

    run(task())


def test_many_changes_at_once_are_told_once(tmp_path: Path) -> None:
    async def task() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(str(tmp_path / "1-other.hints"))
            other.setblocking(False)
            bus = Hints(tmp_path)
            await bus.start()
            for _ in range(100):
                bus.publish("t")
            bus.publish("queue")
            await bus.close()
            assert {other.recv(100), other.recv(100)} == {b"t", b"queue"}
            with pytest.raises(BlockingIOError):
                other.recv(100)

    run(task())


def test_nonsense_on_the_socket_is_passed_over(tmp_path: Path) -> None:
    async def task() -> None:
        bus = Hints(tmp_path)
        await bus.start()
        heard = asyncio.Event()
        bus.subscribe("good", heard.set)
        (path,) = tmp_path.iterdir()
        assert os.stat(path).st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            for octets in (b"\xff\xfe", b"", b"x" * 5_000, b"unknown", b"good"):
                stranger.sendto(octets, str(path))
        await soon(heard)
        await bus.close()

    run(task())


def test_processes_hear_each_other_in_a_folder_with_a_long_path(tmp_path: Path) -> None:
    """A Unix socket's own path has 107 octets at most."""

    async def task() -> None:
        folder = tmp_path / ("x" * 120)
        one, two = Hints(folder), Hints(folder)
        await one.start()
        await two.start()
        heard = asyncio.Event()
        two.subscribe("t", heard.set)
        one.publish("t")
        await soon(heard)
        await one.close()
        await two.close()
        assert list(folder.iterdir()) == []

    run(task())


def test_a_folder_that_went_away_hurts_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "LOOK_SECONDS", -1.0)

    async def task() -> None:
        bus = Hints(tmp_path / "run")
        await bus.start()
        subprocess.run(["rm", "-r", str(tmp_path / "run")], check=True)
        bus.publish("t")
        await bus.close()

    run(task())
