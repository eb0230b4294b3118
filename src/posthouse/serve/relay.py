"""The courier: outbound SMTP connections, kept and reused, each driven by the client engine."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.mail.envelope import RcptTo
from posthouse.mail.instant import Clock
from posthouse.route.exchanges import Host
from posthouse.route.relay import Handover, Parcel


@dataclass(frozen=True, slots=True)
class CourierSettings:
    """`hostname` is what we say in EHLO. `source_ips`: local addresses to send from, by family; times in seconds."""

    hostname: str
    connect_timeout: float = 30
    idle: float = 5
    max_transactions: int = 100


class SmtpCourier:
    """Keeps `posthouse.route.relay.Courier`. `trust` checks certificates where they must be checked."""

    def __init__(self, settings: CourierSettings, clock: Clock, trust: ssl.SSLContext | None = None) -> None: ...

    async def deliver(self, host: Host, parcel: Parcel, rcpts: Sequence[RcptTo]) -> Handover: ...

    async def close(self) -> None: ...
