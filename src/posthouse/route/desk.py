"""What an SMTP door talks to: three questions, three replies. `Reception` and `Submission` are desks.

A door translates octets into these calls and replies into octets; it decides nothing. Every call answers with a
`Reply` and never raises for anything a peer may do.
"""

from collections.abc import Sequence
from typing import Protocol

from posthouse.mail.envelope import Envelope, RcptTo
from posthouse.mail.journey import Stamp
from posthouse.mail.peer import Peer
from posthouse.mail.reply import Reply
from posthouse.store.blobs import Content


class MailDesk(Protocol):
    """One kind of mail service. One instance serves all connections of its kind; it keeps nothing per connection."""

    async def mail(self, peer: Peer, envelope: Envelope) -> Reply:
        """The answer to MAIL. `envelope` has no recipients yet."""
        ...

    async def rcpt(self, peer: Peer, envelope: Envelope, rcpt: RcptTo) -> Reply:
        """The answer to one RCPT. `envelope` holds the recipients taken so far, without this one."""
        ...

    async def data(self, peer: Peer, envelope: Envelope, content: Content, stamps: Sequence[Stamp]) -> Reply:
        """The answer to the end of data: positive only after the durable commit.

        `envelope` holds the recipients that were taken, at least one. `stamps` is what the door alone knows, in
        order of time: CONNECTED, HELLO, TLS, LOGIN of the session, and a RECIPIENT for each RCPT that was refused
        (the desk stamps those it took). `content` belongs to the desk from here on: the door does not discard it.
        """
        ...
