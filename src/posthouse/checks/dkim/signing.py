"""Signing (RFC 6376 §5): DKIM-Signature fields for a message that is about to leave.

    octets = sign(message, [rsa, ed25519], now) + message

Relaxed canonicalization for header and body. The fields that people and programs go by are signed once more than they
stand, so that nobody adds another (§5.4, "oversigning"): those of `OVERSIGNED` even where they are absent, those of
`SIGNED` where they are present. Fields that relays add or take away are left alone. The body and the fields are hashed
once for all keys.

What is signed is what leaves: line endings, transfer encodings and added fields come before.
"""

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

from posthouse.checks.dkim.canonicalization import relaxed_field
from posthouse.checks.dkim.digests import digest_body
from posthouse.checks.dkim.keys import SigningKey
from posthouse.mail.author import SINGLETONS
from posthouse.mail.headers import Field, Octets, scan_header
from posthouse.mail.instant import SECOND, Instant

OVERSIGNED = ("from", "to", "subject", "date", "reply-to", "content-type")
SIGNED = (
    "sender", "cc", "message-id", "in-reply-to", "references", "mime-version", "content-transfer-encoding",
    "list-id", "list-help", "list-unsubscribe", "list-unsubscribe-post", "list-subscribe", "list-post", "list-owner",
    "list-archive",
)  # fmt: skip
# RFC 6376 §5.4.1 has them signed; whoever sends the message on once more puts others on top (RFC 5322 §3.6.6).
SIGNED_AS_THEY_ARE = ("resent-date", "resent-from", "resent-to", "resent-cc")

_LINE_OCTETS = 76
_split_tags = re.compile(r"[ :][^ :]*").findall
_BODY = ("relaxed", None)


class SigningFault(ValueError):
    """The message cannot be signed so that anybody should believe it. The text is a sentence."""


class Draft(NamedTuple):
    """What of a message is signed: its fields top down, and the base64 of the hash of its body."""

    fields: tuple[Field, ...]
    body_hash: str


def sign(
    octets: Octets, keys: Sequence[SigningKey], now: Instant, *, prefix: bytes = b"", lifetime: int | None = None
) -> bytes:
    """The complete DKIM-Signature fields, one for each key, CRLF included, to be put in front of everything.

    `prefix` are fields that will stand in front of `octets` when it leaves, and are signed as if they were in it.
    `lifetime` in seconds gives x=. Pure and without I/O, but it takes some ms for RSA and more for large bodies. Raises
    SigningFault.
    """
    draft = read(octets, prefix)
    names = chosen(draft.fields)
    fields = canonical(draft.fields, names)
    seconds = now // SECOND
    times = f"t={seconds};" if lifetime is None else f"t={seconds}; x={seconds + lifetime};"
    signatures = []
    for key in keys:
        tags = (
            f" v=1; a={key.algorithm}; c=relaxed/relaxed; d={key.domain}; s={key.selector}; {times}"
            f" h={':'.join(names)}; bh={draft.body_hash};"
        )
        signatures.append(completed("DKIM-Signature", tags, fields, key))
    return b"".join(signatures)


def read(octets: Octets, prefix: bytes) -> Draft:
    """A message that is fit to be signed. Raises SigningFault."""
    header = scan_header(octets)
    front = scan_header(prefix)
    flaw = front.flaw or header.flaw
    if flaw:
        raise SigningFault(f"{flaw}, so that it cannot be signed")
    fields = (*front.fields, *header.fields)
    count = Counter(field.key for field in fields)
    doubled = next((field.name for field in fields if count[field.key] > 1 and field.key in SINGLETONS), "")
    if doubled:
        raise SigningFault(f"There is more than one {doubled} field, so that it cannot be signed")
    # RFC 6376 §5.4: From must be signed.
    if not count["from"]:
        raise SigningFault("There is no From field, so that it cannot be signed")
    digest = digest_body(octets, header.end, [_BODY])[_BODY]
    return Draft(fields, b64encode(digest or b"").decode("ascii"))


def chosen(fields: Iterable[Field]) -> list[str]:
    """The keys for h=, each as often as it is to be named."""
    count = Counter(field.key for field in fields)
    names = [name for name in OVERSIGNED for _ in range(count[name] + 1)]
    names += [name for name in SIGNED if count[name] for _ in range(count[name] + 1)]
    return names + [name for name in SIGNED_AS_THEY_ARE for _ in range(count[name])]


def canonical(fields: Iterable[Field], names: Iterable[str]) -> bytes:
    """The fields that `names` stands for, relaxed, from the bottom of the header to the top (RFC 6376 §5.4.2)."""
    instances: dict[str, list[Field]] = {}
    for field in fields:
        instances.setdefault(field.key, []).append(field)
    pieces = []
    for name in names:
        left = instances.get(name)
        if left:
            pieces.append(relaxed_field(name.encode("ascii"), left.pop().value) + b"\r\n")
    return b"".join(pieces)


def folded(name: str, tags: str) -> str:
    """The value of a field with those tags: folded at spaces and colons wherever 76 octets are full."""
    lines: list[str] = []
    line = name + ":"
    for piece in _split_tags(tags):
        if len(line) + len(piece) > _LINE_OCTETS:
            lines.append(line)
            line = "\t" + piece.lstrip(" ")
        else:
            line += piece
    lines.append(line)
    return "\r\n".join(lines)[len(name) + 1 :]


def completed(name: str, tags: str, before: bytes, key: SigningKey) -> bytes:
    """A whole field whose b= is the signature of `before` and of the field itself."""
    value = f"{folded(name, tags)}\r\n\tb=".encode("ascii")
    digest = sha256(before + relaxed_field(name.encode("ascii"), value)).digest()
    text = b64encode(key.sign_digest(digest))
    width = _LINE_OCTETS - len("\tb=")
    lines = [text[at : at + width] for at in range(0, len(text), width)]
    return name.encode("ascii") + b":" + value + b"\r\n\t".join(lines) + b"\r\n"
