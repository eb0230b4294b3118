"""Where reports may go: nobody else gets them who did not ask (RFC 9990, "Verifying External Destinations").

    permission = await permit("a.example", found.rua, "rua", dns)
    permission.addresses                send the report to these
    permission.open                     these could not be asked for now: try them later

A domain may name any address in its record. Where that belongs to another organization, the host of the address has
to say that it wants reports about the domain, in `a.example._report._dmarc.host`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from posthouse.checks.dmarc.discovery import Lookups
from posthouse.checks.dmarc.record import Destination, parse
from posthouse.checks.evidence import asked, shown
from posthouse.mail.address import Address
from posthouse.mail.dns import Dns, DnsFault
from posthouse.mail.verdict import Evidence

_NAME_OCTETS = 253


@dataclass(frozen=True, slots=True)
class Permission:
    """Which addresses may have reports, which have to be asked about later, and a sentence about every one.

    `addresses` has none twice. `reasons` are in the order of the destinations that were asked about.
    """

    addresses: tuple[Address, ...]
    open: tuple[Destination, ...]
    reasons: tuple[str, ...]
    evidence: tuple[Evidence, ...]


async def permit(
    policy_domain: str, destinations: Sequence[Destination], tag: Literal["rua", "ruf"], dns: Dns
) -> Permission:
    """Examines the destinations that the record of `policy_domain` names. Never raises.

    A destination may give other addresses at its own host instead (its own rua or ruf); if it names another host,
    nobody gets the report.
    """
    inquiry = _Inquiry(policy_domain, tag, dns)
    addresses: dict[Address, None] = {}
    later: list[Destination] = []
    reasons: list[str] = []
    for destination in destinations:
        if destination.address is None:
            reasons.append(f"{shown(destination.uri)} is no mail address, and only mail is sent")
            continue
        try:
            permitted, reason = await inquiry.examine(destination.address)
        except DnsFault:
            later.append(destination)
            reasons.append(f"whether {destination.address.domain} wants reports could not be asked for now")
            continue
        addresses.update(dict.fromkeys(permitted))
        reasons.append(reason)
    return Permission(tuple(addresses), tuple(later), tuple(reasons), tuple(inquiry.evidence))


class _Inquiry:
    """The questions about the destinations of one record."""

    def __init__(self, policy_domain: str, tag: Literal["rua", "ruf"], dns: Dns) -> None:
        self._domain = policy_domain
        self._tag = tag
        self._dns = dns
        self._lookups = Lookups(dns)
        self._questions: list[Evidence] = []

    @property
    def evidence(self) -> list[Evidence]:
        return [*self._lookups.evidence, *self._questions]

    async def examine(self, address: Address) -> tuple[tuple[Address, ...], str]:
        """Who may have the report in place of `address`, and why. May raise DnsFault."""
        host = address.domain
        if host == self._domain or await self._same_organization(host):
            return (address,), f"{host} belongs to {self._domain} itself"
        name = f"{self._domain}._report._dmarc.{host}"
        if len(name) > _NAME_OCTETS:
            return (), f"the name under which {host} could agree to reports is too long for the DNS"
        answer = await self._dns.txt(name)
        self._questions.append(asked("TXT", name, [octets.decode("latin-1") for octets in answer.records]))
        records = [record for record in map(parse, answer.records) if record is not None]
        if not records:
            return (), f"{host} does not say that it wants reports about {self._domain}"
        others = [place for record in records for place in (record.rua if self._tag == "rua" else record.ruf)]
        if not others:
            return (address,), f"{host} wants reports about {self._domain}"
        # The override must stay at the same host, lest the report travels on from one victim to the next.
        named = [place.address for place in others if place.address is not None]
        if len(named) < len(others) or any(other.domain != host for other in named):
            return (), f"{host} wants reports about {self._domain} to go to another host, which is not allowed"
        return tuple(named), f"{host} wants reports about {self._domain} at another of its addresses"

    async def _same_organization(self, host: str) -> bool:
        ours = await self._lookups.organizational_domain(self._domain)
        return await self._lookups.organizational_domain(host) == ours
