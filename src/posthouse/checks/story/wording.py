"""Pieces of sentences: spans of time, lists of words, names that fit into a line.

    span(2 * SECOND)                         "2 s"
    span(-(3 * HOUR + 5 * MINUTE))           "3 h 5 min"
    listed(["a", "b", "c"])                  "a, b and c"
    short("a-very-long-name.example", 12)    "a-ver….example"
"""

from collections.abc import Sequence

from posthouse.mail.instant import DAY, HOUR, MINUTE, SECOND, Instant

_UNITS = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))
# More than these are not named one by one.
_LISTED = 4


def span(time: Instant) -> str:
    """How long, without a sign, in its two largest units; whole seconds."""
    left = abs(time)
    pieces: list[str] = []
    for at, (size, unit) in enumerate(_UNITS):
        if left >= size or (unit == "s" and not pieces):
            pieces.append(f"{left // size} {unit}")
            left %= size
            smaller, its_unit = _UNITS[at + 1] if at + 1 < len(_UNITS) else (0, "")
            # Nobody wants to know the hours of weeks.
            if smaller and left >= smaller and abs(time) < 10 * DAY:
                pieces.append(f"{left // smaller} {its_unit}")
            break
    return " ".join(pieces)


def listed(words: Sequence[str]) -> str:
    """At most four of them by name, and how many more."""
    if len(words) > _LISTED:
        return f"{', '.join(words[:_LISTED])} and {len(words) - _LISTED} more"
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def short(text: str, width: int) -> str:
    """`text` in at most `width` characters; what is left out is left out of the middle, since both ends of a name tell
    most."""
    if len(text) <= width:
        return text
    if width < 3:
        return text[:width]
    tail = (width - 1) * 3 // 5
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"
