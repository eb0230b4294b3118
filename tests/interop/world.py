"""Meeting other people's programs: getting them from Debian, the demo as the world they talk to, and looking inside."""

import email
import email.message
import imaplib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

POSTHOUSE = Path(sys.executable).with_name("posthouse")
READY_SECONDS = 60.0
ARRIVAL_SECONDS = 30.0


PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


def need(program: str, *packages: str) -> str:
    """The path of a program, installed from Debian's `packages` (absent: of its own name) where that can be done.

    Where it is missing and cannot be had, the test is skipped.
    """
    wanted = packages or (program,)
    path = shutil.which(program, path=PATH)
    if (path is None or not all(map(_is_installed, packages))) and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for command in (["update", "-q"], ["install", "-qy", "--no-install-recommends", *wanted]):
            subprocess.run(["apt-get", *command], env=environment, stdin=subprocess.DEVNULL, capture_output=True)
        path = shutil.which(program, path=PATH)
    if path is None:
        pytest.skip(f"NOT TRIED: {program} is missing: apt install {' '.join(wanted)}")
    return path


def _is_installed(package: str) -> bool:
    return subprocess.run(["dpkg", "-s", package], capture_output=True).returncode == 0


def run(*command: str | Path, input: str = "", code: int | None = 0, env: dict[str, str] | None = None) -> str:
    """What a program says; fails unless it ends with `code` (None: whatever it ends with)."""
    done = subprocess.run(
        [str(word) for word in command],
        input=input,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=90,
        env=os.environ | (env or {}),
    )
    assert code is None or done.returncode == code, f"{command[0]} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


@dataclass(frozen=True)
class Box:
    """An account of the demo."""

    address: str
    password: str
    imap: int
    ca: Path

    def open(self) -> imaplib.IMAP4:
        client = imaplib.IMAP4("127.0.0.1", self.imap)
        client.starttls(ssl.create_default_context(cafile=str(self.ca)))
        client.login(self.address, self.password)
        return client

    def letters(self, mailbox: str = "INBOX") -> list[email.message.Message]:
        """All letters of a mailbox, oldest first."""
        with self.open() as client:
            client.select(mailbox, readonly=True)
            _, found = client.search(None, "ALL")
            letters = []
            for number in found[0].split():
                _, parts = client.fetch(number, "(BODY.PEEK[])")
                letters.append(email.message_from_bytes(parts[0][1]))
            return letters

    def wait_for(self, subject: str, mailbox: str = "INBOX") -> email.message.Message:
        """The letter with that subject, once it has arrived."""
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while time.monotonic() < deadline:
            for letter in self.letters(mailbox):
                if subject in str(letter["Subject"]):
                    return letter
            time.sleep(0.2)
        raise AssertionError(f"no letter {subject!r} reached {self.address} in {ARRIVAL_SECONDS} s")


@dataclass(frozen=True)
class Demo:
    """The running demo."""

    folder: Path
    ca: Path
    ports: dict[str, int]
    far: dict[str, int]
    alice: Box
    bob: Box
    carol: Box


def free_base() -> int:
    """A port base whose ports, and those of the far host, are free now."""
    for base in range(4000, 18000, 300):
        wanted = [base + n for n in (25, 80, 110, 143, 443, 465, 587, 993, 995, 10025, 10143)]
        if all(_is_free(port) for port in wanted):
            return base
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextmanager
def demo(folder: Path) -> Iterator[Demo]:
    """The demo, started as a user would, and stopped by Ctrl-C."""
    log = folder / "demo.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [POSTHOUSE, "demo", "--dir", folder / "demo", "--port-base", str(free_base())],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        facts = _facts(folder / "demo" / "demo.json", process, log)
        ports, far = facts["ports"], facts["far"]
        ca = Path(facts["ca"])
        passwords = {account["address"]: account["password"] for account in facts["accounts"]}
        boxes = [
            Box(address, passwords[address], port, ca)
            for address, port in (
                ("alice@posthouse.test", ports["imap"]),
                ("bob@posthouse.test", ports["imap"]),
                ("carol@far.test", far["imap"]),
            )
        ]
        yield Demo(folder / "demo", ca, ports, far, *boxes)
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(30)
    text = log.read_text(errors="replace")
    assert code == 0, text
    assert "Traceback" not in text, text


def _facts(path: Path, process: subprocess.Popen[bytes], log: Path) -> dict[str, dict[str, int]]:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists():
            facts = json.loads(path.read_text())
            if facts.get("ready"):
                return facts
        time.sleep(0.1)
    raise AssertionError(f"the demo is not ready:\n{log.read_text(errors='replace')}")
