"""What every door has in common: one connection, one engine, one task that goes from event to event.

A door derives from `Dialogue`, gives it an engine, and writes `converse`, which asks `await self.event()` until that
gives None. Everything else happens here: octets reach the engine, output leaves before anything is waited for (one
write for a flight of pipelined commands), a client that is slower than the output is waited for, one that sends more
than is being worked on is not read, one that sends without pause leaves others their turn, silence beyond the engine's
patience ends it, and TLS is started without a plaintext octet ever being taken for an encrypted one.
"""

import asyncio
from typing import Generic, Protocol, TypeVar, cast

from posthouse.mail.peer import TlsFacts
from posthouse.serve import tls
from posthouse.serve.listener import Visit
from posthouse.serve.log import Logger

TURN = 16  # events worked on before other connections get their turn; the same once an engine has much to say
UNREAD = 128 * 1024  # octets fed and not worked on, beyond which the socket is not read
LOOK_SECONDS = 10.0  # how often a connection is looked at, to see whether its client is late
LINGER_SECONDS = 30.0  # for a client to read the last words

EventT = TypeVar("EventT", covariant=True)


class Engine(Protocol[EventT]):
    """The part of a protocol engine that any door drives."""

    @property
    def closed(self) -> bool: ...
    @property
    def patience(self) -> float: ...
    @property
    def unread(self) -> int: ...
    def feed(self, octets: bytes) -> None: ...
    def next_event(self) -> EventT | None: ...
    def take(self) -> bytes: ...


class Dialogue(asyncio.Protocol, Generic[EventT]):
    """One connection. `late` and `leave` say goodbye in the protocol's words; `converse` is the door's work."""

    def __init__(self, visit: Visit, engine: Engine[EventT], keyring: tls.Keyring, log: Logger) -> None:
        self.visit = visit
        self.log = log
        self.tls: TlsFacts | None = None
        self._engine = engine
        self._keyring = keyring
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None  # for octets
        self._writable: asyncio.Future[None] | None = None  # while the client is slower than we are
        self._timer: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._turn = TURN
        self._ended = False  # nothing more will come
        self._reading = True
        self._draining = False

    # --- for the door ------------------------------------------------------------------------------

    async def converse(self) -> None:
        """The door's work from greeting to goodbye. The connection is closed when it returns."""
        raise NotImplementedError

    def late(self) -> None:
        """The client was silent too long: say so through the engine, where the protocol has words for it."""

    def leave(self) -> None:
        """The house closes: say so through the engine. Called only while the client's next command is awaited."""

    def may_leave(self) -> bool:
        """Whether nothing is under way that has to come to its end, though the house closes or the client is gone."""
        return True

    def take_in(self) -> bool:
        """Octets have come while `event` waits: take at once those that need no answer. Whether that was all."""
        return False

    def overdue(self) -> bool:
        """Whether the client has stayed too long for what it does. Asked now and then while it is waited for."""
        return False

    @property
    def binding(self) -> bytes | None:
        """The channel binding of the TLS connection (`tls.binding`)."""
        return tls.binding(self._transport) if self._transport is not None else None

    async def event(self) -> EventT | None:
        """The engine's next event; None when the conversation is over."""
        engine = self._engine
        while True:
            self._turn -= 1
            if not self._turn:
                # Who has sent thousands of commands at once does not keep the loop until they are all worked on.
                self._turn = TURN
                await self.send()
                await asyncio.sleep(0)
            event = engine.next_event()
            if event is not None:
                return event
            # As `send`, which is not called to save time: this runs for every flight of commands.
            out = engine.take()
            if out and self._transport is not None:
                self._transport.write(out)
                if self._writable is not None:
                    await self._writable
                if engine.unread and not engine.closed:
                    # An engine may stop in the middle of a flight, so that its output does not pile up.
                    self._turn = 1
                    continue
            if engine.closed or self._ended:
                return None
            if self._draining and self.may_leave():
                self.leave()
                return None
            if not engine.unread:
                self._heard = self._loop.time()
            if not self._reading and self._transport is not None:
                self._reading = True
                self._transport.resume_reading()
            self._waiter = self._loop.create_future()
            self._turn = TURN
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def send(self) -> None:
        """Hand the output to the transport, and wait for a client that is behind."""
        out = self._engine.take()
        if out and self._transport is not None:
            self._transport.write(out)
        if self._writable is not None:
            await self._writable

    async def start_tls(self) -> None:
        """Send what was said, then shake hands. OSError or TimeoutError where that fails: the connection is gone."""
        transport = self._transport
        if transport is None:
            raise ConnectionAbortedError("the peer left")
        await self.send()
        context = self._keyring.server(self.visit.service)
        self._transport = None  # what is still plaintext in flight goes to the handshake, never to the engine
        self._transport = await tls.upgrade(transport, self, context)
        self.tls = tls.facts(self._transport)

    # --- asyncio.Protocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.tls = tls.facts(transport)
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(min(self._engine.patience, LOOK_SECONDS), self._look)
        self._task = self._loop.create_task(self._run())

    def data_received(self, data: bytes) -> None:
        # The rest of a line that has begun does not count: who sends an octet a minute is as late as who is silent.
        if not self._engine.unread:
            self._heard = self._loop.time()
        self._engine.feed(data)
        if self._waiter is not None and not self.take_in():
            self._wake()
        # uvloop may read many times before the task runs.
        if self._engine.unread > UNREAD and self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def eof_received(self) -> bool | None:
        self._ended = True
        self._wake()
        # What was asked for is still answered, and then the task closes; TLS knows no half-closed connections.
        return self.tls is None

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None and self.may_leave():
            self._task.cancel()
            # Its end is an exception that leads back to us: held here, all we had would wait for the collector.
            self._task = None
        self._wake()
        self.resume_writing()
        self.visit.over()

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None:
            writable, self._writable = self._writable, None
            if not writable.done():
                writable.set_result(None)

    def drain(self) -> None:
        """Come to an end: what is under way is finished, the next command is answered with goodbye."""
        self._draining = True
        self._wake()

    # --- within ------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _look(self) -> None:
        """Has the client been silent too long? One timer for each connection, set again only when it has run out."""
        now = self._loop.time()
        left = self._heard + self._engine.patience - now
        idle = self._waiter is not None or self._writable is not None
        if not idle or (left > 0 and not self.overdue()):
            # Patience may have become shorter than it was when this was set.
            seconds = min(left, LOOK_SECONDS) if idle else LOOK_SECONDS
            self._timer = self._loop.call_later(seconds, self._look)
            return
        if self._writable is None:
            self.late()
        self._close()

    async def _run(self) -> None:
        try:
            await self.converse()
        except (OSError, TimeoutError):
            pass  # the peer left, or cannot shake hands: nothing that a record would explain
        except Exception as error:
            self.log.error("door failed", service=self.visit.service, ip=self.visit.ip, error=repr(error))
        finally:
            self._close()

    def _close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            out = self._engine.take()
            if out:
                transport.write(out)
            transport.close()
            if transport.get_write_buffer_size():
                # Who does not read the rest is not waited for longer than this.
                self._loop.call_later(LINGER_SECONDS, transport.abort)
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
