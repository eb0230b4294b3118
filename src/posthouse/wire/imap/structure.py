"""ENVELOPE, BODY and BODYSTRUCTURE as IMAP octets (RFC 3501 §7.4.2)."""

from posthouse.mail.message import Message, Part


def envelope(source: Message | Part) -> bytes:
    """The parenthesised envelope of a message, or of the message inside a message/rfc822 (its root part)."""
    raise NotImplementedError


def bodystructure(part: Part, extended: bool) -> bytes:
    """The parenthesised structure below `part`: BODYSTRUCTURE with the extension data, BODY without."""
    raise NotImplementedError


def nstring(octets: bytes | None) -> bytes:
    """NIL, a quoted string, or a literal where a quoted string may not hold the octets (8-bit, CR, LF)."""
    raise NotImplementedError
