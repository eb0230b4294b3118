"""How mail is protected on its way to a domain: MTA-STS, TLS reporting, and keys in the DNS (DANE).

    sts = await sts_record("example.org", dns)        then, where somebody fetched it,
    items = sts_policy("example.org", octets, exchanges)
    items = await tls_reporting("example.org", dns)
    found = await tlsa("example.org", exchanges, dns)
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from posthouse.checks import dane, mta_sts, tlsrpt
from posthouse.checks.evidence import asked, shown
from posthouse.checks.survey.exchangers import Exchange
from posthouse.checks.survey.item import Entry, Item, State
from posthouse.mail.dns import Dns, DnsFault, Tlsa

STS: Final = "MTA-STS"
REPORTING: Final = "TLSRPT"
DANE: Final = "TLSA"

_MONTH: Final = 2_592_000
_SHORT: Final = 86_400
_ID_CHARACTERS: Final = 32
_find_ids = re.compile(rb"(?:^|[; \t])id[ \t]*=[ \t]*([A-Za-z0-9]+)").findall


class Sts(NamedTuple):
    """Whether there is a usable record, and what is to be said of it."""

    announced: bool
    items: tuple[Item, ...]


async def sts_record(domain: str, exchanges: Sequence[Exchange], dns: Dns) -> Sts:
    """Never raises."""
    name = mta_sts.dns_name(domain)
    try:
        answer = await dns.txt(name)
    except DnsFault as fault:
        return Sts(False, (Item(STS, domain, State.UNKNOWN, f"the record {name} could not be asked for: {fault}"),))
    evidence = (asked("TXT", name, [octets.decode("latin-1") for octets in answer.records]),)
    try:
        record = mta_sts.find(answer.records)
    except mta_sts.RecordError as error:
        means, change = "it counts as if there were none", "leave one record such as this one"
        entry = Entry(name, "TXT", f"v=STSv1; id={_new_id(answer.records)}")
        return Sts(False, (Item(STS, domain, State.WRONG, str(error), means, change, (entry,), evidence),))
    if record is None and not exchanges:
        means = "who stands between two servers can have mail sent without encryption"
        change = "publish a record and a policy when it is known which hosts take the mail"
        return Sts(False, (Item(STS, domain, State.ABSENT, "there is no MTA-STS", means, change, (), evidence),))
    if record is None:
        policy = mta_sts.Policy("testing", tuple(each.name for each in exchanges), _MONTH)
        change = (
            f"publish the record, and at {mta_sts.policy_url(domain)} a policy: "
            f"{policy.text().strip().replace(chr(13) + chr(10), ', ')}"
        )
        means = "who stands between two servers can have mail sent without encryption"
        entry = Entry(name, "TXT", "v=STSv1; id=1")
        return Sts(False, (Item(STS, domain, State.ABSENT, "there is no MTA-STS", means, change, (entry,), evidence),))
    found = f"the record announces a policy, id {record.id}"
    return Sts(True, (Item(STS, domain, State.GOOD, found, evidence=evidence),))


def _new_id(records: Sequence[bytes]) -> str:
    """One that nobody has seen: who knows an id does not fetch the policy again."""
    used = {octets.decode() for record in records for octets in _find_ids(record)}
    number = max((int(each) for each in used if each.isdecimal() and len(each) < _ID_CHARACTERS), default=0) + 1
    return str(number)


def sts_policy(domain: str, octets: bytes, exchanges: Sequence[Exchange]) -> tuple[Item, ...]:
    """What the document at `mta_sts.policy_url` comes to beside the MX records. Never raises."""
    where = mta_sts.policy_url(domain)
    try:
        policy = mta_sts.parse_policy(octets)
    except mta_sts.PolicyError as error:
        return (Item(STS, where, State.WRONG, str(error), "there is a record, but no policy", "mend the document"),)
    items: list[Item] = []
    outside = [each.name for each in exchanges if not policy.admits(each.name)]
    if outside and policy.mode != "none":
        means = "servers that keep the policy send no mail there" if policy.mode == "enforce" else \
            "once it is enforced, no mail goes there"
        found = f"the policy does not name {', '.join(map(shown, outside))}"
        change = f"add to the policy: {', '.join(f'mx: {name}' for name in outside)}; and change the id of the record"
        items.append(Item(STS, where, State.WRONG, found, means, change))
    if policy.mode == "testing":
        means = "failures are reported, but mail is delivered all the same"
        change = "set mode: enforce when all is well"
        items.append(Item(STS, where, State.ADVICE, "the policy is in testing", means, change))
    elif policy.mode == "none":
        items.append(Item(STS, where, State.ADVICE, "the policy is switched off (mode: none)", "it protects nothing"))
    if policy.mode != "none" and policy.max_age < _SHORT:
        found = f"the policy is remembered for {policy.max_age} seconds only"
        means = "who can keep others from fetching it again can soon do without it"
        items.append(Item(STS, where, State.ADVICE, found, means, f"set max_age to weeks, such as {_MONTH}"))
    if not any(item.state is State.WRONG for item in items):
        items.insert(0, Item(STS, where, State.GOOD, f"the policy names {', '.join(policy.patterns) or 'no host'}"))
    return tuple(items)


def sts_unfetched(domain: str, reason: str) -> Item:
    """The policy that is announced cannot be had."""
    where = mta_sts.policy_url(domain)
    change = "serve the policy there, over https with a certificate for that name, without redirection"
    found = f"the policy cannot be had: {shown(reason, 200)}"
    return Item(STS, where, State.WRONG, found, "it protects nothing", change)


async def tls_reporting(domain: str, dns: Dns) -> tuple[Item, ...]:
    """Never raises."""
    name = tlsrpt.dns_name(domain)
    entry = Entry(name, "TXT", f"v=TLSRPTv1; rua=mailto:tls-reports@{domain}")
    try:
        answer = await dns.txt(name)
    except DnsFault as fault:
        return (Item(REPORTING, domain, State.UNKNOWN, f"the record {name} could not be asked for: {fault}"),)
    evidence = (asked("TXT", name, [octets.decode("latin-1") for octets in answer.records]),)
    try:
        record = tlsrpt.find(answer.records)
    except tlsrpt.RecordError as error:
        means = "nobody is told of failures"
        return (Item(REPORTING, domain, State.WRONG, str(error), means, "mend the record", (entry,), evidence),)
    if record is None:
        means = "nobody tells you when encryption to your hosts fails"
        change = "have reports sent to you"
        return (Item(REPORTING, domain, State.ABSENT, "there is no TLS reporting", means, change, (entry,), evidence),)
    found = f"failures of encryption are reported to {', '.join(map(shown, record.rua))}"
    return (Item(REPORTING, domain, State.GOOD, found, evidence=evidence),)


class Keys(NamedTuple):
    """TLSA records by host, those that count, and what is to be said of all."""

    records: dict[str, tuple[Tlsa, ...]]
    items: tuple[Item, ...]


async def tlsa(exchanges: Sequence[Exchange], dns: Dns) -> Keys:
    """Never raises."""
    items: list[Item] = []
    records: dict[str, tuple[Tlsa, ...]] = {}
    for exchange in exchanges:
        name = dane.dns_name(exchange.name)
        try:
            answer = await dns.tlsa(name)
        except DnsFault as fault:
            means = "servers that look for it put mail off until it can be asked for"
            items.append(Item(DANE, name, State.UNKNOWN, f"{name} could not be asked for: {fault}", means))
            continue
        evidence = (asked("TLSA", name, [dane.text(record) for record in answer.records]),)
        if not answer.records:
            continue
        flaws = [reason for record in answer.records if (reason := dane.usable(record))]
        usable = tuple(record for record in answer.records if not dane.usable(record))
        records[exchange.name] = usable
        for flaw in dict.fromkeys(flaws):
            state = State.ADVICE if usable else State.WRONG
            items.append(Item(DANE, name, state, f"a record counts for nothing: {flaw}", change="take it away",
                              evidence=evidence))
        if usable:
            signed = "and the DNS is signed" if answer.secure else "whether the DNS is signed is not known here"
            found = f"{exchange.name} has {len(usable)} key{'s' if len(usable) > 1 else ''} in the DNS, {signed}"
            items.append(Item(DANE, name, State.GOOD, found, evidence=evidence))
    if exchanges and not items:
        means = "DANE protects as MTA-STS does, for domains whose DNS is signed (DNSSEC)"
        items.append(Item(DANE, exchanges[0].name, State.ABSENT, "no mail host has keys in the DNS", means))
    return Keys(records, tuple(items))
