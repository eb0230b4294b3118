"""Known names, laid out so that one domain is compared with thousands of them in a few look-ups.

    house = Index([Known("example.com", Kin.OWN), Known("paypal.com", Kin.PROTECTED, "PayPal")])
    account = Index(Known(domain) for domain in correspondents)
    check("rnail.example", house, account)

A name is found by its shape (one look-up), by its shape under any ending (one), and, one letter off, by the half of
it that an edit leaves whole (six). Only what is found so is compared letter by letter. An index is not changed after
it was made.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from posthouse.checks.finding import Finding, Severity, ranked, result, sentence
from posthouse.checks.lookalike import wording
from posthouse.checks.lookalike.scripts import homograph, invisible, mixture, overrides, script
from posthouse.checks.lookalike.skeleton import differences, fold, shape
from posthouse.checks.suffixes import registrable
from posthouse.mail.address import Address, AddressError, parse_domain
from posthouse.mail.verdict import Verdict

# Names need so many letters before one of them less is worth telling, and where the ending is another one, too.
_SIMILAR_FROM = {"own": 5, "protected": 5, "correspondent": 6}
_SIMILAR_ELSEWHERE_FROM = 7
# From so many letters on a name is nobody else's by chance: under another ending, or as a word among others; of a
# correspondent's it takes more; a short one counts as a word where what deceivers stick to it stands beside it.
_TELLING_FROM = 5
_CORRESPONDENT_FROM = 8
_SHORT_FROM = 3
# As the beginning or the end of a longer word a name needs more: "pineapple" is no apple. What deceivers stick to it
# is worth a warning; anything else may be chance.
_STUCK_FROM = 6
_LURES = frozenset(map(shape, (
    "account", "accounts", "admin", "ag", "alert", "alerts", "auth", "bank", "banking", "billing", "center", "client",
    "clients", "com", "compte", "confirm", "cuenta", "customer", "customs", "de", "delivery", "email", "eu", "express",
    "gmbh", "group", "help", "helpdesk", "hr", "inc", "info", "invoice", "it", "konto", "kunden", "kundendienst",
    "kundenservice", "llc", "login", "ltd", "mail", "my", "net", "notice", "office", "online", "org", "paket",
    "paketdienst", "parcel", "pay", "payment", "payments", "payroll", "portal", "rechnung", "safe", "secure",
    "secured", "security", "service", "services", "shipping", "shop", "sicherheit", "signin", "sso", "staff",
    "support", "team", "tracking", "uk", "update", "us", "verification", "verify", "versand", "web", "webmail", "www",
    "zahlung", "zoll",
)))  # fmt: skip
# At most so many findings about one domain, the gravest; and so many labels and words are looked at.
_FINDINGS = 3
_LABELS = 8
# Words of a label are looked at in runs of so many: "my-example-firm.net" has the name of "example-firm.com" in it.
_RUN = 5


class Kin(StrEnum):
    """Why a name is known: it is ours, somebody here writes to it, or the settings protect it."""

    OWN = "own"
    CORRESPONDENT = "correspondent"
    PROTECTED = "protected"


class Known(NamedTuple):
    """A domain as `Address.domain` has it; `name` is what its owner calls himself, "PayPal", where that is known."""

    domain: str
    kin: Kin = Kin.CORRESPONDENT
    name: str = ""


class _Name(NamedTuple):
    """A registrable domain taken apart: "example" and "co.uk", in U-labels; `shape` is that of the label."""

    domain: str
    label: str
    suffix: str
    shape: str
    kin: Kin


@dataclass(frozen=True, slots=True)
class Lookalike:
    """`findings` with the gravest first; empty where the domain resembles no other, or is itself known."""

    domain: str
    findings: tuple[Finding, ...]
    verdict: Verdict


# Which is told of where several names are resembled alike.
_PRECEDENCE = (Kin.OWN, Kin.PROTECTED, Kin.CORRESPONDENT)


class Index:
    """Some known names. Of two entries for one domain the stronger kin counts: own, protected, correspondent."""

    __slots__ = ("_by_half", "_by_joined", "_by_label", "_by_shape", "_names")

    def __init__(self, known: Iterable[Known] = ()) -> None:
        self._names: dict[str, _Name] = {}
        self._by_shape: dict[str, list[_Name]] = {}
        self._by_label: dict[str, list[_Name]] = {}
        self._by_joined: dict[str, list[_Name]] = {}
        self._by_half: dict[str, list[_Name]] = {}
        for entry in sorted(known, key=lambda entry: _PRECEDENCE.index(entry.kin)):
            self._add(entry)

    def __len__(self) -> int:
        return len(self._names)

    def kin(self, domain: str) -> Kin | None:
        """Why the domain, or the one it is registered under, is known here; None for a stranger."""
        name = self._names.get(_organization(_canonical(domain)))
        return name.kin if name is not None else None

    def compare(self, domain: str, *, by_eye: bool = False) -> tuple[Finding, ...]:
        """Which known names the domain, in A-labels or U-labels, resembles without being any of them.

        With `by_eye` only those that nobody could tell from it by looking.
        """
        domain = _canonical(domain)
        organization = _organization(domain)
        if organization in self._names or domain.startswith("["):
            return ()
        name = _take_apart(organization, Kin.CORRESPONDENT)
        if by_eye:
            return ranked(self._same_shape(name))
        return ranked([
            *self._same_shape(name), *self._other_ending(name), *self._similar(name), *self._embedded(name, domain)
        ])

    def _add(self, entry: Known) -> None:
        name = _take_apart(_organization(_canonical(entry.domain)), entry.kin)
        if not name.label or name.label.startswith("[") or name.domain in self._names:
            return
        self._names[name.domain] = name
        self._by_shape.setdefault(_whole(name), []).append(name)
        self._by_label.setdefault(name.shape, []).append(name)
        self._by_joined.setdefault(_joined(name.label), []).append(name)
        if len(name.label) >= _SIMILAR_FROM[name.kin]:
            folded = fold(name.label)
            for half in _halves(folded, len(folded)):
                self._by_half.setdefault(half, []).append(name)

    def _same_shape(self, name: _Name) -> Iterator[Finding]:
        for known in self._by_shape.get(_whole(name), ()):
            pieces = differences(_shown(known), _shown(name))
            severity = Severity.HIGH if len(known.label) >= _TELLING_FROM - 1 else Severity.MEDIUM
            yield _finding(severity, wording.swapped(_shown(known), pieces), known)

    def _other_ending(self, name: _Name) -> Iterator[Finding]:
        for known in self._by_label.get(name.shape, ()):
            if _whole(known) == _whole(name):
                continue
            if known.label == name.label:
                # Many a firm has its name in several countries.
                severity = Severity.LOW if known.kin is Kin.CORRESPONDENT else Severity.MEDIUM
                text = wording.other_ending(_shown(known), known.suffix, name.suffix)
                yield _finding(severity, text, known)
            elif len(known.label) >= _TELLING_FROM:
                severity = Severity.MEDIUM if known.kin is Kin.CORRESPONDENT else Severity.HIGH
                text = wording.swapped(_shown(known), differences(known.label, name.label))
                yield _finding(severity, f"{text}, and it ends in .{name.suffix}", known)

    def _similar(self, name: _Name) -> Iterator[Finding]:
        """Names that are one edit away."""
        seen: set[str] = set()
        folded = fold(name.label)
        for length in (len(folded) - 1, len(folded), len(folded) + 1):
            for half in _halves(folded, length):
                for known in self._by_half.get(half, ()):
                    if known.domain not in seen and one_edit(known.label, name.label):
                        seen.add(known.domain)
                        yield from _one_off(known, name)

    def _embedded(self, name: _Name, domain: str) -> Iterator[Finding]:
        """A known domain among the labels in front of the registered one, or a known name among its words."""
        front = domain.removesuffix(name.domain).strip(".").split(".")[-_LABELS:]
        for start in range(len(front)):
            for end in range(start + 2, len(front) + 1):
                known = self._names.get(".".join(front[start:end]))
                if known is not None:
                    yield _finding(Severity.HIGH, wording.borrowed(_shown(known), _shown(name)), known)
        labels = (name.label, *front)
        words = [word for label in labels for word in label.split("-")][: 2 * _LABELS]
        for word in dict.fromkeys((*words, *(label.replace("-", "") for label in labels))):
            yield from self._stuck(shape(word))
        for label in labels:
            yield from self._among(label.split("-")[: 2 * _LABELS], name, words)

    def _among(self, words: list[str], name: _Name, every: list[str]) -> Iterator[Finding]:
        """Known names that some neighbouring words of a label make up; `every` are the words of all labels."""
        for start in range(len(words)):
            for end in range(start + 1, min(start + _RUN, len(words)) + 1):
                joined = _joined("".join(words[start:end]))
                for known in self._by_joined.get(joined, ()):
                    length = len(known.label)
                    if known.shape == name.shape:
                        # Told of by its ending.
                        continue
                    if known.kin is Kin.CORRESPONDENT:
                        severity = Severity.LOW if length >= _CORRESPONDENT_FROM else None
                    elif length >= _TELLING_FROM:
                        severity = Severity.MEDIUM
                    else:
                        lured = length >= _SHORT_FROM and not _LURES.isdisjoint(map(shape, every))
                        severity = Severity.MEDIUM if lured else None
                    if severity is not None:
                        yield _finding(severity, wording.compounded(_shown(known)), known)

    def _stuck(self, word: str) -> Iterator[Finding]:
        """Known names that a word begins or ends with; `word` is a shape."""
        for length in range(_STUCK_FROM, len(word)):
            for part, rest in ((word[:length], word[length:]), (word[-length:], word[:-length])):
                for known in self._by_joined.get(part, ()):
                    if known.kin is not Kin.CORRESPONDENT and len(known.label) >= _STUCK_FROM:
                        lured = rest in _LURES or rest == shape(known.suffix.replace(".", ""))
                        severity = Severity.MEDIUM if lured else Severity.LOW
                        yield _finding(severity, wording.compounded(_shown(known)), known)


def check(domain: str, *indexes: Index) -> Lookalike:
    """Compares the author's domain with every index, and looks at how it is written.

    Our own domains and protected ones resemble nobody. Whom one writes to anyway is told of only where nobody could
    tell him from another by looking. The verdict's method is "lookalike"; its word is that of the gravest finding,
    none where there is no finding.
    """
    found = list(_hidden(domain))
    kins = {index.kin(domain) for index in indexes}
    if not domain.startswith("[") and not kins & {Kin.OWN, Kin.PROTECTED}:
        by_eye = Kin.CORRESPONDENT in kins
        found += [finding for index in indexes for finding in index.compare(domain, by_eye=by_eye)]
        found += () if by_eye else _written(domain)
    kept = _gravest(found)
    reason = sentence(kept, "it resembles no other domain that is known here")
    return Lookalike(domain, kept, Verdict("lookalike", result(kept), domain, reason))


def compare(domain: str, known: Iterable[Known]) -> tuple[Finding, ...]:
    """`check` against names that are not needed again; whoever asks more than once makes an `Index`."""
    return check(domain, Index(known)).findings


def _hidden(domain: str) -> Iterator[Finding]:
    """Characters that no domain has, in one that was not parsed: programs differ in what they make of them."""
    if overrides(domain):
        yield Finding("hidden", Severity.HIGH, "turns the direction of its letters, so that it is read backwards")
    if invisible(domain):
        yield Finding("hidden", Severity.HIGH, "holds characters that cannot be seen")


def _written(domain: str) -> Iterator[Finding]:
    """Scripts in a name that do not go together, or that stand in for another, whomever it resembles."""
    shown = Address("", domain.lower()).domain_unicode
    if shown.isascii():
        return
    labels = shown.split(".")[-_LABELS:]
    for label in labels:
        found = mixture(label)
        if found:
            yield Finding("mixed-scripts", Severity.MEDIUM, wording.mixed(found))
        word = homograph(label)
        # In a country's own script a word may look Latin by chance; under a Latin ending it is meant to.
        if word and labels[-1].isascii():
            written = next(filter(None, map(script, label)))
            yield Finding("homograph", Severity.MEDIUM, wording.foreign(written, word))


def _gravest(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """At most three, and of those about one known name only the gravest."""
    kept: dict[str, Finding] = {}
    for finding in ranked(found):
        kept.setdefault(finding.about or finding.kind, finding)
    return tuple(kept.values())[:_FINDINGS]


def _one_off(known: _Name, name: _Name) -> Iterator[Finding]:
    text = wording.edited(_shown(known), known.label, name.label)
    if known.suffix == name.suffix:
        severity = Severity.MEDIUM if known.kin is Kin.CORRESPONDENT else Severity.HIGH
        yield _finding(severity, text, known)
    elif known.kin is not Kin.CORRESPONDENT and len(known.label) >= _SIMILAR_ELSEWHERE_FROM:
        yield _finding(Severity.MEDIUM, f"{text}, and it ends in .{name.suffix}", known)


def _finding(severity: Severity, text: str, known: _Name) -> Finding:
    return Finding("lookalike", severity, text, known.domain)


def _canonical(domain: str) -> str:
    """Lower case and A-labels; what is no domain stays as it is."""
    domain = domain.lower().rstrip(".")
    if domain.isascii():
        return domain
    try:
        return parse_domain(domain)
    except AddressError:
        return domain


def _organization(domain: str) -> str:
    """The registrable domain; the domain itself where there is none."""
    return registrable(domain) or domain


def _take_apart(organization: str, kin: Kin) -> _Name:
    label, _, suffix = Address("", organization).domain_unicode.partition(".")
    return _Name(organization, label, suffix, shape(label), kin)


def _shown(name: _Name) -> str:
    return f"{name.label}.{name.suffix}" if name.suffix else name.label


def _whole(name: _Name) -> str:
    return f"{name.shape}.{shape(name.suffix)}"


def _joined(label: str) -> str:
    """The shape of a label without its hyphens: with and without them, a firm's name reads the same."""
    return shape(label.replace("-", ""))


