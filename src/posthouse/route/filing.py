"""What is written down about a message when it is filed: facts for lists, IMAP's answers, the fields put in front.

    reading = read(octets, content, now)          one look at the octets: everything later steps need
    prefix = delivery_prefix(mail_from, addresses, trace)
    file_as(reading.message, prefix)              the row for one account, with its own Return-Path and Delivered-To

The octets are looked at once, whoever the message goes to. A `NewMessage` made here has no prefix yet; `file_as` puts
one in front and counts it into the sizes, which is all that differs between two recipients of one message.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.mail.address import Address
from posthouse.mail.author import flaws
from posthouse.mail.facts import facts
from posthouse.mail.headers import Header, Octets
from posthouse.mail.instant import Instant
from posthouse.mail.message import Message
from posthouse.store.blobs import Content
from posthouse.store.messages import NewMessage
from posthouse.wire.imap.structure import bodystructure, envelope

# Longest text kept of one address field, in characters: what search and lists read of a message with 10,000 names.
_NAMES = 10_000


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look at a message found.

    `flaw` is a sentence for a 550 reply, or "" (`mail.author.flaws`); `hops` how many Received fields there are;
    `delivered_to` the addresses in Delivered-To, in lower case; `international` whether the header has octets outside
    ASCII; `message` what is filed, without a prefix.
    """

    flaw: str
    header_from: Address | None
    hops: int
    delivered_to: frozenset[str]
    international: bool
    message: NewMessage


def read(octets: Octets, content: Content, now: Instant, added: bytes = b"") -> Reading:
    """Reads `octets`, which are those of `content`; never raises, linear.

    `added`: whole header fields that stand in front of the content for every reader (a missing Date, Message-ID);
    they count as the message's own, but not into its sizes.
    """
    return read_message(Message.parse(octets), content, now, added)


def read_message(message: Message, content: Content, now: Instant, added: bytes = b"") -> Reading:
    """As `read`, for whoever has parsed the octets already."""
    octets = message.octets
    header = message.header
    known = facts(message)
    head = message
    if added:
        # ENVELOPE and the facts of the header see the added fields, BODYSTRUCTURE and the preview the body.
        head = Message.parse(added + octets[: header.end])
        header = head.header
        front = facts(head)
    else:
        front = known
    filed = NewMessage(
        blob_id=content.blob_id,
        prefix=b"",
        size=content.size,
        header_size=message.header.end,
        received_at=now,
        sent_at=front.sent_at,
        envelope=envelope(head),
        bodystructure=bodystructure(message.root, True),
        message_id=front.message_id,
        in_reply_to=front.in_reply_to,
        references=front.references,
        subject=front.subject,
        base_subject=front.base_subject,
        header_from=_names(header, "from"),
        header_to=_names(header, "to"),
        header_cc=_names(header, "cc"),
        header_bcc=_names(header, "bcc"),
        has_attachment=known.has_attachment,
        preview=known.preview,
    )
    return Reading(
        flaws(message.header),
        front.header_from,
        len(header.all("received")),
        frozenset(field.unfolded.decode("utf-8", "replace").lower() for field in header.all("delivered-to")),
        not octets[: message.header.end].isascii(),
        filed,
    )


def file_as(message: NewMessage, prefix: bytes, flags: int = 0) -> NewMessage:
    """The message as one account gets it, with `prefix` in front. For APPEND: `b""` and the client's flags."""
    return NewMessage(
        message.blob_id,
        prefix,
        message.size + len(prefix),
        message.header_size + len(prefix),
        message.received_at,
        message.sent_at,
        message.envelope,
        message.bodystructure,
        flags,
        message.message_id,
        message.in_reply_to,
        message.references,
        message.subject,
        message.base_subject,
        message.header_from,
        message.header_to,
        message.header_cc,
        message.header_bcc,
        message.has_attachment,
        message.preview,
    )


def delivery_prefix(mail_from: Address | None, addresses: Sequence[Address], trace: bytes) -> bytes:
    """What stands in front of a message in a mailbox (RFC 5321 §4.4): where it came from, for whom, by which way.

    `addresses` are those of RCPT that led to this mailbox; `trace` is Received and what else everybody sees.
    """
    to = "".join([f"Delivered-To: {address}\r\n" for address in addresses])
    return f"Return-Path: <{mail_from or ''}>\r\n{to}".encode() + trace


def _names(header: Header, name: str) -> str:
    return header.text(name)[:_NAMES]
