"""One outbound SMTP connection: the client engine's octets go out and come in, and waiting has an end.

    connection = await connect(ip, port, settings, seconds=30)
    await connection.event()                    the engine's next event; None once all is over
    connection.engine.hello()                   whatever is said to the engine leaves with the next event() or flush()
    await connection.start_tls(context, name)   after a positive TlsReady
    await connection.send_body(prefix, content)
    connection.abort()

A lost connection, a server that is silent beyond the engine's patience, and one that speaks nonsense all come out the
same way: the engine is told, gives what it has to say about the transaction, and then `event` gives None. A deadline
is set for each event as a whole, so a server that sends one octet a minute wins nothing by it.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from functools import partial
from typing import cast

from posthouse.mail.peer import TlsFacts
from posthouse.serve import tls
from posthouse.store.blobs import Content
from posthouse.store.database import StoreFault
from posthouse.wire.buffer import ProtocolError
from posthouse.wire.smtp.client import ClientEngine, ClientSettings
from posthouse.wire.smtp.events import ClientEvent

# Octets from the server that nobody has asked for yet, beyond which it is no mail server.
_UNREAD = 256 * 1024


class Connection(asyncio.Protocol):
    """See the module. `tls_facts` is None while the connection is plain."""

    def __init__(self, settings: ClientSettings, *, tls_from_start: bool = False) -> None:
        self.engine = ClientEngine(settings, tls=tls_from_start)
        self.tls_facts: TlsFacts | None = None
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._lost = ""
        self._unread = 0
        self._full = False
        self._heard = _Moment(self._loop)
        self._room = _Moment(self._loop)

    @property
    def is_open(self) -> bool:
        """Whether another transaction can be begun, as far as can be known without asking."""
        return not self.engine.closed and not self._lost and not self._unread

    async def event(self) -> ClientEvent | None:
        """The engine's next event. None: the conversation is over, and the connection closed."""
        engine = self.engine
        deadline = 0.0
        while True:
            try:
                self._unread = 0
                event = engine.next_event()
            except ProtocolError as error:
                engine.lost(str(error))
                continue
            if event is not None:
                return event
            self.flush()
            if engine.closed:
                self.abort()
                return None
            if self._lost:
                engine.lost(self._lost)
                continue
            now = self._loop.time()
            deadline = deadline or now + engine.patience
            if now >= deadline or not await self._heard.wait(deadline):
                engine.lost(f"The server did not answer within {engine.patience:.0f} seconds")

    def flush(self) -> None:
        """Sends what the engine has to say."""
        out = self.engine.take()
        # A transport that closes has yet to say so, and uvloop's would raise RuntimeError.
        if out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(out)

    async def send_body(self, prefix: bytes, content: Content) -> None:
        """The whole body and its end. What goes wrong shows in the next event."""
        engine = self.engine
        engine.body(prefix)
        try:
            async for octets in _pieces(content):
                engine.body(octets)
                self.flush()
                if self._full and not await self._room.wait(self._loop.time() + engine.patience):
                    engine.lost(f"The server did not take the message within {engine.patience:.0f} seconds")
                if self._lost or engine.closed:
                    return
        except (StoreFault, OSError) as error:
            # The server must not take half a message for a whole one: no end is sent.
            engine.lost(f"The message could not be read: {error}")
            return
        engine.body(b"", last=True)
        self.flush()

    async def start_tls(self, context: ssl.SSLContext, name: str, seconds: float) -> None:
        """The handshake. OSError (ssl.SSLError is one) or TimeoutError where it fails; the connection is gone then."""
        transport, self._transport = self._transport, None
        if transport is None or self._lost:
            raise ConnectionAbortedError("the server left")
        upgraded = await tls.upgrade(
            transport, self, context, server_side=False, server_hostname=name, seconds=seconds
        )
        self._transport = upgraded
        self.tls_facts = tls.facts(upgraded)
        try:
            self.engine.start_tls_done()
        except ProtocolError as error:
            self.abort()
            raise ConnectionAbortedError(str(error)) from None

    async def leave(self) -> None:
        """QUIT, its answer, and the end; gives up waiting by itself."""
        if self.is_open:
            self.engine.quit()
            while await self.event() is not None:
                pass
        self.abort()

    def abort(self) -> None:
        """Closes without a word."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    # --- asyncio.Protocol -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.tls_facts = tls.facts(transport)

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        if self._unread > _UNREAD:
            self._end("The server sends without end")
            return
        self.engine.feed(data)
        self._heard.come()

    def eof_received(self) -> None:
        self._end("The server closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end(f"The connection broke: {exc}" if exc else "The server closed the connection")

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._room.come()

    def _end(self, words: str) -> None:
        self._lost = self._lost or words
        self._heard.come()
        self._room.come()


class _Moment:
    """Something that one task waits for, with a deadline."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: asyncio.Future[bool] | None = None

    def come(self, *, in_time: bool = True) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(in_time)

    async def wait(self, deadline: float) -> bool:
        """Whether it came before `deadline` (of the loop's clock)."""
        self._waiting = self._loop.create_future()
        timer = self._loop.call_at(deadline, partial(self.come, in_time=False))
        try:
            return await self._waiting
        finally:
            timer.cancel()
            self._waiting = None


async def connect(
    ip: str,
    port: int,
    settings: ClientSettings,
    *,
    seconds: float,
    context: ssl.SSLContext | None = None,
    name: str | None = None,
    source: str | None = None,
) -> Connection:
    """A connection, with TLS from the start where a `context` is given (`name` is whose certificate is wanted).

    `source` is the address of ours that it comes from; None leaves that to the system.

    OSError (ssl.SSLError is one) or TimeoutError where there is none within `seconds`.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds):
        _, connection = await loop.create_connection(
            lambda: Connection(settings, tls_from_start=context is not None),
            ip,
            port,
            ssl=context,
            server_hostname=name if context is not None else None,
            local_addr=(source, 0) if source is not None else None,
        )
    return connection


async def _pieces(content: Content) -> AsyncIterator[bytes]:
    if content.octets is not None:
        yield content.octets
        return
    async for chunk in content.chunks():
        yield chunk
