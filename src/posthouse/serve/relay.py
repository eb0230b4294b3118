"""The courier: carries parcels to hosts over SMTP connections that are kept and used again.

    courier = SmtpCourier(CourierSettings(ClientSettings("mx.example.org")), clock, trust=tls.verified())
    handover = await courier.deliver(host, parcel, rcpts)
    await courier.close()

Each address of a host is tried in its order. Encryption is taken where it is offered, from whoever answers; if the
handshake fails, once more without, as a passive listener could have had that anyway (RFC 7435). A host that is to be
known (`TlsRule.REQUIRED`, and every host we log in at) gets nothing without a certificate that is right: no login, no
mail.

A connection is put aside after a transaction and taken up again by the next parcel for the same host; whether it still
lives shows only then, so a first failure on one that was put aside says nothing about the host, and the parcel goes out
on a fresh one. If the whole message went out and the final reply was lost, nobody knows: that attempt is transient, its
reply says so, and no other host is tried now.
"""

import asyncio
import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from posthouse.mail.delivery import Attempt, Outcome
from posthouse.mail.envelope import RcptTo
from posthouse.mail.instant import Clock
from posthouse.mail.reply import Reply
from posthouse.route.courier import Handover, Parcel
from posthouse.route.exchanges import Host, SmarthostLogin, TlsRule
from posthouse.route.settlement import outcome_of
from posthouse.serve import tls
from posthouse.serve.client import Connection, connect
from posthouse.wire.sasl import SaslError, choose
from posthouse.wire.smtp.client import ClientSettings
from posthouse.wire.smtp.events import AuthChallenge, BodyWanted, Greeted, LoggedIn, Ready, Settled, TlsReady

_NONCE_OCTETS = 24


@dataclass(frozen=True, slots=True)
class CourierSettings:
    """`engine` has our name and the patience with replies. Times in seconds: `connect` for one address, `idle` for a
    connection that is put aside; `transactions` is how often one is used. `sources`: our own addresses that mail leaves
    from, the first of the family of the host's address; without one the system chooses."""

    engine: ClientSettings
    sources: tuple[str, ...] = ()
    connect: float = 30
    handshake: float = 30
    idle: float = 5
    transactions: int = 100


class Unreached(Exception):
    """A host, or one address of it, did not come as far as a transaction. `reply` is its own or ours."""

    def __init__(self, reply: Reply, ip: str = "", permanent: bool = False) -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.ip = ip
        self.permanent = permanent


@dataclass(slots=True)
class _Session:
    """A connection that is ready for a transaction."""

    connection: Connection
    ip: str
    tls: str
    used: int = 0
    timer: asyncio.TimerHandle | None = field(default=None)


