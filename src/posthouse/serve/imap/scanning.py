"""Looks through whole messages for texts: what BODY, TEXT and HEADER of SEARCH mean (RFC 3501 §6.4.4).

The text of a message is its header fields, unfolded and decoded, and its text parts, decoded; attachments of other
types are not text. Letters match whatever their case, in every script; composed and decomposed forms are the same.
"""

import unicodedata
from collections.abc import Iterable, Iterator

from posthouse.mail.headers import Header, Octets, scan_header
from posthouse.mail.message import Message, Part
from posthouse.wire.imap.search import Place, Text

# Decoded octets of one part that are looked through; what a person writes is far shorter.
PART_OCTETS = 4 * 1024 * 1024


def fold(text: str) -> str:
    """The form in which texts are compared."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).casefold()


class Scan:
    """Several texts, folded once and looked for in many messages."""

    __slots__ = ("_fields", "_header", "_whole")

    def __init__(self, texts: Iterable[Text]) -> None:
        wanted = [(text, fold(text.text)) for text in texts]
        self._fields = [pair for pair in wanted if pair[0].place is Place.FIELD]
        self._header = [pair for pair in wanted if pair[0].place is Place.TEXT]
        self._whole = [pair for pair in wanted if pair[0].place is not Place.FIELD]

    def found(self, prefix: bytes, header_end: int, octets: Octets) -> set[Text]:
        """Which of the texts are in this message. Never raises; linear."""
        found: set[Text] = set()
        header = scan_header(prefix + octets[:header_end])
        for text, needle in self._fields:
            if any(needle in fold(field.text) for field in header.all(text.field)):
                found.add(text)
        if self._header:
            everything = _header_text(header)
            found.update(text for text, needle in self._header if needle in everything)
        wanted = [pair for pair in self._whole if pair[0] not in found]
        if not wanted:
            return found
        for haystack in _texts(Message.parse(octets).root):
            folded = fold(haystack)
            found.update(text for text, needle in wanted if needle in folded)
            wanted = [pair for pair in wanted if pair[0] not in found]
            if not wanted:
                break
        return found


def _header_text(header: Header) -> str:
    return fold("\n".join([f"{field.name}: {field.text}" for field in header.fields]))


def _texts(root: Part) -> Iterator[str]:
    for part in root.walk():
        if part.message is not None:
            yield "\n".join([f"{field.name}: {field.text}" for field in part.message.header.fields])
        elif part.content_type[0] == "text":
            yield part.text(PART_OCTETS)
