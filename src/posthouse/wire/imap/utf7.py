"""Modified UTF-7 for mailbox names (RFC 3501 §5.1.3): on the wire octets, in the program Unicode.

Decoding is strict: there is exactly one spelling of each name, so that no two spellings lead to one mailbox.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64

_SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*)-")
_FOREIGN = re.compile("[^ -~]+|&")


class Utf7Error(ValueError):
    """The octets are not the modified UTF-7 of any name."""


def encode(name: str) -> bytes:
    """The one spelling of `name`. Lone surrogates raise Utf7Error."""
    if name.isascii() and name.isprintable() and "&" not in name:
        return name.encode("ascii")
    try:
        return _FOREIGN.sub(_shift, name).encode("ascii")
    except UnicodeEncodeError as error:
        raise Utf7Error("the name holds half a character") from error


def _shift(found: re.Match[str]) -> str:
    run = found[0]
    if run == "&":
        return "&-"
    coded = b2a_base64(run.encode("utf-16-be"), newline=False).rstrip(b"=")
    return f"&{coded.replace(b'/', b',').decode('ascii')}-"


def decode(octets: bytes) -> str:
    """The name that `octets` spell. Raises Utf7Error for anything but the one right spelling."""
    try:
        if b"&" not in octets:
            name = octets.decode("ascii")
        else:
            name = "".join(_pieces(octets))
    except (UnicodeDecodeError, Base64Error) as error:
        raise Utf7Error("the name is not valid modified UTF-7") from error
    # RFC 3501 §5.1.3: printable characters stand for themselves, no superfluous shifts, no padding bits.
    if encode(name) != octets:
        raise Utf7Error("the name is not valid modified UTF-7")
    return name


def _pieces(octets: bytes) -> list[str]:
    pieces = []
    at = 0
    for found in _SHIFTED.finditer(octets):
        pieces.append(octets[at : found.start()].decode("ascii"))
        coded = found[1]
        if coded:
            padded = coded.replace(b",", b"/") + b"=" * (-len(coded) % 4)
            pieces.append(a2b_base64(padded, strict_mode=True).decode("utf-16-be"))
        else:
            pieces.append("&")
        at = found.end()
    pieces.append(octets[at:].decode("ascii"))
    return pieces
