"""Whether lists in the DNS know anything against a domain or its mail hosts. Only lists that somebody names are asked.

    items = await listings("example.org", exchanges, lists, dns)
"""

from collections.abc import Sequence
from typing import Final

from posthouse.checks import dnsbl
from posthouse.checks.dnsbl import DnsList, Entry
from posthouse.checks.evidence import shown
from posthouse.checks.story.networks import inside
from posthouse.checks.survey.exchangers import Exchange
from posthouse.checks.survey.item import Item, State
from posthouse.mail.dns import Dns

TOPIC: Final = "blocklists"
ADDRESSES: Final = 20


async def listings(
    domain: str, exchanges: Sequence[Exchange], lists: Sequence[DnsList], dns: Dns
) -> tuple[Item, ...]:
    """Never raises."""
    addresses = dict.fromkeys(ip for each in exchanges for ip in each.addresses if not inside(ip))
    items: list[Item] = []
    for each in lists:
        trouble = await dnsbl.examine(each, dns)
        if trouble:
            items.append(Item(TOPIC, each.zone, State.UNKNOWN, trouble))
            continue
        subjects = list(addresses)[:ADDRESSES] if each.subject == "address" else [domain]
        found = [await dnsbl.ask(subject, each, dns) for subject in subjects]
        listed = [entry for entry in found if entry.listed or entry.error]
        items += [_told(entry) for entry in listed]
        if not listed and subjects:
            items.append(Item(TOPIC, each.zone, State.GOOD, f"{each.zone} lists none of {', '.join(subjects)}"))
    return tuple(items)


def _told(entry: Entry) -> Item:
    zone, subject = entry.list.zone, shown(entry.subject)
    if entry.error:
        return Item(TOPIC, subject, State.UNKNOWN, entry.error, evidence=entry.evidence)
    words = ", ".join(filter(None, (entry.meaning, entry.text)))
    said = f"{subject} is listed by {zone}{f' ({words})' if words else ''}"
    if entry.weight <= 0:
        return Item(TOPIC, subject, State.GOOD, said, "that speaks for it", evidence=entry.evidence)
    change = f"find out why, stop it, then ask {zone} to take it off"
    return Item(TOPIC, subject, State.WRONG, said, "whoever asks that list refuses its mail", change,
                evidence=entry.evidence)
