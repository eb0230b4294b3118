"""Where mail for a domain goes: a configured route, or its MX records in order, or its own address.

RFC 5321 §5.1 in one place: the lowest preference first, equal ones in random order, the domain itself where there is no
MX record, nothing at all behind a null MX (RFC 7505). Where one of the exchanges is ourselves we are a backup, and only
exchanges that are preferred to us are left, so mail never runs in a circle. A and AAAA are both asked for, with the two
families taking turns. Nothing is asked without bound: at most `MAX_EXCHANGES` names, `MAX_ADDRESSES` addresses each.

A DNS that does not answer is never taken for a domain that does not exist: `DnsFault` becomes a 4xx. Loopback, private
and other addresses that are not part of the internet are left out unless allowed, so that a hostile zone cannot aim
our connections at the machines beside us.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address

from posthouse.mail.dns import Dns, DnsFault, Mx
from posthouse.mail.internet import is_public
from posthouse.mail.reply import Reply

MAX_EXCHANGES = 10
MAX_ADDRESSES = 8


class TlsRule(StrEnum):
    """How much encryption a next hop is asked for."""

    NEVER = "never"
    OPPORTUNISTIC = "opportunistic"  # where offered, unchecked; without it plain
    REQUIRED = "required"            # encrypted and the certificate checked against the host's name, else no mail


@dataclass(frozen=True, slots=True)
class SmarthostLogin:
    """How we log in at a next hop; only ever used where `TlsRule.REQUIRED` was kept."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Host:
    """One machine to try: `name` for TLS and the journey, `ips` in the order to be tried."""

    name: str
    ips: tuple[str, ...]
    port: int = 25
    tls: TlsRule = TlsRule.OPPORTUNISTIC
    implicit_tls: bool = False
    login: SmarthostLogin | None = None


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """A configured way instead of MX: to `host` (a name, or an address without brackets) at `port`."""

    host: str
    port: int = 25
    tls: TlsRule = TlsRule.OPPORTUNISTIC
    implicit_tls: bool = False
    login: SmarthostLogin | None = None


@dataclass(frozen=True, slots=True)
class Hosts:
    """Machines in the order to be tried, never empty; `how` says why they: `MX`, `its own address`, `route`, …"""

    hosts: tuple[Host, ...]
    how: str


