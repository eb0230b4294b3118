"""From `posthouse quickstart` to a running server, as on the first day, and to its end."""

import smtplib
import subprocess
from pathlib import Path

from cli.program import spawn
from whole.internet import letter, until
from whole.process import PROGRAM
from whole.server import YOU, Server, free_ports


def deliver(server: Server) -> None:
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=20) as client:
        client.send_message(letter("friend@elsewhere.example", YOU, "Welcome"))


def test_a_new_server_receives_is_read_and_stops(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with server.running() as process:
        deliver(server)
        (got,) = until(server.inbox, bool)
        assert b"Subject: Welcome" in got
        log = server.stop(process)
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
        server.stop(process)


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
        server.stop(process)


def test_settings_with_a_mistake_stop_nothing_but_the_start(tmp_path: Path) -> None:
    server = Server(tmp_path, more="\n[limits]\nmessage_sise = 1\n")
    done = spawn("serve", "--config", server.settings)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "did you mean message_size?" in done.err
