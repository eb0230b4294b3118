"""The DKIM-Signature field, and what ARC has taken over from it, as values (RFC 6376 §3.5, RFC 8616 §5).

    field = parse_signature(value)           SignedField, or FieldFault with the result and the sentence it deserves
    read_signed(tags), read_key(tags)        the parts that ARC-Message-Signature and ARC-Seal share (RFC 8617 §4.1)
    without_signature(value)                 the value as it was signed: with an empty b=

Every name in it is checked before it is used: `domain` and `selector` are valid DNS names, lower case and in A-labels,
so that neither a question nor a result can be bent by what stands in d= or s=.
"""

import re
from dataclasses import dataclass

import idna

from posthouse.checks.dkim.signature import Result
from posthouse.checks.dkim.tags import FWS, TagFault, Tags, decode_base64, parse_tags, words
from posthouse.mail.address import AddressError, parse_domain

# A field longer than this is no signature (its z= might copy a header).
FIELD_OCTETS = 65_536
# RFC 1035 §2.3.4: what a name may have as text.
_NAME_OCTETS = 253

_match_signature = re.compile(rb"(?:\A|;)[ \t\r\n]*+b[ \t\r\n]*+=([^;]*+)").search
# Underscores are no host names, but many selectors have them.
_is_selector = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*").fullmatch
_is_time = re.compile(rb"[0-9]{1,12}").fullmatch
_is_length = re.compile(rb"[0-9]{1,76}").fullmatch
_is_field_name = re.compile(rb"[!-9;-~]+").fullmatch
_encoded = re.compile(rb"=([0-9A-F]{2})").sub

_ALGORITHMS = frozenset((b"rsa-sha256", b"ed25519-sha256"))
_CANONICALIZATIONS = {b"simple": "simple", b"relaxed": "relaxed"}


class FieldFault(ValueError):
    """The field cannot be verified. `result` is the word for it; the text is a sentence."""

    def __init__(self, result: Result, reason: str) -> None:
        super().__init__(reason)
        self.result = result


