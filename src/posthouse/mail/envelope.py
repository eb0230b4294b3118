"""The SMTP envelope: who sent it and who shall get it, apart from what the header says (RFC 5321 §2.3.1)."""

from dataclasses import dataclass
from enum import Flag, StrEnum, auto

from posthouse.mail.address import Address


class Body(StrEnum):
    """The BODY parameter of MAIL (RFC 6152 §3)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT_MIME = "8BITMIME"


class Ret(StrEnum):
    """How much of the message a DSN gives back (RFC 3461 §4.3)."""

    FULL = "FULL"
    HDRS = "HDRS"


class Notify(Flag):
    """For which outcomes the sender wants a DSN (RFC 3461 §4.1). NEVER stands alone."""

    NEVER = auto()
    SUCCESS = auto()
    FAILURE = auto()
    DELAY = auto()


@dataclass(frozen=True, slots=True)
class RcptTo:
    """One recipient as given in RCPT TO.

    `orcpt` is the original recipient with its type, xtext decoded: `"rfc822;carol@far.test"` (RFC 3461 §4.2).
    `notify` is None where the parameter was absent (then FAILURE and DELAY apply).
    """

    address: Address
    orcpt: str | None = None
    notify: Notify | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """MAIL and its RCPTs. `mail_from` None is the null reverse-path `<>`; `size` is what SIZE= declared, in octets."""

    mail_from: Address | None
    rcpt_to: tuple[RcptTo, ...] = ()
    body: Body = Body.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None
    size: int | None = None
