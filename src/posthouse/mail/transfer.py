"""Transfer encodings of bodies: base64, quoted-printable (RFC 2045 §6) and uuencode, read as well as can be.

Decoding never raises and is linear; what no decoder can make sense of is passed over (base64, uuencode) or left as
it stands (quoted-printable).
"""

import re
from binascii import Error, a2b_base64, a2b_qp, a2b_uu, b2a_base64, b2a_qp

_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
_split_padding = re.compile(rb"=+").split
# RFC 2045 §6.7 (3): white space at the end of a line was added on the way.
_strip_line_ends = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)").sub
_find_begin = re.compile(rb"(?:\A|\n)begin [0-7]{3,4} [^\r\n]*\r?\n").search

# A blank that ends a line grows to three characters only after the line was measured.
_shorten = re.compile(rb"^(.{74,75})(=20|=09)$", re.MULTILINE).sub

# RFC 2045 §6.8: 76 characters a line.
_BASE64_LINE = 57


def decode_transfer(octets: bytes, encoding: str) -> bytes:
    """The content behind a transfer encoding, named in lower case; what is unknown is taken for identity."""
    decoder = _DECODERS.get(encoding)
    return decoder(octets) if decoder is not None else octets


def is_encoded(encoding: str) -> bool:
    """Whether octets under this encoding differ from their content."""
    return encoding in _DECODERS


def decode_base64(octets: bytes) -> bytes:
    """Base64 with anything between its digits, without its padding, cut short, or several of them in a row."""
    padding = octets.find(b"=")
    if padding >= 0 and octets[padding:].strip(b"= \t\r\n"):
        return b"".join(map(_digits, _split_padding(octets)))
    try:
        return a2b_base64(octets)
    except Error:
        return _digits(octets)


def decode_quoted_printable(octets: bytes) -> bytes:
    """Quoted-printable; an equals sign that begins nothing stays."""
    if b" \r\n" in octets or b" \n" in octets or b"\t\r\n" in octets or b"\t\n" in octets:
        octets = _strip_line_ends(b"", octets)
    return a2b_qp(octets)


def decode_uuencode(octets: bytes) -> bytes:
    """The lines between `begin` and `end`; without a `begin`, all lines that are of this kind."""
    begin = _find_begin(octets)
    decoded: list[bytes] = []
    for line in octets[begin.end() if begin else 0 :].split(b"\n"):
        line = line.rstrip(b"\r")
        if line in (b"end", b"`"):
            break
        if not line:
            continue
        # The first character tells the number of octets, of which each three take four characters.
        count = (line[0] - 32) & 63
        characters = (count + 2) // 3 * 4
        try:
            content = a2b_uu(line[: 1 + characters])
        except Error:
            continue
        # Spaces at the end stand for zeros, and mailers take them away. But a line is not made of what is missing, or
        # a body would come out twenty times as large as it came in.
        there = len(line) - 1
        decoded.append(content if 2 * there >= characters else content[: there * 3 // 4])
    return b"".join(decoded)


def encode_base64(octets: bytes) -> bytes:
    """Lines of 76 characters with CR LF."""
    return b"".join(
        b2a_base64(octets[at : at + _BASE64_LINE], newline=False) + b"\r\n"
        for at in range(0, len(octets), _BASE64_LINE)
    )


def encode_quoted_printable(text: bytes) -> bytes:
    """Text with CR LF line ends, which stay line ends; lines of at most 76 characters (RFC 2045 §6.7)."""
    lines = b2a_qp(text.replace(b"\r\n", b"\n"), quotetabs=False, istext=True).replace(b"\r\n", b"\n")
    return _shorten(rb"\1=\n\2", lines).replace(b"\n", b"\r\n")


def _digits(octets: bytes) -> bytes:
    digits = octets.translate(None, _NOT_BASE64)
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return a2b_base64(digits + b"=" * (-len(digits) % 4))


_DECODERS = {
    "base64": decode_base64,
    "quoted-printable": decode_quoted_printable,
    "uuencode": decode_uuencode,
    "x-uuencode": decode_uuencode,
    "uue": decode_uuencode,
    "x-uue": decode_uuencode,
}
