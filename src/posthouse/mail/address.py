"""Addresses: who a message is for and who it is from, as the envelope writes them (RFC 5321 §4.1.2, RFC 6531 §3.3).

    Address.parse('Alice@Posthouse.Test')      local part "Alice", domain "posthouse.test"
    Address.parse('"a b"@example.org')         local part "a b" (no quotes inside the program)
    Address.parse('jörg@bücher.example')       domain "xn--bcher-kva.example", domain_unicode "bücher.example"
    Address.parse('u@[192.0.2.1]')             domain "[192.0.2.1]", literal "192.0.2.1"
    parse_path('<>')                           None, the null reverse-path

An address that exists as a value is well-formed: it can be printed into an SMTP command, a header field or a log
line as it is. What is syntactically fine but asks for routing inside the local part (`u%r`, `r!u`, `u@r`) parses,
and says so in `carries_routing`; whoever decides about relaying refuses it unless a mailbox has that very name.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Self
from unicodedata import category, normalize

import idna

# RFC 5321 §4.5.3.1: octets of a local part, of a domain, and of a path without its angle brackets.
LOCAL_PART_OCTETS = 64
DOMAIN_OCTETS = 255
ADDRESS_OCTETS = 254

# Domains that were seen lately are not examined again; one entry costs some 200 octets.
_DOMAIN_CACHE = 4096

# RFC 5322 §3.2.3
_ATEXT = r"A-Za-z0-9!#$%&'*+\-/=?^_`{|}~"
# RFC 6531 §3.3: atext =/ UTF8-non-ascii
_UTEXT = _ATEXT + "\u0080-\U0010ffff"
_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_match_plain = re.compile(rf"([{_ATEXT}]+(?:\.[{_ATEXT}]+)*)@({_HOST})").fullmatch
_match_host = re.compile(_HOST).fullmatch
_match_dot_string = re.compile(rf"[{_UTEXT}]+(?:\.[{_UTEXT}]+)*").fullmatch
# RFC 5321 §4.1.2: QcontentSMTP, with UTF8-non-ascii of RFC 6531
_match_quoted = re.compile("\"((?:[ !#-\\[\\]-~\u0080-\U0010ffff]|\\\\[ -~])*)\"@(.*)").fullmatch
_unescape = re.compile(r"\\(.)").sub
_escape = re.compile(r'(["\\])').sub

# Marks that turn the direction of what stands beside them: no name has them, forged ones do.
_DIRECTION_MARKS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class AddressError(ValueError):
    """Not an address. The text is a sentence for a person, printable and in ASCII, fit for an SMTP reply."""


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox name. Equality compares the local part with its case; look-ups go by `key`.

    `local_part` is unquoted, its case kept. `domain` is lower case and in A-labels, or an address literal
    `[192.0.2.1]` or `[ipv6:2001:db8::1]`; it is empty for the one name that needs none, `postmaster`.
    """

    local_part: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """A Mailbox of RFC 5321 §4.1.2, Unicode as in RFC 6531; no white space, comments, brackets or routes.

        Raises AddressError with a sentence.
        """
        match = _match_plain(text)
        if match is not None:
            local_part, domain = match.groups()
            if len(local_part) <= LOCAL_PART_OCTETS and len(text) <= ADDRESS_OCTETS:
                return cls(local_part, _host(domain))
        return cls(*_dissect(text))

    def __str__(self) -> str:
        local_part = self.local_part
        if _match_dot_string(local_part) is None:
            local_part = '"' + _escape(r"\\\1", local_part) + '"'
        return f"{local_part}@{self.domain}" if self.domain else local_part

    @property
    def key(self) -> str:
        """The local part for look-ups: caseless and in one normal form, without quotes. The domain is not in it."""
        local_part = self.local_part
        if local_part.isascii():
            return local_part.lower()
        return normalize("NFC", normalize("NFD", local_part).casefold())

    @property
    def domain_unicode(self) -> str:
        """The domain in U-labels, for display; a label that is no valid A-label stays as it is."""
        return _unicode_domain(self.domain) if "xn--" in self.domain else self.domain

    @property
    def is_ascii(self) -> bool:
        """Whether it can travel without SMTPUTF8 (the domain always can, as A-labels)."""
        return self.local_part.isascii()

    @property
    def literal(self) -> str | None:
        """The IP address of an address literal, without brackets and tag; None for a domain."""
        if self.domain.startswith("[ipv6:"):
            return self.domain[6:-1]
        return self.domain[1:-1] if self.domain.startswith("[") else None

    @property
    def carries_routing(self) -> bool:
        """Whether the local part asks somebody to send it on (`u%r`, `r!u`, `u@r`, also in compatible forms)."""
        local_part = self.local_part
        if not local_part.isascii():
            local_part = normalize("NFKC", local_part)
        return "%" in local_part or "!" in local_part or "@" in local_part


