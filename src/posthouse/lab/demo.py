"""The small internet that `posthouse demo` runs: two real hosts, their names, their certificates, three accounts.

    demo = Demo(Path("demo"), port_base=2000)
    await demo.start()          # every listener is ready, and DIR/demo.json says so
    demo.card()                 # what is in demo.json
    await demo.stop()

Everything is on loopback. Our own host serves `posthouse.test` at port-base + the standard port, the other one
`far.test` at 10,000 above; both ask the lab's name server at port-base + 53 and call each other's SMTP port. They
are configured by files anybody can read, so the management commands work on the running demo:

    DIR/posthouse.toml, DIR/far.toml      settings
    DIR/posthouse/, DIR/far/              data
    DIR/ca.pem                            the authority to trust
    DIR/accounts.json                     the passwords, made at the first start and kept
    DIR/demo.json                         there while the demo is ready
    DIR/posthouse.log, DIR/far.log        what the hosts say

The hosts examine what comes in, though all of it comes from this machine. `play` lets others of the small internet
(`strangers`) bring what they have: a spoof, a lookalike, forwarded mail, a mailing list.
"""

import asyncio
import fcntl
import json
import os
import re
import secrets
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TextIO

from posthouse.config import Config, Listen, load
from posthouse.house import House
from posthouse.lab.authority import Authority, HostFiles
from posthouse.lab.nameserver import serve_names
from posthouse.lab.strangers import FORWARDER, LIST, SCENES, Scene, Strangers, own_address, sender_policy
from posthouse.lab.zone import Names, Zone
from posthouse.mail.address import Address
from posthouse.mail.instant import Instant
from posthouse.serve.log import logger
from posthouse.store import credentials, directory, signing
from posthouse.store.database import Transaction

HOST = "127.0.0.1"
FAR_OFFSET = 10_000
DNS_PORT = 53
STANDARD_PORTS = {
    "smtp": 25, "submission": 587, "submissions": 465, "imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995,
    "http": 80, "https": 443,
}
BACKLOG = 512


