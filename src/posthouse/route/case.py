"""A message at the desk of port 25, as the steps, the checks and the rules look at it.

    seen = await look(acceptance, content, now, signatures=True)     what is filed, and what checks need
    case = Case(peer, envelope, content, *seen, now)

A large body lies in a file that is open only while it is looked at. What checks need of it (the hashes of its
signatures) is taken in the same look, and `Case.message` then holds the header alone; whoever wants the body looks
again with `Acceptance.look`.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from posthouse.checks.dkim.digests import BodyDigests
from posthouse.checks.dkim.verification import body_digests
from posthouse.mail.envelope import Envelope
from posthouse.mail.headers import Octets
from posthouse.mail.instant import Instant
from posthouse.mail.message import Message
from posthouse.mail.peer import Peer
from posthouse.route.acceptance import READ_INLINE, Acceptance
from posthouse.route.filing import Reading, read_message
from posthouse.store.blobs import Content


@dataclass(frozen=True, slots=True)
class Case:
    """Who brings what. `message` is of the octets as they came in; `digests` are those of its body where it is large;
    where that lies in a file, the message ends with its header."""

    peer: Peer
    envelope: Envelope
    content: Content
    reading: Reading
    message: Message
    digests: BodyDigests | None
    now: Instant


class Look(NamedTuple):
    """What one look at the octets gave."""

    reading: Reading
    message: Message
    digests: BodyDigests | None


async def look(acceptance: Acceptance, content: Content, now: Instant, *, signatures: bool) -> Look:
    """Reads a body wherever it lies; with `signatures` also the hashes that those of a large one ask for."""
    return await acceptance.look(content, partial(_look, content, now, signatures))


def _look(content: Content, now: Instant, signatures: bool, octets: Octets) -> Look:
    message = Message.parse(octets)
    reading = read_message(message, content, now)
    # A small one is hashed where the checks are, if it is signed at all; this here runs in a thread for a large one.
    digests = body_digests(message) if signatures and content.size > READ_INLINE else None
    if not isinstance(octets, bytes):
        # The file is closed after this; what stays is a copy of the header.
        message = Message(octets[: message.header.end], message.header)
    return Look(reading, message, digests)
