"""Does a message pretend to be from somebody else, without saying anything that SPF, DKIM or DMARC could test?

    house = Circle(own_people, known=[Known("paypal.com", Kin.PROTECTED, "PayPal")])
    circle = Circle(correspondents, beside=house)              whom an account knows
    check(message, circle, lookalike.findings).findings

Anybody may put any name before his address. So what a reader sees is held against whom he knows: a name with another
address in it, the name of an acquaintance or of a protected brand before an address that is neither's, an answer that
would go elsewhere, text that is turned round or cannot be seen. A first letter that asks for money, presses for time
and wants its answer sent elsewhere is how firms are robbed (business e-mail compromise): no single sign means much,
together they are a warning.

A warning is all that ever comes of it. The verdict's word is at most softfail, which no rule turns into a refusal,
and what was found is shown to the reader: a message is never dropped for how it sounds.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from posthouse.checks import displayname, phrases
from posthouse.checks.finding import Finding, Severity, ranked, result, sentence
from posthouse.checks.lookalike import Index, Kin, Known
from posthouse.checks.lookalike import check as compare
from posthouse.checks.lookalike.scripts import invisible, mixture, overrides
from posthouse.checks.lookalike.skeleton import shape
from posthouse.checks.phrases import Topic
from posthouse.checks.suffixes import registrable
from posthouse.mail.address import Address, AddressError, parse_domain
from posthouse.mail.bodies import bodies
from posthouse.mail.headers import Header
from posthouse.mail.mailboxes import Mailbox, mailboxes
from posthouse.mail.message import Message
from posthouse.mail.preview import readable
from posthouse.mail.verdict import Verdict
from posthouse.mail.words import decode_words

# So much of a subject and a body is looked at; of a body also in octets, before it is decoded.
_SUBJECT_CHARACTERS = 1_000
_BODY_CHARACTERS = 8_192
_BODY_OCTETS = 32_768
_TEXTS = 2
_ATTACHMENTS = 20
_REPLY_TO = 50
_LIST_CHARACTERS = 500
_DOMAINS = 40
_LOCAL_PART = 100
_ADDRESSES = 40
# The first label of a domain counts as its owner's name from so many letters on.
_LABEL_FROM = 4
# From so many letters on the names of brands are compared without regard to where their words begin.
_JOINED_FROM = 6
# Spelt letter by letter ("D H L") a shorter one counts as well.
_SPELT_FROM = 3
# A word of a name needs so many letters before another that has one more or less is taken for it.
_WORD_FROM = 6

# Where anybody gets an address within a minute; an answer that leads there from a firm's address is no firm's.
FREEMAIL = frozenset((
    "mac.com", "web.de", "t-online.de", "freenet.de", "mail.com", "mail.ru", "proton.me", "protonmail.com", "pm.me",
    "tutanota.com", "tuta.com", "orange.fr", "free.fr", "laposte.net", "libero.it", "wp.pl", "o2.pl", "onet.pl",
    "interia.pl", "seznam.cz", "qq.com", "163.com", "126.com", "naver.com", "ukr.net", "icloud.com", "me.com",
    "rocketmail.com", "gmx.net", "zohomail.com", "bk.ru", "inbox.ru", "list.ru", "fastmail.com",
    *(f"{name}.{ending}" for name in (
        "gmail", "googlemail", "outlook", "hotmail", "live", "msn", "yahoo", "ymail", "aol", "gmx", "yandex", "zoho",
    ) for ending in (
        "com", "ar", "at", "be", "by", "ca", "ch", "cl", "cn", "co", "co.id", "co.il", "co.in", "co.jp", "co.kr",
        "co.nz", "co.th", "co.uk", "co.za", "com.ar", "com.au", "com.br", "com.cn", "com.co", "com.gr", "com.hk",
        "com.mx", "com.my", "com.pe", "com.ph", "com.sg", "com.tr", "com.tw", "com.ua", "com.ve", "com.vn", "cz",
        "de", "dk", "es", "eu", "fi", "fr", "gr", "hu", "ie", "in", "it", "jp", "kr", "kz", "lt", "lv", "my", "nl",
        "no", "ph", "pl", "pt", "ro", "rs", "ru", "sa", "se", "sg", "sk", "ua", "uk",
    )),
))  # fmt: skip

_DOMAIN = r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_][\w-]{1,62}"
_find_addresses = re.compile(rf"([\w.%+'-]{{1,64}})( ?@ ?)({_DOMAIN})").findall
# Addresses that no person writes from.
_is_machine = re.compile(
    r"(?:.*[._+-])?(?:no-?reply|do-?not-?reply|noresponder|nepasrepondre|mailer|notifications?|notify|wordpress|webform"
    r"|contactform|kontaktformular|formular)(?:[._+-].*)?",
    re.IGNORECASE,
).fullmatch
# The domain of a list's id or of its address: what is in angle brackets, or stands there alone.
_find_list = re.compile(r"[@.<]([\w-]+(?:\.[\w-]+)+)>?(?=[?\s]|$)").findall
# A domain by itself: neither end of it belongs to an address.
_find_domains = re.compile(rf"(?<![\w.@-]){_DOMAIN}(?![\w@-])").findall


class Acquaintance(NamedTuple):
    """Somebody an account knows: it has written to him, or he has an account in the same house (`own`)."""

    display_name: str
    address: Address
    own: bool = False


@dataclass(frozen=True, slots=True)
class Impostor:
    """`signs` are the single signs that were counted, whether or not they came to a warning, in plain words."""

    findings: tuple[Finding, ...]
    signs: tuple[str, ...]
    first_contact: bool
    verdict: Verdict


class Circle:
    """Whom an account knows, laid out for look-ups; made once and not changed.

    `known` are domains with the names their owners go by; `index` is what lookalikes of them are found by, where that
    was made already. `beside` is a circle that is asked as well: an account's is
    made beside that of the house, which holds the people and domains that all of its accounts have in common.
    """

    __slots__ = (
        "_addresses", "_beside", "_brands", "_indexes", "_joined", "_labels", "_names", "_organizations", "_parts",
        "_rests", "_shapes",
    )  # fmt: skip

    def __init__(
        self, people: Iterable[Acquaintance] = (), known: Sequence[Known] = (), beside: "Circle | None" = None,
        index: Index | None = None,
    ) -> None:
        self._beside = beside
        own = index if index is not None else Index(known)
        self._indexes: tuple[Index, ...] = (own, *beside._indexes) if beside is not None else (own,)
        self._addresses: set[tuple[str, str]] = set()
        self._shapes: dict[tuple[str, str], Acquaintance] = {}
        self._names: dict[str, list[Acquaintance]] = {}
        self._organizations: set[str] = set()
        self._brands: dict[str, list[Known]] = {}
        self._labels: dict[str, Known] = {}
        self._joined: dict[str, Known] = {}
        self._parts: dict[str, list[tuple[frozenset[str], Acquaintance]]] = {}
        self._rests: dict[str, list[tuple[str, Acquaintance]]] = {}
        for person in people:
            self._addresses.add(_key(person.address))
            if person.address.domain in FREEMAIL:
                self._shapes.setdefault(_shape_of(person.address), person)
            self._organizations.update((_organization(person.address.domain),) if person.own else ())
            self._add(person)
        for entry in known:
            self._organizations.update((_organization(entry.domain),) if entry.kin is not Kin.CORRESPONDENT else ())
            words = displayname.words(entry.name)
            if words:
                self._brands.setdefault(words[0], []).append(entry)
            joined = shape("".join(displayname.pieces(entry.name)))
            if len(joined) >= _SPELT_FROM:
                self._joined.setdefault(joined, entry)
            label = _label(entry)
            if label:
                self._labels.setdefault(label, entry)

    def _add(self, person: Acquaintance) -> None:
        """Lays a name out, in each of its spellings: whole, without its gaps, by its longest word, and without each
        word in turn.
        """
        for spelling in displayname.spellings(person.display_name):
            words = displayname.telling(spelling)
            keys = {displayname.personal(spelling)}
            if len(words) > 1:
                keys |= {displayname.joined(words), displayname.joined(words[::-1])}
            for key in keys - {""}:
                self._names.setdefault(key, []).append(person)
            if len(words) < 2 or min(map(len, words)) < 2:
                continue
            self._parts.setdefault(max(words, key=len), []).append((frozenset(words), person))
            for at, word in enumerate(words[: displayname.RUN] if person.own else ()):
                if len(word) >= _WORD_FROM:
                    self._rests.setdefault(displayname.rest(words, at), []).append((word, person))

    def knows(self, address: Address) -> bool:
        """Whether the account has to do with this very address."""
        return _key(address) in self._addresses or (self._beside is not None and self._beside.knows(address))

    def doubled(self, address: Address) -> Acquaintance | None:
        """Who has an address at the same provider for everybody that looks like this one."""
        found = self._shapes.get(_shape_of(address))
        return self._beside.doubled(address) if found is None and self._beside is not None else found

    def owns(self, domain: str) -> bool:
        """Whether the domain is one of the house or a protected one."""
        return _organization(domain) in self._organizations or (
            self._beside is not None and self._beside.owns(domain)
        )

    def namesakes(self, display_name: str) -> list[Acquaintance]:
        """The acquaintances who go by that name, in whatever order, letters and titles it is written."""
        keys: list[str] = []
        for spelling in displayname.spellings(display_name):
            keys += (displayname.personal(spelling), displayname.joined(displayname.telling(spelling)))
        found = [person for key in dict.fromkeys(keys) if key for person in self._names.get(key, ())]
        return [*found, *self._beside.namesakes(display_name)] if self._beside is not None else found

    def likenesses(self, display_name: str) -> list[Acquaintance]:
        """The acquaintances all of whose name is in that name, and people of the house with a letter more or less.

        A letter that is another one makes another name: Schmidt and Schmitt are two families.
        """
        found: list[Acquaintance] = []
        for spelling in displayname.spellings(display_name):
            words = displayname.telling(spelling)[: displayname.PIECES]
            every = frozenset(words)
            for word in dict.fromkeys(words):
                found += [person for name, person in self._parts.get(word, ()) if name <= every]
            for at, word in enumerate(words if len(words) <= displayname.RUN else ()):
                nearly = self._rests.get(displayname.rest(words, at), ())
                found += [person for known, person in nearly if displayname.misspelt(known, word)]
        return [*found, *self._beside.likenesses(display_name)] if self._beside is not None else found

    def brands(self, display_name: str) -> list[Known]:
        """The protected names that stand in that name, word by word."""
        words = displayname.words(display_name)
        found = [
            entry
            for at, word in enumerate(words)
            for entry in self._brands.get(word, ())
            if words[at : at + len(displayname.words(entry.name))] == displayname.words(entry.name)
        ]
        pieces = displayname.pieces(display_name)
        found += [
            self._joined[joined]
            for start, end, joined in displayname.runs(pieces)
            if joined in self._joined and (len(joined) >= _JOINED_FROM or max(map(len, pieces[start:end])) == 1)
        ]
        return [*found, *self._beside.brands(display_name)] if self._beside is not None else found

    def posts(self, display_name: str) -> list[Known]:
        """The domains of ours and protected ones by whose label that name calls some office: "Example Helpdesk".

        Only where all else in it is the name of an office: with "example.org" in the house, "Ann Example" may be
        anybody's name.
        """
        pieces, roles = displayname.pieces(display_name), displayname.OFFICES
        found = [
            self._labels[label]
            for start, end, label in displayname.runs(pieces)
            if label in self._labels and all(each.casefold() in roles for each in (*pieces[:start], *pieces[end:]))
        ]
        return [*found, *self._beside.posts(display_name)] if self._beside is not None else found

    def resembled(self, domain: str) -> tuple[Finding, ...]:
        """What `lookalike.check` finds about the domain, for this account."""
        return compare(domain, *self._indexes).findings


def check(
    message: Message, circle: Circle, resembled: Sequence[Finding] = (), proven: frozenset[str] | None = None
) -> Impostor:
    """Examines a message from outside for one account. `resembled` is what `lookalike.check` found, for the sum.

    `proven` are the domains that SPF or DKIM proves to have sent it; None where that was not asked, and a list is
    believed to be one.

    The one mailbox of From is asked for, as `mail.author` gives it; without one there is nothing to compare with.
    """
    header = message.header
    senders = mailboxes(header.addresses("from")[:1])
    address = senders[0].address if senders else None
    if address is None:
        return Impostor((), (), True, Verdict("impostor", "none", "", "the author cannot be told"))
    name = senders[0].display_name[: displayname.RAW_CHARACTERS]
    first = not circle.knows(address)
    findings = [*_embedded(name, address, circle), *_hidden(name, address, message)]
    if first:
        findings += _familiar(name, address, circle)
    elsewhere = _elsewhere(header, address, circle, proven)
    findings += elsewhere
    if _is_machine(address.local_part[:_LOCAL_PART]):
        # Nobody expects an answer to a machine to go back to it.
        elsewhere = [finding for finding in elsewhere if finding.severity is not Severity.LOW]
    doubt = _doubt(address, first, proven)
    signs = _signs(message, doubt, findings, resembled, elsewhere) if doubt or elsewhere else ()
    findings += _summed(signs, elsewhere)
    kept = ranked(findings)
    # Nothing here proves anything: however grave it looks, it is no failure of a test.
    word = "softfail" if result(kept) == "fail" else result(kept)
    reason = sentence(kept, "nothing about it pretends to be from somebody else")
    told = tuple(text for _, text in signs)
    return Impostor(kept, told, first, Verdict("impostor", word, str(address), reason))


class _Sign(NamedTuple):
    topic: str
    text: str


def _embedded(name: str, address: Address, circle: Circle) -> list[Finding]:
    """Another address in the display name, which is all that many programs show."""
    found: list[Finding] = []
    for local, at, domain in _find_addresses(displayname.readable(name))[:_ADDRESSES]:
        shown = f"{local}@{domain}".lower()
        domain = _ascii(domain)
        if shown == str(address).lower() or _organization(domain) == _organization(address.domain):
            continue
        alike = [each for each in circle.resembled(domain) if each.about and each.severity is not Severity.LOW]
        if not circle.owns(domain) and _same_house(domain, address.domain):
            # A firm that has its name under several endings.
            continue
        if circle.owns(domain):
            text = f"calls itself {shown}, but is from {address}"
            found.append(Finding("embedded-address", Severity.HIGH, text, shown))
        elif alike:
            text = f"calls itself {shown}, which {alike[0].text}, and is from {address}"
            found.append(Finding("embedded-address", alike[0].severity, text, shown))
        elif at == "@":
            # With white space around it, it need not be an address.
            text = f"calls itself {shown}, but is from {address}"
            found.append(Finding("embedded-address", Severity.MEDIUM, text, shown))
    return list(ranked(found)[:1])


def _hidden(name: str, address: Address, message: Message) -> list[Finding]:
    """Text that is not what it looks like, in what a reader sees before he opens a message."""
    found: list[Finding] = []
    if overrides(name) or overrides(message.header.text("subject")[:_SUBJECT_CHARACTERS]):
        found.append(Finding("hidden", Severity.HIGH, "turns the direction of the text in its name or subject"))
    if invisible(name):
        found.append(Finding("hidden", Severity.MEDIUM, "has characters in its name that cannot be seen"))
    if invisible(address.local_part):
        found.append(Finding("hidden", Severity.MEDIUM, "has characters in its address that cannot be seen"))
    for word in () if name.isascii() else displayname.split(name):
        mixed = mixture(word)
        if mixed:
            text = f"mixes {' and '.join(mixed)} letters in a word of its name"
            found.append(Finding("mixed-scripts", Severity.MEDIUM, text))
            break
    attached = bodies(message.root).attachments[:_ATTACHMENTS]
    if any(overrides(part.filename) for part in attached):
        found.append(Finding("hidden", Severity.HIGH, "has an attachment whose name is read backwards"))
    return found


def _familiar(name: str, address: Address, circle: Circle) -> list[Finding]:
    """The name of somebody known before an address that is not."""
    ours = _organization(address.domain)
    exact = circle.namesakes(name)
    namesakes = exact or circle.likenesses(name)
    if any(_organization(person.address.domain) == ours and ours not in FREEMAIL for person in namesakes):
        # Somebody has got another address in his own firm.
        return []
    double = circle.doubled(address)
    if double is not None:
        text = f"looks like {double.address}, but is from {address}, who is not known here"
        return [Finding("namesake", Severity.HIGH, text, str(double.address))]
    if not namesakes:
        return claimed(name, address, circle)
    person = next((person for person in namesakes if person.own), namesakes[0])
    known = f"{_shown(person.display_name)} <{person.address}>"
    heavy = person.own or ours in FREEMAIL
    if exact:
        severity = Severity.HIGH if heavy else Severity.MEDIUM
        text = f"has the name of {known}, but is from {address}, who is not known here"
        return [Finding("namesake", severity, text, str(person.address))]
    text = f"has nearly the name of {known}, but is from {address}, who is not known here"
    severity = Severity.MEDIUM if heavy else Severity.LOW
    return [Finding("namesake", severity, text, str(person.address)), *claimed(name, address, circle)]


def claimed(name: str, address: Address, circle: Circle) -> list[Finding]:
    """The name of a firm or a domain, ours or protected, before an address that is not of it."""
    if circle.owns(address.domain):
        return []
    for domain in list(dict.fromkeys(_find_domains(displayname.readable(name))))[:_DOMAINS]:
        domain = _ascii(domain)
        if _organization(domain) == _organization(address.domain):
            continue
        if circle.owns(domain):
            text = f"calls itself {domain}, but is from {address.domain}"
            return [Finding("brand", Severity.MEDIUM, text, _organization(domain))]
        # Less than grave is what anything with a dot in it may look like.
        alike = [each for each in circle.resembled(domain) if each.about and each.severity is Severity.HIGH]
        if alike:
            text = f"calls itself {domain}, which {alike[0].text}"
            return [Finding("brand", Severity.MEDIUM, text, alike[0].about)]
    return [
        Finding("brand", Severity.MEDIUM, f"calls itself {entry.name or entry.domain}, but is from {address.domain}",
                entry.domain)
        for entry in (*circle.brands(name), *circle.posts(name))[:1]
    ]  # fmt: skip


def _elsewhere(
    header: Header, address: Address, circle: Circle, proven: frozenset[str] | None
) -> list[Finding]:
    """An answer would go to another organization than the one that wrote; of several the gravest."""
    boxes = mailboxes(header.addresses("reply-to"))
    if len(boxes) > _REPLY_TO:
        many = f"{len(boxes)} addresses"
        return [Finding("reply-to", Severity.MEDIUM, f"is from {address}, but an answer would go to {many}", many)]
    ours = _organization(address.domain)
    lists = _lists(header, proven)
    found: list[Finding] = []
    for where in dict.fromkeys(each for box in boxes for each in _answered(box)):
        theirs = _organization(where.domain)
        if theirs == ours or circle.knows(where):
            continue
        text = f"is from {address}, but an answer would go to {where}"
        alike = [each for each in circle.resembled(where.domain) if each.about and each.severity is not Severity.LOW]
        if alike:
            text = f"{text}, whose domain {alike[0].text}"
            found.append(Finding("reply-to", alike[0].severity, text, str(where)))
        elif theirs in FREEMAIL or shape(where.domain) == shape(address.domain):
            # A list that writes in its own name has answers sent to whoever wrote to it, a form to who filled it in.
            natural = (ours in lists and circle.knows(address)) or _is_relay(address, where)
            severity = Severity.LOW if natural and theirs in FREEMAIL else Severity.MEDIUM
            found.append(Finding("reply-to", severity, text, str(where)))
        elif theirs not in lists:
            found.append(Finding("reply-to", Severity.LOW, text, str(where)))
    return list(ranked(found)[:1])


def _is_relay(address: Address, where: Address) -> bool:
    """Whether no person writes from that address, or it names the one where an answer goes, as some services do."""
    told = f"{where.local_part}={where.domain}".lower()
    return bool(_is_machine(address.local_part[:_LOCAL_PART])) or told == address.local_part.lower()


def _answered(box: Mailbox) -> list[Address]:
    """The address of a mailbox of Reply-To; what some programs make one of where there is none."""
    if box.address is not None:
        return [box.address]
    text = displayname.readable(decode_words(box.raw[: displayname.RAW_CHARACTERS].encode("utf-8", "replace")))
    found: list[Address] = []
    for local, _, domain in _find_addresses(text)[:_ADDRESSES]:
        try:
            found.append(Address.parse(f"{local}@{domain}"))
        except AddressError:
            continue
    return found


def _lists(header: Header, proven: frozenset[str] | None) -> frozenset[str]:
    """The organizations of the list that a message says it comes from, as far as they are proven to have sent it.

    A list sends answers to itself; but anybody may say that he is one.
    """
    said = [header.text(name)[-_LIST_CHARACTERS:] for name in ("list-id", "list-post")]
    named = {_organization(_ascii(domain)) for text in said for domain in _find_list(text)[-1:]}
    if proven is None:
        return frozenset(named)
    return frozenset(named & {_organization(domain) for domain in proven})


def _doubt(address: Address, first: bool, proven: frozenset[str] | None) -> tuple[_Sign, ...]:
    """Why the author may be anybody: he is a stranger, or nothing proves that he is the acquaintance he says he is."""
    if first:
        # A stranger may have written before: knowing somebody takes more than one letter.
        return (_Sign("first", "its author is not known here"),)
    if proven is None or _organization(address.domain) in map(_organization, proven):
        return ()
    return (_Sign("unproven", f"nothing proves that it is from {address.domain}"),)


def _signs(
    message: Message, doubt: Sequence[_Sign], findings: Sequence[Finding], resembled: Sequence[Finding],
    elsewhere: Sequence[Finding],
) -> tuple[_Sign, ...]:
    """What is counted, each topic once."""
    signs = [*doubt]
    posing = [finding for finding in findings if finding.kind in ("namesake", "brand", "embedded-address")]
    said: Mapping[Topic, tuple[str, ...]] = phrases.find(_text(message))
    near = [finding for finding in resembled if finding.about and finding.about not in FREEMAIL]
    if posing or any(finding.severity is not Severity.LOW for finding in resembled):
        signs.append(_Sign("posing", "it looks like somebody who is known"))
    elif near and "account" in said:
        # Many a firm has its name in several countries, but seldom writes from another one about a new account.
        signs.append(_Sign("near", f"its domain {near[0].text}"))
    if elsewhere:
        signs.append(_Sign("elsewhere", f"an answer would go to {elsewhere[0].about}"))
    for topic, text in _SAID.items():
        if topic in said:
            quoted = ", ".join(f"“{phrase}”" for phrase in said[topic])
            signs.append(_Sign(topic, f"it {text} ({quoted})"))
    return tuple(signs)


_SAID: dict[Topic, str] = {
    "payment": "is about money", "account": "tells of a new bank account", "pressure": "presses for time",
    "secrecy": "asks for silence",
}

# How many signs make a warning: money has to be among them. All begin with a doubt about the author or the answer.
_WARNING = 4
_SUSPICION = 3


def _summed(signs: Sequence[_Sign], elsewhere: Sequence[Finding]) -> list[Finding]:
    topics = {sign.topic for sign in signs}
    if not topics & {"payment", "account"} or len(signs) < _SUSPICION:
        return []
    severity = Severity.HIGH if len(signs) >= _WARNING else Severity.MEDIUM
    grave = any(finding.severity is not Severity.LOW for finding in elsewhere) or topics >= {"unproven", "account"}
    if severity is Severity.MEDIUM and not grave and "posing" not in topics:
        # Every new customer writes for the first time, of money, and in a hurry; who bills for others, in their name.
        severity = Severity.LOW
    text = f"may be an attempt to get at money: {'; '.join(sign.text for sign in signs)}"
    return [Finding("bec", severity, text)]


def _text(message: Message) -> str:
    """Subject and the beginning of the text, of the HTML as well where there is some."""
    split = bodies(message.root)
    parts = {id(part): part for part in (*split.text[:_TEXTS], *split.html[:_TEXTS]) if part.content_type[0] == "text"}
    texts = [message.header.text("subject")[:_SUBJECT_CHARACTERS]]
    for part in parts.values():
        text = part.text(_BODY_OCTETS)
        if part.content_type[1] == "html":
            text = readable(text, _BODY_CHARACTERS)
        texts.append(text[:_BODY_CHARACTERS])
    return "\n".join(texts)


def _organization(domain: str) -> str:
    return registrable(domain) or domain


def _same_house(domain: str, other: str) -> bool:
    """Whether two domains bear one name under different endings, where that is a firm's and not a provider's."""
    mine, theirs = _organization(domain), _organization(other)
    return mine.partition(".")[0] == theirs.partition(".")[0] and not {mine, theirs} & FREEMAIL


def _ascii(domain: str) -> str:
    """In A-labels and lower case; what is no domain stays as it is."""
    try:
        return parse_domain(domain)
    except AddressError:
        return domain.lower()


def _label(entry: Known) -> str:
    """The shape of what a domain of ours or a protected one is called in short; "" where that could be anybody's."""
    if entry.kin is Kin.CORRESPONDENT or entry.domain.startswith("["):
        return ""
    label = Address("", _organization(entry.domain)).domain_unicode.partition(".")[0]
    joined = "".join(displayname.pieces(label))
    return shape(joined) if len(joined) >= _LABEL_FROM and label.casefold() not in displayname.EMPTY_WORDS else ""


def _key(address: Address) -> tuple[str, str]:
    return address.key, address.domain


def _shape_of(address: Address) -> tuple[str, str]:
    return shape(address.key), address.domain


def _shown(name: str) -> str:
    return name[: displayname.NAME_CHARACTERS] if name.isprintable() else ascii(name)[1:-1]
