"""A message made from its parts: DSNs, and what is sent from the shell or by the house itself.

    compose([("From", format_mailbox("Jörg Ünal", "joerg@a.example")), ("To", "b@b.example"), ("Subject", "Grüße"),
             ("Date", rfc5322_date(now)), ("Message-ID", f"<{id}@a.example>")],
            Multipart("mixed", [text_body("Guten Tag"), Body(octets, "image/png", filename="Bild.png")]),
            boundary=id)

The caller gives Date, Message-ID and the boundary; nothing here is random or reads a clock. Values are given as
people write them, in Unicode and unfolded; what could break out of its field is refused, not mended.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from posthouse.mail.address import Address, AddressError
from posthouse.mail.author import SINGLETONS
from posthouse.mail.mailboxes import Entry, Group, Mailbox, parse_address_list
from posthouse.mail.parameters import format_parameters
from posthouse.mail.transfer import encode_base64, encode_quoted_printable
from posthouse.mail.words import encode_phrase, encode_words

# RFC 5322 §2.1.1: lines should have at most 78 characters, and must have at most 998.
LINE_CHARACTERS = 78
LINE_OCTETS = 998
# RFC 2046 §5.1.1 allows 70; numbers are put before it for multiparts inside.
_BOUNDARY_CHARACTERS = 50

_is_name = re.compile(r"[!-9;-~]{1,77}").fullmatch
_has_controls = re.compile(r"[\0-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]").search
_is_type = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}").fullmatch
_is_boundary = re.compile(r"[0-9A-Za-z'()+_,./:=?-]+").fullmatch
_has_long_line = re.compile(rb"[^\n]{999}").search
_line_ends = re.compile(rb"\r\n|\r|\n").sub

# Fields with mailboxes in them (RFC 5322 §3.6), and fields in which an encoded word may not stand (RFC 2047 §5).
_ADDRESSES = frozenset((
    "from", "sender", "reply-to", "to", "cc", "bcc",
    "resent-from", "resent-sender", "resent-to", "resent-cc", "resent-bcc", "resent-reply-to",
))
_STRUCTURED = frozenset((
    "date", "message-id", "in-reply-to", "references", "resent-date", "resent-message-id", "auto-submitted",
    "list-id", "list-unsubscribe", "list-unsubscribe-post", "list-post", "list-help", "list-archive", "precedence",
    "original-recipient", "final-recipient", "disposition-notification-to", "return-path",
))
_EIGHT_BIT = bytes(range(128, 256))
_MADE_HERE = ("mime-version", "content-")


class ComposeError(ValueError):
    """A field, name or value that cannot stand in a message. The text is a sentence."""


@dataclass(frozen=True, slots=True)
class Body:
    """A leaf: `octets` are its content before transfer encoding, which is chosen here.

    Line ends of text/* and message/* may be LF or CR LF. `filename` makes it an attachment unless `disposition` says
    otherwise. A message/rfc822 stays as it is (RFC 2046 §5.2.1): with 8-bit octets in it the whole is 8-bit, and has
    to be sent as such.
    """

    octets: bytes
    content_type: str = "text/plain"
    parameters: Mapping[str, str] = field(default_factory=dict)
    filename: str = ""
    disposition: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Multipart:
    """A multipart/`subtype` with its parts; `parameters` without the boundary (`report-type`, say)."""

    subtype: str
    parts: Sequence["Body | Multipart"]
    parameters: Mapping[str, str] = field(default_factory=dict)


def text_body(text: str, subtype: str = "plain") -> Body:
    """Text as a body: in ASCII where that will do, else in UTF-8."""
    charset = "us-ascii" if text.isascii() else "utf-8"
    return Body(text.encode("utf-8", "replace"), f"text/{subtype}", {"charset": charset})


def format_mailbox(display_name: str, address: str) -> str:
    """`Name <local@domain>` for an address field given to `compose`, the name quoted where it needs to be.

    Raises ComposeError for control characters in the name, and for what is no address.
    """
    _refuse_controls("a display name", display_name)
    try:
        parsed = Address.parse(address)
    except AddressError as error:
        raise ComposeError(f"{_shown(address)} is no address: {error}") from None
    if not display_name:
        return str(parsed)
    name = encode_phrase(display_name) if display_name.isascii() else _quoted(display_name)
    return f"{name} <{parsed}>"


def compose(
    fields: Sequence[tuple[str, str]], body: Body | Multipart, *, boundary: str, smtputf8: bool = False
) -> bytes:
    """The octets of a message with CR LF throughout; 7-bit but for addresses with `smtputf8` and messages quoted.

    `fields` come in the order given, unfolded and without MIME-Version and Content-*, which are added. Text outside
    ASCII is encoded, address fields keep their structure, lines fold at 78. `boundary` is a token unique to the
    message (its id, say); it is altered where a part contains it. Raises ComposeError for control characters, for
    fields that may stand once and stand twice, and for addresses that would need SMTPUTF8.
    """
    lines: list[str] = []
    seen: set[str] = set()
    for name, value in fields:
        key = name.lower()
        if _is_name(name) is None or key.startswith(_MADE_HERE):
            raise ComposeError(f"{_shown(name)} cannot be the name of a field here")
        if key in SINGLETONS and key in seen:
            raise ComposeError(f"There is more than one {name} field")
        seen.add(key)
        lines.append(format_field(name, value, smtputf8=smtputf8))
    if _is_boundary(boundary) is None:
        raise ComposeError("The boundary contains characters that it may not have")
    rendered = _render(body, boundary[:_BOUNDARY_CHARACTERS])
    return "".join(lines).encode() + b"MIME-Version: 1.0\r\n" + rendered


def format_field(name: str, value: str, *, smtputf8: bool = False) -> str:
    """One field, encoded and folded, with its final CR LF; `value` is text on one line. Raises ComposeError."""
    _refuse_controls(f"the field {name}", value)
    key = name.lower()
    if key in _ADDRESSES:
        text = _addresses(name, value, smtputf8)
    elif key in _STRUCTURED:
        if not value.isascii():
            raise ComposeError(f"The field {name} cannot have characters outside ASCII")
        text = value
    else:
        text = encode_words(value, column=min(len(name) + 2, 50))
        # A word that no folding can break has to be encoded, be it in ASCII.
        if max(map(len, text.split(" "))) > LINE_OCTETS - len(name) - 2:
            text = encode_words(value, column=min(len(name) + 2, 50), force=True)
    return _fold(name, text)


def _addresses(name: str, value: str, smtputf8: bool) -> str:
    entries = parse_address_list(value.encode())
    if not entries:
        raise ComposeError(f"The field {name} has no address")
    return ", ".join(_entry(name, entry, smtputf8) for entry in entries)


def _entry(name: str, entry: Entry, smtputf8: bool) -> str:
    if isinstance(entry, Group):
        members = ", ".join(_mailbox(name, member, smtputf8) for member in entry.members)
        return f"{encode_phrase(entry.display_name)}:{' ' + members if members else ''};"
    return _mailbox(name, entry, smtputf8)


def _mailbox(name: str, mailbox: Mailbox, smtputf8: bool) -> str:
    address = mailbox.address
    if address is None:
        raise ComposeError(f"The field {name} has something that is no address: {_shown(mailbox.raw)}")
    if not address.is_ascii and not smtputf8:
        raise ComposeError(f"The address {_shown(str(address))} can only be written with SMTPUTF8")
    if not mailbox.display_name:
        return str(address)
    return f"{encode_phrase(mailbox.display_name)} <{address}>"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _refuse_controls(where: str, value: str) -> None:
    if _has_controls(value):
        raise ComposeError(f"There is a line break or another control character in {where}")


def _shown(text: str) -> str:
    return ascii(text[:80])


def _fold(name: str, text: str) -> str:
    """The field with its lines broken at spaces before they get longer than 78, where there are spaces."""
    lines: list[str] = []
    # Encoded words come with the line breaks they need.
    for index, piece in enumerate(text.split("\r\n ")):
        line = f"{name}:" if not index else ""
        for word in piece.split(" "):
            if len(line) + 1 + len(word) > LINE_CHARACTERS and word and line.strip() and (index or line[-1] != ":"):
                lines.append(line)
                line = ""
            line += f" {word}"
        lines.append(line)
    if any(len(line.encode()) > LINE_OCTETS for line in lines):
        raise ComposeError(f"The field {name} has a word that is too long for a line")
    return "\r\n".join(lines) + "\r\n"


def _render(body: Body | Multipart, boundary: str) -> bytes:
    """Header fields of a part, the empty line, and its body, which ends without a line end of its own."""
    return _leaf(body) if isinstance(body, Body) else _multipart(body, boundary)


def _multipart(body: Multipart, boundary: str) -> bytes:
    if not body.parts:
        raise ComposeError("A multipart needs at least one part")
    # The number comes first, since some programs take any line for a boundary that only begins with one.
    parts = [_render(part, f"{index}.{boundary}") for index, part in enumerate(body.parts, 1)]
    token, number = boundary, 0
    while any(b"--" + token.encode() in part for part in parts):
        number += 1
        token = f"{number}_{boundary}"
    eight_bit = not all(part.isascii() for part in parts)
    head = _content_type(f"multipart/{body.subtype}", {**body.parameters, "boundary": token})
    if eight_bit:
        head += "Content-Transfer-Encoding: 8bit\r\n"
    mark = f"--{token}".encode()
    pieces = [head.encode(), b"\r\n"]
    for part in parts:
        pieces += (mark, b"\r\n", part, b"\r\n")
    pieces += (mark, b"--\r\n")
    return b"".join(pieces)


def _leaf(body: Body) -> bytes:
    main = body.content_type.partition("/")[0].lower()
    octets = body.octets
    if main in ("text", "message"):
        octets = _line_ends(b"\r\n", octets)
    encoding, octets = _transfer(main, body.content_type.lower(), octets)
    head = _content_type(body.content_type, body.parameters)
    if encoding != "7bit":
        head += f"Content-Transfer-Encoding: {encoding}\r\n"
    disposition = body.disposition or ("attachment" if body.filename else "")
    if disposition:
        named = {"filename": body.filename} if body.filename else {}
        head += _with_parameters("Content-Disposition", disposition, named)
    if body.description:
        head += format_field("Content-Description", body.description)
    return head.encode() + b"\r\n" + octets


def _transfer(main: str, content_type: str, octets: bytes) -> tuple[str, bytes]:
    """The encoding that lets the octets through unharmed, and what they are in it."""
    plain = octets.isascii() and b"\0" not in octets and not _has_long_line(octets)
    if main == "message" and content_type in ("message/rfc822", "message/partial", "message/external-body"):
        if b"\0" in octets:
            raise ComposeError("A message with NUL in it cannot be quoted")
        return ("7bit" if octets.isascii() else "8bit"), octets
    if main in ("text", "message"):
        if plain:
            return "7bit", octets
        # RFC 2045 §6.7: readable as it is, unless most of it would be escapes.
        escapes = octets.count(b"=") + len(octets) - len(octets.translate(None, _EIGHT_BIT))
        if 3 * escapes <= len(octets) or main == "message":
            return "quoted-printable", encode_quoted_printable(octets)
    return "base64", encode_base64(octets)


def _content_type(content_type: str, parameters: Mapping[str, str]) -> str:
    if _is_type(content_type) is None:
        raise ComposeError(f"{_shown(content_type)} is no media type")
    return _with_parameters("Content-Type", content_type, parameters)


def _with_parameters(name: str, value: str, parameters: Mapping[str, str]) -> str:
    for parameter in parameters.values():
        _refuse_controls(f"a parameter of {name}", parameter)
    _refuse_controls(name, value)
    try:
        formatted = format_parameters(parameters)
    except ValueError as error:
        raise ComposeError(f"{name}: {error}") from None
    return _fold(name, "; ".join([value, *formatted]))
