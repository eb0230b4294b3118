"""The header of a message or a MIME part: its fields with their places in the octets (RFC 5322 §2.2).

Fields are found once; nothing is decoded before somebody asks. Values keep their folding, because signatures are
made over it.
"""

from mmap import mmap
from typing import NamedTuple

from posthouse.mail.mailboxes import Group, Mailbox

# THREATS: bounds of what is read as header.
HEADER_FIELDS = 10_000
HEADER_OCTETS = 10_000_000

Octets = bytes | mmap


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
        raise NotImplementedError

    @property
    def unfolded(self) -> bytes:
        """The value on one line, without white space at either end."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """The value for people: unfolded, encoded words decoded, any octets tolerated."""
        raise NotImplementedError


class Header:
    """Fields in the order they stand. `end` is the offset of the body; `flaw` a sentence on what is no field, or ""."""

    __slots__ = ("end", "fields", "flaw")

    fields: tuple[Field, ...]
    end: int
    flaw: str

    def get(self, name: str) -> Field | None:
        """The first field of that name, in any case."""
        raise NotImplementedError

    def all(self, name: str) -> tuple[Field, ...]:
        """Every field of that name, top down."""
        raise NotImplementedError

    def text(self, name: str) -> str:
        """The text of the first field of that name, or ""."""
        raise NotImplementedError

    def addresses(self, name: str) -> tuple[Mailbox | Group, ...]:
        """The address lists of all fields of that name, joined; parsed once."""
        raise NotImplementedError


def parse_header(octets: Octets, start: int = 0, end: int | None = None) -> Header:
    """The header at `start`. Raises HeaderError beyond 10,000 fields or 10 MB."""
    raise NotImplementedError


def scan_header(octets: Octets, start: int = 0, end: int | None = None) -> Header:
    """As `parse_header`, but never raises: beyond the bounds the rest is left to the body and `flaw` says so."""
    raise NotImplementedError
