"""The check_host() function of RFC 7208 §4: from an address and a domain to one of seven results, within its limits.

A fault of the DNS is temperror, and never taken for "no record"; so are records that together are longer than
`POLICY_OCTETS`. The limit of 20 seconds in all is the port's: whoever calls hands in a `Dns` that gives up by then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from posthouse.checks.evidence import shown
from posthouse.checks.spf import record as syntax
from posthouse.checks.spf.inquiry import Client, Inquiry, Permanent, Temporary, client, is_name
from posthouse.checks.spf.macros import MacroError, MacroString, parse_explanation
from posthouse.checks.spf.record import Directive, Record, RecordError
from posthouse.mail.address import Address, AddressError, parse_domain
from posthouse.mail.dns import Dns, DnsFault
from posthouse.mail.instant import SECOND, Instant
from posthouse.mail.verdict import Verdict

# All records of one check: far beyond what anybody publishes (RFC 7208 §3.4 advises 450 each), and read in some ten
# milliseconds, however they are written.
POLICY_OCTETS: Final = 16_384
# What stands in one reply, beside our own words.
EXPLANATION_CHARACTERS: Final = 400
REASON_CHARACTERS: Final = 800

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

    `receiver` is our own host name, for the macro `r`. ValueError where `ip` is no address.
    """
    if mail_from is None:
        return await check_helo(ip, helo, dns, receiver=receiver, now=now)
    # §4.3: a sender without a local part is the postmaster.
    sender = _Sender(mail_from.local_part or "postmaster", mail_from.domain, helo)
    return await _Check(client(ip), sender, dns, receiver, now).run("mailfrom")


async def check_helo(ip: str, helo: str, dns: Dns, *, receiver: str, now: Instant) -> Spf:
    """May this address use the name that it gave in HELO or EHLO (§2.3)? ValueError where `ip` is no address."""
    sender = _Sender("postmaster", helo, helo)
    return await _Check(client(ip), sender, dns, receiver, now).run("helo")


class _Sender(NamedTuple):
    local_part: str
    domain: str
    helo: str


class _Match(NamedTuple):
    """What a record came to: by which directive (None: by none) of which record (None: no record) of which domain."""

    result: Result
    domain: str
    directive: Directive | None
    record: Record | None


