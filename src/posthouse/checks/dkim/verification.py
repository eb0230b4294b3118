"""Verifying (RFC 6376 §6)."""

from posthouse.checks.dkim.digests import BodyDigests
from posthouse.checks.dkim.signature import Signature
from posthouse.mail.dns import Dns
from posthouse.mail.instant import Instant
from posthouse.mail.message import Message


async def verify(
    message: Message, dns: Dns, now: Instant, *, digests: BodyDigests | None = None
) -> tuple[Signature, ...]:
    """Every DKIM signature of a message, top down, at most 10; empty where there is none.

    `digests` are those of `body_digests(message)`, for whoever has them made in a thread because the body is large.
    """
    raise NotImplementedError
