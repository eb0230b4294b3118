"""Everything that `posthouse check` asks about a domain, side by side where nothing depends on each other.

    report = await inspect(domain, file, around, wishes, now, step)
    report.items, report.must_mend
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from socket import gethostname
from typing import TYPE_CHECKING, Final, NamedTuple

from posthouse.checks import mta_sts
from posthouse.checks.story.networks import inside
from posthouse.checks.survey import (
    Branch,
    Entry,
    Exchange,
    Exchangers,
    Item,
    State,
    Tree,
    drawing,
    emblem,
    exchangers,
    follow,
    listings,
    must_mend,
    policy,
    reverse,
    selectors,
    sts_policy,
    sts_record,
    sts_unfetched,
    tls_reporting,
    tlsa,
    unfetched,
)
from posthouse.cli.asking import FileAsker, asker, blocklists
from posthouse.cli.records import Record, txt
from posthouse.cli.surroundings import Surroundings
from posthouse.mail.dns import Dns
from posthouse.mail.fetch import FetchFault
from posthouse.mail.instant import Instant

if TYPE_CHECKING:
    from posthouse.checks.survey.encryption import Call

# The order in which topics are told.
TOPICS: Final = (
    "MX", "reverse DNS", "SPF", "DKIM", "DMARC", "MTA-STS", "TLSRPT", "TLSA", "STARTTLS", "BIMI", "blocklists",
)  # fmt: skip
# For all questions together.
SECONDS: Final = 90.0
# So many addresses are called, and so many at a time.
CALLS: Final = 16
_AT_ONCE: Final = 8
_SMTP: Final = 25

Step = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person wants besides; `keys` are the records of our own keys by selector."""

    selectors: Sequence[str] = ()
    lists: Sequence[str] = ()
    online: bool = False
    keys: Mapping[str, str] = field(default_factory=dict)


class Report(NamedTuple):
    """`items` in the order of `TOPICS`."""

    domain: str
    online: bool
    exchanges: tuple[Exchange, ...]
    tree: Tree
    items: tuple[Item, ...]

    @property
    def must_mend(self) -> bool:
        return must_mend(self.items)

    @property
    def counts(self) -> dict[str, int]:
        counted = Counter(str(item.state) for item in self.items)
        return {str(state): counted[str(state)] for state in State}


def published(entry: Entry) -> Record:
    """A record as `posthouse domain dns` has it."""
    return Record(entry.name, entry.rdtype, txt(entry.data) if entry.rdtype == "TXT" else entry.data, "")


async def inspect(
    domain: str, file: FileAsker | None, around: Surroundings, wishes: Wishes, now: Instant, step: Step
) -> Report:
    """`step` hears of each part that is done, as a share of the whole. Complaint for lists that are none."""
    config = around.config
    lists = blocklists(wishes.lists, config)
    closed = config is not None and config.relay.private_networks
    async with asker(file, config) as ask:
        dns = ask.within(SECONDS)
        hosts = await exchangers(domain, dns, closed=closed)
        if not hosts.exists:
            return Report(domain, wishes.online, (), Tree(Branch(domain, "")), hosts.items)
        takes_mail = not hosts.is_null and bool(hosts.exchanges or not hosts.known)
        tree = await follow(domain, dns, takes_mail=takes_mail)
        step(0.2)
        parts: list[Awaitable[tuple[Item, ...]]] = [
            reverse(hosts.exchanges, dns, they_send=tree.uses_mx),
            selectors(domain, dns, named=wishes.selectors, ours=wishes.keys),
            policy(domain, dns, takes_mail=takes_mail),
            _logo(domain, dns, around, wishes.online),
            listings(domain, hosts.exchanges, lists, dns),
            _transport(domain, hosts, dns, around, wishes.online, now, closed),
        ]
        share = 0.8 / len(parts)

        async def done(part: Awaitable[tuple[Item, ...]]) -> tuple[Item, ...]:
            found = await part
            step(share)
            return found

        found = await asyncio.gather(*map(done, parts))
    items = [*hosts.items, *tree.items, *(item for part in found for item in part)]
    items.sort(key=lambda item: TOPICS.index(item.topic))
    return Report(domain, wishes.online, hosts.exchanges, tree, tuple(items))


async def _transport(
    domain: str, hosts: Exchangers, dns: Dns, around: Surroundings, online: bool, now: Instant, closed: bool
) -> tuple[Item, ...]:
    """How mail is protected on its way; with the network where that is wanted."""
    if hosts.is_null:
        return ()
    sts = await sts_record(domain, hosts.exchanges, dns)
    items = [*sts.items, *await tls_reporting(domain, dns)]
    keys = await tlsa(hosts.exchanges, dns)
    items += keys.items
    if not online:
        return tuple(items)
    from posthouse.checks.survey.encryption import encryption
    from posthouse.serve import tls
    from posthouse.serve.fetch import Fetcher

    context = tls.verified(around.config.relay.ca_file if around.config is not None else None)
    enforced = False
    if sts.announced:
        try:
            fetcher = Fetcher(dns, context, redirects=0)
            octets = await fetcher.get(mta_sts.policy_url(domain), limit=mta_sts.POLICY_OCTETS)
            items += sts_policy(domain, octets, hosts.exchanges)
            enforced = _enforced(octets)
        except FetchFault as fault:
            items.append(sts_unfetched(domain, str(fault)))
    calls = await _calls(hosts.exchanges, around, closed, context)
    called = encryption(calls, now, enforced=enforced, keys=keys.records)
    if any(item.topic == "TLSA" for item in called):
        # The same with the record to publish.
        items = [item for item in items if not (item.topic == "TLSA" and item.state is State.ABSENT)]
    return (*items, *called)


async def _calls(
    exchanges: Sequence[Exchange], around: Surroundings, closed: bool, context: ssl.SSLContext
) -> "list[Call]":
    """What the mail hosts say; those that only look like being outside are left alone."""
    from posthouse.serve.probe import probe

    config = around.config
    port = config.relay.port if config is not None else _SMTP
    helo = config.hostname if config is not None else gethostname()
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(host: str, ip: str) -> "Call":
        async with turns:
            return await probe(host, ip, port, helo=helo, context=context)

    places = [(each.name, ip) for each in exchanges for ip in each.addresses if closed or not inside(ip)]
    return list(await asyncio.gather(*(one(host, ip) for host, ip in places[:CALLS])))


async def _logo(domain: str, dns: Dns, around: Surroundings, online: bool) -> tuple[Item, ...]:
    found = await emblem(domain, dns)
    if not online or not found.location:
        return found.items
    from posthouse.checks.bimi.svg import SVG_OCTETS
    from posthouse.serve import tls
    from posthouse.serve.fetch import Fetcher

    try:
        octets = await Fetcher(dns, tls.verified()).get(found.location, limit=SVG_OCTETS)
    except FetchFault as fault:
        return (*found.items, unfetched(found.location, str(fault)))
    return (*found.items, drawing(found.location, octets))


def _enforced(octets: bytes) -> bool:
    try:
        return mta_sts.parse_policy(octets).mode == "enforce"
    except mta_sts.PolicyError:
        return False