class DemoError(Exception):
    """Why the demo cannot start; one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Site:
    """One host of the small internet: `name` of its files, its domain and the local parts of its accounts.

    It listens on 127.0.0.1, and its mail leaves from `source`, so that SPF can tell it from anybody else here.
    """

    name: str
    domain: str
    accounts: tuple[str, ...]
    offset: int
    number: int

    @property
    def hostname(self) -> str:
        return f"mx.{self.domain}"

    @property
    def outgoing(self) -> str:
        """The name of `source`."""
        return f"out.{self.domain}"

    @property
    def source(self) -> str:
        return own_address(self.number)

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(Address(local_part, self.domain) for local_part in self.accounts)


SITES = (
    Site("posthouse", "posthouse.test", ("alice", "bob"), 0, 25),
    Site("far", "far.test", ("carol",), FAR_OFFSET, 26),
)


def names(zones: Mapping[str, Zone]) -> Names:
    """The DNS of the small internet. The root is ours: whatever is not in it does not exist."""
    found = Names()
    found.add_zone(".")
    for site in SITES:
        zone = found.add_zone(zones[site.domain])
        zone.add(site.domain, "MX", f"10 {site.hostname}")
        zone.add(site.domain, "TXT", sender_policy(site.source))
        zone.add(f"_dmarc.{site.domain}", "TXT", f"v=DMARC1; p=reject; rua=mailto:postmaster@{site.domain}")
        zone.add(site.hostname, "A", HOST)
        zone.add(site.hostname, "TXT", sender_policy(site.source))
        zone.add(site.outgoing, "A", site.source)
    return found


def reverse_names(names: Names, hosts: Iterable[tuple[str, str]]) -> None:
    """The names of addresses of loopback, from pairs of address and name."""
    reverse = names.add_zone("127.in-addr.arpa")
    for address, name in hosts:
        reverse.add(str(ip_address(address).reverse_pointer), "PTR", name)


@dataclass(frozen=True, slots=True)
class Played:
    """What our server answered in a scene, and the id of its journey ("" where it has none)."""

    scene: Scene
    reply: str
    queue_id: str


class Demo:
    """The whole of it; one per folder."""

    def __init__(self, folder: Path, port_base: int = 2000) -> None:
        """Nothing is touched before `start`. `port_base` 0 takes free ports everywhere."""
        highest = FAR_OFFSET + max(STANDARD_PORTS.values())
        if not 0 <= port_base <= 65535 - highest:
            raise DemoError(f"--port-base must lie between 0 and {65535 - highest}")
        self.folder = folder.absolute()
        self._port_base = port_base
        self._open = AsyncExitStack()
        self._passwords: dict[str, str] = {}
        self._dns_port = 0
        self.houses: dict[str, House] = {}
        self.zones = {site.domain: Zone(site.domain) for site in SITES}
        self.names = names(self.zones)
        self.strangers = Strangers(self.names)
        hosts = [(HOST, site.hostname) for site in SITES] + [(site.source, site.outgoing) for site in SITES]
        reverse_names(self.names, [*hosts, *self.strangers.hosts])

    async def start(self) -> None:
        """Start everything; where a part fails, what had been started is stopped and the error raised."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything, cleanly; the data stay for the next start."""
        await self._open.aclose()

    def card(self) -> dict[str, object]:
        """What demo.json holds."""
        ours, far = (self.houses[site.name].ports for site in SITES)
        return {
            "ready": True,
            "ca": str(self.folder / "ca.pem"),
            "ports": {name: ours[name] for name in STANDARD_PORTS if name in ours},
            "far": {name: far[name] for name in STANDARD_PORTS if name in far},
            "dns": self._dns_port,
            "accounts": [{"address": address, "password": word} for address, word in self._passwords.items()],
        }

    async def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._open.callback(_lock(self.folder / "lock").close)
        ready = self.folder / "demo.json"
        ready.unlink(missing_ok=True)
        sockets = {site.name: self._bind(site) for site in SITES}
        self._dns_port = await self._serve_names()
        authority = Authority.open(self.folder)
        self._passwords = _passwords(self.folder / "accounts.json")
        for site, other in zip(SITES, reversed(SITES), strict=True):
            files = authority.issue(
                self.folder / site.name / "tls" / "host", [site.hostname, site.domain, "localhost"], [HOST]
            )
            path = self.folder / f"{site.name}.toml"
            path.write_text(self._settings(site, files, _ports(sockets[site.name]), _ports(sockets[other.name])))
            await self._open_house(site, load(path), sockets[site.name])
        _write_json(ready, self.card())
        self._open.callback(ready.unlink, missing_ok=True)

    def _bind(self, site: Site) -> dict[str, list[socket.socket]]:
        """The listening sockets of a host, all of them before anything else is started."""
        bound: dict[str, list[socket.socket]] = {}
        for service in Listen().__struct_fields__:
            port = self._port_base + site.offset + STANDARD_PORTS[service] if self._port_base else 0
            try:
                found = socket.create_server((HOST, port), backlog=BACKLOG)
            except OSError as error:
                raise DemoError(
                    f"port {port} for {service} of {site.domain} cannot be had ({_reason(error)}); "
                    "is a demo running already? --port-base chooses other ports"
                ) from None
            self._open.callback(found.close)
            bound[service] = [found]
        return bound

    async def _serve_names(self) -> int:
        port = self._port_base + DNS_PORT if self._port_base else 0
        try:
            server = await serve_names(self.names, HOST, port)
        except OSError as error:
            words = f"port {port} for DNS cannot be had ({_reason(error)}); --port-base chooses other ports"
            raise DemoError(words) from None
        self._open.push_async_callback(server.stop)
        return server.port

    def _settings(self, site: Site, files: HostFiles, ports: Mapping[str, int], far: Mapping[str, int]) -> str:
        """The settings file; paths in it are relative to it, so that the folder can be moved."""
        listen = "\n".join(f'{service} = ["{HOST}:{port}"]' for service, port in ports.items())
        return (
            f"# {site.domain} in the demo; written anew at each start.\n"
            f'hostname = "{site.hostname}"\ndata_dir = "{site.name}"\n\n[listen]\n{listen}\n\n'
            f'[tls]\ncertificate = "{files.certificate.relative_to(self.folder)}"\n'
            f'key = "{files.key.relative_to(self.folder)}"\n\n'
            f'[relay]\nport = {far["smtp"]}\nsources = ["{site.source}"]\nprivate_networks = true\n'
            f'ca_file = "ca.pem"\n\n[dns]\nservers = ["{HOST}:{self._dns_port}"]\n\n'
            # Everybody here is on loopback, which the checks would not look at otherwise; and nobody wants to wait.
            "[checks]\ntrusted_networks = []\n\n"
            f'[policy]\ngreylisting = false\nsealers = ["{FORWARDER}"]\nmailing_lists = ["{LIST}"]\n\n'
            '[log]\nformat = "console"\n'
        )

    async def _open_house(self, site: Site, config: Config, sockets: dict[str, list[socket.socket]]) -> None:
        log = self._open.enter_context((self.folder / f"{site.name}.log").open("a", encoding="utf-8"))
        house = House(config, sockets=sockets, log=logger(config.log.format, config.log.level, log))
        self.houses[site.name] = house
        await house.start()
        self._open.push_async_callback(house.stop)
        await _people(house, site, self._passwords)
        for key in await _keys(house, site):
            self.zones[site.domain].add(key.dns_name, "TXT", key.record)


    async def play(self) -> AsyncIterator[Played]:
        """Let the strangers bring what they have for us, one after another."""
        ours, far = (self.houses[site.name] for site in SITES)
        stored = await far.database.read(lambda tx: signing.active(tx, SITES[1].domain))
        carol = await asyncio.to_thread(lambda: [key.load() for key in stored])
        for scene in SCENES:
            octets = await asyncio.to_thread(self.strangers.write, scene, carol, ours.clock())
            code, words = await self.strangers.bring(scene, octets, ours.ports["smtp"])
            yield Played(scene, f"{code} {words}", _queue_id(words))


