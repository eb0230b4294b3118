"""The `Dns` port on real DNS: UDP, then TCP where an answer was cut; cached within bounds, each question asked once.

    dns = Resolver([("127.0.0.1", 5353)])                # or none: those of /etc/resolv.conf
    answer = await dns.mx("example.org")                 # DnsFault for time-out, SERVFAIL, lame, malformed

It asks a recursive resolver, or an authoritative server (the lab's), and believes only what answers its question:
every question goes out from a port of its own to one server, with a random id; whatever does not come from there, or
carries another id or question, is passed over and the waiting goes on. CNAME chains are followed within the answer, and
asked on where the answer ends, up to `CNAME_HOPS`. The octets of a message are read by dnspython.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import dns.reversename
import dns.rrset

from posthouse.mail.dns import Answer, DnsFault, Mx, Tlsa

CNAME_HOPS = 8
PAYLOAD = 1232  # what passes everywhere unfragmented
ASKED_AT_ONCE = 256
TRY_SECONDS = (1.5, 3.0, 6.0)  # patience with one server, round by round
TTL_MOST = 86_400
# RFC 2308 §5: up to three hours are sensible; a domain that is being set up should not wait that long.
NEGATIVE_TTL_MOST = 900
CACHE_ENTRIES = 20_000
CACHE_OCTETS = 16 * 1024 * 1024
ENTRY_OCTETS = 500  # what an entry costs besides its records

_HEADER_OCTETS = 12
_CUT = 0x82  # QR and TC in the third octet of a message (RFC 1035 §4.1.1)

Server = tuple[str, int]


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
        self._kept[key] = (answer, now + answer.ttl, octets + ENTRY_OCTETS)
        self._held += octets + ENTRY_OCTETS
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
        """`timeout` in seconds for one question, all tries together. `counted(type, result)` hears of every question
        that is really asked: `found`, `empty`, `missing` or `fault`."""
        self._servers = tuple(servers) or system_servers()
        self._timeout = timeout
        self._trust_ad = trust_ad
        self._counted = counted
        self._clock = clock
        self._cache = Cache()
        self._asked: dict[tuple[str, int], asyncio.Task[Answer[Any]]] = {}
        self._slots = asyncio.Semaphore(ASKED_AT_ONCE)

    async def a(self, name: str) -> Answer[str]:
        return await self._ask(name, dns.rdatatype.A)

    async def aaaa(self, name: str) -> Answer[str]:
        return await self._ask(name, dns.rdatatype.AAAA)

    async def mx(self, name: str) -> Answer[Mx]:
        return await self._ask(name, dns.rdatatype.MX)

    async def txt(self, name: str) -> Answer[bytes]:
        return await self._ask(name, dns.rdatatype.TXT)

    async def ptr(self, ip: str) -> Answer[str]:
        """The names of an address. ValueError where `ip` is none."""
        return await self._ask(str(ip_address(ip).reverse_pointer), dns.rdatatype.PTR)

    async def tlsa(self, name: str) -> Answer[Tlsa]:
        return await self._ask(name, dns.rdatatype.TLSA)

    async def close(self) -> None:
        """Ends every question under way; whoever waits for one gets a `DnsFault`."""
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> Answer[Any]:
        key = (name.lower().rstrip("."), int(kind))
        answer = self._cache.get(key, self._clock())
        if answer is not None:
            return answer
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.get_running_loop().create_task(self._find(key[0], kind))
            task.add_done_callback(lambda done: self._done(key, done))
        try:
            # Whoever gives up waiting leaves the question to the others.
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise DnsFault("the resolver was closed") from None
            raise

    def _done(self, key: tuple[str, int], task: "asyncio.Task[Answer[Any]]") -> None:
        del self._asked[key]
        if task.cancelled():
            return
        fault = task.exception()  # looked at, so that nobody complains when all who asked are gone
        if self._counted is not None:
            if fault is not None:
                result = "fault"
            else:
                answer = task.result()
                result = "found" if answer.records else "empty" if answer.exists else "missing"
            self._counted(dns.rdatatype.to_text(dns.rdatatype.RdataType(key[1])), result)

    async def _find(self, name: str, kind: dns.rdatatype.RdataType) -> Answer[Any]:
        question = _question(name)
        if question is None:
            return Answer((), exists=False)
        try:
            async with asyncio.timeout(self._timeout):
                answer, octets = await self._follow(question, kind)
        except TimeoutError:
            raise DnsFault(f"no answer about {name} within {self._timeout:g} seconds") from None
        self._cache.put((name, int(kind)), answer, octets, self._clock())
        return answer

    async def _follow(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> tuple[Answer[Any], int]:
        """Ask, and ask on where a CNAME leads out of the answer; gives the answer and the octets it took."""
        hops = octets = 0
        ttl = TTL_MOST
        secure = self._trust_ad
        while True:
            message, size = await self._exchange(name, kind)
            octets += size
            secure = secure and bool(message.flags & dns.flags.AD)
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

    async def _exchange(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> "_Response":
        """One question to the servers in turn, until one gives an answer that counts. Only silence is asked again."""
        fault = DnsFault(f"no server can answer about {_text(name)}")
        servers = self._servers
        async with self._slots:
            for seconds in TRY_SECONDS:
                silent = []
                for server in servers:
                    try:
                        response = await self._try(name, kind, server, seconds)
                    except _Silence as error:
                        fault = error
                        silent.append(server)
                    except DnsFault as error:
                        fault = error
                    else:
                        self._prefer(server)
                        return response
                servers = tuple(silent)
        raise fault

    def _prefer(self, server: Server) -> None:
        """The one that answered is asked first from now on."""
        if self._servers[0] != server:
            self._servers = (server, *(other for other in self._servers if other != server))

    async def _try(
        self, name: dns.name.Name, kind: dns.rdatatype.RdataType, server: Server, seconds: float
    ) -> "_Response":
        """One question to one server. DnsFault for silence and for answers that are none."""
        for edns in (True, False):
            query = _query(name, kind, edns, self._trust_ad)
            try:
                async with asyncio.timeout(seconds):
                    response = await _by_datagram(query, server) or await _by_stream(query, server)
            except TimeoutError:
                raise _Silence(f"{server[0]} gave no answer about {_text(name)}") from None
            except (OSError, EOFError) as error:
                raise DnsFault(f"{server[0]} cannot be asked about {_text(name)}: {error}") from None
            message = response.message
            rcode = message.rcode()
            if edns and rcode in (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS):
                # RFC 6891 §7: it does not know EDNS.
                continue
            if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                raise DnsFault(f"{server[0]} answered {dns.rcode.to_text(rcode)} about {_text(name)}")
            if not message.answer and not message.flags & (dns.flags.AA | dns.flags.RA):
                # RFC 1912 §2.8: lame; it neither knows the zone nor looks further.
                raise DnsFault(f"{server[0]} does not know {_text(name)}, and asks nobody else")
            return response
        raise DnsFault(f"{server[0]} does not understand the question about {_text(name)}")


def system_servers() -> tuple[Server, ...]:
    """The resolvers in /etc/resolv.conf; where that says nothing, the one on this machine (resolv.conf(5))."""
    try:
        found = dns.resolver.Resolver(configure=True).nameservers
    except dns.exception.DNSException:
        found = []
    return tuple((str(server), 53) for server in found) or (("127.0.0.1", 53),)


def _question(name: str) -> dns.name.Name | None:
    """The name as it is asked for; None for one that cannot exist in the DNS."""
    try:
        labels = [label.encode("ascii") for label in name.split(".")]
        return dns.name.Name([*labels, b""]) if all(labels) else None
    except (UnicodeEncodeError, dns.exception.DNSException):
        return None


def _query(
    name: dns.name.Name, kind: dns.rdatatype.RdataType, edns: bool, trust_ad: bool
) -> dns.message.QueryMessage:
    query = dns.message.make_query(name, kind, use_edns=0 if edns else False, payload=PAYLOAD)
    query.id = secrets.randbelow(1 << 16)
    if trust_ad:
        # RFC 6840 §5.7: "tell me whether you validated it".
        query.flags |= dns.flags.AD
    return query


class _Silence(DnsFault):
    """Nothing came in time: worth another try."""


class _Response(NamedTuple):
    message: dns.message.Message
    octets: int


def _read(query: dns.message.QueryMessage, octets: bytes) -> _Response | None:
    """The response in these octets; None where it is none to this query, or broken."""
    try:
        message = dns.message.from_wire(octets, ignore_trailing=True)
        return _Response(message, len(octets)) if query.is_response(message) else None
    except (dns.exception.DNSException, ValueError):
        return None


class _Datagram(asyncio.DatagramProtocol):
    """Waits on a connected socket for the response to one query; None where it was cut."""

    def __init__(self, query: dns.message.QueryMessage) -> None:
        self.query = query
        self.id = query.id.to_bytes(2, "big")
        self.response: asyncio.Future[_Response | None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self.response.done() or data[:2] != self.id or len(data) < _HEADER_OCTETS:
            return
        if data[2] & _CUT == _CUT:
            # What is left of it need not even be whole (RFC 2181 §9).
            self.response.set_result(None)
            return
        response = _read(self.query, data)
        if response is not None:
            self.response.set_result(response)

    def error_received(self, exc: Exception) -> None:
        # ICMP: nobody listens there. No need to wait for the time-out.
        if not self.response.done():
            self.response.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.response.cancel()


async def _by_datagram(query: dns.message.QueryMessage, server: Server) -> _Response | None:
    """None where the answer was cut. OSError where the server cannot be reached."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Datagram(query), remote_addr=server)
    try:
        transport.sendto(query.to_wire())
        return await protocol.response
    finally:
        transport.close()


