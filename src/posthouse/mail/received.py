"""The trace of one hop: Received fields, written and read (RFC 5321 §4.4, RFC 3848, RFC 6531 §4.3, RFC 8314 §4.3)."""

from dataclasses import dataclass

from posthouse.mail.address import Address
from posthouse.mail.instant import Instant
from posthouse.mail.peer import Peer


@dataclass(frozen=True, slots=True)
class Received:
    """What a Received field tells; everything "" or None where it does not.

    `frm` is the name the client gave itself, `host` the one found by reverse look-up, `ip` its address without
    brackets; `by` who wrote the field; `tls` version and cipher in one line; `raw` the value unfolded.
    """

    frm: str
    host: str
    ip: str
    by: str
    protocol: str
    id: str
    for_: str
    at: Instant | None
    tls: str
    raw: str


def parse_received(value: bytes) -> Received:
    """Reads what Postfix, Exim, Sendmail, Exchange, Gmail, qmail and others write; never raises, linear."""
    raise NotImplementedError


def format_received(
    peer: Peer,
    by: str,
    id: str,
    now: Instant,
    *,
    rcpt: Address | None = None,
    smtputf8: bool = False,
    show_client: bool = True,
) -> bytes:
    """The whole field with its CRLF. `rcpt` only where there is one recipient (RFC 5321 §7.6: blind copies).

    Without `show_client` neither the client's name nor its address appear (submission).
    """
    raise NotImplementedError
