"""The server's side of IMAP: octets in, events out, answers in, octets out. No I/O, no clock.

    engine = ServerEngine(Settings(tls=True, mechanisms=("PLAIN",)))
    engine.greet("mail.example.org")
    engine.feed(octets)
    while (event := engine.next_event()) is not None:
        …                                   a Request: answer with `complete`, before it any `untagged`
    transport.write(engine.take())

After a `Request` the engine pauses until `complete`, so pipelined commands keep their order. Three commands go on in
between: `proceed` sends the continuation of AUTHENTICATE (an `AuthResponse` follows), APPEND (`AppendChunk`s and an
`AppendEnd`) and IDLE (a `Done`). CAPABILITY, LOGOUT, ENABLE, syntax errors and commands in the wrong state are
answered here. Nothing is buffered that is not within the bounds below; nothing raises on what a client sends.
"""

from binascii import b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from posthouse.wire.buffer import BadLine, ProtocolError
from posthouse.wire.imap import commands, responses
from posthouse.wire.imap.commands import Command
from posthouse.wire.imap.faults import Incomplete, Malformed, Refusal
from posthouse.wire.imap.frames import Announced, Chunk, End, Frames, Line, Overlong, Whole
from posthouse.wire.imap.scanner import Scanner
from posthouse.wire.imap.table import FEATURES, Row, State, capabilities, row_of, tag_of

# Octets. THREATS: before login, lines up to 8 KB and no literal above 4 KB.
STRANGER_LINE = 8192
STRANGER_LITERAL = 4096
STRANGER_COMMAND = 16_384
LINE = 65_536
COMMAND = 262_144
# Seconds. RFC 3501 §5.4: at least 30 minutes. A client in IDLE comes back every 29 minutes by the advice of RFC 2177
# §3, so that a shorter time there would cut off the well-behaved.
PATIENCE = 1800.0
STRANGER_PATIENCE = 60.0
BAD_COMMANDS = 20
# Pieces of output after which the rest of a pipelined flight waits until they are sent.
FLIGHT = 64


class Status(StrEnum):
    """How a command ended."""

    OK = "OK"
    NO = "NO"
    BAD = "BAD"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a session is given: whether TLS is on or may be had, the SASL mechanisms, the largest message in octets."""

    tls: bool = False
    starttls: bool = False
    mechanisms: Sequence[str] = ()
    append_limit: int = 50 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A command that was read and is allowed now."""

    row: Row
    command: Command


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """The client's SASL response, decoded; None where it gave up or sent no base64."""

    octets: bytes | None


