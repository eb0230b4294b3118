"""kill -9 of the whole house while mail pours in: what was acknowledged is there, whole, and local mail once."""

import contextlib
import hashlib
import imaplib
import json
import random
import smtplib
import ssl
import subprocess
import threading
from collections import Counter
from pathlib import Path

import pytest

from whole.internet import ALICE, BOB, CAROL, until
from whole.process import PROGRAM, DemoProcess, free_port_base

POURERS = 4
ACKNOWLEDGED_BEFORE_KILL = 150
# Below and above what is kept in the database itself.
SIZES = (200, 3_000, 40_000, 300_000)
WEIGHTS = (40, 50, 9, 1)


class Ledger:
    """What was sent and what was acknowledged, kept outside of the house: digest → recipients."""

    def __init__(self) -> None:
        self.sent: dict[str, list[str]] = {}
        self.acknowledged: dict[str, list[str]] = {}
        self._grown = threading.Condition()

    def acknowledge(self, digest: str) -> None:
        with self._grown:
            self.acknowledged[digest] = self.sent[digest]
            self._grown.notify_all()

    def wait_for(self, count: int) -> None:
        with self._grown:
            assert self._grown.wait_for(lambda: len(self.acknowledged) >= count, 60), len(self.acknowledged)


def pour(demo: DemoProcess, ledger: Ledger, number: int) -> None:
    """Send one letter after another until the house is gone: strangers to port 25, alice through submission."""
    chance = random.Random(number)
    submits = number % 2 == 0
    port = demo.card["ports"]["submission" if submits else "smtp"]
    with contextlib.suppress(OSError, smtplib.SMTPException), smtplib.SMTP("localhost", port, timeout=30) as client:
        if submits:
            client.starttls(context=ssl.create_default_context(cafile=demo.card["ca"]))
            client.login(ALICE, demo.passwords[ALICE])
        author = ALICE if submits else "stranger@elsewhere.test"
        for count in range(10_000):
            rcpts = chance.choice(([BOB], [BOB, ALICE], [CAROL], [CAROL, BOB]) if submits else ([BOB], [BOB, ALICE]))
            size = chance.choices(SIZES, WEIGHTS)[0]
            text = "\r\n".join(chance.randbytes(36).hex() for _ in range(size // 74 + 1))
            message = (
                f"From: {author}\r\nTo: {', '.join(rcpts)}\r\nDate: Sat, 01 Mar 2025 18:15:30 +0000\r\n"
                f"Message-ID: <{number}.{count}.{chance.random()}@kill.test>\r\n\r\n{text}\r\n"
            ).encode()
            digest = hashlib.sha256(message).hexdigest()
            ledger.sent[digest] = rcpts
            client.sendmail(author, rcpts, message)
            ledger.acknowledge(digest)


def digests(demo: DemoProcess, address: str) -> Counter[str]:
    """The digest of each message in the inbox, without what was put in front at delivery."""
    ports = demo.card["far"] if address == CAROL else demo.card["ports"]
    trust = ssl.create_default_context(cafile=demo.card["ca"])
    with imaplib.IMAP4_SSL("localhost", ports["imaps"], ssl_context=trust, timeout=60) as client:
        client.login(address, demo.passwords[address])
        client.select("INBOX", readonly=True)
        _, found = client.uid("FETCH", "1:*", "(BODY.PEEK[])")
    bodies = [part[1] for part in found if isinstance(part, tuple)]
    return Counter(hashlib.sha256(body[body.index(b"\r\nFrom: ") + 2 :]).hexdigest() for body in bodies)


def queued(demo: DemoProcess) -> int:
    done = subprocess.run(
        [PROGRAM, "queue", "list", "--json", "--config", demo.folder / "posthouse.toml"],
        capture_output=True, timeout=60,
    )
    return len(json.loads(done.stdout)["messages"])


@pytest.mark.slow
def test_what_was_acknowledged_survives_kill_9_whole_and_once(tmp_path: Path) -> None:
    base = free_port_base()
    ledger = Ledger()
    for round_number in range(2):
        with DemoProcess(tmp_path / "demo", base) as demo:
            pourers = [
                threading.Thread(target=pour, args=(demo, ledger, round_number * POURERS + number))
                for number in range(POURERS)
            ]
            for pourer in pourers:
                pourer.start()
            ledger.wait_for(ACKNOWLEDGED_BEFORE_KILL * (round_number + 1))
            demo.kill()
            for pourer in pourers:
                pourer.join()
    with DemoProcess(tmp_path / "demo", base) as demo:
        subprocess.run(
            [PROGRAM, "queue", "retry", "--all", "--config", demo.folder / "posthouse.toml"], check=True, timeout=60
        )
        until(lambda: queued(demo), lambda count: count == 0)
        found = {address: digests(demo, address) for address in (ALICE, BOB, CAROL)}
        demo.interrupt()
    lost = [
        (address, digest)
        for digest, rcpts in ledger.acknowledged.items() for address in rcpts if not found[address][digest]
    ]
    assert not lost
    torn = {digest for counts in found.values() for digest in counts} - set(ledger.sent)
    assert not torn
    astray = [(address, digest) for address in found for digest in found[address] if address not in ledger.sent[digest]]
    assert not astray
    doubled = [(address, digest) for address in (ALICE, BOB) for digest, count in found[address].items() if count > 1]
    assert not doubled
    assert {address for rcpts in ledger.acknowledged.values() for address in rcpts} == {ALICE, BOB, CAROL}
