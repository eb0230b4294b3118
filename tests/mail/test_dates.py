"""Dates: the grammar, the obsolete forms, what programs write, and what is none."""

import json
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.dates import Date, parse_date
from posthouse.mail.instant import SECOND, rfc3339, rfc5322_date


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("value", "instant", "offset"),
    [
        (b"Sat, 01 Mar 2025 19:15:30 +0100", at(2025, 3, 1, 18, 15, 30), 60),
        (b" Sat, 1 Mar 2025 18:15:30 -0000\r\n", at(2025, 3, 1, 18, 15, 30), None),
        (b"1 Mar 2025 18:15 +0000", at(2025, 3, 1, 18, 15), 0),
        (b"Sat,1 Mar 2025 18:15:30 -0330", at(2025, 3, 1, 21, 45, 30), -210),
        (b"Thu,\r\n   13\r\n  Feb\r\n    1969\r\n  23:32\r\n  -0330 (Newfoundland Time)", at(1969, 2, 14, 3, 2), -210),
        (b"Tue, 1 Jul 2003 ((tricky)\r\n comment) 10:52:37 +0200", at(2003, 7, 1, 8, 52, 37), 120),
        (b"(a) Tue (b), (c) 1 (d) Jul (e) 2003 (f) 10:52:37 (g) +0200 (h)", at(2003, 7, 1, 8, 52, 37), 120),
        (b"21 Nov 97 09:55:06 GMT", at(1997, 11, 21, 9, 55, 6), 0),
        (b"21 Nov 49 09:55:06 UT", at(2049, 11, 21, 9, 55, 6), 0),
        (b"21 Nov 50 09:55:06 Z", at(1950, 11, 21, 9, 55, 6), 0),
        (b"21 Nov 103 09:55:06 EST", at(2003, 11, 21, 14, 55, 6), -300),
        (b"21 Nov 1997 09:55:06 PDT", at(1997, 11, 21, 16, 55, 6), -420),
        (b"21 Nov 1997 09:55:06 A", at(1997, 11, 21, 9, 55, 6), None),
        (b"21 Nov 1997 09:55:06 MESZ", at(1997, 11, 21, 9, 55, 6), None),
        (b"21 Nov 1997 09:55:06", at(1997, 11, 21, 9, 55, 6), None),
        (b"21-Nov-1997 09:55:06 +0000", at(1997, 11, 21, 9, 55, 6), 0),
        (b"Fri, 21 November 1997 09:55:06.123 +00:30", at(1997, 11, 21, 9, 25, 6), 30),
        (b"Sat, 31 Dec 2016 23:59:60 +0000", at(2017, 1, 1), 0),
        (b"Thu, 29 Feb 2024 00:00:00 +0000", at(2024, 2, 29), 0),
        (b"Thu, 10 Jul 1997 14:53:31 EST5EDT", at(1997, 7, 10, 19, 53, 31), -300),
        (b"Sun Nov 13 15:38:52 2005", at(2005, 11, 13, 15, 38, 52), None),
        (b"Sun Nov 13 15:38:52 2005 +0100", at(2005, 11, 13, 14, 38, 52), 60),
        (b"1 Jan 2025 00:00:00 +9999", at(2025, 1, 1), None),
        (b"1 Jan 0001 00:00:00 +0000", at(1, 1, 1), 0),
        (b"31 Dec 9999 23:59:59 +0000", at(9999, 12, 31, 23, 59, 59), 0),
    ],
)
def test_a_date_is_understood(value: bytes, instant: int, offset: int | None) -> None:
    assert parse_date(value) == Date(instant, offset)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"yesterday",
        b"Sat,",
        b"1 Mar 2025",
        b"Tue, 7 Bog 2026 19:14:51 +0000",
        b"Tue, 7 00 2026 19:14:51 +0000",
        b"30 Feb 2025 00:00:00 +0000",
        b"29 Feb 2025 00:00:00 +0000",
        b"0 Jan 2025 00:00:00 +0000",
        b"32 Jan 2025 00:00 +0000",
        b"1 Jan 2025 24:00:00 +0000",
        b"1 Jan 2025 00:60:00 +0000",
        b"1 Jan 2025 00:00:61 +0000",
        b"1 Jan 0000 00:00:00 +0000",
        b"1 Jan 0001 00:00:00 +0100",
        b"31 Dec 9999 23:59:59 -0100",
        b"31 Dec 9999 23:59:60 +0000",
        b"2025-03-01T18:15:30Z",
        b"\xff\xfe",
        b"1 J\xe4n 2025 00:00:00 +0000",
        b"(" * 5000,
        b"1 Jan " + b"2" * 5000,
    ],
)
def test_what_is_no_date_is_none(value: bytes) -> None:
    assert parse_date(value) is None


@given(
    st.integers(-2_208_988_800, 253_370_764_800),
    st.integers(min_value=-23 * 60, max_value=23 * 60),
)
def test_dates_of_the_standard_library_mean_the_same(seconds: int, offset: int) -> None:
    zone = timezone(timedelta(minutes=offset))
    moment = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).astimezone(zone)
    date = parse_date(format_datetime(moment).encode())
    assert date is not None
    assert date.at == seconds * SECOND
    assert date.offset == offset


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_dates_of_our_own_come_back(seconds: int) -> None:
    assert parse_date(rfc5322_date(seconds * SECOND).encode()) == Date(seconds * SECOND, 0)
    assert rfc3339(seconds * SECOND).endswith("Z")


@given(st.binary(max_size=60) | st.text("0123456789: ,+-JanMTue()", max_size=60).map(str.encode))
def test_no_octets_raise(value: bytes) -> None:
    date = parse_date(value)
    assert date is None or isinstance(date.at, int)


# Place in the public set → why we differ.
EXCEPTIONS = {
    5: "a month is a name: three numbers could be any date",
    6: "numbers alone are no date",
    7: "a line end without white space behind it ends a field, before a value gets here",
}


def test_the_public_set_is_read_alike(vectors: Path) -> None:
    differing = set()
    cases = json.loads((vectors / "mime/mail-parser/fields/date.json").read_text("utf-8"))
    for place, case in enumerate(cases):
        # One of them is a Received field, whose date stands behind its last semicolon.
        date = parse_date(case["header"].rpartition(";")[2].encode())
        expected = case["expected"]
        if expected is not None:
            try:
                sign = -1 if expected["tz_before_gmt"] else 1
                zone = timezone(sign * timedelta(hours=expected["tz_hour"], minutes=expected["tz_minute"]))
                moment = datetime(
                    *(expected[k] for k in ("year", "month", "day", "hour", "minute", "second")), tzinfo=zone
                )
                expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
            except ValueError:
                expected = None
        if (date.at if date else None) != expected:
            differing.add(place)
    assert differing == set(EXCEPTIONS)


def test_a_year_has_four_digits() -> None:
    early = parse_date(b"Wed, 28 Feb 0001 10:00:00 +0000")
    assert early is not None
    assert rfc3339(early.at) == "0001-02-28T10:00:00Z"
