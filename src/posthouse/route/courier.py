"""The port to the outside: who carries a message to another host. `posthouse.serve.relay` does it over SMTP."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from posthouse.mail.delivery import Attempt
from posthouse.mail.envelope import Envelope, RcptTo
from posthouse.route.exchanges import Host
from posthouse.store.blobs import Content

# RFC 5321 §4.5.3.1.8: every server takes at least a hundred recipients.
RECIPIENTS = 100


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
    `unfit`: it does not offer what the message needs (8BITMIME, SMTPUTF8, its SIZE), and was sent nothing of it.
    """

    attempts: tuple[Attempt, ...]
    reached: bool
    final: bool = False
    dsn: bool = False
    unfit: bool = False


class Courier(Protocol):
    """Carries one parcel to one host. Never raises but for cancellation."""

    async def deliver(self, host: Host, parcel: Parcel, rcpts: Sequence[RcptTo]) -> Handover: ...
