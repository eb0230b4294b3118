"""The pages: / says what runs here, /healthz whether it does, /metrics counts it for Prometheus.

    site = Site(hostname, facts)               # `facts` asks the house, see `Facts`
    door = site.door                           # for serve.listener, on http and https

Starlette answers; uvicorn's HTTP/1.1 protocol speaks, inside the house's own loop and behind its own listener, so that
connections are counted, bounded and drained like all others. Every connection has to bring its request, whole, and
take the answer within `REQUEST_SECONDS`; header fields are bounded, bodies are not read. Pages are self-contained: no
script, no outside resource, and a policy that forbids them. /metrics and the numbers on the page are for the networks
that the settings name; others learn host name, version and services, which any greeting tells as well.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from email.utils import formatdate
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Protocol, cast

import h11
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from posthouse.web.status import STYLE_HASH, Status, page

REQUEST_SECONDS = 30.0
HEADER_OCTETS = 16 * 1024
KEEP_ALIVE_SECONDS = 5

Network = IPv4Network | IPv6Network

_QUIET = logging.getLogger("posthouse.web")  # what a client does wrong is no event of ours
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False

_FIELDS = [
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'".encode(),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class Facts(Protocol):
    """What the pages ask of the house. Never raises: what cannot be known is unhealthy, or left out."""

    async def status(self) -> Status: ...
    async def metrics(self) -> bytes: ...


class Arrival(Protocol):
    """A connection as the listener announces it."""

    def over(self) -> None: ...


class Site:
    """The pages of one host."""

    def __init__(
        self,
        hostname: str,
        facts: Facts,
        metrics_from: Sequence[Network] = (),
        *,
        failed: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        """`failed` hears of what goes wrong within; the client reads "Internal Server Error" and nothing else."""
        self._hostname = hostname
        self._facts = facts
        self._metrics_from = tuple(metrics_from)
        routes = [Route("/", self._page), Route("/healthz", self._health), Route("/metrics", self._metrics)]
        self._config = Config(
            _Wrapped(Starlette(routes=routes), frozenset({hostname, "localhost"}), failed),
            http=H11Protocol,
            ws="none",
            loop="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            h11_max_incomplete_event_size=HEADER_OCTETS,
        )
        self._config.load()
        self._state = ServerState()
        self._failed = failed

    def door(self, arrival: Arrival) -> "HttpConversation":
        """A conversation for a connection that was accepted."""
        return HttpConversation(arrival, self._config, self._state, self._failed)

    async def _page(self, request: Request) -> Response:
        status = await self._facts.status()
        return HTMLResponse(page(self._hostname, status, numbers=self._may_read_numbers(request)))

    async def _health(self, request: Request) -> Response:
        status = await self._facts.status()
        return PlainTextResponse("ok\n" if status.healthy else "unwell\n", 200 if status.healthy else 503)

    async def _metrics(self, request: Request) -> Response:
        if not self._may_read_numbers(request):
            return PlainTextResponse("Not for this address.\n", 403)
        return Response(await self._facts.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def _may_read_numbers(self, request: Request) -> bool:
        if request.client is None:
            return False
        address = ip_address(request.client.host.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._metrics_from)


class _Wrapped:
    """Looks at every request before and every response after the pages: host, method, header fields."""

    def __init__(self, app: ASGIApp, names: frozenset[str], failed: Callable[[Exception], None]) -> None:
        self._app = app
        self._names = names
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                now = formatdate(usegmt=True).encode()
                message = {**message, "headers": [*message.get("headers", ()), *_FIELDS, (b"date", now)]}
            await send(message)

        app: ASGIApp = self._app
        if not _is_ours(scope, self._names):
            # RFC 9110 §15.5.20. A page elsewhere whose name was pointed at this address reads nothing here.
            app = PlainTextResponse("This host does not answer to that name.\n", 421)
        try:
            await app(scope, receive, send_with_fields)
        except Exception as error:
            # Starlette has answered 500 in plain words already.
            self._failed(error)


def _is_ours(scope: Scope, names: frozenset[str]) -> bool:
    """The Host field names this host or is an IP address, which nobody can point elsewhere."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1:
        return not hosts and scope["http_version"] == "1.0"
    host = hosts[0].decode("latin-1").lower()
    if host.startswith("["):
        name = host[1:].partition("]")[0]
    else:
        name = host.partition(":")[0].rstrip(".")
    if name in names:
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class HttpConversation(H11Protocol):
    """One HTTP connection: uvicorn's protocol with a deadline, and quiet about clients' mistakes."""

    def __init__(
        self, arrival: Arrival, config: Config, state: ServerState, failed: Callable[[Exception], None]
    ) -> None:
        super().__init__(config, state, {}, asyncio.get_running_loop())
        self.logger = _QUIET
        self.access_log = False
        self._arrival = arrival
        self._failed_within = failed
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)
        self._arrival.over()

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except h11.ProtocolError:
            self.transport.abort()  # broken in the middle of an answer: there is no way to say so
        except Exception as error:
            self._failed_within(error)
            self.transport.abort()

    def on_response_complete(self) -> None:
        self._set_deadline()
        super().on_response_complete()

    def drain(self) -> None:
        """Answer what was asked, then close."""
        if not self.transport.is_closing():
            try:
                self.shutdown()
            except h11.ProtocolError:
                self.transport.abort()

    def _set_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)
