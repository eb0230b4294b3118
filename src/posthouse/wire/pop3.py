"""POP3, the server's side: octets in, events out (RFC 1939, 2449, 2595, 5034).

The engine keeps the maildrop's listing itself: after a login the door hands it the sizes and unique-ids, and it then
answers STAT, LIST, UIDL, DELE, RSET and NOOP without asking anybody. What is left for the door: logging in, STLS,
reading a message (RETR, TOP), and removing what was marked when QUIT comes. After an event the engine waits until
it is answered; pipelined commands keep their order.

Passwords are taken under TLS only. Lines above `LINE` octets are passed over in constant memory; after `BAD_COMMANDS`
errors the session ends. APOP is left out: it needs passwords kept in the clear.
"""

import binascii
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Flag, auto

from posthouse.wire.buffer import BadLine, Lines

LINE = 8192  # octets with the line's end; RFC 2449 §4 asks for 255, SASL responses may be longer
BAD_COMMANDS = 20
FLIGHT = 16  # pieces of output after which the rest of a pipelined flight waits until they are sent
LOGIN_PATIENCE = 60.0  # seconds, before login
IDLE_PATIENCE = 600.0  # seconds; RFC 1939 §3: at least 10 minutes
DIGITS = 10  # digits of a message number or line count that are looked at

_BARE_LF = re.compile(rb"(?<!\r)\n")


class State(Flag):
    """Where the session stands. CHALLENGED: in the middle of AUTH, the next line is a response."""

    AUTHORIZATION = auto()
    CHALLENGED = auto()
    TRANSACTION = auto()


@dataclass(frozen=True, slots=True)
class Pass:
    """USER and PASS were given. Answer with `opened` or `err`."""

    name: str
    password: str


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH: `initial` is decoded, None where absent. Answer with `challenge`, `opened` or `err`."""

    mechanism: str
    initial: bytes | None


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """The client's response, decoded; None where it gave up with `*` or sent no base64. Answer as to `Auth`."""

    octets: bytes | None


@dataclass(frozen=True, slots=True)
class StartTls:
    """STLS was answered with +OK. Swap the transport, then call `tls_started`."""


@dataclass(frozen=True, slots=True)
class Retrieve:
    """RETR or TOP of message `number` (from 1). Answer with `text` pieces and `text_end`, or `err`.

    `lines` is how many lines of the body are wanted, None for all.
    """

    number: int
    lines: int | None


@dataclass(frozen=True, slots=True)
class Quit:
    """The end. `deleted` are the numbers marked, in order. Answer with `ok` or `err`; the session is closed then."""

    deleted: tuple[int, ...]


Event = Pass | Auth | AuthResponse | StartTls | Retrieve | Quit


@dataclass(frozen=True, slots=True)
class Maildrop:
    """The listing of a maildrop at login: sizes in octets and unique-ids, message 1 first (RFC 1939 §5, §7)."""

    sizes: Sequence[int]
    unique_ids: Sequence[str]


class _Refused(Exception):
    """The command cannot be taken; the text is what the client reads."""


