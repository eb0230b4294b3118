"""The desk of ports 587 and 465: what our own accounts send (RFC 6409)."""

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.mail.envelope import Envelope, RcptTo
from posthouse.mail.journey import Stamp
from posthouse.mail.peer import Peer
from posthouse.mail.reply import Reply
from posthouse.route.acceptance import Acceptance
from posthouse.store.blobs import Content


@dataclass(frozen=True, slots=True)
class SubmissionSettings:
    """`size_limit` in octets; `show_client` writes the client's address into Received (a leak, so off)."""

    size_limit: int = 50 * 1024 * 1024
    max_received: int = 50
    show_client: bool = False


class Submission:
    """The MSA's desk; see `MailDesk`. Every call wants a peer that has logged in."""

    def __init__(self, acceptance: Acceptance, settings: SubmissionSettings | None = None) -> None: ...

    async def mail(self, peer: Peer, envelope: Envelope) -> Reply: ...

    async def rcpt(self, peer: Peer, envelope: Envelope, rcpt: RcptTo) -> Reply: ...

    async def data(self, peer: Peer, envelope: Envelope, content: Content, stamps: Sequence[Stamp]) -> Reply: ...
