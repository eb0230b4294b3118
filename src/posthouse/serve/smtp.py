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

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from prometheus_client import Histogram

from posthouse.mail.instant import Clock
from posthouse.mail.journey import Facts, Stamp, Step
from posthouse.mail.peer import Peer, Role
from posthouse.mail.reply import Reply
from posthouse.route.acceptance import store_reply
from posthouse.route.desk import MailDesk
from posthouse.serve.dialogue import Dialogue
from posthouse.serve.listener import Visit
from posthouse.serve.log import Logger
from posthouse.serve.login import Account, Login, LoginFailure, Why
from posthouse.serve.metrics import Metrics
from posthouse.serve.tls import Keyring
from posthouse.store.blobs import Blobs, Spool
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
# Who has had no message taken for so long is sent away, however busy he keeps the line.
USELESS_SECONDS = 3600.0

_HELLO = Reply(250, "", "")
_SEND = Reply(354, "", "")
_READY_FOR_TLS = Reply(220, "2.0.0", "Go ahead")
_FAULT = Reply(451, "4.3.0", "Something went wrong here, try again later")
_TOO_SLOW = Reply(421, "4.4.2", "The message comes in too slowly")
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


class Session(Dialogue[ServerEvent]):
    """One client."""

    def __init__(self, visit: Visit, post: Post) -> None:
        settings = post.settings[post.keyring.end_point is not None]
        self._post = post
        self._smtp = ServerEngine(settings)
        super().__init__(visit, self._smtp, post.keyring, post.log)
        self._peer = Peer(settings.role, visit.ip, visit.port)
        self._spool: Spool | None = None
        self._fault: Reply | None = None  # what the spool could not do, for the end of the body
        self._began = 0.0
        self._useful = self._loop.time()
        now = post.clock()
        facts: Facts = {"ip": visit.ip, "port": visit.port, "service": post.service}
        self._connected = Stamp(now, Step.CONNECTED, facts)
        self._stamps: list[Stamp] = []  # TLS, HELLO, LOGIN, in the order of time
        self._refused: list[Stamp] = []  # recipients of this transaction

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
        smtp, desk = self._smtp, self._post.desk
        self._encrypted()
        smtp.greet()
        try:
            while (event := await self.event()) is not None:
                # In the order of how often they come.
                if isinstance(event, BodyChunk):
                    self._chunk(event)
                elif isinstance(event, Mail):
                    self._refused.clear()
                    smtp.answer(await self._decided(desk.mail(self._peer, event.envelope)))
                elif isinstance(event, Rcpt):
                    await self._rcpt(event)
                elif isinstance(event, BodyStart):
                    self._begin()
                elif isinstance(event, BodyEnd):
                    await self._end(event)
                else:
                    await self._seldom(event)
        except (OSError, TimeoutError):
            raise  # the peer left
        except Exception as error:
            # A fault of ours: the connection cannot go on, the client is to come again.
            self._post.log.error("smtp door failed", service=self._post.service, ip=self.visit.ip, exc_info=error)
            smtp.hang_up(Reply(421, "4.3.0", _FAULT.text))
        finally:
            self._discard()

    async def _seldom(self, event: ServerEvent) -> None:
        match event:
            case Hello():
                self._hello(event)
            case Reset():
                self._discard()
            case StartTls():
                self._smtp.answer(_READY_FOR_TLS)
                await self.start_tls()
                self._smtp.start_tls_done()
                self._encrypted()
            case Auth():
                await self._auth(event)
            case _:
                raise ProtocolError(f"{type(event).__name__} out of turn")

    # --- who it is -------------------------------------------------------------------------------------

    def _encrypted(self) -> None:
        """What follows from TLS: nothing from before it counts."""
        facts = self.tls
        self._peer = Peer(self._peer.role, self._peer.ip, self._peer.port, tls=facts)
        self._stamps.clear()
        if facts is not None:
            told: Facts = {"version": facts.version, "cipher": facts.cipher, "bits": facts.bits}
            self._stamps.append(Stamp(self._post.clock(), Step.TLS, told))

    def _hello(self, event: Hello) -> None:
        self._peer = replace(self._peer, helo=event.name, esmtp=event.verb == "EHLO")
        self._stamps = [stamp for stamp in self._stamps if stamp.step is not Step.HELLO]
        self._stamps.append(Stamp(self._post.clock(), Step.HELLO, {"verb": event.verb, "name": event.name}))
        self._smtp.answer(_HELLO)

    async def _auth(self, event: Auth) -> None:
        login = self._post.login
        assert login is not None, "without it no mechanism is offered"
        result = await login.authenticate(event.mechanism, event.initial, self._exchange, self._peer, self.binding)
        if isinstance(result, LoginFailure):
            self._post.log.info("login refused", service=self._post.service, ip=self.visit.ip, why=result.kind.value)
            code, enhanced = _NOT_WELCOME[result.kind]
            self._smtp.answer(Reply(code, enhanced, result.words))
            return
        self._admit(result)

    async def _exchange(self, challenge: bytes) -> bytes | None:
        self._smtp.challenge(challenge)
        event = await self.event()
        if isinstance(event, AuthResponse):
            return event.octets
        raise ConnectionAbortedError("the client left in the middle of a login")

    def _admit(self, account: Account) -> None:
        self._peer = replace(self._peer, account_id=account.account_id, account=account.address)
        facts = {"account": str(account.address), "mechanism": account.mechanism}
        self._stamps.append(Stamp(self._post.clock(), Step.LOGIN, facts))
        self.visit.logged_in()
        self._smtp.answer(_WELCOME)

    # --- what it brings --------------------------------------------------------------------------------

    async def _rcpt(self, event: Rcpt) -> None:
        smtp = self._smtp
        reply = await self._decided(self._post.desk.rcpt(self._peer, smtp.envelope, event.rcpt))
        if not reply.is_positive:
            address = str(event.rcpt.address)
            self._refused.append(
                Stamp(self._post.clock(), Step.RECIPIENT, {"address": address, "reply": str(reply)})
            )
            self._refuse("recipient refused", reply, rcpt_to=address)
        smtp.answer(reply)

    def _begin(self) -> None:
        self._spool = self._post.blobs.spool()
        self._fault = None
        self._began = self._loop.time()
        self._smtp.answer(_SEND)

    def _chunk(self, event: BodyChunk) -> None:
        spool = self._spool
        if spool is None:
            return  # a fault of the disk: the rest is read and forgotten
        try:
            spool.write(event.octets)
        except StoreFault as fault:
            self._fault = self._store_reply(fault)
            self._discard()
            return
        seconds = self._loop.time() - self._began
        if seconds > BODY_GRACE and (spool.size < seconds * BODY_RATE or seconds > BODY_SECONDS):
            self._post.log.info("body too slow", service=self._post.service, ip=self.visit.ip, size=spool.size)
            self._smtp.hang_up(_TOO_SLOW)

    async def _end(self, event: BodyEnd) -> None:
        reply = event.flaw or self._fault
        spool, self._spool = self._spool, None
        if reply is None and spool is not None:
            reply = await self._hand_in(event, spool)
        elif spool is not None:
            spool.discard()
        self._fault = None
        reply = reply or _FAULT
        if reply.is_positive:
            self._useful = self._loop.time()
        else:
            self._refuse("message refused", reply, size=event.size)
        self._smtp.answer(reply)

    async def _hand_in(self, event: BodyEnd, spool: Spool) -> Reply:
        """The whole message, to the desk."""
        post = self._post
        try:
            content = await spool.finish()
        except StoreFault as fault:
            spool.discard()
            return self._store_reply(fault)
        stamps = [self._connected, *self._stamps, *self._refused]
        began = self._loop.time()
        reply = await self._decided(post.desk.data(self._peer, event.envelope, content, stamps))
        post.seconds.observe(self._loop.time() - began)
        return reply

    async def _decided(self, question: Coroutine[Any, Any, Reply]) -> Reply:
        """The desk's answer; 451 where it has none because something is wrong with us."""
        try:
            return await question
        except Exception as error:
            self._post.log.error("desk failed", service=self._post.service, ip=self.visit.ip, exc_info=error)
            return _FAULT

    def _discard(self) -> None:
        """What was spooled is wanted no more."""
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.discard()

    def _refuse(self, what: str, reply: Reply, **facts: object) -> None:
        post = self._post
        post.metrics.rejected.labels(post.service, str(reply.code)).inc()
        post.log.info(what, service=post.service, ip=self.visit.ip, reply=str(reply), **facts)

    def _store_reply(self, fault: StoreFault) -> Reply:
        self._post.log.error("body not kept", service=self._post.service, ip=self.visit.ip, error=str(fault))
        return store_reply(fault)