class ServerEngine:
    """One session. `mechanisms` are the SASL mechanisms on offer under TLS, the preferred one first."""

    def __init__(self, hostname: str, implementation: str, *, tls_available: bool, tls_active: bool) -> None:
        self.state = State.AUTHORIZATION
        self.closed = False
        self.quitting = False
        self.mechanisms: Sequence[str] = ()
        self.implementation = implementation
        self.tls_available = tls_available
        self.tls_active = tls_active
        self.name: str | None = None  # what USER said
        self.maildrop = Maildrop((), ())
        self.deleted: set[int] = set()
        self._buffer = Lines()
        self._out: list[bytes] = []
        self._waiting = False  # for the answer to the last event
        self._bad = 0
        self.letter = _Letter(None)
        self.ok(f"{hostname} POP3 is ready")

    # --- octets ------------------------------------------------------------------------------------

    def feed(self, octets: bytes) -> None:
        """Take what came from the client."""
        if not self.closed:
            self._buffer.feed(octets)

    def take(self) -> bytes:
        """What is to be sent now; given once."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    @property
    def unread(self) -> int:
        """How many octets are fed and not read."""
        return len(self._buffer)

    @property
    def patience(self) -> float:
        """Seconds the client may stay silent."""
        return IDLE_PATIENCE if self.state is State.TRANSACTION else LOGIN_PATIENCE

    def next_event(self) -> Event | None:
        """The next thing the door must do, or None when more octets or an answer are needed, or output is to be sent.

        The door asks again after sending while anything is `unread`: who pipelines and reads nothing piles nothing up.
        """
        while not self._waiting and not self.closed and len(self._out) < FLIGHT:
            if self.quitting:
                self.closed = True
                return None
            try:
                line = self._buffer.line(LINE)
                if line is None:
                    return None
                event = _event(self, line)
            except (BadLine, _Refused) as refusal:
                self._bad += 1
                if self._bad < BAD_COMMANDS:
                    self.err(str(refusal))
                else:
                    self.hang_up("too many errors, goodbye")
                continue
            if event is not None:
                self._waiting = True
                return event
        return None

    # --- answers -----------------------------------------------------------------------------------

    def ok(self, words: str = "") -> None:
        """`+OK`, a single line."""
        self._out.append(_status("+OK", words))
        self._waiting = False

    def ok_lines(self, words: str, lines: Iterable[str]) -> None:
        """`+OK` and a listing of several lines, none of which begins with a dot."""
        self.ok(words)
        self._out.append("".join(f"{line}\r\n" for line in lines).encode() + b".\r\n")

    def err(self, words: str, code: str = "") -> None:
        """`-ERR`; `code` is a response code without brackets: IN-USE, AUTH, SYS/TEMP (RFC 2449 §8, RFC 3206)."""
        self._out.append(_status("-ERR", f"[{code}] {words}" if code else words))
        if self.state is State.CHALLENGED:
            self.state = State.AUTHORIZATION
        self._waiting = False

    def challenge(self, octets: bytes) -> None:
        """Go on with AUTH (RFC 5034 §4)."""
        self._out.append(b"+ " + binascii.b2a_base64(octets, newline=False) + b"\r\n")
        self.state = State.CHALLENGED
        self._waiting = False

    def opened(self, maildrop: Maildrop) -> None:
        """The login succeeded and the maildrop is locked for this session."""
        self.maildrop = maildrop
        self._bad = 0
        self.state = State.TRANSACTION
        self.ok(f"{len(maildrop.sizes)} messages")

    def tls_started(self) -> None:
        """The transport is encrypted now. Whatever was said before is forgotten (RFC 2595 §4)."""
        self.tls_active = True
        self.name = None
        self._buffer.clear()
        self._waiting = False

    def text(self, octets: bytes) -> bool:
        """A piece of the message asked for; gives False when no more is wanted (TOP has its lines)."""
        self._out.append(self.letter.stuffed(octets))
        return not self.letter.full

    def text_end(self) -> None:
        """The message asked for is complete."""
        self._out.append(self.letter.end())
        self._waiting = False

    def hang_up(self, words: str, code: str = "") -> None:
        """Say why and close; nothing that was marked is removed."""
        self.err(words, code)
        self.closed = True


def _status(word: str, words: str) -> bytes:
    # RFC 1939 §3: a response has at most 512 characters with its CRLF.
    text = f"{word} {words}" if words else word
    return text[:510].encode("ascii", "replace") + b"\r\n"


def _event(engine: ServerEngine, octets: bytes) -> Event | None:
    """What one line asks of the door; None where the engine answered it. Raises _Refused."""
    if engine.state is State.CHALLENGED:
        return AuthResponse(_decoded(octets))  # "*" is no base64 either
    try:
        # Only names and passwords may hold more than ASCII (RFC 6856 §2.2).
        line = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise _Refused("commands are UTF-8") from None
    verb, _, rest = line.partition(" ")
    verb = verb.upper()
    row = _COMMANDS.get(verb)
    if row is None:
        raise _Refused("unknown command")
    if not row.states & engine.state:
        raise _Refused(f"{verb} is not for this state")
    # A password may hold spaces: one argument is all there is (RFC 1939 §7).
    words = [rest] if row.most == 1 and rest else rest.split(" ") if rest else []
    if not row.least <= len(words) <= row.most:
        number = str(row.least) if row.least == row.most else f"{row.least} to {row.most}"
        raise _Refused(f"{verb} takes {number if row.most else 'no'} argument{'s' if row.most != 1 else ''}")
    return row.handler(engine, words)


# --- AUTHORIZATION -----------------------------------------------------------------------------------


def _user(engine: ServerEngine, words: list[str]) -> None:
    if not engine.tls_active:
        raise _Refused("passwords are taken under TLS only: STLS comes first")
    engine.name = words[0]
    engine.ok("now the password")


def _pass(engine: ServerEngine, words: list[str]) -> Event:
    if engine.name is None:
        raise _Refused("USER comes first")
    name, engine.name = engine.name, None
    return Pass(name, words[0])


def _auth(engine: ServerEngine, words: list[str]) -> Event:
    if not engine.tls_active:
        raise _Refused("logins are taken under TLS only: STLS comes first")
    mechanism = words[0].upper()
    if mechanism not in engine.mechanisms:
        raise _Refused("no such mechanism here")
    if len(words) == 1:
        return Auth(mechanism, None)
    # RFC 5034 §4: "=" is an initial response that is present and empty.
    initial = b"" if words[1] == "=" else _decoded(words[1].encode())
    if initial is None:
        raise _Refused("that is not base64")
    return Auth(mechanism, initial)


def _stls(engine: ServerEngine, words: list[str]) -> Event | None:
    if engine.tls_active or not engine.tls_available:
        raise _Refused("TLS is active already" if engine.tls_active else "TLS is not to be had here")
    if engine.unread:
        # Octets behind STLS in the same flight would be read as if they came encrypted: never (CVE-2021-38371).
        engine.hang_up("nothing may follow STLS before TLS is there")
        return None
    engine.ok("begin TLS")
    return StartTls()


# --- TRANSACTION -------------------------------------------------------------------------------------


def _stat(engine: ServerEngine, words: list[str]) -> None:
    sizes = engine.maildrop.sizes
    gone = engine.deleted
    engine.ok(f"{len(sizes) - len(gone)} {sum(sizes) - sum(sizes[n - 1] for n in gone)}")


def _list(engine: ServerEngine, words: list[str]) -> None:
    _listing(engine, words, engine.maildrop.sizes)


def _uidl(engine: ServerEngine, words: list[str]) -> None:
    _listing(engine, words, engine.maildrop.unique_ids)


def _listing(engine: ServerEngine, words: list[str], column: Sequence[int] | Sequence[str]) -> None:
    if words:
        number = _number(engine, words[0])
        engine.ok(f"{number} {column[number - 1]}")
    else:
        gone = engine.deleted
        lines = [f"{n} {value}" for n, value in enumerate(column, 1) if n not in gone]
        engine.ok_lines(f"{len(lines)} messages", lines)


def _retr(engine: ServerEngine, words: list[str]) -> Event:
    return _retrieve(engine, words[0], None)


def _top(engine: ServerEngine, words: list[str]) -> Event:
    lines = _digits(words[1])
    if lines is None:
        raise _Refused("TOP wants a number of lines")
    return _retrieve(engine, words[0], lines)


def _retrieve(engine: ServerEngine, word: str, lines: int | None) -> Event:
    number = _number(engine, word)
    engine.letter = _Letter(lines)
    return Retrieve(number, lines)


def _dele(engine: ServerEngine, words: list[str]) -> None:
    number = _number(engine, words[0])
    engine.deleted.add(number)
    engine.ok(f"message {number} is marked for removal")


def _rset(engine: ServerEngine, words: list[str]) -> None:
    engine.deleted.clear()
    engine.ok("no message is marked")


def _number(engine: ServerEngine, word: str) -> int:
    """A message that is there and not marked. Raises _Refused."""
    number = _digits(word)
    if number is None or not 1 <= number <= len(engine.maildrop.sizes):
        raise _Refused("no such message")
    if number in engine.deleted:
        raise _Refused(f"message {number} is marked for removal")
    return number


# --- everywhere --------------------------------------------------------------------------------------


def _noop(engine: ServerEngine, words: list[str]) -> None:
    engine.ok()


def _capa(engine: ServerEngine, words: list[str]) -> None:
    known = [line for row in _COMMANDS.values() if (line := _capability(engine, row.capability))]
    general = ["RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", f"IMPLEMENTATION {engine.implementation}"]
    engine.ok_lines("what is possible here", known + general)


def _capability(engine: ServerEngine, word: str) -> str:
    """The line CAPA says for a command that is a capability, empty where it is not to be had now."""
    if word == "STLS":
        return word if engine.tls_available and not engine.tls_active else ""
    if word in ("USER", "SASL") and not engine.tls_active:
        return ""
    return " ".join((word, *engine.mechanisms)) if word == "SASL" else word


def _quit(engine: ServerEngine, words: list[str]) -> Event | None:
    engine.quitting = True
    if engine.state is State.TRANSACTION:
        return Quit(tuple(sorted(engine.deleted)))
    engine.ok("goodbye")
    return None


class _Letter:
    """A message on its way out: dot-stuffed, every line ended by CRLF, and cut after `lines` lines of the body."""

    def __init__(self, lines: int | None) -> None:
        self.full = False
        self._status = b"+OK message follows\r\n"  # once, with the first piece: until then `err` is possible
        self._left = lines
        self._in_header = True
        self._held = b""  # a CR whose LF may be in the next piece
        self._fresh = True  # at the start of a line

    def stuffed(self, octets: bytes) -> bytes:
        """The piece as it goes out, but for a CR at its very end, which waits for the next piece."""
        if self._held:
            octets = self._held + octets
        self._held = b"\r" if octets.endswith(b"\r") else b""
        if self._held:
            octets = octets[:-1]
        if self._left is not None:
            octets = self._cut(octets)
        status, self._status = self._status, b""
        if not octets:
            return status
        if octets.count(b"\n") != octets.count(b"\r\n"):
            octets = _BARE_LF.sub(b"\r\n", octets)
        # RFC 1939 §3: a line that begins with a dot gets another one.
        stuffed = octets.replace(b"\n.", b"\n..")
        if self._fresh and octets.startswith(b"."):
            stuffed = b"." + stuffed
        self._fresh = octets.endswith(b"\n")
        return status + stuffed

    def _cut(self, octets: bytes) -> bytes:
        """As much of the piece as the lines wanted allow; `full` is set when they are used up."""
        fresh = self._fresh
        end = 0
        while end < len(octets) and not self.full:
            start = end
            end = octets.find(b"\n", start) + 1
            if not end:
                return octets
            if not self._in_header:
                self._left = (self._left or 0) - 1
            elif fresh and octets[start:end] in (b"\r\n", b"\n"):
                self._in_header = False
            fresh = True
            self.full = not self._in_header and self._left == 0
        return octets[:end]

    def end(self) -> bytes:
        """What is still held, a line's end where it is missing, and the line that ends it all."""
        rest = self._held if not self.full else b""
        return self._status + rest + (b".\r\n" if self._fresh and not rest else b"\r\n.\r\n")


