"""Who really sent a message: every check asked about it, and what they found, in one value.

    findings = await authentication.examine(case)
    findings.dmarc, findings.verdicts, findings.results

Only mail from outside is examined. A client in `trusted_networks` (this machine, relays of our own that have examined
what they bring) is not, and `Findings.waived` says so. What depends on what: DMARC needs what SPF and DKIM found, all
else stands alone. The first question of each check is put to the resolver before the first check begins; so they are
on their way together where nothing is known yet, and where all is known a check never waits and no task is made.

Each check has a limit of time of its own (RFC 7208 §4.6.4 gives SPF 20 seconds); what it could not learn by then is
its temperror.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, Protocol

from posthouse.checks import arc, dkim, dmarc, dnsbl, iprev, spf
from posthouse.checks.arc import Arc
from posthouse.checks.arc.chain import present
from posthouse.checks.dkim import UNSIGNED, Signature
from posthouse.checks.dkim.verification import SIGNATURES_MOST
from posthouse.checks.dmarc import Dmarc
from posthouse.checks.dnsbl import Dnsbl, DnsList
from posthouse.checks.iprev import Iprev
from posthouse.checks.spf import Spf
from posthouse.checks.summary import summarize
from posthouse.mail.address import Address
from posthouse.mail.authentication_results import Result
from posthouse.mail.author import author
from posthouse.mail.dns import Dns
from posthouse.mail.instant import SECOND, Instant
from posthouse.mail.verdict import Verdict
from posthouse.route.case import Case
from posthouse.store.database import Database, StoreFault
from posthouse.store.directory import is_local

# RFC 7208 §4.6.4; what is fair for SPF is fair for the others.
CHECK_SECONDS: Final = 20.0
# A list that does not answer must not hold up everybody's mail.
LIST_SECONDS: Final = 5.0
_IPS_KEPT: Final = 4096
_DOMAINS_KEPT: Final = 4096
_DOMAINS_KEPT_FOR: Final = 10 * SECOND

# Where the key of a signature stands, in the way that nearly all are written. The check itself reads with care, and so
# do we where this finds nothing: keys that are asked for one after another could use up the time of the last.
_find_names = re.compile(
    rb"(?:\A|;)[ \t\r\n]*([ds])[ \t]*=[ \t]*([A-Za-z0-9._-]{1,200})[ \t\r\n]*(?=;|\Z)"
).findall
# Neither an address literal nor what a client makes up for a greeting.
_is_name = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})+").fullmatch

Network = IPv4Network | IPv6Network


class Resolver(Protocol):
    """Where the checks ask; `serve.resolver.Resolver` is one."""

    def within(self, seconds: float) -> Dns:
        """A `Dns` whose questions all end within that time from now."""
        ...

    def expect(self, kind: str, name: str) -> None:
        """This will be asked in a moment: TXT or A of a name, PTR of an address. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """`hostname`: our own name. `trusted_networks`: whose mail is not examined. `lists`: DNS lists that are asked."""

    hostname: str
    trusted_networks: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    lists: tuple[DnsList, ...] = ()


@dataclass(frozen=True, slots=True)
class Findings:
    """What the checks found. None where a check was not asked; `waived` says why none was.

    `author` is the one of the From field; `ours` tells that its domain is served here.
    """

    ip: str
    author: Address
    waived: str = ""
    ours: bool = False
    iprev: Iprev | None = None
    dnsbl: Dnsbl | None = None
    spf: Spf | None = None
    signatures: tuple[Signature, ...] = ()
    arc: Arc | None = None
    dmarc: Dmarc | None = None

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Those of the checks that were asked and had something to say."""
        return tuple(self._verdicts())

    def _verdicts(self) -> Iterator[Verdict]:
        if self.iprev is not None:
            yield self.iprev.verdict
        if self.dnsbl is not None:
            yield self.dnsbl.verdict
        if self.spf is not None:
            yield self.spf.verdict
            if self.signatures:
                for signature in self.signatures:
                    yield signature.verdict
            else:
                yield UNSIGNED
        if self.arc is not None and self.arc.result != "none":
            yield self.arc.verdict
        if self.dmarc is not None:
            yield self.dmarc.verdict

    @property
    def unfinished(self) -> bool:
        """Whether a later try could find a proof of who sent it, since something could not be asked for now."""
        asked = (self.spf, self.dmarc, *self.signatures)
        return any(found is not None and found.result == "temperror" for found in asked)

    @property
    def results(self) -> tuple[Result, ...]:
        """What Authentication-Results tells (RFC 8601 §2.7)."""
        return summarize(
            self.ip, iprev=self.iprev, spf=self.spf, signatures=self.signatures, arc=self.arc, dmarc=self.dmarc
        )


class OurDomains:
    """Which domains are served here; what was asked is remembered for a moment."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, tuple[bool, Instant]] = {}

    async def have(self, domain: str, now: Instant) -> bool:
        """Never raises: a store that cannot be asked is asked again by the acceptance."""
        known, asked = self._known.get(domain, (False, 0))
        if 0 <= now - asked < _DOMAINS_KEPT_FOR:
            return known
        try:
            found = await self._db.read(lambda tx: is_local(tx, domain), quick=True)
        except StoreFault:
            return False
        if len(self._known) >= _DOMAINS_KEPT:
            self._known.clear()
        self._known[domain] = (found, now)
        return found


