"""iprev (RFC 8601 §3): do the names of an address lead back to it?"""

from dataclasses import dataclass
from typing import Literal

from posthouse.mail.dns import Dns
from posthouse.mail.verdict import Verdict

Result = Literal["pass", "fail", "temperror", "permerror"]


@dataclass(frozen=True, slots=True)
class Iprev:
    """`names` are all that the address has by PTR, `name` the first that leads back to it, or ""."""

    result: Result
    name: str
    names: tuple[str, ...]
    verdict: Verdict


async def check(ip: str, dns: Dns) -> Iprev:
    """`permerror` where the address has no name at all (RFC 8601 §2.7.3). ValueError where `ip` is no address."""
    raise NotImplementedError
