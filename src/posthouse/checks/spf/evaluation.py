"""The check_host() function of RFC 7208 §4, with its limits."""

from dataclasses import dataclass
from typing import Literal

from posthouse.mail.address import Address
from posthouse.mail.dns import Dns
from posthouse.mail.instant import Instant
from posthouse.mail.verdict import Verdict

Result = Literal["none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"]
Scope = Literal["mailfrom", "helo"]


@dataclass(frozen=True, slots=True)
class Spf:
    """What SPF says. `domain` was asked, in A-labels ("" where there was none to ask); `explanation` is the words of
    that domain for the refused, printable ASCII, "" where it gives none; `lookups` counts the terms of §4.6.4."""

    result: Result
    domain: str
    scope: Scope
    explanation: str
    lookups: int
    verdict: Verdict


async def check(
    ip: str, helo: str, mail_from: Address | None, dns: Dns, *, receiver: str, now: Instant
) -> Spf:
    """May this address send for the domain of MAIL FROM? For the null reverse-path HELO is asked (§2.4).

    `receiver` is our own host name, for the macro `r`. The limit of 20 seconds (§4.6.4) is that of `dns`.
    """
    raise NotImplementedError


async def check_helo(ip: str, helo: str, dns: Dns, *, receiver: str, now: Instant) -> Spf:
    """May this address use the name that it gave in HELO or EHLO (§2.3)?"""
    raise NotImplementedError
