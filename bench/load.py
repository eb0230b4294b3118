"""The load and its sink: Postfix's `smtp-source` and `smtp-sink`, the same for every server."""

import os
import re
import shutil
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from bench.servers import LOCAL, BenchError, free_port, wait_for_port

MAIL_FROM = "a@src.test"

# Seconds after which a run is given up.
TOO_LONG = 300


def program(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        raise BenchError(f"{name} is missing: apt install postfix")
    return found


def source(
    port: int,
    rcpt_to: str,
    *,
    messages: int,
    sessions: int,
    size: int,
    kept: bool,
    host: str = LOCAL,
    mail_from: str = MAIL_FROM,
    file: Path | None = None,
) -> float:
    """Sends the messages and returns the seconds until the last reply; `file`: the same message each time."""
    command = [program("smtp-source"), "-4", "-m", str(messages), "-s", str(sessions)]
    command += ["-l", str(size)] if file is None else ["-F", str(file)]
    command += ["-d"] if kept else []
    command += ["-f", mail_from, "-t", rcpt_to, f"inet:{host}:{port}"]
    begun = time.monotonic()
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TOO_LONG)
    except subprocess.TimeoutExpired:
        raise BenchError(f"smtp-source got no end with {messages} messages to {rcpt_to} in {TOO_LONG} s") from None
    taken = time.monotonic() - begun
    if done.returncode or done.stderr:
        raise BenchError(f"smtp-source: {(done.stderr or done.stdout).strip()[-500:]}")
    return taken


class Sink(AbstractContextManager["Sink"]):
    """An SMTP server that takes everything, keeps nothing, and counts."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._counter = folder / "sink"

    def __enter__(self) -> "Sink":
        with self._counter.open("wb") as out:
            self._process = subprocess.Popen(
                [program("smtp-sink"), "-4", "-c", "-u", "nobody", f"127.0.0.1:{self.port}", "200"],
                stdin=subprocess.DEVNULL,
                stdout=out,
            )
        wait_for_port(self.port, self._process)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait()

    def received(self) -> int:
        """Messages so far. The program rewrites one line for each, so the end of its output is the count."""
        with self._counter.open("rb") as file:
            file.seek(max(0, self._counter.stat().st_size - 200))
            counts = re.findall(rb"mesg=(\d+)\s", file.read())
        return int(counts[-1]) if counts else 0
