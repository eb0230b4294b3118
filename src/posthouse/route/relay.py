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

A lane that finds its host crowded, because others of us or of them hold all the connections it allows, closes: the
message goes to the lanes that are left. `route.passage` is one try, `route.settlement` what follows from it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from posthouse.mail.delivery import Delivery, Schedule
from posthouse.mail.instant import SECOND, Instant
from posthouse.mail.reply import Reply
from posthouse.route.acceptance import Acceptance
from posthouse.route.courier import RECIPIENTS, Courier
from posthouse.route.exchanges import Exchanges, Hosts, NoRoute
from posthouse.route.observer import Observer, Unobserved
from posthouse.route.passage import Passage, Tried
from posthouse.route.settlement import Result, Settlement
from posthouse.store import queue
from posthouse.store.database import StoreFault, Transaction
from posthouse.store.hints import QUEUE, RETRY
from posthouse.store.queue import Claim

# Seconds for which a route found is used.
_ROUTE_SECONDS = 60.0
# Seconds that results still being stored are waited for at the end.
_SETTLE_SECONDS = 10.0
# Claims held for a domain, for each of its lanes.
_CLAIMS_PER_LANE = 8


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """`slots` transactions run at once, `per_destination` of them to one domain (or one configured next hop). `lease`
    and `poll` in seconds."""

    slots: int = 100
    per_destination: int = 10
    schedule: Schedule = field(default_factory=Schedule)
    lease: float = 600
    poll: float = 30


@dataclass(slots=True)
class _Destination:
    """One recipient domain or configured next hop: what waits for it here, how many lanes it has and may have, and the
    way there if it was found lately."""

    name: str
    most: int
    waiting: deque[Claim] = field(default_factory=deque)
    lanes: int = 0
    route: Hosts | NoRoute | None = None
    found_at: float = 0.0


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
        self._passage = Passage(acceptance.blobs, courier, acceptance.clock)
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
        self._wake = asyncio.Event()
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self) -> None:
        """Claims and relays until `drain`; a fault of the store is waited out. Cancelled, it gives its leases back."""
        self._stopping = False
        self._held.clear()
        hints = self._acceptance.hints
        unsubscribe = (hints.subscribe(RETRY, self._passage.forget), hints.subscribe(QUEUE, self._wake.set))
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
            for end in unsubscribe:
                end()
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
            lambda tx: queue.claim(tx, now, self._owner, limit, lease, per_domain=self._per_domain), quick=True
        )
        for claim in claims:
            name = self._exchanges.destination(claim.deliveries[0].domain)
            destination = self._destinations.get(name)
            if destination is None:
                destination = self._destinations[name] = _Destination(name, settings.per_destination)
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
        wanting = [d for d in self._destinations.values() if d.waiting and d.lanes < d.most]
        while wanting and not self._stopping:
            still = []
            for destination in wanting:
                if self._lanes >= settings.slots:
                    return
                self._start(destination)
                if destination.lanes < min(destination.most, len(destination.waiting)):
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
                    if not await self._carry(destination, claim):
                        destination.most = max(1, destination.lanes - 1)
                        destination.waiting.appendleft(claim)
                        self._waiting += 1
                        return
                except Exception as error:
                    # The result could not be stored. The post goes on; the lease runs out, and it is tried again.
                    self._observer.failed(f"settling mail for {destination.name}", error)
                for delivery in claim.deliveries:
                    self._held.pop(delivery.delivery_id, None)
                # Claims are taken in batches: when half of what this domain, or all together, may hold is used up.
                if len(destination.waiting) * 2 == self._per_domain or self._waiting == self._settings.slots:
                    self._wake.set()
        finally:
            destination.lanes -= 1
            self._lanes -= 1
            if not destination.lanes and not destination.waiting:
                self._destinations.pop(destination.name, None)
            self._open_lanes()
            self._wake.set()
            if not self._lanes:
                self._idle.set()

    async def _carry(self, destination: _Destination, claim: Claim) -> bool:
        """One message to its recipients in one domain, and the result into the store. False: nothing was done, because
        the host was crowded by other lanes."""
        now = asyncio.get_running_loop().time
        for start in range(0, len(claim.deliveries), RECIPIENTS):
            deliveries = claim.deliveries[start : start + RECIPIENTS]
            began = now()
            # The others may be done before this one hears that there was no room beside them.
            alone = destination.lanes == 1
            tried = await self._try(destination, claim, deliveries)
            if tried.crowded and start == 0 and not alone:
                return False
            result = Result(
                claim.message,
                deliveries,
                [tried.attempts[index] for index in range(len(deliveries))],
                frozenset(tried.unaware),
                tried.stamps,
                now() - began,
            )
            # What a remote server has said is stored even if we are told to stop now.
            settling = asyncio.create_task(self._settlement.settle(result))
            self._settling.add(settling)
            settling.add_done_callback(self._settling.discard)
            await asyncio.shield(settling)
        return True

    async def _try(self, destination: _Destination, claim: Claim, deliveries: Sequence[Delivery]) -> Tried:
        now = asyncio.get_running_loop().time()
        domain = deliveries[0].domain
        try:
            if destination.route is None or now - destination.found_at > _ROUTE_SECONDS:
                destination.route = await self._exchanges.find(domain)
                destination.found_at = now
            return await self._passage.attempt(domain, destination.route, claim.message, deliveries)
        except StoreFault as fault:
            self._observer.failed("reading a message to be relayed", fault)
            return self._passage.same(deliveries, Reply(451, "4.3.0", "The stored message could not be read"))
        except Exception as error:
            # A fault of ours is a failed try like any other: it is seen, retried ever more seldom, and ends.
            self._observer.failed(f"relaying to {domain}", error)
            return self._passage.same(deliveries, Reply(451, "4.3.0", "Something went wrong here"))


def _renew(held: Sequence[Delivery], until: Instant, tx: Transaction) -> None:
    queue.renew(tx, held, until)
