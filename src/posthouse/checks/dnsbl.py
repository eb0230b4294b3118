"""Blocklists and allowlists in the DNS (RFC 5782), of addresses and of domains, each with its weight.

    lists = [dnslists.named("zen.spamhaus.org", weight=4), DnsList("allow.example.net", weight=-2)]
    found = await dnsbl.check("192.0.2.1", ["example.org"], lists, dns)
    found.score, found.verdict.reason

A positive weight counts against the sender, a negative one for it. One list counts once for one subject, with the
gravest of its answers. Only an answer within 127.0.0.0/8 can be a listing: anything else, all of 127.255.255.0/24,
(unless a code says otherwise) 127.0.0.1 and what the list itself names so are errors of the list, such as "you ask
through a resolver that I do not serve". An error is told, in `Entry.error`, and weighs nothing.

The lists may be asked side by side: `ask` is one question to one list, `weigh` puts the answers together.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final, Literal

from posthouse.checks.evidence import asked, shown
from posthouse.mail.dns import Dns, DnsFault
from posthouse.mail.verdict import Evidence, Verdict

NAME_CHARACTERS: Final = 253
# What a list has to say about its entry goes into an SMTP reply.
TEXT_CHARACTERS: Final = 200

Subject = Literal["address", "domain"]


class ListError(ValueError):
    """A list or code that cannot be; its text is a sentence."""


@dataclass(frozen=True, slots=True)
class Code:
    """What an answer means. `pattern` has four octets, each a number, `*`, a range `4-7` or a bit `&8` that is set.

    `weight` None: that of the list.
    """

    pattern: str
    meaning: str
    weight: int | None = None

    def __post_init__(self) -> None:
        _octets(self.pattern)

    def fits(self, answer: tuple[int, ...]) -> bool:
        """Whether the four octets of an answer are meant."""
        return _fits(self.pattern, answer)


@dataclass(frozen=True, slots=True)
class DnsList:
    """One list. With `codes`, only the answers that one of them names are listings, by the first that fits.

    `refusals` are patterns, as in a code, by which this list says that it does not serve the asker.
    """

    zone: str
    subject: Subject = "address"
    weight: int = 1
    codes: tuple[Code, ...] = ()
    refusals: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for pattern in self.refusals:
            _octets(pattern)


@dataclass(frozen=True, slots=True)
class Entry:
    """What one list says of one subject.

    `weight` counts where it is `listed`, `meaning` is that of the codes, `text` the list's own words about it
    (printable, at most `TEXT_CHARACTERS`). `error` is a sentence where the list could not say anything, `lasting`
    where that is no matter of trying again.
    """

    list: DnsList
    subject: str
    listed: bool = False
    weight: int = 0
    meaning: str = ""
    text: str = ""
    error: str = ""
    lasting: bool = False
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Dnsbl:
    """All lists together: `score` is the sum of weights, `entries` those that list a subject or failed."""

    score: int
    entries: tuple[Entry, ...]
    verdict: Verdict


async def check(ip: str, domains: Sequence[str], lists: Sequence[DnsList], dns: Dns) -> Dnsbl:
    """Ask each list about the address, or about each of the domains (A-labels), by its subject; one after another.

    ValueError where `ip` is no address.
    """
    entries = []
    for each in lists:
        for subject in [ip] if each.subject == "address" else dict.fromkeys(domains):
            entries.append(await ask(subject, each, dns))
    return weigh(ip, entries)


async def ask(subject: str, which: DnsList, dns: Dns) -> Entry:
    """What one list says of an address or a domain. Never raises for what the DNS does.

    ValueError for an address list and something that is no address.
    """
    name = owner(subject, which)
    if len(name) > NAME_CHARACTERS:
        return Entry(which, subject)
    try:
        answer = await dns.a(name)
    except DnsFault as fault:
        return Entry(which, subject, error=f"{which.zone} could not be asked: {shown(str(fault))}")
    if not answer.records:
        return Entry(which, subject)
    evidence = asked("A", name, answer.records)
    weights: list[int] = []
    meanings: dict[str, None] = {}
    for record in answer.records:
        octets = tuple(int(octet) for octet in record.split("."))
        code = next((code for code in which.codes if code.fits(octets)), None)
        if _is_error(octets, which) or (code is None and octets == (127, 0, 0, 1)):
            error = f"{which.zone} answered {record}, which is an error of the list and no listing"
            return Entry(which, subject, error=error, lasting=True, evidence=(evidence,))
        if code is not None:
            weights.append(which.weight if code.weight is None else code.weight)
            meanings[code.meaning] = None
        elif not which.codes:
            weights.append(which.weight)
    if not weights:
        return Entry(which, subject, evidence=(evidence,))
    weight = max(weights, key=abs)
    text, more = await _text(name, dns) if weight > 0 else ("", ())
    return Entry(which, subject, True, weight, ", ".join(meanings), text, evidence=(evidence, *more))


def weigh(ip: str, entries: Iterable[Entry]) -> Dnsbl:
    """The answers of several lists as one finding about whoever sends from an address."""
    told = tuple(entry for entry in entries if entry.listed or entry.error)
    listed = [entry for entry in told if entry.listed]
    failed = [entry for entry in told if entry.error]
    if any(entry.weight > 0 for entry in listed):
        result = "fail"
    elif listed:
        result = "pass" if any(entry.weight < 0 for entry in listed) else "neutral"
    elif failed:
        result = "permerror" if all(entry.lasting for entry in failed) else "temperror"
    else:
        result = "none"
    reason = "; ".join([*map(_sentence, listed), *(entry.error for entry in failed)]) or f"no list knows {ip}"
    evidence = tuple(each for entry in told for each in entry.evidence)
    return Dnsbl(sum(entry.weight for entry in listed), told, Verdict("dnsbl", result, ip, reason, evidence))


async def examine(which: DnsList, dns: Dns) -> str:
    """Whether a list is one, by the entries that each has to have and not to have (RFC 5782 §5); a sentence, or "".

    A domain that was given up and now answers everything, or nothing, is found out so.
    """
    there, absent = ("127.0.0.2", "127.0.0.1") if which.subject == "address" else ("test", "invalid")
    try:
        if (await dns.a(owner(absent, which))).records:
            return f"{which.zone} lists {absent}, as no list may: it seems to list everything"
        if not (await dns.a(owner(there, which))).records:
            return f"{which.zone} does not list {there}, as every list has to: it seems to be gone, or not to serve us"
    except DnsFault as fault:
        return f"{which.zone} could not be asked: {shown(str(fault))}"
    return ""


def owner(subject: str, which: DnsList) -> str:
    """The name under which a list has its entry for an address or a domain. ValueError as `ask`."""
    if which.subject == "domain":
        return f"{subject.lower().rstrip('.')}.{which.zone}"
    address = ip_address(subject)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    # RFC 5782 §2.1, §2.4: as in reverse DNS, under the zone of the list.
    reverse = address.reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
    return f"{reverse}.{which.zone}"


def _is_error(octets: tuple[int, ...], which: DnsList) -> bool:
    # RFC 5782 §2.3: entries lie in 127.0.0.0/8; in 127.255.255.0/24 lists say what is wrong with the asker.
    return octets[0] != 127 or octets[:3] == (127, 255, 255) or any(_fits(each, octets) for each in which.refusals)


async def _text(name: str, dns: Dns) -> tuple[str, tuple[Evidence, ...]]:
    """The list's own words; RFC 5782 §2.1: a client MAY look at them."""
    try:
        records = (await dns.txt(name)).records
    except DnsFault:
        return "", ()
    texts = [shown(record.decode("utf-8", "replace"), TEXT_CHARACTERS) for record in records[:1]]
    return "".join(texts), (asked("TXT", name, texts),)


