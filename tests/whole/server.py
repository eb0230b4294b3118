"""A server as quickstart makes it and `posthouse serve` runs it, a process of its own, on free ports of loopback."""

import imaplib
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cli.program import spawn
from posthouse.config import Listen
from serve.server import until
from whole.process import PROGRAM

YOU = "you@example.org"


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def kill_all(process: "subprocess.Popen[bytes]") -> None:
    """kill -9, its children too, also where it is gone itself; returns when they are. `running` made them a session."""

    def gone() -> bool:
        alive = members(process.pid)
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not alive

    until(gone)
    process.wait()


def members(session: int) -> list[int]:
    """The processes of a session that live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            # proc(5): the state, the parent, the process group and the session, behind the name in parentheses.
            state, _, _, number = stat.read_text().rpartition(")")[2].split()[:4]
            # One that is dead may have threads that are not, and hold its files.
            if int(number) == session and (state != "Z" or len(os.listdir(stat.parent / "task")) > 1):
                found.append(int(stat.parent.name))
    return found


class NotReady(Exception):
    """The server ended before it was ready."""


class Server:
    """A server made by quickstart, with its listeners moved to free ports of loopback.

    `prefix` stands before the program on its command line, `environment` is added to its own; both count from the next
    start on. `seconds` is how long the last start took.
    """

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder = folder
        self.settings = folder / "posthouse.toml"
        self.prefix: tuple[str, ...] = ()
        self.environment: dict[str, str] = {}
        self.seconds = 0.0
        self._log = folder / "log"
        self.made: dict[str, Any] = spawn("quickstart", YOU, "--dir", folder, "--json").json
        services = Listen().__struct_fields__
        self.ports = dict(zip(services, free_ports(len(services)), strict=True))
        listen = "".join(f'{service} = ["127.0.0.1:{port}"]\n' for service, port in self.ports.items())
        with self.settings.open("a") as file:
            file.write(f"\n[listen]\n{listen}{more}")

    @contextmanager
    def running(self) -> Iterator["subprocess.Popen[bytes]"]:
        """`posthouse serve`, once it has told systemd that it is ready; `NotReady` where it never is.

        Whatever of it still runs at the end is killed.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(str(self.folder / "notify"))
            # Not a pipe, which would fill up and hold the server where nobody reads it.
            with self._log.open("wb") as log:
                process = subprocess.Popen(
                    [*self.prefix, PROGRAM, "serve", "--config", self.settings, "--json"], stderr=log,
                    env={**os.environ, **self.environment, "NOTIFY_SOCKET": str(self.folder / "notify")},
                    start_new_session=True,
                )
            try:
                self._wait(process, systemd)
                yield process
            finally:
                kill_all(process)
                (self.folder / "notify").unlink()

    def _wait(self, process: "subprocess.Popen[bytes]", systemd: socket.socket) -> None:
        began = time.monotonic()
        systemd.settimeout(0.05)
        while time.monotonic() - began < 30:
            try:
                if systemd.recv(1000) != b"READY=1":
                    continue  # it has other things to tell as well, as that it stops
            except TimeoutError:
                if process.poll() is None:
                    continue
                raise NotReady(self._log.read_text("utf-8", "replace")) from None
            self.seconds = time.monotonic() - began
            return
        raise NotReady("the server is neither ready nor gone")

    def stop(self, process: "subprocess.Popen[bytes]") -> list[dict[str, Any]]:
        """SIGTERM; gives the log."""
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        log = self._log.read_bytes()
        assert process.returncode == 0, log
        return [json.loads(line) for line in log.splitlines()]

    @property
    def trust(self) -> ssl.SSLContext:
        """For its self-made certificate."""
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        return trust

    @contextmanager
    def mailbox(self, name: str = "INBOX", *, readonly: bool = True) -> Iterator[imaplib.IMAP4_SSL]:
        """A client that has the mailbox open."""
        client = imaplib.IMAP4_SSL("127.0.0.1", self.ports["imaps"], ssl_context=self.trust, timeout=60)
        try:
            client.login(YOU, self.made["password"])
            client.select(name, readonly=readonly)
            yield client
        finally:
            # Its own way to leave forgets the socket where the server is gone.
            for leave in (client.logout, client.shutdown):
                with suppress(OSError, imaplib.IMAP4.error):
                    leave()

    def inbox(self) -> list[bytes]:
        with self.mailbox() as client:
            _, found = client.uid("FETCH", "1:*", "(BODY.PEEK[])")
            return [part[1] for part in found if isinstance(part, tuple)]
