"""A house at the border: real SMTP from addresses all over 127.0.0.0/8, and a DNS of its own that says who they are.

    async with border(folder, zone) as gate:
        code, words = await gate.bring("127.0.0.66", "alice@posthouse.test", ["bob@posthouse.test"], octets)
        stamps = await gate.journey()

The clients are those of the standard library, in threads, so that nothing of ours judges itself.
"""

import asyncio
import re
import smtplib
import ssl
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from posthouse.config import parse
from posthouse.house import House
from posthouse.lab.nameserver import serve_names
from posthouse.lab.zone import Names, Records
from posthouse.mail.address import Address
from posthouse.mail.journey import Journey, Stamp, Step
from posthouse.serve.log import silent
from posthouse.store import credentials, directory, journeys, mailboxes, messages
from posthouse.store.database import Transaction
from posthouse.store.mailboxes import SpecialUse

T = TypeVar("T")
PATIENCE = 20.0
PASSWORD = "a long password"
ALICE, BOB = "alice@posthouse.test", "bob@posthouse.test"


class Border:
    """The running house, its names, and whoever comes."""

    def __init__(self, house: House, names: Names) -> None:
        self.house = house
        self.names = names
        self.accounts: dict[str, int] = {}

    async def settle(self) -> None:
        hashed = await asyncio.to_thread(credentials.make, PASSWORD)

        def enter(tx: Transaction) -> None:
            now = self.house.clock()
            directory.add_domain(tx, "posthouse.test", now)
            for address in (ALICE, BOB):
                account = directory.add_account(tx, self.house.ids.next(now), Address.parse(address), now)
                credentials.save(tx, account.account_id, hashed)
                self.accounts[address] = account.account_id

        await self.house.database.write(enter)

    async def bring(
        self, ip: str, mail_from: str, rcpts: Sequence[str], octets: bytes, *, helo: str = "mx.far.test"
    ) -> tuple[int, str]:
        """One message over SMTP from that address; the last reply."""
        return await asyncio.to_thread(self._bring, ip, mail_from, rcpts, octets, helo)

    def _bring(self, ip: str, mail_from: str, rcpts: Sequence[str], octets: bytes, helo: str) -> tuple[int, str]:
        with smtplib.SMTP(timeout=PATIENCE, local_hostname=helo, source_address=(ip, 0)) as client:
            client.connect("127.0.0.1", self.house.ports["smtp"])
            client.ehlo()
            return _transaction(client, mail_from, rcpts, octets)

    async def submit(self, account: str, rcpts: Sequence[str], octets: bytes, mail_from: str = "") -> tuple[int, str]:
        """One message from a mail program that has logged in; the last reply."""
        return await asyncio.to_thread(self._submit, account, rcpts, octets, mail_from or account)

    def _submit(self, account: str, rcpts: Sequence[str], octets: bytes, mail_from: str) -> tuple[int, str]:
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        with smtplib.SMTP("127.0.0.1", self.house.ports["submission"], timeout=PATIENCE) as client:
            client.starttls(context=trust)
            client.login(account, PASSWORD)
            return _transaction(client, mail_from, rcpts, octets)

    async def journey(self, message_id: int | None = None) -> Journey:
        """That of one message, else of the newest."""
        def unit(tx: Transaction) -> Journey | None:
            found = journeys.recent(tx, 1) if message_id is None else [message_id]
            return journeys.load(tx, found[0]) if found else None

        # That of a refusal is written after the reply.
        async with asyncio.timeout(PATIENCE):
            while (found := await self.house.database.read(unit)) is None:
                await asyncio.sleep(0.01)
        return found

    async def verdicts(self) -> dict[str, str]:
        """Method → result, of the newest message; of several of one method the last."""
        return {
            str(stamp.facts["method"]): str(stamp.facts["result"])
            for stamp in (await self.journey()).stamps
            if stamp.step is Step.VERDICT
        }

    async def decision(self) -> Stamp:
        (decided,) = [stamp for stamp in (await self.journey()).stamps if stamp.step is Step.DECISION]
        return decided

    async def mailbox(self, address: str, use: SpecialUse = SpecialUse.INBOX) -> list[bytes]:
        """The messages in it, whole."""
        account_id = self.accounts[address]

        def unit(tx: Transaction) -> list[tuple[bytes, bytes | None, int]]:
            mailbox = mailboxes.special(tx, account_id, use)
            assert mailbox is not None
            columns = ["prefix", "octets", "blob_id"]
            return [(row[0], row[1], row[2])
                    for row in messages.fetch(tx, account_id, mailbox.mailbox_id, messages.EVERY, columns)]

        rows = await self.house.database.read(unit)
        return [
            prefix + (octets if octets is not None else await self.house.blobs.read(blob_id))
            for prefix, octets, blob_id in rows
        ]

    async def junk(self, address: str) -> list[bytes]:
        return await self.mailbox(address, SpecialUse.JUNK)


def _transaction(client: smtplib.SMTP, mail_from: str, rcpts: Sequence[str], octets: bytes) -> tuple[int, str]:
    """One message, octet by octet as given; `mail_from` is what stands between the angle brackets."""
    path = f"FROM:<{mail_from}>".encode()
    client.send(b"MAIL " + path + b"\r\n")
    code, words = client.getreply()
    for rcpt in rcpts:
        if code < 400:
            code, words = client.docmd(f"RCPT TO:<{rcpt}>")
    if code < 400:
        code, words = client.docmd("DATA")
    if code == 354:
        client.send(re.sub(rb"(?m)^\.", b"..", octets) + b".\r\n")
        code, words = client.getreply()
    return code, words.decode()


def settings(folder: Path, dns_port: int, more: str = "") -> str:
    services = ("smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "http")
    listen = "".join(f'{service} = ["127.0.0.1:0"]\n' for service in services)
    return (
        f'hostname = "mx.posthouse.test"\ndata_dir = "{folder / "data"}"\n[listen]\n{listen}'
        f'[dns]\nservers = ["127.0.0.1:{dns_port}"]\ntimeout = "2s"\n[limits]\nconnections_per_address = 1000\n'
        + (more or "[checks]\ntrusted_networks = []\n")
    )


@asynccontextmanager
async def border(folder: Path, zone: Records, more: str = "") -> AsyncIterator[Border]:
    """`more`: settings instead of the usual [checks]."""
    names = Names()
    names.add_zone(".", zone)
    server = await serve_names(names)
    try:
        async with House(parse(settings(folder, server.port, more)), log=silent()) as house:
            gate = Border(house, names)
            await gate.settle()
            yield gate
    finally:
        await server.stop()


class StandingBorder:
    """A border that stands in a thread of its own, for many tests: `run` runs a coroutine there."""

    def __init__(self, folder: Path, zone: Records, more: str = "") -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._stack = AsyncExitStack()
        self.gate = self.run(self._stack.enter_async_context(border(folder, zone, more)))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(3 * PATIENCE)

    def close(self) -> None:
        self.run(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
