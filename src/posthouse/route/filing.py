"""What is written down about a message when it is filed: facts for lists, IMAP's answers, the fields put in front.

    reading = read(octets, content, now)          one look at the octets: everything later steps need
    file_as(reading, prefix)                      the row for one account, with its own Return-Path and Delivered-To
"""

from dataclasses import dataclass

from posthouse.mail.address import Address
from posthouse.mail.headers import Octets
from posthouse.mail.instant import Instant
from posthouse.store.blobs import Content
from posthouse.store.messages import NewMessage


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look at a message found. `flaw` is a sentence for a 550 reply, or "" (`mail.author.flaws`)."""

    flaw: str
    header_from: Address | None
    hops: int
    delivered_to: frozenset[str]
    message: NewMessage


def read(octets: Octets, content: Content, now: Instant, added: bytes = b"") -> Reading:
    """`added`: header fields that stand in front of the content for every reader (a missing Date, Message-ID)."""
    raise NotImplementedError


def file_as(message: NewMessage, prefix: bytes, flags: int = 0) -> NewMessage:
    """The message as one account gets it, with `prefix` in front. For APPEND: `b""` and the client's flags."""
    raise NotImplementedError
