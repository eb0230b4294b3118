"""Values with parameters: Content-Type, Content-Disposition (RFC 2045 §5.1, RFC 2183) and RFC 2231 within them.

    parse_content_type(b'text/plain; charset="utf-8"')               ("text", "plain", {"charset": "utf-8"})
    parse_token(b"attachment; filename*=utf-8''J%C3%B6rg.txt")        ("attachment", {"filename": "Jörg.txt"})

Broken forms that are common are read as they were meant: a missing semicolon before a folded parameter, an
unquoted file name with spaces, a quoted RFC 2231 value, encoded words in values, a quote that is never closed.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from posthouse.mail import charsets
from posthouse.mail.tokens import unfold, unquote, without_comments
from posthouse.mail.words import decode_words, one_line

# What is beyond these bounds is not read.
PARAMETERS = 500
PARAMETER_OCTETS = 100_000

# Values up to this length are remembered: a handful of them makes up most of all mail.
_CACHED_OCTETS = 160

Pairs = tuple[tuple[bytes, bytes], ...]

# A name begins where a semicolon or white space ends. An unquoted value runs to the next semicolon, or to white space
# before what looks like a further parameter.
_find_pairs = re.compile(
    rb'(?<![^\s;])([^\s=;"]++)\s*+=\s*+(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"?|([^;\s]*+(?:\s++(?![^\s=;"]++\s*+=)[^;\s]++)*+))',
    re.DOTALL,
).finditer
_match_type = re.compile(rb'([^\s/;"=]+)\s*/\s*([^\s/;"=]+)').match
_match_token = re.compile(rb'([^\s/;"=]+)(?=\s*(?:;|\Z)|\s)').match
# RFC 2231 §3, §4: name, section number, and the mark of an encoded section.
_match_section = re.compile(rb"([^*]+)\*(?:(\d{1,4})(\*)?)?").fullmatch
_percent = re.compile(rb"%([0-9A-Fa-f]{2})").sub
# Unquoted, these may hold spaces; for all others the value ends at the first (RFC 2045 §5.1: token).
_NAMES_OF_FILES = (b"name", b"filename")
_EMPTY: Mapping[str, str] = MappingProxyType({})

_is_token = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+").fullmatch
_is_quotable = re.compile(r"[ -~]*").fullmatch
_escape = re.compile(r'(["\\])').sub
# RFC 2231 §7: attribute-char, what an extended value may show as itself.
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&+-.^_`{|}~")
_has_breaks = re.compile(r"[\r\n\0]").search
# RFC 2231 §3: an encoded value is cut into sections before its line gets longer than this.
_SECTION_CHARACTERS = 60
# Not everybody reads sections: what ASCII can hold is left in one piece as long as its line stays bearable.
_QUOTED_CHARACTERS = 200


def parse_content_type(value: bytes) -> tuple[str, str, Mapping[str, str]] | None:
    """Type, subtype (both lower case) and parameters by lower-case name; None where there is no `type/subtype`.

    Sections, charsets and percent escapes of RFC 2231 are resolved, encoded words in values decoded; the first of
    two parameters with one name counts, but the form of RFC 2231 before the plain one.
    """
    return _content_type(value) if len(value) <= _CACHED_OCTETS else _content_type.__wrapped__(value)


def parse_token(value: bytes) -> tuple[str, Mapping[str, str]]:
    """The leading token in lower case (empty where there is none), and the parameters: Content-Disposition."""
    head, pairs = split_parameters(value)
    match = _match_token(head)
    return (charsets.decode(match[1]).lower() if match else ""), _resolve(pairs)


def split_parameters(value: bytes) -> tuple[bytes, Pairs]:
    """What stands before the first semicolon, and the parameters as they stand: unquoted, but nothing decoded.

    Names are in lower case and keep the asterisks of RFC 2231: this is what BODYSTRUCTURE shows.
    """
    return _split(value) if len(value) <= _CACHED_OCTETS else _split.__wrapped__(value)


@lru_cache(maxsize=1024)
def _content_type(value: bytes) -> tuple[str, str, Mapping[str, str]] | None:
    head, pairs = split_parameters(value)
    match = _match_type(head)
    if match is None:
        return None
    main, sub = match.groups()
    return charsets.decode(main).lower(), charsets.decode(sub).lower(), _resolve(pairs)


@lru_cache(maxsize=1024)
def _split(value: bytes) -> tuple[bytes, Pairs]:
    line = without_comments(unfold(value[:PARAMETER_OCTETS])).strip()
    head, _, rest = line.partition(b";")
    # A semicolon may be missing after the type as well: the first parameter then stands in the head.
    if b"=" in head:
        rest = line
        found = next(_find_pairs(line), None)
        head = line[: found.start()] if found else head
    pairs = []
    for match in _find_pairs(rest):
        name, quoted, plain = match.groups()
        name = name.lower()
        if quoted is not None:
            text = unquote(quoted)
        elif name in _NAMES_OF_FILES:
            text = plain
        else:
            text = plain.split(None, 1)[0] if plain else b""
        pairs.append((name, text))
        if len(pairs) == PARAMETERS:
            break
    return head.strip(), tuple(pairs)


def _resolve(pairs: Pairs) -> Mapping[str, str]:
    if not pairs:
        return _EMPTY
    found: dict[str, str] = {}
    sections: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    for name, text in pairs:
        if b"*" in name:
            match = _match_section(name)
            if match is not None:
                base, number, mark = match.groups()
                extended = number is None or mark is not None
                sections.setdefault(base, {}).setdefault(int(number or 0), (text, extended))
                continue
        found.setdefault(charsets.decode(name), decode_words(text))
    for base, parts in sections.items():
        found[charsets.decode(base)] = _join(parts)
    return MappingProxyType(found)


def _join(parts: dict[int, tuple[bytes, bool]]) -> str:
    """The sections in the order of their numbers as far as these go on without a gap (RFC 2231 §3)."""
    octets: list[bytes] = []
    charset = ""
    number = min(parts)
    first = True
    while number in parts:
        text, extended = parts[number]
        if extended and first:
            # RFC 2231 §4: charset'language'value
            label, _, rest = text.partition(b"'")
            _, quote, rest = rest.partition(b"'")
            if quote:
                charset, text = label.decode("latin-1"), rest
        octets.append(_percent(lambda match: bytes.fromhex(match[1].decode("ascii")), text) if extended else text)
        first = False
        number += 1
    joined = b"".join(octets)
    return decode_words(joined) if b"=?" in joined and not charset else one_line(charsets.decode(joined, charset))


def format_parameters(parameters: Mapping[str, str]) -> list[str]:
    """Each parameter as `name=value`, quoted where needed, by RFC 2231 with UTF-8 outside ASCII or when long.

    Raises ValueError for CR, LF or NUL in a value, and for names that are no tokens.
    """
    formatted: list[str] = []
    for name, value in parameters.items():
        if _is_token(name) is None or _has_breaks(value):
            raise ValueError(f"the parameter {name!r} cannot be written")
        if len(value) <= _QUOTED_CHARACTERS and _is_token(value):
            formatted.append(f"{name}={value}")
        elif len(value) <= _QUOTED_CHARACTERS and _is_quotable(value):
            escaped = _escape(r"\\\1", value)
            formatted.append(f'{name}="{escaped}"')
        else:
            formatted.extend(_extended(name, value))
    return formatted


def _extended(name: str, value: str) -> list[str]:
    """One value in the form of RFC 2231 §4, in sections where one line would not hold it."""
    sections = ["utf-8''"]
    for character in value:
        encoded = "".join(
            chr(octet) if octet in _PLAIN else f"%{octet:02X}" for octet in character.encode("utf-8", "replace")
        )
        if len(sections[-1]) + len(encoded) > _SECTION_CHARACTERS:
            sections.append("")
        sections[-1] += encoded
    if len(sections) == 1:
        return [f"{name}*={sections[0]}"]
    return [f"{name}*{number}*={section}" for number, section in enumerate(sections)]
