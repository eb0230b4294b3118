"""Who takes the mail of a domain: its MX records, the addresses behind them, and the names of these addresses.

    found = await exchangers("example.org", dns)
    found.exchanges, found.is_null, found.items
    items = await reverse(found.exchanges, senders, dns)
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from posthouse.checks import iprev
from posthouse.checks.evidence import asked, shown
from posthouse.checks.story.networks import inside
from posthouse.checks.survey.item import Entry, Item, State
from posthouse.mail.address import AddressError, parse_domain
from posthouse.mail.dns import Dns, DnsFault, Mx
from posthouse.mail.verdict import Evidence

TOPIC: Final = "MX"
REVERSE: Final = "reverse DNS"
# More are not looked at.
EXCHANGES: Final = 20
ADDRESSES: Final = 8


@dataclass(frozen=True, slots=True)
class Exchange:
    """One mail host with its addresses of both families."""

    name: str
    preference: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exchangers:
    """`is_null`: the domain says that it takes no mail (RFC 7505). `known` is False where the DNS gave no answer, and
    `exists` where it said that there is no such domain."""

    exchanges: tuple[Exchange, ...]
    is_null: bool
    known: bool
    items: tuple[Item, ...]
    exists: bool = True


async def exchangers(domain: str, dns: Dns, *, closed: bool = False) -> Exchangers:
    """Never raises. `closed`: in a network of one's own, where hosts have private addresses."""
    try:
        answer = await dns.mx(domain)
    except DnsFault as fault:
        item = Item(TOPIC, domain, State.UNKNOWN, f"the MX records of {domain} could not be asked for: {fault}")
        return Exchangers((), False, False, (item,))
    # Of a host that stands there twice, the better preference counts.
    best: dict[str, Mx] = {}
    for mx in sorted(answer.records, key=lambda mx: (mx.preference, mx.exchange)):
        best.setdefault(mx.exchange, mx)
    every = list(best.values())
    records = every[:EXCHANGES]
    question = asked("MX", domain, [f"{mx.preference} {mx.exchange or '.'}" for mx in records])
    if not answer.exists:
        change = "register it, or look for a slip of the pen"
        item = Item(TOPIC, domain, State.WRONG, f"{domain} does not exist", "no mail can reach it", change)
        return Exchangers((), False, True, (item,), exists=False)
    null = [mx for mx in records if not mx.exchange]
    if null and len(records) == 1:
        means = "nobody tries to send mail there"
        item = Item(TOPIC, domain, State.GOOD, f"{domain} takes no mail (null MX)", means, evidence=(question,))
        return Exchangers((), True, True, (item,))
    if not records:
        return await _implicit(domain, question, dns, closed)
    items: list[Item] = []
    if null:
        change = "take one of the two away: the null MX, or the others"
        items.append(Item(TOPIC, domain, State.WRONG, f"{domain} has a null MX beside others", _UNCLEAR, change))
    found = [await _exchange(mx.exchange, mx.preference, dns, items, closed) for mx in records if mx.exchange]
    # Where the addresses were not to be had, there may be some.
    unknown = {item.subject for item in items if item.state is State.UNKNOWN}
    exchanges = tuple(exchange for exchange in found if exchange.addresses or exchange.name in unknown)
    faulty = {item.subject for item in items}
    sound = [each for each in exchanges if each.name not in faulty]
    if sound:
        names = ", ".join(f"{shown(each.name)} ({each.preference})" for each in sound)
        also = "also " if len(items) > bool(null) else ""
        good = Item(TOPIC, domain, State.GOOD, f"{domain} is {also}served by {names}", evidence=(question,))
        items = [*items, good] if also else [good, *items]
    items += _crowd(domain, answer.records, len(every))
    return Exchangers(exchanges, False, True, tuple(items))


def _crowd(domain: str, records: Sequence[Mx], hosts: int) -> list[Item]:
    """Records that are too many."""
    items = []
    counted = Counter(mx.exchange for mx in records)
    twice = [shown(name) for name, times in counted.items() if times > 1 and name]
    if twice:
        found = f"{domain} names {', '.join(twice[:5])} more than once"
        items.append(Item(TOPIC, domain, State.ADVICE, found, "only the lowest number counts", "leave one record each"))
    if hosts > EXCHANGES:
        found = f"{domain} has {hosts} mail hosts, of which the first {EXCHANGES} were looked at"
        items.append(Item(TOPIC, domain, State.ADVICE, found, f"{hosts - EXCHANGES} were left out", "have fewer"))
    return items


