"""The `Fetch` port on the real web: the one place from which a document is fetched that a stranger points to.

    fetcher = Fetcher(dns.within(20), tls.verified())
    octets = await fetcher.get("https://a.example/logo.svg", limit=100_000)      # FetchFault tells why not

Whoever can make a server ask for something can make it ask what only it can reach. So a host is looked up once, by the
house's own resolver; where one of its addresses is not of the internet (`mail.internet`), nothing is asked at all; the
connection goes to the very address that was looked at, under the name that was asked for, and its certificate has to
be valid for that name. Ports are 443 and 80 and no other; there are no addresses, users or passwords in URLs. A
redirection is a new question with all of these rules, is followed `REDIRECTS` times, and never from https to http. A
document has an end, in octets and in time. Nothing of a proxy, a cookie or a cache of others: one GET, one answer.
"""

import asyncio
import re
import ssl
from collections.abc import Collection, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, NamedTuple
from urllib.parse import urljoin, urlsplit

import h11

from posthouse.mail.dns import Dns, DnsFault
from posthouse.mail.fetch import FetchFault
from posthouse.mail.internet import is_public

SECONDS: Final = 20.0
"""For a document, with all lookups and redirections."""
REDIRECTS: Final = 3
AT_ONCE: Final = 4
"""Documents that are fetched at the same time; who comes then waits."""

_CONNECT_SECONDS: Final = 5.0
_ADDRESSES: Final = 3
_URL_CHARACTERS: Final = 2_000
_HEADER_OCTETS: Final = 16 * 1024
# Of answers that announce the answer, no more are read.
_INFORMATION: Final = 5
_PIECE: Final = 16 * 1024
_PORTS: Final = {"https": 443, "http": 80}
_AGENT: Final = "Posthouse"

_is_url = re.compile(r"https?://[!-~]+", re.IGNORECASE).fullmatch
# A last label of digits alone would be an address, in one of the many ways to write one.
_is_host = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
).fullmatch

Network = IPv4Network | IPv6Network


class Fetcher:
    """Keeps `mail.fetch.Fetch` for one event loop."""

    def __init__(
        self,
        dns: Dns,
        context: ssl.SSLContext,
        *,
        redirects: int = REDIRECTS,
        allowed: Collection[Network] = (),
        ports: Mapping[int, int] | None = None,
    ) -> None:
        """`context` checks certificates and names; `redirects` are followed. For a laboratory alone: `allowed` are
        networks that count as public, and `ports` says which other ports 443 and 80 are there."""
        if not context.check_hostname or context.verify_mode is not ssl.CERT_REQUIRED:
            raise ValueError("documents are fetched only where names and certificates are checked")
        self._dns = dns
        self._context = context
        self._redirects = redirects
        self._allowed = tuple(allowed)
        self._ports = dict(ports or {})
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def get(self, url: str, *, limit: int) -> bytes:
        """See `mail.fetch.Fetch`; `limit` in octets."""
        async with self._turns:
            try:
                async with asyncio.timeout(SECONDS):
                    return await self._follow(url, limit)
            except TimeoutError:
                raise FetchFault(f"it did not come within {SECONDS:.0f} seconds", temporary=True) from None

    async def _follow(self, url: str, limit: int) -> bytes:
        place = _place(url)
        for _ in range(self._redirects + 1):
            answer = await self._ask(place, limit)
            if isinstance(answer, bytes):
                return answer
            onward = _place(urljoin(place.url, answer.location))
            if place.scheme == "https" and onward.scheme != "https":
                raise FetchFault("it leads to a place without encryption", temporary=False)
            place = onward
        often = f"more than {self._redirects} times" if self._redirects else "to another place, which is not followed"
        raise FetchFault(f"it leads on {often}", temporary=False)

    async def _ask(self, place: "_Place", limit: int) -> "bytes | _Redirection":
        reader, writer = await self._connect(place)
        try:
            return await _Exchange(reader, writer, place, limit).run()
        except ssl.SSLError as error:
            raise FetchFault(f"the connection to {place.host} broke: {error.reason}", temporary=True) from None
        except (OSError, EOFError):
            raise FetchFault(f"the connection to {place.host} broke", temporary=True) from None
        except h11.ProtocolError as error:
            raise FetchFault(f"{place.host} does not speak HTTP: {error}", temporary=False) from None
        finally:
            # There is nothing left to say, and nobody waits for a goodbye.
            writer.transport.abort()

    async def _connect(self, place: "_Place") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        port = self._ports.get(_PORTS[place.scheme], _PORTS[place.scheme])
        context, name = (self._context, place.host) if place.scheme == "https" else (None, None)
        for ip in (await self._addresses(place.host))[:_ADDRESSES]:
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    return await asyncio.open_connection(ip, port, limit=_PIECE, ssl=context, server_hostname=name)
            except ssl.SSLCertVerificationError as error:
                reason = f"the certificate of {place.host} is not valid: {error.verify_message}"
                raise FetchFault(reason, temporary=False) from None
            except (OSError, TimeoutError):
                # ssl.SSLError is an OSError, too.
                continue
        raise FetchFault(f"{place.host} cannot be reached", temporary=True)

    async def _addresses(self, host: str) -> list[str]:
        """Where the host is, if all of its addresses are such that we may go there."""
        found: list[str] = []
        fault: DnsFault | None = None
        for ask in (self._dns.a, self._dns.aaaa):
            try:
                found += (await ask(host)).records
            except DnsFault as error:
                fault = error
        if not found and fault is not None:
            raise FetchFault(f"the DNS gave no answer about {host}", temporary=True)
        if not found:
            raise FetchFault(f"there is no host {host}", temporary=False)
        if not all(self._may_go(ip) for ip in found):
            # Whoever mixes them means to lead us astray; which one we would take must not be left to chance.
            raise FetchFault(f"{host} has an address outside the public internet", temporary=False)
        return found

    def _may_go(self, ip: str) -> bool:
        return is_public(ip) or any(ip_address(ip) in network for network in self._allowed)


