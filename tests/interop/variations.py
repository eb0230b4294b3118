"""What a relay may do to white space and lines, one thing at a time, and which DKIM signatures survive it.

    octets = variation.of(signed)
    variation.survives("relaxed", "simple")  whether a signature with c=relaxed/simple has to verify afterwards

RFC 6376: "simple" lets pass nothing in the header, and only empty lines at the end of the body (§3.4.1, §3.4.3).
"Relaxed" lets pass the case of names, folding, and how much white space there is, but not whether there is any (§3.4.2,
§3.4.4). The value of b= is no part of what was signed, so that nothing in it counts (§3.5, §3.7). `FIELDS` are done to
all fields but the signature, then to the signature alone.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

LETTER = (
    b"Received: from a.example.org by b.example.org; Sat, 01 Mar 2025 13:15:30 -0500\r\n"
    b"From: Alice <alice@example.org>\r\n"
    b"To: Bob <bob@example.net>,\r\n\tCarol <carol@example.com>\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n  and   more\t\r\n"
    b"Date: Sat, 01 Mar 2025 13:15:28 -0500\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"\r\n"
    b"Hi.\r\n\r\n.We lost  the game.\t Are you hungry yet? \r\n \t\r\n\r\n  Alice\r\n\r\n\r\n"
)
UNENDED = LETTER.rstrip(b"\r\n \t")

CANONICALIZATIONS = [(header, body) for header in ("simple", "relaxed") for body in ("simple", "relaxed")]

Change = Callable[[bytes], bytes]


class Variation(NamedTuple):
    """One change. `simple` and `relaxed` say whether it leaves what was signed as it was, seen by either."""

    name: str
    part: str
    change: Change
    simple: bool
    relaxed: bool

    def __str__(self) -> str:
        return f"{self.part}-{self.name}"

    def survives(self, header: str, body: str) -> bool:
        """Whether a signature with those canonicalizations has to verify afterwards."""
        canonicalization = body if self.part == "body" else header
        return self.simple if canonicalization == "simple" else self.relaxed

    def of(self, octets: bytes) -> bytes:
        """A message with its signatures after the change, which is never none."""
        header, _, body = octets.partition(b"\r\n\r\n")
        if self.part == "body":
            body = self.change(body)
        else:
            signature = self.part == "signature"
            fields = re.split(rb"\r\n(?![ \t])", header)
            header = b"\r\n".join(
                self.change(field) if field.startswith(b"DKIM-Signature:") == signature else field for field in fields
            )
        changed = header + b"\r\n\r\n" + body
        assert changed != octets
        return changed


def _put(pattern: bytes, text: bytes) -> Change:
    expression = re.compile(pattern, re.MULTILINE)
    return lambda octets: expression.sub(text, octets)


def _name(change: Change) -> Change:
    def changed(field: bytes) -> bytes:
        name, colon, value = field.partition(b":")
        return change(name) + colon + value

    return changed


# Runs of white space in a field, folds in them, but those at its end; and those behind the colon.
_RUN = rb"[ \t\r\n]+(?=[^ \t\r\n])"
_FIRST = rb"\A([!-9;-~]+):[ \t]*"

# Name, change, whether relaxed survives it; simple never does.
FIELDS: list[tuple[str, Change, bool]] = [
    ("unfolded", _put(rb"\r\n(?=[ \t])", b""), True),
    ("folded with a space", _put(_RUN, b"\r\n "), True),
    ("folded with a tab", _put(_RUN, b"\r\n\t"), True),
    ("folded behind white space", _put(_RUN, b" \t\r\n "), True),
    ("white space widened", _put(_RUN, b" \t  "), True),
    ("white space reduced", _put(_RUN, b" "), True),
    ("tabs for white space", _put(_RUN, b"\t"), True),
    ("name in capitals", _name(bytes.upper), True),
    ("name in small letters", _name(bytes.lower), True),
    ("no white space behind the colon", _put(_FIRST, rb"\1:"), True),
    ("more white space behind the colon", _put(_FIRST, rb"\1: \t "), True),
    ("white space before the colon", _put(_FIRST, rb"\1 : "), True),
    ("white space at the end", lambda field: field.rstrip(b" \t") + b" \t ", True),
    ("white space taken out", lambda field: re.sub(rb"(?<=[^:])[ \t\r\n]+(?=[^ \t\r\n])", b"", field), False),
]  # fmt: skip
# Of the signature alone, whose last tag is b= with all who sign here.
SIGNATURE: list[tuple[str, Change, bool, bool]] = [
    ("b= on one line", lambda field: _b(field, rb"[ \t\r\n]+", b""), True, True),
    ("b= folded at every letter", lambda field: _b(field, rb"(?<=\w)(?=\w)", b"\r\n\t"), True, True),
    ("white space around b=", lambda field: _b(field, rb"\A|\Z", b" \t\r\n  "), True, True),
    # Names and hash are read with white space in them as without (§3.2), but where there was none now is some.
    ("h= folded at its beginning", lambda field: re.sub(rb"\bh=(?=\S)", b"h=\r\n ", field), False, False),
    ("bh= folded", lambda field: re.sub(rb"(bh=.{9})", rb"\1\r\n\t", field), False, False),
]
BODY: list[tuple[str, Change, bool, bool]] = [
    ("white space widened", _put(rb"[ \t]+", b" \t  "), False, True),
    ("white space reduced", _put(rb"[ \t]+", b" "), False, True),
    ("tabs for white space", _put(rb"[ \t]+", b"\t"), False, True),
    ("white space at the ends of lines", _put(rb"[ \t]*\r\n", b" \t\r\n"), False, True),
    ("no white space at the ends of lines", _put(rb"[ \t]+\r\n", b"\r\n"), False, True),
    ("a line of white space at the end", lambda body: body + b" \t\r\n", False, True),
    ("empty lines at the end", lambda body: body + b"\r\n\r\n", True, True),
    ("no empty lines at the end", _put(rb"(?:\r\n)+\Z", b"\r\n"), True, True),
    ("no CRLF at the end", _put(rb"(?:\r\n)+\Z", b""), True, True),
    ("an empty line at the beginning", lambda body: b"\r\n" + body, False, False),
    ("an empty line less in the middle", _put(rb"\AHi\.\r\n\r\n", b"Hi.\r\n"), False, False),
    ("a line wrapped", _put(rb"game\.\t ", b"game.\r\n"), False, False),
    ("white space before lines", _put(rb"^(?=[^ \t\r\n])", b" "), False, False),
    ("no white space before lines", _put(rb"^[ \t]+(?=[^ \t\r\n])", b""), False, False),
    ("white space taken out", _put(rb"(?<=\S)[ \t]+(?=\S)", b""), False, False),
]


def _b(field: bytes, pattern: bytes, text: bytes) -> bytes:
    """The last tag of a signature changed."""
    before, b, value = re.split(rb"(;\s+b=)", field)
    return before + b + re.sub(pattern, text, value)


VARIATIONS = [
    Variation("no white space at the end", "fields", _put(rb"[ \t]+\Z", b""), False, True),
    *(Variation(name, "fields", change, False, relaxed) for name, change, relaxed in FIELDS),
    *(
        # Behind b= white space is of its value.
        Variation(name, "signature", change, name == "white space at the end", relaxed)
        for name, change, relaxed in FIELDS
    ),
    *(Variation(name, "signature", change, simple, relaxed) for name, change, simple, relaxed in SIGNATURE),
    *(Variation(name, "body", change, simple, relaxed) for name, change, simple, relaxed in BODY),
]
