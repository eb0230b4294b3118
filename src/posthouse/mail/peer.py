"""The other side of a connection, as far as it is known: what policy, Received and the journey may lean on."""

from dataclasses import dataclass
from enum import StrEnum

from posthouse.mail.address import Address


class Role(StrEnum):
    """Which of our services the peer talks to."""

    SMTP = "smtp"
    SUBMISSION = "submission"
    IMAP = "imap"
    POP3 = "pop3"


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What was negotiated: `version` as `TLSv1.3`, `cipher` as IANA or OpenSSL names it, `bits` of the key."""

    version: str
    cipher: str
    bits: int


@dataclass(frozen=True, slots=True)
class Peer:
    """A remote client. `ip` is the textual address without brackets, IPv4-mapped IPv6 already unmapped.

    `helo` is what it called itself (empty before HELO); `esmtp` tells EHLO from HELO; `account_id` and
    `account` are set by a successful login only.
    """

    role: Role
    ip: str
    port: int
    helo: str = ""
    esmtp: bool = False
    tls: TlsFacts | None = None
    account_id: int | None = None
    account: Address | None = None
