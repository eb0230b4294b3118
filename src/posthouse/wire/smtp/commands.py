"""What each command does, and what follows from its answer. The rows that name these functions are in `table`.

A command function gets the argument without white space around it and gives the event that waits for the door's
answer, or None where it has answered itself. An answer function moves the state, and only on a positive reply.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64

from posthouse.mail.envelope import Body, Envelope, RcptTo
from posthouse.mail.peer import Role
from posthouse.mail.reply import Reply
from posthouse.wire.smtp import syntax
from posthouse.wire.smtp.body import TOO_LARGE, ChunkBody, DotBody
from posthouse.wire.smtp.events import (
    Auth,
    AuthResponse,
    BodyEnd,
    BodyStart,
    Hello,
    Mail,
    Rcpt,
    ServerEvent,
    StartTls,
)
from posthouse.wire.smtp.extensions import MAIL_PARAMETERS, RCPT_PARAMETERS, announcement, fields
from posthouse.wire.smtp.session import TOO_MANY_LOGINS, TOO_MANY_REFUSED, Reading, Session, State

_OK = Reply(250, "2.0.0", "OK")
_BYE = Reply(221, "2.0.0", "Goodbye")
_SEND_DATA = Reply(354, "", "Send the message, end it with a dot on a line by itself")
_CHUNK_TAKEN = Reply(250, "2.0.0", "Chunk taken")
_CHUNK_OUT_OF_ORDER = Reply(503, "5.5.1", "BDAT comes after RCPT, and not after a failed BDAT")
_BROKEN_BASE64 = Reply(501, "5.5.2", "That is not base64")
_CANCELLED = Reply(501, "5.7.0", "Login given up")
_RESPONSE_TOO_LONG = Reply(500, "5.5.6", "The response is too long")
_NEEDS_SMTPUTF8 = "An address outside ASCII needs SMTPUTF8"
_LEFT_OVER = Reply(554, "5.5.1", "Nothing may follow STARTTLS before TLS is active")

# --- commands -----------------------------------------------------------------------------------------


def ehlo(session: Session, argument: str) -> ServerEvent | None:
    return Hello("EHLO", syntax.hello_name(argument))


def helo(session: Session, argument: str) -> ServerEvent | None:
    return Hello("HELO", syntax.hello_name(argument))


def mail(session: Session, argument: str) -> ServerEvent | None:
    if session.settings.role is Role.SUBMISSION and not session.authenticated:
        # RFC 3207 §4, RFC 4954 §6
        need = "Log in first" if session.tls else "Say STARTTLS, then log in"
        raise syntax.refuse(530, "5.7.0", need)
    path, text = syntax.split_from(argument)
    found = fields(session, MAIL_PARAMETERS, syntax.parameters(text)) if text else {}
    smtputf8 = found.get("smtputf8", False)
    if not smtputf8 and not argument.isascii():
        # RFC 6531 §3.5: 550 for MAIL, 553 for RCPT
        raise syntax.refuse(550, "5.6.7", _NEEDS_SMTPUTF8)
    mail_from = syntax.reverse_path(path, smtputf8=smtputf8)
    # RFC 1870 §6.1
    if found.get("size", 0) > session.settings.max_size:
        raise syntax.Refusal(TOO_LARGE)
    return Mail(Envelope(mail_from, **found))


def rcpt(session: Session, argument: str) -> ServerEvent | None:
    assert session.mail is not None
    smtputf8 = session.mail.smtputf8
    if not smtputf8 and not argument.isascii():
        raise syntax.refuse(553, "5.6.7", _NEEDS_SMTPUTF8)
    path, text = syntax.split_to(argument)
    found = fields(session, RCPT_PARAMETERS, syntax.parameters(text)) if text else {}
    address = syntax.forward_path(path, smtputf8=smtputf8)
    # RFC 5321 §4.5.3.1.10: 452, so that the client sends the rest in another transaction.
    if len(session.rcpts) >= session.settings.max_recipients:
        session.say(Reply(452, "4.5.3", f"At most {session.settings.max_recipients} recipients at a time"))
        return None
    return Rcpt(RcptTo(address, **found))


def data(session: Session, argument: str) -> ServerEvent | None:
    # RFC 2920 §3.2: DATA is taken only with at least one recipient.
    if session.state == State.MAIL:
        raise syntax.refuse(554, "5.5.1", "No valid recipients")
    session.reading = Reading.DATA
    return BodyStart(session.envelope())


def bdat(session: Session, argument: str) -> ServerEvent | None:
    number, _, last = argument.partition(" ")
    if not (number.isascii() and number.isdigit()) or len(number) > 18:
        # Where the chunk ends is unknown, and its octets must never be read as commands.
        session.hang_up(Reply(501, "5.5.4", "BDAT takes a number of octets; cannot go on"))
        return None
    session.chunk_left = int(number)
    session.chunk_last = last.upper() == "LAST"
    refusal = None
    if last and not session.chunk_last:
        refusal = Reply(501, "5.5.4", "BDAT takes a number of octets and perhaps LAST")
    elif session.state not in (State.RCPT, State.CHUNKS) or not session.esmtp:
        refusal = _CHUNK_OUT_OF_ORDER
    if session.chunk_left > session.settings.endless_size:
        session.hang_up(TOO_LARGE)
        return None
    if refusal is not None:
        # RFC 3030 §2: accept and discard, then refuse. A transaction that began is over.
        session.refusal = refusal
        session.reading = Reading.REFUSED_CHUNK
        session.reset()
        return None
    session.reading = Reading.CHUNK
    if session.state == State.RCPT:
        return BodyStart(session.envelope())
    return None


def rset(session: Session, argument: str) -> ServerEvent | None:
    session.reset()
    session.say(_OK)
    return None


def noop(session: Session, argument: str) -> ServerEvent | None:
    session.say(_OK)
    return None


def quit_(session: Session, argument: str) -> ServerEvent | None:
    session.hang_up(_BYE)
    return None


def vrfy(session: Session, argument: str) -> ServerEvent | None:
    # RFC 5321 §3.5.3: 252, since who exists is told at RCPT only.
    session.say(Reply(252, "2.0.0", "Cannot verify, but will take a message and try"))
    return None


def expn(session: Session, argument: str) -> ServerEvent | None:
    raise syntax.refuse(502, "5.5.1", "Lists are not shown")


def starttls(session: Session, argument: str) -> ServerEvent | None:
    # RFC 3207 §4: STARTTLS ends a group of commands. What stands behind it was put there by somebody in between.
    if len(session.lines):
        session.hang_up(_LEFT_OVER)
        return None
    session.reading = Reading.HANDSHAKE
    return StartTls()


def auth(session: Session, argument: str) -> ServerEvent | None:
    # RFC 4954 §4: not twice, and not within a transaction (the row's states see to that).
    if session.authenticated:
        raise syntax.refuse(503, "5.5.1", "Logged in already")
    name, _, initial = argument.partition(" ")
    if name.upper() not in session.settings.mechanisms:
        raise syntax.refuse(504, "5.5.4", "That mechanism is not offered")
    if not initial:
        return Auth(name.upper(), None)
    try:
        return Auth(name.upper(), b"" if initial == "=" else _unbase64(initial.encode()))
    except Base64Error:
        raise syntax.Refusal(_BROKEN_BASE64) from None


def response(line: bytes) -> AuthResponse:
    """A line of the client during AUTH (RFC 4954 §4)."""
    if line == b"*":
        return AuthResponse(None, _CANCELLED)
    try:
        return AuthResponse(_unbase64(line))
    except Base64Error:
        return AuthResponse(None, _BROKEN_BASE64)


def overlong_response() -> AuthResponse:
    return AuthResponse(None, _RESPONSE_TOO_LONG)


def _unbase64(octets: bytes) -> bytes:
    return a2b_base64(octets, strict_mode=True)


# --- answers ------------------------------------------------------------------------------------------


def answer_hello(session: Session, event: Hello, reply: Reply) -> None:
    if not reply.is_positive:
        session.say(reply)
        return
    session.reset()
    session.state = State.IDLE
    session.esmtp = event.verb == "EHLO"
    # RFC 5321 §4.1.1.1: the first word is our name.
    first = f"{session.settings.hostname} {reply.text}".rstrip()
    lines = [first, *announcement(session)] if session.esmtp else [first]
    session.say(Reply(250, "", "\n".join(lines)))


def answer_mail(session: Session, event: Mail, reply: Reply) -> None:
    session.say(reply)
    if reply.is_positive:
        session.mail = event.envelope
        session.state = State.MAIL


def answer_rcpt(session: Session, event: Rcpt, reply: Reply) -> None:
    session.say(reply)
    if reply.is_positive:
        session.rcpts.append(event.rcpt)
        session.envelope_cache = None
        session.state = State.RCPT
    elif reply.is_permanent:
        # Who tries names until one fits is stopped.
        session.refused += 1
        if session.refused > session.settings.max_refused_recipients:
            session.hang_up(TOO_MANY_REFUSED)


def answer_body_start(session: Session, event: BodyStart, reply: Reply) -> None:
    limit = session.settings.max_size
    if session.reading == Reading.DATA:
        if reply.is_positive:
            session.say(_SEND_DATA)
            session.body = DotBody(limit)
        else:
            session.reading = Reading.COMMANDS
            session.say(reply)
            session.drop_transaction()
    elif reply.is_positive:
        session.body = ChunkBody(limit)
        session.state = State.CHUNKS
    else:
        session.refusal = reply
        session.reading = Reading.REFUSED_CHUNK
        session.drop_transaction()


def answer_body_end(session: Session, event: BodyEnd, reply: Reply) -> None:
    # A body with a flaw is never taken, whatever the door says.
    session.say(event.flaw or reply)
    if event.flaw is None and reply.is_positive:
        session.bad = 0
        session.refused = 0
    session.drop_transaction()


def answer_auth(session: Session, event: Auth | AuthResponse, reply: Reply) -> None:
    session.reading = Reading.COMMANDS
    if isinstance(event, AuthResponse) and event.flaw is not None:
        reply = event.flaw
    session.say(reply)
    if reply.is_positive:
        session.authenticated = True
        session.set_line_limit()
        return
    session.auth_failures += 1
    if session.auth_failures >= session.settings.max_failed_logins:
        session.hang_up(TOO_MANY_LOGINS)


def answer_starttls(session: Session, event: StartTls, reply: Reply) -> None:
    if len(session.lines):
        session.reading = Reading.COMMANDS
        session.hang_up(_LEFT_OVER)
        return
    session.say(reply)
    if not reply.is_positive:
        session.reading = Reading.COMMANDS


# --- bodies -------------------------------------------------------------------------------------------


def body_end(session: Session) -> BodyEnd:
    """The end of a body, or of a chunk that spoils it."""
    body = session.body
    assert body is not None
    session.reading = Reading.COMMANDS
    envelope = session.envelope()
    if body.eight_bit and envelope.body is Body.SEVEN_BIT:
        # Undeclared 8-bit octets are common; whoever relays this has to know.
        envelope = Envelope(
            envelope.mail_from, envelope.rcpt_to, Body.EIGHT_BIT_MIME, envelope.smtputf8, envelope.ret,
            envelope.envid, envelope.size,
        )  # fmt: skip
    return BodyEnd(envelope, body.size, body.flaw)


def chunk_end(session: Session) -> BodyEnd | None:
    """A chunk is complete (RFC 3030 §2)."""
    body = session.body
    assert isinstance(body, ChunkBody)
    if session.chunk_last:
        body.end()
    if session.chunk_last or body.flaw is not None:
        return body_end(session)
    session.reading = Reading.COMMANDS
    session.say(_CHUNK_TAKEN)
    return None
