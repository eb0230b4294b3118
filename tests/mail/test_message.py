"""The tree of parts: where they stand, how they are numbered, and that nobody's octets are lost."""

import mmap
import tempfile
from email import message_from_bytes
from email.message import Message as Oracle
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.headers import HEADER_OCTETS
from posthouse.mail.message import Message, Part
from posthouse.mail.parts import LEVELS, PARTS

NESTED = b"""From: a@x.example\r
Content-Type: multipart/mixed; boundary="outer"\r
\r
preamble\r
--outer\r
Content-Type: multipart/alternative; boundary=inner\r
\r
--inner\r
\r
plain\r
--inner\r
Content-Type: text/html\r
Content-Transfer-Encoding: quoted-printable\r
\r
<b>h=\r
tml</b>\r
--inner--\r
epilogue of the inner\r
--outer\r
Content-Type: message/rfc822\r
\r
Subject: within\r
Content-Type: multipart/mixed; boundary=third\r
\r
--third\r
Content-Type: image/png; name=x.png\r
Content-Disposition: attachment; filename*=utf-8''%C3%A9.png\r
Content-Transfer-Encoding: base64\r
\r
aGVsbG8=\r
--third\r
Content-Type: message/rfc822\r
\r
Subject: deepest\r
\r
lone body\r
--third--\r
--outer\r
Content-Type: application/pdf\r
\r
%PDF\r
--outer--\r
epilogue\r
"""


def shape(part: Part) -> list[tuple[str, str, int]]:
    return [(p.number, "/".join(p.content_type), p.size) for p in part.walk()]


def test_parts_have_the_numbers_that_imap_gives_them() -> None:
    message = Message.parse(NESTED)
    assert [(number, kind) for number, kind, _ in shape(message.root)] == [
        ("", "multipart/mixed"),
        ("1", "multipart/alternative"),
        ("1.1", "text/plain"),
        ("1.2", "text/html"),
        ("2", "message/rfc822"),
        ("2", "multipart/mixed"),
        ("2.1", "image/png"),
        ("2.2", "message/rfc822"),
        ("2.2.1", "text/plain"),
        ("3", "application/pdf"),
    ]
    for number in ("1", "1.1", "2", "2.2", "2.2.1", "3"):
        part = message.find(number)
        assert part is not None
        assert part.number == number
    assert message.find("") is message.root
    assert message.find("2").content_type == ("message", "rfc822")  # type: ignore[union-attr]
    assert message.find("4") is None
    assert message.find("1.1.1") is None


def test_bodies_begin_and_end_where_their_boundaries_say() -> None:
    message = Message.parse(NESTED)
    bodies = {part.number: part.body() for part in message.root.walk() if not part.is_multipart}
    assert bodies["1.1"] == b"plain"
    assert bodies["1.2"] == b"<b>h=\r\ntml</b>"
    assert bodies["2.1"] == b"aGVsbG8="
    assert bodies["2.2"] == b"Subject: deepest\r\n\r\nlone body"
    assert bodies["2.2.1"] == b"lone body"
    assert bodies["3"] == b"%PDF"
    html = message.find("1.2")
    assert html is not None
    assert html.text() == "<b>html</b>"
    picture = message.find("2.1")
    assert picture is not None
    assert picture.decoded() == b"hello"
    assert picture.filename == "é.png"
    assert picture.disposition == "attachment"
    assert picture.disposition_parameters == {"filename": "é.png"}
    assert picture.parameters["name"] == "x.png"


def test_the_message_inside_has_its_own_header() -> None:
    message = Message.parse(NESTED)
    inside = message.find("2")
    assert inside is not None
    assert inside.message is not None
    assert inside.message.header.text("subject") == "within"
    assert inside.header.get("subject") is None


@pytest.mark.parametrize("number", ["1.1", "1.2", "2", "2.2", "3"])
def test_lines_are_counted_with_the_last_one(number: str) -> None:
    part = Message.parse(NESTED).find(number)
    assert part is not None
    assert part.lines == len(part.body().splitlines())


def test_a_lone_body_is_part_one() -> None:
    message = Message.parse(b"Subject: x\r\n\r\nline one\r\nline two\r\n")
    assert shape(message.root) == [("1", "text/plain", 20)]
    assert message.root.encoding == "7bit"
    assert message.root.lines == 2
    assert Message.parse(b"A: b\r\n\r\nno line end").root.lines == 1
    assert Message.parse(b"").root.lines == 0


