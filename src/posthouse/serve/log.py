"""Logs: one record per event, JSON lines or for people, with control characters escaped.

    log = structlog.get_logger()          # each house: House.log, bound to its host name
    log.info("accepted", **summary(stamps))

A log line about a message is a view of its journey: `summary` makes it from the stamps, no room tells a second story.
"""

from collections.abc import Sequence
from typing import Literal, TextIO

import structlog

from posthouse.mail.journey import Fact, Stamp

Logger = structlog.typing.FilteringBoundLogger


def logger(
    format: Literal["json", "console"] = "json", level: str = "info", file: TextIO | None = None
) -> Logger:
    """A logger of its own that writes to `file` (standard error); no global set-up is touched."""
    raise NotImplementedError


def summary(stamps: Sequence[Stamp]) -> dict[str, Fact]:
    """What the line about a message says, from its stamps: peer, envelope, size, decision, deliveries."""
    raise NotImplementedError
