"""A letter to a group in the group's name, where in its author's it would not arrive (RFC 7960 §4.1.3).

    rewritten = await rewrite(letter, group, keys, signer, blobs)      in front of rewritten.content: rewritten.fields

What a group sends on is unchanged, so an author's signature holds at every member's server. But there are authors whose
domain asks for refusal of what it did not send, and proves what it sends by the address of its hosts alone: at the next
server that proof is gone, and the message refused. For members elsewhere such a letter is written anew, with From the
group's, the author in Reply-To (unless he had asked for answers elsewhere) and the old field in Original-From, signed
by the group's domain. Members here get the letter itself.

It is done for groups only, which act in a name of their own, and only for letters that have proved here who wrote them:
else a spoof would leave in our name.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from posthouse.mail.address import Address
from posthouse.mail.compose import format_field, format_mailbox
from posthouse.mail.headers import Field, scan_header
from posthouse.mail.journey import Stamp, Step
from posthouse.mail.mailboxes import mailboxes
from posthouse.mail.words import one_line
from posthouse.route.forgeries import without
from posthouse.route.letter import Letter, Ready, Rewritten
from posthouse.route.signing import Signer
from posthouse.store.blobs import Blobs
from posthouse.store.signing import StoredKey

# Of a name, so that the field stays readable.
_NAME_CHARACTERS = 80


async def rewrite(
    letter: Letter, group: Address, keys: Sequence[StoredKey], signer: Signer, blobs: Blobs, ready: Ready
) -> Ready:
    """Adds the letter in the name of `group` to what is ready; `keys` are those of the group's domain. Both addresses,
    the author's and the group's, are in ASCII. `StoreFault`."""
    added, field = await asyncio.to_thread(_compose, letter, group)
    content = await without(blobs, letter.content, (field,))
    signed = await signer.sign(content, keys, letter.now, prefix=added)
    told = f"goes to members elsewhere as from <{group}>, since only its author's own hosts prove that it is his"
    stamps = (Stamp(letter.now, Step.ADDED, {"field": told}), *signed.stamps)
    return replace(ready, rewritten=Rewritten(content, signed.fields, added, stamps))


def _compose(letter: Letter, group: Address) -> tuple[bytes, Field]:
    """The new fields, and the one that they stand for."""
    with letter.content.open() as octets:
        header = scan_header(octets)
    (field,) = header.all("from")
    (mailbox,) = mailboxes(header.addresses("from"))
    author = mailbox.address
    assert author is not None
    name = one_line(mailbox.display_name.encode("utf-8", "replace").decode())[:_NAME_CHARACTERS].strip()
    # RFC 7960 §4.1.3.3: nothing in the name that looks like an address.
    shown = author.local_part if "@" in name or not name else name
    fields = format_field("From", format_mailbox(f"{shown} via {group.local_part}", str(group)))
    if header.get("reply-to") is None:
        fields += format_field("Reply-To", format_mailbox(name, str(author)))
    # RFC 5703 §5: whoever changes From keeps the former one.
    return fields.encode("ascii") + b"Original-From:" + field.value + b"\r\n", field
