"""The wildcards of LIST and LSUB (RFC 3501 §6.3.8): `*` matches anything, `%` anything but the separator.

All states are followed at once, as bits of one number: the cost grows with the name, whatever the pattern.
"""

import re

SEPARATOR = "/"
_WILDCARDS = re.compile(r"[*%]+")


class Pattern:
    """One pattern, made once and matched against many names. INBOX is found in any case."""

    __slots__ = ("_anything", "_end", "_inbox", "_level", "_literals")

    def __init__(self, text: str) -> None:
        literals: dict[str, int] = {}
        self._anything = 0
        self._level = 0
        at = position = 0
        for found in _WILDCARDS.finditer(text):
            position = self._spell(text[at : found.start()], position, literals)
            at = found.end()
            # A row of wildcards is as strong as its strongest.
            if "*" in found[0]:
                self._anything |= 1 << position
            else:
                self._level |= 1 << position
        position = self._spell(text[at:], position, literals)
        self._literals = literals
        self._end = 1 << position
        self._inbox = None if text == text.upper() else Pattern(text.upper())

    @staticmethod
    def _spell(piece: str, position: int, literals: dict[str, int]) -> int:
        for character in piece:
            literals[character] = literals.get(character, 0) | 1 << position
            position += 1
        return position

    def matches(self, name: str) -> bool:
        """Whether the whole name matches."""
        # RFC 3501 §5.1: INBOX is the one name that is case-insensitive.
        if name == "INBOX" and self._inbox is not None and self._inbox.matches(name):
            return True
        states = 1
        literals, anything, level = self._literals, self._anything, self._level
        for character in name:
            moved = (states & literals.get(character, 0)) << 1
            states = moved | states & (anything if character == SEPARATOR else anything | level)
            if not states:
                return False
        return bool(states & self._end)
