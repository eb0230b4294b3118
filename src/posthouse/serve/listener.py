"""Where connections come in: sockets, accepting, and how many one address may hold before it logs in.

A door is a function `door(visit) -> Conversation`: it makes the asyncio.Protocol that talks on one connection. The
`Visit` it is given knows who came and to which service; the door tells it two things only: `visit.logged_in()`
after a login, which frees the address's place, and `visit.over()` in `connection_lost`.

    def door(visit: Visit) -> Conversation:
        return SmtpConversation(visit, …)

`drain()` asks a conversation to come to an end (finish the transaction, then 421 or BYE and close); the listener
calls it for everybody when the house stops, and aborts who is still there when the grace is over.

The listener accepts by itself rather than through `create_server`, because three things have to happen before a
transport exists: an address with too many connections is turned away before any TLS work is done for it; the count of
open connections is bounded, the rest waiting in the kernel's backlog; and when the process runs out of descriptors,
accepting rests for a while instead of spinning. Several processes share one listening socket: whoever is idle accepts,
unless he has more connections than the others (`balance`), and a connection that waits in the backlog is not lost with
a process that dies.
"""

import asyncio
import errno
import socket as sockets
import ssl
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address
from socket import socket
from typing import Protocol, cast

from posthouse.serve.balance import Balance
from posthouse.serve.limits import Counts
from posthouse.serve.metrics import Metrics

BACKLOG = 1024
ACCEPTED_AT_ONCE = 16  # then others get their turn: connections under way, other processes
STEP_BACK_SECONDS = 0.001  # so that a process with fewer connections comes first
REST_SECONDS = 0.5  # of accepting when the process has no descriptors left
HANDSHAKE_SECONDS = 30.0
GOODBYE_SECONDS = 5.0  # for the peer's close_notify

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class ListenError(Exception):
    """A place cannot be listened at; the text is one line that names it."""


