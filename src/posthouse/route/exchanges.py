"""Where mail for a domain goes: MX records in order, or a configured route (RFC 5321 §5.1, RFC 7505)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from posthouse.mail.dns import Dns
from posthouse.mail.reply import Reply


class TlsRule(StrEnum):
    """How much encryption a next hop is asked for."""

    NEVER = "never"
    OPPORTUNISTIC = "opportunistic"  # where offered, unchecked; without it plain
    REQUIRED = "required"            # encrypted and the certificate checked against the host's name, else no mail


@dataclass(frozen=True, slots=True)
class SmarthostLogin:
    """How we log in at a next hop; only ever used where `TlsRule.REQUIRED` was kept."""

    username: str
    password: str


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
    """Machines in the order to be tried; `how` says in a word or two why: `MX`, `no MX, its own address`, `route`."""

    hosts: tuple[Host, ...]
    how: str


@dataclass(frozen=True, slots=True)
class NoRoute:
    """No machine can be tried; `reply` is ours and says why: 5xx for ever, 4xx for now."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """`routes` by recipient domain, `"*"` for all others. `own_names`: our hostnames, for backup MX.

    `allow_private`: send to loopback and private addresses too (a laboratory, or a house behind a relay).
    `port` is where MX hosts listen (25 but in a laboratory).
    """

    own_names: frozenset[str] = frozenset()
    own_ips: frozenset[str] = frozenset()
    routes: Mapping[str, StaticRoute] | None = None
    allow_private: bool = False
    port: int = 25


class Exchanges:
    """Answers "where to?" for a domain. `shuffle` puts a list in random order, in place."""

    def __init__(self, dns: Dns, settings: RoutingSettings, shuffle: Callable[[list[str]], None]) -> None: ...

    async def find(self, domain: str) -> Hosts | NoRoute: ...
