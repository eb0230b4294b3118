"""SPF records (RFC 7208 §4.6, §5, §6): the text that a domain publishes, as typed terms.

    record = parse("v=spf1 ip4:192.0.2.0/24 mx include:_spf.example.net -all")
    record.directives[0]        # Ip4(qualifier="pass", text="ip4:192.0.2.0/24", network=..., mask=..., length=24)
    record.lookups              # 2: the terms of this record that ask the DNS, of which a check allows ten

The whole record is read before anything in it counts: one malformed term spoils it. Reading is linear in the text.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, Literal

from posthouse.checks.evidence import shown
from posthouse.checks.spf.macros import MacroError, MacroString, parse_domain_spec, parse_macro_string

Qualifier = Literal["pass", "fail", "softfail", "neutral"]

VERSION: Final = "v=spf1"
# More than anybody needs: 1,365 of the shortest ip4 terms fill 16 KB.
TERMS: Final = 1_400
_QUALIFIERS: dict[str, Qualifier] = {"": "pass", "+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
# Records that were read lately are not read again: some 2 KB each, 15 KB at worst, for longer ones are not kept.
_CACHED = 1024
_CACHED_CHARACTERS = 1024

_match_term = re.compile(r"([+?~-]?)([A-Za-z][A-Za-z0-9._-]*)(.*)", re.DOTALL).fullmatch
_CIDR = r"(?:0|[1-9][0-9]*)"
_search_lengths = re.compile(rf"(?:/({_CIDR}))?(?://({_CIDR}))?\Z").search
_match_network = re.compile(rf":([^/]+)(?:/({_CIDR}))?").fullmatch


class RecordError(ValueError):
    """Not an SPF record: permerror. The text is a sentence that names the term."""


@dataclass(frozen=True, slots=True)
class All:
    """Matches everything (§5.1)."""

    qualifier: Qualifier
    text: str


@dataclass(frozen=True, slots=True)
class Include:
    """Matches where the record of another domain passes (§5.2)."""

    qualifier: Qualifier
    text: str
    domain: MacroString


@dataclass(frozen=True, slots=True)
class A:
    """Matches the addresses of a name (§5.3); `domain` None: the domain that is checked."""

    qualifier: Qualifier
    text: str
    domain: MacroString | None
    ip4_length: int
    ip6_length: int


@dataclass(frozen=True, slots=True)
class Mx:
    """Matches the addresses of the mail exchangers of a domain (§5.4)."""

    qualifier: Qualifier
    text: str
    domain: MacroString | None
    ip4_length: int
    ip6_length: int


@dataclass(frozen=True, slots=True)
class Ptr:
    """Matches where a name of the client lies within a domain (§5.5)."""

    qualifier: Qualifier
    text: str
    domain: MacroString | None


@dataclass(frozen=True, slots=True)
class Ip4:
    """Matches a network (§5.6): `address & mask == network`, all of them integers."""

    qualifier: Qualifier
    text: str
    network: int
    mask: int
    length: int


@dataclass(frozen=True, slots=True)
class Ip6:
    """The same for 128 bits."""

    qualifier: Qualifier
    text: str
    network: int
    mask: int
    length: int


@dataclass(frozen=True, slots=True)
class Exists:
    """Matches where a name has an address, whichever (§5.7)."""

    qualifier: Qualifier
    text: str
    domain: MacroString


Directive = All | Include | A | Mx | Ptr | Ip4 | Ip6 | Exists


@dataclass(frozen=True, slots=True)
class Record:
    """`directives` in their order; `redirect` and `explanation` are targets; `modifiers` the ones nobody knows."""

    text: str
    directives: tuple[Directive, ...]
    redirect: MacroString | None
    explanation: MacroString | None
    modifiers: tuple[tuple[str, str], ...]

    @property
    def lookups(self) -> int:
        """The terms of this record alone that count towards the limit of ten (§4.6.4), if all are evaluated."""
        asking = sum(isinstance(directive, Include | A | Mx | Ptr | Exists) for directive in self.directives)
        return asking + (self.redirect is not None)


def is_record(octets: bytes) -> bool:
    """Whether a TXT record is meant for SPF (§4.5): the version, then a space or the end."""
    return octets[:6].lower() == b"v=spf1" and octets[6:7] in (b"", b" ")


def parse(text: str) -> Record:
    """The record in a text that begins with its version. RecordError."""
    return _parse_and_keep(text) if len(text) <= _CACHED_CHARACTERS else _parse(text)


def _parse(text: str) -> Record:
    version, _, written = text.partition(" ")
    if version.lower() != VERSION:
        raise RecordError(f'it does not begin with "{VERSION}"')
    # §4.6.1: terms are separated by one or more spaces, and by nothing else.
    terms = [term for term in written.split(" ") if term]
    if len(terms) > TERMS:
        raise RecordError(f"it has more than {TERMS} terms")
    directives: list[Directive] = []
    targets: dict[str, MacroString] = {}
    modifiers: list[tuple[str, str]] = []
    for term in terms:
        match = _match_term(term)
        if match is None:
            raise RecordError(f'"{shown(term)}" is no term')
        sign, name, argument = match.groups()
        name = name.lower()
        try:
            if not argument.startswith("="):
                directives.append(_directive(_QUALIFIERS[sign], name, argument, term))
            elif sign:
                raise RecordError("a modifier has no qualifier")
            elif name in ("redirect", "exp"):
                # §6: these two MUST NOT appear in a record more than once each.
                if name in targets:
                    raise RecordError(f"{name} stands there twice")
                targets[name] = parse_domain_spec(argument[1:])
            else:
                modifiers.append((name, parse_macro_string(argument[1:]).text))
        except (RecordError, MacroError) as error:
            raise RecordError(f'in "{shown(term)}" {error}') from None
    redirect = targets.get("redirect")
    # §5.1: what stands behind "all" is ignored, and so is redirect wherever it stands.
    for at, directive in enumerate(directives):
        if isinstance(directive, All):
            del directives[at + 1 :]
            redirect = None
            break
    return Record(text, tuple(directives), redirect, targets.get("exp"), tuple(modifiers))


_parse_and_keep = lru_cache(maxsize=_CACHED)(_parse)


def _directive(qualifier: Qualifier, name: str, argument: str, text: str) -> Directive:
    read = _MECHANISMS.get(name)
    if read is None:
        known = f"{name} is written with an equals sign" if name in ("redirect", "exp") else "no such mechanism"
        raise RecordError(known)
    return read(qualifier, text, argument)


def _all(qualifier: Qualifier, text: str, argument: str) -> All:
    if argument:
        raise RecordError("all takes no argument")
    return All(qualifier, text)


def _include(qualifier: Qualifier, text: str, argument: str) -> Include:
    return Include(qualifier, text, _required(argument))


def _exists(qualifier: Qualifier, text: str, argument: str) -> Exists:
    return Exists(qualifier, text, _required(argument))


def _ptr(qualifier: Qualifier, text: str, argument: str) -> Ptr:
    return Ptr(qualifier, text, _required(argument) if argument else None)


def _a(qualifier: Qualifier, text: str, argument: str) -> A:
    return A(qualifier, text, *_hosts(argument))


def _mx(qualifier: Qualifier, text: str, argument: str) -> Mx:
    return Mx(qualifier, text, *_hosts(argument))


def _ip4(qualifier: Qualifier, text: str, argument: str) -> Ip4:
    written, length = _network(argument, 32)
    try:
        address = int(IPv4Address(written))
    except AddressValueError:
        raise RecordError("it is followed by no IPv4 address") from None
    mask = (1 << 32) - (1 << 32 - length)
    return Ip4(qualifier, text, address & mask, mask, length)


def _ip6(qualifier: Qualifier, text: str, argument: str) -> Ip6:
    written, length = _network(argument, 128)
    try:
        address = int(IPv6Address(written))
    except AddressValueError:
        raise RecordError("it is followed by no IPv6 address") from None
    mask = (1 << 128) - (1 << 128 - length)
    return Ip6(qualifier, text, address & mask, mask, length)


_MECHANISMS: dict[str, Callable[[Qualifier, str, str], Directive]] = {
    "all": _all, "include": _include, "a": _a, "mx": _mx, "ptr": _ptr, "ip4": _ip4, "ip6": _ip6, "exists": _exists,
}


def _required(argument: str) -> MacroString:
    if not argument.startswith(":"):
        raise RecordError("a colon and a domain name are missing")
    return parse_domain_spec(argument[1:])


def _hosts(argument: str) -> tuple[MacroString | None, int, int]:
    """[ ":" domain-spec ] [ dual-cidr-length ]"""
    match = _search_lengths(argument)
    assert match is not None  # nothing at all matches at the end
    ip4, ip6 = match.groups()
    domain = argument[: match.start()]
    return _required(domain) if domain else None, _length(ip4, 32), _length(ip6, 128)


def _network(argument: str, most: int) -> tuple[str, int]:
    """":" network [ "/" length ]"""
    match = _match_network(argument)
    # A zone index, as in fe80::1%eth0, is no part of an address.
    if match is None or "%" in match[1]:
        raise RecordError("it is followed by no network")
    return match[1], _length(match[2], most)


def _length(digits: str | None, most: int) -> int:
    if digits is None:
        return most
    if len(digits) > 3 or int(digits) > most:
        raise RecordError(f"a prefix is at most {most} bits long")
    return int(digits)
