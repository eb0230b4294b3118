"""Encoded words: text outside ASCII in header fields (RFC 2047, with the language tag of RFC 2231 §5)."""


def decode_words(value: bytes) -> str:
    """Unfolded text with its encoded words decoded, adjacent ones joined before their charset is decoded.

    Tolerant: raw UTF-8 is taken as such, broken words stay as they are; never raises, linear.
    """
    raise NotImplementedError


def encode_words(text: str, *, column: int = 0) -> str:
    """ASCII text for an unstructured field: as it is where possible, else UTF-8 encoded words joined by `\\r\\n `.

    `column` is where the text begins on its first line; no line becomes longer than 76 (RFC 2047 §2).
    """
    raise NotImplementedError


def encode_phrase(text: str) -> str:
    """A display name for an address field: atoms, a quoted string, or encoded words (RFC 5322 §3.2.5, RFC 2047 §5)."""
    raise NotImplementedError