@dataclass(frozen=True, slots=True)
class AppendChunk:
    """A piece of the message; wants no answer."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class AppendEnd:
    """The message is complete. Where `flaw` is a sentence, keep nothing and answer BAD."""

    flaw: str


@dataclass(frozen=True, slots=True)
class Done:
    """IDLE is over: `complete` it. Where `flaw` is a sentence, answer BAD."""

    flaw: str


Event = Request | AuthResponse | AppendChunk | AppendEnd | Done

_CONTINUE = b"+ OK\r\n"
_NO_ROW = Row("", State(0), lambda scanner: commands.Noop())


class ServerEngine:
    """One session's protocol.

    `state`, `enabled`, `closed` and `patience` are for reading. `closed`: send what `take` gives and hang up;
    `patience`: seconds the client may stay silent now.
    """

    __slots__ = (
        "_bad", "_command", "_flaw", "_frames", "_out", "_paused", "_row", "_settings", "_tag", "closed", "enabled",
        "patience", "state",
    )  # fmt: skip

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._frames = Frames(STRANGER_LINE, STRANGER_COMMAND)
        self._out: list[bytes] = []
        self._paused = False
        self._tag = b"*"
        self._row = _NO_ROW
        self._command: Command | None = None
        self._flaw = ""
        self._bad = 0
        self.state = State.NOT_AUTHENTICATED
        self.enabled: frozenset[str] = frozenset()
        self.closed = False
        self.patience = STRANGER_PATIENCE

    @property
    def unread(self) -> int:
        """Octets that were fed and not read yet; a door stops reading when they grow."""
        return len(self._frames)

    def greet(self, hostname: str) -> None:
        """The first word (RFC 3501 §7.1.1)."""
        self._out.append(b"* OK " + responses.text(f"{hostname} is ready", _announcement(self)) + b"\r\n")

    def feed(self, octets: bytes) -> None:
        """Take what came from the client."""
        if not self.closed:
            self._frames.feed(octets)

    def take(self) -> bytes:
        """What is to be sent now; given once."""
        octets = b"".join(self._out)
        self._out.clear()
        return octets

    def next_event(self) -> Event | None:
        """The next thing the door must do, or None when octets or an answer are needed, or output is to be sent.

        The door asks again after sending while anything is `unread`: who pipelines and reads nothing piles nothing up.
        """
        while not self._paused and not self.closed and len(self._out) < FLIGHT:
            event: Event | None = None
            try:
                match self._frames.next():
                    case None:
                        return None
                    case Whole(octets):
                        event = self._read(octets, None)
                    case Announced() as literal:
                        # Decided before any of it is read: the command so far must be right.
                        event = self._read(self._frames.command, literal)
                    case Chunk(octets):
                        if b"\0" in octets:
                            # RFC 3501 §4.3: a literal holds no NUL.
                            self._flaw = "The message holds a NUL octet"
                        return AppendChunk(octets)
                    case End(rest):
                        self._paused = True
                        flaw, self._flaw = self._flaw, ""
                        return AppendEnd(flaw or ("Unexpected text after the message" if rest else ""))
                    case Line(octets):
                        self._paused = True
                        if isinstance(self._command, commands.Idle):
                            return Done("" if octets.upper() == b"DONE" else "DONE expected")
                        return AuthResponse(commands.response(octets))
            except BadLine as fault:
                # What follows a spoilt line may be the literal that it announced, and is never read as a command.
                self.bye(fault.flaw.value)
            except Overlong:
                self.bye("The command is too long")
            if event is not None:
                return event
        return None

    # --- answers -----------------------------------------------------------------------------------------

    def untagged(self, octets: bytes) -> None:
        """Complete response lines, to be sent before the tagged one or during IDLE."""
        self._out.append(octets)

    def proceed(self, challenge: bytes = b"") -> None:
        """Let the client go on: with the message of APPEND, with IDLE, or with its response to a SASL challenge."""
        command = self._command
        if isinstance(command, commands.Append):
            if self._frames.synchronising:
                self._out.append(_CONTINUE)
            self._frames.stream()
        elif isinstance(command, commands.Idle | commands.Authenticate):
            words = b"idling" if isinstance(command, commands.Idle) else b2a_base64(challenge, newline=False)
            self._out.append(b"+ " + words + b"\r\n")
            self._frames.expect_line()
        else:
            raise ProtocolError("nothing to proceed with")
        self._paused = False

    def complete(self, status: Status, words: str, code: str = "") -> None:
        """The tagged answer to the last Request; `code` is a response code without brackets. The state moves on."""
        row, command = self._row, self._command
        stranger = self.state is State.NOT_AUTHENTICATED
        after = row.on_ok if status is Status.OK else row.on_no if status is Status.NO else None
        if after is not None:
            self.state = after
            if stranger:
                self._frames.line_limit, self._frames.command_limit = LINE, COMMAND
                self.patience = PATIENCE
                # RFC 3501 §7.1: what may be done now differs from what might be done before.
                code = code or _announcement(self)
        if status is Status.OK and not stranger:
            self._bad = 0
        self._frames.refuse()
        self._tagged(status, words, code)
        self._command = None
        self._paused = isinstance(command, commands.StartTls) and status is Status.OK

    def tls_started(self, settings: Settings) -> None:
        """The transport is encrypted now. Whatever was said before is forgotten (RFC 3501 §6.2.1)."""
        self._settings = settings
        self._frames.clear()
        self._paused = False

    def bye(self, words: str, code: str = "") -> None:
        """Say goodbye and close."""
        self._out.append(b"* BYE " + responses.text(words, code) + b"\r\n")
        self.closed = True

    # --- commands ----------------------------------------------------------------------------------------

    def _read(self, octets: bytes, literal: Announced | None) -> Event | None:
        """A whole command, or one up to a literal that waits for a decision."""
        settings = self._settings
        self._row = _NO_ROW
        self._tag = tag_of(octets)
        try:
            self._row, scanner = row_of(octets, self._tag, self.state, tls=settings.tls, starttls=settings.starttls)
            if literal is not None:
                return self._literal(scanner, literal)
            command = self._row.read(scanner)
            scanner.end()
            return self._request(command)
        except Malformed as fault:
            words = str(fault)
            self._tagged(Status.BAD, words[:1].upper() + words[1:])
        except Refusal as refusal:
            self._tagged(Status.NO, refusal.text, refusal.code)
        if literal is not None:
            if self.state is State.NOT_AUTHENTICATED and not literal.synchronising and literal.size > STRANGER_LITERAL:
                # RFC 7888 §4: the other way is to read it all. Not for strangers.
                self.bye("The literal is too long")
            self._frames.refuse()
        return None

    def _literal(self, scanner: Scanner, literal: Announced) -> Event | None:
        """Takes a literal into the command, or gives the Request of APPEND. Raises Malformed, Refusal, Overlong."""
        if self._row.read is commands.append:
            try:
                command = commands.append(scanner)
            except Incomplete:
                pass  # It is the mailbox's name that comes as a literal.
            else:
                if command.size > self._settings.append_limit:
                    raise Refusal("The message is too large", "TOOBIG")
                return self._request(command)
        if literal.size > (STRANGER_LITERAL if self.state is State.NOT_AUTHENTICATED else COMMAND):
            raise Malformed("the literal is too long")
        self._frames.accept()
        if literal.synchronising:
            self._out.append(_CONTINUE)
        return None

    def _request(self, command: Command) -> Request | None:
        match command:
            case commands.Capability():
                self._out.append(f"* {_announcement(self)}\r\n".encode("ascii"))
                self._tagged(Status.OK, "Done")
            case commands.Enable(keywords):
                known = {feature.capability for feature in FEATURES if feature.enables}
                now = [keyword for keyword in dict.fromkeys(keywords) if keyword in known]
                self.enabled |= frozenset(now)
                self._out.append(" ".join(("* ENABLED", *now)).encode("ascii") + b"\r\n")
                self._tagged(Status.OK, "Done")
            case commands.Logout():
                self.bye("Goodbye")
                self._tagged(Status.OK, "Done")
            case commands.StartTls() if len(self._frames):
                # Octets behind STARTTLS in the same flight came in the clear, and are never read as commands.
                self.bye("Nothing may follow STARTTLS before TLS is there")
            case _:
                self._command = command
                self._paused = True
                return Request(self._row, command)
        return None

    def _tagged(self, status: Status, words: str, code: str = "") -> None:
        self._out.append(b"%b %b %b\r\n" % (self._tag, status.value.encode("ascii"), responses.text(words, code)))
        if status is Status.BAD:
            self._bad += 1
            if self._bad >= BAD_COMMANDS:
                self.bye("Too many bad commands")


def _announcement(engine: ServerEngine) -> str:
    """`CAPABILITY …`, for the response and for the response code."""
    settings = engine._settings
    found = capabilities(engine.state, tls=settings.tls, starttls=settings.starttls, mechanisms=settings.mechanisms)
    return " ".join(("CAPABILITY", *found))
