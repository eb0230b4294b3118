"""The grammar of SMTP arguments: paths with parameters, xtext, and what stands in them (RFC 5321 §4.1.2, RFC 3461 §4).

Everything here takes text that was decoded already and raises `Refusal` with the reply to give.
"""

import re

from posthouse.mail.address import Address, AddressError, parse_path
from posthouse.mail.envelope import Body, Notify, Ret
from posthouse.mail.reply import Reply

# RFC 3461 §4.2 and §4.4
_ORCPT_LIMIT = 500
_ENVID_LIMIT = 100

# What follows MAIL or RCPT: the path, in which a quoted local part may hold anything, then parameters.
_PATH = r'(<(?:[^"<>\s]|"(?:[^"\\]|\\.)*+")*+>)(?: +(.*))?'
_match_from = re.compile(rf"FROM: ?{_PATH}", re.IGNORECASE).fullmatch
_match_to = re.compile(rf"TO: ?{_PATH}", re.IGNORECASE).fullmatch
# RFC 5321 §4.1.2: esmtp-param; RFC 6531 §3.3 adds characters beyond ASCII to the value
_match_parameter = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u0080-\U0010ffff]+))?").fullmatch
# RFC 3461 §4: hex digits in upper case; "+" and "=" never stand for themselves
_match_xtext = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*+").fullmatch
_hexchar = re.compile(r"\+([0-9A-F]{2})")
_not_xchar = re.compile(r"[^!-*,-<>-~]")
# RFC 5321 §4.1.1.1: a domain or an address literal; what many clients say besides is let through where it is harmless.
_match_name = re.compile(r"[!#-'*+\-./0-:=?@A-Z\[\]^_`a-z{|}~]{1,255}").fullmatch
# RFC 3461 §4.2: addr-type = atom
_match_atom = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+").fullmatch
# RFC 6533 §3: EmbeddedUnicodeChar
_match_unitext = re.compile(r"(?:[^\\]|\\x\{[0-9A-F]{2,6}\})*+").fullmatch
_embedded = re.compile(r"\\x\{([0-9A-F]{2,6})\}")


