"""Junk or not, by what an account has called junk before: tokens of a message, and what their counts say together.

    seen = tokens(message)                                   {"invoice", "subject:offer", "link:shop.example", …}
    found = judge(seen, {"offer": Count(9, 1), …}, Corpus(120, 340))
    found.score, found.clues                                 0.9987, (Clue("subject:offer", 0.94), …)

Every account has counts of its own: in how many junk and good messages each token stood. They come in as values, and
learning is adding one to each token of a message (`tokens` gives each once). A token's probability leans towards one
half while it was seen seldom (Robinson); the most telling ones are put together with Fisher's method once for junk
and once for good mail (chi-squared), so that a message that looks like both, or like nothing, comes out near one half
and is left alone. `clues` are the tokens that decided, the most telling first.

Only what the author chose is looked at: words, addresses, links, the make of the message. Fields of the way it took
tell more about the reader's mail system than about the mail.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, prod
from typing import NamedTuple
from unicodedata import normalize
from urllib.parse import unquote

from posthouse.checks.suffixes import registrable
from posthouse.mail.bodies import Bodies, bodies
from posthouse.mail.mailboxes import mailboxes
from posthouse.mail.message import Message
from posthouse.mail.preview import readable
from posthouse.mail.verdict import Verdict

# What is looked at in one message at most.
TOKENS = 3_000
_TEXTS = 6
_TEXT_OCTETS = 98_304
_TEXT_CHARACTERS = 32_768
_FIELD_CHARACTERS = 2_000
_LINKS = 100
_ATTACHMENTS = 50
_RECIPIENTS = 100

# A token in characters: shorter ones say nothing, longer ones are told by their beginning and length.
_SHORTEST = 3
_LONGEST = 20
_IN_CAPITALS = 4
TOKEN_CHARACTERS = 60

# Robinson's prior: how much a token is worth before it was seen, and what is taken for it then.
_STRENGTH = 0.45
_PRIOR = 0.5
_CERTAIN = 1e-6
_MULTIPLIED = 40
# Tokens that are nearer to one half than this say nothing; of the others so many count.
_DEVIATION = 0.2
_COUNTED = 150
# Below so many messages of either kind nothing is said at all.
TRAINED = 10
# From here on a message is junk, and up to here it is good.
JUNK = 0.90
GOOD = 0.20
# So many clues are kept to be told.
_TOLD = 15
_IN_REASON = 5

_find_words = re.compile(r"[$€£]?[^\W_](?:[\w'’.,$€£%+-]*[\w%$€£])?!*").findall
_match_link = re.compile(r"([^\s/?#\"'<>]{1,255})([^\s\"'<>]{0,255})").match
_SCHEMES = ("http", "https", "ftp")
_find_tags = re.compile(r"<([a-z][a-z0-9]{0,15})\b", re.IGNORECASE).findall
_find_words_of_path = re.compile(r"[A-Za-z]{3,20}").findall
_find_extension = re.compile(r"\.([A-Za-z0-9]{1,8})\Z").search
# Tags that say something about who makes such mail; the others are in every HTML.
_TELLING_TAGS = frozenset((
    "a", "applet", "bgsound", "blink", "center", "embed", "font", "form", "iframe", "img", "input", "link", "map",
    "marquee", "meta", "object", "script", "style", "table",
))


class Count(NamedTuple):
    """In how many junk and in how many good messages a token stood."""

    junk: int
    good: int


class Corpus(NamedTuple):
    """How many messages the counts are from."""

    junk: int
    good: int


class Clue(NamedTuple):
    """A token, and how probable it makes junk."""

    token: str
    probability: float


@dataclass(frozen=True, slots=True)
class Bayes:
    """`score` is 0 for good and 1 for junk; 0.5 where nothing is known, and the verdict then says neutral or none."""

    score: float
    clues: tuple[Clue, ...]
    verdict: Verdict


def tokens(message: Message) -> frozenset[str]:
    """The tokens of a message, at most 3,000; each at most 60 characters, printable, in lower case. Linear."""
    found = {token[:TOKEN_CHARACTERS] for token in _of_header(message)}
    for some in _of_body(message):
        left = TOKENS - len(found)
        found.update(some if len(some) <= left else some[:left])
    return frozenset(found)


def judge(seen: Iterable[str], counts: Mapping[str, Count], corpus: Corpus) -> Bayes:
    """What the account's counts say about a message with these tokens. `counts` may lack what was never seen.

    The verdict's method is "bayes": pass for good mail, fail for junk, neutral in between, none while the account has
    seen fewer than 10 messages of either kind.
    """
    if min(corpus.junk, corpus.good) < TRAINED:
        reason = f"there are not yet {TRAINED} messages of either kind to learn from"
        return Bayes(0.5, (), Verdict("bayes", "none", "", reason))
    clues = _clues(seen, counts, corpus)
    score = combined([clue.probability for clue in clues])
    result, word = ("fail", "junk") if score >= JUNK else ("pass", "good mail") if score <= GOOD else ("neutral", "")
    return Bayes(score, clues[:_TOLD], Verdict("bayes", result, "", _reason(score, word, clues)))


def combined(probabilities: Sequence[float]) -> float:
    """Fisher's method both ways: 1 for junk, 0 for good mail, near 0.5 for what is both or neither.

    Each probability is at least 1e-6 away from 0 and from 1.
    """
    count = len(probabilities)
    if not count:
        return 0.5
    for_junk = for_good = 0.0
    # A product of so many stays within the range of floats, and one logarithm is enough for it.
    for start in range(0, count, _MULTIPLIED):
        some = probabilities[start : start + _MULTIPLIED]
        for_junk -= 2.0 * log(prod([1.0 - p for p in some]))
        for_good -= 2.0 * log(prod(some))
    junk = 1.0 - _chi_squared(for_junk, count)
    good = 1.0 - _chi_squared(for_good, count)
    return (1.0 + junk - good) / 2.0


def _chi_squared(value: float, count: int) -> float:
    """The probability that chi-squared with 2 * `count` degrees of freedom is at least `value`."""
    half = value / 2.0
    # Beyond 745 this is 0, and so, with as few tokens as count, is the sum to all the digits there are.
    total = term = exp(-half)
    for i in range(1, count):
        term *= half / i
        total += term
    return min(total, 1.0)


def _clues(seen: Iterable[str], counts: Mapping[str, Count], corpus: Corpus) -> tuple[Clue, ...]:
    """The tokens that count, the most telling first; equal ones in the order of the alphabet."""
    clues = []
    junk_messages, good_messages = corpus
    for token in seen:
        count = counts.get(token)
        if count is None:
            continue
        junk, good = count
        times = junk + good
        if not times:
            continue
        # How probable it makes junk, leaning towards one half while it was seen seldom; never quite 0 or 1.
        share = junk / junk_messages
        p = (_STRENGTH * _PRIOR + times * share / (share + good / good_messages)) / (_STRENGTH + times)
        deviation = abs(p - 0.5)
        if deviation >= _DEVIATION:
            clues.append((-deviation, token, min(max(p, _CERTAIN), 1.0 - _CERTAIN)))
    clues.sort()
    return tuple([Clue(token, p) for _, token, p in clues[:_COUNTED]])


def _reason(score: float, word: str, clues: tuple[Clue, ...]) -> str:
    if not word:
        return f"it has as much of junk as of good mail ({score:.0%})"
    leaning = [clue.token for clue in clues if (clue.probability > 0.5) == (score > 0.5)][:_IN_REASON]
    return f"it looks like {word} ({score:.1%}), most of all by {', '.join(f'“{token}”' for token in leaning)}"


def _of_body(message: Message) -> Iterator[list[str]]:
    split = bodies(message.root)
    yield list(_of_make(message, split))
    texts = {id(part): part for part in (*split.text, *split.html) if part.content_type[0] == "text"}
    for part in list(texts.values())[:_TEXTS]:
        text = part.text(_TEXT_OCTETS)
        yield list(_of_links(text))
        if part.content_type[1] == "html":
            yield [f"tag:{tag}" for tag in sorted({tag.lower() for tag in _find_tags(text)} & _TELLING_TAGS)]
            text = readable(text, _TEXT_CHARACTERS)
        yield _words(text[:_TEXT_CHARACTERS])


def _of_header(message: Message) -> Iterator[str]:
    header = message.header
    subject = header.text("subject")[:_FIELD_CHARACTERS]
    for word in _words(subject):
        yield f"subject:{word}"
    if len(subject) > 8 and subject.isupper():
        yield "subject:in capitals"
    authors = mailboxes(header.addresses("from")[:1])
    for author in authors:
        for word in _words(author.display_name[:_FIELD_CHARACTERS]):
            yield f"from:{word}"
        if author.address is not None:
            yield f"from:{author.address.key}@{author.address.domain}"
            yield f"from:{_organization(author.address.domain)}"
    for answered in mailboxes(header.addresses("reply-to")[:1]):
        if answered.address is not None and not any(answered.address == author.address for author in authors):
            yield f"reply-to:{_organization(answered.address.domain)}"
    for name in ("x-mailer", "user-agent"):
        for word in _words(header.text(name)[:_FIELD_CHARACTERS])[:4]:
            yield f"mailer:{word}"
    recipients = len(mailboxes((header.addresses("to") + header.addresses("cc"))[:_RECIPIENTS]))
    yield f"recipients:{'many' if recipients > 7 else ('none', 'one', 'some')[min(recipients, 2)]}"
    for name in ("list-id", "list-unsubscribe", "in-reply-to", "precedence", "x-priority", "x-msmail-priority"):
        if header.get(name) is not None:
            yield f"field:{name}"


def _of_make(message: Message, split: Bodies) -> Iterator[str]:
    for index, part in enumerate(message.root.walk()):
        if index == _ATTACHMENTS:
            break
        yield f"type:{'/'.join(part.content_type)}"[:TOKEN_CHARACTERS]
        charset = part.parameters.get("charset", "")
        if charset:
            yield f"charset:{_plain(charset)}"[:TOKEN_CHARACTERS]
    if split.text and all(part.content_type[1] == "html" for part in split.text):
        yield "type:html alone"
    for part in split.attachments[:_ATTACHMENTS]:
        extension = _find_extension(part.filename)
        yield f"attached:{extension[1].lower() if extension else 'without extension'}"


def _of_links(text: str) -> Iterator[str]:
    count = at = 0
    # A search for the mark itself is several times as fast as one for all that may stand before it.
    while count < _LINKS and (at := text.find("://", at)) >= 0:
        at += 3
        match = _match_link(text, at)
        if match is None or not text[at - 8 : at - 3].lower().endswith(_SCHEMES):
            continue
        count += 1
        host = _plain(match[1].rpartition("@")[2].partition(":")[0])
        if host.replace(".", "").isdigit():
            yield "link:by number"
        else:
            yield f"link:{_organization(host)}"[:TOKEN_CHARACTERS]
        if "@" in match[1] or "%" in match[1]:
            yield "link:disguised"
        for word in _find_words_of_path(unquote(match[2]))[:4]:
            yield f"path:{word.lower()}"


def _words(text: str) -> list[str]:
    """Words, prices and shouts as they stand, in lower case; those in capitals once more as such."""
    if not text.isascii():
        text = normalize("NFKC", text)
    found = []
    for word in dict.fromkeys(_find_words(text)):
        length = len(word)
        if length > _LONGEST:
            found.append(f"long:{word[0].lower()}:{min(length // 10, 9) * 10}")
        elif length >= _SHORTEST or not word.isascii():
            lower = word.casefold()
            found.append(lower)
            if length >= _IN_CAPITALS and word.isupper():
                found.append(f"capitals:{lower}")
    return found


def _organization(domain: str) -> str:
    return registrable(domain) or domain


def _plain(text: str) -> str:
    text = text.strip().lower()[:TOKEN_CHARACTERS]
    return text if text.isprintable() else ascii(text)[1:-1]
