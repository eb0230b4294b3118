"""`posthouse demo` as a stranger meets it: ready, tried by copy and paste, stopped, started again."""

import imaplib
import json
import re
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from posthouse.lab.demo import FAR_OFFSET, STANDARD_PORTS, Demo, DemoError
from whole.internet import CAROL, until
from whole.process import PROGRAM, DemoProcess, free_port_base

PROMISED = {"smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "http", "https"}


def inbox(demo: DemoProcess, address: str) -> list[bytes]:
    trust = ssl.create_default_context(cafile=demo.card["ca"])
    ports = demo.card["far"] if address == CAROL else demo.card["ports"]
    with imaplib.IMAP4_SSL("localhost", ports["imaps"], ssl_context=trust, timeout=20) as client:
        client.login(address, demo.passwords[address])
        client.select("INBOX", readonly=True)
        _, found = client.uid("FETCH", "1:*", "(BODY.PEEK[])")
        return [part[1] for part in found if isinstance(part, tuple)]


def commands(card: str) -> list[str]:
    """What the card says to type: its lines that call a program."""
    return [line.strip() for line in card.splitlines() if re.match(r"     (echo|curl|\S*posthouse) ", line)]


def typed(command: str) -> str:
    """What a command line prints when it is typed into a shell."""
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_works_by_copy_and_paste_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    base = free_port_base()
    with DemoProcess(tmp_path / "demo", base) as demo:
        assert demo.card["ready"] is True
        assert set(demo.card["ports"]) == PROMISED
        assert {"smtp", "imap"} <= set(demo.card["far"])
        assert all(port == base + STANDARD_PORTS[name] for name, port in demo.card["ports"].items())
        assert all(port == base + FAR_OFFSET + STANDARD_PORTS[name] for name, port in demo.card["far"].items())
        card, passwords = demo.read_card(), demo.passwords
        for address, password in passwords.items():
            assert re.search(rf"{address}\s+password\s+{password}", card)
        write, read, trace = commands(card)
        assert "accepted" in typed(write).lower()
        (got,) = until(lambda: inbox(demo, CAROL), bool)
        assert b"Hello from the demo" in got
        if shutil.which("curl"):
            assert "Hello from the demo" in typed(read)
        story = until(lambda: typed(trace), lambda told: "mx.far.test took it" in told)
        assert "alice@posthouse.test logged in" in story
        demo.interrupt()
    assert not (tmp_path / "demo" / "demo.json").exists()

    with DemoProcess(tmp_path / "demo", base, "--json") as demo:
        assert demo.passwords == passwords
        assert inbox(demo, CAROL) == [got]
        printed = demo.interrupt()
        assert json.loads(printed) == demo.card


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    base = free_port_base()
    with DemoProcess(tmp_path / "one", base) as first:
        for folder, words in (
            ("two", f"port {base + 25} for smtp of posthouse.test cannot be had (Address already in use); is a demo"),
            ("one", "a demo runs in"),
        ):
            done = subprocess.run(
                [PROGRAM, "demo", "--dir", tmp_path / folder, "--port-base", str(base)],
                capture_output=True, text=True, timeout=60,
            )
            assert done.returncode == 1
            assert done.stderr.count("\n") == 1
            assert words in done.stderr
        assert (tmp_path / "one" / "demo.json").exists()
        first.interrupt()


def test_a_port_base_beyond_the_last_port_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DemoError):
        Demo(tmp_path, 60_000)


def test_passwords_are_for_their_owner_only(tmp_path: Path) -> None:
    with DemoProcess(tmp_path / "demo", free_port_base()) as demo:
        for name in ("accounts.json", "demo.json", "ca.key"):
            assert (demo.folder / name).stat().st_mode & 0o077 == 0
        demo.interrupt()


