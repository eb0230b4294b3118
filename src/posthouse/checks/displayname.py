"""Display names as people read them: words without titles and offices, by the shapes of their letters.

    telling("Dr. Anna Schmidt (Partner)")       ["anna", "schmidt"]
    personal("SCHMIDT, Anna")                   "anna schmidt": the key by which two of one name are found
    pieces("PayPal-Service")                    ["Pay", "Pal", "Service"]
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from unicodedata import normalize

from posthouse.checks.lookalike.index import one_edit
from posthouse.checks.lookalike.scripts import scripts
from posthouse.checks.lookalike.skeleton import shape, visible

# So much of a display name is looked at, before and after it is brought into one form.
RAW_CHARACTERS = 2_000
NAME_CHARACTERS = 200
# A name is looked for in so many pieces at most, and these in runs of so many.
PIECES = 100
RUN = 6
# From so many letters on names of people are compared without regard to where their words begin.
_JOINED_FROM = 8

# Words of names that many share: a name of nothing else is nobody's.
_TITLES = frozenset((
    "dr", "prof", "professor", "mr", "mrs", "ms", "miss", "mx", "sir", "herr", "frau", "monsieur", "madame",
    "m", "mme", "sr", "sra", "dott", "ing", "dipl", "mag", "phd", "md", "jr", "sen",
))
_ROLES = frozenset((
    "abteilung", "administración", "administratie", "amministrazione", "assistenza", "boekhouding", "comptabilité",
    "contabilidad", "contabilità", "dirección", "direction", "direktion", "direzione", "director", "drive", "employee",
    "employees", "executive", "facturación", "facturation", "finanzabteilung", "geschäftsführung", "geschäftsleitung",
    "human", "humaines", "intern", "internal", "kundendienst", "księgowość", "mailbox", "management", "personal",
    "personalabteilung", "personnel", "president", "resources", "ressources", "sekretariat", "soporte", "users",
    "verwaltung", "zentrale", "бухгалтерия", "поддержка",
    "admin", "admins", "administration", "administrator", "abuse", "account", "accounts", "accounting", "alert",
    "alerts", "billing", "bot", "buchhaltung", "ceo", "cfo", "center", "centre", "contact", "customer", "daemon",
    "delivery", "department", "desk", "edv", "einkauf", "finance", "help", "helpdesk", "hostmaster", "hr", "info",
    "invoice", "it", "kontakt", "kundenservice", "list", "login", "mail", "mailer", "mailing", "manager", "marketing",
    "message", "messages", "news", "newsletter", "no", "noreply", "notice", "notification", "notifications", "office",
    "official", "online", "order", "orders", "our", "password", "payroll", "portal", "postmaster", "press", "rechnung",
    "reply", "root", "sales", "secure", "security", "server", "service", "servicedesk", "services", "shop", "staff",
    "support", "system", "systems", "team", "the", "update", "vertrieb", "webmail", "webmaster", "www", "your", "via",
    "de", "von", "van", "and", "und", "et", "of", "at", "for", "from",
))
EMPTY_WORDS = _TITLES | _ROLES
# With what a firm is in law, which now and then is in the name of a person as well.
OFFICES = _ROLES | frozenset((
    "ab", "ag", "aps", "as", "bv", "co", "company", "corp", "corporation", "gmbh", "group", "gruppe", "holding", "inc",
    "kg", "limited", "llc", "ltd", "nv", "oy", "plc", "sa", "sarl", "sas", "se", "sl", "spa", "srl",
))

# How letters are written where they are missing on a keyboard; without their marks they are read anyway.
_WRITTEN_OUT = {
    ord(letter): written
    for small, written in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("å", "aa"), ("ø", "oe"), ("æ", "ae"))
    for letter in (small, small.upper())
}

_find_words = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*").findall
_find_plain_words = re.compile(r"[^\W_]+").findall
# Marks that no letter takes: they strike it through or underline it, and would cut a word.
_without_marks = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+").sub
_without_brackets = re.compile(r"\([^()]*\)|\[[^\[\]]*\]").sub


def readable(name: str) -> str:
    """A name as it is seen: one form of each letter, nothing that takes no room, white space as one space."""
    return _seen(name[:RAW_CHARACTERS])


# The same name is looked at several times, for each account that a message goes to.
@lru_cache(maxsize=256)
def _seen(name: str) -> str:
    plain = _without_marks("", visible(normalize("NFKC", name))).replace("\u3002", ".").replace("\u2800", " ")
    return " ".join(plain.split())[:NAME_CHARACTERS]


def pieces(name: str) -> list[str]:
    """The words of a name, cut at hyphens and where a small letter is followed by a capital: "Pay", "Pal".

    A capital at the very end begins no word: GmbH.
    """
    found: list[str] = []
    for word in _find_plain_words(readable(name)):
        start = 0
        for at in range(1, len(word) - 1):
            if word[at - 1].islower() and word[at].isupper():
                found.append(word[start:at])
                start = at
        found.append(word[start:])
    return found[:PIECES]


def runs(pieces: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Neighbouring pieces by their places, with the shape that they have when joined."""
    for start in range(len(pieces)):
        for end in range(start + 1, min(start + RUN, len(pieces)) + 1):
            yield start, end, shape("".join(pieces[start:end]))


def split(name: str) -> list[str]:
    """Its words as they stand, joined ones whole."""
    return _find_words(readable(name))


def words(name: str) -> list[str]:
    """The words of a name by their shapes: "PayPaI" and "PayPal" are the same."""
    return [shape(part) for word in split(name) for part in word.split("-")]


# In Chinese, Japanese and Korean a full name is one word.
_FULL_NAMES = frozenset(("Han", "Hangul", "Hiragana", "Katakana"))
_FULL_NAME_CHARACTERS = 3


def telling(name: str) -> list[str]:
    """The shapes of its words that are more than a title or the name of an office, in order."""
    words = split(_without_brackets(" ", name[:RAW_CHARACTERS]))
    return [shape(word.casefold()) for word in words if word.casefold() not in EMPTY_WORDS]


def spellings(name: str) -> tuple[str, ...]:
    """A name as it is written and, where it has such letters, with two for each of them: Jürgen, Juergen."""
    plain = name if name.isascii() else readable(name)
    written_out = plain.translate(_WRITTEN_OUT)
    return (name,) if written_out == plain else (name, written_out)


def joined(words: Sequence[str]) -> str:
    """A name without its gaps; "" for one that is too short to be told by that."""
    whole = "".join(words).replace("-", "")
    return whole if len(whole) >= _JOINED_FROM or _is_full(whole) else ""


def rest(words: Sequence[str], at: int) -> str:
    """All words but one, in one order."""
    return " ".join(sorted((*words[:at], *words[at + 1 :])))


def misspelt(known: str, word: str) -> bool:
    """Whether a letter was added or left out, or two have changed places."""
    return (len(known) != len(word) or sorted(known) == sorted(word)) and known != word and one_edit(known, word)


def personal(name: str) -> str:
    """A name as one is looked up by; "" for one that could be anybody's: a single word, or a role."""
    words = sorted(telling(name))
    return "" if len(words) == 1 and not _is_full(words[0]) else " ".join(words)


def _is_full(word: str) -> bool:
    return len(word) >= _FULL_NAME_CHARACTERS and bool(scripts(word) & _FULL_NAMES)
