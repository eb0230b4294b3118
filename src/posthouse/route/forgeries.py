"""Header fields that come in and speak in our name: found, taken out, and told.

    fields = forged(header, authserv_id)
    kept = await without(blobs, content, fields)         another body, without those octets
    stamps(fields, kept, now)                            what was taken out, for the journey

A reader believes Authentication-Results that carry the name of its own server; whoever brings one along has no right
to (RFC 8601 §5). The same goes for the warning that this house puts into single mailboxes. Everything that was signed
has been checked by then, on the octets as they came. This is the one case in which received octets are changed:
docs/decisions/0006.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from posthouse.mail.authentication_results import NAME, claims
from posthouse.mail.headers import Field, Header
from posthouse.mail.instant import Instant
from posthouse.mail.journey import Stamp, Step
from posthouse.mail.words import one_line
from posthouse.route.opinion import WARNING_FIELD
from posthouse.store.blobs import Blobs, Content, Spool

_PIECE: Final = 256 * 1024
# Of each on the journey, and how many.
_TOLD_CHARACTERS: Final = 1_000
_TOLD_FIELDS: Final = 20


def forged(header: Header, authserv_id: str) -> tuple[Field, ...]:
    """The fields that claim to be ours, top down."""
    found = [field for field in header.all(NAME) if claims(field, authserv_id)]
    return tuple(sorted((*found, *header.all(WARNING_FIELD)), key=lambda field: field.start))


async def without(blobs: Blobs, content: Content, fields: Sequence[Field]) -> Content:
    """A new body: the old one, which stays as it is, without `fields`. `StoreFault` as `Spool.finish`."""
    if content.octets is not None:
        octets = content.octets
        return await blobs.content(b"".join(octets[start:end] for start, end in _between(fields, len(octets))))
    spool = blobs.spool()
    try:
        await asyncio.to_thread(_copy, content, fields, spool)
        return await spool.finish()
    finally:
        spool.discard()


def stamps(fields: Sequence[Field], kept: Content, at: Instant) -> Iterator[Stamp]:
    """One for each field that was taken out, up to some, and the digest of what is kept with the last."""
    for field in fields[:_TOLD_FIELDS]:
        value = one_line(field.unfolded.decode("utf-8", "replace"))[:_TOLD_CHARACTERS]
        yield Stamp(at, Step.REMOVED, {"field": field.name, "value": value, "digest": kept.digest.hex()})
    more = len(fields) - _TOLD_FIELDS
    if more > 0:
        yield Stamp(at, Step.REMOVED, {"field": NAME, "value": f"{more} more", "digest": kept.digest.hex()})


def _between(fields: Sequence[Field], size: int) -> Iterator[tuple[int, int]]:
    """What stands before, between and behind the fields."""
    edges = [0, *(edge for field in fields for edge in (field.start, field.end)), size]
    return zip(edges[::2], edges[1::2], strict=True)


def _copy(content: Content, fields: Sequence[Field], spool: Spool) -> None:
    with content.open() as octets:
        for start, end in _between(fields, len(octets)):
            for position in range(start, end, _PIECE):
                spool.write(octets[position : min(position + _PIECE, end)])
