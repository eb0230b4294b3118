"""Where a section of a message lies (RFC 3501 §6.4.5): spans of its octets, so that nothing is copied to be cut.

A message in a mailbox is a prefix of header fields that we added, and the octets as received. Only the whole message
and its own header have the prefix; every numbered part lies in the octets received.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from posthouse.mail.message import Message, Part
from posthouse.wire.imap.sections import Piece, Section


class Span(NamedTuple):
    """From `start` to before `end`."""

    start: int
    end: int


def locate(message: Message, section: Section) -> Span | None:
    """Where the part or piece that a section names lies in the message's octets; None where there is no such thing.

    For HEADER.FIELDS it is the whole header to choose from.
    """
    part = message.find(".".join(map(str, section.part)))
    if part is None:
        return None
    if section.piece is Piece.WHOLE:
        return Span(part.body_start, part.end)
    if section.piece is Piece.MIME:
        return Span(part.start, part.body_start)
    # RFC 3501 §6.4.5: HEADER and TEXT behind a number are those of the message inside a MESSAGE/RFC822.
    inner: Part | None = part.message
    if inner is None:
        return None
    if section.piece is Piece.TEXT:
        return Span(inner.body_start, inner.end)
    return Span(inner.start, inner.body_start)


# A field as `mail.headers` reads it, with its continuation lines; the spans are all that is wanted here, and 20,000
# messages are asked for at once.
_find_fields = re.compile(
    rb"^([!-9;-~]+)[ \t]*:[^\n]*(?:\n|\Z)(?:[ \t][^\n]*(?:\n|\Z))*+", re.MULTILINE
).finditer


def choose_fields(header: bytes, section: Section) -> bytes:
    """The fields of a header that HEADER.FIELDS or HEADER.FIELDS.NOT wants, with the empty line."""
    wanted = section.fields
    inverse = section.piece is Piece.FIELDS_NOT
    kept = [field[0] for field in _find_fields(header) if (field[1].lower() in wanted) is not inverse]
    return b"".join(kept) + b"\r\n"


def cut(pieces: Sequence[bytes | Span], section: Section) -> list[bytes | Span]:
    """What the octet range of a section leaves of its pieces (RFC 3501 §6.4.5, partial)."""
    if section.count is None:
        return list(pieces)
    kept: list[bytes | Span] = []
    skip, left = section.offset, section.count
    for piece in pieces:
        size = length(piece)
        if skip >= size:
            skip -= size
            continue
        take = min(size - skip, left)
        if isinstance(piece, Span):
            kept.append(Span(piece.start + skip, piece.start + skip + take))
        else:
            kept.append(piece[skip : skip + take])
        skip = 0
        left -= take
        if not left:
            break
    return kept


def length(piece: bytes | Span) -> int:
    """Octets of a piece."""
    return piece.end - piece.start if isinstance(piece, Span) else len(piece)
