"""The SMTP doors: `smtp` (port 25) for the world, `submission` (587) and `submissions` (465) for our accounts.

    post = Post("smtp", hostname, desk=reception, blobs=blobs, login=None, keyring=…, metrics=…, log=…, clock=…)
    listener = Listener("smtp", sockets, door(post), census, …)

The engine knows the protocol, the desk decides, the spool keeps the octets; here they meet. A body is written to the
spool as it comes, so a large one is never in memory. What goes wrong behind the door is a 4xx and a line in the log:
the client keeps the message and tries again, and never sees a traceback.

A client that takes its time is bounded in three ways: by the engine's patience with silence, by `BODY_RATE` once a body
has been coming for `BODY_GRACE`, and by `USELESS_SECONDS` without a message taken. Once a body has come to its end, the
desk finishes with it even though the client is gone: its reply is lost then, the message is not.
"""

from array import array
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from fcntl import ioctl
from termios import FIONREAD
from typing import Any

from prometheus_client import Histogram

from posthouse.mail.instant import Clock
from posthouse.mail.journey import Facts, Stamp, Step
from posthouse.mail.peer import Peer, Role, TlsFacts
from posthouse.mail.reply import Reply
from posthouse.route.acceptance import store_reply
from posthouse.route.desk import MailDesk
from posthouse.serve.dialogue import Dialogue
from posthouse.serve.listener import Visit
from posthouse.serve.log import Logger
from posthouse.serve.login import Account, Login, LoginFailure, Why
from posthouse.serve.metrics import Metrics
from posthouse.serve.tls import Keyring
from posthouse.store.blobs import Blobs, Content, Spool
from posthouse.store.database import StoreFault
from posthouse.wire import sasl
from posthouse.wire.buffer import ProtocolError
from posthouse.wire.smtp.events import (
    Auth,
    AuthResponse,
    BodyChunk,
    BodyEnd,
    BodyStart,
    Hello,
    Mail,
    Rcpt,
    Reset,
    ServerEvent,
    StartTls,
)
from posthouse.wire.smtp.server import ServerEngine, Settings

# A body has this long to come in at any speed; after that, this many octets a second on average are asked for.
BODY_GRACE = 60.0
BODY_RATE = 500.0
# No body takes longer than this, whatever its size.
BODY_SECONDS = 2 * 3600.0
# So many refused recipients of a message are told to its journey.
REFUSED_STAMPS = 100
# Who has had no message taken for so long is sent away, however busy he keeps the line.
USELESS_SECONDS = 3600.0

_HELLO = Reply(250, "", "")
_SEND = Reply(354, "", "")
_READY_FOR_TLS = Reply(220, "2.0.0", "Go ahead")
_FAULT = Reply(451, "4.3.0", "Something went wrong here, try again later")
_TOO_SLOW = Reply(421, "4.4.2", "The message comes in too slowly")
_BROKEN = Reply(421, "4.3.0", "Something went wrong here, come back later")
_LATE = Reply(421, "4.4.2", "Nothing heard for too long, goodbye")
_CLOSING = Reply(421, "4.3.2", "The server is closing, come back soon")
_WELCOME = Reply(235, "2.7.0", "Welcome")
_NOT_WELCOME = {
    Why.REFUSED: (535, "5.7.8"),
    Why.ABORTED: (501, "5.7.0"),
    Why.MALFORMED: (501, "5.5.2"),
    Why.UNKNOWN: (504, "5.5.4"),
    Why.PLAINTEXT: (538, "5.7.11"),
    Why.BUSY: (454, "4.7.0"),
}


@dataclass(frozen=True, slots=True)
class Post:
    """What a door needs of the house. `service` is smtp, submission or submissions; the last two have a `login`."""

    service: str
    hostname: str
    desk: MailDesk
    blobs: Blobs
    login: Login | None
    keyring: Keyring
    metrics: Metrics
    log: Logger
    clock: Clock
    max_size: int = 50 * 2**20
    max_recipients: int = 1000
    settings: dict[bool, Settings] = field(init=False, compare=False)
    seconds: Histogram = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """The engine's settings, with and without channel binding; what is the same for each connection."""
        submission = self.service != Role.SMTP
        base = Settings(
            self.hostname,
            role=Role.SUBMISSION if submission else Role.SMTP,
            starttls=self.service != "submissions",
            tls=self.service == "submissions",
            max_size=self.max_size,
            max_recipients=self.max_recipients,
        )
        settings = {
            bound: replace(base, mechanisms=sasl.mechanisms(True, bound) if self.login else ())
            for bound in (False, True)
        }
        object.__setattr__(self, "settings", settings)
        object.__setattr__(self, "seconds", self.metrics.accept_seconds.labels(self.service))


def door(post: Post) -> Callable[[Visit], "Session"]:
    """The door of one service."""
    return lambda visit: Session(visit, post)


