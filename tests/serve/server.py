"""`posthouse serve` as a process of its own, on free ports of loopback, with its log read as it comes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PROGRAM = str(Path(sys.executable).with_name("posthouse"))
PATIENCE = 20.0
SERVICES = ("smtp", "submission", "http")

SETTINGS = """
hostname = "mx.example.org"
data_dir = "data"
[listen]
smtp = ["127.0.0.1:0"]
submission = ["127.0.0.1:0"]
submissions = []
imap = []
imaps = []
pop3 = []
pop3s = []
http = ["127.0.0.1:0"]
[dns]
servers = ["127.0.0.1:9"]
"""


class ServerProcess:
    """Started by `with`; killed at its end where it still runs."""

    def __init__(self, folder: Path, more: str = "", descriptors: int = 0, **environ: str) -> None:
        self.folder = folder
        self.settings = folder / "posthouse.toml"
        # One process, on every machine, where a test says nothing else.
        alone = "" if "[run]" in more else "[run]\nprocesses = 1\n"
        self.settings.write_text(SETTINGS + more + alone)
        self.lines: list[dict[str, Any]] = []
        self._grown = threading.Condition()
        command = [PROGRAM, "serve", "--config", str(self.settings)]
        if descriptors:
            command = ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh", *command]
        self.process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE, env={**os.environ, **environ}, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._grown:
                self.lines.append(json.loads(line) if line.startswith("{") else {"event": line})
                self._grown.notify_all()
        with self._grown:
            self._grown.notify_all()

    def __enter__(self) -> "ServerProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            # Children hold the other end of what is read here, for as long as they finish their work.
            children = self.children()
            self.process.kill()
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def saw(self, event: str, count: int = 1, **facts: Any) -> dict[str, Any]:
        """Wait for so many lines about an event; gives the last of them."""

        def found() -> list[dict[str, Any]]:
            return [each for each in self.lines if each["event"] == event and facts.items() <= each.items()]

        with self._grown:
            assert self._grown.wait_for(lambda: len(found()) >= count, PATIENCE), (event, facts, self.lines)
            return found()[-1]

    def port(self, service: str) -> int:
        return int(self.saw("listening", service=service)["port"])

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def run(self, *arguments: str, stdin: str = "") -> None:
        """A management command on this server."""
        subprocess.run(
            [PROGRAM, *arguments, "--config", str(self.settings)],
            input=stdin, text=True, check=True, capture_output=True, timeout=PATIENCE,
        )  # fmt: skip

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; gives the exit code."""
        self.send(number)
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@contextmanager
def asleep(*pids: int) -> Iterator[None]:
    """While processes sleep, what is sent to them waits, and others take what comes."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        # Until it has come to every thread, other signals may overtake it.
        until(lambda: all(state(task) == "T" for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()))
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def state(process: Path) -> str:
    """The letter of proc(5)."""
    return (process / "stat").read_text().rpartition(")")[2].split()[0]


def lives(pid: int) -> bool:
    """Whether the process runs, or a thread of it. (A zombie does not.)"""
    try:
        return state(Path(f"/proc/{pid}")) != "Z" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False
