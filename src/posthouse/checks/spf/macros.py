"""Macros (RFC 7208 §7): the targets of terms and the words of explanations, read once and expanded for each check.

    target = parse_domain_spec("%{ir}.%{v}._spf.%{d2}")
    target.name({"i": "192.0.2.3", "v": "in-addr", "d": "email.example.com"})   # "3.2.0.192.in-addr._spf.example.com"

Values are given by their letter in lower case; `MacroString.letters` says which are needed. However often a record
repeats its macros, the work is linear in the record: a name is put together from its right end and only as far as a
name can be long.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from posthouse.checks.evidence import shown

# RFC 7208 §7.3: the maximum length of a domain name in this format.
NAME_CHARACTERS = 253
# RFC 7208 §7.2: allowed in every term, and those that only an explanation may use.
LETTERS = frozenset("slodiphv")
EXPLANATION_LETTERS = LETTERS | frozenset("crt")

_EXPAND = r"%(?:\{([A-Za-z])([0-9]*)([rR]?)([-.+,/_=]*)\}|([%_-]))"
_match_piece = re.compile(rf"{_EXPAND}|([!-$&-~]+)").match
_match_explanation_piece = re.compile(rf"{_EXPAND}|([ -$&-~]+)").match
_SIGNS = {"%": "%", "_": " ", "-": "%20"}
# More parts than any value has.
_ALL_PARTS = 999


class MacroError(ValueError):
    """Not a macro string; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Macro:
    """`%{d2r-}`: a letter in lower case and what is done with its value. `parts` 0: all of them."""

    letter: str
    parts: int
    reverse: bool
    delimiters: str
    escaped: bool

    def expand(self, value: str) -> str:
        """RFC 7208 §7.3: split, reverse, keep the right-hand parts, join with dots, then escape."""
        if self.parts or self.reverse or self.delimiters:
            for delimiter in self.delimiters[1:]:
                value = value.replace(delimiter, self.delimiters[0])
            parts = value.split(self.delimiters[:1] or ".")
            if self.reverse:
                parts.reverse()
            value = ".".join(parts[-self.parts :])
        return quote(value, safe="") if self.escaped else value


@dataclass(frozen=True, slots=True)
class MacroString:
    """As written in `text`, and in pieces. `letters` are those of its macros."""

    text: str
    pieces: tuple[str | Macro, ...]
    letters: frozenset[str]

    def name(self, values: Mapping[str, str]) -> str:
        """The domain name that it stands for, lower case, without a trailing dot, cut on the left to 253 characters.

        It may still be no name at all: empty labels, long ones, octets outside ASCII.
        """
        if not self.letters:
            name = "".join(self.pieces)  # type: ignore[arg-type]
        else:
            backwards: list[str] = []
            length = 0
            for piece in reversed(self.pieces):
                backwards.append(piece if isinstance(piece, str) else piece.expand(values[piece.letter]))
                length += len(backwards[-1])
                if length > NAME_CHARACTERS + 1:
                    break
            name = "".join(reversed(backwards))
        name = name.removesuffix(".")
        if len(name) > NAME_CHARACTERS:
            # RFC 7208 §7.3: the left side is truncated by whole labels.
            name = name[-NAME_CHARACTERS - 1 :].partition(".")[2]
        return name.lower()

    def words(self, values: Mapping[str, str], limit: int) -> str:
        """The text that it stands for, cut to `limit` characters."""
        found: list[str] = []
        length = 0
        for piece in self.pieces:
            found.append(piece if isinstance(piece, str) else piece.expand(values[piece.letter]))
            length += len(found[-1])
            if length > limit:
                break
        return "".join(found)[:limit]


def parse_macro_string(text: str) -> MacroString:
    """A macro-string of RFC 7208 §7.1. MacroError."""
    return _parse(text, _match_piece, LETTERS)[0]


def parse_explanation(text: str) -> MacroString:
    """An explain-string: spaces and the letters c, r, t are welcome too. MacroError."""
    return _parse(text, _match_explanation_piece, EXPLANATION_LETTERS)[0]


def parse_domain_spec(text: str) -> MacroString:
    """A domain-spec: a macro-string that ends in a macro or in a top-level label. MacroError."""
    spec, ending = _parse(text, _match_piece, LETTERS)
    if not spec.pieces:
        raise MacroError("a domain name is missing")
    # RFC 7208 §7.1: domain-end = ( "." toplabel [ "." ] ) / macro-expand
    if ending:
        _, dot, label = ending.removesuffix(".").rpartition(".")
        if not dot:
            raise MacroError(f'"{shown(text)}" is no domain name of several labels')
        if not _is_toplabel(label):
            kind = "ends in a number, as no domain name does" if label.isdecimal() else "has no top-level domain"
            raise MacroError(f'"{shown(text)}" {kind}')
    return spec


def _parse(
    text: str, match_at: Callable[[str, int], re.Match[str] | None], letters: frozenset[str]
) -> tuple[MacroString, str]:
    """The macro string, and what stands literally behind its last macro."""
    pieces: list[str | Macro] = []
    used: set[str] = set()
    at = 0
    literal = ""
    while at < len(text):
        match = match_at(text, at)
        if match is None:
            raise MacroError(f'"{shown(text)}" is malformed at "{shown(text[at : at + 4])}"')
        letter, digits, reverse, delimiters, sign, literal = match.groups("")
        if not letter:
            pieces.append(_SIGNS[sign] if sign else literal)
        elif letter.lower() not in letters:
            raise MacroError(f'the macro "{match[0]}" has no meaning here')
        else:
            separators = "".join(dict.fromkeys(delimiters))
            pieces.append(Macro(letter.lower(), _parts(digits), bool(reverse), separators, letter.isupper()))
            used.add(letter.lower())
        at = match.end()
    return MacroString(text, tuple(pieces), frozenset(used)), literal


def _parts(digits: str) -> int:
    if not digits:
        return 0
    significant = digits.lstrip("0")
    if not significant:
        raise MacroError("a macro keeps no parts of its value")
    return int(significant) if len(significant) < 4 else _ALL_PARTS


def _is_toplabel(label: str) -> bool:
    """RFC 7208 §7.1: letters, digits and inner hyphens, not all digits."""
    return (
        label.isascii() and label.replace("-", "").isalnum()
        and label[0] != "-" and label[-1] != "-" and not label.isdecimal()
    )