class _Caller:
    """Who is on the other side, and how that became known."""

    __slots__ = ("_connected", "_post", "_stamps", "peer")

    def __init__(self, post: Post, role: Role, visit: Visit) -> None:
        self._post = post
        self.peer = Peer(role, visit.ip, visit.port)
        facts: Facts = {"ip": visit.ip, "port": visit.port, "service": post.service}
        self._connected = Stamp(post.clock(), Step.CONNECTED, facts)
        self._stamps: list[Stamp] = []

    @property
    def stamps(self) -> list[Stamp]:
        """CONNECTED, TLS, HELLO, LOGIN, as far as it came, in the order of time."""
        return [self._connected, *self._stamps]

    def encrypted(self, facts: TlsFacts) -> None:
        """TLS is active: nothing said before it counts (RFC 3207 §4.2)."""
        self.peer = Peer(self.peer.role, self.peer.ip, self.peer.port, tls=facts)
        told: Facts = {"version": facts.version, "cipher": facts.cipher, "bits": facts.bits}
        self._stamps = [Stamp(self._post.clock(), Step.TLS, told)]

    def hello(self, event: Hello) -> None:
        self.peer = replace(self.peer, helo=event.name, esmtp=event.verb == "EHLO")
        self._stamps = [stamp for stamp in self._stamps if stamp.step is not Step.HELLO]
        self._stamps.append(Stamp(self._post.clock(), Step.HELLO, {"verb": event.verb, "name": event.name}))

    def admitted(self, account: Account) -> None:
        self.peer = replace(self.peer, account_id=account.account_id, account=account.address)
        facts: Facts = {"account": str(account.address), "mechanism": account.mechanism}
        self._stamps.append(Stamp(self._post.clock(), Step.LOGIN, facts))


class _Intake:
    """The body that is coming in. A fault of the disk is kept for its end: the rest is read and forgotten."""

    __slots__ = ("_began", "_blobs", "_fault", "_spool")

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._spool: Spool | None = None
        self._fault: StoreFault | None = None
        self._began = 0.0

    def begin(self, now: float) -> None:
        self._spool = self._blobs.spool()
        self._fault = None
        self._began = now

    def write(self, octets: bytes) -> None:
        if self._spool is not None:
            try:
                self._spool.write(octets)
            except StoreFault as fault:
                self.discard()
                self._fault = fault

    def is_slow(self, now: float) -> bool:
        """Whether what came so far took longer than it may."""
        seconds = now - self._began
        if seconds <= BODY_GRACE or self._spool is None:
            return False
        return self._spool.size < seconds * BODY_RATE or seconds > BODY_SECONDS

    async def finish(self) -> Content:
        """The whole body. StoreFault, also for what went wrong on the way."""
        spool, self._spool = self._spool, None
        if self._fault is not None:
            raise self._fault
        assert spool is not None, "a body ends after it began"
        try:
            return await spool.finish()
        except StoreFault:
            spool.discard()
            raise

    def discard(self) -> None:
        """What came so far is wanted no more."""
        spool, self._spool = self._spool, None
        self._fault = None
        if spool is not None:
            spool.discard()


