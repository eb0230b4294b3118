"""iprev (RFC 8601 §3): do the names of an address lead back to it?

    found = await iprev.check("192.0.2.1", dns)
    found.result, found.name            # "pass", "mx.example.org"

It says that whoever runs the network of the client knows it as a server by name, and nothing about who sends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal

from posthouse.checks.evidence import asked, shown
from posthouse.mail.dns import Dns, DnsFault
from posthouse.mail.verdict import Evidence, Verdict

# RFC 8601 §3: the number of names evaluated MUST be limited; ten, as in SPF.
NAMES: Final = 10

Result = Literal["pass", "fail", "temperror", "permerror"]


@dataclass(frozen=True, slots=True)
class Iprev:
    """`names` are the first ten that the address has by PTR, `name` the first of them that leads back to it, or ""."""

    result: Result
    name: str
    names: tuple[str, ...]
    verdict: Verdict


async def check(ip: str, dns: Dns) -> Iprev:
    """`permerror` where the address has no name at all (RFC 8601 §2.7.3). ValueError where `ip` is no address."""
    address, text = _plain(ip)
    try:
        names = (await dns.ptr(text)).records[:NAMES]
    except DnsFault as fault:
        reason = f"the names of {text} cannot be asked for now: {shown(str(fault))}"
        return _found("temperror", text, "", (), reason, [])
    evidence = [asked("PTR", text, names)]
    if not names:
        return _found("permerror", text, "", (), f"{text} has no name", evidence)
    faults: list[str] = []
    kind = "AAAA" if address.version == 6 else "A"
    for name in names:
        try:
            records = (await (dns.aaaa(name) if address.version == 6 else dns.a(name))).records
        except DnsFault as fault:
            faults.append(str(fault))
            continue
        evidence.append(asked(kind, name, records))
        if text in records or address in map(ip_address, records):
            reason = f"{text} is {shown(name)}, and that name leads back to it"
            return _found("pass", text, name, names, reason, evidence)
    if faults:
        reason = f"a name of {text} cannot be asked for now: {shown(faults[0])}"
        return _found("temperror", text, "", names, reason, evidence)
    calls = shown(names[0]) if len(names) == 1 else f"one of {len(names)} names"
    reason = f"{text} calls itself {calls}, but no name of it leads back to it"
    return _found("fail", text, "", names, reason, evidence)


# A client brings many messages.
@lru_cache(maxsize=1024)
def _plain(ip: str) -> tuple[IPv4Address | IPv6Address, str]:
    """The address, as IPv4 where it only is one in the clothes of IPv6, and how it is written."""
    address = ip_address(ip)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address, str(address)


def _found(
    result: Result, ip: str, name: str, names: tuple[str, ...], reason: str, evidence: Sequence[Evidence]
) -> Iprev:
    return Iprev(result, name, names, Verdict("iprev", result, ip, reason, tuple(evidence)))
