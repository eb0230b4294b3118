"""What others report about our domains, summed up: who sends in our name, what passes, what does not.

    names = await ask_names(addresses(lines), dns, 5)       with iprev: a name counts only where it leads back
    sources = gather(lines, names)                          busiest first
    counts = trend(days, first, last)                       one for each day, also where nobody reported

Sources are put together by the domain that somebody registered their name under; those without a name by their
network. `Source.lines` tell of its addresses what was reported of them.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from posthouse.checks import iprev
from posthouse.checks.suffixes import registrable
from posthouse.mail.dns import Dns
from posthouse.store.feedback import Day, Line

# Addresses that are asked about, those with most messages first, and how many at once.
NAMES = 500
_AT_ONCE = 50
_NETWORK_BITS = {4: 24, 6: 48}


@dataclass(frozen=True, slots=True)
class Source:
    """One sender as the world sees it. `name` is a registered domain, or a network where there is no name.

    `addresses` are busiest first, each with its name or "". `aligned_dkim`, `aligned_spf` and `passed` count messages.
    `fates` are those of the messages that did not pass, by what reporters did with them ("none": nothing).
    """

    name: str
    named: bool
    addresses: tuple[tuple[str, str], ...]
    messages: int
    passed: int
    aligned_dkim: int
    aligned_spf: int
    fates: Mapping[str, int]
    lines: tuple[Line, ...]

    @property
    def failed(self) -> int:
        return self.messages - self.passed

    @property
    def failures(self) -> Iterator[Line]:
        """The lines of what did not pass, busiest first."""
        return (line for line in self.lines if not passes(line))


def passes(line: Line) -> bool:
    """Whether its messages passed DMARC."""
    return line.aligned_dkim or line.aligned_spf


def addresses(lines: Iterable[Line]) -> list[str]:
    """The addresses of all lines, busiest first."""
    counts: Counter[str] = Counter()
    for line in lines:
        counts[line.source_ip] += line.messages
    return [ip for ip, _ in counts.most_common()]


async def ask_names(ips: Sequence[str], dns: Dns, seconds: float) -> dict[str, str]:
    """The names of up to NAMES addresses, "" for one that has none which leads back to it; after `seconds`, those that
    were found by then. Addresses that cannot be asked about now are missing."""
    found: dict[str, str] = {}
    turns = asyncio.Semaphore(_AT_ONCE)

    async def ask(ip: str) -> None:
        async with turns:
            answer = await iprev.check(ip, dns)
        if answer.result != "temperror":
            found[ip] = answer.name.lower().rstrip(".")

    tasks = [asyncio.create_task(ask(ip)) for ip in ips[:NAMES]]
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return dict(found)


def gather(lines: Iterable[Line], names: Mapping[str, str]) -> list[Source]:
    """The lines by who sent, busiest first."""
    groups: dict[tuple[str, bool], list[Line]] = {}
    for line in lines:
        groups.setdefault(_group(line.source_ip, names.get(line.source_ip, "")), []).append(line)
    sources = [_source(name, named, found, names) for (name, named), found in groups.items()]
    return sorted(sources, key=lambda source: (-source.messages, source.name))


def trend(days: Iterable[Day], first: int, last: int) -> list[tuple[int, int]]:
    """Messages and those that passed, for each day from `first` to `last` (UTC days since 1970)."""
    messages: Counter[int] = Counter()
    passed: Counter[int] = Counter()
    for day in days:
        messages[day.day] += day.messages
        passed[day.day] += day.passed
    return [(messages[day], passed[day]) for day in range(first, last + 1)]


def _group(ip: str, name: str) -> tuple[str, bool]:
    if name:
        return registrable(name) or name, True
    address = ip_address(ip)
    return str(ip_network((address, _NETWORK_BITS[address.version]), strict=False)), False


def _source(name: str, named: bool, lines: Sequence[Line], names: Mapping[str, str]) -> Source:
    lines = sorted(lines, key=lambda line: -line.messages)
    fates: Counter[str] = Counter()
    for line in lines:
        if not passes(line):
            fates[line.disposition] += line.messages
    return Source(
        name,
        named,
        tuple((ip, names.get(ip, "")) for ip in addresses(lines)),
        sum(line.messages for line in lines),
        sum(line.messages for line in lines if passes(line)),
        sum(line.messages for line in lines if line.aligned_dkim),
        sum(line.messages for line in lines if line.aligned_spf),
        fates,
        tuple(lines),
    )
