"""Address lists in header fields (RFC 5322 §3.4): tolerant reading, for display, ENVELOPE and search.

    parse_address_list(b'"Doe, John" <j@a.example>, team: b@b.example, c@c.example;')
    → (Mailbox("Doe, John", Address("j", "a.example"), …), Group("team", (Mailbox(…), Mailbox(…))))

One pass over the octets, which knows no errors: what is no address comes out as a mailbox without one, so that
nothing of the field is lost. Who a mail is *from* is a question for `author`, which is strict.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from posthouse.mail import charsets
from posthouse.mail.address import Address, AddressError
from posthouse.mail.tokens import unfold, unquote
from posthouse.mail.words import decode_words, encode_phrase, one_line

# What is beyond these bounds of one field is not read.
ADDRESSES = 20_000
LIST_OCTETS = 1_000_000

# The same people write to each other: short values that were met lately are not read again.
_SHORT_OCTETS = 250
_SHORT_KEPT = 2048

# The form in which nearly all mailboxes come: a name of atoms or in plain quotes, the address in angle brackets.
_ADDR = rb"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~.]+@[A-Za-z0-9.\-]+"
_match_plain = re.compile(
    rb'(?:"([^"\\\r\n]*)" ?|([A-Za-z0-9!#$%&\'*+\-/=?^_`{|}~. ]*))<(' + _ADDR + rb")>"
).fullmatch
_match_bare = re.compile(_ADDR).fullmatch

# Everything else: quoted strings, comments (opened here, closed by counting), specials, white space, and runs of text.
_find_tokens = re.compile(
    rb'"([^"\\]*(?:\\.[^"\\]*)*)"?|([()<>,;:@\\])|[ \t]+|[^"()<>,;:@\\ \t]+', re.DOTALL
).finditer
_around_specials = re.compile(rb" ?([@.]) ?").sub
_find_parentheses = re.compile(rb"\\.|[()]", re.DOTALL).finditer


class Mailbox(NamedTuple):
    """One mailbox of a list.

    `display_name` is decoded and has no control characters; a comment stands in for a missing one. `address` is None
    where what stands there is no valid address. `raw` is the address as it stood, without comments, white space and
    route. `phrase` is the display name as it stood (quotes taken off, encoded words left), for ENVELOPE.
    """

    display_name: str
    address: Address | None
    raw: str
    phrase: bytes = b""

    def __str__(self) -> str:
        """On one line, the name quoted or in encoded words, fit for a header field where `address` is not None."""
        if not self.display_name:
            return self.raw
        name = encode_phrase(self.display_name).replace("\r\n", "")
        return f"{name} <{self.raw}>"


class Group(NamedTuple):
    """A named group: `undisclosed-recipients:;`."""

    display_name: str
    members: tuple[Mailbox, ...]
    phrase: bytes = b""


Entry = Mailbox | Group


def parse_address_list(value: bytes) -> tuple[Entry, ...]:
    """Every mailbox and group in a field value, folded or not; never raises, linear.

    Beyond 20,000 mailboxes or 1 MB the rest is left out.
    """
    return _short(value) if len(value) <= _SHORT_OCTETS else _entries(value)


def _entries(value: bytes) -> tuple[Entry, ...]:
    value = unfold(value[:LIST_OCTETS])
    found: list[Mailbox] = []
    # Where nothing but commas parts the mailboxes they can be had by cutting; else each octet counts.
    for item in (value,) if b'"' in value else value.split(b",", ADDRESSES)[:ADDRESSES]:
        item = item.strip(b" \t")
        match = _match_plain(item)
        if match is not None:
            quoted, atoms, octets = match.groups()
            found.append(_mailbox(atoms.strip() if quoted is None else quoted, b"", octets))
        elif _match_bare(item):
            found.append(_mailbox(b"", b"", item))
        elif item:
            return _Reader().read(value)
    return tuple(found)


_short = lru_cache(_SHORT_KEPT)(_entries)


def mailboxes(entries: Iterable[Entry]) -> tuple[Mailbox, ...]:
    """All mailboxes of a list, those of groups included."""
    found: list[Mailbox] = []
    for entry in entries:
        if isinstance(entry, Group):
            found.extend(entry.members)
        else:
            found.append(entry)
    return tuple(found)


def _mailbox(phrase: bytes, comment: bytes, octets: bytes) -> Mailbox:
    raw = one_line(charsets.decode(octets))
    try:
        address: Address | None = Address.parse(raw)
    except AddressError:
        address = None
    return Mailbox(decode_words(phrase or comment), address, raw, phrase)


class _Reader:
    """The state between two tokens: what was gathered since the last comma."""

    __slots__ = ("angle", "comments", "entries", "group", "in_angle", "members", "room", "spec", "words")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.group: bytes | None = None     # the name of the group that is open
        self.members: list[Mailbox] = []
        self.room = ADDRESSES
        self._clear()

    def _clear(self) -> None:
        self.words: list[bytes] = []        # as a display name: quotes taken off
        self.spec: list[bytes] = []         # as an address: quotes left
        self.comments: list[bytes] = []
        self.angle: list[bytes] | None = None
        self.in_angle = False

    def read(self, value: bytes) -> tuple[Entry, ...]:
        position, size = 0, len(value)
        while position < size:
            position = self._run(value, position)
        self._end_mailbox()
        self._end_group()
        return tuple(self.entries)

    def _run(self, value: bytes, position: int) -> int:
        """Reads tokens up to the next comment and over it, or to the end; gives back where it stopped."""
        for token in _find_tokens(value, position):
            special = token[2]
            if special is None:
                self._text(token[0], token[1])
            elif special == b"(":
                return self._comment(value, token.start())
            else:
                self._special(special)
                if not self.room:
                    break
        return len(value)

    def _text(self, octets: bytes, quoted: bytes | None) -> None:
        if octets.isspace():
            for gathered in (self.angle,) if self.angle is not None else (self.words, self.spec):
                if gathered and gathered[-1] != b" ":
                    gathered.append(b" ")
        elif self.angle is not None:
            if self.in_angle:
                self.angle.append(octets)
        else:
            self.words.append(octets if quoted is None else unquote(quoted))
            self.spec.append(octets)

    def _special(self, special: bytes) -> None:
        if special == b">":
            self.in_angle = False
        elif special == b"<":
            # "<a@b <c@d>": one that was never closed, or had no comma behind it, ends where the next begins.
            if self.angle is not None:
                self._end_mailbox()
            self.angle, self.in_angle = [], True
        elif self.in_angle and self.angle is not None:
            self.angle.append(special)
        elif special == b",":
            self._end_mailbox()
        elif special == b";":
            self._end_mailbox()
            self._end_group()
        elif special == b":" and self.group is None and self.angle is None and b"@" not in self.spec:
            self.group = b"".join(self.words).strip() or b"".join(self.comments).strip()
            self._clear()
        elif self.angle is None:
            self.words.append(special)
            self.spec.append(special)

    def _comment(self, value: bytes, start: int) -> int:
        depth = 0
        for mark in _find_parentheses(value, start):
            if mark[0] == b"(":
                depth += 1
            elif mark[0] == b")":
                depth -= 1
                if not depth:
                    self.comments.append(unquote(value[start + 1 : mark.start()]))
                    return mark.end()
        self.comments.append(unquote(value[start + 1 :]))
        return len(value)

    def _end_mailbox(self) -> None:
        if (self.angle is not None or self.spec) and self.room:
            self.room -= 1
            phrase = b""
            octets = b"".join(self.spec if self.angle is None else self.angle).strip()
            if b" " in octets:
                octets = _around_specials(rb"\1", octets)
            if self.angle is not None:
                phrase = b"".join(self.words).strip()
                # RFC 5322 §4.4: obs-route, "@one,@two:" before the address.
                if octets.startswith(b"@"):
                    octets = octets.rpartition(b":")[2].strip()
            mailbox = _mailbox(phrase, b" ".join(self.comments).strip(), octets)
            if self.group is None:
                self.entries.append(mailbox)
            else:
                self.members.append(mailbox)
        self._clear()

    def _end_group(self) -> None:
        if self.group is not None:
            self.room = max(self.room - 1, 0)
            self.entries.append(Group(decode_words(self.group), tuple(self.members), self.group))
            self.group, self.members = None, []
