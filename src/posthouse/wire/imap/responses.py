"""Parts of responses as octets (RFC 3501 §7, §9): strings, names, flags, and the untagged lines made of them."""

import re
from collections.abc import Iterable
from functools import lru_cache

from posthouse.mail.flags import Flag
from posthouse.wire.imap import utf7

_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
# What may stand in a quoted string: 7-bit text without CR, LF and NUL (TEXT-CHAR).
_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*")
_SPECIAL = re.compile(rb'(["\\])')
# Longer strings go as literals, so that clients with fixed line buffers live.
MAX_QUOTED = 1000

_FLAG_NAMES = (
    (Flag.ANSWERED, b"\\Answered"),
    (Flag.FLAGGED, b"\\Flagged"),
    (Flag.DELETED, b"\\Deleted"),
    (Flag.SEEN, b"\\Seen"),
    (Flag.DRAFT, b"\\Draft"),
)


def string(octets: bytes) -> bytes:
    """A quoted string where that is possible, else a literal."""
    if len(octets) <= MAX_QUOTED and _QUOTABLE.fullmatch(octets):
        return b'"' + _SPECIAL.sub(rb"\\\1", octets) + b'"'
    return b"{%d}\r\n" % len(octets) + octets


def astring(octets: bytes) -> bytes:
    """An atom where that is possible, else a string."""
    return octets if _ATOM.fullmatch(octets) else string(octets)


def nstring(octets: bytes | None) -> bytes:
    """A string, or NIL for None."""
    return b"NIL" if octets is None else string(octets)


def mailbox(name: str) -> bytes:
    """A mailbox name, quoted, in modified UTF-7."""
    return string(utf7.encode(name))


@lru_cache(maxsize=256)
def _system_flags(bits: int) -> tuple[bytes, ...]:
    return tuple(name for flag, name in _FLAG_NAMES if bits & flag)


def flag_list(bits: int, keywords: Iterable[str] = (), *, recent: bool = False) -> bytes:
    """`(\\Seen $Forwarded)`: the names of all bits and keywords, with the parentheses."""
    names = list(_system_flags(bits))
    if recent:
        names.append(b"\\Recent")
    names.extend(keyword.encode("ascii") for keyword in keywords)
    return b"(" + b" ".join(names) + b")"


def listing(verb: bytes, attributes: Iterable[bytes], name: str) -> bytes:
    """One line of LIST or LSUB."""
    return b'* %b (%b) "/" %b\r\n' % (verb, b" ".join(attributes), mailbox(name))


def text(words: str, code: str = "") -> bytes:
    """`[CODE] words` for a response condition: printable ASCII only, whatever comes in."""
    line = f"[{code}] {words}" if code else words
    octets = line.encode("ascii", "replace")
    return _UNPRINTABLE.sub(b"?", octets) or b"-"


_UNPRINTABLE = re.compile(rb"[^ -~]")
