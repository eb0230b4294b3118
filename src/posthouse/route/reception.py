"""The desk of port 25: what the world may send us."""

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.mail.envelope import Envelope, RcptTo
from posthouse.mail.journey import Stamp
from posthouse.mail.peer import Peer
from posthouse.mail.reply import Reply
from posthouse.route.acceptance import Acceptance
from posthouse.route.policy import Policy
from posthouse.store.blobs import Content


@dataclass(frozen=True, slots=True)
class ReceptionSettings:
    """`size_limit` in octets."""

    size_limit: int = 50 * 1024 * 1024
    max_received: int = 50


class Reception:
    """The MTA's desk; see `MailDesk`."""

    def __init__(
        self, acceptance: Acceptance, settings: ReceptionSettings | None = None, policy: Policy | None = None
    ) -> None: ...

    async def mail(self, peer: Peer, envelope: Envelope) -> Reply: ...

    async def rcpt(self, peer: Peer, envelope: Envelope, rcpt: RcptTo) -> Reply: ...

    async def data(self, peer: Peer, envelope: Envelope, content: Content, stamps: Sequence[Stamp]) -> Reply: ...
