"""Cuts what comes in into commands: lines, and the literals announced at their ends (RFC 3501 §4.3, RFC 7888).

A frame is a whole command, a line by itself, a literal that is announced and waits for a decision, or a piece of a
literal that is streamed. What is announced is never buffered before somebody has agreed to its size.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

from posthouse.wire.buffer import Lines
from posthouse.wire.imap.sequence import MAXIMUM

CHUNK = 65_536
# Ours: no command needs more.
MAX_LITERALS = 1000

# RFC 7888 §6: the "+" makes it non-synchronising. Any number of digits, so that none is taken for text.
_ANNOUNCEMENT = re.compile(rb"\{([0-9]+)(\+?)\}\Z")


class Overlong(Exception):
    """More came than a command may have; nothing that follows can be understood."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A literal is announced: `accept`, `stream` or `refuse` it. `first`: none came before it in this command."""

    size: int
    synchronising: bool
    first: bool


@dataclass(frozen=True, slots=True)
class Whole:
    """A command with its literals in place, without the last CRLF."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is no command: a SASL response, DONE."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed literal."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class End:
    """A streamed literal is over; `rest` is what follows it on its line, and nothing should."""

    rest: bytes


Frame = Announced | Whole | Line | Chunk | End


class _Mode(Enum):
    COMMAND = auto()
    ANNOUNCED = auto()
    LITERAL = auto()
    LINE = auto()
    STREAM = auto()
    STREAM_END = auto()
    SKIP = auto()
    SKIP_END = auto()


class Frames:
    """The reader of one connection.

    `line_limit` and `command_limit` are octets, changed between commands only. `synchronising` tells whether the
    client waits before it sends the literal that was announced last.
    """

    __slots__ = (
        "_left", "_lines", "_literals", "_mode", "_parts", "_size", "command_limit", "line_limit", "synchronising",
    )  # fmt: skip

    def __init__(self, line_limit: int, command_limit: int) -> None:
        self.line_limit = line_limit
        self.command_limit = command_limit
        self._lines = Lines()
        self._mode = _Mode.COMMAND
        self._parts: list[bytes] = []
        self._size = 0
        self._left = 0
        self._literals = 0
        self.synchronising = False

    def __len__(self) -> int:
        """Octets that wait to be read."""
        return len(self._lines)

    def feed(self, octets: bytes) -> None:
        """Take what came in."""
        self._lines.feed(octets)

    def clear(self) -> None:
        """Forget everything that waits."""
        self._lines.clear()
        self._restart()

    @property
    def command(self) -> bytes:
        """The command so far."""
        return b"".join(self._parts)

    def next(self) -> Frame | None:
        """The next frame, None where octets or a decision are needed. Raises BadLine and Overlong: then close."""
        while True:
            mode = self._mode
            if mode is _Mode.COMMAND:
                return self._command()
            if mode is _Mode.ANNOUNCED:
                return None
            if mode is _Mode.LINE:
                line = self._lines.line(self.line_limit)
                if line is None:
                    return None
                self._restart()
                return Line(line)
            if mode is _Mode.STREAM and self._left:
                octets = self._lines.take(min(self._left, CHUNK))
                self._left -= len(octets)
                return Chunk(octets) if octets else None
            if mode in (_Mode.STREAM, _Mode.STREAM_END):
                rest = self._literal_end(_Mode.STREAM_END)
                return None if rest is None else End(rest)
            # What is left are literals to be kept or thrown away.
            if self._left:
                octets = self._lines.take(self._left)
                if not octets:
                    return None
                self._left -= len(octets)
                if mode is _Mode.LITERAL:
                    self._parts.append(octets)
            elif mode is _Mode.LITERAL:
                self._mode = _Mode.COMMAND
            elif self._literal_end(_Mode.SKIP_END) is None:
                return None

    def accept(self) -> None:
        """Keep the literal announced as a part of the command."""
        if self._size + self._left > self.command_limit:
            raise Overlong
        self._size += self._left
        self._mode = _Mode.LITERAL

    def stream(self) -> None:
        """Give the literal announced in pieces."""
        self._parts.clear()
        self._mode = _Mode.STREAM

    def refuse(self) -> None:
        """Give the command up: a literal that the client sends without waiting is thrown away, and what follows it."""
        if self._mode is _Mode.ANNOUNCED and self.synchronising:
            self._restart()
        elif self._mode in (_Mode.ANNOUNCED, _Mode.STREAM):
            self._parts.clear()
            self._mode = _Mode.SKIP

    def expect_line(self) -> None:
        """The next frame is a line by itself."""
        self._mode = _Mode.LINE

    def _restart(self) -> None:
        self._mode = _Mode.COMMAND
        self._parts.clear()
        self._size = self._left = self._literals = 0

    def _command(self) -> Announced | Whole | None:
        line = self._lines.line(self.line_limit)
        if line is None:
            return None
        self._size += len(line)
        if self._size > self.command_limit:
            raise Overlong
        if self._announced(line):
            self._literals += 1
            if self._literals > MAX_LITERALS:
                raise Overlong
            self._parts.append(line + b"\r\n")
            self._mode = _Mode.ANNOUNCED
            return Announced(self._left, self.synchronising, self._literals == 1)
        if not self._parts:
            self._size = 0
            return Whole(line)
        self._parts.append(line)
        octets = self.command
        self._restart()
        return Whole(octets)

    def _announced(self, line: bytes) -> bool:
        if not line.endswith(b"}"):
            return False
        found = _ANNOUNCEMENT.search(line)
        if found is None:
            return False
        if len(found[1]) > 10 or (size := int(found[1])) > MAXIMUM:
            raise Overlong
        self._left = size
        self.synchronising = not found[2]
        return True

    def _literal_end(self, mode: _Mode) -> bytes | None:
        """What follows a literal on its line; then comes another one to be thrown away, or the next command."""
        self._mode = mode
        line = self._lines.line(self.line_limit)
        if line is None:
            return None
        if self._announced(line) and not self.synchronising:
            self._literals += 1
            if self._literals > MAX_LITERALS:
                raise Overlong
            self._mode = _Mode.SKIP
        else:
            self._restart()
        return line