class Refusal(Exception):
    """A command that cannot be taken as it is; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


def refuse(code: int, enhanced: str, text: str) -> Refusal:
    return Refusal(Reply(code, enhanced, text))


def hello_name(text: str) -> str:
    """The argument of EHLO or HELO, fit to be shown in a comment of Received: no specials, no white space."""
    if not text:
        raise refuse(501, "5.5.4", "Say who you are: a domain or an address in brackets")
    if _match_name(text) is None:
        raise refuse(501, "5.5.4", "That is not a domain and not an address in brackets")
    return text


def split_from(argument: str) -> tuple[str, str]:
    """The argument of MAIL as path (with its brackets) and parameters."""
    match = _match_from(argument)
    if match is None:
        raise refuse(501, "5.5.4", "The syntax is MAIL FROM:<address>")
    return match[1], match[2] or ""


def split_to(argument: str) -> tuple[str, str]:
    """The argument of RCPT as path (with its brackets) and parameters."""
    match = _match_to(argument)
    if match is None:
        raise refuse(501, "5.5.4", "The syntax is RCPT TO:<address>")
    return match[1], match[2] or ""


def reverse_path(path: str, *, smtputf8: bool) -> Address | None:
    """Who sends: None for `<>`."""
    try:
        address = parse_path(path, smtputf8=smtputf8)
    except AddressError as error:
        raise refuse(501, "5.1.7", _sentence(error)) from None
    # RFC 5321 §4.1.1.3: only RCPT may name postmaster without a domain.
    if address is not None and not address.domain:
        raise refuse(501, "5.1.7", "The address has no domain")
    return address


def forward_path(path: str, *, smtputf8: bool) -> Address:
    """Who shall get it; without a domain for `<postmaster>`."""
    try:
        address = parse_path(path, smtputf8=smtputf8)
    except AddressError as error:
        raise refuse(501, "5.1.3", _sentence(error)) from None
    if address is None:
        raise refuse(501, "5.1.3", "A recipient cannot be empty")
    return address


def parameters(text: str) -> list[tuple[str, str | None]]:
    """`NAME=value NAME` as pairs, names in upper case."""
    pairs: list[tuple[str, str | None]] = []
    names = set()
    for item in text.split():
        match = _match_parameter(item)
        if match is None:
            raise refuse(501, "5.5.4", "A parameter is malformed")
        name = match[1].upper()
        if name in names:
            raise refuse(501, "5.5.4", f"The parameter {name} is there twice")
        names.add(name)
        pairs.append((name, match[2]))
    return pairs


def size(value: str | None) -> int:
    """SIZE=n (RFC 1870 §3: up to 20 digits)."""
    if value is None or not (value.isascii() and value.isdigit()) or len(value) > 20:
        raise refuse(501, "5.5.4", "SIZE takes a number of octets")
    return int(value)


def body(value: str | None) -> Body:
    """BODY=7BIT or BODY=8BITMIME (RFC 6152 §3)."""
    try:
        return Body((value or "").upper())
    except ValueError:
        raise refuse(501, "5.5.4", "BODY is 7BIT or 8BITMIME") from None


def without_value(value: str | None) -> bool:
    """SMTPUTF8 (RFC 6531 §3.4: no value)."""
    if value is not None:
        raise refuse(501, "5.5.4", "SMTPUTF8 takes no value")
    return True


def ret(value: str | None) -> Ret:
    """RET=FULL or RET=HDRS (RFC 3461 §4.3)."""
    try:
        return Ret((value or "").upper())
    except ValueError:
        raise refuse(501, "5.5.4", "RET is FULL or HDRS") from None


def envid(value: str | None) -> str:
    """ENVID=xtext (RFC 3461 §4.4), decoded; printable ASCII only."""
    if value is None or len(value) > _ENVID_LIMIT:
        raise refuse(501, "5.5.4", f"ENVID takes up to {_ENVID_LIMIT} characters")
    return _printable(decode_xtext(value), "ENVID")


def submitter(value: str | None) -> str:
    """AUTH=<> or AUTH=mailbox in xtext (RFC 4954 §5), checked; nobody here is trusted to assert it."""
    decoded = decode_xtext(value) if value is not None else ""
    if decoded != "<>":
        try:
            Address.parse(decoded)
        except AddressError:
            raise refuse(501, "5.5.4", "AUTH takes <> or an address") from None
    return decoded


def notify(value: str | None) -> Notify:
    """NOTIFY=NEVER or a list of SUCCESS, FAILURE, DELAY (RFC 3461 §4.1)."""
    wanted = Notify(0)
    for word in (value or "").upper().split(","):
        if word not in Notify.__members__:
            raise refuse(501, "5.5.4", "NOTIFY is NEVER, or some of SUCCESS, FAILURE and DELAY")
        wanted |= Notify[word]
    if Notify.NEVER in wanted and wanted != Notify.NEVER:
        raise refuse(501, "5.5.4", "NOTIFY=NEVER stands alone")
    return wanted


def orcpt(value: str | None) -> str:
    """ORCPT=type;xtext (RFC 3461 §4.2, RFC 6533 §3), decoded to `type;address`, the type in lower case."""
    kind, semicolon, text = (value or "").partition(";")
    if not semicolon or not text or len(value or "") > _ORCPT_LIMIT or _match_atom(kind) is None:
        raise refuse(501, "5.5.4", f"ORCPT is a type, a semicolon and an address, up to {_ORCPT_LIMIT} characters")
    kind = kind.lower()
    return f"{kind};{_decode_unitext(text) if kind == 'utf-8' else _printable(decode_xtext(text), 'ORCPT')}"


def decode_xtext(text: str) -> str:
    """The characters that xtext stands for, one for each octet; 501 where it is none (RFC 3461 §4)."""
    if _match_xtext(text) is None:
        raise refuse(501, "5.5.4", "A parameter is not valid xtext")
    return _hexchar.sub(lambda match: chr(int(match[1], 16)), text)


def encode_xtext(text: str) -> str:
    """ASCII text as xtext. ValueError for other text."""
    if not text.isascii():
        raise ValueError("xtext is made from ASCII")
    return _not_xchar.sub(lambda match: f"+{ord(match[0]):02X}", text)


def encode_orcpt(value: str, *, smtputf8: bool) -> str:
    """`type;address` as the value of ORCPT; what is beyond ASCII needs the type utf-8 (RFC 6533 §3)."""
    kind, _, text = value.partition(";")
    if kind != "utf-8":
        return f"{kind};{encode_xtext(text)}"
    quoted = re.sub(r"[^!-*,-<>-\[\]-~\u0080-\U0010ffff]", _embed, text)
    return f"{kind};{quoted if smtputf8 else re.sub('[^ -~]', _embed, quoted)}"


def _embed(match: re.Match[str]) -> str:
    return f"\\x{{{ord(match[0]):02X}}}"


def _decode_unitext(text: str) -> str:
    if _match_unitext(text) is None:
        raise refuse(501, "5.5.4", "ORCPT is not valid unitext")
    points = [int(point, 16) for point in _embedded.findall(text)]
    if any(point > 0x10FFFF or 0xD800 <= point < 0xE000 for point in points):
        raise refuse(501, "5.5.4", "ORCPT is not valid unitext")
    decoded = _embedded.sub(lambda match: chr(int(match[1], 16)), text)
    if not decoded.isprintable():
        raise refuse(501, "5.5.4", "ORCPT holds characters that cannot be shown")
    return decoded


def _printable(text: str, name: str) -> str:
    # RFC 3461 §4.2: printable US-ASCII before encoding. A newline here would end up in a DSN's header.
    if not (text.isascii() and text.isprintable()):
        raise refuse(501, "5.5.4", f"{name} holds characters that cannot be shown")
    return text


def _sentence(error: AddressError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
