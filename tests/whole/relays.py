"""Several hosts that hand mail on to each other over real SMTP, each with a domain and keys; one DNS knows them all.

    async with relays(folder, "far.test", "posthouse.test", "third.test") as chain:
        await chain["far.test"].submit("user@far.test", ["info@posthouse.test"], octets)
        (got,) = await chain["third.test"].until("user@third.test", 1)

Every domain has one account, `user`. Each host examines what the others bring, though all are on 127.0.0.1, and signs
what leaves it.
"""

import asyncio
import smtplib
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path

from posthouse.checks.dkim import SigningKey
from posthouse.config import parse
from posthouse.house import House, now
from posthouse.lab.nameserver import serve_names
from posthouse.lab.zone import Names, Zone
from posthouse.mail.address import Address
from posthouse.mail.journey import Journey
from posthouse.serve.log import silent
from posthouse.store import credentials, directory, journeys, mailboxes, messages, queue, signing
from posthouse.store.credentials import Credentials
from posthouse.store.database import Transaction
from posthouse.store.mailboxes import SpecialUse
from posthouse.store.signing import KeyState

PATIENCE = 20.0
PASSWORD = "a long password"


@cache
def _secret() -> Credentials:
    return credentials.make(PASSWORD)


@cache
def _keys(domain: str) -> tuple[SigningKey, ...]:
    return signing.generate(domain, now())


class Host:
    """One running house; `zone` is what the DNS says of its domain."""

    def __init__(self, domain: str, house: House, zone: Zone) -> None:
        self.domain = domain
        self.house = house
        self.zone = zone
        self.accounts: dict[str, int] = {}

    async def settle(self) -> None:
        secret, keys = _secret(), _keys(self.domain)
        now = self.house.clock()

        def enter(tx: Transaction) -> None:
            directory.add_domain(tx, self.domain, now)
            account = directory.add_account(tx, self.house.ids.next(now), Address("user", self.domain), now)
            credentials.save(tx, account.account_id, secret)
            signing.add(tx, keys, KeyState.ACTIVE, now)
            self.accounts[f"user@{self.domain}"] = account.account_id

        await self.house.database.write(enter)
        for key in keys:
            self.zone.add(key.dns_name, "TXT", key.dns_record())

    async def alias(self, name: str, *targets: str) -> None:
        parsed = [Address.parse(target) for target in targets]
        await self.house.database.write(lambda tx: directory.add_alias(tx, name, parsed))

    async def submit(self, rcpts: list[str], octets: bytes, **options: list[str]) -> None:
        """As `user`, from a mail program."""
        await asyncio.to_thread(self._submit, rcpts, octets, options)

    def _submit(self, rcpts: list[str], octets: bytes, options: Mapping[str, list[str]]) -> None:
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        with smtplib.SMTP("127.0.0.1", self.house.ports["submission"], timeout=PATIENCE) as client:
            client.starttls(context=trust)
            client.login(f"user@{self.domain}", PASSWORD)
            client.sendmail(f"user@{self.domain}", rcpts, octets, **options)

    async def bring(self, mail_from: str, rcpt: str, octets: bytes) -> tuple[int, str]:
        """From a stranger, over port 25; the last reply."""
        return await asyncio.to_thread(self._bring, mail_from, rcpt, octets)

    def _bring(self, mail_from: str, rcpt: str, octets: bytes) -> tuple[int, str]:
        with smtplib.SMTP("127.0.0.1", self.house.ports["smtp"], "mx.stranger.test", timeout=PATIENCE) as client:
            client.ehlo()
            client.mail(mail_from)
            code, words = client.rcpt(rcpt)
            if code == 250:
                code, words = client.data(octets)
            return code, words.decode()

    async def mailbox(self, use: SpecialUse = SpecialUse.INBOX) -> list[bytes]:
        """Every message of `user`, whole."""
        account_id = self.accounts[f"user@{self.domain}"]

        def unit(tx: Transaction) -> list[tuple[bytes, int]]:
            found = mailboxes.special(tx, account_id, use)
            assert found is not None
            rows = messages.fetch(tx, account_id, found.mailbox_id, messages.EVERY, ("prefix", "blob_id"))
            return [(prefix, blob_id) for prefix, blob_id in rows]

        rows = await self.house.database.read(unit)
        return [prefix + await self.house.blobs.read(blob_id) for prefix, blob_id in rows]

    async def until(self, count: int) -> list[bytes]:
        """The inbox of `user`, once it holds so many messages."""
        async with asyncio.timeout(PATIENCE):
            while len(found := await self.mailbox()) < count:
                await asyncio.sleep(0.02)
        return found

    async def quiet(self) -> None:
        """Waits until nothing is queued any more."""
        async with asyncio.timeout(PATIENCE):
            while await self.house.database.read(queue.list_entries):
                await asyncio.sleep(0.02)

    async def journey(self, message_id: str) -> Journey:
        """The newest one of that Message-ID."""
        def unit(tx: Transaction) -> Journey | None:
            return journeys.load(tx, journeys.find(tx, message_id)[0])

        found = await self.house.database.read(unit)
        assert found is not None
        return found


def _settings(domain: str, names: int, ports: Mapping[str, int], more: str) -> str:
    listen = "".join(f'{service} = ["127.0.0.1:0"]\n' for service in ("smtp", "submission"))
    others = "".join(
        f'{service} = []\n' for service in ("submissions", "imap", "imaps", "pop3", "pop3s", "http", "https")
    )
    routes = "".join(f'"{name}" = "127.0.0.1:{port}"\n' for name, port in ports.items() if name != domain)
    return (
        f'hostname = "mx.{domain}"\ndata_dir = "{domain}"\n\n[listen]\n{listen}{others}\n'
        f'[dns]\nservers = ["127.0.0.1:{names}"]\n\n[relay]\nprivate_networks = true\n\n[relay.routes]\n{routes}\n'
        f"[checks]\ntrusted_networks = []\n\n[policy]\ngreylisting = false\n{more}"
    )


@asynccontextmanager
async def relays(
    folder: Path, *domains: str, policy: str = "p=reject", more: str = ""
) -> AsyncIterator[dict[str, Host]]:
    """The hosts by their domains. `policy` is what their DMARC records ask for, `more` settings of all of them."""
    names = Names()
    names.add_zone(".")
    async with AsyncExitStack() as stack:
        server = await serve_names(names, "127.0.0.1", 0)
        stack.push_async_callback(server.stop)
        sockets = {
            domain: {service: [socket.create_server(("127.0.0.1", 0))] for service in ("smtp", "submission")}
            for domain in domains
        }
        ports = {domain: bound["smtp"][0].getsockname()[1] for domain, bound in sockets.items()}
        hosts: dict[str, Host] = {}
        for domain in domains:
            zone = names.add_zone(domain)
            zone.add(domain, "MX", f"10 mx.{domain}")
            zone.add(domain, "TXT", "v=spf1 mx -all")
            zone.add(f"mx.{domain}", "A", "127.0.0.1")
            zone.add(f"mx.{domain}", "TXT", "v=spf1 a -all")
            zone.add(f"_dmarc.{domain}", "TXT", f"v=DMARC1; {policy}")
            config = parse(_settings(domain, server.port, ports, more), folder=folder)
            house = await stack.enter_async_context(House(config, sockets=sockets[domain], log=silent()))
            hosts[domain] = Host(domain, house, zone)
            await hosts[domain].settle()
        yield hosts
