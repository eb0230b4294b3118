"""The header of a message or a MIME part: its fields with their places in the octets (RFC 5322 §2.2).

    header = scan_header(octets)
    header.text("subject")                    for people
    header.get("dkim-signature").value        as received, for whoever signs or verifies
    header.addresses("to")                    mailboxes and groups

Fields are found once, nothing is decoded before somebody asks. The header ends at the first empty line, and at the
first line that is no field: what stands from there on is body, and `flaw` says that it was so. Lines end with CR LF
or LF.
"""

import re
from mmap import mmap
from typing import NamedTuple

from posthouse.mail.mailboxes import Entry, parse_address_list
from posthouse.mail.tokens import unfold
from posthouse.mail.words import decode_words

# Bounds of what is read as one header.
HEADER_FIELDS = 10_000
HEADER_OCTETS = 10_000_000

Octets = bytes | mmap

# The first look; it grows fourfold while the header goes on, so that little is copied and nothing often.
_WINDOW = 16_384

_find_end = re.compile(rb"\n\r?\n").search
_split_fields = re.compile(rb"\n(?![ \t])").split
_is_name = re.compile(rb"[!-9;-~]+").fullmatch

# Names as they were written, with their keys; filled up with what is met, as long as it stays small.
_NAMES: dict[bytes, tuple[str, str]] = {}
_NAMES_KEPT = 2000
_NAME_OCTETS = 64

# Before the first field: what mbox files put there, and a continuation of nothing.
_SKIPPED = (b"From ", b">From ", b" ", b"\t")


class HeaderError(ValueError):
    """The header is beyond the bounds. The text is a sentence."""


class Field(NamedTuple):
    """One header field; `octets[start:end]` is all of it, final CRLF included.

    `value` is what follows the colon, folded as received, without the final CRLF.
    """

    name: str
    value: bytes
    start: int
    end: int

    @property
    def key(self) -> str:
        """The name in lower case."""
        return self.name.lower()

    @property
    def unfolded(self) -> bytes:
        """The value on one line, without white space at either end."""
        return unfold(self.value)

    @property
    def text(self) -> str:
        """The value for people: one line, encoded words decoded, any octets tolerated, no control characters."""
        return decode_words(unfold(self.value))


class Header:
    """Fields in the order they stand.

    `end` is the offset of the body. `flaw` is a sentence about what made the header end early or is no good field
    name, and "" where all is well; `flaws` in `author` says more.
    """

    __slots__ = ("_addresses", "_index", "end", "fields", "flaw")

    def __init__(self, fields: tuple[Field, ...], index: dict[str, list[Field]], end: int, flaw: str) -> None:
        self.fields = fields
        self.end = end
        self.flaw = flaw
        self._index = index
        self._addresses: dict[str, tuple[Entry, ...]] = {}

    @property
    def is_cut(self) -> bool:
        """Whether it goes on beyond the bounds, so that a field which is not here may still be there."""
        return self.flaw in (_TOO_MANY, _TOO_LONG)

    def get(self, name: str) -> Field | None:
        """The first field of that name, in any case."""
        found = self._index.get(name)
        if found is None and not name.islower():
            found = self._index.get(name.lower())
        return found[0] if found is not None else None

    def all(self, name: str) -> tuple[Field, ...]:
        """Every field of that name, top down."""
        return tuple(self._index.get(name.lower(), ()))

    def text(self, name: str) -> str:
        """The text of the first field of that name, or ""."""
        field = self.get(name)
        return decode_words(unfold(field.value)) if field else ""

    def addresses(self, name: str) -> tuple[Entry, ...]:
        """The address lists of all fields of that name, joined; parsed once, tolerantly."""
        key = name.lower()
        known = self._addresses.get(key)
        if known is None:
            found = self._index.get(key)
            if found is None:
                return ()
            if len(found) == 1:
                known = parse_address_list(found[0].value)
            else:
                known = tuple(entry for field in found for entry in parse_address_list(field.value))
            self._addresses[key] = known
        return known

    def repeated(self) -> frozenset[str]:
        """The keys of fields that stand more than once."""
        return frozenset(key for key, fields in self._index.items() if len(fields) > 1)