@dataclass(frozen=True, slots=True)
class KeyName:
    """Which key is to be asked for, and with what it signed: a=, d=, s=, and b= decoded."""

    algorithm: str
    domain: str
    selector: str
    signature: bytes

    @property
    def kind(self) -> str:
        """k= of the key record."""
        return self.algorithm.partition("-")[0]

    @property
    def dns_name(self) -> str:
        """Where the key record stands (RFC 6376 §3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"


@dataclass(frozen=True, slots=True)
class SignedField:
    """A signature over fields and body. Times in seconds; `length` is l=; `headers` the keys in h=."""

    key: KeyName
    header_canonicalization: str
    body_canonicalization: str
    body_hash: bytes
    headers: tuple[str, ...]
    length: int | None
    signed_at: int | None
    expires_at: int | None

    @property
    def extent(self) -> tuple[str, int | None]:
        """What of the body was hashed, as `digest_body` takes it."""
        return self.body_canonicalization, self.length


def read_tags(value: bytes) -> Tags:
    """The tags of a signature of any kind. Raises FieldFault."""
    if len(value) > FIELD_OCTETS:
        raise FieldFault("neutral", "The signature field is too long")
    try:
        return parse_tags(value)
    except TagFault as fault:
        raise FieldFault("neutral", f"The signature field is malformed: {fault}") from None


def parse_signature(tags: Tags) -> tuple[SignedField, str]:
    """A DKIM-Signature with its identity, i= (RFC 6376 §3.5). Raises FieldFault."""
    if tags.get("v") != b"1":
        raise FieldFault("neutral", "The signature is of a version that is not known here")
    signed = read_signed(tags)
    return signed, _identity(tags, signed.key.domain)


def read_signed(tags: Tags) -> SignedField:
    """What a DKIM-Signature and an ARC-Message-Signature have in common. Raises FieldFault."""
    key = read_key(tags)
    header, body = _canonicalizations(tags)
    body_hash = _octets(tags, "bh")
    if "dns/txt" not in (word.decode("ascii", "replace") for word in words(tags.get("q", b"dns/txt"))):
        raise FieldFault("neutral", "The signature asks for its key by means that are not known here")
    length = tags.get("l")
    if length is not None and _is_length(length) is None:
        raise FieldFault("neutral", "The signature is malformed: its l= is no number")
    signed_at, expires_at = read_time(tags, "t"), read_time(tags, "x")
    # RFC 6376 §3.5: x= must be greater than t=.
    if signed_at is not None and expires_at is not None and expires_at <= signed_at:
        raise FieldFault("neutral", "The signature is malformed: it ends before it begins")
    return SignedField(
        key, header, body, body_hash, _headers(tags), None if length is None else int(length), signed_at, expires_at
    )


def read_key(tags: Tags) -> KeyName:
    """What every signature has, a seal too. Raises FieldFault."""
    domain, selector = read_names(tags)
    algorithm = _required(tags, "a")
    if algorithm not in _ALGORITHMS:
        # RFC 8301 §3.1: what was signed with rsa-sha1 has permanently failed.
        if algorithm == b"rsa-sha1":
            raise FieldFault("permerror", "It was signed with rsa-sha1, which proves nothing any more")
        raise FieldFault("neutral", "It was signed with an algorithm that is not known here")
    return KeyName(algorithm.decode("ascii"), domain, selector, _octets(tags, "b"))


def read_names(tags: Tags) -> tuple[str, str]:
    """d= and s=, lower case and in A-labels. Raises FieldFault."""
    try:
        domain = parse_domain(_required(tags, "d").decode())
    except (AddressError, UnicodeDecodeError):
        domain = ""
    # RFC 6376 §3.5: sub-domain 1*("." sub-domain)
    if "." not in domain:
        raise FieldFault("neutral", "The signature is malformed: its d= is no domain")
    selector = _selector(_required(tags, "s"))
    if not selector or len(selector) + len("._domainkey.") + len(domain) > _NAME_OCTETS:
        raise FieldFault("neutral", "The signature is malformed: its s= is no name of a key")
    return domain, selector


def read_time(tags: Tags, name: str) -> int | None:
    """t= or x= in seconds. Raises FieldFault."""
    value = tags.get(name)
    if value is None:
        return None
    if _is_time(value) is None:
        raise FieldFault("neutral", f"The signature is malformed: its {name}= is no time")
    return int(value)


def without_signature(value: bytes) -> bytes:
    """The value of a signature field with nothing behind `b=` (RFC 6376 §3.7)."""
    match = _match_signature(value)
    return value if match is None else value[: match.start(1)] + value[match.end(1) :]


def _required(tags: Tags, name: str) -> bytes:
    value = tags.get(name)
    if not value:
        raise FieldFault("neutral", f"The signature is malformed: it has no {name}=")
    return value


def _octets(tags: Tags, name: str) -> bytes:
    try:
        return decode_base64(_required(tags, name))
    except TagFault:
        raise FieldFault("neutral", f"The signature is malformed: its {name}= is not base64") from None


def _selector(value: bytes) -> str:
    """"" where it is none."""
    try:
        text = value.decode().lower()
        if not text.isascii():
            # RFC 8616 §5: U-labels may stand in internationalised header fields.
            text = idna.encode(text, uts46=True, transitional=False).decode("ascii")
    except (UnicodeError, idna.IDNAError):
        return ""
    return text if _is_selector(text) else ""


def _canonicalizations(tags: Tags) -> tuple[str, str]:
    """RFC 6376 §3.5: "simple" for both by default, and for the body where one is named only."""
    header, slash, body = tags.get("c", b"simple").partition(b"/")
    try:
        return _CANONICALIZATIONS[header], _CANONICALIZATIONS[body if slash else b"simple"]
    except KeyError:
        raise FieldFault("neutral", "The signature uses a canonicalization that is not known here") from None


def _headers(tags: Tags) -> tuple[str, ...]:
    names = words(_required(tags, "h").lower())
    if not all(map(_is_field_name, names)):
        raise FieldFault("neutral", "The signature is malformed: its h= is no list of fields")
    # RFC 6376 §5.4: From must be signed.
    if b"from" not in names:
        raise FieldFault("permerror", "The signature does not cover the From field")
    return tuple(name.decode("ascii") for name in names)


def _identity(tags: Tags, domain: str) -> str:
    """i=, its domain in A-labels; RFC 6376 §3.5: within d=."""
    written = tags.get("i")
    if written is None:
        return f"@{domain}"
    octets = _encoded(lambda match: bytes.fromhex(match[1].decode()), written.translate(None, FWS))
    try:
        local_part, at, host = octets.decode().rpartition("@")
        host = parse_domain(host)
    except (UnicodeDecodeError, AddressError):
        at = host = local_part = ""
    if not at or not local_part.isprintable():
        raise FieldFault("neutral", "The signature is malformed: its i= is no address")
    if host != domain and not host.endswith(f".{domain}"):
        raise FieldFault("neutral", f"The signature is malformed: its i= is not within {domain}")
    return f"{local_part}@{host}"
