"""What relays do to a message and relaxed canonicalization has to survive, as hypothesis strategies (RFC 6376 §3.4).

    letters()            messages with all sorts of white space in header and body
    relayed(octets)      the same message after a relay: refolded, respaced, with other empty lines at its end
"""

import re
from random import Random

from hypothesis import strategies as st

_words = st.text(
    st.sampled_from("abz09AZ.,;:=+/<>@\"'()-_\\éß漢"), min_size=1, max_size=12
).map(lambda text: text.encode())  # fmt: skip
_spaces = st.text(" \t", min_size=1, max_size=3).map(str.encode)
_lines = st.lists(st.one_of(_words, _spaces), max_size=8).map(b"".join)
_names = st.sampled_from([b"Subject", b"Date", b"X-Thing", b"X-Other", b"Cc", b"List-Id", b"Reply-To"])


@st.composite
def _value(draw: st.DrawFn) -> bytes:
    value = draw(_words)
    for word in draw(st.lists(_words, max_size=8)):
        value += draw(st.sampled_from([b" ", b"\t", b"  ", b"\r\n ", b"\r\n\t", b" \r\n\t "])) + word
    return value


@st.composite
def letters(draw: st.DrawFn) -> bytes:
    names = draw(st.lists(_names, unique=True, max_size=6))
    fields = [name + b":" + draw(st.sampled_from([b"", b" ", b"  \t"])) + draw(_value()) for name in names]
    fields.insert(draw(st.integers(0, len(fields))), b"From: Alice <alice@example.org>")
    lines = draw(st.lists(_lines, max_size=12))
    return b"".join(field + b"\r\n" for field in fields) + b"\r\n" + b"".join(line + b"\r\n" for line in lines)


@st.composite
def relayed(draw: st.DrawFn, octets: bytes) -> bytes:
    chance = draw(st.randoms(use_true_random=True))
    header, _, body = octets.partition(b"\r\n\r\n")
    fields = [_relayed_field(field, chance) for field in re.split(rb"\r\n(?![ \t])", header)]
    fields = chance.choices([b"Received: from a by b\r\n", b"X-Seen: yes\r\n"], k=chance.randrange(3)) + fields
    lines = []
    for line in body.split(b"\r\n"):
        line = re.sub(rb"[ \t]+", lambda _: chance.choice(_GAPS), line.rstrip(b" \t"))
        lines.append(line + chance.choice([b"", b"", b" ", b"\t \t"]))
    while lines and not lines[-1].strip(b" \t"):
        lines.pop()
    lines += chance.choices([b"", b" ", b"\t"], k=chance.randrange(4))
    return b"".join(fields) + b"\r\n" + b"".join(line + b"\r\n" for line in lines)


_GAPS = [b" ", b"\t", b"  ", b" \t ", b"\t\t"]


def _relayed_field(field: bytes, chance: Random) -> bytes:
    """Other white space wherever there is some, with folds in it, and around the colon; another case of the name."""

    def gap(_: object) -> bytes:
        folds = chance.choice([b"", b"", b"\r\n", b" \r\n", b"\r\n \r\n"])
        return folds + chance.choice(_GAPS)

    name, _, value = field.partition(b":")
    name = chance.choice([name, name.upper(), name.lower()])
    value = re.sub(rb"\r\n|^[ \t\r\n]+|[ \t\r\n]+$", b"", value)
    value = re.sub(rb"[ \t]+", gap, value)
    return (
        name + chance.choice([b":", b": ", b":\t ", b":\r\n "]) + value
        + chance.choice([b"", b" ", b"\t", b"\r\n "]) + b"\r\n"
    )  # fmt: skip
