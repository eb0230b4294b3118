"""Dates in header fields (RFC 5322 §3.3, with the obsolete forms of §4.3).

    parse_date(b"Sat, 01 Mar 2025 19:15:30 +0100")     Date(at=1740852930000000, offset=60)
    parse_date(b"1 Mar 25 18:15 GMT (a comment)")      Date(at=1740852900000000, offset=0)
    parse_date(b"yesterday")                           None
"""

import re
from datetime import date
from typing import NamedTuple

from posthouse.mail.instant import DAY, MINUTE, SECOND, Instant
from posthouse.mail.tokens import without_comments

_EPOCH = date(1970, 1, 1).toordinal()
_FIRST = (date.min.toordinal() - _EPOCH) * DAY
_LAST = (date.max.toordinal() + 1 - _EPOCH) * DAY - 1
_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), 1
    )
}
# RFC 5322 §4.3: obs-zone. The letters of the military zones were used with either sign: they say nothing.
_ZONES = {
    b"UT": 0, b"UTC": 0, b"GMT": 0, b"Z": 0,
    b"EST": -300, b"EDT": -240, b"CST": -360, b"CDT": -300,
    b"MST": -420, b"MDT": -360, b"PST": -480, b"PDT": -420,
}

# The form in which nearly all dates come.
_match_usual = re.compile(
    rb" ?(?:[A-Z][a-z]{2}, )?(\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)"
    rb"(?: \([A-Za-z ]*\))?"
).fullmatch
# Both run over text in which white space comes as single spaces.
_ZONE = rb"(?: ?(?:([+-])(\d\d):?(\d\d)\b|([A-Za-z]{1,5})))?"
_CLOCK = rb"(\d{1,2}):(\d\d)(?::(\d\d))?(?:[.,]\d{1,9})?"
_match_date = re.compile(
    rb"(?:[A-Za-z]{2,9}\.? ?,? ?)?(\d{1,2})[ -]([A-Za-z]{3})[A-Za-z]{0,6}\.?,?[ -](\d{2,4})(?: at)?,? " + _CLOCK + _ZONE
).match
# asctime(3), as old programs write it: "Sun Nov 13 15:38:52 2005", with a zone before or after the year.
_match_asctime = re.compile(
    rb"(?:[A-Za-z]{3,9},? )?([A-Za-z]{3})[A-Za-z]{0,6} (\d{1,2}),? " + _CLOCK + rb"(?: [A-Z]{3,4})? (\d{4})\b" + _ZONE
).match


class Date(NamedTuple):
    """A point in time, and the writer's offset from UTC in minutes (None for `-0000`, which says nothing)."""

    at: Instant
    offset: int | None


def parse_date(value: bytes) -> Date | None:
    """The date-time at the beginning of a field value; None where there is none, or where no calendar has it.

    Comments are passed over; seconds may be missing, years have two to four digits (RFC 5322 §4.3), names of zones
    that nobody knows count as `-0000`.
    """
    zone: bytes | None = None
    if (match := _match_usual(value)) is not None:
        day, name, year, hour, minute, second, sign, hours, minutes = match.groups()
    else:
        words = b" ".join(without_comments(value).split(None, 12)[:12])
        if (match := _match_date(words)) is not None:
            day, name, year, hour, minute, second, sign, hours, minutes, zone = match.groups()
        elif (match := _match_asctime(words)) is not None:
            name, day, hour, minute, second, year, sign, hours, minutes, zone = match.groups()
        else:
            return None
    month = _MONTHS.get(name.lower())
    if month is None or int(hour) > 23 or int(minute) > 59 or (second and int(second) > 60):
        return None
    try:
        days = date(_year(year), month, int(day)).toordinal() - _EPOCH
    except ValueError:
        return None
    seconds = days * 86400 + int(hour) * 3600 + int(minute) * 60 + int(second or 0)
    offset = _offset(sign, hours, minutes, zone)
    at = seconds * SECOND - (offset or 0) * MINUTE
    # In UTC it may be a year that nobody can write.
    return Date(at, offset) if _FIRST <= at <= _LAST else None


def has_form(value: bytes) -> bool:
    """Whether something is written as a date, even if no calendar has it."""
    words = b" ".join(without_comments(value).split(None, 12)[:12])
    return (_match_date(words) or _match_asctime(words)) is not None


def lacks_zone(value: bytes, date: Date) -> bool:
    """Whether nobody knows which time zone the date in `value` is in, so that it may be wrong by 14 hours."""
    # RFC 5322 §3.3: -0000 is in UTC as well, and does but not tell the writer's own zone.
    return date.offset is None and b"-0000" not in value


def _year(digits: bytes) -> int:
    year = int(digits)
    # RFC 5322 §4.3: two digits below 50 are of this century; other years of two or three digits count from 1900.
    if len(digits) == 2 and year < 50:
        return year + 2000
    return year + 1900 if len(digits) < 4 else year


def _offset(sign: bytes | None, hours: bytes | None, minutes: bytes | None, zone: bytes | None) -> int | None:
    if sign is None or hours is None or minutes is None:
        if zone is None:
            return None
        return _ZONES.get(zone.upper())
    offset = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or int(hours) > 23 or (sign == b"-" and not offset):
        return None
    return -offset if sign == b"-" else offset
