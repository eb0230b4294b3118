"""Canonicalization: what of a message a signature is about, and what a relay may change unpunished (RFC 6376 §3.4).

    relaxed_field(b"Subject", b"  a\\r\\n\\tb ")      b"subject:a b"
    RelaxedBody(sink)                                `feed` it the body in pieces, then `finish`
    simple_length(body)                              the "simple" body is that much of it, and a CRLF

Bodies go through in pieces of any size, so that one of 50 MB costs no memory; what may turn out to be the white space
or the empty lines at an end is held back as a count. All work is done by methods of bytes and one regular expression,
never octet by octet. A bare CR or LF is text like any other, as the RFC has it; reception lets none in.
"""

import re
from collections.abc import Callable

Sink = Callable[[bytes], object]

_collapse = re.compile(rb"  +").sub
_LINES = b"\r\n" * 8192

# How much of the end of a body is looked at first, and at most in one step.
_LOOK_BACK = 4096
_LOOK_BACK_MOST = 256 * 1024


def relaxed_field(name: bytes, value: bytes) -> bytes:
    """A field on one line, its final CRLF not in it (RFC 6376 §3.4.2). `value` is as it was received, folded."""
    # `split` takes VT, FF and every single CR or LF for white space as well, DKIM does not.
    if b"\x0b" not in value and b"\x0c" not in value and _breaks_are_whole(value):
        value = b" ".join(value.split())
    else:
        value = _collapse(b" ", value.replace(b"\r\n", b"").replace(b"\t", b" ")).strip(b" ")
    return name.lower() + b":" + value


def _breaks_are_whole(value: bytes) -> bool:
    return (b"\n" not in value and b"\r" not in value) or (
        value.count(b"\r\n") == value.count(b"\n") == value.count(b"\r")
    )


def without_empty_lines(text: bytes) -> int:
    """How much of `text` is left without the CRLFs at its end."""
    kept = len(text.rstrip(b"\r\n"))
    tail = text[kept:]
    # A CR or LF of its own is no line ending; CRLFs behind it are counted by giving them another octet.
    return kept + len(tail.replace(b"\r\n", b"\0\0").rstrip(b"\0"))


class RelaxedBody:
    """The "relaxed" body (RFC 6376 §3.4.4): white space reduced, and dropped at the ends of lines and of the body."""

    __slots__ = ("_empty", "_held", "_lines", "_sink")

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lines = 0
        self._held = b""
        self._empty = True

    def feed(self, octets: bytes) -> None:
        """The next piece."""
        text = self._held + octets
        if b"\t" in text:
            text = text.replace(b"\t", b" ")
        if b"  " in text:
            text = _collapse(b" ", text)
        if b" \r\n" in text:
            text = text.replace(b" \r\n", b"\r\n")
        # What the next piece may turn into the end of a line: a space, a CR, or both.
        solid = len(text) - text.endswith(b"\r")
        solid -= text.endswith(b" ", 0, solid)
        self._held = text[solid:]
        text = text[:solid]
        kept = without_empty_lines(text)
        if kept:
            self._put_lines()
            self._sink(text[:kept] if kept < len(text) else text)
            self._empty = False
        self._lines += (len(text) - kept) // 2

    def finish(self) -> None:
        """The end: whatever is not empty ends with one CRLF."""
        # A CR that stays alone is text, and the space before it as well.
        if self._held.endswith(b"\r"):
            self._put_lines()
            self._sink(self._held)
            self._empty = False
        if not self._empty:
            self._sink(b"\r\n")

    def _put_lines(self) -> None:
        while self._lines:
            some = min(self._lines, len(_LINES) // 2)
            self._sink(_LINES[: some * 2])
            self._lines -= some


def simple_length(body: memoryview) -> int:
    """How much of a body the "simple" canonicalization leaves, before its one final CRLF (RFC 6376 §3.4.3)."""
    stop = len(body)
    step = _LOOK_BACK
    while stop:
        start = max(0, stop - step)
        piece = bytes(body[start:stop])
        kept = without_empty_lines(piece)
        # An LF at the front may belong to a CR that was not looked at yet.
        if start and (not kept or (kept == 1 and piece[:1] == b"\n")):
            stop = start + kept
            step = min(step * 4, _LOOK_BACK_MOST)
        else:
            return start + kept
    return 0