@dataclass(frozen=True, slots=True)
class NoRoute:
    """No machine can be tried; `reply` is ours and says why: 5xx for ever, 4xx for now."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """`routes` by recipient domain in A-labels, `"*"` for all others.

    `own_names` (lower case) and `own_ips` are what MX records may call ourselves. `allow_private`: send to loopback
    and private addresses too, as in a laboratory. `port` is where exchanges listen: 25, but in a laboratory.
    """

    own_names: frozenset[str] = frozenset()
    own_ips: frozenset[str] = frozenset()
    routes: Mapping[str, StaticRoute] = field(default_factory=dict)
    allow_private: bool = False
    port: int = 25


Shuffle = Callable[[list[Mx]], None]


class Exchanges:
    """Answers "where to?" for a domain. `shuffle` puts a list in random order, in place (`random.Random().shuffle`)."""

    def __init__(self, dns: Dns, settings: RoutingSettings, shuffle: Shuffle) -> None:
        self._dns = dns
        self._settings = settings
        self._shuffle = shuffle

    async def find(self, domain: str) -> Hosts | NoRoute:
        """The next hops for a recipient domain (A-labels, or an address literal in brackets). Never raises."""
        route = self._route(domain)
        if route is not None:
            return await self._static(route)
        if domain.startswith("["):
            return self._literal(domain)
        try:
            answer = await self._dns.mx(domain)
        except DnsFault as fault:
            return _later(domain, fault)
        if not answer.exists:
            return NoRoute(Reply(550, "5.1.2", f"There is no domain {domain} in the DNS"))
        if not answer.records:
            # RFC 5321 §5.1: an implicit MX of preference 0.
            return await self._implicit(domain)
        named = [mx for mx in answer.records if mx.exchange]
        if not named:
            # RFC 7505 §4.1, RFC 7504 §4
            return NoRoute(Reply(556, "5.1.10", f"{domain} takes no mail: its MX record says so"))
        return await self._exchanges(domain, named)

    def destination(self, domain: str) -> str:
        """What connections are counted by: the domain, or the configured next hop that all its domains share."""
        route = self._route(domain)
        return domain if route is None else f"{route.host}:{route.port}"

    def _route(self, domain: str) -> StaticRoute | None:
        return self._settings.routes.get(domain) or self._settings.routes.get("*")

    async def _static(self, route: StaticRoute) -> Hosts | NoRoute:
        ips: tuple[str, ...] | DnsFault
        try:
            ips = (str(ip_address(route.host)),)
        except ValueError:
            ips = await self._addresses(route.host)
        if isinstance(ips, DnsFault):
            return _later(route.host, ips)
        if not ips:
            # A mistake in our own settings or zone: mail waits for the administrator instead of going back.
            return NoRoute(Reply(451, "4.4.4", f"The configured next hop {route.host} has no address"))
        host = Host(route.host, ips, route.port, route.tls, route.implicit_tls, route.login)
        return Hosts((host,), "route")

    def _literal(self, domain: str) -> Hosts | NoRoute:
        text = domain[1:-1]
        try:
            ip = str(ip_address(text[5:] if text[:5].lower() == "ipv6:" else text))
        except ValueError:
            return NoRoute(Reply(550, "5.1.2", f"{domain} is no address that mail can be sent to"))
        if ip in self._settings.own_ips:
            return NoRoute(_circle(domain))
        if not self._allowed(ip):
            return NoRoute(_private(domain))
        return Hosts((Host(domain, (ip,), self._settings.port),), "address literal")

    async def _implicit(self, domain: str) -> Hosts | NoRoute:
        found = await self._addresses(domain)
        if isinstance(found, DnsFault):
            return _later(domain, found)
        if not found:
            return NoRoute(Reply(550, "5.1.2", f"{domain} has neither MX records nor an address"))
        if domain in self._settings.own_names or self._settings.own_ips.intersection(found):
            return NoRoute(_circle(domain))
        ips = tuple(filter(self._allowed, found))
        if not ips:
            return NoRoute(_private(domain))
        return Hosts((Host(domain, ips, self._settings.port),), "its own address, there is no MX")

    async def _exchanges(self, domain: str, records: list[Mx]) -> Hosts | NoRoute:
        # Shuffled first and sorted after: the sort is stable, so equal preferences stay in random order.
        self._shuffle(records)
        records.sort(key=lambda mx: mx.preference)
        ours = [mx.preference for mx in records if mx.exchange in self._settings.own_names]
        if ours:
            records = [mx for mx in records if mx.preference < min(ours)]
        records = records[:MAX_EXCHANGES]
        found = await asyncio.gather(*(self._addresses(mx.exchange) for mx in records))
        how = "MX"
        if ours:
            how = "MX before ours"
        hosts: list[Host] = []
        fault: DnsFault | None = None
        hidden = False
        for position, (mx, ips) in enumerate(zip(records, found, strict=True)):
            if isinstance(ips, DnsFault):
                fault = ips
            elif self._settings.own_ips.intersection(ips):
                # Ourselves under another name: whatever is not preferred to this one leads back here.
                before = {record.exchange for record in records[:position] if record.preference < mx.preference}
                hosts = [host for host in hosts if host.name in before]
                how, ours = "MX before ours", [mx.preference]
                break
            elif ips:
                allowed = tuple(filter(self._allowed, ips))
                hidden = hidden or not allowed
                if allowed:
                    hosts.append(Host(mx.exchange, allowed, self._settings.port))
        if hosts:
            return Hosts(tuple(hosts), how)
        return NoRoute(_why_none(domain, fault, bool(ours), hidden))

    async def _addresses(self, name: str) -> tuple[str, ...] | DnsFault:
        """Both families in turn; the fault only where nothing was found and something may have been missed."""
        v6, v4 = await asyncio.gather(self._dns.aaaa(name), self._dns.a(name), return_exceptions=True)
        fault = None
        lists: list[Sequence[str]] = []
        for answer in (v6, v4):
            if isinstance(answer, DnsFault):
                fault = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                lists.append(answer.records)
        ips = tuple(dict.fromkeys(_alternate(lists)))[:MAX_ADDRESSES]
        return ips if ips or fault is None else fault

    def _allowed(self, ip: str) -> bool:
        return self._settings.allow_private or is_public(ip)


def _alternate(lists: list[Sequence[str]]) -> list[str]:
    longest = max(map(len, lists), default=0)
    return [each[i] for i in range(longest) for each in lists if i < len(each)]


def _why_none(domain: str, fault: DnsFault | None, ours: bool, hidden: bool) -> Reply:
    if fault is not None:
        return _later(domain, fault).reply
    if ours:
        return _circle(domain)
    if hidden:
        return _private(domain)
    return Reply(550, "5.4.4", f"None of the mail exchangers of {domain} has an address")


def _later(name: str, fault: DnsFault) -> NoRoute:
    return NoRoute(Reply(451, "4.4.3", f"The DNS gave no answer about {name}: {fault}"))


def _circle(domain: str) -> Reply:
    # RFC 5321 §5.1: a host that finds itself the best exchanger of a domain it does not serve.
    return Reply(554, "5.4.6", f"Mail for {domain} would come back to us: its best mail exchanger is this host")


def _private(domain: str) -> Reply:
    return Reply(550, "5.4.4", f"Mail for {domain} leads to an address outside the public internet")