class Conversation(Protocol):
    """What a door makes for one connection: an asyncio.Protocol that can also be asked to leave."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...

    def drain(self) -> None:
        """Finish what is under way, say goodbye (421, BYE) and close; further calls change nothing."""
        ...


Door = Callable[["Visit"], Conversation]
NetworkKey = str | int


class Census:
    """Counts the connections before login: of each IPv4 address, of each IPv6 /64, and all of the process."""

    def __init__(
        self, per_address: int = 10, per_network: int = 20, total: int = 20_000, shared: Counts | None = None
    ) -> None:
        """`shared`: where those of the other processes are counted too; the first two limits then hold for all."""
        self.per_address = per_address
        self.per_network = per_network
        self.total = total
        self.open = 0
        self._shared = shared
        self._strangers: dict[NetworkKey, int] = {}
        self._waiting: list[Callable[[], None]] = []

    @property
    def full(self) -> bool:
        return self.open >= self.total

    def when_free(self, callback: Callable[[], None]) -> None:
        """Call back once, as soon as a connection has ended."""
        self._waiting.append(callback)

    def enter(self, key: NetworkKey) -> bool:
        """Count a new connection, or refuse it because its address holds too many."""
        count = self._strangers.get(key, 0)
        most = self.per_address if isinstance(key, str) else self.per_network
        if count >= most:
            return False
        if self._shared is not None and self._shared.add(key, 0.0) > most:
            self._shared.add(key, 0.0, -1.0)
            return False
        self._strangers[key] = count + 1
        self.open += 1
        return True

    def known(self, key: NetworkKey) -> None:
        """A connection has logged in, or ended without."""
        if self._shared is not None:
            self._shared.add(key, 0.0, -1.0)
        count = self._strangers[key] - 1
        if count:
            self._strangers[key] = count
        else:
            del self._strangers[key]

    def leave(self) -> None:
        """A connection has ended."""
        self.open -= 1
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for callback in waiting:
                callback()


class Visit:
    """One connection, from accept to `over`. `ip` has no brackets, and IPv4-mapped IPv6 is unmapped."""

    __slots__ = ("_key", "_listener", "_stranger", "conversation", "ip", "port", "service", "transport")

    def __init__(self, service: str, ip: str, port: int, key: NetworkKey, listener: "Listener | None" = None) -> None:
        self.service = service
        self.ip = ip
        self.port = port
        self.conversation: Conversation | None = None
        self.transport: asyncio.WriteTransport | None = None  # the listener's own hold, below any STARTTLS
        self._key = key
        self._stranger = True
        self._listener = listener

    def logged_in(self) -> None:
        """The client is known now: its place in the count of its address is free again. Once is enough."""
        if self._stranger and self._listener is not None:
            self._stranger = False
            self._listener.census.known(self._key)

    def over(self) -> None:
        """The connection is gone; to be called from `connection_lost`. Once is enough."""
        # They hold each other, and all that TLS had for them: some 30 KB that would wait for the collector.
        self.conversation = self.transport = None
        if self._listener is not None:
            self.logged_in()
            listener, self._listener = self._listener, None
            listener.gone(self)


def network_key(ip: str) -> NetworkKey:
    """What connections are counted by: an IPv4 address (str), the upper half of an IPv6 address (int)."""
    return int(IPv6Address(ip)) >> 64 if ":" in ip else ip


class Listener:
    """One service: its listening sockets and the conversations on them.

    `tls` gives the context of the moment for a service with TLS from the first octet. `refusal` is what a client
    reads that is turned away at once (where there is no TLS to be done first).
    """

    def __init__(
        self,
        service: str,
        listening: Iterable[socket],
        door: Door,
        census: Census,
        *,
        metrics: Metrics,
        tls: Callable[[], ssl.SSLContext] | None = None,
        refusal: bytes = b"",
        balance: Balance | None = None,
    ) -> None:
        self.service = service
        self.census = census
        self._sockets = list(listening)
        self._door = door
        self._tls = tls
        self._refusal = refusal
        self._balance = balance
        self._stepped_back = False
        self._present: set[Visit] = set()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._accepting = False
        self._draining = False
        self._empty: asyncio.Event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._accepted = metrics.connections.labels(service)
        self._refused = metrics.refused.labels(service, "address")
        self._rested = metrics.refused.labels(service, "exhausted")
        self._open = metrics.open.labels(service)
        for listening_socket in self._sockets:
            listening_socket.setblocking(False)

    @property
    def port(self) -> int:
        """The port of the first socket."""
        return int(self._sockets[0].getsockname()[1])

    def start(self) -> None:
        if not self._accepting and self._sockets:
            self._accepting = True
            for listening in self._sockets:
                self._loop.add_reader(listening, self._accept, listening)

    def stop(self) -> None:
        """Accept no more and close the listening sockets; conversations go on."""
        self._rest()
        listening, self._sockets = self._sockets, []
        for each in listening:
            each.close()

    async def drain(self, grace: float) -> None:
        """Ask every conversation to leave, and abort the rest after `grace` seconds.

        Handshakes under way get a moment to come to their end, so that their client can be told.
        """
        self._draining = True
        for visit in tuple(self._present):
            # Without a transport it is still in its handshake.
            if visit.conversation is not None and visit.transport is not None:
                visit.conversation.drain()
        impatience = self._loop.call_later(min(grace, GOODBYE_SECONDS), self._break_off)
        for seconds in (grace, GOODBYE_SECONDS):
            self._empty.clear()
            if not self._present:
                break
            try:
                async with asyncio.timeout(seconds):
                    await self._empty.wait()
            except TimeoutError:
                for visit in tuple(self._present):
                    if visit.transport is not None:
                        visit.transport.abort()
        impatience.cancel()
        self._break_off()

    def _break_off(self) -> None:
        for task in tuple(self._handshakes):
            task.cancel()

    def gone(self, visit: Visit) -> None:
        """A visit is over (it tells so itself)."""
        self._present.discard(visit)
        self._open.dec()
        if self._balance is not None:
            self._balance.count(self.service, -1)
        self.census.leave()
        if not self._present:
            self._empty.set()

    def _rest(self) -> None:
        if self._accepting:
            self._accepting = False
            for listening in self._sockets:
                self._loop.remove_reader(listening)

    def _accept(self, listening: socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            if self.census.full:
                # The rest waits in the backlog until somebody leaves.
                self._rest()
                self._rested.inc()
                self.census.when_free(self.start)
                return
            if self._steps_back():
                return
            try:
                connection, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    # accept(2) reports errors of the new connection too: it is gone, nobody else is touched.
                    continue
                self._rest()
                self._rested.inc()
                self._loop.call_later(REST_SECONDS, self.start)
                return
            self._admit(connection, address)

    def _steps_back(self) -> bool:
        """Lets another process come first that has fewer connections. What is still there after that is taken."""
        if self._balance is None or self._stepped_back or not self._balance.is_ahead(self.service):
            self._stepped_back = False
            return False
        self._stepped_back = True
        self._rest()
        self._loop.call_later(STEP_BACK_SECONDS, self.start)
        return True

    def _admit(self, connection: socket, address: tuple[str, int]) -> None:
        ip = plain_ip(address[0])
        key = network_key(ip)
        if not self.census.enter(key):
            self._refused.inc()
            self._turn_away(connection)
            return
        connection.setblocking(False)
        visit = Visit(self.service, ip, address[1], key, self)
        self._present.add(visit)
        self._accepted.inc()
        self._open.inc()
        if self._balance is not None:
            self._balance.count(self.service, 1)
        task = self._loop.create_task(self._welcome(connection, visit))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    def _turn_away(self, connection: socket) -> None:
        if self._refusal and self._tls is None:
            try:
                connection.setblocking(False)
                connection.send(self._refusal)
            except OSError:
                pass  # it did not wait for an answer
        connection.close()

    async def _welcome(self, connection: socket, visit: Visit) -> None:
        context = self._tls() if self._tls else None
        deadlines = {"ssl_handshake_timeout": HANDSHAKE_SECONDS, "ssl_shutdown_timeout": GOODBYE_SECONDS}
        try:
            conversation = visit.conversation = self._door(visit)
            transport, _ = await self._loop.connect_accepted_socket(
                lambda: cast(asyncio.Protocol, conversation),
                connection,
                ssl=context,
                **(deadlines if context else {}),
            )
            # Not a subclass of WriteTransport on every loop, but always one by its methods.
            visit.transport = cast(asyncio.WriteTransport, transport)
            if self._draining:
                conversation.drain()
        except (OSError, TimeoutError):
            # ssl.SSLError is an OSError. Who cannot shake hands is no event worth a record.
            self._dismiss(connection, visit)
        except BaseException:
            self._dismiss(connection, visit)
            raise

    def _dismiss(self, connection: socket, visit: Visit) -> None:
        connection.close()
        visit.over()


def plain_ip(text: str) -> str:
    """An address as the house writes it: no zone, and IPv4 in IPv6's clothes undressed."""
    if ":" not in text:
        return text
    address = IPv6Address(text.partition("%")[0])
    mapped = address.ipv4_mapped
    return str(mapped or address)


