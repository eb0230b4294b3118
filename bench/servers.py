"""The servers under test, each started in a folder of its own and driven the same way."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from bench.certificate import write_certificate
from bench.imap import count_messages
from bench.processes import cpu_seconds

TEMPLATES = Path(__file__).parent / "peers"

# Accepted and kept durably; to a mailbox; out to the sink.
ACCEPTED, MAILBOX, RELAYED = "x@discard.test", "one@perf.test", "x@sink.test"
PASSWORD = "correct-horse-battery-staple"


class BenchError(Exception):
    """The measurement cannot be made, and why."""


class Server(Protocol):
    """One server, or several that together do the work."""

    name: str
    smtp: int
    imaps: int

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def roots(self) -> list[int]:
        """The processes at the top; what they cost is what their trees cost."""

    def rcpt_to(self, purpose: str) -> str:
        """The address that stands for ACCEPTED, MAILBOX or RELAYED here."""

    def waiting(self) -> int:
        """How many messages were accepted and have not come to their end."""

    def delivered(self) -> int:
        """How many messages lie in the mailbox of MAILBOX."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


LOCAL = "127.0.0.1"


def wait_for_port(
    port: int, process: subprocess.Popen[bytes] | None = None, seconds: float = 30, host: str = LOCAL
) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process is not None and process.poll() is not None:
            raise BenchError(f"{process.args!r} ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex((host, port)) == 0:
                return
        time.sleep(0.05)
    raise BenchError(f"nobody answers on {host}:{port}")


def settle(server: Server, seconds: float = 600) -> None:
    """Waits until the server has brought everything to its end and its processes rest."""
    end = time.monotonic() + seconds
    while server.waiting():
        if time.monotonic() > end:
            raise BenchError(f"{server.name} still holds {server.waiting()} messages after {seconds} s")
        time.sleep(0.02)
    before = cpu_seconds(server.roots())
    while time.monotonic() < end:
        time.sleep(0.25)
        now = cpu_seconds(server.roots())
        if now - before < 0.02:
            return
        before = now


def _files(folders: Iterable[Path]) -> int:
    return sum(len(names) for folder in folders for _, _, names in os.walk(folder))


def fill_template(template: str, target: Path, **words: object) -> None:
    """Writes a template of `bench/peers` with its @WORDS@ filled in."""
    text = (TEMPLATES / template).read_text()
    for word, value in words.items():
        text = text.replace(f"@{word}@", str(value))
    target.write_text(text)


def _pid(file: Path) -> int:
    for _ in range(200):
        if file.exists() and (text := file.read_text().strip()):
            return int(text)
        time.sleep(0.05)
    raise BenchError(f"no process wrote {file}")


def _run(*command: str | Path) -> None:
    """Runs a command that may leave a daemon behind: its output goes to a file, since nobody would close a pipe."""
    with tempfile.TemporaryFile() as output:
        code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=60).returncode
        output.seek(0)
        if code:
            raise BenchError(f"{' '.join(map(str, command))}: {output.read().decode(errors='replace').strip()}")


