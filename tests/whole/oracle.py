"""What clients were promised by a server that is then broken, and whether it was kept.

A promise is written to a journal, outside of the house and synced, before it counts. Afterwards every message that was
promised is in the inbox once and whole, every queue id is in the queue, nothing is torn, and nothing was doubled.
"""

import contextlib
import hashlib
import imaplib
import os
import random
import re
import smtplib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.program import spawn
from whole.server import YOU, Server

# Below and above what is kept in the database itself.
SIZES = (200, 3_000, 40_000, 300_000)
WEIGHTS = (40, 50, 6, 4)
PATIENCE = 60.0
# Nobody answers questions about names there, so mail for elsewhere stays in the queue.
NO_DNS = '\n[dns]\nservers = ["127.0.0.1:9"]\ntimeout = "1s"\n'

Sender = Callable[["Oracle", Server, random.Random], None]


class Over(Exception):
    """No more letters are wanted."""


class Oracle:
    """The clients' side of the story: `sent` are digests, `promised` digests and queue ids."""

    def __init__(self, journal: Path) -> None:
        self.sent: set[str] = set()
        self.promised: list[tuple[str, str]] = []
        self.refused = 0
        """How often a patient sender was told to come later."""
        self._grown = threading.Condition()
        self._over = False
        self._sure: int | None = None
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def letter(self, chance: random.Random, size: int = 0) -> tuple[str, bytes]:
        """A message unlike any other, of about that size or of a usual one, and its digest."""
        size = size or chance.choices(SIZES, WEIGHTS)[0]
        text = "\r\n".join(chance.randbytes(36).hex() for _ in range(size // 74 + 1))
        octets = (
            f"From: {YOU}\r\nTo: {YOU}\r\nDate: Sat, 01 Mar 2025 18:15:30 +0000\r\n"
            f"Message-ID: <{chance.randbytes(16).hex()}@oracle.test>\r\n\r\n{text}\r\n"
        ).encode()
        digest = hashlib.sha256(octets).hexdigest()
        self.sent.add(digest)
        return digest, octets

    def promise(self, kind: str, name: str) -> None:
        """A reply said that it is stored (`inbox`, a digest), removed (`gone`) or will be relayed (`queue`, an id)."""
        os.write(self._journal, f"{kind} {name}\n".encode())
        os.fsync(self._journal)
        with self._grown:
            self.promised.append((kind, name))
            self._grown.notify_all()
        if self._over:
            raise Over

    def wait_for(self, more: int) -> None:
        """Returns once so many more promises were given."""
        with self._grown:
            wanted = len(self.promised) + more
            assert self._grown.wait_for(lambda: len(self.promised) >= wanted, PATIENCE), len(self.promised)

    def doubt(self) -> None:
        """What is promised from here on, until the pouring ends, is not held against the server: it may be there
        afterwards, or not."""
        self._sure = len(self.promised)

    @contextmanager
    def pouring(self, server: Server, seed: int, senders: tuple[Sender, ...]) -> Iterator[None]:
        """Each sender goes on until the server fails it, or the `with` ends; then they have all ended."""
        self._over, self._sure = False, None
        threads = [
            threading.Thread(target=_until_it_fails, args=(sender, self, server, random.Random(f"{seed} {number}")))
            for number, sender in enumerate(senders)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over = True
            for thread in threads:
                thread.join(PATIENCE)
            assert not any(thread.is_alive() for thread in threads)
            if self._sure is not None:
                del self.promised[self._sure :]

    def forget(self, digests: set[str], ids: set[str]) -> None:
        """These were removed on purpose: the first are not to come back, the others no longer to be there."""
        gone = digests | ids
        self.promised = [(kind, name) for kind, name in self.promised if name not in gone]
        self.promised += [("gone", digest) for digest in digests]

    def examine(self, server: Server) -> None:
        """Asks the server, which runs, for all that was promised. AssertionError where a promise is broken."""
        found = digests(server)
        listed = Counter(message["id"] for message in queued(server))
        there = {"inbox": found, "queue": listed}
        lost = [(kind, name) for kind, name in self.promised if kind in there and not there[kind][name]]
        back = [(kind, name) for kind, name in self.promised if kind == "gone" and found[name]]
        assert not lost, f"{len(lost)} of {len(self.promised)} promises broken: {lost[:5]}"
        assert not back, f"removed, and there again: {back[:5]}"
        assert not (torn := found.keys() - self.sent), torn
        assert not (doubled := [name for counts in (found, listed) for name, n in counts.items() if n > 1]), doubled


def digests(server: Server) -> Counter[str]:
    """Of each message in the inbox, without what was put in front at delivery. Notices of the server's own are left
    out."""
    with server.mailbox() as client:
        _, answer = client.uid("FETCH", "1:*", "(BODY.PEEK[])")
    counts: Counter[str] = Counter()
    for part in answer:
        if isinstance(part, tuple) and not part[1].startswith(b"Return-Path: <>"):
            found = re.search(rb"^From: ", part[1], re.MULTILINE)
            counts[hashlib.sha256(part[1][found.start() if found else 0 :]).hexdigest()] += 1
    return counts


def queued(server: Server) -> list[dict[str, str]]:
    listed: list[dict[str, str]] = spawn("queue", "list", "--json", "--config", server.settings).json["messages"]
    return listed


def _until_it_fails(sender: Sender, oracle: Oracle, server: Server, chance: random.Random) -> None:
    with contextlib.suppress(Over, OSError, EOFError, smtplib.SMTPException, imaplib.IMAP4.error):
        sender(oracle, server, chance)


def strangers(oracle: Oracle, server: Server, chance: random.Random) -> None:
    """Mail from other servers, on one connection."""
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=30) as client:
        while True:
            digest, octets = oracle.letter(chance)
            client.sendmail("stranger@elsewhere.test", [YOU], octets)
            oracle.promise("inbox", digest)


def writers(oracle: Oracle, server: Server, chance: random.Random) -> None:
    """Submission for people elsewhere: what is promised is a queue id."""
    with smtplib.SMTP("127.0.0.1", server.ports["submission"], timeout=30) as client:
        client.starttls(context=server.trust)
        client.login(YOU, server.made["password"])
        while True:
            _, octets = oracle.letter(chance)
            client.mail(YOU)
            client.rcpt("friend@elsewhere.test")
            code, words = client.data(octets)
            if code != 250:
                raise smtplib.SMTPDataError(code, words)
            oracle.promise("queue", words.decode().rpartition(" ")[2])


def readers(oracle: Oracle, server: Server, chance: random.Random) -> None:
    """A mail program that files messages by itself."""
    with server.mailbox(readonly=False) as client:
        while True:
            digest, octets = oracle.letter(chance)
            status, _ = client.append("INBOX", None, None, octets)
            if status != "OK":
                raise imaplib.IMAP4.error(status)
            oracle.promise("inbox", digest)


def tidiers(oracle: Oracle, server: Server, chance: random.Random) -> None:
    """A mail program that removes again what it has filed."""
    with server.mailbox(readonly=False) as client:
        while True:
            digest, octets = oracle.letter(chance)
            status, told = client.append("INBOX", None, None, octets)
            found = re.search(rb"APPENDUID \d+ (\d+)", told[0] or b"")
            if status != "OK" or found is None:
                raise imaplib.IMAP4.error(status)
            uid = found[1].decode()
            for command in (("STORE", uid, "+FLAGS.SILENT", "(\\Deleted)"), ("EXPUNGE", uid)):
                if client.uid(*command)[0] != "OK":
                    raise imaplib.IMAP4.error(command[0])
            oracle.promise("gone", digest)