class _Place(NamedTuple):
    """A URL that may be asked for; `target` is what the request says."""

    url: str
    scheme: str
    host: str
    target: str


class _Redirection(NamedTuple):
    location: str


def _place(url: str) -> _Place:
    """The parts of a URL. Raises FetchFault for one that is not asked for."""
    try:
        parts = urlsplit(url) if len(url) <= _URL_CHARACTERS and _is_url(url) else None
        port = parts.port if parts is not None else None
    except ValueError:
        parts = port = None
    if parts is None:
        raise FetchFault("its URL is malformed", temporary=False)
    host, scheme = (parts.hostname or "").rstrip("."), parts.scheme.lower()
    if parts.username is not None or parts.password is not None or port not in (None, _PORTS[scheme]):
        raise FetchFault("its URL has a user or a port", temporary=False)
    if _is_host(host) is None:
        raise FetchFault("its URL names no host", temporary=False)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Place(f"{scheme}://{host}{target}", scheme, host, target)


class _Exchange:
    """One request and its answer."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: _Place, limit: int
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._place = place
        self._limit = limit
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEADER_OCTETS)
        self._ended = False

    async def run(self) -> bytes | _Redirection:
        """The body of a 200, or where else it is. Raises FetchFault, OSError, EOFError, h11.ProtocolError."""
        headers = [
            ("Host", self._place.host), ("User-Agent", _AGENT), ("Accept", "*/*"), ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]  # fmt: skip
        request = h11.Request(method="GET", target=self._place.target, headers=headers)
        self._writer.write(self._http.send(request) + self._http.send(h11.EndOfMessage()))
        answer = await self._event()
        for _ in range(_INFORMATION):
            if not isinstance(answer, h11.InformationalResponse):
                break
            answer = await self._event()
        if not isinstance(answer, h11.Response):
            raise EOFError
        return self._elsewhere(answer) or await self._body(answer)

    def _elsewhere(self, answer: h11.Response) -> _Redirection | None:
        """Raises FetchFault unless the answer holds the document or the place of it."""
        status, host = answer.status_code, self._place.host
        fields = {name.lower(): value for name, value in answer.headers}
        if status in (301, 302, 303, 307, 308) and b"location" in fields:
            return _Redirection(fields[b"location"].decode("ascii", "replace"))
        if status != 200:
            passing = status >= 500 or status in (408, 425, 429)
            raise FetchFault(f"{host} answers {status}", temporary=passing)
        if fields.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
            # It was asked not to: so nothing that is sent can become larger than it was.
            raise FetchFault(f"{host} sends it packed", temporary=False)
        length = fields.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._limit:
            raise FetchFault(f"it has more than {self._limit:,} octets", temporary=False)
        return None

    async def _body(self, answer: h11.Response) -> bytes:
        octets = bytearray()
        while not isinstance(event := await self._event(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                raise EOFError
            octets += event.data
            if len(octets) > self._limit:
                raise FetchFault(f"it has more than {self._limit:,} octets", temporary=False)
        return bytes(octets)

    async def _event(self) -> object:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                octets = await self._reader.read(_PIECE)
                self._ended = not octets
                self._http.receive_data(octets)
        except h11.RemoteProtocolError:
            if self._ended:
                # Nothing was wrong with it but that it ended too soon.
                raise EOFError from None
            raise
        return event
