"""Sections cut out of messages by spans (RFC 3501 §6.4.5), and BODY out of BODYSTRUCTURE (§7.4.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.message import Message
from posthouse.wire.imap import commands, skeleton
from posthouse.wire.imap.parts import Span, choose_fields, cut, length, locate
from posthouse.wire.imap.scanner import Scanner
from posthouse.wire.imap.sections import Section
from posthouse.wire.imap.structure import bodystructure

# As the example in RFC 3501 §6.4.5: text, octets, a message, and a multipart with a message in it.
LETTER = b"""\
From: fred@example.org
Subject: all kinds
Content-Type: multipart/mixed; boundary=outer

preamble
--outer

one
--outer
Content-Type: application/octet-stream
Content-ID: <two@example.org>

two
--outer
Content-Type: message/rfc822
Content-Description: inner

Subject: three
Content-Type: multipart/mixed; boundary=inner

--inner

three.one
--inner
Content-Type: application/octet-stream

three.two
--inner--
--outer
Content-Type: multipart/mixed; boundary=last

--last
Content-Type: image/gif

four.one
--last
Content-Type: message/rfc822

Subject: four.two

four.two.text
--last--
--outer--
""".replace(b"\n", b"\r\n")

PLAIN = b"Subject: plain\r\nX: y\r\n\r\nbody\r\n"


def section(text: str) -> Section:
    command = commands.fetch(Scanner(f" 1 BODY[{text}]".encode()))
    return command.items.sections[0]


def taken(octets: bytes, text: str) -> bytes | None:
    span = locate(Message.parse(octets), section(text))
    return None if span is None else octets[span.start : span.end]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", b"one"),
        ("1.MIME", b"\r\n"),
        ("2", b"two"),
        ("2.MIME", b"Content-Type: application/octet-stream\r\nContent-ID: <two@example.org>\r\n\r\n"),
        ("3.HEADER", b"Subject: three\r\nContent-Type: multipart/mixed; boundary=inner\r\n\r\n"),
        ("3.MIME", b"Content-Type: message/rfc822\r\nContent-Description: inner\r\n\r\n"),
        ("3.1", b"three.one"),
        ("3.1.MIME", b"\r\n"),
        ("3.2", b"three.two"),
        ("4.1", b"four.one"),
        ("4.2.HEADER", b"Subject: four.two\r\n\r\n"),
        ("4.2.TEXT", b"four.two.text"),
        ("4.2.1", b"four.two.text"),
        ("4.2", b"Subject: four.two\r\n\r\nfour.two.text"),
        ("5", None),
        ("1.1", None),
        ("2.HEADER", None),
        ("1.TEXT", None),
        ("4.HEADER", None),
        ("4.3", None),
        ("4294967295", None),
    ],
)
def test_numbered_parts(text: str, expected: bytes | None) -> None:
    assert taken(LETTER, text) == expected


def test_the_text_of_a_message_inside_is_its_whole_body() -> None:
    text = taken(LETTER, "3.TEXT")
    assert text is not None
    assert text.startswith(b"--inner\r\n\r\nthree.one\r\n")
    assert text.endswith(b"--inner--")


def test_a_message_without_parts_has_one() -> None:
    assert taken(PLAIN, "1") == b"body\r\n"
    assert taken(PLAIN, "1.MIME") == b"Subject: plain\r\nX: y\r\n\r\n"
    assert taken(PLAIN, "2") is None


HEADER = b"From: a\r\nTo: b,\r\n c\r\nsubject : odd\r\nSUBJECT: s\r\nX-Y: z\r\n\r\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HEADER.FIELDS (to)", b"To: b,\r\n c\r\n\r\n"),
        ("HEADER.FIELDS (Subject x-y)", b"subject : odd\r\nSUBJECT: s\r\nX-Y: z\r\n\r\n"),
        ("HEADER.FIELDS (Cc)", b"\r\n"),
        ("HEADER.FIELDS.NOT (to subject)", b"From: a\r\nX-Y: z\r\n\r\n"),
        ("HEADER.FIELDS.NOT (Cc)", HEADER),
    ],
)
def test_fields_are_chosen_as_they_stand(text: str, expected: bytes) -> None:
    assert choose_fields(HEADER, section(text)) == expected


@given(st.binary(max_size=30), st.integers(0, 30), st.integers(0, 40), st.integers(1, 40))
def test_a_range_of_pieces_is_the_range_of_the_whole(octets: bytes, at: int, offset: int, count: int) -> None:
    prefix = b"prefix"
    whole = (prefix + octets)[offset : offset + count]
    at = min(at, len(octets))
    wanted = Section(b"BODY[]", offset=offset, count=count)
    pieces = cut([prefix, Span(0, at), Span(at, len(octets))], wanted)
    got = b"".join([octets[piece.start : piece.end] if isinstance(piece, Span) else piece for piece in pieces])
    assert got == whole
    assert sum(map(length, pieces)) == len(whole)


@pytest.mark.parametrize(
    "octets",
    [
        LETTER,
        PLAIN,
        b"",
        b"Content-Type: text/plain; name=\"a (b) \\\"c\\\"\"\r\nContent-Language: en, de\r\n\r\nx",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\nnothing",
        b"Content-Type: text/plain; name*=utf-8''%c3%a9\r\nContent-Description: \xc3\xa9 {3}\r\n\r\nx",
        b"Content-Type: message/rfc822\r\nContent-MD5: x\r\n\r\nTo: a: b@c, d@e;\r\nSubject: \xff\r\n\r\ny",
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA",
        b"Content-Type: image/png\r\nContent-Disposition: attachment; filename=x\r\n\r\nz",
    ],
)
def test_body_is_what_structure_renders_without_extensions(octets: bytes) -> None:
    root = Message.parse(octets).root
    assert skeleton.body(bodystructure(root, True)) == bodystructure(root, False)


_LINES = st.lists(
    st.sampled_from([
        b"Content-Type: multipart/mixed; boundary=a", b"Content-Type: message/rfc822", b"Content-Type: text/html",
        b"Content-Type: multipart/digest; boundary=\"b c\"", b"Content-Disposition: inline; a=\"b\\\\c\"", b"", b"--a",
        b"--a--", b"--b c", b"Subject: \"x\" (y) \\ {3}", b"From: g: a@b, \"c\" <d@e>;", b"Content-ID: \xff", b"text",
    ]),
    max_size=25,
)  # fmt: skip


@given(_LINES)
def test_body_agrees_for_any_message(lines: list[bytes]) -> None:
    root = Message.parse(b"\r\n".join(lines)).root
    assert skeleton.body(bodystructure(root, True)) == bodystructure(root, False)
