"""Octets that have come in and are not yet read: lines, and the one decision about CR, LF and NUL.

A line ends with CRLF and with nothing else. A bare CR, a bare LF, a NUL or too great a length spoil the whole line up
to its CRLF: it is skipped, in bounded memory, and reported once, as soon as it is known to be bad. `Lines` is for
commands and replies, `are_clean` for bodies. However the octets are cut, the lines and the complaints are the same.
"""

from enum import StrEnum

# How much of a spoilt line is shown to whoever wants to know what it was.
_HEAD = 16


class ProtocolError(Exception):
    """The other side cannot be talked to any longer, or an engine was used out of turn; the text is a sentence."""


class Flaw(StrEnum):
    """What is wrong with a line; the value is a sentence for the other side."""

    TOO_LONG = "The line is too long"
    BARE_CR = "A line holds a CR without LF; lines end with CRLF"
    BARE_LF = "A line holds a LF without CR; lines end with CRLF"
    NUL = "A line holds a NUL"


class BadLine(Exception):
    """One spoilt line, of which `head` has the beginning. It is being skipped already: go on with the next."""

    def __init__(self, flaw: Flaw, head: bytes) -> None:
        super().__init__(flaw.value)
        self.flaw = flaw
        self.head = head


class Lines:
    """A buffer that is read by lines, or by octets between them. What is unread is never more than was fed."""

    __slots__ = ("_at", "_octets", "_skipping")

    def __init__(self) -> None:
        self._octets = b""
        self._at = 0
        self._skipping = False

    def __len__(self) -> int:
        """How many octets are unread."""
        return len(self._octets) - self._at

    def feed(self, octets: bytes) -> None:
        """Take what came in."""
        unread = self._octets
        self._octets = unread[self._at :] + octets if self._at < len(unread) else octets
        self._at = 0

    def clear(self) -> None:
        """Forget everything unread."""
        self._octets = b""
        self._at = 0
        self._skipping = False

    def take(self, most: int | None = None) -> bytes:
        """The next octets, `most` of them at most; all where it is None."""
        at = self._at
        if most is None or most >= len(self._octets) - at:
            octets = self._octets[at:] if at else self._octets
            self._octets = b""
            self._at = 0
            return octets
        self._at = at + most
        return self._octets[at : at + most]

    def line(self, limit: int) -> bytes | None:
        """The next line without its CRLF, None where it is not complete yet.

        `limit` counts octets with the CRLF. Raises BadLine once for each spoilt line.
        """
        octets = self._octets
        at = self._at
        if at == len(octets):
            return None
        end = octets.find(b"\r\n", at)
        if end >= 0 and not self._skipping:
            line = octets[at:end]
            if len(line) + 2 <= limit and not (b"\n" in line or b"\r" in line or b"\0" in line):
                self._at = end + 2
                return line
        return self._slow_line(limit)

    def _slow_line(self, limit: int) -> bytes | None:
        """The rest of a spoilt line, an incomplete line, or one that becomes spoilt here."""
        if self._skipping:
            end = self._octets.find(b"\r\n", self._at)
            if end < 0:
                # The last octet may be the CR of the CRLF that is waited for.
                self._at = len(self._octets) - (self._octets.endswith(b"\r") and len(self) > 0)
                return None
            self._at = end + 2
            self._skipping = False
            return self.line(limit)
        end = self._octets.find(b"\r\n", self._at)
        window = self._octets[self._at : end if end >= 0 else None]
        flaw = _first_flaw(window, limit - 2, complete=end >= 0)
        if flaw is None:
            return None
        self._skipping = True
        raise BadLine(flaw, window[:_HEAD])


def _first_flaw(window: bytes, limit: int, *, complete: bool) -> Flaw | None:
    """The flaw that shows first, so that it is the same however the octets are cut. `limit` is without CRLF."""
    found: list[tuple[int, Flaw]] = []
    if len(window) > limit + (0 if complete or not window.endswith(b"\r") else 1):
        found.append((limit, Flaw.TOO_LONG))
    for octet, flaw in ((b"\n", Flaw.BARE_LF), (b"\0", Flaw.NUL)):
        at = window.find(octet)
        if at >= 0:
            found.append((at, flaw))
    at = window.find(b"\r")
    # A CR at the very end of what is here may yet be followed by its LF.
    if at >= 0 and (complete or at < len(window) - 1):
        found.append((at + 1, Flaw.BARE_CR))
    return min(found)[1] if found else None


def are_clean(octets: bytes) -> bool:
    """Whether every CR stands before a LF, every LF behind a CR, and there is no NUL.

    Neither the CR nor the LF of a pair may be cut off at the edges.
    """
    pairs = octets.count(b"\r\n")
    return octets.count(b"\n") == pairs and octets.count(b"\r") == pairs and b"\0" not in octets
