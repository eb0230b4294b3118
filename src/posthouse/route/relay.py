"""The way out: claims deliveries, finds the next hop, hands over, settles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from posthouse.mail.delivery import Attempt, Schedule
from posthouse.mail.envelope import Envelope, RcptTo
from posthouse.route.acceptance import Acceptance
from posthouse.route.exchanges import Exchanges, Host
from posthouse.store.blobs import Content


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message for the recipients of one next hop: the octets are `prefix` and then `content`."""

    envelope: Envelope
    prefix: bytes
    content: Content


@dataclass(frozen=True, slots=True)
class Handover:
    """What one host made of a parcel: an attempt for each recipient, in order.

    `reached` False: it never took the conversation up, so another host may be tried for all. `final` True: the
    message may have been taken although no reply came, so no other host may be tried now. `dsn`: it keeps RFC 3461.
    """

    attempts: tuple[Attempt, ...]
    reached: bool
    final: bool
    dsn: bool


class Courier(Protocol):
    """Carries one parcel to one host. Never raises but for cancellation."""

    async def deliver(self, host: Host, parcel: Parcel, rcpts: Sequence[RcptTo]) -> Handover: ...


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """`slots` run at once, `per_destination` of them to one domain. Times in seconds."""

    slots: int = 200
    per_destination: int = 20
    schedule: Schedule = field(default_factory=Schedule)
    lease: float = 600
    poll: float = 30


class Relay:
    """Runs for ever: `await run()` in a TaskGroup; `await drain(seconds)` ends it in good order."""

    def __init__(
        self,
        acceptance: Acceptance,
        exchanges: Exchanges,
        courier: Courier,
        owner: str,
        random: Callable[[], float],
        settings: RelaySettings | None = None,
    ) -> None: ...

    async def run(self) -> None: ...

    async def drain(self, deadline: float) -> None: ...
