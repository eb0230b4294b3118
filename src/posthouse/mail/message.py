"""A message: octets, header, and the tree of its parts, all as offsets into the octets (RFC 5322, 2045, 2046).

    message = Message.parse(octets)          bytes, or an mmap of a spool file: bodies are never copied
    message.header.text("subject")
    for part in message.root.walk(): …       the tree is built when `root` is first asked for, in one pass
    message.find("2.1").decoded()            IMAP part numbers (RFC 3501 §6.4.5)
"""

from typing import Self

from posthouse.mail.headers import Header, Octets, scan_header
from posthouse.mail.parts import Part, build

__all__ = ["Message", "Octets", "Part"]


class Message:
    """One message. `octets` is kept as given, and has to stay open as long as bodies are asked for."""

    __slots__ = ("_root", "header", "octets")

    def __init__(self, octets: Octets, header: Header) -> None:
        self.octets = octets
        self.header = header
        self._root: Part | None = None

    @classmethod
    def parse(cls, octets: Octets) -> Self:
        """Never raises: beyond a bound the rest is an opaque leaf, and `header.flaw` tells of a bad header."""
        return cls(octets, scan_header(octets))

    @property
    def root(self) -> Part:
        """The top of the tree; built once."""
        if self._root is None:
            self._root = build(self.octets, self.header)
        return self._root

    def find(self, number: str) -> Part | None:
        """The part with an IMAP part number, "" for the root. A message part comes before the multipart in it."""
        if not number:
            return self.root
        return next((part for part in self.root.walk() if part.number == number), None)
