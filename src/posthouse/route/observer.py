"""Who is told what happened, for logs and numbers. Journeys are stored whatever the observer does."""

from collections.abc import Sequence
from typing import Protocol

from posthouse.mail.journey import Stamp


class Observer(Protocol):
    """Called in the event loop's thread, after the commit; quick, and never raises."""

    def happened(self, event: str, queue_id: str, stamps: Sequence[Stamp]) -> None:
        """`event`: `accepted` and `refused` (stamps of the whole journey so far), `relay` (those of one try)."""
        ...

    def failed(self, doing: str, error: BaseException) -> None:
        """Something of ours went wrong and the work goes on."""
        ...


class Unobserved:
    """Tells nobody."""

    def happened(self, event: str, queue_id: str, stamps: Sequence[Stamp]) -> None:
        pass

    def failed(self, doing: str, error: BaseException) -> None:
        pass