def parse_header(octets: Octets, start: int = 0, end: int | None = None) -> Header:
    """The header at `start`. Raises HeaderError beyond 10,000 fields or 10 MB."""
    header = scan_header(octets, start, end)
    if header.flaw in (_TOO_MANY, _TOO_LONG):
        raise HeaderError(header.flaw)
    return header


_TOO_MANY = f"The header has more than {HEADER_FIELDS:,} fields"
_TOO_LONG = f"The header is longer than {HEADER_OCTETS:,} octets"


def scan_header(octets: Octets, start: int = 0, end: int | None = None) -> Header:
    """As `parse_header`, but never raises: beyond the bounds the rest is left to the body and `flaw` says so."""
    end = len(octets) if end is None else end
    window = _WINDOW
    while True:
        stop = min(start + window, end)
        block = octets[start:stop]
        if block[:1] == b"\n" or block[:2] == b"\r\n":
            return Header((), {}, start + (1 if block[:1] == b"\n" else 2), "")
        match = _find_end(block)
        if match is not None:
            return _fields(block[: match.start() + 1], start, start + match.end(), "")
        if stop == end:
            return _fields(block, start, end, "")
        cut = block.rfind(b"\n") + 1
        # Grow only while all of it is header, lest text without empty lines is looked at for each part anew.
        if cut:
            header = _fields(block[:cut], start, start + cut, _TOO_LONG)
            if window >= HEADER_OCTETS or header.end < start + cut:
                return header
        elif window >= HEADER_OCTETS:
            return Header((), {}, start, _TOO_LONG)
        window = min(window * 4, HEADER_OCTETS)


def _fields(block: bytes, start: int, end: int, flaw: str) -> Header:
    """The header made of `block`, whose empty line is not in it; `end` and `flaw` hold unless a line is no field."""
    fields: list[Field] = []
    index: dict[str, list[Field]] = {}
    make = tuple.__new__     # a third of what Field(…) costs
    position, last = start, start + len(block)
    for line in _split_fields(block):
        if not line:
            break
        after = position + len(line) + 1
        name, colon, value = line.partition(b":")
        known = _NAMES.get(name)
        if known is None or not colon:
            known, wrong = _name(name, colon)
            flaw = wrong or flaw
            if known is None:
                if position > start or not line.startswith(_SKIPPED):
                    end = position
                    break
                position = after
                continue
        if len(fields) == HEADER_FIELDS:
            return Header(tuple(fields), index, position, _TOO_MANY)
        field = make(
            Field, (known[0], value[:-1] if value[-1:] == b"\r" else value, position, after if after < last else last)
        )
        fields.append(field)
        if known[1] in index:
            index[known[1]].append(field)
        else:
            index[known[1]] = [field]
        position = after
    return Header(tuple(fields), index, end, flaw)


def _name(name: bytes, colon: bytes) -> tuple[tuple[str, str] | None, str]:
    """A name that was not met yet, with its key and the flaw it has; None for what begins no field."""
    good = name
    if colon and _is_name(name) is None:
        # RFC 5322 §4.5 lets white space stand before the colon; it is where parsers part ways.
        good = name.strip(b" \t\r\n")
    # A line of two hyphens and more is a boundary, whatever colons are in it.
    if not colon or _is_name(good) is None or good.startswith(b"--"):
        return None, "A line of the header is not a header field"
    text = good.decode("ascii")
    known = (text, text.lower())
    if good is not name:
        return known, f"White space stands before or behind the name of the header field {text[:_NAME_OCTETS]}"
    if len(name) <= _NAME_OCTETS and len(_NAMES) < _NAMES_KEPT:
        _NAMES[name] = known
    return known, ""
