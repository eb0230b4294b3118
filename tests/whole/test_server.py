"""From `posthouse quickstart` to a running server, as on the first day, and to its end."""

import imaplib
import json
import os
import signal
import smtplib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli.program import spawn
from posthouse.config import Listen
from whole.internet import letter, until
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

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder = folder
        self.settings = folder / "posthouse.toml"
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
            process = subprocess.Popen(
                [PROGRAM, "serve", "--config", self.settings, "--json"], stderr=subprocess.PIPE,
                env={**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify")},
            )
            try:
                assert systemd.recv(1000) == b"READY=1"
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()
                assert process.stderr is not None
                process.stderr.close()
                (self.folder / "notify").unlink()

    def inbox(self) -> list[bytes]:
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        with imaplib.IMAP4_SSL("127.0.0.1", self.ports["imaps"], ssl_context=trust, timeout=20) as client:
            client.login(YOU, self.made["password"])
            client.select("INBOX", readonly=True)
            _, found = client.uid("FETCH", "1:*", "(BODY.PEEK[])")
            return [part[1] for part in found if isinstance(part, tuple)]


def deliver(server: Server) -> None:
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=20) as client:
        client.send_message(letter("friend@elsewhere.example", YOU, "Welcome"))


def stop(process: "subprocess.Popen[bytes]") -> list[dict[str, Any]]:
    """SIGTERM; gives the log."""
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    return [json.loads(line) for line in err.splitlines()]


def test_a_new_server_receives_is_read_and_stops(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with server.running() as process:
        deliver(server)
        (got,) = until(server.inbox, bool)
        assert b"Subject: Welcome" in got
        log = stop(process)
    accepted = [record for record in log if record["event"] == "accepted"]
    assert [record["delivered"] for record in accepted] == [1]
    assert accepted[0]["mail_from"] == "friend@elsewhere.example"


def test_several_processes_serve_as_one(tmp_path: Path) -> None:
    server = Server(tmp_path, more="\n[run]\nprocesses = 3\n")
    with server.running() as process:
        for _ in range(10):
            deliver(server)
        until(server.inbox, lambda found: len(found) == 10)
        told = spawn("trace", "--list", "--json", "--config", server.settings).json["journeys"]
        assert len({journey["id"] for journey in told}) == 10
        stop(process)


def test_a_second_server_on_the_same_data_is_one_line(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with server.running() as process:
        for more in ("", "elsewhere"):
            settings = server.settings
            if more:
                text = settings.read_text()
                for port, other in zip(server.ports.values(), free_ports(len(server.ports)), strict=True):
                    text = text.replace(f":{port}", f":{other}")
                settings = tmp_path / "other.toml"
                settings.write_text(text)
            done = subprocess.run(
                [PROGRAM, "serve", "--config", settings], capture_output=True, text=True, timeout=30
            )
            assert done.returncode == 1
            assert [line for line in done.stderr.splitlines() if line.startswith("posthouse: ")]
            assert "Traceback" not in done.stderr
        stop(process)


def test_settings_with_a_mistake_stop_nothing_but_the_start(tmp_path: Path) -> None:
    server = Server(tmp_path, more="\n[limits]\nmessage_sise = 1\n")
    done = spawn("serve", "--config", server.settings)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "did you mean message_size?" in done.err
