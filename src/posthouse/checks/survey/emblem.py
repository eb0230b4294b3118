"""The logo of a domain (BIMI): its record, and whether anybody will look at it.

    found = await emblem("example.org", dns)
    found.location, found.items
    item = drawing(found.location, octets)         what lies there, where somebody fetched it
"""

from typing import Final, NamedTuple

from posthouse.checks.bimi.discovery import Questions
from posthouse.checks.bimi.record import DEFAULT_SELECTOR, RecordError, parse
from posthouse.checks.dmarc import Lookups
from posthouse.checks.evidence import shown
from posthouse.checks.survey.item import Entry, Item, State
from posthouse.mail.dns import Dns, DnsFault

TOPIC: Final = "BIMI"


class Emblem(NamedTuple):
    """`location` is where the logo lies, "" where there is none."""

    location: str
    items: tuple[Item, ...]


async def emblem(domain: str, dns: Dns) -> Emblem:
    """Never raises."""
    name = f"{DEFAULT_SELECTOR}._bimi.{domain}"
    questions, lookups = Questions(dns), Lookups(dns)
    try:
        records = await questions.records(name)
        enforced = await _enforced(domain, lookups)
    except DnsFault as fault:
        return Emblem("", (Item(TOPIC, domain, State.UNKNOWN, f"the record {name} could not be asked for: {fault}"),))
    evidence = tuple(questions.evidence)
    if not records:
        means = "mail programs show no logo beside its mail; some show one where there is one"
        entry = Entry(name, "TXT", f"v=BIMI1; l=https://{domain}/logo.svg")
        change = "publish a square SVG Tiny PS, and this record"
        change += "" if enforced else ", once the DMARC policy asks for quarantine or reject"
        return Emblem("", (Item(TOPIC, domain, State.ABSENT, "there is no logo", means, change, (entry,), evidence),))
    try:
        if len(records) > 1:
            raise RecordError(f"there are {len(records)} records where one may be")
        record = parse(records[0])
    except RecordError as error:
        item = Item(TOPIC, domain, State.WRONG, str(error), "no logo is shown", "mend the record", (), evidence)
        return Emblem("", (item,))
    if record.declines:
        item = Item(TOPIC, domain, State.GOOD, f"{domain} wants no logo to be shown", evidence=evidence)
        return Emblem("", (item,))
    by = ", with a certificate" if record.evidence else ", for which nobody vouches"
    items = [Item(TOPIC, domain, State.GOOD, f"its logo is {shown(record.location, 200)}{by}", evidence=evidence)]
    if not enforced:
        means = "no logo is shown for mail that nobody asks to be refused"
        change = "let the DMARC policy ask for quarantine or reject"
        items.append(Item(TOPIC, domain, State.ADVICE, "its DMARC policy enforces nothing", means, change))
    if not record.evidence:
        means = "the larger services show logos only with one"
        items.append(Item(TOPIC, domain, State.ABSENT, "there is no mark certificate", means))
    return Emblem(record.location, tuple(items))


def drawing(location: str, octets: bytes) -> Item:
    """What the logo comes to. Never raises."""
    from posthouse.checks.bimi.svg import SvgError, sanitise

    where = shown(location, 200)
    try:
        sanitise(octets)
    except SvgError as error:
        change = "publish a square drawing in SVG Tiny PS, without scripts and references"
        found = f"the logo at {where} cannot be shown: {error}"
        return Item(TOPIC, where, State.WRONG, found, "no logo is shown", change)
    return Item(TOPIC, where, State.GOOD, "the logo is a drawing that can be shown")


def unfetched(location: str, reason: str) -> Item:
    """The logo cannot be had."""
    where = shown(location, 200)
    return Item(TOPIC, where, State.WRONG, f"the logo cannot be had: {reason}", "no logo is shown", "serve it there")


async def _enforced(domain: str, lookups: Lookups) -> bool:
    own = await lookups.record(domain)
    if own is None:
        organization = await lookups.organizational_domain(domain)
        own = await lookups.record(organization)
        return own is not None and own.usable and own.for_subdomains != "none" and not own.testing
    return own.usable and own.p != "none" and not own.testing