class Session(Dialogue[ServerEvent]):
    """One client."""

    def __init__(self, visit: Visit, post: Post) -> None:
        settings = post.settings[post.keyring.end_point is not None]
        self._post = post
        self._smtp = ServerEngine(settings)
        super().__init__(visit, self._smtp, post.keyring, post.log)
        self._caller = _Caller(post, settings.role, visit)
        self._intake = _Intake(post.blobs)
        self._refused: list[Stamp] = []  # recipients of this transaction
        self._useful = self._loop.time()

    # --- what a dialogue asks --------------------------------------------------------------------------

    def late(self) -> None:
        self._smtp.hang_up(_LATE)

    def leave(self) -> None:
        self._smtp.hang_up(_CLOSING)

    def may_leave(self) -> bool:
        return not self._smtp.in_transaction

    def overdue(self) -> bool:
        return self._loop.time() - self._useful > USELESS_SECONDS

    async def converse(self) -> None:
        smtp, post, intake = self._smtp, self._post, self._intake
        if self.tls is not None:
            self._caller.encrypted(self.tls)
        smtp.greet(self._early())
        try:
            while (event := await self.event()) is not None:
                # In the order of how often they come.
                if isinstance(event, BodyChunk):
                    self.take_in(event.octets)
                    event = None  # its octets are not kept while the next ones are waited for
                elif isinstance(event, Mail):
                    self._refused.clear()
                    smtp.answer(await self._decided(post.desk.mail(self._caller.peer, event.envelope)))
                elif isinstance(event, Rcpt):
                    await self._rcpt(event)
                elif isinstance(event, BodyStart):
                    intake.begin(self._loop.time())
                    smtp.answer(_SEND)
                elif isinstance(event, BodyEnd):
                    await self._end(event)
                else:
                    await self._seldom(event)
        except (OSError, TimeoutError):
            raise  # the peer left
        except Exception as error:
            # A fault of ours: the connection cannot go on, the client is to come again.
            post.log.error("smtp door failed", service=post.service, ip=self.visit.ip, exc_info=error)
            smtp.hang_up(_BROKEN)
        finally:
            intake.discard()

    def _early(self) -> Reply | None:
        """The refusal of a client of port 25 that does not wait for the greeting (RFC 5321 §4.3.1): spam in a hurry, or
        somebody whose words were put in front of a connection by another."""
        post = self._post
        if post.service != "smtp" or self._transport is None:
            return None
        waiting = array("i", [0])
        connection = self._transport.get_extra_info("socket")
        if not self._smtp.unread:
            ioctl(connection.fileno(), FIONREAD, waiting)
            if not waiting[0]:
                return None
        post.metrics.rejected.labels(post.service, "554").inc()
        post.log.info("spoke before the greeting", service=post.service, ip=self.visit.ip)
        return Reply(554, "", f"{post.hostname} You spoke before you were greeted (RFC 5321 section 4.3.1)")

    async def _seldom(self, event: ServerEvent) -> None:
        smtp = self._smtp
        match event:
            case Hello():
                self._caller.hello(event)
                smtp.answer(_HELLO)
            case Reset():
                self._intake.discard()
            case StartTls():
                smtp.answer(_READY_FOR_TLS)
                await self.start_tls()
                smtp.start_tls_done()
                if self.tls is not None:
                    self._caller.encrypted(self.tls)
            case Auth():
                await self._auth(event)
            case _:
                raise ProtocolError(f"{type(event).__name__} out of turn")

    # --- login -----------------------------------------------------------------------------------------

    async def _auth(self, event: Auth) -> None:
        post = self._post
        assert post.login is not None, "without it no mechanism is offered"
        result = await post.login.authenticate(
            event.mechanism, event.initial, self._exchange, self._caller.peer, self.binding
        )
        if isinstance(result, LoginFailure):
            post.log.info("login refused", service=post.service, ip=self.visit.ip, why=result.kind.value)
            code, enhanced = _NOT_WELCOME[result.kind]
            self._smtp.answer(Reply(code, enhanced, result.words))
            return
        self._caller.admitted(result)
        self.visit.logged_in()
        self._smtp.answer(_WELCOME)

    async def _exchange(self, challenge: bytes) -> bytes | None:
        self._smtp.challenge(challenge)
        event = await self.event()
        if isinstance(event, AuthResponse):
            return event.octets
        raise ConnectionAbortedError("the client left in the middle of a login")

    # --- a message -------------------------------------------------------------------------------------

    def take_in(self, chunk: bytes | None = None) -> bool:
        """Of a body: the chunk that is known already, and what else there is of it."""
        # When many send at once, the loop reads them all before any task has its turn: their bodies would pile up.
        smtp, intake, post = self._smtp, self._intake, self._post
        while chunk or (chunk := smtp.next_chunk()):
            intake.write(chunk)
            chunk = None
            if intake.is_slow(self._loop.time()):
                post.log.info("body too slow", service=post.service, ip=self.visit.ip)
                smtp.hang_up(_TOO_SLOW)
        return chunk is not None

    async def _rcpt(self, event: Rcpt) -> None:
        smtp, post = self._smtp, self._post
        reply = await self._decided(post.desk.rcpt(self._caller.peer, smtp.envelope, event.rcpt))
        if not reply.is_positive:
            address = str(event.rcpt.address)
            facts: Facts = {"address": address, "reply": str(reply)}
            if len(self._refused) < REFUSED_STAMPS:
                self._refused.append(Stamp(post.clock(), Step.RECIPIENT, facts))
            self._refuse("recipient refused", reply, rcpt_to=address)
        smtp.answer(reply)

    async def _end(self, event: BodyEnd) -> None:
        reply = event.flaw
        if reply is None:
            reply = await self._hand_in(event)
        else:
            self._intake.discard()
        if reply.is_positive:
            self._useful = self._loop.time()
        else:
            self._refuse("message refused", reply, size=event.size)
        self._smtp.answer(reply)

    async def _hand_in(self, event: BodyEnd) -> Reply:
        """The whole message, to the desk."""
        post = self._post
        began = self._loop.time()
        try:
            content = await self._intake.finish()
        except StoreFault as fault:
            post.log.error("body not kept", service=post.service, ip=self.visit.ip, error=str(fault))
            return store_reply(fault)
        caller = self._caller
        reply = await self._decided(
            post.desk.data(caller.peer, event.envelope, content, [*caller.stamps, *self._refused])
        )
        post.seconds.observe(self._loop.time() - began)
        return reply

    async def _decided(self, question: Coroutine[Any, Any, Reply]) -> Reply:
        """The desk's answer; 451 where it has none because something is wrong with us."""
        try:
            return await question
        except Exception as error:
            self._post.log.error("desk failed", service=self._post.service, ip=self.visit.ip, exc_info=error)
            return _FAULT

    def _refuse(self, what: str, reply: Reply, **facts: object) -> None:
        post = self._post
        post.metrics.rejected.labels(post.service, str(reply.code)).inc()
        post.log.info(what, service=post.service, ip=self.visit.ip, reply=str(reply), **facts)
