"""Header fields: where they stand, what they say, and where a header ends."""

import mmap
import tempfile
from email import message_from_bytes
from email.policy import compat32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.headers import HEADER_FIELDS, HEADER_OCTETS, HeaderError, parse_header, scan_header

HONEST = (
    b"Received: from a.example\r\n\tby b.example;\r\n  Sat, 01 Mar 2025 18:15:30 +0000\r\n"
    b"FROM: Alice <alice@posthouse.test>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n aus K\xc3\xb6ln\r\nX-Empty:\r\n"
    b"X-Empty: second\r\n\r\nBody: this is none\r\n"
)


def test_fields_are_found_with_their_places() -> None:
    header = scan_header(HONEST)
    assert [field.name for field in header.fields] == ["Received", "FROM", "Subject", "X-Empty", "X-Empty"]
    assert HONEST[header.end :] == b"Body: this is none\r\n"
    assert header.flaw == ""
    for field in header.fields:
        assert HONEST[field.start : field.end] == field.name.encode() + b":" + field.value + b"\r\n"


def test_fields_are_got_by_name_in_any_case() -> None:
    header = scan_header(HONEST)
    subject = header.get("SUBJECT")
    assert subject is not None
    assert subject.key == "subject"
    assert subject.text == header.text("subject") == "Grüße aus Köln"
    assert [field.unfolded for field in header.all("x-empty")] == [b"", b"second"]
    assert header.get("x-Nothing") is None
    assert header.text("x-nothing") == ""
    assert header.repeated() == {"x-empty"}


def test_a_value_keeps_its_folding_and_can_be_unfolded() -> None:
    received = scan_header(HONEST).fields[0]
    assert received.value == b" from a.example\r\n\tby b.example;\r\n  Sat, 01 Mar 2025 18:15:30 +0000"
    assert received.unfolded == b"from a.example\tby b.example;  Sat, 01 Mar 2025 18:15:30 +0000"


def test_lines_may_end_in_lf_alone() -> None:
    octets = HONEST.replace(b"\r\n", b"\n")
    header = scan_header(octets)
    assert [field.name for field in header.fields] == ["Received", "FROM", "Subject", "X-Empty", "X-Empty"]
    assert octets[header.end :] == b"Body: this is none\n"
    assert header.text("subject") == "Grüße aus Köln"


@pytest.mark.parametrize(
    ("octets", "names", "body"),
    [
        (b"", [], b""),
        (b"\r\n", [], b""),
        (b"\nbody", [], b"body"),
        (b"\r\nA: b\r\n\r\n", [], b"A: b\r\n\r\n"),
        (b"A: b", ["A"], b""),
        (b"A: b\r\n", ["A"], b""),
        (b"A: b\r\n\r\n", ["A"], b""),
        (b"A: b\r\n c\r\n", ["A"], b""),
        (b"A: b\r\n \r\n c\r\n\r\nx", ["A"], b"x"),
        (b"A:\n\nx", ["A"], b"x"),
    ],
)
def test_a_header_ends_at_the_first_empty_line(octets: bytes, names: list[str], body: bytes) -> None:
    header = parse_header(octets)
    assert [field.name for field in header.fields] == names
    assert octets[header.end :] == body
    assert header.flaw == ""
    assert all(field.end <= len(octets) for field in header.fields)


@pytest.mark.parametrize(
    ("octets", "names", "body"),
    [
        (b"A: b\r\nHello there\r\nC: d\r\n\r\nx", ["A"], b"Hello there\r\nC: d\r\n\r\nx"),
        (b"Hello\r\n\r\nx", [], b"Hello\r\n\r\nx"),
        (b"A: b\r\n--boundary:1\r\nC: d\r\n\r\n", ["A"], b"--boundary:1\r\nC: d\r\n\r\n"),
        (b"A: b\r\nDear Bob: hello\r\n", ["A"], b"Dear Bob: hello\r\n"),
        (b"A: b\r\n: c\r\n\r\n", ["A"], b": c\r\n\r\n"),
        (b"A: b\r\nN\xc3\xa4me: c\r\n\r\n", ["A"], b"N\xc3\xa4me: c\r\n\r\n"),
    ],
)
def test_what_is_no_field_begins_the_body_and_is_told(octets: bytes, names: list[str], body: bytes) -> None:
    header = scan_header(octets)
    assert [field.name for field in header.fields] == names
    assert octets[header.end :] == body
    assert "not a header field" in header.flaw


@pytest.mark.parametrize(
    "first", [b"From alice Sat Mar  1 18:15:30 2025\r\n", b">From alice\r\n", b" stray\r\n", b"\tx\r\n"]
)
def test_what_mbox_files_put_before_a_header_is_passed_over_and_told(first: bytes) -> None:
    header = scan_header(first + b"A: b\r\n\r\nx")
    assert [field.name for field in header.fields] == ["A"]
    assert header.flaw


