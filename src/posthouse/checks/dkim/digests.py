"""Hashes of bodies (RFC 6376 §3.7, step 1): one pass for all signatures of a message, in chunks."""

from collections.abc import Mapping

from posthouse.mail.message import Message

# (canonicalization, l= or None) → the SHA-256; None where l= is longer than the body.
BodyDigests = Mapping[tuple[str, int | None], bytes | None]


def body_digests(message: Message) -> BodyDigests:
    """The hashes that the DKIM and ARC signatures of a message ask for. Pure; for large bodies in a thread."""
    raise NotImplementedError
