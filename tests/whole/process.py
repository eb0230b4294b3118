"""The demo as a process of its own, as `make run` starts it."""

import json
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from posthouse.config import Listen
from posthouse.lab.demo import DNS_PORT, FAR_OFFSET, STANDARD_PORTS

PROGRAM = str(Path(sys.executable).with_name("posthouse"))
READY_SECONDS = 30.0


def free_port_base() -> int:
    """A port base at which every port of the demo is free at this moment."""
    wanted = [STANDARD_PORTS[name] + offset for name in Listen().__struct_fields__ for offset in (0, FAR_OFFSET)]
    while True:
        # Below the ports that the system gives to clients: one of those may be taken at any moment.
        base = random.randrange(12_000, 21_500)
        try:
            for port in (*wanted, DNS_PORT):
                socket.create_server(("127.0.0.1", base + port)).close()
        except OSError:
            continue
        return base


class DemoProcess:
    """`posthouse demo`, started and waited for."""

    def __init__(self, folder: Path, port_base: int, *arguments: str) -> None:
        self.folder = folder
        self.port_base = port_base
        # After kill -9 the one of the last time is still there.
        (folder / "demo.json").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [PROGRAM, "demo", "--dir", str(folder), "--port-base", str(port_base), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        self.card: dict[str, Any] = self._wait()

    def _wait(self) -> dict[str, Any]:
        ready = self.folder / "demo.json"
        deadline = time.monotonic() + READY_SECONDS
        while not ready.exists():
            assert self.process.poll() is None, self.rest()
            assert time.monotonic() < deadline, "the demo never became ready"
            time.sleep(0.02)
        found: dict[str, Any] = json.loads(ready.read_text())
        return found

    def read_card(self) -> str:
        """What it printed for people up to its last line about Ctrl-C."""
        assert self.process.stdout is not None
        lines: list[str] = []
        while not lines or not lines[-1].startswith("Ctrl-C"):
            line = self.process.stdout.readline().decode()
            assert line, "".join(lines)
            lines.append(line)
        return "".join(lines)

    @property
    def passwords(self) -> dict[str, str]:
        return {account["address"]: account["password"] for account in self.card["accounts"]}

    def rest(self) -> str:
        """What it printed, once it has ended."""
        out, _ = self.process.communicate(timeout=READY_SECONDS)
        return str(out.decode())

    def interrupt(self) -> str:
        """Ctrl-C; gives what it printed. AssertionError where it does not end cleanly."""
        self.process.send_signal(signal.SIGINT)
        printed = self.rest()
        assert self.process.returncode == 0, printed
        return printed

    def kill(self) -> None:
        """kill -9, and gone."""
        self.process.kill()
        self.rest()

    def __enter__(self) -> "DemoProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        elif self.process.stdout is not None:
            self.process.stdout.close()
