"""The tree of MIME parts as offsets into the octets (RFC 2045, RFC 2046), built in one pass and within bounds.

The pass goes from one line that begins with two hyphens to the next and looks it up among the boundaries of the
multiparts that are open. A boundary of an outer multipart ends all inner ones; what follows a closing boundary is
epilogue. Beyond a bound nothing more is opened: the part that is open then takes the rest, as an opaque leaf.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from posthouse.mail import charsets
from posthouse.mail.headers import HEADER_FIELDS, HEADER_OCTETS, Header, Octets, scan_header
from posthouse.mail.parameters import parse_content_type, parse_token, split_parameters
from posthouse.mail.tokens import unfold, without_comments
from posthouse.mail.transfer import decode_transfer, is_encoded

# Bounds of a tree: multiparts and messages inside each other, and parts in all.
LEVELS = 100
PARTS = 1000

# RFC 2046 §5.1.1 has 70; longer ones are met.
_BOUNDARY_OCTETS = 250
# White space that may follow a boundary on its line.
_PADDING_OCTETS = 80
# Lines that begin with two hyphens without being a boundary: so many, and one more for so many octets. Text has fewer;
# whoever sends more wants to cost time, and gets an opaque leaf.
_FALSE_LINES = 10_000
_OCTETS_PER_FALSE_LINE = 64
# A mapped file is looked through in pieces of this size.
_WINDOW = 1 << 20

_TEXT_PLAIN: tuple[str, str, Mapping[str, str]] = ("text", "plain", MappingProxyType({}))
_DIGEST: tuple[str, str, Mapping[str, str]] = ("message", "rfc822", MappingProxyType({}))
# RFC 2046 §5.2.1, RFC 6532 §3.7
_MESSAGES = frozenset(("rfc822", "global"))


class Part:
    """One node of the tree.

    `octets[start:body_start]` is its header with the empty line, `octets[body_start:end]` its body as transferred.
    `content_type` is lower case; `parameters` by lower-case name, decoded. `parts` are the children of a multipart;
    `message` is the root of the message inside a message/rfc822 or message/global. `number` is the IMAP part number
    (RFC 3501 §6.4.5): "1" for a lone body, "" for a multipart at the top; the multipart inside a message has the
    number of that message. `encoding` is the lower-case transfer encoding, "7bit" where none is named.
    """

    __slots__ = (
        "_disposition", "_newlines", "body_start", "content_type", "encoding", "end", "header", "message", "number",
        "octets", "parameters", "parts", "start",
    )

    def __init__(self, octets: Octets, header: Header, start: int, in_digest: bool = False) -> None:
        self.octets = octets
        self.header = header
        self.start = start
        self.body_start = header.end
        self.end = len(octets)
        self.parts: tuple[Part, ...] = ()
        self.message: Part | None = None
        self.number = ""
        self._disposition: tuple[str, Mapping[str, str]] | None = None
        self._newlines = -1
        field = header.get("content-type")
        known = parse_content_type(field.value) if field is not None else None
        main, sub, self.parameters = known or (_DIGEST if in_digest and field is None else _TEXT_PLAIN)
        self.content_type = (main, sub)
        field = header.get("content-transfer-encoding")
        self.encoding = _encoding(field.value) if field is not None else "7bit"

    @property
    def disposition(self) -> str:
        """ "attachment", "inline", another token, or "" where there is no Content-Disposition (RFC 2183)."""
        return self._disposed()[0]

    @property
    def disposition_parameters(self) -> Mapping[str, str]:
        """The parameters of Content-Disposition by lower-case name, decoded."""
        return self._disposed()[1]

    def _disposed(self) -> tuple[str, Mapping[str, str]]:
        if self._disposition is None:
            field = self.header.get("content-disposition")
            self._disposition = parse_token(field.value) if field is not None else ("", _TEXT_PLAIN[2])
        return self._disposition

    @property
    def filename(self) -> str:
        """The file name given in Content-Disposition or Content-Type, or "": a name for people, not a safe path."""
        return self._disposed()[1].get("filename") or self.parameters.get("name", "")

    @property
    def is_multipart(self) -> bool:
        return self.content_type[0] == "multipart"

    @property
    def size(self) -> int:
        """Octets of the body as transferred."""
        return self.end - self.body_start

    @property
    def lines(self) -> int:
        """Lines of the body as transferred; one without a line end at the end counts."""
        return self._line_ends() + (self.end > self.body_start and self.octets[self.end - 1 : self.end] != b"\n")

    def _line_ends(self) -> int:
        """Counted once for each octet, however many messages lie around it: what is inside comes first."""
        if self._newlines < 0 and not self.parts and self.message is None:
            self._newlines = _count_line_ends(self.octets, self.body_start, self.end)
        elif self._newlines < 0:
            for part in reversed(list(self.walk())):
                if part._newlines < 0:
                    part._count_line_ends()
        return self._newlines

    def _count_line_ends(self) -> None:
        total, at = 0, self.body_start
        for child in self.parts if self.message is None else (self.message,):
            total += _count_line_ends(self.octets, at, child.body_start) + child._newlines
            at = child.end
        self._newlines = total + _count_line_ends(self.octets, at, self.end)

    def walk(self) -> Iterator["Part"]:
        """This part and all below it, in the order they stand; messages inside are entered."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            yield part
            if part.message is not None:
                waiting.append(part.message)
            else:
                waiting.extend(reversed(part.parts))

    def body(self) -> bytes:
        """The body as transferred."""
        return self.octets[self.body_start : self.end]

    def decoded(self, limit: int | None = None) -> bytes:
        """The body with its transfer encoding undone; never raises.

        With `limit`, no more than so many octets, and no more of the body is read than they need.
        """
        if limit is None:
            return decode_transfer(self.body(), self.encoding)
        reach = limit if not is_encoded(self.encoding) else 3 * limit + 200
        octets = self.octets[self.body_start : min(self.body_start + reach, self.end)]
        return decode_transfer(octets, self.encoding)[:limit]

    def text(self, limit: int | None = None) -> str:
        """The decoded body as text by its charset, line ends as `\\n`; `limit` counts octets; never raises."""
        text = charsets.decode(self.decoded(limit), self.parameters.get("charset", ""))
        return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _count_line_ends(octets: Octets, start: int, end: int) -> int:
    if isinstance(octets, bytes):
        return octets.count(b"\n", start, end)
    return sum(octets[at : min(at + _WINDOW, end)].count(b"\n") for at in range(start, end, _WINDOW))


