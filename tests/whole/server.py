"""A server as quickstart makes it and `posthouse serve` runs it, a process of its own, on free ports of loopback."""

import imaplib
import json
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli.program import spawn
from posthouse.config import Listen
from whole.process import PROGRAM

YOU = "you@example.org"


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


class Server:
    """A server made by quickstart, with its listeners moved to free ports of loopback."""

    prefix: tuple[str, ...] = ()
    """What stands before the program on its command line."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder = folder
        self.settings = folder / "posthouse.toml"
        self._log = folder / "log"
        self.made: dict[str, Any] = spawn("quickstart", YOU, "--dir", folder, "--json").json
        services = Listen().__struct_fields__
        self.ports = dict(zip(services, free_ports(len(services)), strict=True))
        listen = "".join(f'{service} = ["127.0.0.1:{port}"]\n' for service, port in self.ports.items())
        with self.settings.open("a") as file:
            file.write(f"\n[listen]\n{listen}{more}")

    @contextmanager
    def running(self) -> Iterator["subprocess.Popen[bytes]"]:
        """`posthouse serve`, once it has told systemd that it is ready."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(str(self.folder / "notify"))
            systemd.settimeout(30)
            # Not a pipe, which would fill up and hold the server where nobody reads it.
            with self._log.open("wb") as log:
                process = subprocess.Popen(
                    [*self.prefix, PROGRAM, "serve", "--config", self.settings, "--json"], stderr=log,
                    env={**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify")},
                )
            try:
                assert systemd.recv(1000) == b"READY=1"
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()
                (self.folder / "notify").unlink()

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
        with imaplib.IMAP4_SSL("127.0.0.1", self.ports["imaps"], ssl_context=self.trust, timeout=60) as client:
            client.login(YOU, self.made["password"])
            client.select(name, readonly=readonly)
            yield client

    def inbox(self) -> list[bytes]:
        with self.mailbox() as client:
            _, found = client.uid("FETCH", "1:*", "(BODY.PEEK[])")
            return [part[1] for part in found if isinstance(part, tuple)]