_UNCLEAR: Final = "some servers will take it for a domain without mail"
_LOST: Final = "mail that is sent there waits or is lost"


async def _implicit(domain: str, question: Evidence, dns: Dns, closed: bool) -> Exchangers:
    """Without MX the domain's own address takes the mail (RFC 5321 §5.1)."""
    items: list[Item] = []
    exchange = await _exchange(domain, 0, dns, items, closed)
    if not exchange.addresses:
        if any(item.state is State.UNKNOWN for item in items):
            return Exchangers((), False, False, tuple(items))
        item = Item(
            TOPIC, domain, State.WRONG, f"{domain} has neither MX records nor an address", "no mail can reach it",
            "publish an MX record, or the null MX if it is to have no mail", (Entry(domain, "MX", "0 ."),), (question,),
        )  # fmt: skip
        return Exchangers((), False, True, (item,))
    item = Item(
        TOPIC, domain, State.ADVICE, f"{domain} has no MX record, so that its own address takes the mail",
        "it works, but whoever reads the zone cannot know that it is meant", "publish an MX record",
        (Entry(domain, "MX", f"10 {domain}."),), (question,),
    )  # fmt: skip
    return Exchangers((exchange,), False, True, (item, *items))


async def _exchange(name: str, preference: int, dns: Dns, items: list[Item], closed: bool) -> Exchange:
    """One host; what is wrong with it goes to `items`."""
    if _is_address(name):
        found = f"the MX record names the address {shown(name)} where a host name has to stand"
        items.append(Item(TOPIC, name, State.WRONG, found, _LOST, "give the host a name with an address record"))
        return Exchange(name, preference, ())
    addresses: list[str] = []
    faults: list[str] = []
    evidence: list[Evidence] = []
    for kind, ask in (("A", dns.a), ("AAAA", dns.aaaa)):
        try:
            answer = await ask(name)
        except DnsFault as fault:
            faults.append(str(fault))
            continue
        evidence.append(asked(kind, name, answer.records))
        addresses += answer.records[:ADDRESSES]
    hidden = [] if closed else [address for address in addresses if inside(address)]
    if hidden:
        found = f"{shown(name)} leads to {', '.join(hidden)}, an address that is {inside(hidden[0])}"
        change = "publish an address that others can reach"
        items.append(Item(TOPIC, name, State.WRONG, found, "nobody outside can reach it", change))
    elif not addresses and faults:
        found = f"the addresses of {shown(name)} could not be asked for: {faults[0]}"
        items.append(Item(TOPIC, name, State.UNKNOWN, found))
    elif not addresses:
        found = f"{shown(name)} has no address"
        change = "publish its address, or take it out of the MX records"
        items.append(Item(TOPIC, name, State.WRONG, found, _LOST, change, evidence=tuple(evidence)))
    return Exchange(name, preference, tuple(dict.fromkeys(addresses)))


def _is_address(name: str) -> bool:
    try:
        parse_domain(name)
    except AddressError:
        return name.replace(".", "").isdigit()
    return False


async def reverse(exchanges: Sequence[Exchange], dns: Dns, *, they_send: bool) -> tuple[Item, ...]:
    """The names of the addresses of mail hosts. `they_send`: these hosts also send, so that the names matter."""
    items: list[Item] = []
    seen: set[str] = set()
    for exchange in exchanges:
        for ip in exchange.addresses:
            if ip not in seen and not inside(ip):
                seen.add(ip)
                items.append(_named(exchange, await iprev.check(ip, dns), they_send))
    return tuple(items)


def _named(exchange: Exchange, found: iprev.Iprev, they_send: bool) -> Item:
    verdict = found.verdict
    ip = verdict.identity
    if found.result == "pass":
        return Item(REVERSE, ip, State.GOOD, verdict.reason, evidence=verdict.evidence)
    if found.result == "temperror":
        return Item(REVERSE, ip, State.UNKNOWN, verdict.reason, evidence=verdict.evidence)
    state = State.WRONG if they_send else State.ADVICE
    means = "many servers refuse mail from an address without a name that leads back to it"
    means += "" if they_send else "; as long as it only takes mail, nobody looks"
    change = f"let the owner of the network give {ip} the name {exchange.name}, and see that this name has that address"
    entry = Entry(ip_address(ip).reverse_pointer, "PTR", f"{exchange.name}.")
    return Item(REVERSE, ip, state, verdict.reason, means, change, (entry,), verdict.evidence)

