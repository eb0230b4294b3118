"""Reads the parts of one complete command, left to right (RFC 3501 §9). Every reader raises Malformed.

The octets are the command as it came, literals with their `{n}CRLF` in place, without the last CRLF. The reader
of frames has already made sure that each announced literal is complete.
"""

import re
import unicodedata

from posthouse.mail.flags import MAX_KEYWORD_LENGTH, MAX_KEYWORDS, Flag
from posthouse.mail.instant import Instant
from posthouse.wire.imap import dates, sequence, utf7
from posthouse.wire.imap.faults import Incomplete, Malformed, Refusal
from posthouse.wire.imap.sequence import SequenceSet

_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_ASTRING = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
_LIST_MAILBOX = re.compile(rb'[^\x00-\x20\x7f-\xff(){"\\]+')
# 8-bit octets are let through here, so that UTF-8 in a quoted string of SEARCH works; names refuse them (utf7).
_QUOTED = re.compile(rb'"([^\x00\r\n"\\]*(?:\\["\\][^\x00\r\n"\\]*)*)"')
_ESCAPED = re.compile(rb'\\(["\\])')
_LITERAL = re.compile(rb"\{([0-9]{1,10})\+?\}\r\n")
_NUMBER = re.compile(rb"[0-9]+")
_FLAG = re.compile(rb'\\?[^\x00-\x20\x7f-\xff(){%*"\\\]]+')

_SYSTEM_FLAGS = {
    b"\\SEEN": Flag.SEEN,
    b"\\ANSWERED": Flag.ANSWERED,
    b"\\FLAGGED": Flag.FLAGGED,
    b"\\DELETED": Flag.DELETED,
    b"\\DRAFT": Flag.DRAFT,
}
NO_FLAGS: tuple[Flag, tuple[str, ...]] = (Flag(0), ())
# Octets of a mailbox name as it stands in the program, in UTF-8.
MAX_MAILBOX_NAME = 1000


class Scanner:
    """A position in a command. Nothing is copied but what a reader returns."""

    __slots__ = ("at", "octets")

    def __init__(self, octets: bytes, at: int = 0) -> None:
        self.octets = octets
        self.at = at

    def accept(self, token: bytes) -> bool:
        """Steps over `token`, given in upper case, if it stands here in any case."""
        end = self.at + len(token)
        if self.octets[self.at : end].upper() != token:
            return False
        self.at = end
        return True

    def expect(self, token: bytes, what: str) -> None:
        """As `accept`, but what is not there is an error: `what` is expected."""
        if not self.accept(token):
            raise Malformed(f"{what} expected")

    def space(self) -> None:
        """Exactly one space (RFC 3501 §9, note 2)."""
        if self.octets[self.at : self.at + 1] != b" ":
            raise Malformed("an argument is missing" if self.at >= len(self.octets) else "a space expected")
        self.at += 1

    def end(self) -> None:
        """Nothing more may follow."""
        if self.at != len(self.octets):
            raise Malformed("unexpected text after the last argument")

    def word(self, pattern: re.Pattern[bytes], what: str) -> bytes:
        """What `pattern` matches here; `what` is expected otherwise."""
        found = pattern.match(self.octets, self.at)
        if found is None:
            raise Malformed(f"{what} expected")
        self.at = found.end()
        return found[0]

    def atom(self) -> bytes:
        """An atom, as it came."""
        return self.word(_ATOM, "an atom")

    def astring(self) -> bytes:
        """An atom or a string, its octets."""
        return self._text(_ASTRING, "a string")

    def string(self) -> bytes:
        """A quoted string or a literal, its octets."""
        start = self.octets[self.at : self.at + 1]
        if start == b'"':
            found = _QUOTED.match(self.octets, self.at)
            if found is None:
                raise Malformed("a quoted string is not closed or holds a forbidden character")
            self.at = found.end()
            inside = found[1]
            return _ESCAPED.sub(rb"\1", inside) if b"\\" in inside else inside
        found = _LITERAL.match(self.octets, self.at)
        if found is None:
            raise Malformed("a string expected")
        end = found.end() + int(found[1])
        if end > len(self.octets):
            raise Incomplete("a literal is not complete")
        text = self.octets[found.end() : end]
        if b"\0" in text:
            raise Malformed("a literal holds a NUL octet")
        self.at = end
        return text

    def nstring(self) -> bytes | None:
        """A string, or None for NIL."""
        return None if self.accept(b"NIL") else self.string()

    def number(self, *, least: int = 0) -> int:
        """An unsigned number of 32 bits."""
        digits = self.word(_NUMBER, "a number")
        number = int(digits) if len(digits) <= 10 else sequence.STAR
        if not least <= number <= sequence.MAXIMUM:
            raise Malformed("a number is out of range")
        return number

    def sequence_set(self) -> SequenceSet:
        """A sequence set."""
        return SequenceSet.parse(self.word(sequence.TOKEN, "a sequence set"))

    def mailbox(self) -> str:
        """A mailbox name: Unicode in NFC, INBOX in capitals. Raises Refusal where it is spelled wrong."""
        return mailbox_name(self.astring())

    def list_mailbox(self) -> str:
        """A mailbox pattern with its wildcards."""
        return mailbox_name(self._text(_LIST_MAILBOX, "a mailbox pattern"), pattern=True)

    def _text(self, pattern: re.Pattern[bytes], what: str) -> bytes:
        if self.octets[self.at : self.at + 1] in (b'"', b"{"):
            return self.string()
        return self.word(pattern, what)