@pytest.mark.parametrize(
    "octets", [b"From : a@b.example\r\n", b" From: a@b.example\r\n", b"From\r\n : a@b.example\r\n", b"From\t: a\r\n"]
)
def test_white_space_around_a_name_is_told(octets: bytes) -> None:
    header = scan_header(b"To: c@d.example\r\n" + octets + b"\r\n" if octets[:1] != b" " else octets + b"\r\n")
    assert header.flaw


def test_beyond_the_bounds_it_raises_or_leaves_the_rest_to_the_body() -> None:
    many = b"A: b\r\n" * (HEADER_FIELDS + 1) + b"\r\n"
    with pytest.raises(HeaderError, match="fields"):
        parse_header(many)
    header = scan_header(many)
    assert len(header.fields) == HEADER_FIELDS
    assert len(header.all("a")) == HEADER_FIELDS
    assert many[header.end :] == b"A: b\r\n\r\n"
    assert len(parse_header(many[6:]).fields) == HEADER_FIELDS
    long = b"A: b\r\nC: " + b"x" * HEADER_OCTETS + b"\r\n\r\n"
    with pytest.raises(HeaderError, match="octets"):
        parse_header(long)
    assert [field.name for field in scan_header(long).fields] == ["A"]
    one = b"A" * (HEADER_OCTETS + 1)
    assert scan_header(one).fields == ()


def test_a_long_header_is_read_to_its_end() -> None:
    for size in (16_000, 16_383, 16_384, 16_385, 70_000, 300_000):
        octets = b"A: " + b"x" * size + b"\r\nB: c\r\n\r\nbody"
        header = scan_header(octets)
        assert [field.name for field in header.fields] == ["A", "B"]
        assert octets[header.end :] == b"body"


@given(st.integers(min_value=16_370, max_value=16_390), st.sampled_from([b"\r\n", b"\n"]))
def test_the_edge_of_a_window_changes_nothing(size: int, end: bytes) -> None:
    octets = b"A: " + b"x" * (size - 8) + end + b" y" + end + b"B : c" + end + end + b"body"
    header = scan_header(octets)
    assert [field.name for field in header.fields] == ["A", "B"]
    assert octets[header.end :] == b"body"


def test_a_header_is_read_from_a_map_and_from_the_midst() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"....." + HONEST)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as octets:
            header = scan_header(octets, 5)
            assert [field.name for field in header.fields] == ["Received", "FROM", "Subject", "X-Empty", "X-Empty"]
            field = header.fields[1]
            assert octets[field.start : field.end] == b"FROM: Alice <alice@posthouse.test>\r\n"
            assert scan_header(octets, 5, 10).fields == ()


@given(st.binary(max_size=300) | st.text("AB:- \t\r\nx", max_size=60).map(str.encode))
def test_any_octets_give_a_header_whose_places_fit(octets: bytes) -> None:
    header = scan_header(octets)
    end = 0
    for field in header.fields:
        assert end <= field.start < field.end <= len(octets)
        assert octets[field.start : field.end].rstrip(b"\r\n").endswith(field.value.rstrip(b"\r\n"))
        end = field.end
        assert field.text.isprintable() or not field.text.isascii() or "\x7f" not in field.text
    assert end <= header.end <= len(octets)


names = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,15}", fullmatch=True)
values = st.lists(st.from_regex(r"[!-9;-~]{1,20}", fullmatch=True), min_size=1, max_size=6)


@given(st.lists(st.tuples(names, values, st.sampled_from([" ", "\r\n ", "\r\n\t"])), min_size=1, max_size=8))
def test_an_honest_header_means_the_same_to_the_standard_library(fields: list[tuple[str, list[str], str]]) -> None:
    octets = "".join(f"{name}: {fold.join(words)}\r\n" for name, words, fold in fields).encode() + b"\r\nbody"
    oracle = message_from_bytes(octets, policy=compat32)
    ours = scan_header(octets)
    assert [(f.name, f.value.decode().strip(" ")) for f in ours.fields] == [(k, v) for k, v in oracle.items()]
    assert octets[ours.end :] == b"body"


def test_addresses_of_repeated_fields_are_joined() -> None:
    header = scan_header(b"To: a@x.example\r\nCc: c@x.example\r\nTo: b@x.example, d@x.example\r\n\r\n")
    assert [entry.raw for entry in header.addresses("To")] == ["a@x.example", "b@x.example", "d@x.example"]  # type: ignore[union-attr]
    assert header.addresses("to") is header.addresses("TO")
    assert header.addresses("bcc") == ()