def _digits(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdigit() and len(word) <= DIGITS else None


def _decoded(octets: bytes) -> bytes | None:
    try:
        return binascii.a2b_base64(octets, strict_mode=True)
    except binascii.Error:
        return None


@dataclass(frozen=True, slots=True)
class _Row:
    """One command: where it is allowed, what does it, how many arguments it takes, what CAPA says of it."""

    states: State
    handler: Callable[[ServerEngine, list[str]], Event | None]
    least: int
    most: int
    capability: str = ""


_EVERYWHERE = State.AUTHORIZATION | State.TRANSACTION

_COMMANDS: dict[str, _Row] = {
    "USER": _Row(State.AUTHORIZATION, _user, 1, 1, "USER"),
    "PASS": _Row(State.AUTHORIZATION, _pass, 1, 1),
    "AUTH": _Row(State.AUTHORIZATION, _auth, 1, 2, "SASL"),
    "STLS": _Row(State.AUTHORIZATION, _stls, 0, 0, "STLS"),
    "STAT": _Row(State.TRANSACTION, _stat, 0, 0),
    "LIST": _Row(State.TRANSACTION, _list, 0, 1),
    "UIDL": _Row(State.TRANSACTION, _uidl, 0, 1, "UIDL"),
    "RETR": _Row(State.TRANSACTION, _retr, 1, 1),
    "TOP": _Row(State.TRANSACTION, _top, 2, 2, "TOP"),
    "DELE": _Row(State.TRANSACTION, _dele, 1, 1),
    "RSET": _Row(State.TRANSACTION, _rset, 0, 0),
    "NOOP": _Row(State.TRANSACTION, _noop, 0, 0),
    "CAPA": _Row(_EVERYWHERE, _capa, 0, 0),
    "QUIT": _Row(_EVERYWHERE, _quit, 0, 0),
}
