"""The `Dns` port on real DNS: UDP, then TCP where an answer was cut; cached within bounds, each question asked once.

    dns = Resolver([("127.0.0.1", 5353)])                # or none: those of /etc/resolv.conf
    answer = await dns.mx("example.org")                 # DnsFault for time-out, SERVFAIL, lame, malformed
    hurried = dns.within(20)                             # a `Dns` whose questions all end within 20 seconds from now

It asks a recursive resolver, or an authoritative server (the lab's), and believes only what answers its question:
`upstream` carries the questions. CNAME chains are followed within the answer, and asked on where the answer ends, up
to `CNAME_HOPS`; records that were not asked for are passed over.

Answers are kept for their TTL, "no such name" and "nothing of that type" as the SOA allows (RFC 2308), all within
bounds; identical questions that are asked at the same time go out once. A fault is never kept as an answer; but who
asks `within` a time is told of one that is a few seconds old, instead of waiting for the next. DNSSEC is the word of a
resolver on this machine, where the settings believe it: `Answer.secure` is its AD flag, for the whole chain of aliases.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from posthouse.mail.dns import Answer, Dns, DnsFault, Mx, Tlsa
from posthouse.serve.upstream import Server, Upstream, readable

CNAME_HOPS = 8
TTL_MOST = 86_400
# RFC 2308 §5: up to three hours are sensible; a domain that is being set up should not wait that long.
NEGATIVE_TTL_MOST = 900
CACHE_ENTRIES = 20_000
CACHE_OCTETS = 16 * 1024 * 1024
ENTRY_OCTETS = 500  # what an entry costs besides its records
RECORD_OCTETS = 100  # what a record costs besides its octets
FAULT_SECONDS = 5.0  # so long a fault is told again to those in a hurry
FAULTS_KEPT = 1_000

_A, _AAAA, _MX, _TXT, _PTR, _TLSA = (
    int(dns.rdatatype.from_text(kind)) for kind in ("A", "AAAA", "MX", "TXT", "PTR", "TLSA")
)
# What is asked ahead of time.
_EXPECTED = {"A": _A, "TXT": _TXT, "PTR": _PTR}


class Cache:
    """Answers until their time is over, the least recently used forgotten first."""

    def __init__(self, entries: int = CACHE_ENTRIES, octets: int = CACHE_OCTETS) -> None:
        self._entries = entries
        self._octets = octets
        self._held = 0
        self._kept: OrderedDict[tuple[str, int], tuple[Answer[Any], float, int]] = OrderedDict()

    def get(self, key: tuple[str, int], now: float) -> Answer[Any] | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if now >= kept[1]:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept[0]

    def put(self, key: tuple[str, int], answer: Answer[Any], octets: int, now: float) -> None:
        """Keeps an answer for its `ttl`; `octets` is the size of the message it came in."""
        self._drop(key)
        if answer.ttl <= 0:
            return
        cost = octets + ENTRY_OCTETS + RECORD_OCTETS * len(answer.records)
        self._kept[key] = (answer, now + answer.ttl, cost)
        self._held += cost
        while len(self._kept) > self._entries or self._held > self._octets:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[str, int]) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._held -= kept[2]

    def __len__(self) -> int:
        return len(self._kept)


class Resolver:
    """`posthouse.mail.dns.Dns` for one event loop. Names in, names out: lower case, without the trailing dot."""

    def __init__(
        self,
        servers: Sequence[Server] = (),
        *,
        timeout: float = 10.0,
        trust_ad: bool = False,
        counted: Callable[[str, str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout` in seconds for one question, all tries together. `trust_ad` counts only for servers on loopback
        addresses. `counted(type, result)` hears of every question that is really asked: `found`, `empty`, `missing`
        or `fault`."""
        self._upstream = Upstream(servers, trust_ad=trust_ad)
        self._timeout = timeout
        self._counted = counted
        self._clock = clock
        self._cache = Cache()
        self._asked: dict[tuple[str, int], asyncio.Task[Answer[Any]]] = {}
        self._faults: OrderedDict[tuple[str, int], tuple[str, float]] = OrderedDict()

    # A warm answer costs one look into the cache and no further await: every message asks several.

    async def a(self, name: str) -> Answer[str]:
        return self.warm(name, _A) or await self._ask(name, _A)

    async def aaaa(self, name: str) -> Answer[str]:
        return self.warm(name, _AAAA) or await self._ask(name, _AAAA)

    async def mx(self, name: str) -> Answer[Mx]:
        return self.warm(name, _MX) or await self._ask(name, _MX)

    async def txt(self, name: str) -> Answer[bytes]:
        return self.warm(name, _TXT) or await self._ask(name, _TXT)

    async def ptr(self, ip: str) -> Answer[str]:
        """The names of an address. ValueError where `ip` is none."""
        name = _reverse(ip)
        return self.warm(name, _PTR) or await self._ask(name, _PTR)

    async def tlsa(self, name: str) -> Answer[Tlsa]:
        return self.warm(name, _TLSA) or await self._ask(name, _TLSA)

    def within(self, seconds: float) -> Dns:
        """The same answers for somebody whose time is limited: whatever is not known in `seconds` from now is a
        `DnsFault`, and so is what failed for somebody else a moment ago."""
        return _Hurried(self, self._clock() + seconds)

    def expect(self, kind: str, name: str) -> None:
        """Asks now what somebody will want to know in a moment: `kind` TXT or A of a name, PTR of an address. Never
        raises; ValueError only for PTR of what is no address. While many questions are under way nothing is asked
        ahead: one message with ten names that never answer must not take the place of ten others."""
        number = _EXPECTED[kind]
        name = _reverse(name) if number == _PTR else name
        # Mostly it is known, and written as the cache has it.
        if self.warm(name, number) is not None:
            return
        if self._upstream.is_crowded:
            return
        key = (name.lower().rstrip("."), number)
        if self.warm(*key) is None and key not in self._asked and self._clock() >= self._faults.get(key, ("", 0.0))[1]:
            self._begin(key)

    async def close(self) -> None:
        """Ends every question under way; whoever waits for one gets a `DnsFault`."""
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def warm(self, name: str, kind: int) -> Answer[Any] | None:
        """What is known already of a name written as the cache has it."""
        return self._cache.get((name, kind), self._clock())

    async def _ask(self, name: str, kind: int) -> Answer[Any]:
        key = (name.lower().rstrip("."), kind)
        return self.warm(*key) or await self._wait(key)

    async def ask_until(self, name: str, kind: int, deadline: float) -> Answer[Any]:
        """`_ask` for somebody in a hurry; `deadline` is a time of the resolver's clock."""
        key = (name.lower().rstrip("."), kind)
        answer = self.warm(*key)
        if answer is not None:
            return answer
        now = self._clock()
        words, until = self._faults.get(key, ("", 0.0))
        if now < until:
            raise DnsFault(words)
        late = DnsFault(f"there was no more time to ask about {key[0]}")
        if now >= deadline:
            raise late
        try:
            async with asyncio.timeout(deadline - now):
                return await self._wait(key)
        except TimeoutError:
            raise late from None

    async def _wait(self, key: tuple[str, int]) -> Answer[Any]:
        """The answer from a server; asked by whoever comes first."""
        if key not in self._asked:
            self._begin(key)
        task = self._asked[key]
        try:
            # Whoever gives up waiting leaves the question to the others.
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise DnsFault("the resolver was closed") from None
            raise

    def _begin(self, key: tuple[str, int]) -> None:
        """Puts a question on its way."""
        task = self._asked[key] = asyncio.get_running_loop().create_task(self._find(*key))
        task.add_done_callback(lambda done: self._done(key, done))

    def _done(self, key: tuple[str, int], task: "asyncio.Task[Answer[Any]]") -> None:
        del self._asked[key]
        if task.cancelled():
            return
        fault = task.exception()  # looked at, so that nobody complains when all who asked are gone
        self._faults.pop(key, None)
        if fault is not None:
            self._faults[key] = (str(fault), self._clock() + FAULT_SECONDS)
            if len(self._faults) > FAULTS_KEPT:
                self._faults.popitem(last=False)
        if self._counted is not None:
            if fault is not None:
                result = "fault"
            else:
                answer = task.result()
                result = "found" if answer.records else "empty" if answer.exists else "missing"
            self._counted(dns.rdatatype.to_text(dns.rdatatype.RdataType(key[1])), result)

    async def _find(self, name: str, number: int) -> Answer[Any]:
        kind = dns.rdatatype.RdataType(number)
        question = _question(name)
        if question is None:
            return Answer((), exists=False)
        try:
            async with asyncio.timeout(self._timeout):
                answer, octets = await _follow(self._upstream, question, kind)
        except TimeoutError:
            raise DnsFault(f"no answer about {name} within {self._timeout:g} seconds") from None
        self._cache.put((name, number), answer, octets, self._clock())
        return answer


