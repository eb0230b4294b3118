"""The client's engine: what the relay wants in, octets for the server out, replies in, events out.

    engine = ClientEngine(ClientSettings(hostname))
    # connected: feed(octets), next_event(), take() as with the server's engine, until
    Greeted(reply)         → hello()
    Ready(reply)           → look at `capabilities`; start_tls(), login(…) or transact(…)
    TlsReady(reply)        → positive: swap the transport, start_tls_done(), hello() again
    AuthChallenge(octets)  → respond(mechanism.respond(octets)), or respond(None) to give up
    LoggedIn(reply)        → transact(…)
    RcptReplied(i, reply)  → for the record
    BodyWanted()           → body(octets) …, body(b"", last=True)
    Settled(replies)       → transact(…) again on the same connection, or quit()
    Goodbye(reply)         → close

One transaction carries one message for many recipients. With PIPELINING all its commands leave in one flight; what is
left over from a transaction that went wrong is cleared by RSET before the next one. Nothing is sent that the server
did not offer: a message that needs SMTPUTF8, 8BITMIME or more SIZE than there is comes back Settled at once, with a
5.6.x or 5.3.4 reply of our own. When the connection breaks or patience ends, the caller says so with `lost(words)`.

`next_event` raises ProtocolError when the server speaks nonsense: say `lost(str(error))` and close.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from posthouse.mail.envelope import Envelope
from posthouse.mail.reply import Reply
from posthouse.wire.buffer import ProtocolError
from posthouse.wire.sasl import ClientMechanism
from posthouse.wire.smtp.body import DotStuffing
from posthouse.wire.smtp.events import (
    AuthChallenge,
    BodyWanted,
    Cleared,
    ClientEvent,
    Goodbye,
    Greeted,
    LoggedIn,
    RcptReplied,
    Ready,
    Settled,
    TlsReady,
)
from posthouse.wire.smtp.replies import Capabilities, ReplyReader
from posthouse.wire.smtp.transaction import Step, Transaction

# RFC 4954 §4: an AUTH command with its initial response is no longer than other commands (RFC 5321 §4.5.3.1.4).
_COMMAND_LINE = 512

# Codes by which a server from before ESMTP refuses EHLO (RFC 5321 §3.2); 421, 521 and 554 mean the connection.
_NO_EHLO = frozenset((500, 501, 502, 503, 504, 550))

_LEFT_OVER = Reply(454, "4.7.0", "The server sent more behind its answer to STARTTLS")
_UNPROVEN = Reply(454, "4.7.0", "The server took the login without showing that it knows the password")


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """`hostname` is what EHLO says. Patience in seconds, RFC 5321 §4.5.3.2 where nothing else is said."""

    hostname: str
    greeting_patience: float = 300
    command_patience: float = 300
    data_patience: float = 120
    body_patience: float = 180
    final_patience: float = 600
    quit_patience: float = 5


class ClientEngine:
    """One SMTP connection as seen by the client. `capabilities` are those of the last EHLO."""

    __slots__ = (
        "_awaited", "_dirty", "_events", "_handshake", "_logged_in", "_mechanism", "_out", "_plan", "_reader",
        "_saved_initial", "_settings", "_stuffing", "_transaction", "capabilities", "closed", "tls",
    )  # fmt: skip

    def __init__(self, settings: ClientSettings, *, tls: bool = False) -> None:
        """`tls`: the connection has TLS from its first octet."""
        self._settings = settings
        self._reader = ReplyReader()
        self._out: list[bytes] = []
        self._events: deque[ClientEvent] = deque()
        self._awaited: deque[tuple[Step, int]] = deque([(Step.GREETING, 0)])
        self._plan: deque[tuple[Step, int, str]] = deque()
        self._transaction: Transaction | None = None
        self._stuffing: DotStuffing | None = None
        self._mechanism: ClientMechanism | None = None
        self._saved_initial: bytes | None = None
        self._logged_in = False
        self._handshake = False
        self._dirty = False
        self.capabilities = Capabilities()
        self.closed = False
        self.tls = tls

    # --- octets ---------------------------------------------------------------------------------------

    def feed(self, octets: bytes) -> None:
        """Take what came in."""
        if not self.closed:
            self._reader.lines.feed(octets)

    def take(self) -> bytes:
        """What is to be sent now; empty where there is nothing."""
        octets = b"".join(self._out)
        self._out.clear()
        return octets

    def next_event(self) -> ClientEvent | None:
        """The next thing the caller has to know; None where the server has to speak first. ProtocolError."""
        while not self._events:
            if self.closed or self._handshake:
                return None
            reply = self._reader.next()
            if reply is None:
                return None
            if not self._awaited:
                if reply.code != 421:
                    raise ProtocolError(f"the server said what nobody asked for: {str(reply)[:200]}")
                self.closed = True
                return Goodbye(reply)
            step, index = self._awaited.popleft()
            _check(step, reply)
            _TAKEN[step](self, index, reply)
            # RFC 5321 §3.8: with 421 the server closes, whatever it was asked.
            if reply.code == 421:
                _end(self, reply)
                self.closed = True
            _send(self)
        return self._events.popleft()

    # --- commands -------------------------------------------------------------------------------------

    def hello(self) -> None:
        """EHLO, and HELO where that is not known; gives Ready."""
        _command(self, Step.EHLO, f"EHLO {self._settings.hostname}")

    def start_tls(self) -> None:
        """STARTTLS; gives TlsReady."""
        _command(self, Step.STARTTLS, "STARTTLS")

    def start_tls_done(self) -> None:
        """The handshake is over: nothing the server said before counts. ProtocolError where it said too much."""
        if not self._handshake or len(self._reader.lines):
            self.closed = True
            raise ProtocolError("the server sent octets between STARTTLS and the handshake")
        self._handshake = False
        self.capabilities = Capabilities()
        self.tls = True

    def login(self, mechanism: ClientMechanism) -> None:
        """AUTH; gives AuthChallenge as often as the mechanism needs it, then LoggedIn."""
        self._mechanism = mechanism
        self._saved_initial = None
        words = f"AUTH {mechanism.name}"
        if mechanism.initial is not None:
            # RFC 4954 §4: "=" stands for an initial response that is there but empty.
            with_initial = f"{words} {_base64(mechanism.initial) or '='}"
            if len(with_initial) + 2 <= _COMMAND_LINE:
                words = with_initial
            else:
                self._saved_initial = mechanism.initial
        _command(self, Step.AUTH, words)

    def respond(self, octets: bytes | None) -> None:
        """The answer to AuthChallenge; None gives the login up."""
        _command(self, Step.AUTH, "*" if octets is None else _base64(octets))

    def transact(self, envelope: Envelope, size: int) -> None:
        """One message of `size` octets for all recipients of the envelope, at least one.

        Gives RcptReplied for each, BodyWanted where any was taken, and Settled at the end.
        """
        transaction = Transaction(envelope, size, self.capabilities, logged_in=self._logged_in)
        objection = transaction.objection()
        if objection is not None:
            self._events.append(Settled(transaction.settle(objection), unasked=True))
            return
        if self._transaction is not None or self._awaited or not envelope.rcpt_to:
            raise ProtocolError("a transaction out of turn")
        self._transaction = transaction
        if self._dirty:
            self._plan.append((Step.CLEAN, 0, "RSET"))
            self._dirty = False
        self._plan.extend(transaction.commands())
        _send(self)

    def body(self, octets: bytes, *, last: bool = False) -> None:
        """The next octets of the message, cut anywhere; `last` ends it. Call `take` after each, to send as it goes."""
        if self._stuffing is None:
            if self.closed:
                return
            raise ProtocolError("a body that nobody waits for")
        stuffed = self._stuffing.feed(octets)
        if stuffed:
            self._out.append(stuffed)
        if last:
            self._out.append(self._stuffing.end())
            self._stuffing = None
            self._awaited.append((Step.BODY, 0))

    def reset(self) -> None:
        """RSET, to see whether the server is still there; gives Cleared."""
        self._dirty = False
        _command(self, Step.RSET, "RSET")

    def quit(self) -> None:
        """QUIT; gives Goodbye. Not during a transaction: then just close."""
        _command(self, Step.QUIT, "QUIT")

    def lost(self, words: str) -> None:
        """The connection is gone, or not to be waited for: an open transaction comes out Settled, with 451 4.4.2."""
        _end(self, Reply(451, "4.4.2", words))
        self.closed = True

    # --- what can be asked ----------------------------------------------------------------------------

    @property
    def patience(self) -> float:
        """For how many seconds the server may now be silent, or (while the body is sent) not take anything."""
        settings = self._settings
        if self._stuffing is not None:
            return settings.body_patience
        if not self._awaited:
            return settings.command_patience
        return {
            Step.GREETING: settings.greeting_patience,
            Step.DATA: settings.data_patience,
            Step.BODY: settings.final_patience,
            Step.EMPTY: settings.final_patience,
            Step.QUIT: settings.quit_patience,
        }.get(self._awaited[0][0], settings.command_patience)


# --- sending ------------------------------------------------------------------------------------------


def _command(engine: ClientEngine, step: Step, words: str) -> None:
    """Say one thing and wait for its reply."""
    if engine.closed:
        return
    if engine._awaited or engine._plan or engine._transaction is not None:
        raise ProtocolError(f"{step.name} out of turn")
    engine._plan.append((step, 0, words))
    _send(engine)


def _send(engine: ClientEngine) -> None:
    """Send what is planned: all of it with PIPELINING (RFC 2920 §3.1), else one command at a time."""
    while engine._plan and not engine.closed and (not engine._awaited or "PIPELINING" in engine.capabilities):
        step, index, words = engine._plan.popleft()
        engine._out.append(_line(words))
        engine._awaited.append((step, index))


def _end(engine: ClientEngine, reply: Reply, *, clean: bool = False) -> None:
    """Settle the transaction, if there is one; `clean` tells that the server has forgotten it as well."""
    transaction = engine._transaction
    if transaction is None:
        return
    in_doubt = bool(engine._awaited) and engine._awaited[0][0] is Step.BODY
    engine._transaction = None
    engine._stuffing = None
    engine._plan.clear()
    engine._dirty = not clean
    engine._events.append(Settled(transaction.settle(reply), in_doubt))


def _line(words: str) -> bytes:
    """A command as sent. What would be two commands is never sent, wherever it came from."""
    if "\r" in words or "\n" in words or "\0" in words:
        raise ProtocolError("a command with CR, LF or NUL")
    return words.encode() + b"\r\n"


def _base64(octets: bytes) -> str:
    return b2a_base64(octets, newline=False).decode("ascii")


# --- replies ------------------------------------------------------------------------------------------


def _greeting(engine: ClientEngine, index: int, reply: Reply) -> None:
    engine._events.append(Greeted(reply))


def _ehlo(engine: ClientEngine, index: int, reply: Reply) -> None:
    if reply.code in _NO_EHLO:
        engine._plan.append((Step.HELO, 0, f"HELO {engine._settings.hostname}"))
        return
    engine.capabilities = Capabilities.parse(reply) if reply.is_positive else Capabilities()
    engine._events.append(Ready(reply))


def _helo(engine: ClientEngine, index: int, reply: Reply) -> None:
    engine.capabilities = Capabilities()
    engine._events.append(Ready(reply))


def _starttls(engine: ClientEngine, index: int, reply: Reply) -> None:
    if not reply.is_positive:
        engine._events.append(TlsReady(reply))
    elif len(engine._reader.lines):
        # RFC 3207 §4: after its 220 the server waits. What is there already was put in by somebody else.
        engine.closed = True
        engine._events.append(TlsReady(_LEFT_OVER))
    else:
        engine._handshake = True
        engine._events.append(TlsReady(reply))


def _auth(engine: ClientEngine, index: int, reply: Reply) -> None:
    if reply.code == 334:
        try:
            challenge = a2b_base64(reply.text.encode(), strict_mode=True)
        except Base64Error:
            # RFC 4954 §4: the client must cancel then; the server's 501 ends it.
            engine._plan.append((Step.AUTH, 0, "*"))
            return
        initial, engine._saved_initial = engine._saved_initial, None
        if initial is not None and not challenge:
            engine._plan.append((Step.AUTH, 0, _base64(initial)))
        else:
            engine._events.append(AuthChallenge(challenge))
        return
    if reply.is_positive and (engine._mechanism is None or not engine._mechanism.verified):
        # RFC 5802 §5: without the server's signature there is no knowing who it is.
        engine.closed = True
        reply = _UNPROVEN
    engine._logged_in = reply.is_positive
    engine._mechanism = None
    engine._events.append(LoggedIn(reply))


def _clean(engine: ClientEngine, index: int, reply: Reply) -> None:
    if not reply.is_positive:
        _end(engine, Reply(451, "4.5.0", f"The server refused RSET: {reply}"))
        engine.closed = True


def _rset(engine: ClientEngine, index: int, reply: Reply) -> None:
    engine._events.append(Cleared(reply))


def _quit(engine: ClientEngine, index: int, reply: Reply) -> None:
    engine.closed = True
    engine._events.append(Goodbye(reply))


def _mail(engine: ClientEngine, index: int, reply: Reply) -> None:
    transaction = engine._transaction
    assert transaction is not None
    if reply.is_positive:
        return
    transaction.mail_refusal = reply
    if engine._plan:
        _end(engine, reply, clean=True)


def _rcpt(engine: ClientEngine, index: int, reply: Reply) -> None:
    transaction = engine._transaction
    assert transaction is not None
    if transaction.mail_refusal is not None:
        return
    reply = transaction.rcpt_replied(index, reply)
    engine._events.append(RcptReplied(index, reply))
    # Without PIPELINING, DATA is not even asked for where nobody was taken.
    if engine._plan and engine._plan[0][0] is Step.DATA and not transaction.taken:
        _end(engine, reply)


def _data(engine: ClientEngine, index: int, reply: Reply) -> None:
    transaction = engine._transaction
    assert transaction is not None
    refusal = transaction.mail_refusal
    if not reply.is_positive:
        _end(engine, refusal or reply, clean=refusal is not None)
    elif refusal is not None or not transaction.taken:
        # RFC 2920 §3.1: DATA was taken although nobody was; an empty message ends it.
        engine._out.append(b".\r\n")
        engine._awaited.append((Step.EMPTY, 0))
    else:
        engine._stuffing = DotStuffing()
        engine._events.append(BodyWanted())


def _body(engine: ClientEngine, index: int, reply: Reply) -> None:
    _end(engine, reply, clean=True)


def _empty(engine: ClientEngine, index: int, reply: Reply) -> None:
    transaction = engine._transaction
    assert transaction is not None
    _end(engine, transaction.mail_refusal or reply, clean=True)


_TAKEN: dict[Step, Callable[[ClientEngine, int, Reply], None]] = {
    Step.GREETING: _greeting,
    Step.EHLO: _ehlo,
    Step.HELO: _helo,
    Step.STARTTLS: _starttls,
    Step.AUTH: _auth,
    Step.CLEAN: _clean,
    Step.RSET: _rset,
    Step.QUIT: _quit,
    Step.MAIL: _mail,
    Step.RCPT: _rcpt,
    Step.DATA: _data,
    Step.BODY: _body,
    Step.EMPTY: _empty,
}

# Where a step has one positive reply only, another one means that both sides have lost count (RFC 5321 §4.3.2).
_ONLY = {Step.STARTTLS: (220,), Step.AUTH: (235, 334), Step.DATA: (354,)}


def _check(step: Step, reply: Reply) -> None:
    right = _ONLY.get(step)
    if reply.is_positive and (reply.code not in right if right else reply.code >= 300):
        raise ProtocolError(f"the server's answer to {step.name} makes no sense: {str(reply)[:200]}")
