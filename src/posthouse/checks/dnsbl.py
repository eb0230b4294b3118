"""Blocklists and allowlists in the DNS (RFC 5782), of addresses and of domains, each with its weight."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from posthouse.mail.dns import Dns
from posthouse.mail.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Code:
    """What an answer means: `pattern` as "127.0.0.2", "127.0.0.4-7", "127.0.*.3" or "127.0.0.&8" (that bit set)."""

    pattern: str
    meaning: str
    weight: int | None = None


@dataclass(frozen=True, slots=True)
class DnsList:
    """One list. `weight` counts against the sender, a negative one (an allowlist) for it. With `codes`, only the
    answers that one of them names count; a code may have a weight of its own."""

    zone: str
    subject: Literal["address", "domain"] = "address"
    weight: int = 1
    codes: tuple[Code, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """What one list says of one subject. `error` is a sentence where it could not say anything, else ""."""

    list: DnsList
    subject: str
    listed: bool
    weight: int
    meaning: str
    error: str


@dataclass(frozen=True, slots=True)
class Dnsbl:
    """All lists together: `score` is the sum of weights, `entries` those that list the sender or failed."""

    score: int
    entries: tuple[Entry, ...]
    verdict: Verdict


async def check(ip: str, domains: Sequence[str], lists: Sequence[DnsList], dns: Dns) -> Dnsbl:
    """Ask each list about the address, or about each of the domains, by its subject."""
    raise NotImplementedError
