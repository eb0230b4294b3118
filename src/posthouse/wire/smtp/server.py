"""The server's engine: octets of a client in, events out, answers in, octets for the client out.

    engine = ServerEngine(settings)
    engine.greet()
    transport.write(engine.take())
    # data_received:
    engine.feed(octets)
    while (event := engine.next_event()) is not None:
        match event:
            case Mail(envelope): engine.answer(reply)          # now or later; until then next_event() gives None
            case BodyStart(): engine.answer(Reply(354, "", "")) # then BodyChunk…, BodyEnd
    transport.write(engine.take())
    if engine.closed: transport.close()

What the engine answers by itself: NOOP, RSET, HELP, VRFY, EXPN, QUIT, whatever is out of order or malformed, sizes and
counts over the limit. Lines that are too long or have a bare CR, LF or NUL get one 500 and are skipped. A client that
speaks HTTP or TLS where SMTP is due is hung up on without a word.

STARTTLS (RFC 3207 §4): if anything stands behind it, be it in the same flight or before the handshake begins, the
connection is answered 554 and closed; nothing of it is ever read as a command. After the handshake nothing from before
is known any more.
"""

import re
from binascii import b2a_base64
from collections.abc import Callable
from typing import Any

from posthouse.mail.envelope import Envelope
from posthouse.mail.reply import Reply
from posthouse.wire.buffer import BadLine, Flaw, ProtocolError
from posthouse.wire.smtp import commands
from posthouse.wire.smtp.body import TOO_LARGE, ChunkBody, DotBody
from posthouse.wire.smtp.events import (
    Auth,
    AuthResponse,
    BodyChunk,
    BodyEnd,
    BodyStart,
    Hello,
    Mail,
    Rcpt,
    ServerEvent,
    StartTls,
)
from posthouse.wire.smtp.session import AUTH_LINE, Reading, Session, Settings, State
from posthouse.wire.smtp.syntax import Refusal
from posthouse.wire.smtp.table import VERBS, objection

__all__ = ["ServerEngine", "Settings"]

# So many replies are made in one go. A client that sends commands and reads no replies fills no memory with them.
_REPLIES = 256

_UNKNOWN = Reply(500, "5.5.1", "That is no command of SMTP")
_NOT_ASCII = Reply(500, "5.5.2", "The command is not ASCII; with SMTPUTF8 it may be UTF-8")
_CONTROL = Reply(500, "5.5.2", "The command holds a control character")
_BAD_LINE = {flaw: Reply(500, "5.5.2", flaw.value) for flaw in Flaw}

# A browser or proxy that was made to connect here (RFC 9110 §9), or a TLS handshake (RFC 8446 §5.1).
_is_foreign = re.compile(rb"(?:GET|POST|PUT|HEAD|CONNECT|OPTIONS|DELETE|PATCH|TRACE) |\x16\x03", re.IGNORECASE).match
# A spoilt BDAT line does not tell how long its chunk is, and that must never be read as commands.
_is_chunk = re.compile(rb"BDAT\b", re.IGNORECASE).match

_ANSWERS: dict[type, Callable[[Session, Any, Reply], None]] = {
    Hello: commands.answer_hello,
    Mail: commands.answer_mail,
    Rcpt: commands.answer_rcpt,
    BodyStart: commands.answer_body_start,
    BodyEnd: commands.answer_body_end,
    Auth: commands.answer_auth,
    AuthResponse: commands.answer_auth,
    StartTls: commands.answer_starttls,
}


