"""Validating a chain (RFC 8617 §5.2)."""

from posthouse.checks.arc.chain import Arc
from posthouse.checks.dkim.digests import BodyDigests
from posthouse.mail.dns import Dns
from posthouse.mail.instant import Instant
from posthouse.mail.message import Message


async def validate(message: Message, dns: Dns, now: Instant, *, digests: BodyDigests | None = None) -> Arc:
    """The chain of a message. Every fault is permanent, those of the DNS too (RFC 8617 §5.2.1)."""
    raise NotImplementedError