def open_sockets(places: Iterable[tuple[str, int]]) -> list[socket]:
    """Listening sockets for (host, port) pairs; `*` is every address of both families, port 0 a free port.

    ListenError where one cannot be had; then none is left open.
    """
    found: list[socket] = []
    try:
        for host, port in places:
            if host != "*":
                found.append(_open(host, port))
                continue
            found.append(_open("0.0.0.0", port))
            if sockets.has_ipv6:
                try:
                    found.append(_open("::", found[-1].getsockname()[1]))
                except ListenError as error:
                    # A machine without IPv6 listens on IPv4 alone.
                    if getattr(error.__cause__, "errno", None) not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                        raise
    except BaseException:
        for listening in found:
            listening.close()
        raise
    return found


def _open(host: str, port: int) -> socket:
    listening = None
    try:
        listening = socket(sockets.AF_INET6 if ":" in host else sockets.AF_INET, sockets.SOCK_STREAM)
        listening.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        # Connections inherit it. A reply is written in one piece, so nothing is gained by waiting for more.
        listening.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        if ":" in host:
            listening.setsockopt(sockets.IPPROTO_IPV6, sockets.IPV6_V6ONLY, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        if listening is not None:
            listening.close()
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise ListenError(f"cannot listen at {place}: {error.strerror or error}") from error
    return listening
