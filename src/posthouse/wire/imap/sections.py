"""What FETCH asks for (RFC 3501 §6.4.5): attributes that are kept ready, and sections of the message itself."""

import re
from dataclasses import dataclass
from enum import Enum, StrEnum

from posthouse.wire.imap.faults import Malformed
from posthouse.wire.imap.responses import astring
from posthouse.wire.imap.scanner import Scanner

# Ours: no client asks for more parts in one command, and each may give the whole message again.
MAX_SECTIONS = 64
MAX_PART_DEPTH = 100


class Attribute(Enum):
    """What is known of a message without reading it. The value is the name on the wire."""

    UID = b"UID"
    FLAGS = b"FLAGS"
    INTERNALDATE = b"INTERNALDATE"
    SIZE = b"RFC822.SIZE"
    ENVELOPE = b"ENVELOPE"
    BODY = b"BODY"
    BODYSTRUCTURE = b"BODYSTRUCTURE"


class Piece(StrEnum):
    """Which piece of a part a section names; WHOLE is the part's body, or the whole message at the top."""

    WHOLE = ""
    HEADER = "HEADER"
    FIELDS = "HEADER.FIELDS"
    FIELDS_NOT = "HEADER.FIELDS.NOT"
    TEXT = "TEXT"
    MIME = "MIME"


@dataclass(frozen=True, slots=True)
class Section:
    """One section: the part's numbers (none at the top), the piece, the fields' names in lower case.

    `offset` and `count` cut octets out of it, where `count` is not None. `label` is how the response names it.
    `peek`: reading it does not set \\Seen.
    """

    label: bytes
    part: tuple[int, ...] = ()
    piece: Piece = Piece.WHOLE
    fields: frozenset[bytes] = frozenset()
    offset: int = 0
    count: int | None = None
    peek: bool = True


@dataclass(frozen=True, slots=True)
class Items:
    """All that one FETCH asks for, each once."""

    attributes: tuple[Attribute, ...]
    sections: tuple[Section, ...] = ()

    @property
    def sets_seen(self) -> bool:
        """Whether fetching this marks the messages as seen."""
        return any(not section.peek for section in self.sections)


_FAST = (Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE)
_MACROS = {
    b"ALL": Items((*_FAST, Attribute.ENVELOPE)),
    b"FAST": Items(_FAST),
    b"FULL": Items((*_FAST, Attribute.ENVELOPE, Attribute.BODY)),
}
_ATTRIBUTES = {attribute.value: attribute for attribute in Attribute}
_OLD_SECTIONS = {
    b"RFC822": Section(b"RFC822", peek=False),
    b"RFC822.HEADER": Section(b"RFC822.HEADER", piece=Piece.HEADER),
    b"RFC822.TEXT": Section(b"RFC822.TEXT", piece=Piece.TEXT, peek=False),
}

_NAME = re.compile(rb"[A-Za-z0-9.]+")
_PART = re.compile(rb"[1-9][0-9]{0,9}(?:\.[1-9][0-9]{0,9})*")
_PIECE = re.compile(rb"[A-Za-z.]+")
_PIECES = {piece.value.encode("ascii"): piece for piece in Piece if piece}


def items(scanner: Scanner) -> Items:
    """A macro, one item, or a list of items in parentheses. Raises Malformed."""
    if not scanner.accept(b"("):
        name = scanner.word(_NAME, "a FETCH item").upper()
        if name in _MACROS:
            return _MACROS[name]
        return _collected([_item(scanner, name)])
    found = [_item(scanner, scanner.word(_NAME, "a FETCH item").upper())]
    while not scanner.accept(b")"):
        scanner.space()
        found.append(_item(scanner, scanner.word(_NAME, "a FETCH item").upper()))
    return _collected(found)


def _collected(found: list[Attribute | Section]) -> Items:
    attributes = dict.fromkeys(item for item in found if isinstance(item, Attribute))
    sections: dict[bytes, Section] = {}
    for item in found:
        if isinstance(item, Section) and (item.label not in sections or not item.peek):
            sections[item.label] = item
    if len(sections) > MAX_SECTIONS:
        raise Malformed("too many sections in one FETCH")
    return Items(tuple(attributes), tuple(sections.values()))


def _item(scanner: Scanner, name: bytes) -> Attribute | Section:
    if scanner.octets[scanner.at : scanner.at + 1] == b"[":
        if name == b"BODY":
            return _section(scanner, peek=False)
        if name == b"BODY.PEEK":
            return _section(scanner, peek=True)
    elif name in _ATTRIBUTES:
        return _ATTRIBUTES[name]
    elif name in _OLD_SECTIONS:
        return _OLD_SECTIONS[name]
    raise Malformed("no such FETCH item")


def _section(scanner: Scanner, *, peek: bool) -> Section:
    scanner.expect(b"[", "a section")
    label = b""
    part: tuple[int, ...] = ()
    piece = Piece.WHOLE
    fields: tuple[bytes, ...] = ()
    if scanner.octets[scanner.at : scanner.at + 1].isdigit():
        label = scanner.word(_PART, "a part number")
        part = _part(label)
        if scanner.accept(b"."):
            label += b"."
            piece = _piece(scanner)
    elif scanner.octets[scanner.at : scanner.at + 1] != b"]":
        piece = _piece(scanner)
        if piece is Piece.MIME:
            raise Malformed("MIME needs a part number before it")
    label += piece.value.encode("ascii")
    if piece in (Piece.FIELDS, Piece.FIELDS_NOT):
        scanner.space()
        fields = _fields(scanner)
        label += b" (" + b" ".join(map(astring, fields)) + b")"
    scanner.expect(b"]", "the end of the section")
    offset, count = _partial(scanner)
    tail = b"" if count is None else b"<%d>" % offset
    names = frozenset(field.lower() for field in fields)
    return Section(b"BODY[" + label + b"]" + tail, part, piece, names, offset, count, peek)


def _part(label: bytes) -> tuple[int, ...]:
    if label.count(b".") >= MAX_PART_DEPTH:
        raise Malformed("the part number is too deep")
    return tuple(map(int, label.split(b".")))


def _piece(scanner: Scanner) -> Piece:
    piece = _PIECES.get(scanner.word(_PIECE, "a section").upper())
    if piece is None:
        raise Malformed("no such section")
    return piece


def _fields(scanner: Scanner) -> tuple[bytes, ...]:
    scanner.expect(b"(", "a list of field names")
    fields = [scanner.astring()]
    while not scanner.accept(b")"):
        scanner.space()
        fields.append(scanner.astring())
    return tuple(fields)


def _partial(scanner: Scanner) -> tuple[int, int | None]:
    if not scanner.accept(b"<"):
        return 0, None
    offset = scanner.number()
    scanner.expect(b".", "a dot")
    count = scanner.number(least=1)
    scanner.expect(b">", "the end of the range")
    return offset, count
