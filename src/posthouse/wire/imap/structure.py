"""ENVELOPE, BODY and BODYSTRUCTURE as IMAP octets (RFC 3501 §7.4.2), ready to be stored and sent.

    envelope(message)                        ("Sat, 01 Mar 2025 …" "Lunch" (("Alice" NIL "alice" "a.example")) …)
    bodystructure(message.root, True)        ("text" "plain" ("charset" "utf-8") NIL NIL "8bit" 3028 92 NIL NIL NIL NIL)

Strings are quoted where a quoted string may hold them, else literals: 8-bit octets, CR and LF never stand between
quotes, so that a strict client can read what a careless sender wrote. Encoded words are left as they are.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from posthouse.mail.headers import Header
from posthouse.mail.mailboxes import Entry, Group, Mailbox, parse_address_list
from posthouse.mail.message import Message, Part
from posthouse.mail.parameters import split_parameters
from posthouse.mail.tokens import unfold, unquote

# A longer string is sent as a literal, which clients read without a buffer for the line.
_QUOTED_OCTETS = 1000
# Short values that were met lately are not written anew.
_SHORT_OCTETS = 250
_SHORT_KEPT = 2048

_is_plain = re.compile(rb"[ !#-\[\]-~]*").fullmatch
_is_seven_bit = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*").fullmatch
_escape = re.compile(rb'(["\\])').sub

# RFC 3501 §7.4.2: a host of NIL marks a group, so that an address without one needs something to stand there.
_NO_HOST = b'"MISSING_DOMAIN"'
# A multipart has at least one part (RFC 3501 §9, body-type-mpart), even where there is none to be found.
_NO_PART = b'("text" "plain" NIL NIL NIL "7bit" 0 0)'
_NO_PART_EXTENDED = b'("text" "plain" NIL NIL NIL "7bit" 0 0 NIL NIL NIL NIL)'


def envelope(source: Message | Part) -> bytes:
    """The parenthesised envelope of a message, or of the message inside a message/rfc822 (its root part)."""
    header = source.header
    authors = _addresses(header, "from")
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        _field(header, "date"),
        _field(header, "subject"),
        authors,
        # RFC 3501 §7.4.2: an absent or empty Sender or Reply-To is From.
        _addresses(header, "sender", authors),
        _addresses(header, "reply-to", authors),
        _addresses(header, "to"),
        _addresses(header, "cc"),
        _addresses(header, "bcc"),
        _field(header, "in-reply-to"),
        _field(header, "message-id"),
    )


def bodystructure(part: Part, extended: bool) -> bytes:
    """The parenthesised structure below `part`: BODYSTRUCTURE with the extension data, BODY without."""
    written: list[bytes] = []
    waiting: list[Part | bytes] = [part]
    while waiting:
        item = waiting.pop()
        if isinstance(item, bytes):
            written.append(item)
        elif item.is_multipart:
            written.append(b"(")
            if not item.parts:
                written.append(_NO_PART_EXTENDED if extended else _NO_PART)
            waiting.append(b" %b%b)" % (_text(item.content_type[1]), _multipart_data(item) if extended else b""))
            waiting.extend(reversed(item.parts))
        elif item.message is not None:
            written.append(b"(%b %b " % (_basic(item), envelope(item.message)))
            waiting.append(b" %d%b)" % (item.lines, _single_data(item) if extended else b""))
            waiting.append(item.message)
        else:
            lines = b" %d" % item.lines if item.content_type[0] == "text" else b""
            written.append(b"(%b%b%b)" % (_basic(item), lines, _single_data(item) if extended else b""))
    return b"".join(written)


def nstring(octets: bytes | None) -> bytes:
    """NIL, a quoted string, or a literal where a quoted string may not hold the octets. NUL becomes `?`."""
    return b"NIL" if octets is None else string(octets)


def string(octets: bytes) -> bytes:
    """A quoted string, or a literal (RFC 3501 §4.3): that may hold anything but NUL."""
    if len(octets) <= _QUOTED_OCTETS:
        if _is_plain(octets):
            return b'"%b"' % octets
        if _is_seven_bit(octets):
            return b'"%b"' % _escape(rb"\\\1", octets)
    octets = octets.replace(b"\0", b"?")
    return b"{%d}\r\n%b" % (len(octets), octets)


def _field(header: Header, name: str) -> bytes:
    field = header.get(name)
    return b"NIL" if field is None else string(unfold(field.value))


def _addresses(header: Header, name: str, default: bytes = b"NIL") -> bytes:
    found = header.all(name)
    if not found:
        return default
    if len(found) == 1 and len(found[0].value) <= _SHORT_OCTETS:
        return _short_list(found[0].value) or default
    return _list(header.addresses(name)) or default


def _list(entries: Sequence[Entry]) -> bytes:
    return b"(%b)" % b"".join(map(_entry, entries)) if entries else b""


@lru_cache(_SHORT_KEPT)
def _short_list(value: bytes) -> bytes:
    return _list(parse_address_list(value))


def _entry(entry: Entry) -> bytes:
    if isinstance(entry, Group):
        # RFC 3501 §7.4.2: a group begins with its name where a mailbox stands, and ends with four NILs.
        members: Sequence[Mailbox] = entry.members
        return b"(NIL NIL %b NIL)%b(NIL NIL NIL NIL)" % (string(entry.phrase), b"".join(map(_entry, members)))
    name = string(entry.phrase) if entry.phrase else _comment(entry)
    local_part, at, host = entry.raw.encode("utf-8", "replace").rpartition(b"@")
    if not at:
        local_part, host = host, b""
    if local_part.startswith(b'"') and local_part.endswith(b'"') and len(local_part) > 1:
        local_part = unquote(local_part[1:-1])
    return b"(%b NIL %b %b)" % (name, string(local_part), string(host) if host else _NO_HOST)


def _comment(mailbox: Mailbox) -> bytes:
    return string(mailbox.display_name.encode()) if mailbox.display_name else b"NIL"


def _basic(part: Part) -> bytes:
    """body-fields with the media type before them: what all leaves have in common."""
    main, sub = part.content_type
    # A message that is opaque (encoded, or too deep) has no envelope to show.
    if main == "message" and sub in ("rfc822", "global") and part.message is None:
        main, sub = "application", "octet-stream"
    header = part.header
    return b"%b %b %b %b %b %b %d" % (
        _text(main),
        _text(sub),
        _parameters(header, part),
        _field(header, "content-id"),
        _field(header, "content-description"),
        _text(part.encoding),
        part.size,
    )


def _text(text: str) -> bytes:
    return _short_text(text) if len(text) <= _SHORT_OCTETS else string(text.encode("utf-8", "replace"))


@lru_cache(_SHORT_KEPT)
def _short_text(text: str) -> bytes:
    return string(text.encode("utf-8", "replace"))


def _parameters(header: Header, part: Part) -> bytes:
    field = header.get("content-type")
    if field is None:
        # RFC 2045 §5.2: what holds where nothing is said.
        return b'("charset" "us-ascii")' if part.content_type[0] == "text" else b"NIL"
    return _pairs(field.value)


def _pairs(value: bytes) -> bytes:
    pairs = split_parameters(value)[1]
    if not pairs:
        return b"NIL"
    return b"(%b)" % b" ".join(b"%b %b" % (string(name), string(text)) for name, text in pairs)


def _single_data(part: Part) -> bytes:
    """body-ext-1part: MD5, disposition, language, location."""
    return b" %b%b" % (_field(part.header, "content-md5"), _common_data(part))


def _multipart_data(part: Part) -> bytes:
    """body-ext-mpart: parameters, disposition, language, location."""
    return b" %b%b" % (_parameters(part.header, part), _common_data(part))


def _common_data(part: Part) -> bytes:
    header = part.header
    field = header.get("content-disposition")
    disposition = b"NIL"
    if field is not None and part.disposition:
        disposition = b"(%b %b)" % (_text(part.disposition), _pairs(field.value))
    field = header.get("content-language")
    language = b"NIL"
    if field is not None:
        tags = [string(tag.strip()) for tag in unfold(field.value).split(b",") if tag.strip()]
        if tags:
            language = b"(%b)" % b" ".join(tags)
    return b" %b %b %b" % (disposition, language, _field(header, "content-location"))
