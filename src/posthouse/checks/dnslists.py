"""Well-known lists in the DNS and what they mean by their answers, so that settings need but a name and a weight.

    zen = named("zen.spamhaus.org", weight=4)
    own = named("bl.example.net")               # an unknown one is taken as a list of addresses without codes
    every = chosen({"zen.spamhaus.org": 4}, {"names.example.net": 3})

Nothing is asked unless it is named in the settings: each operator has terms of use, and most answer only those who
ask through a resolver of their own. The answers are those that the operators document.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from posthouse.checks.dnsbl import Code, DnsList, ListError, Subject
from posthouse.mail.address import AddressError, parse_domain

_KNOWN: Final = (
    DnsList("zen.spamhaus.org", "address", 4, (
        Code("127.0.0.2", "known source of spam"),
        Code("127.0.0.3", "snowshoe spam"),
        Code("127.0.0.4-7", "taken over by malware"),
        Code("127.0.0.9", "hijacked network"),
        Code("127.0.0.10-11", "no mail server by its network's own policy"),
        Code("127.0.0.30", "botnet controller"),
    )),
    DnsList("dbl.spamhaus.org", "domain", 4, (
        Code("127.0.1.2", "domain of low reputation"),
        Code("127.0.1.4", "phishing"),
        Code("127.0.1.5", "malware"),
        Code("127.0.1.6", "botnet controller"),
        # Honest domains that somebody else makes use of: grave, but not theirs.
        Code("127.0.1.102-106", "honest, but abused", 1),
    ), ("127.0.1.255",)),
    DnsList("bl.spamcop.net", "address", 2, (Code("127.0.0.2", "reported for spam"),)),
    DnsList("b.barracudacentral.org", "address", 2, (Code("127.0.0.2", "known source of spam"),)),
    DnsList("multi.surbl.org", "domain", 3, (
        Code("127.0.0.&8", "phishing"),
        Code("127.0.0.&16", "malware"),
        Code("127.0.0.&128", "broken into"),
        Code("127.0.0.&64", "advertised by spam"),
    )),
    DnsList("multi.uribl.com", "domain", 3, (
        Code("127.0.0.&2", "advertised by spam"),
        Code("127.0.0.&4", "advertised by bulk mail", 1),
        Code("127.0.0.&8", "new and suspicious", 1),
    )),
    DnsList("list.dnswl.org", "address", -1, (
        Code("127.0.*.0", "known mail server", 0),
        Code("127.0.*.1", "mail server of some trust", -1),
        Code("127.0.*.2", "mail server of good trust", -2),
        Code("127.0.*.3", "mail server of high trust", -4),
    ), ("127.0.0.255",)),
)

KNOWN: Final = {each.zone: each for each in _KNOWN}


def chosen(lists: Mapping[str, int], domain_lists: Mapping[str, int]) -> tuple[DnsList, ...]:
    """The lists of the settings, zones with their weights; unknown ones of the second are lists of domains."""
    return (
        *(named(zone, weight=weight) for zone, weight in lists.items()),
        *(named(zone, weight=weight, subject="domain") for zone, weight in domain_lists.items()),
    )


def named(zone: str, *, weight: int | None = None, subject: Subject = "address") -> DnsList:
    """The list of that zone; with a weight given, all its answers weigh in proportion. ListError for no name.

    `subject` is what an unknown one lists.
    """
    try:
        name = parse_domain(zone.rstrip("."))
    except AddressError as error:
        raise ListError(f"{zone!r} is no zone of a list: {error}") from None
    known = KNOWN.get(name, DnsList(name, subject))
    if weight is None or weight == known.weight:
        return known
    codes = tuple(
        code if code.weight is None else replace(code, weight=round(code.weight * weight / known.weight))
        for code in known.codes
    )
    return replace(known, weight=weight, codes=codes)
