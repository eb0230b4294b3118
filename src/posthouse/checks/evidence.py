"""What a check keeps of the questions it asked: bounded, and fit for the eyes of people.

Names, records and whatever a peer says of itself may hold any octet and be of any length. In a `Verdict` they are
printable ASCII, and a few of each are enough to see why.
"""

from collections.abc import Sequence
from typing import Final

from posthouse.mail.verdict import Evidence

ANSWERS: Final = 10
ANSWER_CHARACTERS: Final = 500


def asked(kind: str, name: str, answers: Sequence[str]) -> Evidence:
    """A question, as in `TXT example.org`, and the first of its answers."""
    kept = tuple([shown(answer, ANSWER_CHARACTERS) for answer in answers[:ANSWERS]])
    return Evidence(f"{kind} {shown(name, ANSWER_CHARACTERS)}", kept)


def shown(text: str, limit: int = 80) -> str:
    """Any text, printable and short enough for a sentence or a log."""
    if text.isascii() and text.isprintable():
        return text if len(text) <= limit else f"{text[: limit - 3]}..."
    # No more than can be shown is escaped.
    escaped = ascii(text[:limit])[1:-1]
    return escaped if len(escaped) <= limit >= len(text) else f"{escaped[: limit - 3]}..."
