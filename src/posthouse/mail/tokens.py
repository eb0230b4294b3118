"""The smallest pieces of structured fields: folding, comments and quoting (RFC 5322 §3.2)."""

import re

_comment_marks = re.compile(rb'\\.|["()]', re.DOTALL).finditer
_quoted_pair = re.compile(rb"\\(.)", re.DOTALL).sub


def unfold(value: bytes) -> bytes:
    """A field value on one line, without white space at either end (RFC 5322 §2.2.3)."""
    if b"\n" in value:
        value = value.replace(b"\r\n", b"").replace(b"\n", b"")
    if b"\r" in value:
        value = value.replace(b"\r", b" ")
    return value.strip(b" \t")


def unquote(quoted: bytes) -> bytes:
    """The content of a quoted string or comment, given without its delimiters."""
    return _quoted_pair(rb"\1", quoted) if b"\\" in quoted else quoted


def without_comments(value: bytes) -> bytes:
    """`value` with each comment replaced by a space; quoted strings stay as they are. Linear.

    An unclosed comment runs to the end; a closing parenthesis without an opening one stays.
    """
    if b"(" not in value:
        return value
    kept: list[bytes] = []
    depth = start = 0
    quoted = False
    for mark in _comment_marks(value):
        octet = mark[0]
        if octet == b'"':
            quoted = not quoted and not depth
        elif quoted:
            continue
        elif octet == b"(":
            if not depth:
                kept.append(value[start : mark.start()])
            depth += 1
        elif octet == b")" and depth:
            depth -= 1
            start = mark.end()
    if not depth:
        kept.append(value[start:])
    return b" ".join(kept)
