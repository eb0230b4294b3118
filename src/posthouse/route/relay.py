"""The way out: claims deliveries, finds the next hop, hands over, settles. One per process, any number per database.

    relay = Relay(acceptance, exchanges, courier, owner="mx1/1", random=random.random)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(relay.run())           # for ever
        …
        await relay.drain(30)                    # stops claiming, waits; then run() gives leases back and returns

Claims are taken in batches and kept by domain. A *lane* carries them to one domain, one after the other, so that a
connection is used again; a domain has at most `per_destination` lanes, all together at most `slots`, and the lanes are
given out in turn, so that one slow domain cannot take them all. The result of each transaction is durable before its
lane takes the next message: a crash can double no more than what is under way.

A host that could not be reached is passed over for a minute, and a domain none of whose hosts can be reached is not
tried again for each of its thousand messages. That is memory of this process, and only a hint: the schedule of tries
(`mail.delivery`) is in the store.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from posthouse.mail.delivery import Attempt, Delivery, Outcome, Schedule
from posthouse.mail.envelope import Envelope, RcptTo
from posthouse.mail.instant import SECOND, Instant
from posthouse.mail.journey import Fact, Stamp, Step
from posthouse.mail.reply import Reply
from posthouse.route.acceptance import Acceptance
from posthouse.route.exchanges import Exchanges, Host, Hosts, NoRoute
from posthouse.route.observer import Observer, Unobserved
from posthouse.route.settlement import Result, Settlement, outcome_of
from posthouse.store import queue
from posthouse.store.blobs import Content
from posthouse.store.database import StoreFault, Transaction
from posthouse.store.hints import QUEUE
from posthouse.store.ids import to_text
from posthouse.store.queue import Claim

# RFC 5321 §4.5.3.1.8: every server takes at least a hundred recipients.
RECIPIENTS = 100
# For one message, this many hosts are talked to before it waits for its next time (those not reached do not count).
_SESSIONS = 2
# Seconds for which an unreachable host is passed over, and for which a route found is used.
_DOWN_SECONDS = 60.0
_ROUTE_SECONDS = 60.0
# Seconds that results still being stored are waited for at the end.
_SETTLE_SECONDS = 10.0
# Claims held for a domain, for each of its lanes.
_CLAIMS_PER_LANE = 8


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message for the recipients of one next hop: the octets are `prefix` and then `content`."""

    envelope: Envelope
    prefix: bytes
    content: Content


@dataclass(frozen=True, slots=True)
class Handover:
    """What one host made of a parcel: an attempt for each recipient, in order.

    `reached` False: it never took the conversation up, so another host may be tried for all. `final` True: the
    message may have been taken although no reply came, so no other host may be tried now. `dsn`: it keeps RFC 3461.
    """

    attempts: tuple[Attempt, ...]
    reached: bool
    final: bool = False
    dsn: bool = False


class Courier(Protocol):
    """Carries one parcel to one host. Never raises but for cancellation."""

    async def deliver(self, host: Host, parcel: Parcel, rcpts: Sequence[RcptTo]) -> Handover: ...


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """`slots` transactions run at once, `per_destination` of them to one domain. `lease` and `poll` in seconds."""

    slots: int = 100
    per_destination: int = 10
    schedule: Schedule = field(default_factory=Schedule)
    lease: float = 600
    poll: float = 30


@dataclass(slots=True)
class _Destination:
    """One recipient domain: what waits for it here, how many lanes it has, and the way there if it was found lately."""

    domain: str
    waiting: deque[Claim] = field(default_factory=deque)
    lanes: int = 0
    route: Hosts | NoRoute | None = None
    found_at: float = 0.0


@dataclass(slots=True)
class _Tried:
    """What the hosts made of one parcel so far: the newest attempt of each recipient, who was taken without DSN."""

    attempts: dict[int, Attempt]
    unaware: set[int]
    stamps: list[Stamp]


