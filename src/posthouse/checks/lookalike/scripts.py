"""Which scripts a name is written in, whether they belong together, and what in it cannot be seen.

    mixture("exаmple")        ("Cyrillic", "Latin"): the a is Cyrillic
    mixture("東京タワー")       (): Japanese is written so
    homograph("аррӏе")        "apple", the Latin word that this is meant to be taken for
    overrides(text)           whether it turns the direction of what follows

Scripts are those of Unicode (UAX 24); which of them may stand in one name is the Highly Restrictive level of UTS 39
§5.2: one script, or Latin with the scripts of Japanese, Chinese or Korean.
"""

import re
from bisect import bisect_right
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from posthouse.checks.lookalike.skeleton import skeleton

# UTS 39 §5.2
_TOGETHER = (
    frozenset(("Latin", "Han", "Hiragana", "Katakana")),
    frozenset(("Latin", "Han", "Bopomofo")),
    frozenset(("Latin", "Han", "Hangul")),
)

# Nobody types these: what follows is shown from the wrong end.
_find_override = re.compile("[\u202d\u202e]").search
# Characters that take no room. Joiners have their use in scripts that join, and between emoji.
_find_invisible = re.compile("[\u00ad\u180e\u200b\u2060-\u2064\ufeff\U000e0000-\U000e007f]").search
_find_joiner = re.compile("[A-Za-z0-9.@][\u200c\u200d][A-Za-z0-9.@]").search


class _Ranges(NamedTuple):
    starts: list[int]
    ends: list[int]
    scripts: list[str]


def script(character: str) -> str:
    """The script of one character; "" for what every script uses: digits, punctuation, marks."""
    code = ord(character)
    if code < 128:
        return "Latin" if character.isalpha() else ""
    ranges = _ranges()
    place = bisect_right(ranges.starts, code) - 1
    return ranges.scripts[place] if place >= 0 and code <= ranges.ends[place] else ""


def scripts(text: str) -> frozenset[str]:
    """The scripts of all characters, without what every script uses."""
    if text.isascii():
        return frozenset(("Latin",)) if any(map(str.isalpha, text)) else frozenset()
    return frozenset(map(script, text)) - {""}


def mixture(text: str) -> tuple[str, ...]:
    """The scripts in `text`, sorted, where no one language is written with all of them; else ()."""
    found = scripts(text)
    if len(found) < 2 or any(found <= together for together in _TOGETHER):
        return ()
    return tuple(sorted(found))


def homograph(text: str) -> str:
    """The ASCII word that a word of another script looks like in every letter; "" for all others."""
    if text.isascii() or len(scripts(text)) != 1 or "Latin" in scripts(text):
        return ""
    word = skeleton(text).lower()
    return word if word.isascii() else ""


def overrides(text: str) -> bool:
    """Whether it holds a direction override (U+202D, U+202E)."""
    return not text.isascii() and _find_override(text) is not None


def invisible(text: str) -> bool:
    """Whether it holds characters that take no room, and joiners where nothing joins."""
    return not text.isascii() and (_find_invisible(text) is not None or _find_joiner(text) is not None)


@lru_cache(maxsize=1)
def _ranges() -> _Ranges:
    found: list[tuple[int, int, str]] = []
    text = files("posthouse.checks.lookalike").joinpath("scripts.txt").read_text("utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, ranges = line.partition("\t")
            for range_ in ranges.split():
                first, _, last = range_.partition("-")
                found.append((int(first, 16), int(last or first, 16), name.replace("_", " ")))
    found.sort()
    return _Ranges([row[0] for row in found], [row[1] for row in found], [row[2] for row in found])
