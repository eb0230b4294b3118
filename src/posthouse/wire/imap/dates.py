"""Dates as IMAP writes them: `17-Jul-1996` in SEARCH, `"17-Jul-1996 02:44:25 -0700"` for INTERNALDATE."""

import re
from datetime import UTC, date, datetime

from posthouse.mail.instant import SECOND, Instant
from posthouse.wire.imap.faults import Malformed

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBERS = {name.lower().encode("ascii"): number for number, name in enumerate(MONTHS, 1)}

_DATE = re.compile(rb"([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})")
_DATE_TIME = re.compile(
    rb"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"
)
# The Date field of a message as far as SENTON and its kin look at it; the zone is disregarded (RFC 3501 §6.4.4).
_SENT = re.compile(
    rb"\s*(?:[A-Za-z]{1,9}\s*,)?\s*([0-9]{1,2})[\s-]{1,9}([A-Za-z]{3})[A-Za-z]{0,6}[\s-]{1,9}([0-9]{2,4})"
)

_DATE_OCTETS = 200

EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAY_SECONDS = 86_400
_EARLIEST = (1 - EPOCH_DAY) * _DAY_SECONDS * SECOND
_LATEST = ((date.max.toordinal() + 1 - EPOCH_DAY) * _DAY_SECONDS - 1) * SECOND


def day(token: bytes) -> int:
    """The day number (1970-01-01 is 0) of a `date-text`. Raises Malformed."""
    found = _DATE.fullmatch(token)
    if found is None:
        raise Malformed("not a date")
    return _ordinal(found[3], found[2], found[1]) - EPOCH_DAY


def date_time(token: bytes) -> Instant:
    """The instant of the inside of a quoted `date-time`. Raises Malformed."""
    found = _DATE_TIME.fullmatch(token)
    if found is None:
        raise Malformed("not a date and time")
    days = _ordinal(found[3], found[2], found[1]) - EPOCH_DAY
    hour, minute, second, zone_hour, zone_minute = (int(found[i]) for i in (4, 5, 6, 8, 9))
    if hour > 23 or minute > 59 or second > 60 or zone_minute > 59:
        raise Malformed("no such time of day")
    offset = zone_hour * 3600 + zone_minute * 60
    seconds = days * _DAY_SECONDS + hour * 3600 + minute * 60 + second - (offset if found[7] == b"+" else -offset)
    return min(max(seconds * SECOND, _EARLIEST), _LATEST)


def sent_day(field: bytes) -> int | None:
    """The day number that a Date field names, without its time and zone; None where it names none."""
    # Whatever is a date stands near the beginning; the expression must not wander through a megabyte of spaces.
    found = _SENT.match(field[:_DATE_OCTETS])
    if found is None:
        return None
    year = found[3]
    # RFC 5322 §4.3: years of two and three digits.
    if len(year) < 4:
        year = b"%d" % (int(year) + (2000 if len(year) == 2 and int(year) < 50 else 1900))
    try:
        return _ordinal(year, found[2], found[1]) - EPOCH_DAY
    except Malformed:
        return None


def day_of(at: Instant) -> int:
    """The day number of an instant, in UTC."""
    return at // (_DAY_SECONDS * SECOND)


def internal_date(at: Instant) -> bytes:
    """As FETCH sends it, quoted, in UTC; out of range it is the nearest date that can be written."""
    t = datetime.fromtimestamp(min(max(at, _EARLIEST), _LATEST) // SECOND, UTC)
    return b'"%02d-%s-%04d %02d:%02d:%02d +0000"' % (
        t.day, MONTHS[t.month - 1].encode("ascii"), t.year, t.hour, t.minute, t.second,
    )  # fmt: skip


def _ordinal(year: bytes, month: bytes, day_of_month: bytes) -> int:
    try:
        return date(int(year), _NUMBERS[month.lower()], int(day_of_month)).toordinal()
    except (ValueError, KeyError) as error:
        raise Malformed("no such day") from error