def build(octets: Octets, header: Header) -> Part:
    """The tree of the message that begins at offset 0 with `header`."""
    root = Part(octets, header, 0)
    if not _is_container(root):
        root.number = "1"
        return root
    return _Builder(octets).run(root)


def _encoding(value: bytes) -> str:
    words = without_comments(unfold(value)).split(None, 1)
    return charsets.decode(words[0].strip(b'";')).lower() if words else "7bit"


def _is_container(part: Part) -> bool:
    main, sub = part.content_type
    # RFC 2045 §6.4: neither may be encoded. A multipart that claims to be is not, a message that claims to be may be.
    return main == "multipart" or (main == "message" and sub in _MESSAGES and not is_encoded(part.encoding))


def _boundary(part: Part) -> bytes:
    """The boundary as its octets stand in the field, or as RFC 2231 makes it."""
    field = part.header.get("content-type")
    pairs = split_parameters(field.value)[1] if field is not None else ()
    for name, octets in pairs:
        if name == b"boundary":
            return octets.rstrip()
    return part.parameters.get("boundary", "").encode().rstrip()


class _Level:
    """An open part: its children so far, its boundary, and the level whose boundary that hides, if any."""

    __slots__ = ("boundary", "children", "hidden", "part")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.children: list[Part] = []
        self.boundary = b""
        self.hidden: int | None = None


