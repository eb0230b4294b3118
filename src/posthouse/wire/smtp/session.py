"""What the server's engine knows about one connection: settings, state, the transaction, and what is to be said."""

from collections import deque
from dataclasses import dataclass

from posthouse.mail.envelope import Envelope, RcptTo
from posthouse.mail.peer import Role
from posthouse.mail.reply import Reply
from posthouse.wire.buffer import Lines
from posthouse.wire.smtp.body import ChunkBody, DotBody
from posthouse.wire.smtp.events import Reset, ServerEvent

# RFC 4954 §4: long enough for the responses of every mechanism in use, with the CRLF.
AUTH_LINE = 12_288

# A size, an address or the lack of recipients is refused without blame.
_BAD_CODES = frozenset((500, 501, 502, 503, 504, 530, 538, 555))

TOO_MANY_BAD = Reply(421, "4.7.0", "Too many bad commands, closing the connection")
TOO_MANY_REFUSED = Reply(421, "4.7.0", "Too many recipients refused, closing the connection")
TOO_MANY_LOGINS = Reply(421, "4.7.0", "Too many failed logins, closing the connection")


@dataclass(frozen=True, slots=True)
class Settings:
    """What one service offers. Sizes are octets, patience is in seconds.

    `starttls`: TLS can be started. `tls`: it is on from the first octet (port 465). `mechanisms`: SASL names, offered
    to submission under TLS only. `max_size`: of a message, announced by SIZE and enforced; what goes beyond
    `endless_size` is not even read to its end. `line_limit`: of a command line with its CRLF. Bad commands and refused
    recipients are counted anew after each message that was taken.
    """

    hostname: str
    role: Role = Role.SMTP
    starttls: bool = False
    tls: bool = False
    mechanisms: tuple[str, ...] = ()
    max_size: int = 50 * 2**20
    endless_size: int = 2**30
    max_recipients: int = 1000
    line_limit: int = 2048
    max_bad_commands: int = 20
    max_failed_logins: int = 5
    max_refused_recipients: int = 100
    # RFC 5321 §4.5.3.2.7: 5 minutes for a command; §4.5.3.2.5: 3 minutes for data. The hello has our own limit.
    hello_patience: float = 30
    command_patience: float = 300
    body_patience: float = 180


class State:
    """How far the client has come; one bit each, so that a row of the table can allow several.

    Plain numbers here and below: they are looked at several times for each command, and members of an Enum are slow.
    """

    REFUSED = 1  # by the greeting
    HELLO = 2
    IDLE = 4
    MAIL = 8
    RCPT = 16
    CHUNKS = 32


class Reading:
    """What the next octets are."""

    COMMANDS = 0
    DATA = 1
    CHUNK = 2
    REFUSED_CHUNK = 3
    RESPONSE = 4
    HANDSHAKE = 5


class Session:
    """One connection. For the engine and its commands only; a door talks to `ServerEngine`."""

    __slots__ = (
        "auth_failures", "authenticated", "bad", "body", "chunk_last", "chunk_left", "closed", "envelope_cache",
        "esmtp", "line_limit", "lines", "mail", "news", "out", "rcpts", "reading", "refusal", "refused", "settings",
        "state", "tls", "waiting",
    )  # fmt: skip

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lines = Lines()
        self.out: list[bytes] = []
        self.news: deque[ServerEvent] = deque()
        self.closed = False
        # Since the last message that was taken.
        self.bad = 0
        self.refused = 0
        self.auth_failures = 0
        self.begin(tls=settings.tls)

    def begin(self, *, tls: bool) -> None:
        """The state after the greeting, or after TLS was started: nothing is known about the client."""
        self.tls = tls
        self.authenticated = False
        self.esmtp = False
        self.state: int = State.HELLO
        self.reading: int = Reading.COMMANDS
        self.waiting: ServerEvent | None = None
        self.mail: Envelope | None = None
        self.rcpts: list[RcptTo] = []
        self.envelope_cache: Envelope | None = None
        self.body: DotBody | ChunkBody | None = None
        self.chunk_left = 0
        self.chunk_last = False
        self.refusal: Reply | None = None
        self.set_line_limit()

    def set_line_limit(self) -> None:
        """AUTH with an initial response may be longer than other commands, while it can be used at all."""
        settings = self.settings
        may_login = self.tls and not self.authenticated and bool(settings.mechanisms)
        self.line_limit = max(settings.line_limit, AUTH_LINE) if may_login else settings.line_limit

    def say(self, reply: Reply) -> None:
        self.out.append(reply.octets())

    def complain(self, reply: Reply) -> None:
        """Refuse a command; too many that are malformed, unknown or out of order end the connection."""
        if reply.code in _BAD_CODES:
            self.bad += 1
        if self.bad > self.settings.max_bad_commands:
            self.hang_up(TOO_MANY_BAD)
        else:
            self.say(reply)

    def hang_up(self, reply: Reply | None = None) -> None:
        """The last word, or none: nothing is read any more."""
        if reply is not None and not self.closed and self.reading != Reading.HANDSHAKE:
            self.say(reply)
        self.closed = True
        self.waiting = None
        self.news.clear()
        self.lines.clear()

    def drop_transaction(self) -> None:
        """Back to where MAIL is possible; nothing of the transaction is left."""
        if self.state > State.IDLE:
            self.state = State.IDLE
        self.mail = None
        self.rcpts = []
        self.envelope_cache = None
        self.body = None

    def reset(self) -> None:
        """The same, on the client's wish: the door is told if there is something to throw away."""
        if self.mail is not None:
            self.news.append(Reset())
        self.drop_transaction()

    def envelope(self) -> Envelope:
        """MAIL with the recipients taken so far, and the body as it has shown itself to be."""
        mail = self.mail
        assert mail is not None
        if self.envelope_cache is None:
            self.envelope_cache = Envelope(
                mail.mail_from, tuple(self.rcpts), mail.body, mail.smtputf8, mail.ret, mail.envid, mail.size
            )
        return self.envelope_cache
