"""The journeys of messages: every decision about a message, kept with it in the same commit (functions on `tx`)."""

from collections.abc import Sequence

from posthouse.mail.instant import Instant
from posthouse.mail.journey import Journey, Stamp
from posthouse.store.database import Transaction


def begin(tx: Transaction, journey_id: int, message_id: str, stamps: Sequence[Stamp]) -> None:
    """Starts a journey with what happened so far. `message_id` as in the field, without angle brackets, or empty."""
    raise NotImplementedError


def append(tx: Transaction, journey_id: int, stamps: Sequence[Stamp]) -> None:
    """Adds what happened later; does nothing when the journey is not (or no longer) there or `stamps` is empty."""
    raise NotImplementedError


def load(tx: Transaction, journey_id: int) -> Journey | None:
    """The whole journey, oldest stamp first."""
    raise NotImplementedError


def find(tx: Transaction, message_id: str, limit: int = 20) -> list[int]:
    """Journey ids of messages with that Message-ID (with or without angle brackets), newest first."""
    raise NotImplementedError


def recent(tx: Transaction, limit: int = 20) -> list[int]:
    """The newest journey ids, newest first."""
    raise NotImplementedError


def sweep(tx: Transaction, before: Instant, limit: int = 1_000) -> int:
    """Forgets up to `limit` journeys that began before `before` and are not in the queue; gives how many."""
    raise NotImplementedError
