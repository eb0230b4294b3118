"""Bombs: the work grows with the input, not with its square, in every reader of mail.

Work in Python is counted in calls, for an input and for one eight times as long. What runs inside a regular
expression is not seen by that; so each bomb also comes in a size at which anything quadratic would run into the
time-out.
"""

import inspect
import sys
from collections.abc import Callable
from types import FrameType

import pytest

from posthouse.mail.author import flaws
from posthouse.mail.bodies import bodies
from posthouse.mail.dates import parse_date
from posthouse.mail.facts import facts
from posthouse.mail.mailboxes import parse_address_list
from posthouse.mail.message import Message
from posthouse.mail.parameters import parse_content_type, parse_token
from posthouse.mail.received import parse_received
from posthouse.mail.transfer import decode_transfer
from posthouse.mail.words import decode_words
from posthouse.wire.imap.structure import bodystructure, envelope

MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


def nested(count: int) -> bytes:
    return (
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(count))
        + b"\r\nx"
    )


MESSAGES: dict[str, Callable[[int], bytes]] = {
    "addresses": lambda n: b"To: " + b", ".join(b"P %d <p%d@x.example>" % (k, k) for k in range(n)) + b"\r\n\r\n",
    "quoted addresses": lambda n: (
        b"To: " + b", ".join(b'"P, %d" <p%d@x.example>' % (k, k) for k in range(n)) + b"\r\n\r\n"
    ),
    "groups": lambda n: b"To: " + b"a:;" * n + b"\r\n\r\n",
    "fields of addresses": lambda n: b"To: a@x.example\r\n" * n + b"\r\n",
    "nested multiparts": nested,
    "nested messages": lambda n: b"Content-Type: message/rfc822\r\n\r\n" * n + b"\r\n" + b"x\r\n" * n,
    "header continuation lines": lambda n: b"From: a@x.example\r\nSubject: x" + b"\r\n x" * n + b"\r\n\r\n",
    "empty continuation lines": lambda n: b"Subject: x" + b"\r\n " * n + b"\r\n\r\n",
    "fields": lambda n: b"A: b\r\n" * n + b"\r\n",
    "names of fields": lambda n: b"".join(b"X-%d: b\r\n" % k for k in range(n)) + b"\r\n",
    "encoded words": lambda n: b"Subject: " + b"=?utf-8?q?a?= " * n + b"\r\n\r\n",
    "beginnings of encoded words": lambda n: b"Subject: " + b"=?utf-8?q?" * n + b"\r\n\r\n",
    "base64 words": lambda n: b"Subject: " + b"=?utf-8?b?YQ?= =?x?b?Y?= " * n + b"\r\n\r\n",
    "boundaries": lambda n: MIXED + b"--b\r\n" * n,
    "false boundaries": lambda n: MIXED + b"--c\r\n" * n,
    "hyphens": lambda n: MIXED + b"\n--" * n,
    "boundaries in headers": lambda n: MIXED + b"--b\r\nA: b\r\n" * n,
    "long headers of parts": lambda n: MIXED + (b"--b\r\n" + b"A: b\r\n" * 100) * (n // 100),
    "headers without an end": lambda n: MIXED + b"--b\r\n" + b"A: b\r\n" * n,
    "parts": lambda n: MIXED + b"--b\r\n\r\nx\r\n" * n + b"--b--\r\n",
    "parameters": lambda n: b"Content-Type: text/plain" + b"; a=b" * n + b"\r\n\r\n",
    "sections of parameters": lambda n: (
        b"Content-Type: text/plain" + b"".join(b";a*%d=b" % k for k in range(n)) + b"\r\n\r\n"
    ),
    "blobs in a subject": lambda n: b"Subject: " + b"[a]" * n + b"\r\n\r\n",
    "replies in a subject": lambda n: b"Subject: " + b"Re: " * n + b"x\r\n\r\n",
    "forwards in a subject": lambda n: b"Subject: " + b"[fwd: " * n + b"x" + b"]" * n + b"\r\n\r\n",
    "references": lambda n: b"References: " + b"<a@b> " * n + b"\r\n\r\n",
    "scripts": lambda n: b"Content-Type: text/html\r\n\r\n" + b"<script" * n,
    "tags": lambda n: b"Content-Type: text/html\r\n\r\n" + b"<p>" * n,
    "comments of HTML": lambda n: b"Content-Type: text/html\r\n\r\n" + b"<!--" * n,
    "entities": lambda n: b"Content-Type: text/html\r\n\r\n" + b"&amp" * n,
    "padding in base64": lambda n: b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=A" * n,
    "spaces in quoted-printable": lambda n: (
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b" " * n + b"x \r\n"
    ),
    "lines of uuencode": lambda n: b"Content-Transfer-Encoding: x-uuencode\r\n\r\n" + b"begin 644 x\n" * n,
    "comments": lambda n: (
        b"From: " + b"(a" * n + b"\r\nDate: " + b"(" * n + b"\r\nContent-Type: " + b"(" * n + b"\r\n\r\n"
    ),
}

VALUES: dict[str, Callable[[int], bytes]] = {
    "commas": lambda n: b"," * n,
    "angles": lambda n: b"<" * n,
    "angles and at signs": lambda n: b"<@" * n,
    "routes": lambda n: b"<@a:" * n,
    "parentheses": lambda n: b"(" * n,
    "pairs of parentheses": lambda n: b"()" * n,
    "closing parentheses": lambda n: b")" * n,
    "quotes": lambda n: b'"' * n,
    "escaped quotes": lambda n: b'"\\' * n,
    "backslashes": lambda n: b"\\" * n,
    "colons": lambda n: b"a:" * n,
    "semicolons": lambda n: b";" * n,
    "spaces": lambda n: b" " * n + b"x",
    "spaces in a line": lambda n: b" " * n + b"x \r\n",
    "spaces and comments": lambda n: b" (a)" * n,
    "letters": lambda n: b"a" * n,
    "dots": lambda n: b"a." * n,
    "equals signs": lambda n: b"a=" * n,
    "names without values": lambda n: b"; " + b"x" * n,
    "quoted values": lambda n: b';a="' * n,
    "escaped values": lambda n: b';a=\\"' * n,
    "words before an equals sign": lambda n: b"a/b; a=b" + b" x" * n + b"=",
    "percent signs": lambda n: b"a/b; n*=%41" + b"%4" * n,
    "digits": lambda n: b"1" * n,
    "key words": lambda n: b"from by with id for tls via " * n,
    "TLS": lambda n: b"from x (" + b"TLS:1 " * n,
    "addresses of IPv6": lambda n: b"from x (" + b"1:" * n,
    "beginnings of encoded words": lambda n: b"=?a?q?" * n,
    "encoded words without an end": lambda n: b"=?a?q?x " * n,
    "question marks": lambda n: b"=?a?" * n,
    "NUL": lambda n: b"\0" * n,
}


def read_message(octets: bytes) -> None:
    message = Message.parse(octets)
    facts(message)
    flaws(message.header)
    envelope(message)
    bodystructure(message.root, True)
    for part in message.root.walk():
        part.decoded(10_000)


def read_value(value: bytes) -> None:
    parse_address_list(value)
    parse_content_type(value)
    parse_token(value)
    parse_date(value)
    parse_received(value)
    decode_words(value)
    for encoding in ("base64", "quoted-printable", "x-uuencode"):
        decode_transfer(value, encoding)
    flaws(Message.parse(b"From: " + value + b"\r\n\r\n").header)


def calls(function: Callable[[bytes], None], octets: bytes) -> int:
    """How many functions are called, in Python and in C."""
    count = 0

    def counting(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counting)
    try:
        function(octets)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("make", MESSAGES.values(), ids=MESSAGES.keys())
def test_the_work_for_a_message_grows_with_its_length(make: Callable[[int], bytes]) -> None:
    read_message(make(500))
    once, eightfold = calls(read_message, make(500)), calls(read_message, make(4_000))
    # A header is looked at in growing windows, hence in steps; the square of eight is 64.
    assert eightfold <= 20 * once + 1_000


@pytest.mark.parametrize("make", VALUES.values(), ids=VALUES.keys())
def test_the_work_for_a_value_grows_with_its_length(make: Callable[[int], bytes]) -> None:
    read_value(make(500))
    once, eightfold = calls(read_value, make(500)), calls(read_value, make(4_000))
    assert eightfold <= 20 * once + 1_000


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", MESSAGES.values(), ids=MESSAGES.keys())
def test_a_huge_message_is_read_before_the_time_out(make: Callable[[int], bytes]) -> None:
    read_message(make(200_000))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", VALUES.values(), ids=VALUES.keys())
def test_a_huge_value_is_read_before_the_time_out(make: Callable[[int], bytes]) -> None:
    read_value(make(200_000))


def test_a_deep_tree_needs_no_deep_stack() -> None:
    """As many frames as there are levels at most, whatever the limit of the interpreter is."""
    octets = nested(1000)
    inner = b"Content-Type: message/rfc822\r\n\r\n" * 1000 + b"\r\nx"
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 200)
    try:
        for hostile in (octets, inner):
            read_message(hostile)
            assert bodies(Message.parse(hostile).root).has_attachment in (True, False)
    finally:
        sys.setrecursionlimit(before)
