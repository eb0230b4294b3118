"""One running server: everything built from a `Config` in the current event loop, and nothing shared with another.

    async with House(config) as house:            # start() … stop()
        house.ports["smtp"]                       # the port really bound, also where the settings say 0
        await house.reload()                      # certificates again

Two houses in one process (the demo has two, and so do tests) share nothing but code. `Standing` keeps a house for a
settings file: when the file changes, the next house takes over the sockets while the one before finishes its work.
"""

import asyncio
import os
import random
import resource
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from socket import socket
from types import TracebackType
from typing import Self

import msgspec

from posthouse import wiring
from posthouse.config import Config, ConfigError, load
from posthouse.mail.instant import Clock, Instant
from posthouse.route.acceptance import Acceptance
from posthouse.route.bureau import Bureau
from posthouse.route.desk import MailDesk
from posthouse.route.discernment import Discernment
from posthouse.route.exchanges import Exchanges
from posthouse.route.reception import Reception, ReceptionSettings
from posthouse.route.relay import Relay
from posthouse.route.submission import Submission, SubmissionSettings
from posthouse.serve import imap, pop3, smtp, tls
from posthouse.serve.addresses import OwnAddresses
from posthouse.serve.fetch import Fetcher
from posthouse.serve.listener import Census, Door, Listener, open_sockets
from posthouse.serve.log import Logger, logger
from posthouse.serve.login import Login
from posthouse.serve.metrics import SNAPSHOT_SECONDS, Metrics, SharedMetrics
from posthouse.serve.recorder import Recorder
from posthouse.serve.relay import CourierSettings, SmtpCourier
from posthouse.serve.resolver import Resolver
from posthouse.serve.sketch import SharedLimits
from posthouse.serve.supervisor import Occupancy, Plan, Supervisor
from posthouse.store import greylist, journeys, queue, refusals
from posthouse.store.blobs import SWEEP_LIMIT, Blobs
from posthouse.store.database import StoreFault
from posthouse.store.hints import Hints
from posthouse.store.ids import Ids
from posthouse.store.room import is_short
from posthouse.store.sqlite import SqliteDatabase, open_sqlite
from posthouse.web.app import Site
from posthouse.web.status import Service, Status
from posthouse.wire.smtp.client import ClientSettings

SWEEP_SECONDS = 300.0
SHORT_SECONDS = 5.0  # how often the disk is looked at, and swept where it is short of room
SWEEP_PAUSE = 0.5  # between parts of what is swept
HEALTH_SECONDS = 5.0  # for a commit of nothing
SETTLE_SECONDS = 15.0  # for the relay to put down what it knows, after the grace
LONGEST_REST = 60.0  # before work that failed is begun again
# Of the descriptors a process may have, what connections from outside may take: the rest is for files and the relay.
DESCRIPTORS_SHARE = 0.75

IMPLICIT_TLS = frozenset({"submissions", "imaps", "pop3s", "https"})
_STARTTLS = frozenset({"smtp", "submission", "imap", "pop3"})


def now() -> Instant:
    return time.time_ns() // 1000


