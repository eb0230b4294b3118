"""DNS questions on the wire: to one of our resolvers, by datagram, by stream where the answer was cut.

    upstream = Upstream([("127.0.0.1", 53)])
    reply = await upstream.ask(dns.name.from_text("example.org"), dns.rdatatype.MX)     # DnsFault

Every question goes out from a port of its own to one server, with a random id; whatever does not come from there, or
carries another id or question, is passed over and the waiting goes on. A server that is silent is asked again, one
that fails is not. No more than `ASKED_AT_ONCE` questions are under way. The octets are read by dnspython.
"""

import asyncio
import secrets
from collections.abc import Sequence
from ipaddress import ip_address
from typing import NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver

from posthouse.mail.dns import DnsFault

PAYLOAD = 1232  # what passes everywhere unfragmented
ASKED_AT_ONCE = 256
TRY_SECONDS = (1.5, 3.0, 6.0)  # patience with one server, round by round

_HEADER_OCTETS = 12
_CUT = 0x82  # QR and TC in the third octet of a message (RFC 1035 §4.1.1)

Server = tuple[str, int]


class Reply(NamedTuple):
    """An answer that counts. `secure`: validated by a resolver that is believed."""

    message: dns.message.Message
    octets: int
    secure: bool


class Upstream:
    """The servers that we ask, the one that answered last first."""

    def __init__(self, servers: Sequence[Server] = (), *, trust_ad: bool = False) -> None:
        """None given: those of the system. `trust_ad` counts only for servers on loopback addresses."""
        self._servers = tuple(servers) or system_servers()
        self._trust_ad = trust_ad
        self._slots = asyncio.Semaphore(ASKED_AT_ONCE)
        self._asking = 0

    @property
    def is_crowded(self) -> bool:
        """Whether half of the questions that may be asked at once are under way: time to ask only what is needed."""
        return self._asking * 2 >= ASKED_AT_ONCE

    async def ask(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> Reply:
        """One question to the servers in turn, until one gives an answer that counts. Only silence is asked again.

        DnsFault where none does.
        """
        self._asking += 1
        try:
            async with self._slots:
                return await self._ask(name, kind)
        finally:
            self._asking -= 1

    async def _ask(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> Reply:
        fault = DnsFault(f"no server can answer about {readable(name)}")
        servers = self._servers
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
    ) -> Reply:
        """One question to one server. DnsFault for silence and for answers that are none."""
        for edns in (True, False):
            trusted = self._trust_ad and _is_near(server[0])
            query = _query(name, kind, edns, trusted)
            try:
                async with asyncio.timeout(seconds):
                    message, octets = await _by_datagram(query, server) or await _by_stream(query, server)
            except TimeoutError:
                raise _Silence(f"{server[0]} gave no answer about {readable(name)}") from None
            except (OSError, EOFError) as error:
                raise DnsFault(f"{server[0]} cannot be asked about {readable(name)}: {error}") from None
            rcode = message.rcode()
            if edns and rcode in (dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS):
                # RFC 6891 §7: it does not know EDNS.
                continue
            if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                raise DnsFault(f"{server[0]} answered {dns.rcode.to_text(rcode)} about {readable(name)}")
            if not message.answer and not message.flags & (dns.flags.AA | dns.flags.RA):
                # RFC 1912 §2.8: lame; it neither knows the zone nor looks further.
                raise DnsFault(f"{server[0]} does not know {readable(name)}, and asks nobody else")
            # RFC 6840 §5.8: AD is worth what the way to the resolver is worth.
            return Reply(message, octets, trusted and bool(message.flags & dns.flags.AD))
        raise DnsFault(f"{server[0]} does not understand the question about {readable(name)}")


def system_servers() -> tuple[Server, ...]:
    """The resolvers in /etc/resolv.conf; where that says nothing, the one on this machine (resolv.conf(5))."""
    try:
        found = dns.resolver.Resolver(configure=True).nameservers
    except dns.exception.DNSException:
        found = []
    return tuple((str(server), 53) for server in found) or (("127.0.0.1", 53),)


def _is_near(host: str) -> bool:
    """Whether nobody but this machine can have a hand in what comes from there."""
    return ip_address(host.partition("%")[0]).is_loopback


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


_Read = tuple[dns.message.Message, int]  # with its size in octets


def _read(query: dns.message.QueryMessage, octets: bytes) -> _Read | None:
    """The response in these octets; None where it is none to this query, or broken."""
    try:
        message = dns.message.from_wire(octets, ignore_trailing=True)
        return (message, len(octets)) if query.is_response(message) else None
    except (dns.exception.DNSException, ValueError):
        return None


class _Datagram(asyncio.DatagramProtocol):
    """Waits on a connected socket for the response to one query; None where it was cut."""

    def __init__(self, query: dns.message.QueryMessage) -> None:
        self.query = query
        self.id = query.id.to_bytes(2, "big")
        self.response: asyncio.Future[_Read | None] = asyncio.get_running_loop().create_future()

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


async def _by_datagram(query: dns.message.QueryMessage, server: Server) -> _Read | None:
    """None where the answer was cut. OSError where the server cannot be reached."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Datagram(query), remote_addr=server)
    try:
        transport.sendto(query.to_wire())
        return await protocol.response
    finally:
        transport.close()


async def _by_stream(query: dns.message.QueryMessage, server: Server) -> _Read:
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


def readable(name: dns.name.Name) -> str:
    """Lower case, no trailing dot; the root (null MX, RFC 7505) is empty."""
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""
