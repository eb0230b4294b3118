"""What a domain publishes about its logo, and which record a message asks for (draft-brand-indicators, version 12).

    record = parse(b"v=BIMI1; l=https://a.example/logo.svg; a=https://a.example/mark.pem")
    record.location, record.evidence, record.declines
    selector(b"v=BIMI1; s=spring;")       "spring"
    local_part_selector("news.letter+x")  "news-letter"

Nothing is mended (§ Assertion Record Definition): what is malformed is an error, with a sentence for its owner.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

# A record longer than this is not read, nor a selector; a URL has to fit on a line of a header field.
_RECORD_OCTETS = 8_192
_URL_CHARACTERS = 900
_SELECTOR_CHARACTERS = 190

DEFAULT_SELECTOR = "default"

_match_version = re.compile(rb"v[ \t]*=[ \t]*BIMI1[ \t]*(?:;|\Z)").match
_match_tag = re.compile(r"[ \t]*([A-Za-z][A-Za-z0-9_]*)[ \t]*=[ \t]*([ -~]*?)[ \t]*").fullmatch
_is_selector = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
                          r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*").fullmatch
_is_prefix = re.compile(r"[A-Za-z0-9-]{1,63}").fullmatch
_is_url = re.compile(r"https://[!#-+\--;=?-Z_a-z~\[\]]+", re.IGNORECASE).fullmatch
_is_host = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*\.[A-Za-z][A-Za-z0-9-]{0,62}").fullmatch
_separators = re.compile(r"[._]+").sub
# Image formats that no record may name; what ends otherwise is seen when it is fetched.
_find_other_format = re.compile(r"\.(?:png|jpe?g|gif|webp|bmp|ico|tiff?|avif|pdf|eps)\Z", re.IGNORECASE).search


class RecordError(ValueError):
    """A BIMI record that is malformed. The text is a sentence."""


@dataclass(frozen=True, slots=True)
class Record:
    """One Assertion Record. `location` (l=) and `evidence` (a=) are https URLs or ""; `prefixes` is lps=.

    `prefixes` is None where there is no lps= tag, and () where every local part is a selector. `preference` (avp=) is
    "" where the record has a value that is neither of the two.
    """

    text: str
    location: str
    evidence: str
    prefixes: tuple[str, ...] | None
    preference: str

    @property
    def declines(self) -> bool:
        """Whether the owner says that there is no logo (§ Declination to Publish)."""
        return not self.location and not self.evidence


def is_record(octets: bytes) -> bool:
    """Whether a TXT record is a BIMI record at all; what is not is passed over."""
    return _match_version(octets) is not None


def parse(octets: bytes) -> Record:
    """The record in the joined strings of one TXT record, for which `is_record` holds. Raises RecordError. Linear."""
    if len(octets) > _RECORD_OCTETS:
        raise RecordError("the record is too long")
    text = octets.decode("ascii", "replace")
    tags = _tags(text)
    if "l" not in tags:
        raise RecordError("the record has no l tag")
    location, evidence = _url(tags, "l"), _url(tags, "a")
    if location and _find_other_format(urlsplit(location).path):
        raise RecordError("the logo is no SVG")
    if evidence and not location:
        raise RecordError("the record names a certificate but no logo")
    preference = tags.get("avp", "brand")
    return Record(text, location, evidence, _prefixes(tags), preference if preference in ("brand", "personal") else "")


def selector(value: bytes) -> str:
    """The selector in the value of a BIMI-Selector field, in lower case; the default one where it names none."""
    if len(value) > _RECORD_OCTETS or not is_record(value):
        return DEFAULT_SELECTOR
    try:
        found = _tags(value.decode("ascii", "replace")).get("s", "")
    except RecordError:
        return DEFAULT_SELECTOR
    named = len(found) <= _SELECTOR_CHARACTERS and _is_selector(found)
    return found.lower() if named else DEFAULT_SELECTOR


def local_part_selector(local_part: str) -> str:
    """The local part made fit for a selector (§ Local-part Selectors); "" where it cannot be."""
    normal = _separators("-", local_part.partition("+")[0]).strip("-").lower()
    return normal if _is_prefix(normal) else ""


def _tags(text: str) -> dict[str, str]:
    """Tags with their values; names keep their case. Raises RecordError where one is malformed or stands twice."""
    tags: dict[str, str] = {}
    for piece in text.split(";"):
        if not piece.strip(" \t"):
            continue
        match = _match_tag(piece)
        if match is None:
            raise RecordError("the record holds something that is no tag with a value")
        if match[1] in tags:
            # RFC 6376 §3.2, whose syntax this is: one of each.
            raise RecordError(f"the record has the tag {match[1]} more than once")
        tags[match[1]] = match[2]
    return tags


def _url(tags: dict[str, str], name: str) -> str:
    value = tags.get(name, "")
    if not value:
        return ""
    try:
        parts = urlsplit(value)
        host, plain = parts.hostname or "", parts.username is None and parts.port in (None, 443)
    except ValueError:
        host, plain = "", False
    if len(value) > _URL_CHARACTERS or not _is_url(value) or not _is_host(host) or not plain:
        raise RecordError(f"the {name} tag is no https URL of a host")
    return value


def _prefixes(tags: dict[str, str]) -> tuple[str, ...] | None:
    value = tags.get("lps")
    if value is None:
        return None
    prefixes = [prefix.strip(" \t") for prefix in value.split(",")] if value else []
    if not all(map(_is_prefix, prefixes)):
        raise RecordError("the lps tag has a prefix that no selector begins with")
    return tuple(prefix.lower() for prefix in prefixes)