class _Builder:
    __slots__ = (
        "base", "count", "false_lines", "fields", "header_octets", "levels", "octets", "open", "reach", "size",
        "window",
    )

    def __init__(self, octets: Octets) -> None:
        self.octets = octets
        self.size = len(octets)
        self.window = octets if isinstance(octets, bytes) else b""
        self.base = 0
        self.levels: list[_Level] = []
        self.open: dict[bytes, int] = {}    # boundaries, and at which level the innermost with that name is
        self.reach = 0                      # as far as a line has to be read to tell
        self.count = 0
        # What all headers together have: the bounds are those of a message, not of a part.
        self.fields = 0
        self.header_octets = 0
        self.false_lines = _FALSE_LINES + self.size // _OCTETS_PER_FALSE_LINE

    def run(self, root: Part) -> Part:
        self._enter(root, "")
        # The line end before a body may be the one that a boundary line begins with.
        position = self._top().body_start - 1
        while self.open and not self._is_full():
            found = self._next_boundary(position)
            if found is None:
                break
            at, after, level, is_last = found
            self._leave(level + 1, at - 1 if at and self.octets[at - 1 : at] == b"\r" else at)
            if is_last:
                self._forget(level)
                position = after - 1
            else:
                self._enter_child(self.levels[level], after)
                position = self._top().body_start - 1
        self._leave(0, self.size)
        return root

    def _top(self) -> Part:
        return self.levels[-1].part

    def _is_full(self) -> bool:
        return self.count >= PARTS or self.fields > HEADER_FIELDS or self.header_octets > HEADER_OCTETS

    def _enter_child(self, level: _Level, start: int) -> None:
        parent = level.part
        part = Part(self.octets, scan_header(self.octets, start), start, parent.content_type[1] == "digest")
        level.children.append(part)
        number = str(len(level.children))
        self._enter(part, f"{parent.number}.{number}" if parent.number else number)

    def _enter(self, part: Part, number: str) -> None:
        """Opens a part, and the messages that begin with it; `number` is "" for the root."""
        while True:
            level = _Level(part)
            self.levels.append(level)
            self.count += 1
            self.fields += len(part.header.fields)
            self.header_octets += part.body_start - part.start
            is_open = len(self.levels) <= LEVELS and not self._is_full() and _is_container(part)
            if part.is_multipart:
                part.number = number
                if is_open:
                    self._await(level)
                return
            part.number = number or "1"
            if not is_open:
                return
            # RFC 3501 §6.4.5: a multipart inside a message shares the message's number, a lone body adds ".1".
            inner = Part(self.octets, scan_header(self.octets, part.body_start), part.body_start)
            part.message = inner
            number = part.number if inner.is_multipart else f"{part.number}.1"
            part = inner

    def _await(self, level: _Level) -> None:
        boundary = _boundary(level.part)
        if boundary and len(boundary) <= _BOUNDARY_OCTETS:
            level.boundary = boundary
            level.hidden = self.open.get(boundary)
            self.open[boundary] = len(self.levels) - 1
            self.reach = max(self.reach, len(boundary) + 2 + _PADDING_OCTETS)

    def _forget(self, index: int) -> None:
        level = self.levels[index]
        if level.boundary:
            if level.hidden is None:
                del self.open[level.boundary]
            else:
                self.open[level.boundary] = level.hidden
            level.boundary = b""

    def _leave(self, index: int, end: int) -> None:
        """Ends every part from the innermost down to level `index`."""
        while len(self.levels) > index:
            self._forget(len(self.levels) - 1)
            level = self.levels.pop()
            part = level.part
            part.end = max(end, part.body_start)
            part.parts = tuple(level.children)

    def _next_boundary(self, position: int) -> tuple[int, int, int, bool] | None:
        """The next line that is a boundary: where its leading line end is, where the next line begins, the level of
        its multipart, and whether it is the closing one."""
        while self.false_lines:
            at = self._find(position)
            if at < 0:
                return None
            line = self.octets[at + 3 : at + 3 + self.reach]
            stop = line.find(b"\n")
            after = at + 4 + stop
            if stop < 0:
                after = at + 3 + len(line)
                if after < self.size:
                    line = b""
            else:
                line = line[:stop]
            line = line.rstrip(b" \t\r")
            level = self.open.get(line)
            if level is not None:
                return at, after, level, False
            if line.endswith(b"--"):
                level = self.open.get(line[:-2])
                if level is not None:
                    return at, after, level, True
            self.false_lines -= 1
            position = at + 1
        return None

    def _find(self, position: int) -> int:
        """The next line end before two hyphens, from `position`."""
        while True:
            at = self.window.find(b"\n--", max(position - self.base, 0))
            if at >= 0:
                return self.base + at
            reached = self.base + len(self.window)
            if reached >= self.size:
                return -1
            # Two octets of the last window again, lest what lies across its edge is missed.
            self.base = max(reached - 2, position)
            self.window = self.octets[self.base : self.base + _WINDOW]
