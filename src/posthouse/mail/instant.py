"""Points in time, as the house counts them: whole microseconds since 1970-01-01T00:00:00Z.

An integer sorts, stores and compares the same in every engine; a person sees it through `rfc3339` and
`rfc5322_date`. Nothing on this floor reads a clock: `now` is always an argument.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

Instant = int
Clock = Callable[[], Instant]

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def rfc3339(at: Instant) -> str:
    """`2025-03-01T18:15:30Z`, always in UTC, whole seconds."""
    # strftime does not fill up years below 1000.
    return f"{datetime.fromtimestamp(at // SECOND, UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def rfc5322_date(at: Instant) -> str:
    """`Sat, 01 Mar 2025 18:15:30 +0000` (RFC 5322 §3.3), never localised."""
    return _date(at // SECOND)


# Thousands of messages arrive within one second, and each is given its date.
@lru_cache(maxsize=64)
def _date(seconds: int) -> str:
    t = datetime.fromtimestamp(seconds, UTC)
    return (
        f"{_DAYS[t.weekday()]}, {t.day:02d} {_MONTHS[t.month - 1]} {t.year:04d} "
        f"{t.hour:02d}:{t.minute:02d}:{t.second:02d} +0000"
    )
