"""What the engines tell their doors. Every event of the server but `BodyChunk` and `Reset` waits for an answer."""

from dataclasses import dataclass

from posthouse.mail.envelope import Envelope, RcptTo
from posthouse.mail.reply import Reply

# --- the server's -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """EHLO or HELO (`verb`, upper case) with the name the client gives itself: printable ASCII without specials."""

    verb: str
    name: str


@dataclass(frozen=True, slots=True)
class Mail:
    """MAIL, checked for syntax, order and declared size. The envelope has no recipients yet."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Rcpt:
    """One RCPT, checked for syntax and count. `ServerEngine.envelope` has those taken before."""

    rcpt: RcptTo


@dataclass(frozen=True, slots=True)
class BodyStart:
    """DATA, or the first BDAT, with at least one recipient. Answered positively (354 for both; BDAT shows nothing on
    the wire) the body comes; answered negatively, a BDAT chunk is read and thrown away first."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class BodyChunk:
    """The next octets of the body, dots unstuffed, cut anywhere. Not answered."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class BodyEnd:
    """The true end of the body. With a `flaw` nothing may be kept: answer with the flaw (the engine sends it in any
    case). `envelope` says 8BITMIME where octets above 127 came, declared or not."""

    envelope: Envelope
    size: int
    flaw: Reply | None = None


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH. `initial` is decoded; None where absent, b"" for `=`. Answer: 235, a refusal, or `challenge`."""

    mechanism: str
    initial: bytes | None


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """The client's decoded response to a challenge. None: it gave up or sent something broken, as `flaw` says; then
    answer with the flaw (the engine sends it in any case)."""

    octets: bytes | None
    flaw: Reply | None = None


@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS with nothing behind it. Answer 220, write it out, swap the transport, call `start_tls_done`."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The transaction is gone (RSET, EHLO, STARTTLS, a failed chunk): throw away what was spooled. Not answered."""


ServerEvent = Hello | Mail | Rcpt | BodyStart | BodyChunk | BodyEnd | Auth | AuthResponse | StartTls | Reset

# --- the client's -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Greeted:
    """The server's greeting. Negative: leave."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Ready:
    """EHLO (or HELO) is settled; where the reply is positive, `ClientEngine.capabilities` are known."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class TlsReady:
    """The answer to STARTTLS. Positive: swap the transport now, then call `start_tls_done`."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class AuthChallenge:
    """A decoded challenge: answer with `respond` or `cancel`."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The end of AUTH, positive or not."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class RcptReplied:
    """What the server says to recipient number `index` of the transaction."""

    index: int
    reply: Reply


@dataclass(frozen=True, slots=True)
class BodyWanted:
    """At least one recipient was taken and the server waits for the body: call `body` and then `end_body`."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The transaction is over. `replies` has one for each recipient, in order: its own refusal, or what the server
    said last about the message, or ours where the server could not be asked or was lost.

    `in_doubt`: the whole message went out, but the final reply never came. It may have been taken or not; trying
    again may deliver it twice (RFC 5321 §6.1). `unasked`: the server does not offer what the message needs, so nothing
    was sent; another server may.
    """

    replies: tuple[Reply, ...]
    in_doubt: bool = False
    unasked: bool = False


@dataclass(frozen=True, slots=True)
class Cleared:
    """The answer to RSET."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The answer to QUIT: close."""

    reply: Reply


ClientEvent = (
    Greeted | Ready | TlsReady | AuthChallenge | LoggedIn | RcptReplied | BodyWanted | Settled | Cleared | Goodbye
)