class _Check:
    """One evaluation."""

    def __init__(self, client: Client, sender: _Sender, dns: Dns, receiver: str, now: Instant) -> None:
        self.client = client
        self.sender = sender
        self.inquiry = Inquiry(dns, client)
        self.receiver = receiver
        self.now = now
        self.exists = True
        self.octets = 0
        # What made the innermost include match.
        self.included: _Match | None = None
        self._values: dict[str, str] = {}

    async def run(self, scope: Scope) -> Spf:
        domain = _domain(self.sender.domain)
        explanation = ""
        result: Result
        if domain is None:
            # §4.3: not a domain name, or one of a single label.
            result, reason = "none", f"{shown(self.sender.domain) or 'nothing'} is no domain that could be asked"
        else:
            self.sender = self.sender._replace(domain=domain)
            try:
                match = await self.host(domain)
                result, reason = match.result, self._reason(domain, match)
                if result == "fail":
                    explanation = await self._explanation(match)
            except Temporary as error:
                result, reason = "temperror", f"the SPF policy of {domain} cannot be read now: {error}"
            except Permanent as error:
                result, reason = "permerror", f"the SPF policy of {domain} cannot be used: {error}"
        inquiry = self.inquiry
        identity = domain or shown(self.sender.domain)
        verdict = Verdict("spf", result, identity, shown(reason, REASON_CHARACTERS), tuple(inquiry.evidence))
        return Spf(result, domain or "", scope, explanation, inquiry.lookups, verdict)

    async def host(self, domain: str) -> _Match:
        """check_host() for a domain, through its redirects. Temporary, Permanent."""
        record = await self._record(domain)
        if record is None:
            return _Match("none", domain, None, None)
        number, ip6 = self.client.value, self.client.ip6
        while True:
            for directive in record.directives:
                if isinstance(directive, syntax.Ip4):
                    matches = not ip6 and number & directive.mask == directive.network
                elif isinstance(directive, syntax.Ip6):
                    matches = ip6 and number & directive.mask == directive.network
                else:
                    matches = isinstance(directive, syntax.All) or await self._matches(directive, domain)
                if matches:
                    return _Match(directive.qualifier, domain, directive, record)
            if record.redirect is None:
                # §4.7: as if "?all" stood at the end.
                return _Match("neutral", domain, None, record)
            self.inquiry.begin_term()
            name = await self._target(record.redirect, domain)
            target = _domain(name) if name.isascii() else None
            record = await self._record(target) if target else None
            if target is None or record is None:
                # §6.1: a target without a record, or that is no domain, is a permerror.
                raise Permanent(f"{domain} redirects to {shown(name)}, which has no SPF record")
            domain = target

    async def _record(self, domain: str) -> Record | None:
        """The one SPF record of a domain (§4.5); None where it publishes none. Temporary, Permanent."""
        self.exists, found = await self.inquiry.policies(domain)
        if not found:
            return None
        if len(found) > 1:
            raise Permanent(f"{domain} has {len(found)} SPF records, where there may be one")
        (octets,) = found
        self.octets += len(octets)
        if self.octets > POLICY_OCTETS:
            raise Temporary(f"with that of {domain} its SPF records are too long to be read, {self.octets} octets")
        try:
            return syntax.parse(octets.decode("ascii"))
        except UnicodeDecodeError:
            raise Permanent(f"the SPF record of {domain} has characters outside ASCII") from None
        except RecordError as error:
            raise Permanent(f"the SPF record of {domain} is malformed, {error}") from None

    async def _matches(self, directive: Directive, domain: str) -> bool:
        """Whether a mechanism that asks the DNS matches."""
        assert not isinstance(directive, syntax.All | syntax.Ip4 | syntax.Ip6)
        inquiry = self.inquiry
        inquiry.begin_term()
        name = await self._target(directive.domain, domain)
        if isinstance(directive, syntax.Include):
            return await self._include(name, domain)
        # §4.8 leaves open what a name that cannot be is: here it matches nothing, as if it did not exist.
        if not is_name(name):
            return False
        match directive:
            case syntax.A():
                return await inquiry.is_at(name, directive.ip4_length, directive.ip6_length)
            case syntax.Mx():
                for mx in await inquiry.exchangers(name):
                    if await inquiry.is_at(mx.exchange, directive.ip4_length, directive.ip6_length, host_of_mx=True):
                        return True
                return False
            case syntax.Exists():
                return await inquiry.exists(name)
            case syntax.Ptr():
                return await inquiry.lies_in(name)

    async def _include(self, name: str, domain: str) -> bool:
        """§5.2"""
        if not name.isascii():
            # RFC 8616 §4: with a local part outside ASCII, its macros match nothing.
            return False
        target = _domain(name)
        match = await self.host(target) if target else None
        if match is None or match.result == "none":
            raise Permanent(f"{domain} includes {shown(name)}, which has no SPF record")
        if match.result != "pass":
            return False
        if not isinstance(match.directive, syntax.Include):
            self.included = match
        return True

    async def _target(self, spec: MacroString | None, domain: str) -> str:
        """The <target-name> of a term (§4.8)."""
        if spec is None:
            return domain
        return spec.name(await self._macros(spec, domain) if spec.letters else {})

    async def _macros(self, spec: MacroString, domain: str) -> Mapping[str, str]:
        """The values of §7.2."""
        values = self._values
        if not values:
            client, sender = self.client, self.sender
            values |= {
                "s": f"{sender.local_part}@{sender.domain}", "l": sender.local_part, "o": sender.domain,
                "h": sender.helo, "i": client.dotted, "c": client.text, "v": "ip6" if client.ip6 else "in-addr",
                "r": self.receiver or "unknown", "t": str(self.now // SECOND),
            }
        values["d"] = domain
        if "p" in spec.letters:
            values["p"] = await self.inquiry.validated_name(domain)
        return values

    async def _explanation(self, match: _Match) -> str:
        """What the domain has to say about its fail (§6.2); "" where that is nothing that can be passed on."""
        spec = match.record.explanation if match.record else None
        if spec is None:
            return ""
        name = await self._target(spec, match.domain)
        if not is_name(name):
            return ""
        try:
            (octets,) = await self.inquiry.explanations(name)
            text = parse_explanation(octets[:POLICY_OCTETS].decode("ascii"))
        except (DnsFault, MacroError, ValueError):
            # §6.2: no answer, none or several records, or a malformed one: as if there were no exp.
            return ""
        words = text.words(await self._macros(text, match.domain), EXPLANATION_CHARACTERS)
        # What HELO and a local part bring in may be anything.
        return words if words.isascii() and words.isprintable() else ""

    def _reason(self, domain: str, match: _Match) -> str:
        if match.record is None:
            return f"{domain} has no SPF record" if self.exists else f"{domain} does not exist"
        of = "of its SPF record"
        if match.domain != domain:
            of = f"of the SPF record of {match.domain}, to which it redirects"
        if match.directive is None:
            by = f"no term {of} matches"
        else:
            by = f'by the term "{shown(match.directive.text)}" {of}'
            inner = self.included
            if isinstance(match.directive, syntax.Include) and inner is not None and inner.directive is not None:
                by += f' ("{shown(inner.directive.text)}" of {inner.domain})'
        return f"{domain} {_SAYS[match.result]} {self.client.text} send for it: {by}"


_SAYS: dict[Result, str] = {
    "pass": "lets",
    "fail": "does not let",
    "softfail": "would rather not let",
    "neutral": "does not say whether it lets",
}


@lru_cache(maxsize=1024)
def _domain(text: str) -> str | None:
    """A domain that may have an SPF record, in A-labels; None for what is none (§4.3)."""
    name = text.removesuffix(".").lower()
    if not name.isascii():
        try:
            name = parse_domain(name)
        except AddressError:
            return None
    if not is_name(name) or not name.isprintable() or "." not in name or name.startswith("["):
        return None
    # RFC 3696 §2: no top-level domain is all digits; an address without brackets is no domain.
    return None if name[name.rfind(".") + 1 :].isdecimal() else name
