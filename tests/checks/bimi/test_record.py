"""BIMI records, BIMI-Selector fields and local parts as selectors."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.checks.bimi.record import RecordError, is_record, local_part_selector, parse, selector


def test_a_record_is_read() -> None:
    record = parse(b"v=BIMI1; l=https://a.example/l.svg?a=b; a=https://b.example:443/m.pem; avp=personal; x=y;")
    assert record.location == "https://a.example/l.svg?a=b"
    assert record.evidence == "https://b.example:443/m.pem"
    assert (record.preference, record.prefixes, record.declines) == ("personal", None, False)
    assert parse(b"v = BIMI1 ;l = ; a=").declines
    assert parse(b"v=BIMI1;l=https://a.example/l.SVG").preference == "brand"
    assert parse(b"v=BIMI1;l=https://a.example/l;avp=both").preference == ""


def test_prefixes_of_local_parts_are_a_list_or_everything() -> None:
    assert parse(b"v=BIMI1; l=; lps=").prefixes == ()
    assert parse(b"v=BIMI1; l=; lps= brand-One- , b").prefixes == ("brand-one-", "b")


@pytest.mark.parametrize("octets", [b"", b"v=bimi1; l=", b"V=BIMI1; l=", b"l=; v=BIMI1", b"v=BIMI11", b"v=BIMI1x; l="])
def test_other_texts_are_no_records(octets: bytes) -> None:
    assert not is_record(octets)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"v=BIMI1; a=https://a.example/m.pem", "no l tag"),
        (b"v=BIMI1; l=; a=https://a.example/m.pem", "no logo"),
        (b"v=BIMI1; l=http://a.example/l.svg", "l tag is no https"),
        (b"v=BIMI1; l=https://localhost/l.svg", "l tag is no https"),
        (b"v=BIMI1; l=https://192.0.2.1/l.svg", "l tag is no https"),
        (b"v=BIMI1; l=https://[2001:db8::1]/l.svg", "l tag is no https"),
        (b"v=BIMI1; l=https://a@a.example/l.svg", "l tag is no https"),
        (b"v=BIMI1; l=https://a.example:8443/l.svg", "l tag is no https"),
        (b"v=BIMI1; l=https://a.example:x/l.svg", "l tag is no https"),
        (b"v=BIMI1; l=https://a.example/l.svg,https://b.example/l.svg", "l tag is no https"),
        (b"v=BIMI1; l=https://a.example/l svg", "l tag is no https"),
        (b"v=BIMI1; l=https://a.example/\xc3\xa4.svg", "no tag with a value"),
        (b"v=BIMI1; l=https://a.example/" + b"x" * 900, "l tag is no https"),
        (b"v=BIMI1; l=https://a.example/l.svg; a=ftp://a.example/m.pem", "a tag is no https"),
        (b"v=BIMI1; l=https://a.example/l.PNG", "no SVG"),
        (b"v=BIMI1; l=; l=", "more than once"),
        (b"v=BIMI1; l=; junk", "no tag"),
        (b"v=BIMI1; l=; lps=a_b", "lps"),
        (b"v=BIMI1; l=" + b" " * 9_000, "too long"),
    ],
)
def test_malformed_records_are_an_error_with_a_sentence(octets: bytes, reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        parse(octets)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"v=BIMI1; s=Spring;", "spring"), (b"v=BIMI1;s=a.b-c", "a.b-c"), (b"s=spring", "default"),
        (b"v=BIMI1", "default"), (b"v=BIMI1; s=", "default"), (b"v=BIMI1; s=a..b", "default"),
        (b"v=BIMI1; s=_x", "default"), (b"v=BIMI1; s=a b", "default"), (b"v=BIMI1; s=a; s=b", "default"),
        (b"v=BIMI1; s=" + b"a." * 120 + b"a", "default"), (b"v=BIMI2; s=a", "default"),
    ],
)
def test_a_selector_field_names_a_selector_or_counts_for_nothing(value: bytes, expected: str) -> None:
    assert selector(value) == expected


@pytest.mark.parametrize(
    ("local_part", "expected"),
    [
        ("News.Letter", "news-letter"), ("a._.b+tag", "a-b"), ("_a_", "a"), ("a--b", "a--b"), ("+a", ""), ("a b", ""),
        ("jörg", ""), ("a" * 64, ""), ("a!b", ""),
    ],
)
def test_local_parts_become_selectors_where_they_can(local_part: str, expected: str) -> None:
    assert local_part_selector(local_part) == expected


@given(st.binary(max_size=200))
def test_no_octets_whatever_escape_as_another_error(octets: bytes) -> None:
    selector(octets)
    with suppress(RecordError):
        assert parse(b"v=BIMI1; " + octets).text