class _Hurried:
    """`Resolver.within`: a `Dns` that ends at a time."""

    __slots__ = ("_deadline", "_resolver")

    def __init__(self, resolver: Resolver, deadline: float) -> None:
        self._resolver = resolver
        self._deadline = deadline

    async def a(self, name: str) -> Answer[str]:
        return self._resolver.warm(name, _A) or await self._resolver.ask_until(name, _A, self._deadline)

    async def aaaa(self, name: str) -> Answer[str]:
        return self._resolver.warm(name, _AAAA) or await self._resolver.ask_until(name, _AAAA, self._deadline)

    async def mx(self, name: str) -> Answer[Mx]:
        return self._resolver.warm(name, _MX) or await self._resolver.ask_until(name, _MX, self._deadline)

    async def txt(self, name: str) -> Answer[bytes]:
        return self._resolver.warm(name, _TXT) or await self._resolver.ask_until(name, _TXT, self._deadline)

    async def ptr(self, ip: str) -> Answer[str]:
        name = _reverse(ip)
        return self._resolver.warm(name, _PTR) or await self._resolver.ask_until(name, _PTR, self._deadline)

    async def tlsa(self, name: str) -> Answer[Tlsa]:
        return self._resolver.warm(name, _TLSA) or await self._resolver.ask_until(name, _TLSA, self._deadline)