def test_a_message_that_is_a_message_has_parts_below_one() -> None:
    octets = b"Content-Type: message/rfc822\r\n\r\n" + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    octets += b"--b\r\n\r\nx\r\n--b\r\n\r\ny\r\n"
    assert [n for n, _, _ in shape(Message.parse(octets).root)] == ["1", "1", "1.1", "1.2"]


def test_a_digest_holds_messages() -> None:
    octets = (
        b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: one\r\n\r\nx\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\ny\r\n--b--"
    )
    assert [k for _, k, _ in shape(Message.parse(octets).root)] == [
        "multipart/digest",
        "message/rfc822",
        "text/plain",
        "text/plain",
    ]


# --- boundaries ---------------------------------------------------------------------------------------


def multipart(boundary: bytes, *lines: bytes) -> list[bytes]:
    octets = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n' + b"\r\n".join(lines)
    return [part.body() for part in Message.parse(octets).root.parts]


def test_a_boundary_is_a_whole_line() -> None:
    assert multipart(b"b", b"--b", b"", b"x", b"--bb", b"--b--b", b"-- b", b" --b", b"x--b", b"--B", b"--b--") == [
        b"x\r\n--bb\r\n--b--b\r\n-- b\r\n --b\r\nx--b\r\n--B"
    ]
    assert multipart(b"b", b"--b  \t", b"", b"x", b"--b-- ", b"y") == [b"x"]


def test_a_boundary_has_an_end_to_its_length_and_to_the_white_space_behind_it() -> None:
    for size, parts in ((70, 1), (250, 1), (251, 0)):
        boundary = b"x" * size
        assert len(multipart(boundary, b"--" + boundary, b"", b"y", b"--" + boundary + b"--")) == parts
    assert multipart(b"b", b"--b" + b" " * 70, b"", b"x") == [b"x"]
    assert multipart(b"b", b"--b" + b" " * 500 + b"x", b"", b"y") == []
    assert multipart(b"b", b"--b" + b" " * 500, b"", b"y") == []


def test_a_boundary_may_end_in_hyphens_or_hold_anything() -> None:
    assert multipart(b"b--", b"--b--", b"", b"x", b"--b----") == [b"x"]
    assert multipart(b"a b:c=?'()+_,-./", b"--a b:c=?'()+_,-./", b"", b"x") == [b"x"]
    assert multipart(b"=_x", b"--=_x", b"", b"x") == [b"x"]


def test_lines_may_end_in_lf_alone() -> None:
    octets = NESTED.replace(b"\r\n", b"\n")
    assert [(n, k) for n, k, _ in shape(Message.parse(octets).root)] == [
        (n, k) for n, k, _ in shape(Message.parse(NESTED).root)
    ]
    part = Message.parse(octets).find("2.2.1")
    assert part is not None
    assert part.body() == b"lone body"


def test_a_multipart_without_a_boundary_or_parts_has_none() -> None:
    for value in (
        b"multipart/mixed",
        b"multipart/mixed; boundary=",
        b'multipart/mixed; boundary="  "',
        b"multipart/mixed; boundary=" + b"x" * 1000,
        b"multipart/mixed; boundary=absent",
    ):
        root = Message.parse(b"Content-Type: " + value + b"\r\n\r\n--\r\n\r\nx\r\n----\r\n").root
        assert root.parts == ()
        assert root.is_multipart


def test_an_outer_boundary_ends_all_that_is_inside() -> None:
    octets = (
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\n\r\nfirst\r\n--a\r\n\r\nsecond\r\n--b\r\nstill second\r\n--a--\r\n"
    )
    bodies = {part.number: part.body() for part in Message.parse(octets).root.walk() if not part.is_multipart}
    assert bodies == {"1.1": b"first", "2": b"second\r\n--b\r\nstill second"}


def test_a_closed_multipart_opens_no_more() -> None:
    assert multipart(b"b", b"--b", b"", b"x", b"--b--", b"--b", b"", b"y") == [b"x"]