class ServerEngine:
    """One SMTP connection as seen by the server."""

    __slots__ = ("_session",)

    def __init__(self, settings: Settings) -> None:
        self._session = Session(settings)

    # --- octets ---------------------------------------------------------------------------------------

    def feed(self, octets: bytes) -> None:
        """Take what came in. Nothing is looked at before `next_event`."""
        session = self._session
        if session.closed:
            return
        session.lines.feed(octets)

    def take(self) -> bytes:
        """What is to be sent now, at once; empty where there is nothing."""
        out = self._session.out
        if not out:
            return b""
        octets = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return octets

    # --- events ---------------------------------------------------------------------------------------

    def next_event(self) -> ServerEvent | None:
        """The next thing the door has to know; None where more octets or an answer are waited for.

        None is also given where a lot is to be said: send what `take` gives, and as long as it gives something, ask
        again.
        """
        session = self._session
        news = session.news
        while True:
            if news:
                return news.popleft()
            if session.waiting is not None or session.closed:
                return None
            reading = session.reading
            if reading == Reading.COMMANDS:
                if len(session.out) >= _REPLIES:
                    return None
                line = _line(session)
                if line is None:
                    return None
                event = _run(session, line) if line else None
            elif reading == Reading.RESPONSE:
                event = _response(session)
                if event is None:
                    return None
            elif reading == Reading.HANDSHAKE:
                return None
            else:
                chunk = _read_body(session)
                if chunk is None:
                    return None
                if chunk:
                    return BodyChunk(chunk)
                continue
            if event is not None:
                _wait(session, event)

    def next_chunk(self) -> bytes | None:
        """What `next_event` would give as a `BodyChunk`; b"" while more of the body has to come, None where it is not a
        body that comes next."""
        session = self._session
        while not session.news and session.waiting is None and not session.closed:
            if session.reading not in (Reading.DATA, Reading.CHUNK):
                return None
            chunk = _read_body(session)
            if chunk is None:
                return b""
            if chunk:
                return chunk
        return None

    # --- the door's side ------------------------------------------------------------------------------

    def greet(self, reply: Reply | None = None) -> None:
        """Say 220, or what is given: after 554 the client may only leave, another negative greeting ends it at once."""
        session = self._session
        if reply is None:
            session.say(Reply(220, "", f"{session.settings.hostname} ESMTP Posthouse"))
        elif reply.is_positive:
            session.say(reply)
        elif reply.code == 554:
            # RFC 5321 §3.1: QUIT is waited for, whatever else comes is out of order.
            session.say(reply)
            session.state = State.REFUSED
        else:
            session.hang_up(reply)

    def answer(self, reply: Reply) -> None:
        """The answer to the last event that waits for one. ProtocolError where none does."""
        session = self._session
        event = session.waiting
        if event is None:
            if session.closed:
                return
            raise ProtocolError("nothing waits for an answer")
        session.waiting = None
        _ANSWERS[type(event)](session, event, reply)

    def challenge(self, octets: bytes) -> None:
        """334 with a challenge, in place of an answer to Auth or AuthResponse; an AuthResponse follows."""
        session = self._session
        if session.closed:
            return
        event = session.waiting
        if not isinstance(event, Auth) and not (isinstance(event, AuthResponse) and event.flaw is None):
            raise ProtocolError("no login is under way")
        session.waiting = None
        session.reading = Reading.RESPONSE
        session.out.append(b"334 " + b2a_base64(octets, newline=False) + b"\r\n")

    def start_tls_done(self) -> None:
        """The handshake is over, whatever is fed from now on came through TLS. Nothing from before is known."""
        session = self._session
        if session.reading != Reading.HANDSHAKE or session.waiting is not None:
            raise ProtocolError("no handshake was agreed on")
        if len(session.lines):
            session.hang_up()
            return
        session.begin(tls=True)

    def hang_up(self, reply: Reply | None = None) -> None:
        """End the connection with a last word (421 as a rule); during a TLS handshake without it."""
        self._session.hang_up(reply)

    # --- what can be asked ----------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Send what `take` gives, then close."""
        return self._session.closed

    @property
    def patience(self) -> float:
        """For how many seconds the client may now be silent."""
        session = self._session
        if Reading.DATA <= session.reading <= Reading.REFUSED_CHUNK:
            return session.settings.body_patience
        if session.state in (State.HELLO, State.REFUSED):
            return session.settings.hello_patience
        return session.settings.command_patience

    @property
    def envelope(self) -> Envelope:
        """MAIL with the recipients taken so far. ProtocolError outside a transaction."""
        if self._session.mail is None:
            raise ProtocolError("there is no transaction")
        return self._session.envelope()

    @property
    def in_transaction(self) -> bool:
        """Whether MAIL was taken and its end is not yet answered: what a shutdown waits for."""
        return self._session.mail is not None

    @property
    def unread(self) -> int:
        """How many octets wait to be read: what came before the greeting, or behind an unanswered event."""
        return len(self._session.lines)