class Authentication:
    """All checks of one house. Without `ours` no domain is."""

    def __init__(self, resolver: Resolver, settings: CheckSettings, ours: OurDomains | None = None) -> None:
        self._resolver = resolver
        self._settings = settings
        self._ours = ours
        # Clients come again and again, and reading an address costs more than a look into a dict.
        self._waives = lru_cache(_IPS_KEPT)(self._why_waived)

    def waives(self, ip: str) -> str:
        """Why mail from there is not examined, as a sentence; "" where it is."""
        return self._waives(ip)

    async def examine(self, case: Case) -> Findings:
        """Never raises for what a message, its sender or the DNS may do. The header has exactly one author."""
        ip = case.peer.ip
        wrote = author(case.message.header)
        if waived := self._waives(ip):
            return Findings(ip, wrote, waived)
        return await self._ask(case, wrote)

    async def _ask(self, case: Case, wrote: Address) -> Findings:
        self._announce(case, wrote)
        resolver, now, peer, message = self._resolver, case.now, case.peer, case.message
        named = await iprev.check(peer.ip, resolver.within(CHECK_SECONDS))
        sender = await spf.check(
            peer.ip, peer.helo, case.envelope.mail_from, resolver.within(CHECK_SECONDS),
            receiver=self._settings.hostname, now=now,
        )  # fmt: skip
        signatures = await dkim.verify(message, resolver.within(CHECK_SECONDS), now, digests=case.digests)
        chain = None
        if present(message.header):
            chain = await arc.validate(message, resolver.within(CHECK_SECONDS), now, digests=case.digests)
        policy = await dmarc.check(wrote, sender, signatures, resolver.within(CHECK_SECONDS))
        listed = None
        if self._settings.lists:
            domains = _domains(wrote, sender, signatures)
            listed = await dnsbl.check(peer.ip, domains, self._settings.lists, resolver.within(LIST_SECONDS))
        ours = self._ours is not None and await self._ours.have(wrote.domain, now)
        return Findings(peer.ip, wrote, "", ours, named, listed, sender, signatures, chain, policy)

    def _announce(self, case: Case, wrote: Address) -> None:
        """Puts the first question of each check on its way."""
        expect = self._resolver.expect
        mail_from = case.envelope.mail_from
        sender = mail_from.domain if mail_from is not None else case.peer.helo
        named = _is_name(wrote.domain) is not None
        expect("PTR", case.peer.ip)
        if _is_name(sender):
            expect("TXT", sender)
        if named:
            expect("TXT", f"_dmarc.{wrote.domain}")
        for signed in case.message.header.all("dkim-signature")[:SIGNATURES_MOST]:
            names = dict(_find_names(signed.value))
            if len(names) == 2:
                expect("TXT", f"{names[b's'].decode()}._domainkey.{names[b'd'].decode()}")
            elif name := dkim.key_name(signed):
                expect("TXT", name)
        for each in self._settings.lists:
            if each.subject == "address":
                expect("A", dnsbl.owner(case.peer.ip, each))
            elif named:
                expect("A", dnsbl.owner(wrote.domain, each))

    def _why_waived(self, ip: str) -> str:
        address = ip_address(ip)
        network = next((network for network in self._settings.trusted_networks if address in network), None)
        return "" if network is None else f"{ip} is in the trusted network {network}"


def _domains(wrote: Address, sender: Spf, signatures: tuple[Signature, ...]) -> list[str]:
    """Whom lists of domains are asked about: whoever answers for the message in any way."""
    found = [wrote.domain, sender.domain, *(signed.domain for signed in signatures if signed.result == "pass")]
    return [domain for domain in dict.fromkeys(found) if domain and not domain.startswith("[")]
