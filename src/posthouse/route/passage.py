"""One try for one message: its hosts in their order, until nobody is left who may fare better with the next.

    tried = await passage.attempt(route, message, deliveries)

A host that could not be reached is passed over for a minute, so that a dead one costs one message its time-out and not
each of a thousand. That is memory of this process and only a hint; the schedule of tries is in the store. A host that
others talk to at this moment and that does not answer is not dead but crowded: `Tried.crowded` says so.

A host that does not offer what the message needs (8BITMIME, SMTPUTF8, its SIZE), or takes none at all (RFC 7504), has
said nothing about this message: it is given up for that only when no host is left that may take it, now or later.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from posthouse.mail.delivery import Attempt, Delivery, Outcome
from posthouse.mail.instant import Clock
from posthouse.mail.journey import Fact, Stamp, Step
from posthouse.mail.reply import Reply
from posthouse.route.courier import Courier, Handover, Parcel
from posthouse.route.exchanges import Host, Hosts, NoRoute
from posthouse.route.settlement import outcome_of
from posthouse.store.blobs import Blobs
from posthouse.store.ids import to_text
from posthouse.store.queue import QueuedMessage

# For one message, this many hosts are talked to before it waits for its next time (those not reached do not count).
_SESSIONS = 2
# Seconds for which an unreachable host is passed over, and for which one that was reached counts as alive.
_REMEMBERED = 60.0

_Key = tuple[str, int]


@dataclass(slots=True)
class Tried:
    """What came of a try: the last attempt for each delivery, by index.

    `unaware`: those taken by a host that does not keep RFC 3461. `stamps`: the route, and attempts that were not the
    last. `crowded`: no host took the conversation up, though one of them did with somebody else a moment ago.
    """

    attempts: dict[int, Attempt] = field(default_factory=dict)
    unaware: set[int] = field(default_factory=set)
    stamps: list[Stamp] = field(default_factory=list)
    crowded: bool = False


class Passage:
    """Hands messages over to hosts; shared by all lanes of a relay."""

    def __init__(self, blobs: Blobs, courier: Courier, clock: Clock) -> None:
        self._blobs = blobs
        self._courier = courier
        self._clock = clock
        self._down: dict[_Key, tuple[float, Attempt]] = {}
        self._alive: dict[_Key, float] = {}

    async def attempt(
        self, domain: str, route: Hosts | NoRoute, message: QueuedMessage, deliveries: Sequence[Delivery]
    ) -> Tried:
        """One try for all `deliveries`, at most 100, to one domain. Raises `StoreFault` for a body that is gone."""
        if isinstance(route, NoRoute):
            return self.same(deliveries, route.reply)
        tried = Tried()
        facts: dict[str, Fact] = {"domain": domain, "hosts": [host.name for host in route.hosts], "how": route.how}
        tried.stamps.append(Stamp(self._clock(), Step.ROUTE, facts))
        hosts, passed_over = self._reachable(route.hosts)
        if not hosts:
            self._not_again(_hopeful(passed_over) or passed_over[0], range(len(deliveries)), tried)
            return tried
        content = await self._blobs.load(message.blob_id)
        parcel = Parcel(message.envelope, message.prefix, content)
        unasked = await self._hand_over(hosts, parcel, deliveries, tried)
        hopeful = _hopeful(passed_over)
        if unasked and hopeful is not None:
            tried.stamps += [_stamp(deliveries[index], tried.attempts[index]) for index in unasked]
            self._not_again(hopeful, unasked, tried)
        return tried

    def forget(self) -> None:
        """No host is passed over any more: somebody says that it is time to try."""
        self._down.clear()

    def same(self, deliveries: Sequence[Delivery], reply: Reply) -> Tried:
        """The same result of ours for every recipient; no host was asked."""
        attempt = Attempt(self._clock(), outcome_of(reply.code), "", "", "", reply)
        return Tried(dict.fromkeys(range(len(deliveries)), attempt))

    async def _hand_over(
        self, hosts: Sequence[Host], parcel: Parcel, deliveries: Sequence[Delivery], tried: Tried
    ) -> list[int]:
        """Goes from host to host. Gives those who are to fail although no host was asked about them."""
        left = list(range(len(deliveries)))
        sessions = 0
        crowded = False
        asked = False
        for host in hosts:
            handover = await self._courier.deliver(host, parcel, [deliveries[i].rcpt for i in left])
            asks = handover.reached and not handover.unfit
            asked = asked or asks
            for index, attempt in zip(left, handover.attempts, strict=True):
                last = tried.attempts.get(index)
                if last is not None:
                    if not asks and attempt.outcome is Outcome.PERMANENT and last.outcome is Outcome.TRANSIENT:
                        # Who said "later", or could not be reached, may take it yet.
                        last, attempt = attempt, last
                    tried.stamps.append(_stamp(deliveries[index], last))
                tried.attempts[index] = attempt
                if attempt.outcome is Outcome.DELIVERED and not handover.dsn:
                    tried.unaware.add(index)
            crowded = self._remember(host, handover) or crowded
            if handover.final:
                return []
            if asks:
                sessions += 1
                left = [i for i in left if tried.attempts[i].outcome is Outcome.TRANSIENT]
            if not left or sessions >= _SESSIONS:
                return []
        tried.crowded = crowded and not sessions
        return [] if asked else [i for i in left if tried.attempts[i].outcome is Outcome.PERMANENT]

    def _reachable(self, hosts: Sequence[Host]) -> tuple[Sequence[Host], list[Attempt]]:
        """Those to be asked, and of those passed over what they said last."""
        if not self._down:
            return hosts, []
        now = asyncio.get_running_loop().time()
        self._down = {key: value for key, value in self._down.items() if value[0] > now}
        keys = [(host.name, host.port) for host in hosts]
        passed_over = [self._down[key][1] for key in keys if key in self._down]
        return [host for host, key in zip(hosts, keys, strict=True) if key not in self._down], passed_over

    def _remember(self, host: Host, handover: Handover) -> bool:
        """Notes how it went; True where the host is alive and yet did not take this conversation up."""
        key = (host.name, host.port)
        now = asyncio.get_running_loop().time()
        if handover.reached:
            self._alive[key] = now
            return False
        if now - self._alive.get(key, -_REMEMBERED) < _REMEMBERED:
            return True
        self._alive = {key: at for key, at in self._alive.items() if now - at < _REMEMBERED}
        self._down[key] = (now + _REMEMBERED, handover.attempts[0])
        return False

    def _not_again(self, last: Attempt, indexes: Iterable[int], tried: Tried) -> None:
        """A host's last answer once more, without having asked."""
        words = f"{last.reply.text} (a moment ago, not tried again yet)"
        again = replace(last, at=self._clock(), reply=replace(last.reply, text=words, heard=False))
        tried.attempts.update(dict.fromkeys(indexes, again))


def _hopeful(passed_over: Sequence[Attempt]) -> Attempt | None:
    """What the first host said that is not given up for ever."""
    return next((attempt for attempt in passed_over if attempt.outcome is Outcome.TRANSIENT), None)


def _stamp(delivery: Delivery, attempt: Attempt) -> Stamp:
    """An attempt that was not the last of its try is told in the journey only."""
    facts: dict[str, Fact] = {
        "delivery": to_text(delivery.delivery_id),
        "address": str(delivery.rcpt.address),
        "host": attempt.host,
        "ip": attempt.ip,
        "tls": attempt.tls,
        "reply": str(attempt.reply),
        "outcome": attempt.outcome.value,
    }
    return Stamp(attempt.at, Step.ATTEMPT, facts)