class House:
    """A server. After `start`, and until `stop`, its parts are there by name; the tests and the lab reach for them."""

    ports: dict[str, int]
    database: SqliteDatabase
    blobs: Blobs
    hints: Hints
    dns: Resolver
    keyring: tls.Keyring
    login: Login
    bureau: Bureau
    reception: Reception
    submission: Submission
    relay: Relay

    def __init__(
        self,
        config: Config,
        *,
        sockets: Mapping[str, list[socket]] | None = None,
        log: Logger | None = None,
        clock: Clock = now,
        process: int = 0,
        shared: SharedLimits | None = None,
        occupied: bool = False,
        predecessor: "House | None" = None,
    ) -> None:
        """`sockets`: already bound and listening, by service; else they are bound by `start`. They belong to the house.

        `process` counts from 0 where several processes serve together, and `shared` is what they have in common.
        `occupied`: whoever called has locked the data folder. `predecessor`: a house on the same data in this process,
        still at work, from which this one takes over.
        """
        self.config = config
        self.clock = clock
        self.log = (log or logger(config.log.format, config.log.level)).bind(house=config.hostname)
        self.process = process
        self._shared = shared
        self.ids: Ids = predecessor.ids if predecessor else Ids(process)
        self.metrics: Metrics = predecessor.metrics if predecessor else Metrics()
        self.began = time.monotonic()
        self.relay_over = asyncio.Event()
        self.ports = {}
        self.listeners: list[Listener] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.unwell: set[str] = set()
        self._sockets = dict(sockets) if sockets is not None else None
        self._occupied = occupied
        self._occupancy: Occupancy | None = None
        self._predecessor = predecessor
        self._relaying = False
        self._courier: SmtpCourier | None = None

    async def start(self) -> None:
        """Open the store, bind and listen. Errors are raised and leave nothing open behind them.

        OSError, TlsError, StoreFault, ListenError, ServeError or ConfigError, each with one clear line.
        """
        try:
            await self._open()
        except BaseException:
            await self.stop(0)
            raise

    async def stop(self, grace: float | None = None) -> None:
        """Accept no more, let transactions end for `grace` seconds (default: run.grace), give leases back, close."""
        if grace is None:
            grace = self.config.run.grace.seconds
        for listener in self.listeners:
            listener.stop()
        for listening in (self._sockets or {}).values():
            for each in listening:
                each.close()
        leaving: list[Awaitable[None]] = [listener.drain(grace) for listener in self.listeners]
        if hasattr(self, "relay"):
            # Also where it has not begun yet: then it ends as soon as it begins.
            leaving.append(self.relay.drain(grace))
        await asyncio.gather(*leaving)
        if self._relaying:
            # It still stores results and gives leases back.
            with suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_SECONDS):
                    await self.relay_over.wait()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        self.relay_over.set()
        await self._close()

    async def reload(self) -> None:
        """Read the certificate again; a broken one is logged, and the old one stays in service."""
        try:
            self.keyring.reload()
        except tls.TlsError as error:
            self.log.error("certificate not reloaded", reason=str(error))
        else:
            self.log.info("certificate reloaded", expires=self.keyring.expires.date().isoformat())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _open(self) -> None:
        config = self.config
        config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._occupied:
            self._occupancy = Occupancy(config.data_dir)
        if not type(asyncio.get_running_loop()).__module__.startswith("uvloop"):
            tls.small_buffers()
        self.keyring = _keyring(config, self.log)
        self.database = open_sqlite(config.database_file)
        self.hints = Hints(config.hints_folder)
        await self.hints.start()
        self.blobs = Blobs(config.blobs_folder, self.database, self.ids, self.clock)
        self.dns = wiring.resolver(config, self.metrics)
        self.login = self._login()
        recorder = Recorder(self.log, self.metrics)
        acceptance = Acceptance(
            self.database, self.blobs, self.ids, self.hints, self.clock, config.hostname, recorder,
            OwnAddresses(config.public_addresses),
        )
        owner = f"{config.hostname}/{self.process}"
        self.bureau = Bureau(acceptance, self.dns.within, wiring.reports(config), owner, recorder)
        trust = tls.verified(config.relay.ca_file)
        self.discernment = Discernment(
            acceptance, self.dns, Fetcher(self.dns, trust), recorder, wiring.discernment(config)
        )
        size = config.limits.message_size
        self.reception = Reception(
            acceptance,
            ReceptionSettings(size_limit=size, authserv_id=config.checks.authserv_id),
            wiring.inspection(config, self.dns, self.database, self.bureau, self.discernment),
            recorder,
        )
        self.submission = Submission(
            acceptance,
            SubmissionSettings(
                size_limit=size, show_client=config.submission.show_client, authserv_id=config.checks.authserv_id
            ),
        )
        helo = config.relay.helo or config.hostname
        self._courier = SmtpCourier(CourierSettings(ClientSettings(helo), config.relay.sources), self.clock, trust)
        exchanges = Exchanges(self.dns, wiring.routing(config), random.shuffle)
        self.relay = Relay(
            acceptance, exchanges, self._courier, owner, random.random, wiring.relay(config), recorder
        )
        self._listen()
        self._work()
        for listener in self.listeners:
            listener.start()
            self.log.info("listening", service=listener.service, port=listener.port)

    def _login(self) -> Login:
        """Passwords are checked on as many threads as there are cores, those of all processes together."""
        cores = max(1, (os.cpu_count() or 1) // (self._shared.processes if self._shared else 1))
        doorkeeper = self._shared.doorkeeper if self._shared else None
        if self._predecessor is not None:
            doorkeeper = self._predecessor.login.doorkeeper
        return Login(self.database, self.metrics, cores=cores, doorkeeper=doorkeeper)

    def _listen(self) -> None:
        """A listener for every service that has a door and a place."""
        config = self.config
        if self._sockets is None:
            self._sockets = {}
            for service, places in config.listen.all().items():
                self._sockets[service] = open_sockets([(place.host, place.port) for place in places])
        doors = _doors(self)
        limits = config.limits
        total = min(limits.connections, int(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * DESCRIPTORS_SHARE))
        shared = self._shared
        strangers = shared.strangers if shared else None
        census = Census(limits.connections_per_address, limits.connections_per_network, total, strangers)
        for service, listening in self._sockets.items():
            listener = Listener(
                service,
                listening,
                doors[service],
                census,
                metrics=self.metrics,
                tls=_context_of(self.keyring, service) if service in IMPLICIT_TLS else None,
                refusal=_refusal(service, config.hostname),
                balance=shared.balance if shared else None,
            )
            self.listeners.append(listener)
            self.ports[service] = listener.port
        self._sockets = {}

    def _work(self) -> None:
        """What goes on beside the connections, for as long as the house stands."""
        shared = None
        if self._shared is not None:
            folder = self.config.data_dir / "run"
            folder.mkdir(mode=0o700, exist_ok=True)
            shared = SharedMetrics(self.metrics, folder, self.process)
        self.shared_metrics = shared
        work: dict[str, Callable[[], Awaitable[None]]] = {
            "relay": self._relay,
            "sweep": self._sweep,
            "counts": self._counts,
            **self.bureau.work,
            **self.discernment.work(self.process == 0),
        }
        self.tasks = [asyncio.create_task(_keep(self, name, doing), name=name) for name, doing in work.items()]

    async def _relay(self) -> None:
        if self._predecessor is not None:
            # Both carry one name in the store: the leases of the one before must not be taken for those of a dead one.
            await self._predecessor.relay_over.wait()
            self._predecessor = None
        self._relaying = True
        try:
            await self.relay.run()
            self.relay_over.set()
        finally:
            self._relaying = False

    async def _sweep(self) -> None:
        while True:
            due = time.monotonic() + SWEEP_SECONDS * (0.75 + random.random() / 2)
            short = False
            while not short and (left := due - time.monotonic()) > 0:
                await asyncio.sleep(min(left, SHORT_SECONDS))
                short = is_short(self.config.data_dir)
            await self._sweep_all(short)

    async def _sweep_all(self, short: bool) -> None:
        """Part after part, with a pause for those who wait to write."""
        now = self.clock()
        forget = partial(journeys.sweep, before=now - self.config.journeys.keep)
        swept = forgotten = True
        while swept or forgotten:
            swept = swept and await self.blobs.sweep(now, short=short) >= SWEEP_LIMIT
            forgotten = forgotten and await self.database.write(forget) >= journeys.SWEEP_LIMIT
            await asyncio.sleep(SWEEP_PAUSE)
        for forget in (partial(refusals.sweep, now=now), partial(greylist.sweep, now=now)):
            await self.database.write(forget)
            await asyncio.sleep(SWEEP_PAUSE)

    async def _counts(self) -> None:
        """Numbers that are read rather than counted, and the snapshot for the other processes."""
        while True:
            if self.process == 0:
                depth = await self.database.read(queue.depth)
                for state in ("waiting", "claimed", "held"):
                    self.metrics.queue.labels(state).set(getattr(depth, state))
            if self.shared_metrics is not None:
                await asyncio.to_thread(self.shared_metrics.save)
            await asyncio.sleep(SNAPSHOT_SECONDS)

    async def _close(self) -> None:
        """Everything that was opened, the last first; more than once is harmless."""
        if self._courier is not None:
            await self._courier.close()
        for name in ("login", "discernment"):
            if hasattr(self, name):
                getattr(self, name).close()
        for name in ("dns", "hints", "database"):
            part = getattr(self, name, None)
            if part is not None:
                await part.close()
        if self._occupancy is not None:
            self._occupancy.release()
            self._occupancy = None


def _keyring(config: Config, log: Logger) -> tls.Keyring:
    certificate, key = config.tls.certificate, config.tls.key
    keyring = tls.Keyring(config.hostname, certificate, key, config.data_dir, bind=config.login.scram_plus)
    if keyring.self_made:
        log.warning("self-made certificate: tls.certificate and tls.key name a real one")
    return keyring


async def _keep(house: House, name: str, doing: Callable[[], Awaitable[None]]) -> None:
    """Do it; where it fails, say so, rest, and begin again."""
    rest = 1.0
    while True:
        began = time.monotonic()
        try:
            await doing()
            return
        except Exception as error:
            house.unwell.add(name)
            house.log.error("work failed and will begin again", work=name, after=rest, exc_info=error)
        rest = 1.0 if time.monotonic() - began > LONGEST_REST else min(LONGEST_REST, rest * 2)
        await asyncio.sleep(rest)
        house.unwell.discard(name)


def _doors(house: House) -> dict[str, Door]:
    config, size = house.config, house.config.limits.message_size
    imap_post = imap.Post(
        config.hostname, house.database, house.blobs, house.ids, house.hints, house.clock, house.login, house.keyring,
        house.log, size,
    )
    pop3_post = pop3.Post(
        config.hostname, house.database, house.blobs, house.hints, house.login, house.keyring,
        config.data_dir / "locks", house.log,
    )
    site = Site(
        config.hostname,
        _Facts(house),
        [ip_network(network) for network in config.web.metrics_from],
        failed=lambda error: house.log.error("page failed", exc_info=error),
    )
    return {
        "smtp": _smtp_door(house, "smtp", house.reception, None),
        "submission": _smtp_door(house, "submission", house.submission, house.login),
        "submissions": _smtp_door(house, "submissions", house.submission, house.login),
        **dict.fromkeys(("imap", "imaps"), imap.door(imap_post)),
        **dict.fromkeys(("pop3", "pop3s"), pop3.door(pop3_post)),
        **dict.fromkeys(("http", "https"), site.door),
    }


def _smtp_door(house: House, service: str, desk: MailDesk, login: Login | None) -> Door:
    limits = house.config.limits
    return smtp.door(
        smtp.Post(
            service, house.config.hostname, desk, house.blobs, login, house.keyring, house.metrics, house.log,
            house.clock, max_size=limits.message_size, max_recipients=limits.recipients,
        )
    )


def _context_of(keyring: tls.Keyring, service: str) -> Callable[[], tls.ServerContext]:
    return lambda: keyring.server(service)


def _refusal(service: str, hostname: str) -> bytes:
    """What a client reads whose address holds too many connections."""
    words = "Too many connections from your address, close some or log in with them"
    if service in ("smtp", "submission"):
        return f"421 4.7.0 {hostname} {words}\r\n".encode()
    if service == "imap":
        return f"* BYE {words}\r\n".encode()
    if service == "pop3":
        return f"-ERR [SYS/TEMP] {words}\r\n".encode()
    if service == "http":
        return b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    return b""


class _Facts:
    """What the pages ask, answered from a house."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def status(self) -> Status:
        house = self._house
        names = {"smtp": "Mail from other servers", "submission": "Sending mail", "imap": "Reading mail (IMAP)",
                 "pop3": "Fetching mail (POP3)", "http": "This page"}
        services = [
            Service(
                names[service.removesuffix("s") if service in IMPLICIT_TLS else service],
                (port,),
                "TLS" if service in IMPLICIT_TLS else "STARTTLS" if service in _STARTTLS else "unencrypted",
            )
            for service, port in house.ports.items()
        ]
        healthy = not house.unwell and await self._can_commit()
        depth: dict[str, int] = {}
        if healthy:
            with suppress(StoreFault):
                found = await house.database.read(queue.depth)
                depth = {"waiting to leave": found.waiting, "leaving now": found.claimed, "held": found.held}
        return Status(tuple(services), time.monotonic() - house.began, healthy, depth, await self._connections())

    async def _connections(self) -> int:
        """Those that are open now, of all processes."""
        house = self._house
        if house.shared_metrics is None:
            return house.listeners[0].census.open
        return await asyncio.to_thread(house.shared_metrics.connections)

    async def metrics(self) -> bytes:
        shared = self._house.shared_metrics
        return await asyncio.to_thread(shared.text) if shared is not None else self._house.metrics.text()

    async def _can_commit(self) -> bool:
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await self._house.database.write(lambda tx: None)
        except (StoreFault, TimeoutError):
            return False
        return True


def plan(config: Config) -> Plan:
    """What the supervisor has to do for these settings."""
    places = {
        service: tuple((place.host, place.port) for place in found) for service, found in config.listen.all().items()
    }
    return Plan(
        places, config.data_dir, config.run.user, config.run.group, config.run.process_count, config.run.loop,
        config.run.grace.seconds,
    )


class Standing:
    """Keeps a house standing for a settings file; the supervisor's `Server`.

    A reload with the same settings reads the certificate again. With other settings a new house begins on the same
    sockets; the one before accepts no more, ends its conversations and is gone after the grace.
    """

    def __init__(
        self,
        path: Path,
        config: Config,
        bound: Mapping[str, list[socket]],
        process: int,
        log: Logger,
        shared: SharedLimits | None = None,
    ) -> None:
        self._path = path
        self._config = config
        self._bound = bound
        self._process = process
        self._log = log
        self._shared = shared
        if shared is not None:
            shared.join(process)
        self._house: House | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._house = await self._begin(self._config, self._log)

    async def stop(self, grace: float | None = None) -> None:
        for listening in self._bound.values():
            for each in listening:
                each.close()
        if self._house is not None:
            await self._house.stop(grace)
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=grace)

    async def reload(self) -> None:
        try:
            config = self._readable(load(self._path))
        except ConfigError as error:
            self._log.error("settings not reloaded", reason=str(error))
            return
        old = self._house
        if old is None:
            return
        if config == self._config:
            await old.reload()
            return
        try:
            if config.log != self._config.log:
                self._log = logger(config.log.format, config.log.level)
            new = await self._begin(config, self._log)
        except Exception as error:
            self._log.error("settings not reloaded", exc_info=error)
            return
        self._config, self._house = config, new
        # From here on nobody new comes to the one before, not even within this turn of the loop.
        for listener in old.listeners:
            listener.stop()
        task = asyncio.create_task(old.stop())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        new.log.info("settings reloaded")

    def _readable(self, config: Config) -> Config:
        """The new settings with the old ones where a restart would be needed."""
        old = self._config
        for name in ("listen", "run", "data_dir"):
            if getattr(config, name) != getattr(old, name):
                self._log.warning("needs a restart, the old setting stays", setting=name)
        return msgspec.structs.replace(config, listen=old.listen, run=old.run, data_dir=old.data_dir)

    async def _begin(self, config: Config, log: Logger) -> House:
        doubles = {service: [each.dup() for each in listening] for service, listening in self._bound.items()}
        house = House(
            config, sockets=doubles, log=log, process=self._process, shared=self._shared, occupied=True,
            predecessor=self._house,
        )
        await house.start()
        return house


def serve(path: Path, config: Config | None = None, log: Logger | None = None) -> int:
    """Run the server that a settings file describes until a signal ends it; gives the exit code.

    ConfigError, ServeError, ListenError, TlsError or StoreFault, with one clear line, where it cannot begin.
    """
    config = config or load(path)
    log = log or logger(config.log.format, config.log.level)
    found = plan(config)
    shared = SharedLimits(found.processes, found.places) if found.processes > 1 else None
    return Supervisor(found, lambda bound, process: Standing(path, config, bound, process, log, shared), log).run()
