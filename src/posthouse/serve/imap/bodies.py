"""Bodies on their way to the client: sections cut out by spans, large ones streamed piece by piece.

A small body is in memory while its sections are sent. Of a large one, which lies in a file, only the piece being sent
is; it is taken apart in a thread, and only where a numbered part is wanted.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from posthouse.mail.headers import Octets
from posthouse.mail.message import Message
from posthouse.serve.imap.session import Session
from posthouse.store import blobs, messages
from posthouse.store.blobs import INLINE_LIMIT
from posthouse.store.database import Row
from posthouse.wire.imap.parts import Span, choose_fields, cut, length, locate
from posthouse.wire.imap.sections import Piece, Section
from posthouse.wire.imap.sequence import gather

# Octets of small bodies read by one query, and of a large one sent at once.
GROUP_OCTETS = 2 * 1024 * 1024
PIECE = 128 * 1024
# Ours: a header of this size is looked through for HEADER.FIELDS; bounded by what a parser reads as header.
_FIELDS = (Piece.FIELDS, Piece.FIELDS_NOT)


@dataclass(frozen=True, slots=True)
class Body:
    """A message as it is stored: what we put in front, and the octets as received, None where they are in a file."""

    prefix: bytes
    header_end: int
    size: int
    blob_id: int
    octets: bytes | None


def groups(rows: list[Row], size_at: int) -> Iterator[list[Row]]:
    """The rows in groups whose small bodies fit into memory together."""
    group: list[Row] = []
    total = 0
    for row in rows:
        size = min(row[size_at], INLINE_LIMIT)
        if group and total + size > GROUP_OCTETS:
            yield group
            group, total = [], 0
        group.append(row)
        total += size
    if group:
        yield group


async def load(session: Session, mailbox_id: int, uids: list[int]) -> dict[int, Body]:
    """Bodies by UID; what is gone is missing. Raises `StoreFault` where a body is not what came in."""
    account_id, ranges = session.account_id, gather(uids)
    columns = ("uid", "prefix", "header_size", "size", "blob_id", "digest", "octets")
    rows = await session.read(
        lambda tx: messages.fetch(tx, account_id, mailbox_id, ranges, columns), quick=len(uids) == 1
    )
    found = {}
    for uid, prefix, header_size, size, blob_id, digest, octets in rows:
        if octets is not None:
            octets = blobs.checked(octets, digest, blob_id)
        front = len(prefix)
        found[uid] = Body(prefix, header_size - front, size - front, blob_id, octets)
    return found


async def tell(session: Session, body: Body, sections: Sequence[Section], *, first: bool) -> None:
    """Sends the sections of one message, each as ` LABEL literal`; `first`: nothing stands before the first of them."""
    if body.octets is not None:
        parsed: list[Message] = []
        for section in sections:
            pieces = _pieces(body, section, body.octets, parsed)
            _announce(session, section, pieces, first)
            first = False
            for piece in pieces or ():
                session.tell(body.octets[piece.start : piece.end] if isinstance(piece, Span) else piece)
        return
    content = await session.post.blobs.load(body.blob_id)
    with content.open() as octets:
        parsed = []
        for section in sections:
            pieces = await asyncio.to_thread(_pieces, body, section, octets, parsed)
            _announce(session, section, pieces, first)
            first = False
            for piece in pieces or ():
                await _stream(session, octets, piece)


async def _stream(session: Session, octets: Octets, piece: bytes | Span) -> None:
    if not isinstance(piece, Span):
        session.tell(piece)
        return
    for start in range(piece.start, piece.end, PIECE):
        end = min(start + PIECE, piece.end)
        # Touching a mapped file may wait for the disk.
        session.tell(await asyncio.to_thread(_slice, octets, start, end))
        await session.flush()


def _slice(octets: Octets, start: int, end: int) -> bytes:
    return octets[start:end]


def _announce(session: Session, section: Section, pieces: list[bytes | Span] | None, first: bool) -> None:
    label = section.label if first else b" " + section.label
    if pieces is None:
        # RFC 3501 §6.4.5 leaves open what a part that does not exist is; NIL says it plainly.
        session.tell(label + b" NIL")
    else:
        session.tell(b"%b {%d}\r\n" % (label, sum(map(length, pieces))))


def _pieces(body: Body, section: Section, octets: Octets, parsed: list[Message]) -> list[bytes | Span] | None:
    """What a section consists of; None where there is no such part. `parsed` keeps the message once it is parsed."""
    pieces: list[bytes | Span]
    if not section.part:
        match section.piece:
            case Piece.WHOLE:
                pieces = [body.prefix, Span(0, body.size)]
            case Piece.TEXT:
                pieces = [Span(body.header_end, body.size)]
            case Piece.HEADER:
                pieces = [body.prefix, Span(0, body.header_end)]
            case _:
                pieces = [choose_fields(body.prefix + octets[: body.header_end], section)]
        return cut(pieces, section)
    if not parsed:
        parsed.append(Message.parse(octets))
    span = locate(parsed[0], section)
    if span is None:
        return None
    if section.piece in _FIELDS:
        return cut([choose_fields(octets[span.start : span.end], section)], section)
    return cut([span], section)
