"""The small internet inside a test: the demo's two hosts in one loop, and other people's clients to talk to them.

The clients are those of the standard library, in threads, so that nothing of ours judges itself.
"""

import asyncio
import imaplib
import poplib
import smtplib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

from posthouse.lab.demo import Demo
from posthouse.mail.journey import Journey
from posthouse.store import journeys

T = TypeVar("T")
PATIENCE = 20.0

ALICE, BOB, CAROL = "alice@posthouse.test", "bob@posthouse.test", "carol@far.test"


class Internet:
    """A running demo, seen from outside."""

    def __init__(self, demo: Demo) -> None:
        self.demo = demo
        card: Any = demo.card()
        self.ports: dict[str, int] = card["ports"]
        self.far: dict[str, int] = card["far"]
        self.passwords = {account["address"]: account["password"] for account in card["accounts"]}
        self.trust = ssl.create_default_context(cafile=card["ca"])

    def host_of(self, address: str) -> dict[str, int]:
        return self.far if address.endswith("@far.test") else self.ports

    def send(self, mail_from: str, rcpts: list[str], message: bytes, *, at_once: bool = False, **options: Any) -> None:
        """Submit as a mail program does, with STARTTLS or TLS at once."""
        ports = self.host_of(mail_from)
        client: smtplib.SMTP
        if at_once:
            client = smtplib.SMTP_SSL("localhost", ports["submissions"], context=self.trust, timeout=PATIENCE)
        else:
            client = smtplib.SMTP("localhost", ports["submission"], timeout=PATIENCE)
            client.starttls(context=self.trust)
        with client:
            client.login(mail_from, self.passwords[mail_from])
            client.sendmail(mail_from, rcpts, message, **options)

    def imap(self, address: str) -> imaplib.IMAP4_SSL:
        client = imaplib.IMAP4_SSL(
            "localhost", self.host_of(address)["imaps"], ssl_context=self.trust, timeout=PATIENCE
        )
        client.login(address, self.passwords[address])
        return client

    def inbox(self, address: str, mailbox: str = "INBOX") -> list[bytes]:
        """Every message there, whole, over IMAP."""
        with self.imap(address) as client:
            client.select(mailbox, readonly=True)
            _, found = client.uid("FETCH", "1:*", "(BODY.PEEK[])")
            return [part[1] for part in found if isinstance(part, tuple)]

    def maildrop(self, address: str) -> list[bytes]:
        """Every message of the inbox over POP3."""
        client = poplib.POP3_SSL(
            "localhost", self.host_of(address)["pop3s"], context=self.trust, timeout=PATIENCE
        )
        try:
            client.user(address)
            client.pass_(self.passwords[address])
            count, _ = client.stat()
            return [b"\r\n".join(client.retr(number + 1)[1]) + b"\r\n" for number in range(count)]
        finally:
            client.quit()

    def wait_for(self, address: str, count: int = 1) -> list[bytes]:
        """The inbox once it holds that many messages."""
        return until(lambda: self.inbox(address), lambda found: len(found) >= count)

    async def journeys(self, site: str, message_id: str) -> list[Journey]:
        """What one host ("posthouse" or "far") knows of a message, newest first."""
        def unit(tx: Any) -> list[Journey]:
            return [found for number in journeys.find(tx, message_id) if (found := journeys.load(tx, number))]

        return await self.demo.houses[site].database.read(unit)


def until(look: Callable[[], T], good: Callable[[T], bool]) -> T:
    """What `look` gives once it is good; AssertionError where that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not good(found := look()):
        assert time.monotonic() < deadline, f"waited in vain, last seen: {found!r}"
        time.sleep(0.05)
    return found


@asynccontextmanager
async def internet(folder: Path) -> AsyncIterator[Internet]:
    demo = Demo(folder, port_base=0)
    await demo.start()
    try:
        yield Internet(demo)
    finally:
        await demo.stop()


def in_internet(folder: Path, scene: Callable[[Internet], Any]) -> None:
    """Run a scene (an async function) in a fresh internet, on the stdlib's loop."""
    async def play() -> None:
        async with internet(folder) as net:
            await scene(net)

    asyncio.run(play())


def letter(mail_from: str, to: str, subject: str, text: str = "Hello.\n", **fields: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = mail_from, to, subject
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message


def octets(message: EmailMessage) -> bytes:
    return message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