class Relay:
    """See the module. `owner` names this process among those of the database, the same after a restart: leases that an
    earlier life of it left are given back at the start. `random` gives numbers in [0, 1)."""

    def __init__(
        self,
        acceptance: Acceptance,
        exchanges: Exchanges,
        courier: Courier,
        owner: str,
        random: Callable[[], float],
        settings: RelaySettings | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._acceptance = acceptance
        self._exchanges = exchanges
        self._courier = courier
        self._owner = owner
        self._settings = settings or RelaySettings()
        self._observer = observer or Unobserved()
        self._settlement = Settlement(acceptance, self._settings.schedule, random, self._observer)
        self._destinations: dict[str, _Destination] = {}
        self._per_domain = self._settings.per_destination * _CLAIMS_PER_LANE
        self._tasks: set[asyncio.Task[None]] = set()
        self._settling: set[asyncio.Task[None]] = set()
        self._lanes = 0
        self._waiting = 0
        self._held: dict[int, Delivery] = {}
        self._down: dict[tuple[str, int], tuple[float, Attempt]] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self) -> None:
        """Claims and relays until `drain`; a fault of the store is waited out. Cancelled, it gives its leases back."""
        self._stopping = False
        self._held.clear()
        unsubscribe = self._acceptance.hints.subscribe(QUEUE, self._wake.set)
        renewal = asyncio.create_task(self._renew())
        try:
            await self._give_back()
            while not self._stopping:
                self._wake.clear()
                wait = self._settings.poll
                if self._room() > 0:
                    try:
                        wait = await self._claim()
                    except StoreFault as fault:
                        self._observer.failed("claiming deliveries", fault)
                if wait > 0 and not self._stopping:
                    await self._sleep(wait)
            await self._idle.wait()
        finally:
            unsubscribe()
            renewal.cancel()
            self._stop_claiming()
            await self._abandon()
            if self._settling:
                await asyncio.wait(self._settling, timeout=_SETTLE_SECONDS)
            await self._give_back()

    async def drain(self, deadline: float) -> None:
        """Takes nothing new and lets transactions under way end for `deadline` seconds; then `run` gives all leases
        back and returns."""
        self._stop_claiming()
        try:
            async with asyncio.timeout(deadline):
                await self._idle.wait()
        except TimeoutError:
            await self._abandon()

    def _stop_claiming(self) -> None:
        self._stopping = True
        self._wake.set()
        for destination in self._destinations.values():
            destination.waiting.clear()
        self._waiting = 0
        self._destinations = {domain: each for domain, each in self._destinations.items() if each.lanes}

    async def _abandon(self) -> None:
        """Breaks off what is under way; results already known go on being stored."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- claiming ---------------------------------------------------------------------------------------

    def _room(self) -> int:
        """How many claims may be taken: enough for every lane to go on at once, and no hoard."""
        return self._settings.slots * 2 - self._waiting

    async def _claim(self) -> float:
        """Takes what is due; gives the seconds to wait before looking again."""
        acceptance, settings = self._acceptance, self._settings
        now = acceptance.clock()
        due = await acceptance.db.read(queue.next_due, quick=True)
        if due is None or due > now:
            return settings.poll if due is None else min(settings.poll, (due - now) / SECOND)
        limit = self._room()
        lease = int(settings.lease * SECOND)
        claims = await acceptance.db.write(
            lambda tx: queue.claim(tx, now, self._owner, limit, lease, per_domain=self._per_domain)
        )
        for claim in claims:
            domain = claim.deliveries[0].domain
            destination = self._destinations.get(domain)
            if destination is None:
                destination = self._destinations[domain] = _Destination(domain)
            destination.waiting.append(claim)
            self._waiting += 1
            for delivery in claim.deliveries:
                self._held[delivery.delivery_id] = delivery
        self._open_lanes()
        # Nothing although something is due: its domain has as much as it may have. A lane that ends wakes us.
        return 0 if claims else settings.poll

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _renew(self) -> None:
        """Keeps what is under way ours, however long a transfer takes."""
        settings, acceptance = self._settings, self._acceptance
        while True:
            await asyncio.sleep(settings.lease / 3)
            held = list(self._held.values())
            if not held:
                continue
            try:
                await acceptance.db.write(partial(_renew, held, acceptance.clock() + int(settings.lease * SECOND)))
            except StoreFault as fault:
                self._observer.failed("renewing leases", fault)

    async def _give_back(self) -> None:
        try:
            given = await self._acceptance.db.write(lambda tx: queue.give_back(tx, self._owner))
        except StoreFault as fault:
            self._observer.failed("giving leases back", fault)
            return
        if given:
            self._acceptance.announce((QUEUE,))

    # --- lanes ------------------------------------------------------------------------------------------

    def _open_lanes(self) -> None:
        """Gives free slots to the domains that wait, one each in turn."""
        settings = self._settings
        wanting = [d for d in self._destinations.values() if d.waiting and d.lanes < settings.per_destination]
        while wanting and not self._stopping:
            still = []
            for destination in wanting:
                if self._lanes >= settings.slots:
                    return
                self._start(destination)
                if destination.lanes < min(settings.per_destination, len(destination.waiting)):
                    still.append(destination)
            wanting = still

    def _start(self, destination: _Destination) -> None:
        destination.lanes += 1
        self._lanes += 1
        self._idle.clear()
        task = asyncio.create_task(self._lane(destination))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lane(self, destination: _Destination) -> None:
        """Carries one message after the other to a domain until none waits."""
        try:
            while destination.waiting:
                claim = destination.waiting.popleft()
                self._waiting -= 1
                try:
                    await self._carry(destination, claim)
                except Exception as error:
                    # The result could not be stored. The post goes on; the lease runs out, and it is tried again.
                    self._observer.failed(f"settling mail for {destination.domain}", error)
                finally:
                    for delivery in claim.deliveries:
                        self._held.pop(delivery.delivery_id, None)
                # Claims are taken in batches: when half of what this domain, or all together, may hold is used up.
                if len(destination.waiting) * 2 == self._per_domain or self._waiting == self._settings.slots:
                    self._wake.set()
        finally:
            destination.lanes -= 1
            self._lanes -= 1
            if not destination.lanes and not destination.waiting:
                self._destinations.pop(destination.domain, None)
            self._open_lanes()
            self._wake.set()
            if not self._lanes:
                self._idle.set()

    async def _carry(self, destination: _Destination, claim: Claim) -> None:
        for start in range(0, len(claim.deliveries), RECIPIENTS):
            deliveries = claim.deliveries[start : start + RECIPIENTS]
            began = asyncio.get_running_loop().time()
            try:
                tried = await self._try(destination, claim, deliveries)
            except Exception as error:
                # A fault of ours is a failed try like any other: it is seen, retried ever more seldom, and ends.
                self._observer.failed(f"relaying to {destination.domain}", error)
                tried = _Tried({}, set(), [])
                self._all(tried, deliveries, Reply(451, "4.3.0", "Something went wrong here"))
            result = Result(
                claim.message,
                deliveries,
                [tried.attempts[index] for index in range(len(deliveries))],
                frozenset(tried.unaware),
                tried.stamps,
                asyncio.get_running_loop().time() - began,
            )
            # What a remote server has said is stored even if we are told to stop now.
            settling = asyncio.create_task(self._settlement.settle(result))
            self._settling.add(settling)
            settling.add_done_callback(self._settling.discard)
            await asyncio.shield(settling)

    # --- one try ----------------------------------------------------------------------------------------

    async def _try(self, destination: _Destination, claim: Claim, deliveries: Sequence[Delivery]) -> _Tried:
        tried = _Tried({}, set(), [])
        route = await self._route(destination)
        if isinstance(route, NoRoute):
            self._all(tried, deliveries, route.reply)
            return tried
        facts: dict[str, Fact] = {
            "domain": destination.domain,
            "hosts": [host.name for host in route.hosts],
            "how": route.how,
        }
        tried.stamps.append(Stamp(self._acceptance.clock(), Step.ROUTE, facts))
        try:
            content = await self._acceptance.blobs.load(claim.message.blob_id)
        except StoreFault as fault:
            self._observer.failed(f"reading message {to_text(claim.message.journey_id)}", fault)
            self._all(tried, deliveries, Reply(451, "4.3.0", "The stored message could not be read"))
            return tried
        parcel = Parcel(claim.message.envelope, claim.message.prefix, content)
        await self._hand_over(route, parcel, deliveries, tried)
        return tried

    async def _route(self, destination: _Destination) -> Hosts | NoRoute:
        now = asyncio.get_running_loop().time()
        route = destination.route
        if route is None or now - destination.found_at > _ROUTE_SECONDS:
            route = destination.route = await self._exchanges.find(destination.domain)
            destination.found_at = now
        return route

    async def _hand_over(
        self, route: Hosts, parcel: Parcel, deliveries: Sequence[Delivery], tried: _Tried
    ) -> None:
        """Tries the hosts in order until nobody is left who may fare better with the next."""
        hosts = self._reachable(route.hosts)
        if not hosts:
            last = self._down[(route.hosts[0].name, route.hosts[0].port)][1]
            words = f"{last.reply.text} (a moment ago, not tried again yet)"
            again = replace(last, at=self._acceptance.clock(), reply=replace(last.reply, text=words))
            tried.attempts.update(dict.fromkeys(range(len(deliveries)), again))
            return
        open_ones = list(range(len(deliveries)))
        sessions = 0
        for host in hosts:
            handover = await self._courier.deliver(host, parcel, [deliveries[i].rcpt for i in open_ones])
            for index, attempt in zip(open_ones, handover.attempts, strict=True):
                self._replaced(tried, deliveries[index], index)
                tried.attempts[index] = attempt
                if attempt.outcome is Outcome.DELIVERED and not handover.dsn:
                    tried.unaware.add(index)
            self._remember(host, handover)
            if handover.final:
                return
            if handover.reached:
                sessions += 1
                open_ones = [i for i in open_ones if tried.attempts[i].outcome is Outcome.TRANSIENT]
            if not open_ones or sessions >= _SESSIONS:
                return

    def _replaced(self, tried: _Tried, delivery: Delivery, index: int) -> None:
        """An attempt that is not the last of this try is told in the journey only."""
        earlier = tried.attempts.get(index)
        if earlier is not None:
            facts: dict[str, Fact] = {
                "delivery": to_text(delivery.delivery_id),
                "address": str(delivery.rcpt.address),
                "host": earlier.host,
                "ip": earlier.ip,
                "tls": earlier.tls,
                "reply": str(earlier.reply),
                "outcome": earlier.outcome.value,
            }
            tried.stamps.append(Stamp(earlier.at, Step.ATTEMPT, facts))

    def _reachable(self, hosts: Sequence[Host]) -> list[Host]:
        if not self._down:
            return list(hosts)
        now = asyncio.get_running_loop().time()
        self._down = {key: value for key, value in self._down.items() if value[0] > now}
        return [host for host in hosts if (host.name, host.port) not in self._down]

    def _remember(self, host: Host, handover: Handover) -> None:
        if not handover.reached:
            until = asyncio.get_running_loop().time() + _DOWN_SECONDS
            self._down[(host.name, host.port)] = (until, handover.attempts[0])

    def _all(self, tried: _Tried, deliveries: Sequence[Delivery], reply: Reply) -> None:
        """The same result of ours for every recipient; no host was asked."""
        attempt = Attempt(self._acceptance.clock(), outcome_of(reply.code), "", "", "", reply)
        for index in range(len(deliveries)):
            tried.attempts[index] = attempt


def _renew(held: Sequence[Delivery], until: Instant, tx: Transaction) -> None:
    queue.renew(tx, held, until)