def test_the_same_boundary_inside_belongs_to_the_inner_one_until_that_is_closed() -> None:
    octets = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\n\r\nin\r\n--b--\r\n--b\r\n\r\nout\r\n--b--\r\n"
    )
    assert [(n, k) for n, k, _ in shape(Message.parse(octets).root)] == [
        ("", "multipart/mixed"),
        ("1", "multipart/mixed"),
        ("1.1", "text/plain"),
        ("2", "text/plain"),
    ]


@pytest.mark.parametrize(
    ("inside", "body"),
    [
        (b"--b\r\n--b--", b""),
        (b"--b\r\nA: b\r\n--b--", b""),
        (b"--b\r\n\r\n--b--", b""),
        (b"--b\r\n\r\n\r\n--b--", b""),
        (b"--b\r\nno header\r\n\r\nbody\r\n--b--", b"no header\r\n\r\nbody"),
        (b"--b\r\n\r\nnever closed", b"never closed"),
        (b"--b\r\n\r\nended by the end\r\n--b", b"ended by the end"),
    ],
)
def test_parts_without_their_empty_line_or_end_are_read(inside: bytes, body: bytes) -> None:
    root = Message.parse(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + inside).root
    assert root.parts[0].body() == body
    assert all(part.start <= part.body_start <= part.end for part in root.walk())


def test_a_message_that_is_encoded_is_a_leaf() -> None:
    octets = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA0KDQp5\r\n"
    root = Message.parse(octets).root
    assert root.message is None
    assert root.decoded() == b"Subject: x\r\n\r\ny"


def test_a_multipart_that_claims_to_be_encoded_is_read_as_it_stands() -> None:
    octets = (
        b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n--b\r\n\r\nx\r\n--b--"
    )
    assert [part.body() for part in Message.parse(octets).root.parts] == [b"x"]


def test_content_is_read_no_further_than_it_is_asked_for() -> None:
    octets = b"Content-Transfer-Encoding: base64\r\n\r\n" + b"YWJj" * 100_000
    root = Message.parse(octets).root
    assert root.decoded(10) == b"abcabcabca"
    assert root.text(4) == "abca"
    plain = Message.parse(b"\r\n" + b"abc\r\n" * 1000).root
    assert plain.decoded(4) == b"abc\r"
    assert plain.text(10) == "abc\nabc\n"


# --- bounds -------------------------------------------------------------------------------------------


def levels(count: int) -> bytes:
    return b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(count))


def test_beyond_a_hundred_levels_a_part_is_a_leaf() -> None:
    deep = list(Message.parse(levels(1000) + b"\r\nx").root.walk())
    assert len(deep) == LEVELS + 1
    assert deep[-1].is_multipart
    assert deep[-1].parts == ()
    assert deep[-1].end == len(deep[-1].octets)
    exact = list(Message.parse(levels(LEVELS) + b"\r\nx").root.walk())
    assert exact[-1].content_type == ("text", "plain")
    assert exact[-1].body() == b"x"


def test_messages_inside_each_other_are_levels_as_well() -> None:
    octets = b"Content-Type: message/rfc822\r\n\r\n" * 1000 + b"\r\nx"
    parts = list(Message.parse(octets).root.walk())
    assert len(parts) == LEVELS + 1
    assert parts[-1].message is None


def test_beyond_a_thousand_parts_the_last_takes_the_rest() -> None:
    octets = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 5000 + b"--b--\r\n"
    root = Message.parse(octets).root
    assert len(root.parts) == PARTS - 1
    assert root.parts[-1].end == len(octets)
    assert root.parts[-2].body() == b"x"


def test_all_headers_together_have_ten_thousand_fields() -> None:
    octets = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + (b"--b\r\n" + b"a:b\r\n" * 400 + b"\r\nx\r\n") * 100
    root = Message.parse(octets).root
    assert len(root.parts) == 25 + 1 - 1
    assert root.parts[-1].end == len(octets)


def test_all_headers_together_have_ten_megabytes() -> None:
    part = b"--b\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\ny\r\n"
    root = Message.parse(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part * 15).root
    assert len(root.parts) == HEADER_OCTETS // 1_000_000
    assert root.parts[-1].end == len(root.octets)