async def _keys(house: House, site: Site) -> list[signing.StoredKey]:
    """The keys with which the domain signs; made at the first start."""
    found = await house.database.read(lambda tx: signing.active(tx, site.domain))
    if not found:
        made = await asyncio.to_thread(signing.generate, site.domain, house.clock())
        await house.database.write(lambda tx: signing.add(tx, made, signing.KeyState.ACTIVE, house.clock()))
        found = await house.database.read(lambda tx: signing.active(tx, site.domain))
    return found


async def _people(house: House, site: Site, passwords: Mapping[str, str]) -> None:
    """See that the domain and the accounts are there, and that they have the passwords on the card."""
    made = {
        address: await asyncio.to_thread(credentials.make, passwords[str(address)]) for address in site.addresses
    }

    def settle(tx: Transaction) -> None:
        now: Instant = house.clock()
        if not directory.is_local(tx, site.domain):
            directory.add_domain(tx, site.domain, now)
        for address, secret in made.items():
            account = directory.find_account(tx, address)
            if account is None:
                account = directory.add_account(tx, house.ids.next(now), address, now)
            credentials.save(tx, account.account_id, secret)

    await house.database.write(settle)


def _passwords(path: Path) -> dict[str, str]:
    """The password of each account, by its address; made and written down at the first start."""
    wanted = [str(address) for site in SITES for address in site.addresses]
    try:
        known = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        known = {}
    found = {address: known.get(address) or secrets.token_hex(8) for address in wanted}
    _write_json(path, found)
    return found


def _queue_id(words: str) -> str:
    found = re.search(r"\b([0-9a-hjkmnp-tv-z]{13})\)?\Z", words)
    return found[1] if found else ""


def _ports(sockets: Mapping[str, list[socket.socket]]) -> dict[str, int]:
    return {service: bound[0].getsockname()[1] for service, bound in sockets.items()}


def _lock(path: Path) -> TextIO:
    """Held as long as the file is open, also when the process dies."""
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise DemoError(f"a demo runs in {path.parent} already; --dir chooses another folder") from None
    return file


def _reason(error: OSError) -> str:
    """The system's words alone: Python's `strerror` goes on about the call that failed."""
    return os.strerror(error.errno) if error.errno else str(error)


def _write_json(path: Path, data: object) -> None:
    """Whole or not at all, readable by the owner only: it holds passwords."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(data, file, indent=2)
        file.write("\n")
    temporary.replace(path)
