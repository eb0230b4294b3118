"""DMARC records: what counts, what is passed over, and what is told to their owner."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.checks.dmarc.record import DESTINATIONS, Record, parse
from posthouse.mail.address import Address


def record(text: str) -> Record:
    found = parse(text.encode())
    assert found is not None
    return found


def test_a_record_is_read_in_full() -> None:
    found = record(
        "v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=s; fo=1:d:s; psd=n; t=y;"
        " rua=mailto:a@a.example,mailto:b@b.example!10m; ruf=mailto:c@a.example"
    )
    assert (found.p, found.sp, found.np) == ("reject", "quarantine", "none")
    assert (found.adkim, found.aspf) == ("strict", "strict")
    assert found.fo == ("1", "d", "s")
    assert (found.psd, found.testing, found.usable) == ("n", True, True)
    assert [str(place.address) for place in found.rua] == ["a@a.example", "b@b.example"]
    assert found.rua[1].uri == "mailto:b@b.example"
    assert [str(place.address) for place in found.ruf] == ["c@a.example"]
    assert found.flaws == ()
    assert found.ignored == ()


def test_what_is_not_said_has_its_default() -> None:
    found = record("v=DMARC1; p=none")
    assert (found.sp, found.np, found.adkim, found.aspf) == (None, None, "relaxed", "relaxed")
    assert (found.fo, found.psd, found.testing, found.rua, found.ruf) == (("0",), "u", False, (), ())
    assert found.for_subdomains == "none"


@pytest.mark.parametrize(
    ("text", "subdomains", "nonexistent"),
    [
        ("p=reject", "reject", "reject"),
        ("p=reject; sp=none", "none", "none"),
        ("p=none; np=reject", "none", "reject"),
        ("p=none; sp=quarantine; np=reject", "quarantine", "reject"),
    ],
)
def test_subdomains_have_the_nearest_policy(text: str, subdomains: str, nonexistent: str) -> None:
    found = record(f"v=DMARC1; {text}")
    assert found.for_subdomains == subdomains
    assert found.for_nonexistent == nonexistent


# RFC 7489 appendix B.2 and what is met in the wild.
@pytest.mark.parametrize(
    "text",
    [
        "v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com",
        "v=DMARC1; p=reject; pct=100; ri=86400; rf=afrf; rua=mailto:d@example.com!50m",
        "v=DMARC1;p=quarantine;pct=0;",
        "v=DMARC1 ; p = reject ; ",
        "V=DMARC1; P=Reject",
        "v = DMARC1 ; p=none",
        "v=DMARC1; p=none; fo=0:1:d:s; ruf=mailto:a@example.com",
        "v=DMARC1; sp=none; p=reject",
    ],
)
def test_records_of_the_first_version_work(text: str) -> None:
    found = record(text)
    assert found.usable
    assert not found.flaws


def test_pct_is_ignored_and_named() -> None:
    found = record("v=DMARC1; p=reject; pct=10; x=y")
    assert found.p == "reject"
    assert found.ignored == ("pct", "x")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"v=DMARC1x; p=reject",
        b"v=DMARC10; p=reject",
        b"v=dmarc1; p=reject",
        b"p=reject; v=DMARC1",
        b" v=DMARC1; p=reject",
        b"v=DMARC2; p=reject",
        b"v=spf1 -all",
        b"DMARC1; p=reject",
        b"\xffv=DMARC1; p=reject",
    ],
)
def test_what_does_not_begin_as_a_record_is_none(octets: bytes) -> None:
    assert parse(octets) is None


@pytest.mark.parametrize(
    ("text", "usable"),
    [
        ("rua=mailto:a@a.example", True),
        ("p=rejectt; rua=mailto:a@a.example", True),
        ("p=reject; sp=no; rua=mailto:a@a.example", True),
        ("p=reject; np=; rua=mailto:a@a.example", True),
        ("p=reject; sp=no; rua=https://a.example/x", True),
        ("", False),
        ("p=rejectt", False),
        ("p=reject; sp=no", False),
        ("p=reject; np=no; rua=nonsense", False),
    ],
)
def test_a_record_without_a_valid_policy_counts_as_none_or_not_at_all(text: str, usable: bool) -> None:
    """RFC 9989 §4.10.1."""
    found = record(f"v=DMARC1; {text}")
    assert found.usable is usable
    assert found.p == "none"
    assert (found.sp, found.np) == (None, None)
    assert found.flaws


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("p=reject; adkim=x", "adkim=x is none of r, s"),
        ("p=reject; t=maybe", "t=maybe is none of y, n"),
        ("p=reject; psd=z", "psd=z is none of y, n, u"),
        ("p=reject; fo=2", "fo=2 has options"),
        ("p=reject; junk", "junk is no tag"),
        ("p=reject; sp", "sp is no tag"),
        ("p=reject; p=none", "more than once"),
        ("p=reject; rua=a@a.example", "no address that reports could be sent to"),
        ("p=reject; rua=mailto:nobody", "no address that reports could be sent to"),
        ("p=reject; rua=mailto:a@[192.0.2.1]", "no address that reports could be sent to"),
        ("p=reject; rua=mailto:a@a.example,,", "nothing"),
        ("p=reject; rua=mailto:%ff@a.example", "no address that reports could be sent to"),
    ],
)
def test_syntax_errors_are_passed_over_and_told(text: str, flaw: str) -> None:
    found = record(f"v=DMARC1; {text}")
    assert found.usable
    assert found.p == "reject"
    assert (found.adkim, found.testing, found.psd, found.fo) == ("relaxed", False, "u", ("0",))
    assert any(flaw in told for told in found.flaws), found.flaws


@pytest.mark.parametrize(
    ("value", "options"),
    [("0", "0"), ("1", "1"), ("0:1", "1"), ("d", "d"), ("s:d", "ds"), ("0:d", "0d"), ("d:1:s", "1ds"), ("", "0")],
)
def test_failure_options_are_read_in_any_order(value: str, options: str) -> None:
    assert record(f"v=DMARC1; p=none; fo={value}").fo == tuple(options)


def test_places_for_reports_are_few_distinct_and_decoded() -> None:
    many = ",".join(f"mailto:a{n}@a.example" for n in range(DESTINATIONS + 5))
    assert len(record(f"v=DMARC1; p=none; rua={many}").rua) == DESTINATIONS
    found = record(
        "v=DMARC1; p=none; rua=mailto:a@a.example , mailto:a@a.example,https://a.example/in,mailto:x%2by@B.example"
    )
    assert [place.address for place in found.rua] == [
        Address("a", "a.example"),
        None,
        Address("x+y", "b.example"),
    ]


def test_a_subject_in_a_mailto_is_no_part_of_the_address() -> None:
    assert record("v=DMARC1; p=none; rua=mailto:a@a.example?subject=x").rua[0].address == Address("a", "a.example")


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_are_none(octets: bytes) -> None:
    parse(octets)
    found = parse(b"v=DMARC1; " + octets)
    assert found is not None
    assert all(flaw.isascii() and flaw.isprintable() for flaw in found.flaws)


@pytest.mark.parametrize("piece", [";", "a=", "rua=mailto:a@a.example,", ",", " ", "p=none;", "mailto:", "!1", "=" * 7])
def test_reading_is_linear(piece: str) -> None:
    parse(b"v=DMARC1; p=none; rua=" + piece.encode() * (65_000 // len(piece)))