async def _by_stream(query: dns.message.QueryMessage, server: Server) -> _Response:
    """RFC 1035 §4.2.2. OSError, EOFError where the server cannot be reached; DnsFault for an answer that is none."""
    reader, writer = await asyncio.open_connection(*server)
    try:
        wire = query.to_wire()
        writer.write(len(wire).to_bytes(2, "big") + wire)
        octets = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    finally:
        writer.close()
    # A large answer takes its time to read: nobody else waits for it.
    response = await asyncio.to_thread(_read, query, octets)
    if response is None:
        raise DnsFault(f"{server[0]} answered something else over TCP")
    return response


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
            raise DnsFault(f"a chain of more than {CNAME_HOPS} aliases ends at {_text(name)}")
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
            return tuple(Mx(int(record.preference), _text(record.exchange)) for record in records)
        case dns.rdatatype.TXT:
            # RFC 7208 §3.3, RFC 6376 §3.6.2.2: the strings of one record are joined without a space.
            return tuple(b"".join(record.strings) for record in records)
        case dns.rdatatype.PTR:
            return tuple(_text(record.target) for record in records)
        case _:
            return tuple(Tlsa(int(r.usage), int(r.selector), int(r.mtype), bytes(r.cert)) for r in records)


def _text(name: dns.name.Name) -> str:
    """Lower case, no trailing dot; the root (null MX, RFC 7505) is empty."""
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""