def test_lines_that_only_look_like_boundaries_are_bounded() -> None:
    octets = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n"
        + b"--c\r\n" * 200_000
        + b"--b\r\n\r\nlast\r\n--b--"
    )
    root = Message.parse(octets).root
    assert len(root.parts) == 1, "what follows a flood stays within the part"
    fewer = octets.replace(b"--c\r\n", b"", 195_000)
    assert len(Message.parse(fewer).root.parts) == 2


# --- any octets ---------------------------------------------------------------------------------------

pieces = st.lists(
    st.sampled_from(
        [
            b"--a\r\n",
            b"--a--\r\n",
            b"--b\r\n",
            b"--b--\r\n",
            b"\r\n",
            b"x\r\n",
            b"--a\n",
            b"--",
            b"a",
            b"\n",
            b"\r",
            b"Content-Type: multipart/mixed; boundary=a\r\n",
            b"Content-Type: multipart/digest; boundary=b\r\n",
            b"Content-Type: message/rfc822\r\n",
            b"Content-Transfer-Encoding: base64\r\n",
            b"Subject: x\r\n",
        ]
    ),
    max_size=40,
).map(b"".join)


def check(message: Message) -> None:
    octets = bytes(message.octets[:])
    for part in message.root.walk():
        assert 0 <= part.start <= part.body_start <= part.end <= len(octets)
        assert octets[part.body_start : part.end] == part.body()
        assert part.lines == len(part.body().split(b"\n")) - part.body().endswith(b"\n") - (not part.body())
        at = part.body_start
        for child in part.parts if part.message is None else (part.message,):
            assert at <= child.start <= child.end <= part.end
            at = child.end
        part.text(50)
        part.decoded()
        assert isinstance(part.filename, str)


@given(pieces | st.binary(max_size=200))
def test_any_octets_give_a_tree_whose_places_fit(octets: bytes) -> None:
    check(Message.parse(octets))


@given(pieces)
def test_a_map_gives_the_same_tree_as_octets(octets: bytes) -> None:
    if not octets:
        return
    with tempfile.TemporaryFile() as file:
        file.write(octets)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            message = Message.parse(mapped)
            check(message)
            assert shape(message.root) == shape(Message.parse(octets).root)


@pytest.mark.parametrize("shift", range(-6, 7))
def test_a_boundary_across_the_edge_of_a_window_is_found(shift: int) -> None:
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    octets = head + b"x" * ((1 << 20) + shift) + b"\n--b\n\nfirst\n--b--\n"
    with tempfile.TemporaryFile() as file:
        file.write(octets)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert [part.body() for part in Message.parse(mapped).root.parts] == [b"first"]


def test_a_map_is_looked_through_in_windows() -> None:
    filler = b"x" * 62 + b"\r\n"
    for size in (16_380, 16_384, 32_768):
        octets = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + filler * size
        octets += b"--b\r\n\r\nfirst\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\r\n" + filler * size + b"--b--\r\n"
        with tempfile.TemporaryFile() as file:
            file.write(octets)
            file.flush()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                assert shape(Message.parse(mapped).root) == shape(Message.parse(octets).root)
                assert [p.lines for p in Message.parse(mapped).root.walk()] == [
                    p.lines for p in Message.parse(octets).root.walk()
                ]


def leaves(message: Oracle) -> list[tuple[str, bytes]]:
    return [
        (part.get_content_type(), part.get_payload(decode=True) or b"")
        for part in message.walk()
        if not part.is_multipart()
    ]


trees = st.recursive(
    st.tuples(st.sampled_from(["plain", "html"]), st.text(max_size=40)),
    lambda children: st.lists(children, min_size=1, max_size=3),
    max_leaves=8,
)


def honest(tree: object) -> Oracle:
    if isinstance(tree, tuple):
        return MIMEText(tree[1], tree[0], "utf-8")
    assert isinstance(tree, list)
    return MIMEMultipart("mixed", None, [honest(child) for child in tree])  # type: ignore[list-item]


@given(trees)
def test_an_honest_message_means_the_same_to_the_standard_library(tree: object) -> None:
    octets = honest(tree).as_bytes()
    ours = [
        ("/".join(part.content_type), part.decoded())
        for part in Message.parse(octets).root.walk()
        if not part.is_multipart
    ]
    assert ours == leaves(message_from_bytes(octets))