@lru_cache(maxsize=4096)
def _reverse(ip: str) -> str:
    """The name under which the names of an address stand. ValueError."""
    return str(ip_address(ip).reverse_pointer)


def _question(name: str) -> dns.name.Name | None:
    """The name as it is asked for; None for one that cannot exist in the DNS."""
    try:
        labels = [label.encode("ascii") for label in name.split(".")]
        return dns.name.Name([*labels, b""]) if all(labels) else None
    except (UnicodeEncodeError, dns.exception.DNSException):
        return None


async def _follow(
    upstream: Upstream, name: dns.name.Name, kind: dns.rdatatype.RdataType
) -> tuple[Answer[Any], int]:
    """Ask, and ask on where a CNAME leads out of the answer; gives the answer and the octets it took."""
    hops = octets = 0
    ttl = TTL_MOST
    secure = True
    while True:
        reply = await upstream.ask(name, kind)
        message = reply.message
        octets += reply.octets
        secure = secure and reply.secure
        target, records, hops, least = _walk(message, name, kind, hops)
        ttl = min(ttl, least)
        if records is not None:
            return Answer(_values(records, kind), secure=secure, ttl=ttl), octets
        negative = _negative_ttl(message)
        missing = message.rcode() == dns.rcode.NXDOMAIN
        if missing or target == name or negative is not None:
            ttl = min(ttl, negative or 0)
            return Answer((), exists=not missing, secure=secure, ttl=ttl), octets
        name = target


def _walk(
    message: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType, hops: int
) -> tuple[dns.name.Name, dns.rrset.RRset | None, int, int]:
    """Follow the CNAMEs inside one answer: (where they end, the records there, hops so far, the least TTL)."""
    ttl = TTL_MOST
    while True:
        records = message.get_rrset(message.answer, name, dns.rdataclass.IN, kind)
        if records:
            return name, records, hops, min(ttl, records.ttl)
        alias = message.get_rrset(message.answer, name, dns.rdataclass.IN, dns.rdatatype.CNAME)
        if not alias:
            return name, None, hops, ttl
        hops += 1
        if hops > CNAME_HOPS:
            raise DnsFault(f"a chain of more than {CNAME_HOPS} aliases ends at {readable(name)}")
        ttl = min(ttl, alias.ttl)
        name = alias[0].target


def _negative_ttl(message: dns.message.Message) -> int | None:
    """RFC 2308 §5: how long nothing stays nothing, by the SOA record; None without one."""
    for rrset in message.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return int(min(rrset.ttl, rrset[0].minimum, NEGATIVE_TTL_MOST))
    return None


def _values(records: dns.rrset.RRset, kind: dns.rdatatype.RdataType) -> tuple[Any, ...]:
    match kind:
        case dns.rdatatype.A | dns.rdatatype.AAAA:
            return tuple(str(record.address) for record in records)
        case dns.rdatatype.MX:
            return tuple(Mx(int(record.preference), readable(record.exchange)) for record in records)
        case dns.rdatatype.TXT:
            # RFC 7208 §3.3, RFC 6376 §3.6.2.2: the strings of one record are joined without a space.
            return tuple(b"".join(record.strings) for record in records)
        case dns.rdatatype.PTR:
            return tuple(readable(record.target) for record in records)
        case _:
            return tuple(Tlsa(int(r.usage), int(r.selector), int(r.mtype), bytes(r.cert)) for r in records)
