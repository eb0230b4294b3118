"""Octets to text, whatever they claim to be: a short list of known charsets, and a fall-back that always gives text."""


def decode(octets: bytes, charset: str = "") -> str:
    """Text of `octets` by the MIME charset named; never raises.

    An unknown or wrong charset gives UTF-8 where the octets are that, else Windows-1252 (a superset of Latin-1);
    what a charset cannot decode becomes U+FFFD. NUL is kept; line ends are as in the octets.
    """
    raise NotImplementedError


def codec(charset: str) -> str | None:
    """The Python codec for a MIME charset name in any case, or None for one that is unknown or unsafe."""
    raise NotImplementedError