def _halves(folded: str, length: int) -> tuple[str, str]:
    """The keys of a name of `length`: what is left and what is right of its middle character.

    One edit leaves one of the two whole, wherever it is: a letter lost, added or changed touches one side at most,
    and of two that change places one is the middle or both are on one side.
    """
    half = length // 2
    return f"{length}<{folded[:half]}", f"{length}>{folded[len(folded) - (length - half - 1) :]}"


def one_edit(known: str, other: str) -> bool:
    """Whether one letter was added, dropped or changed, or two neighbours exchanged; never one digit for another."""
    if abs(len(known) - len(other)) > 1:
        return False
    mine, theirs = fold(known), fold(other)
    start = 0
    while start < min(len(mine), len(theirs)) and mine[start] == theirs[start]:
        start += 1
    if len(mine) != len(theirs):
        more, less = (known, other) if len(mine) > len(theirs) else (other, known)
        # "team1" and "team12" are neighbours, not one in disguise of the other.
        counted = more[start].isdigit() and not less.isalpha()
        return mine[start + (more is known) :] == theirs[start + (more is other) :] and not counted
    if start == len(mine):
        return False
    if mine[start + 1 :] == theirs[start + 1 :]:
        return not (known[start].isdigit() and other[start].isdigit())
    return mine[start : start + 2] == theirs[start : start + 2][::-1] and mine[start + 2 :] == theirs[start + 2 :]
