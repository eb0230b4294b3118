"""Dates in header fields (RFC 5322 §3.3, obsolete forms of §4.3)."""

from typing import NamedTuple

from posthouse.mail.instant import Instant


class Date(NamedTuple):
    """A point in time, and the writer's offset from UTC in minutes (None for `-0000`, which says nothing)."""

    at: Instant
    offset: int | None


def parse_date(value: bytes) -> Date | None:
    """The date-time in a field value: comments, obsolete zones and years, missing seconds; None where it is none."""
    raise NotImplementedError
