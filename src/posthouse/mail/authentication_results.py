"""Authentication-Results: what was found out about a sender, written for whoever reads the message later (RFC 8601).

    format_results("mail.posthouse.test", [
        Result("spf", "pass", properties=(Property("smtp", "mailfrom", "a.example"),)), Result("dkim", "none")])

        Authentication-Results: mail.posthouse.test;
         spf=pass smtp.mailfrom=a.example;
         dkim=none

    parse_results(field.value)                      the same values back; tolerant of what others write
    claims(field, "mail.posthouse.test")            whether a field that came in speaks in our name: a forgery

What is reported comes from strangers: a signature's `d=` may hold quotes, a domain parentheses. So a property that
names somebody (`header.d`, `smtp.mailfrom` …) is written only where it is a plain domain, address or IP, and is left
out otherwise; other values become a token or a quoted string. Nothing written here opens a comment, ends a value
early, or reads as another result, not even to a reader who knows nothing of quotes (Chen, Paxson, Jiang: Composition
Kills, 2020, §5). Domains are written in A-labels, which internationalised messages may hold as well (RFC 8616 §3).
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from unicodedata import category, normalize

from posthouse.mail import charsets
from posthouse.mail.address import Address, AddressError, parse_domain
from posthouse.mail.headers import Field
from posthouse.mail.tokens import unfold, without_comments

NAME = "Authentication-Results"

# A field longer than this is not read.
RESULTS_OCTETS = 65_536
# Longer values are not written; a reason is cut.
VALUE_CHARACTERS = 255
REASON_CHARACTERS = 400
_LINE_CHARACTERS = 78

# RFC 8601 §2.2: Keyword, of RFC 5321 §4.1.2.
_is_keyword = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?").fullmatch
# RFC 2045 §5.1
_is_token = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+").fullmatch
_has_controls = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]").search
_controls = re.compile(r"[\0-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]+").sub
_escape = re.compile(r'(["\\])').sub
_unescape = re.compile(r"\\(.)").sub

# Properties that name somebody: what stands there decides whom a reader believes.
_IDENTITIES = frozenset((
    ("header", "d"), ("header", "i"), ("header", "s"), ("header", "a"), ("header", "from"), ("header", "sender"),
    ("header", "selector"),
    ("smtp", "mailfrom"), ("smtp", "helo"), ("smtp", "rcptto"), ("smtp", "auth"), ("smtp", "remote-ip"),
    ("smtp", "client-ip"), ("policy", "iprev"), ("policy", "authserv-id"),
))
_LABEL = r"[A-Za-z0-9_-]{1,63}"
_is_host = re.compile(rf"{_LABEL}(?:\.{_LABEL})*").fullmatch
_is_ip = re.compile(r"[0-9a-f:][0-9a-f:.]{1,44}|\[(?:ipv6:)?[0-9a-f:][0-9a-f:.]{1,44}\]", re.IGNORECASE).fullmatch
# No "=" among them: a local part that reads "dmarc=pass" would deceive whoever looks for just that.
_is_plain_local = re.compile(r"[A-Za-z0-9_+~.-]+").fullmatch

_QUOTED = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_match_segment = re.compile(rf'(?:[^";]++|{_QUOTED})*+').match
_match_head = re.compile(rf'\s*+({_QUOTED}|[^\s;="]++)(?:\s++(\d{{1,9}}))?\s*+').fullmatch
_match_method = re.compile(r"\s*+([A-Za-z0-9-]++)\s*+(?:/\s*+(\d{1,9})\s*+)?=\s*+([A-Za-z0-9-]++)(?=\s|\Z)").match
_match_pair = re.compile(
    rf'\s*+([A-Za-z0-9_-]++)\s*+(?:\.\s*+([A-Za-z0-9_-]++)\s*+)?=\s*+({_QUOTED}(?:@[^\s;"]*+)?|[^\s;"]*+)(?=\s|\Z)'
).match
_has_unseen_controls = re.compile(r"[\0-\x08\x0a-\x1f\x7f]").search
_comments = re.compile(r"\([^()]*+\)").sub
_Search = Callable[[str], re.Match[str] | None]


class AuthenticationResultsError(ValueError):
    """Not to be read, or not to be written. The text is a sentence."""


class Property(NamedTuple):
    """What was examined, `header.d=example.com`: `ptype` and `name` are lower case."""

    ptype: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Result:
    """One resinfo: `method` and `result` are registered words in lower case (RFC 8601 §2.7), `reason` is free text."""

    method: str
    result: str
    reason: str = ""
    properties: tuple[Property, ...] = ()

    def value(self, ptype: str, name: str) -> str:
        """The first value of that property, or ""."""
        return next((found.value for found in self.properties if found[:2] == (ptype, name)), "")


@dataclass(frozen=True, slots=True)
class AuthenticationResults:
    """A field: who says so, and what. No results means that nothing was examined ("none")."""

    authserv_id: str
    results: tuple[Result, ...]

    def of(self, method: str) -> tuple[Result, ...]:
        """The results of one method, in their order."""
        return tuple(result for result in self.results if result.method == method)


def format_results(authserv_id: str, results: Iterable[Result], *, smtputf8: bool = False) -> bytes:
    """The whole field, folded, with its CRLF; `; none` without results.

    Properties that cannot be said safely are left out: identities that are no plain domain, address or IP (of an
    address with an unusual local part the domain stays), values with control characters, too long ones, and what is
    outside ASCII without `smtputf8`. Raises AuthenticationResultsError for a method, result or property name that is
    no keyword, and for an authserv-id with control characters.
    """
    return f"{NAME}: ".encode() + format_payload(authserv_id, results, smtputf8=smtputf8) + b"\r\n"


def format_payload(authserv_id: str, results: Iterable[Result], *, smtputf8: bool = False) -> bytes:
    """As `format_results`, without name and final CRLF: what ARC-Authentication-Results takes behind its `i=`."""
    if not authserv_id or _has_controls(authserv_id) or not (smtputf8 or authserv_id.isascii()):
        raise AuthenticationResultsError("The authserv-id cannot be written")
    every = list(results)
    lines = [f"{_value(authserv_id)};", *(_line(result, smtputf8, ";") for result in every[:-1])]
    lines.append(_line(every[-1], smtputf8, "") if every else "none")
    return "\r\n ".join(lines).encode()


# The same hosts bring mail of the same authors again and again.
@lru_cache(maxsize=2048)
def _line(result: Result, smtputf8: bool, end: str) -> str:
    """A resinfo, folded, with what stands behind it."""
    words = _words(result, smtputf8)
    words[-1] += end
    return _fold(words)


def _words(result: Result, smtputf8: bool) -> list[str]:
    """A resinfo in the pieces between which it may be folded."""
    if not (_is_keyword(result.method) and _is_keyword(result.result)):
        raise AuthenticationResultsError("A method or its result is no keyword")
    words = [f"{result.method}={result.result}"]
    reason = _controls(" ", result.reason).strip()[:REASON_CHARACTERS].strip()
    if not (smtputf8 or reason.isascii()):
        reason = reason.encode("ascii", "replace").decode("ascii")
    if reason:
        # Runs of spaces were made one, so that a line may break at any of them (RFC 5322 §3.2.4).
        words.extend(f"reason={_value(reason)}".split(" "))
    for ptype, name, value in result.properties:
        if not (_is_keyword(ptype) and _is_keyword(name)):
            raise AuthenticationResultsError("The name of a property is no keyword")
        written = _identity(value, smtputf8) if (ptype, name) in _IDENTITIES else _plain(value, smtputf8)
        if written:
            words.append(f"{ptype}.{name}={written}")
    return words


def _plain(value: str, smtputf8: bool) -> str:
    if len(value) > VALUE_CHARACTERS or _has_controls(value) or not (smtputf8 or value.isascii()):
        return ""
    return _value(value)


def _value(text: str) -> str:
    """A token where that will do, else a quoted string."""
    if _is_token(text):
        return text
    return '"' + _escape(r"\\\1", text) + '"'


def _identity(value: str, smtputf8: bool) -> str:
    """A domain, an address or an IP that no reader can take for anything else; "" for what is none of these."""
    local_part, at, domain = value.rpartition("@")
    if not _is_host(domain) and not _is_ip(domain):
        try:
            domain = parse_domain(domain)
        except AddressError:
            return ""
    if len(domain) > VALUE_CHARACTERS:
        return ""
    if not at:
        return _value(domain)
    if domain.startswith("[") or ":" in domain:
        return ""
    return f"{local_part if _is_local_part(local_part, smtputf8) else ''}@{domain}"


def _is_local_part(text: str, smtputf8: bool) -> bool:
    if text.isascii():
        return bool(_is_plain_local(text)) and len(text) <= VALUE_CHARACTERS
    if not smtputf8 or not _is_plain_local("".join(c for c in text if not c.isalnum()) or "x"):
        return False
    try:
        Address.parse(f"{text}@a.example")
    except AddressError:
        return False
    return True


def _fold(words: Sequence[str]) -> str:
    lines: list[str] = []
    line = ""
    for word in words:
        if line and len(line) + 1 + len(word) >= _LINE_CHARACTERS:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    lines.append(line)
    return "\r\n ".join(lines)


def parse_results(value: bytes) -> AuthenticationResults:
    """What a field says, given its value as received; linear.

    Comments are passed over, and so are results that cannot be read and those of a version of their method that
    nobody here knows (RFC 8601 §2.6). A missing authserv-id, as some write it, is "". Raises
    AuthenticationResultsError for control characters, a quote that is never closed, another version of the field.
    """
    if len(value) > RESULTS_OCTETS:
        raise AuthenticationResultsError("The Authentication-Results field is too long")
    text = charsets.decode(without_comments(unfold(value)))
    if _has_unseen_controls(text):
        raise AuthenticationResultsError("The Authentication-Results field contains a control character")
    head, *segments = _segments(text)
    match = _match_head(head)
    if match is None:
        if "=" not in head:
            raise AuthenticationResultsError("The Authentication-Results field names nobody who says so")
        authserv_id = ""
        segments.insert(0, head)
    else:
        authserv_id = _unquoted(match[1])
        if match[2] is not None and int(match[2]) != 1:
            raise AuthenticationResultsError("The Authentication-Results field has a version that is not known here")
    found = (_result(segment) for segment in segments)
    return AuthenticationResults(authserv_id, tuple(result for result in found if result is not None))


def _segments(text: str) -> list[str]:
    """What stands between the semicolons; those in quotes do not count."""
    segments: list[str] = []
    position = 0
    while True:
        match = _match_segment(text, position)
        assert match is not None
        segments.append(match[0])
        position = match.end() + 1
        if position > len(text):
            return segments
        if text[position - 1] == '"':
            raise AuthenticationResultsError("The Authentication-Results field has a quote that is never closed")


def _result(segment: str) -> Result | None:
    match = _match_method(segment)
    if match is None or (match[2] is not None and int(match[2]) != 1):
        return None
    reason = ""
    properties: list[Property] = []
    position, end = match.end(), len(segment.rstrip())
    while position < end:
        pair = _match_pair(segment, position)
        if pair is None:
            return None
        name, second, written = pair.groups()
        if second is not None:
            properties.append(Property(name.lower(), second.lower(), _unquoted(written)))
        elif name.lower() == "reason":
            reason = _unquoted(written)
        position = pair.end()
    return Result(match[1].lower(), match[3].lower(), reason, tuple(properties))


def _unquoted(written: str) -> str:
    if not written.startswith('"'):
        return written
    quoted, _, domain = written.rpartition('"')
    return _unescape(r"\1", quoted[1:]) + domain


def claims(field: Field, authserv_id: str) -> bool:
    """Whether the field speaks in the name of `authserv_id`, by any reading that a later program might have.

    Case, quotes, comments, folding, encoded words, a final dot, a version or a path behind the name change nothing,
    and a field that cannot be parsed still counts. RFC 8601 §5: such fields are taken out of what comes in.
    """
    if field.key != NAME.lower():
        return False
    search = _search_for(authserv_id)
    for text in (charsets.decode(field.unfolded), field.text):
        bare = without_comments(text.encode("utf-8", "replace")).decode()
        # A comment may stand for a space or for nothing; what is no comment to us may be one to others.
        for reading in (bare.partition("=")[0], _comments("", text).partition("=")[0], text.partition(";")[0]):
            if search(_plainest(reading.replace("\\", ""))):
                return True
    return False


def _plainest(text: str) -> str:
    """As somebody reads it who looks past case, forms and invisible characters."""
    if text.isascii():
        return text.lower()
    # UTS #46 knows another full stop in domain names, which NFKC leaves.
    plain = normalize("NFKC", text).casefold().replace("\u3002", ".")
    return "".join([character for character in plain if category(character) != "Cf"])


@lru_cache(maxsize=64)
def _search_for(authserv_id: str) -> _Search:
    name = authserv_id.lower().rstrip(".")
    names = {name, Address("", name).domain_unicode}
    either = "|".join(re.escape(name) for name in sorted(names))
    return re.compile(rf"(?<![a-z0-9._-])(?:{either})(?!\.?[a-z0-9_-])").search
