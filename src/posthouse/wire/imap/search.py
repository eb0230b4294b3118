"""The criteria of SEARCH (RFC 3501 §6.4.4) as a tree: bounded in depth and number, decoded, not yet evaluated."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from posthouse.mail.flags import Flag
from posthouse.wire.imap.faults import Malformed, Refusal
from posthouse.wire.imap.scanner import Scanner, date
from posthouse.wire.imap.sequence import SequenceSet

# Ours: deeper or longer criteria are no person's question. A chain of ORs counts as one level.
MAX_DEPTH = 40
MAX_KEYS = 1000
CHARSETS = ("US-ASCII", "UTF-8")


class Compare(Enum):
    """How a date or size relates to the one given."""

    BELOW = auto()
    EQUAL = auto()
    NOT_BELOW = auto()
    ABOVE = auto()


class Place(StrEnum):
    """Where a text is looked for; a FIELD carries its name along."""

    BCC = "bcc"
    CC = "cc"
    FROM = "from"
    SUBJECT = "subject"
    TO = "to"
    FIELD = "field"
    BODY = "body"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class All:
    """Every message."""


@dataclass(frozen=True, slots=True)
class And:
    """All of these."""

    keys: tuple["Key", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of these."""

    keys: tuple["Key", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """What this is not."""

    key: "Key"


@dataclass(frozen=True, slots=True)
class Numbers:
    """Sequence numbers, or unique identifiers."""

    numbers: SequenceSet
    uid: bool


@dataclass(frozen=True, slots=True)
class Flagged:
    """A system flag that is set, or not set."""

    flag: Flag
    present: bool


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword that is set, or not set; the name in lower case."""

    name: str
    present: bool


@dataclass(frozen=True, slots=True)
class Recent:
    """\\Recent is set, or not set."""

    present: bool


@dataclass(frozen=True, slots=True)
class Received:
    """The internal date, by day number in UTC."""

    compare: Compare
    day: int


@dataclass(frozen=True, slots=True)
class Sent:
    """The Date field, by the day number as written there."""

    compare: Compare
    day: int


@dataclass(frozen=True, slots=True)
class Size:
    """The size in octets."""

    compare: Compare
    octets: int


@dataclass(frozen=True, slots=True)
class Text:
    """A text somewhere in the message, whatever its case; `field` is a lower-case name where `place` is FIELD.

    An empty `text` in a field asks only whether the field is there.
    """

    place: Place
    text: str
    field: str = ""


Key = All | And | Or | Not | Numbers | Flagged | Keyword | Recent | Received | Sent | Size | Text


def criteria(scanner: Scanner) -> Key:
    """All that follows SEARCH, with CHARSET. Raises Malformed, or Refusal for a charset we do not know."""
    charset = "US-ASCII"
    if scanner.accept(b"CHARSET "):
        charset = scanner.astring().decode("ascii", "replace").upper()
        scanner.space()
        if charset not in CHARSETS:
            raise Refusal("No such charset", f"BADCHARSET ({' '.join(CHARSETS)})")
    return _Criteria(scanner).sequel(depth=0)


_WORD = re.compile(rb"[A-Za-z]+")
_TAKES_SET = re.compile(rb"[0-9*]")


class _Criteria:
    """Counts the keys and reads them one by one."""

    __slots__ = ("_left", "_scanner")

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._left = MAX_KEYS

    def sequel(self, depth: int, *, closed: bool = False) -> Key:
        """Keys up to the end of the command, or up to the closing parenthesis: all of them."""
        scanner = self._scanner
        keys = [self.key(depth)]
        while not (scanner.accept(b")") if closed else scanner.at == len(scanner.octets)):
            scanner.space()
            keys.append(self.key(depth))
        return keys[0] if len(keys) == 1 else And(tuple(keys))

    def key(self, depth: int) -> Key:
        """One key."""
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise Malformed("the search is too long or nested too deeply")
        scanner = self._scanner
        if scanner.accept(b"("):
            return self.sequel(depth + 1, closed=True)
        if _TAKES_SET.match(scanner.octets, scanner.at):
            return Numbers(scanner.sequence_set(), uid=False)
        word = scanner.word(_WORD, "a search key").upper()
        if word in _PLAIN:
            return _PLAIN[word]
        if word == b"NOT":
            scanner.space()
            return Not(self.key(depth + 1))
        if word == b"OR":
            return self._either(depth)
        reader = _READERS.get(word)
        if reader is None:
            raise Malformed("no such search key")
        scanner.space()
        return reader(scanner)

    def _either(self, depth: int) -> Key:
        # OR a OR b OR c d is how clients write "any of": one level, however long.
        scanner = self._scanner
        keys = []
        while True:
            scanner.space()
            keys.append(self.key(depth + 1))
            scanner.space()
            if not scanner.accept(b"OR "):
                break
            scanner.at -= 1
            self._left -= 1
        keys.append(self.key(depth + 1))
        return Or(tuple(keys))


def _flag(flag: Flag, name: bytes) -> dict[bytes, Key]:
    return {name: Flagged(flag, True), b"UN" + name: Flagged(flag, False)}


_PLAIN: dict[bytes, Key] = {
    b"ALL": All(),
    **_flag(Flag.ANSWERED, b"ANSWERED"),
    **_flag(Flag.DELETED, b"DELETED"),
    **_flag(Flag.DRAFT, b"DRAFT"),
    **_flag(Flag.FLAGGED, b"FLAGGED"),
    **_flag(Flag.SEEN, b"SEEN"),
    b"RECENT": Recent(True),
    b"OLD": Recent(False),
    b"NEW": And((Recent(True), Flagged(Flag.SEEN, False))),
}


def _decoded(scanner: Scanner) -> str:
    try:
        return scanner.astring().decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("a search text is not in its charset") from None


def _text(place: Place) -> Callable[[Scanner], Key]:
    return lambda scanner: Text(place, _decoded(scanner))


def _field(scanner: Scanner) -> Key:
    name = _decoded(scanner)
    scanner.space()
    return Text(Place.FIELD, _decoded(scanner), name.lower())


def _keyword(present: bool) -> Callable[[Scanner], Key]:
    return lambda scanner: Keyword(scanner.atom().decode("ascii").lower(), present)


_READERS: dict[bytes, Callable[[Scanner], Key]] = {
    b"BCC": _text(Place.BCC),
    b"BODY": _text(Place.BODY),
    b"CC": _text(Place.CC),
    b"FROM": _text(Place.FROM),
    b"SUBJECT": _text(Place.SUBJECT),
    b"TEXT": _text(Place.TEXT),
    b"TO": _text(Place.TO),
    b"HEADER": _field,
    b"KEYWORD": _keyword(True),
    b"UNKEYWORD": _keyword(False),
    b"BEFORE": lambda scanner: Received(Compare.BELOW, date(scanner)),
    b"ON": lambda scanner: Received(Compare.EQUAL, date(scanner)),
    b"SINCE": lambda scanner: Received(Compare.NOT_BELOW, date(scanner)),
    b"SENTBEFORE": lambda scanner: Sent(Compare.BELOW, date(scanner)),
    b"SENTON": lambda scanner: Sent(Compare.EQUAL, date(scanner)),
    b"SENTSINCE": lambda scanner: Sent(Compare.NOT_BELOW, date(scanner)),
    b"LARGER": lambda scanner: Size(Compare.ABOVE, scanner.number()),
    b"SMALLER": lambda scanner: Size(Compare.BELOW, scanner.number()),
    b"UID": lambda scanner: Numbers(scanner.sequence_set(), uid=True),
}

