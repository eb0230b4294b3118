"""Tag lists: `v=1; a=rsa-sha256; …`, the form of signatures and of key records (RFC 6376 §3.2).

    parse_tags(b"v=DKIM1; p=")               {"v": b"DKIM1", "p": b""}
    words(b"from : to")                      [b"from", b"to"]
    decode_base64(b"YQ =\\r\\n =")             b"a"

Strict, since what one reader skips and another one takes is how signatures are forged: a name that stands twice, an
empty piece between two semicolons, a control character make the whole list worthless. Octets above ASCII may stand in
values (RFC 8616 §5).
"""

import re
from binascii import Error as Base64Fault
from binascii import a2b_base64

Tags = dict[str, bytes]

# RFC 6376 §3.2: white space and folding around names and values.
FWS = b" \t\r\n"

_ALLOWED = bytes(range(0x20, 0x7F)) + b"\t\r\n" + bytes(range(0x80, 0x100))
_is_name = re.compile(rb"[A-Za-z][A-Za-z0-9_]*").fullmatch


class TagFault(ValueError):
    """Not a tag list, or not the value that a tag has to have. The text ends a sentence: "… is malformed"."""


def parse_tags(text: bytes) -> Tags:
    """Names with their values, without the white space around them. Raises TagFault."""
    if text.translate(None, _ALLOWED):
        raise TagFault("it contains a control character")
    specs = text.split(b";")
    if len(specs) > 1 and not specs[-1].strip(FWS):
        specs.pop()
    tags: Tags = {}
    for spec in specs:
        name, equals, value = spec.partition(b"=")
        name = name.strip(FWS)
        if not equals or _is_name(name) is None:
            raise TagFault("a piece of it is no name with a value")
        key = name.decode("ascii")
        # RFC 6376 §3.2: a name that occurs more than once makes the entire list invalid.
        if key in tags:
            raise TagFault(f"{key[:20]}= stands in it more than once")
        tags[key] = value.strip(FWS)
    return tags


def words(value: bytes) -> list[bytes]:
    """The pieces of a colon-separated list, without the white space around them."""
    return [word.strip(FWS) for word in value.split(b":")]


def decode_base64(value: bytes) -> bytes:
    """The octets; white space may stand anywhere in it (RFC 6376 §3.5). Raises TagFault."""
    try:
        return a2b_base64(value.translate(None, FWS), strict_mode=True)
    except Base64Fault:
        raise TagFault("it is not base64") from None
