"""Signing (RFC 6376 §5): DKIM-Signature fields for a message that is about to leave."""

from collections.abc import Sequence

from posthouse.checks.dkim.keys import SigningKey
from posthouse.mail.headers import Octets
from posthouse.mail.instant import Instant


class SigningFault(ValueError):
    """The message cannot be signed so that anybody should believe it. The text is a sentence."""


def sign(
    octets: Octets, keys: Sequence[SigningKey], now: Instant, *, prefix: bytes = b"", lifetime: int | None = None
) -> bytes:
    """The complete DKIM-Signature fields, one for each key, CRLF included, to be put in front of everything.

    `prefix` are fields that will stand in front of `octets` when it leaves, and are signed as if they were in it.
    `lifetime` in seconds gives x=. Pure and without I/O, but some ms for RSA and more for large bodies. Raises
    SigningFault.
    """
    raise NotImplementedError
