"""The logo of a domain (BIMI): its record, and whether anybody will look at it.

    items = await emblem("example.org", dns)
"""

from typing import Final

from posthouse.checks.bimi.discovery import Questions
from posthouse.checks.bimi.record import DEFAULT_SELECTOR, RecordError, parse
from posthouse.checks.dmarc import Lookups
from posthouse.checks.evidence import shown
from posthouse.checks.survey.item import Entry, Item, State
from posthouse.mail.dns import Dns, DnsFault

TOPIC: Final = "BIMI"


async def emblem(domain: str, dns: Dns) -> tuple[Item, ...]:
    """Never raises."""
    name = f"{DEFAULT_SELECTOR}._bimi.{domain}"
    questions, lookups = Questions(dns), Lookups(dns)
    try:
        records = await questions.records(name)
        enforced = await _enforced(domain, lookups)
    except DnsFault as fault:
        return (Item(TOPIC, domain, State.UNKNOWN, f"the record {name} could not be asked for: {fault}"),)
    evidence = tuple(questions.evidence)
    if not records:
        means = "mail programs show no logo beside its mail; some show one where there is one"
        entry = Entry(name, "TXT", f"v=BIMI1; l=https://{domain}/logo.svg")
        change = "publish a square SVG Tiny PS, and this record"
        change += "" if enforced else ", once the DMARC policy asks for quarantine or reject"
        return (Item(TOPIC, domain, State.ABSENT, "there is no logo", means, change, (entry,), evidence),)
    try:
        if len(records) > 1:
            raise RecordError(f"there are {len(records)} records where one may be")
        record = parse(records[0])
    except RecordError as error:
        return (Item(TOPIC, domain, State.WRONG, str(error), "no logo is shown", "mend the record", (), evidence),)
    if record.declines:
        return (Item(TOPIC, domain, State.GOOD, f"{domain} wants no logo to be shown", evidence=evidence),)
    by = ", with a certificate" if record.evidence else ", for which nobody vouches"
    items = [Item(TOPIC, domain, State.GOOD, f"its logo is {shown(record.location, 200)}{by}", evidence=evidence)]
    if not enforced:
        means = "no logo is shown for mail that nobody asks to be refused"
        change = "let the DMARC policy ask for quarantine or reject"
        items.append(Item(TOPIC, domain, State.ADVICE, "its DMARC policy enforces nothing", means, change))
    if not record.evidence:
        means = "the larger services show logos only with one"
        items.append(Item(TOPIC, domain, State.ABSENT, "there is no mark certificate", means))
    return tuple(items)


async def _enforced(domain: str, lookups: Lookups) -> bool:
    own = await lookups.record(domain)
    if own is None:
        organization = await lookups.organizational_domain(domain)
        own = await lookups.record(organization)
        return own is not None and own.usable and own.for_subdomains != "none" and not own.testing
    return own.usable and own.p != "none" and not own.testing
