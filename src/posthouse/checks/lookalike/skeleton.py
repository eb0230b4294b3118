"""What a name looks like: the skeleton of UTS 39 §4, and a coarser shape that also takes digits for letters.

    skeleton("раураl") == skeleton("paypal")        the first five letters are Cyrillic
    shape("examp1e") == shape("example")            caseless, without accents, 1 = l = i, 0 = o, rn = m, vv = w, cl = d
    differences("example", "examp1e")               [("l", "1")]

Two names of one shape are not the same name, but a hurried reader may take one for the other.
"""

import re
from functools import lru_cache
from importlib.resources import files
from unicodedata import combining, normalize

# Invisible wherever it stands: Default_Ignorable_Code_Point (UTS 39 §4 has them removed).
_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_without_ignorable = re.compile(f"[{_IGNORABLE}]+").sub

# Digits for letters as in "examp1e", and letters of one shape in the fonts that programs show addresses in.
_SWAPS = str.maketrans("0123456789i|", "olzeasbtbgll")
# Small capitals, of which the table knows a few only.
_SMALL_CAPITALS = str.maketrans("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz")
# What two characters together look like; m has its prototype "rn" from the table.
_PAIRS = {"vv": "w", "cl": "d"}

# One name is looked at many times while mail of one sender arrives.
_CACHE = 4096


def skeleton(text: str) -> str:
    """The skeleton of UTS 39 §4, without regard to direction: equal for strings that are confusable."""
    decomposed = _without_ignorable("", normalize("NFD", text))
    return normalize("NFD", decomposed.translate(_prototypes()))


def visible(text: str) -> str:
    """The text without what takes no room."""
    return text if text.isascii() else _without_ignorable("", text)


@lru_cache(maxsize=_CACHE)
def shape(text: str) -> str:
    """Equal for names that a hurried reader takes for each other."""
    if text.isascii():
        shaped = text.lower().translate(_ascii_shapes())
    else:
        shaped = "".join(_shape_of(character) for character in normalize("NFC", text))
    for pair, single in _PAIRS.items():
        shaped = shaped.replace(pair, single)
    return shaped


def fold(text: str) -> str:
    """As many characters as `text` has, each folded to the one it looks like; for names that differ by an edit."""
    folded = (_shape_of(character) for character in text)
    return "".join(new if len(new) == 1 else old for new, old in zip(folded, text, strict=True))


def differences(known: str, other: str) -> list[tuple[str, str]]:
    """Where two names of one shape differ: pieces of `known` with what stands for them in `other`, in order."""
    left, right = _pieces(known), _pieces(other)
    found: list[tuple[str, str]] = []
    i = j = 0
    while i < len(left) and j < len(right):
        (mine, my_shape), (theirs, their_shape) = left[i], right[j]
        i, j = i + 1, j + 1
        # "m" has the shape of "rn": pieces are joined until both sides come to an end at the same place.
        while my_shape != their_shape:
            if len(my_shape) < len(their_shape) and i < len(left):
                mine, my_shape = mine + left[i][0], my_shape + left[i][1]
                i += 1
            elif j < len(right):
                theirs, their_shape = theirs + right[j][0], their_shape + right[j][1]
                j += 1
            else:
                break
        if mine.lower() != theirs.lower():
            found.append(_bare(mine, theirs))
    return found


def _bare(mine: str, theirs: str) -> tuple[str, str]:
    """A pair of pieces without the characters in which both agree: of "cl" and "c1" only "l" and "1"."""
    while len(mine) == len(theirs) > 1 and mine[0].lower() == theirs[0].lower():
        mine, theirs = mine[1:], theirs[1:]
    while len(mine) == len(theirs) > 1 and mine[-1].lower() == theirs[-1].lower():
        mine, theirs = mine[:-1], theirs[:-1]
    return mine, theirs


def _pieces(text: str) -> list[tuple[str, str]]:
    """Characters, or pairs that look like one, each with its shape."""
    pieces: list[tuple[str, str]] = []
    for character in normalize("NFC", text):
        shaped = _shape_of(character)
        pair = _PAIRS.get(pieces[-1][1] + shaped) if pieces else None
        if pair is not None:
            pieces[-1] = (pieces[-1][0] + character, pair)
        elif shaped or not pieces:
            pieces.append((character, shaped))
        else:
            pieces[-1] = (pieces[-1][0] + character, pieces[-1][1])
    return pieces


@lru_cache(maxsize=_CACHE)
def _shape_of(character: str) -> str:
    letter = character.lower().translate(_SMALL_CAPITALS)
    bare = "".join(c for c in normalize("NFD", skeleton(letter).lower()) if not combining(c))
    return bare.translate(_SWAPS)


@lru_cache(maxsize=1)
def _ascii_shapes() -> dict[int, str]:
    return {code: _shape_of(chr(code)) for code in range(128)}


@lru_cache(maxsize=1)
def _prototypes() -> dict[int, str]:
    """Each confusable character with its prototype, from confusables.txt; some 7,000."""
    table: dict[int, str] = {}
    text = files("posthouse.checks.lookalike").joinpath("confusables.txt").read_text("utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            codes, _, sources = line.partition("\t")
            prototype = "".join(chr(int(code, 16)) for code in codes.split())
            table.update((int(source, 16), prototype) for source in sources.split())
    return table
