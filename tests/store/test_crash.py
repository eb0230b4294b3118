"""kill -9 while mail pours in, and several processes on one file."""

import random
import subprocess
import sys
import time
from pathlib import Path

from store import pouring
from store.rooms import Rooms

POUR = [sys.executable, pouring.__file__]


def acknowledged(log: Path) -> dict[int, str]:
    lines = [line.split() for line in log.read_text().splitlines()]
    return {int(key, 16): digest for key, digest in lines}


def examine(rooms: Rooms, *logs: Path) -> int:
    """Everything that was acknowledged is there, whole; gives how many messages there are."""
    stored = rooms.see(lambda tx: pouring.verify(tx, rooms.account_id))
    assert rooms.see(lambda tx: tx.all("PRAGMA integrity_check")) == [("ok",)]
    for log in logs:
        for key, digest in acknowledged(log).items():
            assert stored[key][2].hex() == digest
    for _, blob_id, digest in stored.values():
        content = rooms.run(rooms.blobs.load(blob_id))
        assert content.digest == digest
    return len(stored)


def test_killed_at_any_moment_it_loses_nothing_and_tears_nothing(tmp_path: Path) -> None:
    """THREATS, faults: kill -9 at random under load. The log of what was acknowledged is not the database's."""
    rooms = Rooms("sqlite", tmp_path)
    rooms.settle_in()
    rooms.close()
    log = tmp_path / "acknowledged"
    log.touch()
    chance = random.Random(7)
    before = 0
    for kill in range(5):
        process = subprocess.Popen([*POUR, str(tmp_path), str(log), str(rooms.account_id), str(kill + 2)])
        try:
            noted = len(log.read_bytes())
            while len(log.read_bytes()) < noted + 10_000 and process.poll() is None:
                time.sleep(0.01)
            time.sleep(chance.random() * 0.15)
        finally:
            process.kill()
            process.wait()
        again = Rooms("sqlite", tmp_path)
        again.account_id = rooms.account_id
        count = examine(again, log)
        again.close()
        assert count > before
        # At most what was on its way was stored without an acknowledgement.
        assert count - len(acknowledged(log)) <= pouring.CLIENTS * (kill + 1)
        before = count


def test_two_processes_write_one_file_and_both_get_on(tmp_path: Path) -> None:
    rooms = Rooms("sqlite", tmp_path)
    rooms.settle_in()
    logs = [tmp_path / "one", tmp_path / "two"]
    processes = [
        subprocess.Popen([*POUR, str(tmp_path), str(log), str(rooms.account_id), str(node), "1200"])
        for node, log in enumerate(logs, 2)
    ]
    assert [process.wait(60) for process in processes] == [0, 0]
    total = sum(len(acknowledged(log)) for log in logs)
    assert total == 2 * (1200 // pouring.CLIENTS) * pouring.CLIENTS
    assert examine(rooms, *logs) == total
    rooms.close()
