"""The body of a message: where it ends, what is wrong with it, how large it is; and how it goes out again.

`DotBody` reads DATA (RFC 5321 §4.5.2), `ChunkBody` reads BDAT (RFC 3030 §2). Both take octets cut anywhere, give
back what belongs to the message, and judge the whole of it when it has ended. A body with a bare CR, a bare LF or a
NUL, or one that is too large, is read to its true end, but nothing more of it is given out. Memory is constant: at
most four octets wait for what comes next.
"""

import re

from posthouse.mail.reply import Reply
from posthouse.wire.buffer import are_clean

_END = b"\r\n.\r\n"
_bare_ends = re.compile(rb"\r(?!\n)|(?<!\r)\n").sub

UNCLEAN = Reply(550, "5.5.2", "The message has a bare CR, a bare LF or a NUL; lines end with CRLF (RFC 5321 2.3.8)")
TOO_LARGE = Reply(552, "5.3.4", "The message is larger than this server takes")


class _Body:
    """What both kinds keep: `size` in octets of the message, `eight_bit` once an octet above 127 came."""

    __slots__ = ("_carry", "_limit", "_oversize", "_unclean", "eight_bit", "size")

    def __init__(self, limit: int, carry: bytes) -> None:
        self.size = 0
        self.eight_bit = False
        self._limit = limit
        self._carry = carry
        self._unclean = False
        self._oversize = False

    def _account(self, octets: bytes) -> bytes:
        """Look at the next octets of the message; no CR is cut off from its LF here. What is still wanted of them."""
        self.size += len(octets)
        if not are_clean(octets):
            self._unclean = True
        if not self.eight_bit and not octets.isascii():
            self.eight_bit = True
        if self.size > self._limit:
            self._oversize = True
        return b"" if self._unclean or self._oversize else octets

    @property
    def flaw(self) -> Reply | None:
        """What is wrong with all that came so far. It counts once the end, or the end of a chunk, is reached."""
        if self._unclean:
            return UNCLEAN
        return TOO_LARGE if self._oversize else None


class DotBody(_Body):
    """A body that ends with CRLF . CRLF and nothing else, or is `.` CRLF at once."""

    __slots__ = ("_first", "ended", "rest")

    def __init__(self, limit: int) -> None:
        # The CRLF of the DATA line counts as the one before a dot on the first line.
        super().__init__(limit, b"\r\n")
        self._first = True
        self.ended = False
        self.rest = b""

    def feed(self, octets: bytes) -> bytes:
        """The part of the message that is certain now. With `ended`, `rest` is what followed the end."""
        octets = self._carry + octets
        dot = octets.find(b"\r\n.")
        end = dot
        if dot >= 0 and not octets.startswith(b"\r\n", dot + 3):
            end = octets.find(_END, dot)
        if end >= 0:
            self.ended = True
            self.rest = octets[end + 5 :]
            self._carry = b""
            content = octets[: end + 2]
        else:
            held = _held(octets)
            self._carry = octets[len(octets) - held :]
            content = octets[: len(octets) - held]
        if not content:
            return b""
        if dot >= 0 and dot != end:
            # RFC 5321 §4.5.2: a dot at the start of a line that has more goes.
            content = content.replace(b"\r\n.", b"\r\n")
        if self._first:
            self._first = False
            content = content[2:]
        return self._account(content)


def _held(octets: bytes) -> int:
    """How many octets at the end may be the beginning of the end of the body."""
    if octets.endswith(b"\n"):
        return 2 if octets.endswith(b"\r\n") else 0
    for length in (4, 3, 1):
        if octets.endswith(_END[:length]):
            return length
    return 0


class ChunkBody(_Body):
    """A body in chunks of declared length; the door counts them, here only the octets are looked at."""

    __slots__ = ()

    def __init__(self, limit: int) -> None:
        super().__init__(limit, b"")

    def feed(self, octets: bytes) -> bytes:
        """The part of the message that is certain now; a CR at the end waits for its LF."""
        octets = self._carry + octets
        if octets.endswith(b"\r"):
            self._carry = b"\r"
            octets = octets[:-1]
        else:
            self._carry = b""
        return self._account(octets) if octets else b""

    def end(self) -> None:
        """The last chunk is complete: a CR that still waits is a bare one."""
        if self._carry:
            self.size += 1
            self._unclean = True
            self._carry = b""


class DotStuffing:
    """A body on its way out by DATA: dots doubled, every line end CRLF, whatever it was (RFC 5321 §4.5.2)."""

    __slots__ = ("_carry", "_line_start")

    def __init__(self) -> None:
        self._carry = b""
        self._line_start = True

    def feed(self, octets: bytes) -> bytes:
        """The next octets as they go out. A CR at the end waits for what follows."""
        octets = self._carry + octets
        self._carry = b""
        if octets.endswith(b"\r"):
            self._carry = b"\r"
            octets = octets[:-1]
        if not octets:
            return b""
        if not are_clean(octets):
            octets = _bare_ends(b"\r\n", octets)
        if b"\r\n." in octets:
            octets = octets.replace(b"\r\n.", b"\r\n..")
        if self._line_start and octets.startswith(b"."):
            octets = b"." + octets
        self._line_start = octets.endswith(b"\n")
        return octets

    def end(self) -> bytes:
        """What ends the body: the last line's CRLF where it is missing, and the dot."""
        return b".\r\n" if self._line_start and not self._carry else b"\r\n.\r\n"
