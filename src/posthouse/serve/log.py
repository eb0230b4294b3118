"""Logs: one record per event, JSON lines or for people, with control characters escaped.

    log = logger("json")                       # each house has its own: House.log
    log.info("listening", service="smtp", port=25)
    log.info("accepted", **summary(stamps))

A line about a message is a view of its journey: `summary` makes it from the stamps, no room tells a second story. Text
from outside (addresses, HELO names, replies of other servers) is cut to `LONGEST_TEXT` characters, and whatever could
move a terminal's cursor or begin a new line is escaped, so one event is one line, whatever a client said.
"""

import json
import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from posthouse.mail.journey import Fact, Stamp, Step

Logger = FilteringBoundLogger
LONGEST_TEXT = 1000
LONGEST_LIST = 20

_encode = msgspec.json.Encoder().encode
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_COLOURS = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}


def logger(format: Literal["json", "console"] = "json", level: str = "info", file: TextIO | None = None) -> Logger:
    """A logger of its own that writes to `file` (standard error); no global set-up is touched."""
    file = file or sys.stderr
    render = _json if format == "json" else _Console(file.isatty())
    bound: Logger = structlog.wrap_logger(
        structlog.WriteLogger(cast(TextIO, _Tolerant(file))),
        processors=[structlog.processors.add_log_level, _stamp_time, _failure, render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return bound


def silent() -> Logger:
    """A logger that writes nothing, for tests and for houses inside other programs."""
    bound: Logger = structlog.wrap_logger(
        structlog.ReturnLogger(), processors=[], wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    )
    return bound


class _Tolerant:
    """A file that takes what it can: mail is not held up by a full disk or a closed pipe behind the log."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._file.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._file.flush()


def _stamp_time(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    at = f"{datetime.now(UTC).isoformat(timespec='milliseconds')[:-6]}Z"
    return {"at": at, "level": event.pop("level"), "event": event.pop("event"), **event}


def _failure(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """An exception becomes two facts: what it was, and where. The message alone often says nothing."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["error"] = f"{type(error).__name__}: {error}"
        trace = error.__traceback__
        places = []
        while trace is not None:
            code = trace.tb_frame.f_code
            places.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}")
            trace = trace.tb_next
        event["where"] = places[-5:]
    return event


def _json(_: WrappedLogger, __: str, event: EventDict) -> str:
    try:
        line = _encode(event).decode()
    except (TypeError, ValueError):
        line = ""
    if 0 < len(line) < LONGEST_TEXT and line.isprintable():
        return line
    # Something in it is long, strange or hostile. ensure_ascii escapes everything but DEL among what terminals obey.
    return json.dumps({k: _bounded(v) for k, v in event.items()}).replace("\x7f", "\\u007f")


class _Console:
    """`18:15:30 info accepted ip=192.0.2.7 size=4096`; values with spaces in quotes."""

    def __init__(self, colours: bool) -> None:
        self._colours = colours

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> str:
        at, level, words = event.pop("at"), event.pop("level"), event.pop("event")
        facts = " ".join(f"{k}={_shown(v)}" for k, v in event.items() if v is not None)
        line = f"{at[11:19]} {level:<7} {escaped(str(words))}{' ' if facts else ''}{facts}"
        colour = _COLOURS.get(level) if self._colours else None
        return f"{colour}{line}\x1b[0m" if colour else line


def _shown(value: object) -> str:
    text = escaped(str(_bounded(value)))
    return f'"{text}"' if " " in text or not text else text


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else f"{value[:LONGEST_TEXT]}…"
    if isinstance(value, bytes):
        return _bounded(value[: LONGEST_TEXT + 1].decode("utf-8", "backslashreplace"))
    if isinstance(value, list | tuple):
        return [_bounded(each) for each in value[:LONGEST_LIST]]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _bounded(str(value))


def escaped(text: str) -> str:
    """Control characters, line breaks of every kind, directional marks and lone surrogates as `\\x1b`, `\\u202e`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


# Step → what of it the line about a message says, under which name.
_TOLD: dict[Step, dict[str, str]] = {
    Step.CONNECTED: {"ip": "ip", "service": "service"},
    Step.HELLO: {"name": "helo"},
    Step.TLS: {"version": "tls"},
    Step.LOGIN: {"account": "account"},
    Step.ENVELOPE: {"mail_from": "mail_from"},
    Step.RECEIVED: {"size": "size", "message_id": "message_id"},
    Step.DECISION: {"action": "action", "rule": "rule"},
    Step.ACCEPTED: {"reply": "reply"},
    Step.REFUSED: {"reply": "reply"},
    Step.DROPPED: {"reason": "dropped"},
}


def summary(stamps: Sequence[Stamp]) -> dict[str, Fact]:
    """What the line about a message says, from its stamps: peer, envelope, size, decision, and where it went.

    `delivered` and `queued` count recipients, `own_junk` the accounts that took it for junk by themselves; of repeated
    steps the last one speaks.
    """
    told: dict[str, Fact] = {}
    counts = {Step.DELIVERED: 0, Step.QUEUED: 0}
    own_junk = 0
    for stamp in stamps:
        if stamp.step is Step.DECISION and "account" in stamp.facts:
            own_junk += 1
            continue
        for fact, name in _TOLD.get(stamp.step, {}).items():
            value = stamp.facts.get(fact)
            if value is not None:
                told[name] = value
        if stamp.step in counts:
            counts[stamp.step] += 1
    told["delivered"] = counts[Step.DELIVERED]
    told["queued"] = counts[Step.QUEUED]
    if own_junk:
        told["own_junk"] = own_junk
    return told