class PostfixDovecot:
    """Postfix, with Dovecot behind it over LMTP."""

    name = "Postfix and Dovecot"

    def __init__(self, folder: Path, sink: int, host: str = LOCAL, settings: str = "") -> None:
        """`settings` are added to main.cf."""
        for program in ("postfix", "dovecot"):
            if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin") is None:
                raise BenchError(f"{program} is missing: apt install postfix dovecot-imapd dovecot-lmtpd")
        if os.geteuid() != 0:
            raise BenchError("Postfix and Dovecot start only as root")
        self._folder, self._sink, self.host, self._settings = folder, sink, host, settings
        self.smtp, self.imaps = free_port(), free_port()
        self._postfix, self._dovecot = folder / "postfix", folder / "dovecot"
        self._masters: list[int] = []

    def start(self) -> None:
        words = {
            "DIR": self._folder, "HOST": self.host, "SMTP": self.smtp, "IMAPS": self.imaps, "SINK": self._sink,
            "SETTINGS": self._settings,
        }  # fmt: skip
        for folder in (self._postfix / "etc", self._postfix / "spool", self._dovecot / "run", self._dovecot / "mail"):
            folder.mkdir(parents=True)
        shutil.chown(self._dovecot / "mail", "mail", "mail")
        write_certificate(self._folder, "localhost")
        fill_template("main.cf", self._postfix / "etc" / "main.cf", **words)
        fill_template("master.cf", self._postfix / "etc" / "master.cf", **words)
        fill_template("dovecot.conf", self._dovecot / "dovecot.conf", **words)
        _run("dovecot", "-c", self._dovecot / "dovecot.conf")
        _run("postfix", "-c", self._postfix / "etc", "start")
        self._masters = [
            _pid(self._postfix / "spool" / "pid" / "master.pid"),
            _pid(self._dovecot / "run" / "master.pid"),
        ]
        wait_for_port(self.smtp, host=self.host)
        wait_for_port(self.imaps)

    def stop(self) -> None:
        for pid in self._masters:
            os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + 20
        while time.monotonic() < end and any(Path(f"/proc/{pid}").exists() for pid in self._masters):
            time.sleep(0.05)

    def roots(self) -> list[int]:
        return self._masters

    def rcpt_to(self, purpose: str) -> str:
        return purpose

    def waiting(self) -> int:
        spool = self._postfix / "spool"
        return _files(spool / queue for queue in ("maildrop", "incoming", "active", "deferred"))

    def delivered(self) -> int:
        name = MAILBOX.partition("@")[0]
        box = self._dovecot / "mail" / name / "sdbox" / "mailboxes" / "INBOX" / "dbox-Mails"
        return sum(entry.name.startswith("u.") for entry in os.scandir(box)) if box.is_dir() else 0


class Posthouse:
    """Posthouse as `posthouse serve` starts it."""

    name = "Posthouse"

    # MAILBOX stands for ACCEPTED as well: local delivery is part of acceptance, so Posthouse does more for it than
    # a server that accepts now and delivers later. Mail to the world leaves from an alias, since port 25 does not
    # relay for strangers.
    FORWARD = "away@perf.test"

    def __init__(
        self, folder: Path, sink: int, processes: int = 0, host: str = LOCAL, settings: str = ""
    ) -> None:
        """`settings` are sections added to the settings file."""
        self._folder, self._sink, self._processes = folder / "posthouse", sink, processes
        self.host, self._settings = host, settings
        self.smtp, self.imaps, self.http = free_port(), free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self._folder / "posthouse.toml"

    @property
    def command(self) -> Path:
        return Path(sys.executable).parent / "posthouse"

    def start(self) -> None:
        (self._folder / "data").mkdir(parents=True)
        write_certificate(self._folder, "mx.perf.test")
        fill_template(
            "posthouse.toml",
            self.config,
            DIR=self._folder,
            HOST=self.host,
            SMTP=self.smtp,
            IMAPS=self.imaps,
            HTTP=self.http,
            SINK=self._sink,
            PROCESSES=self._processes,
            SETTINGS=self._settings,
        )
        self.manage("domain", "add", "perf.test")
        self.add_account(MAILBOX)
        self.manage("alias", "add", self.FORWARD, RELAYED)
        self.launch()

    def add_account(self, address: str) -> None:
        self.manage("account", "add", address, "--password-stdin", text=PASSWORD)

    def launch(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.command, "serve", "--config", self.config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )
        wait_for_port(self.smtp, self._process, host=self.host)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(40)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def manage(self, *words: str, text: str = "") -> str:
        """One command of ours; `--config` is passed by the environment, which every command knows."""
        done = subprocess.run(
            [self.command, *words],
            input=text + "\n",
            capture_output=True,
            text=True,
            cwd=self._folder,
            env={**os.environ, "POSTHOUSE_CONFIG": str(self.config)},
        )
        if done.returncode:
            raise BenchError(f"posthouse {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def roots(self) -> list[int]:
        return [self._process.pid] if self._process else []

    def rcpt_to(self, purpose: str) -> str:
        return self.FORWARD if purpose == RELAYED else MAILBOX

    def waiting(self) -> int:
        return len(json.loads(self.manage("queue", "list", "--json"))["messages"])

    def delivered(self) -> int:
        return count_messages(self.imaps, MAILBOX, PASSWORD)