def _sentence(entry: Entry) -> str:
    words = ", ".join(filter(None, (entry.meaning, entry.text)))
    listed = "vouched for" if entry.weight < 0 else "listed"
    return f"{shown(entry.subject)} is {listed} by {entry.list.zone}" + (f" ({words})" if words else "")


def _fits(pattern: str, answer: tuple[int, ...]) -> bool:
    return all(
        bool(octet & low) if high < 0 else low <= octet <= high
        for octet, (low, high) in zip(answer, _octets(pattern), strict=True)
    )


@lru_cache(maxsize=1024)
def _octets(pattern: str) -> tuple[tuple[int, int], ...]:
    """Lowest and highest of each octet, or a mask and -1. ListError."""
    octets = []
    for octet in pattern.split("."):
        low, dash, high = ("0", "-", "255") if octet == "*" else octet.removeprefix("&").partition("-")
        bounds = (low, high if dash else low)
        if not all(bound.isdecimal() and len(bound) < 4 and int(bound) < 256 for bound in bounds) or (
            octet.startswith("&") and (dash or not int(low))
        ):
            raise ListError(f"{pattern!r} is no pattern of four octets, such as 127.0.0.2, 127.0.0.4-7 or 127.0.0.&8")
        octets.append((int(low), -1) if octet.startswith("&") else (int(bounds[0]), int(bounds[1])))
    if len(octets) != 4:
        raise ListError(f"{pattern!r} is no pattern of four octets, such as 127.0.0.2")
    return tuple(octets)