def mailbox_name(octets: bytes, *, pattern: bool = False) -> str:
    """The name that an astring spells, in NFC, with a first level of INBOX in capitals.

    Raises Refusal for bad modified UTF-7, control characters and names that are too long. A trailing separator
    is left in place: only CREATE knows what it means.
    """
    try:
        name = utf7.decode(octets)
    except utf7.Utf7Error as error:
        raise Refusal("The mailbox name is not valid modified UTF-7", "CANNOT") from error
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
        if any(unicodedata.category(character) in _FORBIDDEN for character in name):
            raise Refusal("The mailbox name holds a character that cannot be shown", "CANNOT")
    elif not name.isprintable():
        raise Refusal("The mailbox name holds a control character", "CANNOT")
    if len(name.encode("utf-8")) > MAX_MAILBOX_NAME:
        raise Refusal("The mailbox name is too long", "LIMIT")
    if not pattern and name[:5].upper() == "INBOX" and name[5:6] in ("", "/"):
        name = "INBOX" + name[5:]
    return name


# RFC 9051 §5.1, RFC 5198: no controls, no line or paragraph separators, nothing that is not a character.
_FORBIDDEN = frozenset(("Cc", "Cs", "Cn", "Zl", "Zp"))


def date(scanner: Scanner) -> int:
    """A date of SEARCH, quoted or not, as a day number."""
    quoted = scanner.accept(b'"')
    found = dates.day(scanner.word(_DATE_TEXT, "a date"))
    if quoted:
        scanner.expect(b'"', "a closing quote")
    return found


_DATE_TEXT = re.compile(rb"[0-9A-Za-z-]+")
_DATE_TIME = re.compile(rb'"([^"\r\n]{26})"')


def date_time(scanner: Scanner) -> Instant:
    """A quoted date and time of APPEND."""
    return dates.date_time(scanner.word(_DATE_TIME, "a date and time")[1:-1])


def flags(scanner: Scanner, *, bare: bool = False) -> tuple[Flag, tuple[str, ...]]:
    """A flag list as bits and keywords; `bare` lets the parentheses be left out, as STORE does."""
    bits = Flag(0)
    keywords: dict[str, str] = {}
    listed = scanner.accept(b"(")
    if not listed and not bare:
        raise Malformed("a list of flags expected")
    if listed and scanner.accept(b")"):
        return NO_FLAGS
    while True:
        token = scanner.word(_FLAG, "a flag")
        if token.startswith(b"\\"):
            bits |= _system_flag(token)
        elif len(token) > MAX_KEYWORD_LENGTH:
            raise Refusal("A keyword is too long", "LIMIT")
        else:
            keyword = token.decode("ascii")
            keywords.setdefault(keyword.lower(), keyword)
        if listed and scanner.accept(b")"):
            break
        if not listed and scanner.at == len(scanner.octets):
            break
        scanner.space()
    if len(keywords) > MAX_KEYWORDS:
        raise Refusal("Too many keywords", "LIMIT")
    return bits, tuple(keywords.values())


def _system_flag(token: bytes) -> Flag:
    name = token.upper()
    # RFC 3501 §2.3.2: \Recent is the server's alone. Clients that copy a message's flags send it along.
    if name == b"\\RECENT":
        return Flag(0)
    try:
        return _SYSTEM_FLAGS[name]
    except KeyError:
        raise Malformed("no such system flag") from None