def _line(session: Session) -> bytes | None:
    """The next command; b"" for one that was answered as a bad line, None where there is none yet."""
    try:
        line = session.lines.line(session.line_limit)
    except BadLine as bad:
        if _is_foreign(bad.head):
            session.hang_up()
        elif _is_chunk(bad.head):
            session.hang_up(_BAD_LINE[bad.flaw])
        else:
            session.complain(_BAD_LINE[bad.flaw])
        return b""
    if line == b"":
        session.complain(_UNKNOWN)
    return line


def _response(session: Session) -> AuthResponse | None:
    """The next line of a login (RFC 4954 §4)."""
    try:
        line = session.lines.line(AUTH_LINE)
    except BadLine:
        return commands.overlong_response()
    return None if line is None else commands.response(line)


def _run(session: Session, line: bytes) -> ServerEvent | None:
    """One command line, complete and without bare CR, LF or NUL."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = "\ufffd"
    head, _, argument = text.partition(" ")
    verb = VERBS.get(head.upper())
    if verb is None or not (line.isascii() or verb.international) or not text.isprintable():
        _not_run(session, line, known=verb is not None)
        return None
    # RFC 5321 §4.1.1: white space before the CRLF is tolerated.
    argument = argument.strip()
    reply = objection(session, verb, argument)
    if reply is not None:
        session.complain(reply)
        return None
    try:
        return verb.run(session, argument)
    except Refusal as refusal:
        session.complain(refusal.reply)
        return None


def _not_run(session: Session, line: bytes, *, known: bool) -> None:
    if _is_foreign(line):
        session.hang_up()
    elif _is_chunk(line):
        session.hang_up(_NOT_ASCII)
    elif not line.isascii():
        session.complain(_NOT_ASCII)
    else:
        session.complain(_CONTROL if known else _UNKNOWN)


def _read_body(session: Session) -> bytes | None:
    return _read_data(session) if session.reading == Reading.DATA else _read_chunk(session)


def _read_data(session: Session) -> bytes | None:
    """The next octets of a body after DATA; b"" where there are none to pass on, None where more have to come."""
    lines = session.lines
    if not len(lines):
        return None
    body = session.body
    assert isinstance(body, DotBody)
    chunk = body.feed(lines.take())
    if body.ended:
        if body.rest:
            lines.feed(body.rest)
        _wait(session, commands.body_end(session))
    elif body.size > session.settings.endless_size:
        session.hang_up(TOO_LARGE)
    return chunk


def _read_chunk(session: Session) -> bytes | None:
    """The same for a chunk after BDAT, or for one that is refused once it is complete."""
    octets = b""
    if session.chunk_left:
        octets = session.lines.take(session.chunk_left)
        if not octets:
            return None
        session.chunk_left -= len(octets)
    if session.reading == Reading.REFUSED_CHUNK:
        if not session.chunk_left and session.refusal is not None:
            session.reading = Reading.COMMANDS
            session.complain(session.refusal)
        return b""
    body = session.body
    assert isinstance(body, ChunkBody)
    chunk = body.feed(octets) if octets else b""
    if not session.chunk_left:
        end = commands.chunk_end(session)
        if end is not None:
            _wait(session, end)
    return chunk


def _wait(session: Session, event: ServerEvent) -> None:
    session.waiting = event
    session.news.append(event)