class SmtpCourier:
    """Keeps `posthouse.route.courier.Courier`. `trust` checks certificates where they must be right."""

    def __init__(self, settings: CourierSettings, clock: Clock, trust: ssl.SSLContext | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._trust = trust or tls.verified()
        self._anyone = tls.opportunistic()
        self._aside: dict[Host, list[_Session]] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    async def deliver(self, host: Host, parcel: Parcel, rcpts: Sequence[RcptTo]) -> Handover:
        """One transaction for all `rcpts`, at most 100. Never raises but for cancellation; see `Handover`."""
        session = self._take(host)
        while True:
            fresh = session is None
            if session is None:
                try:
                    session = await self._reach(host)
                except Unreached as failure:
                    outcome = Outcome.PERMANENT if failure.permanent else Outcome.TRANSIENT
                    attempt = Attempt(self._clock(), outcome, host.name, failure.ip, "", failure.reply)
                    return Handover((attempt,) * len(rcpts), False)
            try:
                settled = await self._transact(session.connection, parcel, rcpts)
            except BaseException:
                session.connection.abort()
                raise
            stale = not fresh and not session.connection.is_open and not settled.in_doubt
            if not stale or any(reply.is_positive for reply in settled.replies):
                break
            session = None
        dsn = "DSN" in session.connection.engine.capabilities
        attempts = self._attempts(host, session, settled)
        self._put_aside(host, session)
        return Handover(attempts, True, settled.in_doubt, dsn, settled.unasked)

    async def close(self) -> None:
        """Takes leave on every connection that is put aside."""
        for sessions in list(self._aside.values()):
            for session in list(sessions):
                self._leave(session)
        self._aside.clear()
        if self._leaving:
            await asyncio.wait(self._leaving)

    # --- connections that are kept ----------------------------------------------------------------------

    def _take(self, host: Host) -> _Session | None:
        sessions = self._aside.get(host)
        while sessions:
            session = sessions.pop()
            if session.timer is not None:
                session.timer.cancel()
                session.timer = None
            if session.connection.is_open:
                return session
            session.connection.abort()
        return None

    def _put_aside(self, host: Host, session: _Session) -> None:
        session.used += 1
        if not session.connection.is_open:
            session.connection.abort()
        elif session.used >= self._settings.transactions:
            self._leave(session)
        else:
            loop = asyncio.get_running_loop()
            session.timer = loop.call_later(self._settings.idle, self._forget, host, session)
            self._aside.setdefault(host, []).append(session)

    def _forget(self, host: Host, session: _Session) -> None:
        sessions = self._aside.get(host, [])
        if session in sessions:
            sessions.remove(session)
            if not sessions:
                del self._aside[host]
            self._leave(session)

    def _leave(self, session: _Session) -> None:
        if session.timer is not None:
            session.timer.cancel()
        task = asyncio.create_task(session.connection.leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    # --- one transaction --------------------------------------------------------------------------------

    async def _transact(self, connection: Connection, parcel: Parcel, rcpts: Sequence[RcptTo]) -> Settled:
        envelope = replace(parcel.envelope, rcpt_to=tuple(rcpts))
        connection.engine.transact(envelope, len(parcel.prefix) + parcel.content.size)
        while True:
            event = await connection.event()
            if isinstance(event, Settled):
                return event
            if isinstance(event, BodyWanted):
                await connection.send_body(parcel.prefix, parcel.content)
            elif event is None:
                # The engine settles what it began; this is for a connection that was gone before that.
                return Settled((Reply(451, "4.4.2", "The server closed the connection"),) * len(rcpts))

    def _attempts(self, host: Host, session: _Session, settled: Settled) -> tuple[Attempt, ...]:
        at = self._clock()
        attempts = []
        for reply in settled.replies:
            if settled.in_doubt and reply.is_transient:
                words = f"{reply.text}; the whole message was sent, and may have been taken"
                reply = replace(reply, text=words)
            attempts.append(Attempt(at, outcome_of(reply.code), host.name, session.ip, session.tls, reply))
        return tuple(attempts)

    # --- reaching a host --------------------------------------------------------------------------------

    async def _reach(self, host: Host) -> _Session:
        """The first address that comes as far as a transaction. Raises `Unreached` with the last one's reason, or
        with a refusal for ever where there was one."""
        failure: Unreached | None = None
        for ip in host.ips:
            try:
                return await self._call(host, ip)
            except Unreached as reason:
                if failure is None or not failure.permanent:
                    failure = reason
                failure.ip = failure.ip or ip
        raise failure or Unreached(Reply(451, "4.4.4", f"{host.name} has no address"))

    async def _call(self, host: Host, ip: str) -> _Session:
        encrypt = _is_demanding(host) or host.tls is not TlsRule.NEVER
        connection = await self._dial(host, ip)
        try:
            await _introduce(connection, host)
            if encrypt and connection.tls_facts is None and not await self._encrypt(connection, host):
                # Nothing was lost but the connection; the next one is not asked for TLS.
                connection.abort()
                connection = await self._dial(host, ip)
                await _introduce(connection, host)
            if host.login is not None:
                await _log_in(connection, host.login)
        except BaseException:
            connection.abort()
            raise
        facts = connection.tls_facts
        return _Session(connection, ip, f"{facts.version} {facts.cipher}" if facts else "")

    async def _dial(self, host: Host, ip: str) -> Connection:
        context = None
        if host.implicit_tls:
            context = self._trust if _is_demanding(host) else self._anyone
        settings = self._settings
        source = next((source for source in settings.sources if (":" in source) is (":" in ip)), None)
        try:
            return await connect(
                ip, host.port, settings.engine, seconds=settings.connect, context=context, name=host.name,
                source=source,
            )  # fmt: skip
        except TimeoutError:
            words = f"{host.name} [{ip}] did not answer within {settings.connect:.0f} seconds"
        except ssl.SSLError as error:
            words = f"TLS with {host.name} [{ip}] failed: {error.reason or error}"
        except OSError as error:
            words = f"{host.name} [{ip}] cannot be reached: {error.strerror or error}"
        raise Unreached(Reply(451, "4.4.1", words), ip)

    async def _encrypt(self, connection: Connection, host: Host) -> bool:
        """STARTTLS. False: it failed, and the host may be called again without. `Unreached` where it must not."""
        demanded = _is_demanding(host)
        if "STARTTLS" not in connection.engine.capabilities:
            if demanded:
                raise Unreached(Reply(451, "4.7.4", f"{host.name} does not offer the encryption that is demanded"))
            return True
        connection.engine.start_tls()
        event = await connection.event()
        words = "the server did not go on"
        if isinstance(event, TlsReady):
            words = str(event.reply)
            if event.reply.is_positive:
                try:
                    context = self._trust if demanded else self._anyone
                    await connection.start_tls(context, host.name, self._settings.handshake)
                    await _hello(connection, host)
                    return True
                except ssl.SSLError as error:
                    words = getattr(error, "verify_message", "") or error.reason or str(error)
                except (OSError, TimeoutError) as error:
                    words = str(error) or "the handshake did not end"
            elif not demanded and connection.is_open:
                return True
        if demanded:
            raise Unreached(Reply(451, "4.7.5", f"Encryption with {host.name} failed: {words}"))
        return False


def _is_demanding(host: Host) -> bool:
    return host.tls is TlsRule.REQUIRED or host.login is not None


async def _introduce(connection: Connection, host: Host) -> None:
    event = await connection.event()
    if not isinstance(event, Greeted):
        raise Unreached(Reply(451, "4.4.2", f"{host.name} did not greet us"))
    if not event.reply.is_positive:
        # RFC 7504 §3: 521 says that this host never takes mail. Any other greeting may be meant for now (and for us).
        raise Unreached(event.reply, permanent=event.reply.code == 521)
    await _hello(connection, host)


async def _hello(connection: Connection, host: Host) -> None:
    connection.engine.hello()
    event = await connection.event()
    if not isinstance(event, Ready):
        raise Unreached(Reply(451, "4.4.2", f"{host.name} left before we could introduce ourselves"))
    if not event.reply.is_positive:
        raise Unreached(event.reply, permanent=event.reply.code == 521)


async def _log_in(connection: Connection, login: SmarthostLogin) -> None:
    """AUTH, on a connection whose certificate was right. `Unreached` where the server will not have us."""
    engine = connection.engine
    try:
        mechanism = choose(
            engine.capabilities.mechanisms,
            login.username,
            login.password,
            nonce=secrets.token_bytes(_NONCE_OCTETS),
            tls=connection.tls_facts is not None,
        )
        engine.login(mechanism)
        while isinstance(event := await connection.event(), AuthChallenge):
            try:
                answer = await asyncio.to_thread(mechanism.respond, event.octets)
            except SaslError:
                engine.respond(None)
                raise
            engine.respond(answer)
    except SaslError as error:
        raise Unreached(Reply(451, "4.7.8", f"The login failed: {error}")) from None
    if not isinstance(event, LoggedIn) or not event.reply.is_positive:
        words = str(event.reply) if isinstance(event, LoggedIn) else "the server closed the connection"
        # Our own credentials are at fault, not the message: it waits until the administrator has mended them.
        raise Unreached(Reply(451, "4.7.8", f"The login failed: {words}"))
