"""The sentences about lookalikes: "looks like example.com, but the l is a 1"."""

from unicodedata import normalize

from posthouse.checks.lookalike.scripts import script

# Letters and digits whose names begin with a vowel.
_AN = frozenset("aefhilmnorsx8")
# More differences than this are not told one by one.
_TOLD = 3


def swapped(known: str, pieces: list[tuple[str, str]]) -> str:
    """`pieces` as `skeleton.differences` gives them; without any the two differ in nothing that can be seen."""
    if not pieces:
        return f"looks like {known}, but differs in what cannot be seen"
    told = [f"the {_known(mine)} is {_other(mine, theirs)}" for mine, theirs in dict.fromkeys(pieces)]
    if len(told) > _TOLD:
        told = [*told[:_TOLD], "more of the kind"]
    return f"looks like {known}, but {_and(told)}"


def edited(known: str, mine: str, theirs: str) -> str:
    """`mine` and `theirs` are two names one edit apart: a letter added, dropped, changed, or two exchanged."""
    at = next((i for i, pair in enumerate(zip(mine, theirs, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(mine), len(theirs)) if at is None else at
    if len(mine) < len(theirs):
        return f"looks like {known}, but has {_article(theirs[at])} too many"
    if len(mine) > len(theirs):
        return f"looks like {known}, but lacks {_article(mine[at])}"
    if mine[at + 1 :] == theirs[at + 1 :]:
        return f"looks like {known}, but the {_known(mine[at])} is {_other(mine[at], theirs[at])}"
    return f"looks like {known}, but the {mine[at]} and the {mine[at + 1]} have changed places"


def other_ending(known: str, mine: str, theirs: str) -> str:
    """The same name under another public suffix."""
    return f"has the name of {known}, but ends in .{theirs} instead of .{mine}"


def borrowed(known: str, owner: str) -> str:
    """The known domain stands in front of the one that counts."""
    return f"begins like {known}, but belongs to {owner}"


def compounded(known: str) -> str:
    """The known name is one word of several."""
    return f"has the name of {known} in it, but is another domain"


def mixed(found: tuple[str, ...]) -> str:
    return f"mixes {_and(list(found))} letters in one word"


def foreign(found: str, word: str) -> str:
    return f"is written in {found} letters that look like the Latin {word}"


def _known(piece: str) -> str:
    return {"-": "hyphen", ".": "dot"}.get(piece, piece)


def _other(known: str, piece: str) -> str:
    """What stands for `known`: "a 1", "rn", "a Cyrillic а (U+0430)"."""
    if piece.isascii():
        return _article(piece) if len(piece) == 1 else piece
    name, code = script(piece[0]), f"U+{ord(piece[0]):04X}"
    if len(piece) > 1 or not name:
        return f"{piece} ({' '.join(f'U+{ord(character):04X}' for character in piece)})"
    if name == "Latin":
        return f"{_article(piece)} ({code})"
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name} {piece} ({code})"


def _article(character: str) -> str:
    word = _known(character)
    return f"{'an' if normalize('NFD', word)[0] in _AN and word != 'hyphen' else 'a'} {word}"


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
