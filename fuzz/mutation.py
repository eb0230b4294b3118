"""New octets out of old ones: the usual small accidents, pieces of other examples, and the words of a language."""

import random
from collections.abc import Callable, Sequence

LONGEST = 16 * 1024
"""Octets of an input at most; what depends on size is the business of the tests of linearity."""

# What parsers of mail have stumbled over, in any language.
COMMON = (
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n ",
    b"\t",
    b" ",
    b'"',
    b"'",
    b"\\",
    b"(",
    b")",
    b"<",
    b">",
    b"[",
    b"]",
    b"{",
    b"}",
    b":",
    b";",
    b",",
    b".",
    b"@",
    b"=",
    b"/",
    b"*",
    b"%",
    b"&",
    b"+",
    b"-",
    b"_",
    b"~",
    b"!",
    b"\x7f",
    b"\xff",
    b"\xc3\xa9",
    b"\xe2\x80\xae",
    b"\xf0\x9f\x98\x80",
    b"\xed\xa0\x80",
    b"0",
    b"1",
    b"-1",
    b"65536",
    b"4294967295",
    b"4294967296",
    b"18446744073709551616",
    b"9" * 400,
    b"a" * 300,
    b"(" * 120,
    b"\xd9\xa5",
)

Mutate = Callable[["Mutation", bytearray], None]


class Mutation:
    """Makes inputs for one target. `corpus` may grow meanwhile."""

    def __init__(self, chance: random.Random, corpus: Sequence[bytes], words: Sequence[bytes]) -> None:
        self.chance = chance
        self.corpus = corpus
        self.words = (*words, *words, *COMMON) if words else COMMON

    def make(self) -> bytes:
        """One input: most have one to a few changes, a few are noise."""
        chance = self.chance
        if chance.random() < 0.02:
            return chance.randbytes(chance.randrange(200))
        octets = bytearray(chance.choice(self.corpus))
        for _ in range(1 << chance.randrange(5)):
            chance.choice(_WAYS)(self, octets)
        return bytes(octets[:LONGEST])

    def place(self, octets: bytearray) -> int:
        """Anywhere, the end included."""
        return self.chance.randint(0, len(octets))

    def span(self, octets: bytearray) -> slice:
        """A piece, more often a short one."""
        start = self.place(octets)
        return slice(start, start + int(self.chance.expovariate(1 / 12)) + 1)


def _flip(mutation: Mutation, octets: bytearray) -> None:
    if octets:
        octets[mutation.chance.randrange(len(octets))] ^= 1 << mutation.chance.randrange(8)


def _replace(mutation: Mutation, octets: bytearray) -> None:
    if octets:
        octets[mutation.chance.randrange(len(octets))] = mutation.chance.randrange(256)


def _insert_word(mutation: Mutation, octets: bytearray) -> None:
    place = mutation.place(octets)
    octets[place:place] = mutation.chance.choice(mutation.words)


def _put_word(mutation: Mutation, octets: bytearray) -> None:
    octets[mutation.span(octets)] = mutation.chance.choice(mutation.words)


def _delete(mutation: Mutation, octets: bytearray) -> None:
    del octets[mutation.span(octets)]


def _double(mutation: Mutation, octets: bytearray) -> None:
    piece = octets[mutation.span(octets)]
    place = mutation.place(octets)
    octets[place:place] = piece * mutation.chance.choice((1, 1, 1, 2, 30))


def _cut(mutation: Mutation, octets: bytearray) -> None:
    del octets[mutation.place(octets) :]


def _splice(mutation: Mutation, octets: bytearray) -> None:
    other = bytearray(mutation.chance.choice(mutation.corpus))
    octets[mutation.place(octets) :] = other[mutation.place(other) :]


def _borrow(mutation: Mutation, octets: bytearray) -> None:
    other = bytearray(mutation.chance.choice(mutation.corpus))
    place = mutation.place(octets)
    octets[place:place] = other[mutation.span(other)]


def _swap_lines(mutation: Mutation, octets: bytearray) -> None:
    lines = octets.split(b"\r\n")
    if len(lines) > 1:
        one, other = mutation.chance.randrange(len(lines)), mutation.chance.randrange(len(lines))
        lines[one], lines[other] = lines[other], lines[one]
        octets[:] = b"\r\n".join(lines)


_WAYS: tuple[Mutate, ...] = (
    _flip,
    _replace,
    _insert_word,
    _insert_word,
    _put_word,
    _delete,
    _double,
    _cut,
    _splice,
    _borrow,
    _swap_lines,
)