def parse_path(text: str, *, smtputf8: bool) -> Address | None:
    """What stands behind `MAIL FROM:` or `RCPT TO:`, with its angle brackets and without parameters.

    None for the null reverse-path `<>`; `<postmaster>` in any case gives `Address("postmaster", "")`. Source
    routes are refused (RFC 5321 §4.1.1.3 lets a server do so), as is whatever needs SMTPUTF8 without it.
    Raises AddressError.
    """
    if text == "<>":
        return None
    if len(text) < 2 or text[0] != "<" or text[-1] != ">":
        raise AddressError("the address has to stand in angle brackets")
    mailbox = text[1:-1]
    if not smtputf8 and not mailbox.isascii():
        raise AddressError("an address outside ASCII needs SMTPUTF8")
    # RFC 5321 §4.1.1.3: "<Postmaster>" without a domain, in any case.
    if mailbox.lower() == "postmaster":
        return Address("postmaster", "")
    # RFC 5321 §4.1.2: A-d-l, a route of "@domain," before the mailbox.
    if mailbox.startswith("@"):
        raise AddressError("source routes are not accepted")
    return Address.parse(mailbox)


def parse_domain(text: str) -> str:
    """A domain in the form that `Address.domain` has: lower case, A-labels. Raises AddressError.

    Address literals are not domains and are refused.
    """
    return _host(text) if _match_host(text) else _international(text)


def _dissect(text: str) -> tuple[str, str]:
    """Local part and domain of anything but the plain case."""
    try:
        octets = len(text.encode())
    except UnicodeEncodeError:
        raise AddressError("the address is not valid UTF-8") from None
    if octets > ADDRESS_OCTETS:
        raise AddressError(f"the address is longer than {ADDRESS_OCTETS} octets")
    _refuse_invisible(text)
    if text.startswith('"'):
        match = _match_quoted(text)
        if match is None:
            raise AddressError("the quoted local part is malformed")
        written, domain = match.groups()
        local_part = _unescape(r"\1", written)
        octets_of_local_part = len(written.encode()) + 2
    else:
        local_part, at, domain = text.rpartition("@") if "[" not in text else text.partition("@")
        if not at:
            raise AddressError("the address has no domain")
        if local_part and _match_dot_string(local_part) is None:
            raise AddressError("the local part is malformed")
        octets_of_local_part = len(local_part.encode())
    if not local_part:
        raise AddressError("the address has no local part")
    # Quotes and backslashes count (RFC 5321 §4.5.3.1.1: local-part, not its meaning).
    if octets_of_local_part > LOCAL_PART_OCTETS:
        raise AddressError(f"the local part is longer than {LOCAL_PART_OCTETS} octets")
    if domain.startswith("["):
        return local_part, _literal(domain)
    return local_part, parse_domain(domain)


def _refuse_invisible(text: str) -> None:
    for character in text:
        if character < " " or character == "\x7f":
            raise AddressError("the address contains a control character")
        if character > "~" and (
            character in _DIRECTION_MARKS or category(character) in ("Cc", "Cn", "Co", "Cs", "Zl", "Zp")
        ):
            raise AddressError("the address contains an invisible or unassigned character")


@lru_cache(maxsize=_DOMAIN_CACHE)
def _host(text: str) -> str:
    """A domain whose letters, digits, hyphens and lengths of labels were matched already."""
    if len(text) > DOMAIN_OCTETS:
        raise AddressError(f"the domain is longer than {DOMAIN_OCTETS} octets")
    # RFC 3696 §2: no top-level domain is all digits. "1.2.3.4" without brackets would reach a host by its number.
    if text[text.rfind(".") + 1 :].isdigit():
        raise AddressError("the domain ends in a number; an IP address stands in square brackets")
    return text.lower()


@lru_cache(maxsize=_DOMAIN_CACHE)
def _international(text: str) -> str:
    """A domain with U-labels, mapped by UTS 46 and encoded by IDNA2008 (RFC 5891)."""
    if not text:
        raise AddressError("the address has no domain")
    if text.endswith("."):
        raise AddressError("the domain ends in a dot")
    if text.isascii():
        raise AddressError("the domain is malformed")
    try:
        encoded = idna.encode(text, uts46=True, std3_rules=True, transitional=False).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise AddressError("the domain is not a valid internationalised name") from None
    # UTS 46 takes "。" and its kin for dots: what looks like one label to one program is two to the next.
    if encoded.count(".") != text.count("."):
        raise AddressError("the domain has a dot outside ASCII")
    if _match_host(encoded) is None:
        raise AddressError("the domain is not a valid internationalised name")
    return _host(encoded)


@lru_cache(maxsize=_DOMAIN_CACHE)
def _unicode_domain(domain: str) -> str:
    return ".".join(_unicode_label(label) for label in domain.split("."))


def _unicode_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return idna.ulabel(label)
    except (idna.IDNAError, UnicodeError):
        return label


def _literal(text: str) -> str:
    """An address literal (RFC 5321 §4.1.3) in its shortest form."""
    inner = text[1:-1]
    try:
        if text[-1] == "]" and inner[:5].lower() == "ipv6:" and "%" not in inner:
            return f"[ipv6:{IPv6Address(inner[5:])}]"
        if text[-1] == "]" and inner[:1].isdigit():
            return f"[{IPv4Address(inner)}]"
    except ValueError:
        pass
    raise AddressError("the address literal is malformed")
