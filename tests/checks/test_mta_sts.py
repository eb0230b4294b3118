"""MTA-STS and TLSRPT: records and policies, as RFC 8461 and RFC 8460 have them, and hostile ones."""

import pytest

from posthouse.checks import tlsrpt
from posthouse.checks.mta_sts import (
    MAX_AGE_MOST,
    PATTERNS,
    POLICY_OCTETS,
    Policy,
    PolicyError,
    Record,
    RecordError,
    find,
    parse_policy,
    policy_url,
)

EXAMPLE = b"""\
version: STSv1
mode: enforce
mx: mail.example.com
mx: *.example.net
mx: backupmx.example.com
max_age: 604800
"""


def test_the_record_of_the_standard() -> None:
    assert find([b"v=STSv1; id=20160831085700Z;"]) == Record("20160831085700Z")
    assert find([b"v=STSv1; x=y; id=1"]) == Record("1")


def test_other_records_are_passed_over() -> None:
    assert find([b"v=spf1 -all", b"v=STSv12; id=1"]) is None
    assert find([b"v=spf1 -all", b"v=STSv1; id=1"]) == Record("1")


@pytest.mark.parametrize("records", [
    [b"v=STSv1; id=1", b"v=STSv1; id=2"], [b"v=STSv1"], [b"v=STSv1; id=" + b"a" * 33], [b"v=STSv1; id=a-b"],
    [b"v=STSv1; id"], [b"v=STSv1; id=1; x=" + b"y" * 4000], [b"v=STSv1; id=\xff"],
])  # fmt: skip
def test_records_that_count_as_none(records: list[bytes]) -> None:
    with pytest.raises(RecordError):
        find(records)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_policy_of_the_standard(end: bytes) -> None:
    policy = parse_policy(EXAMPLE.replace(b"\n", end))
    assert policy == Policy("enforce", ("mail.example.com", "*.example.net", "backupmx.example.com"), 604_800)
    assert parse_policy(policy.text().encode()) == policy
    assert policy_url("example.com") == "https://mta-sts.example.com/.well-known/mta-sts.txt"


@pytest.mark.parametrize(("host", "admitted"), [
    ("mail.example.com", True), ("mx7.example.net", True), ("example.net", False), ("a.b.example.net", False),
    ("mail.example.com.evil.test", False), ("", False),
])  # fmt: skip
def test_a_star_stands_for_one_label(host: str, admitted: bool) -> None:
    assert parse_policy(EXAMPLE).admits(host) is admitted


def test_of_a_field_that_stands_twice_the_first_counts() -> None:
    assert parse_policy(EXAMPLE + b"mode: none\nmax_age: 1\nfuture: x\n").mode == "enforce"


@pytest.mark.parametrize("octets", [
    b"", b"<html>", b"\xff\xfe", EXAMPLE.replace(b"STSv1", b"STSv2"), EXAMPLE.replace(b"enforce", b"Enforce"),
    EXAMPLE.replace(b"604800", b"soon"), EXAMPLE.replace(b"604800", str(MAX_AGE_MOST + 1).encode()),
    EXAMPLE.replace(b"mx: ", b"x: "), EXAMPLE.replace(b"*.example.net", b"*"),
    EXAMPLE.replace(b"*.example.net", b"a..b"),
    EXAMPLE + b"x: y\n" * (POLICY_OCTETS // 5),
    EXAMPLE + b"".join(b"mx: h%d.example.com\n" % number for number in range(PATTERNS)),
])  # fmt: skip
def test_policies_that_are_none(octets: bytes) -> None:
    with pytest.raises(PolicyError):
        parse_policy(octets)


def test_a_policy_that_is_switched_off_needs_no_hosts() -> None:
    assert parse_policy(b"version: STSv1\nmode: none\nmax_age: 1").patterns == ()


def test_places_for_reports() -> None:
    record = tlsrpt.find([b"v=TLSRPTv1;rua=mailto:a@b.test,https://c.test/x"])
    assert record == tlsrpt.Record(("mailto:a@b.test", "https://c.test/x"))
    assert tlsrpt.find([b"v=spf1 -all"]) is None


@pytest.mark.parametrize("records", [
    [b"v=TLSRPTv1"], [b"v=TLSRPTv1; rua=mailto:x"], [b"v=TLSRPTv1; rua=http://c.test"], [b"v=TLSRPTv1; rua"],
    [b"v=TLSRPTv1; rua=mailto:a@b.test"] * 2, [b"v=TLSRPTv1; rua=mailto:a@b.test!10m"],
    [b"v=TLSRPTv1; rua=mailto:a@b.test; x=" + b"y" * 5000],
])  # fmt: skip
def test_places_that_are_none(records: list[bytes]) -> None:
    with pytest.raises(tlsrpt.RecordError):
        tlsrpt.find(records)
