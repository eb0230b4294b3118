"""STARTTLS, AUTHENTICATE, LOGIN, ID: who is there (RFC 3501 §6.2, RFC 2971)."""

from posthouse.serve.imap.session import Answer, Session
from posthouse.serve.login import Account, LoginFailure, Why
from posthouse.wire.imap import commands
from posthouse.wire.imap.engine import AuthResponse, Status

# RFC 5530 §3; what has no code there is a syntax error of the exchange.
_CODES = {
    Why.REFUSED: "AUTHENTICATIONFAILED",
    Why.UNKNOWN: "CANNOT",
    Why.PLAINTEXT: "PRIVACYREQUIRED",
    Why.BUSY: "UNAVAILABLE",
}


async def start_tls(session: Session, command: commands.StartTls) -> None:
    """The tagged OK leaves in the clear, then the transport is swapped; what follows is answered under TLS."""
    session.engine.complete(Status.OK, "Begin TLS now")
    await session.line.start_tls()


async def authenticate(session: Session, command: commands.Authenticate) -> Answer:
    """AUTHENTICATE, with the initial response where the client gave one (RFC 4959)."""

    async def exchange(challenge: bytes) -> bytes | None:
        session.engine.proceed(challenge)
        event = await session.line.event()
        if isinstance(event, AuthResponse):
            return event.octets
        raise ConnectionAbortedError("the client left in the middle of a login")

    line = session.line
    result = await session.post.login.authenticate(
        command.mechanism, command.initial, exchange, line.peer, line.binding
    )
    return _admit(session, result)


async def login(session: Session, command: commands.Login) -> Answer:
    """LOGIN; the engine has refused it already where there is no TLS."""
    result = await session.post.login.check(command.userid, command.password, session.line.peer)
    return _admit(session, result)


def _admit(session: Session, result: Account | LoginFailure) -> Answer:
    peer, log = session.line.peer, session.post.log
    if isinstance(result, LoginFailure):
        log.info("login refused", service=peer.role.value, ip=peer.ip, why=result.kind.value)
        code = _CODES.get(result.kind)
        return Answer(result.words, code or "", Status.BAD if code is None else Status.NO)
    account = str(result.address)
    log.info("logged in", service=peer.role.value, ip=peer.ip, account=account, mechanism=result.mechanism)
    session.account_id = result.account_id
    return Answer(f"Welcome, {account}")


async def identify(session: Session, command: commands.Identify) -> Answer:
    """ID. What the client says is logged, never believed."""
    if command.fields:
        session.post.log.debug("client identified", ip=session.line.peer.ip, client=dict(command.fields))
    # RFC 2971 §4 warns of telling versions to strangers.
    session.tell(b'* ID ("name" "Posthouse")\r\n')
    return Answer("Done")
