"""What one SPF check asks of the DNS: counted, bounded (RFC 7208 §4.6.4) and kept as evidence.

All includes and redirects of a check share one `Inquiry`. What counts as a void lookup: A, AAAA or MX of a term
without records, and a host of an MX that does not exist. A host that only lacks addresses of the client's family is
none, and neither is anything about the names of the client, which are not in the hand of the domain that is checked.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

from posthouse.checks.evidence import ANSWERS, asked
from posthouse.checks.spf.record import is_record
from posthouse.mail.dns import Answer, Dns, DnsFault, Mx
from posthouse.mail.verdict import Evidence

LOOKUPS: Final = 10
VOID_LOOKUPS: Final = 2
MX_HOSTS: Final = 10
PTR_NAMES: Final = 10
# So many questions are kept as evidence.
EVIDENCE: Final = 24


class Temporary(Exception):
    """temperror for the whole check, with a sentence."""


class Permanent(Exception):
    """permerror for the whole check, with a sentence."""


class Client(NamedTuple):
    """The address that sends, as text and as a number."""

    text: str
    value: int
    ip6: bool

    @property
    def dotted(self) -> str:
        """The macro `i`: an IPv6 address by its hexadecimal digits (§7.3)."""
        return ".".join(f"{self.value:032X}") if self.ip6 else self.text


@lru_cache(maxsize=1024)
def client(ip: str) -> Client:
    """ValueError for what is no address."""
    address = ip_address(ip)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        # RFC 7208 §5: an IPv4-mapped address is an IPv4 address.
        address = address.ipv4_mapped
    return Client(str(address), int(address), address.version == 6)


@lru_cache(maxsize=4096)
def is_name(name: str) -> bool:
    """Whether the DNS can be asked for it at all (RFC 1035 §2.3.4)."""
    return name.isascii() and 0 < len(name) <= 253 and all(0 < len(label) < 64 for label in name.split("."))


@lru_cache(maxsize=4096)
def _value(address: str) -> int:
    return int(ip_address(address))


class Inquiry:
    """`lookups` are the terms that have asked so far, `evidence` what was asked and answered."""

    def __init__(self, dns: Dns, client: Client) -> None:
        self.client = client
        self.lookups = 0
        self.evidence: list[Evidence] = []
        self._dns = dns
        self._voids = 0
        self._names: tuple[str, ...] | None = None
        self._leads_back: dict[str, bool] = {}

    def begin_term(self) -> None:
        """Before each include, a, mx, ptr, exists and redirect. Permanent for one too many."""
        self.lookups += 1
        if self.lookups > LOOKUPS:
            raise Permanent(f"it takes more than {LOOKUPS} lookups")

    async def policies(self, domain: str) -> tuple[bool, list[bytes]]:
        """Whether a domain exists, and its TXT records that are meant for SPF (§4.5). Temporary."""
        try:
            answer = await self._dns.txt(domain)
        except DnsFault as fault:
            raise Temporary(str(fault)) from None
        found = [each for each in answer.records if is_record(each)]
        self._note("TXT", domain, [each.decode("latin-1") for each in found[:ANSWERS]])
        return answer.exists, found

    async def explanations(self, name: str) -> tuple[bytes, ...]:
        """TXT for an explanation; nothing in it counts (§4.6.4). DnsFault."""
        answer = await self._dns.txt(name)
        self._note("TXT", name, [each.decode("latin-1") for each in answer.records[:ANSWERS]])
        return answer.records

    async def exists(self, name: str) -> bool:
        """Whether a name has an IPv4 address, also where the client has none (§5.7). Temporary, Permanent."""
        try:
            answer = await self._dns.a(name)
        except DnsFault as fault:
            raise Temporary(str(fault)) from None
        self._note("A", name, answer.records)
        if not answer.records:
            self._count_void(name)
        return bool(answer.records)

    async def is_at(self, name: str, ip4_length: int, ip6_length: int, *, host_of_mx: bool = False) -> bool:
        """Whether the client is among the addresses of a name, as far as the prefix reaches. Temporary, Permanent."""
        try:
            answer = await self._addresses(name)
        except DnsFault as fault:
            raise Temporary(str(fault)) from None
        if not answer.records:
            if not (host_of_mx and answer.exists):
                self._count_void(name)
            return False
        client = self.client
        if ip4_length == 32 and not client.ip6:
            return client.text in answer.records
        shift = 128 - ip6_length if client.ip6 else 32 - ip4_length
        wanted = client.value >> shift
        return any(_value(address) >> shift == wanted for address in answer.records)

    async def exchangers(self, name: str) -> tuple[Mx, ...]:
        """The hosts of an MX, without the null MX. Temporary, Permanent for too many."""
        try:
            answer = await self._dns.mx(name)
        except DnsFault as fault:
            raise Temporary(str(fault)) from None
        self._note("MX", name, [f"{mx.preference} {mx.exchange or '.'}" for mx in answer.records[:ANSWERS]])
        if not answer.records:
            self._count_void(name)
        if len(answer.records) > MX_HOSTS:
            raise Permanent(f"{name} has {len(answer.records)} mail exchangers, and no more than {MX_HOSTS} are asked")
        return tuple(mx for mx in answer.records if is_name(mx.exchange))

    async def lies_in(self, domain: str) -> bool:
        """Whether a name of the client that leads back to it is that domain or lies below it (§5.5)."""
        for name in await self._names_of_client():
            if (name == domain or name.endswith(f".{domain}")) and await self._leads_to_client(name):
                return True
        return False

    async def validated_name(self, domain: str) -> str:
        """The macro `p` (§7.3): the domain itself, else a name below it, else any that leads back, else "unknown"."""
        names = await self._names_of_client()
        for name in sorted(names, key=lambda each: (each != domain, not each.endswith(f".{domain}"))):
            if await self._leads_to_client(name):
                return name
        return "unknown"

    async def _names_of_client(self) -> tuple[str, ...]:
        """The first ten by PTR; none where the DNS fails."""
        if self._names is None:
            try:
                records = (await self._dns.ptr(self.client.text)).records[:PTR_NAMES]
            except DnsFault:
                records = ()
            self._note("PTR", self.client.text, records)
            self._names = tuple(name.lower().removesuffix(".") for name in records)
        return self._names

    async def _leads_to_client(self, name: str) -> bool:
        found = self._leads_back.get(name)
        if found is None:
            try:
                answer: Answer[str] = await self._addresses(name) if is_name(name) else Answer(())
            except DnsFault:
                # §5.5: that name is skipped and the search continues.
                answer = Answer(())
            found = any(_value(address) == self.client.value for address in answer.records)
            self._leads_back[name] = found
        return found

    async def _addresses(self, name: str) -> Answer[str]:
        """Of the client's family."""
        if self.client.ip6:
            answer = await self._dns.aaaa(name)
            self._note("AAAA", name, answer.records)
        else:
            answer = await self._dns.a(name)
            self._note("A", name, answer.records)
        return answer

    def _count_void(self, name: str) -> None:
        self._voids += 1
        if self._voids > VOID_LOOKUPS:
            raise Permanent(f"more than {VOID_LOOKUPS} of its lookups lead to nothing, the last one to {name}")

    def _note(self, kind: str, name: str, answer: Sequence[str]) -> None:
        if len(self.evidence) < EVIDENCE:
            self.evidence.append(asked(kind, name, answer))
