"""The DMARC check (RFC 9989 §5.3): which policy applies, what is aligned, and what the two make of a message."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from posthouse.checks.dkim.signature import Signature
from posthouse.checks.dmarc import explanation
from posthouse.checks.dmarc.alignment import Comparison, Identifier
from posthouse.checks.dmarc.discovery import Found, Lookups, select_organization
from posthouse.checks.dmarc.record import Destination, Policy, Record, lowered
from posthouse.checks.spf.evaluation import Spf
from posthouse.mail.address import Address
from posthouse.mail.dns import Dns, DnsFault
from posthouse.mail.verdict import Verdict

_STRICTNESS: Final[tuple[Policy, ...]] = ("none", "quarantine", "reject")

Result = Literal["none", "pass", "fail", "temperror", "permerror"]


@dataclass(frozen=True, slots=True)
class Dmarc:
    """What DMARC says of one message.

    `policy_domain` publishes `record`, and `organizational_domain` is that of the author; "" and None where there is
    no record, or where it was not needed. `requested` is what the record asks for mail of this author that fails, and
    the most it may ask for where the DNS would not say which of its policies applies;
    `policy` is what remains of it for this message: "none" unless the result is "fail", and one level lower while the
    domain tests (`lowered`). `identifiers` are SPF's first, then one for each signature. `aligned_spf` and
    `aligned_dkim` tell whether anything of that kind passed and is aligned. `rua` and `ruf` are where reports are
    wanted, before RFC 9990's check of destinations; `flaws` are sentences for the owner of the record.
    """

    result: Result
    author_domain: str
    policy_domain: str
    organizational_domain: str
    record: Record | None
    requested: Policy
    policy: Policy
    lowered: bool
    identifiers: tuple[Identifier, ...]
    aligned_spf: bool
    aligned_dkim: bool
    rua: tuple[Destination, ...]
    ruf: tuple[Destination, ...]
    flaws: tuple[str, ...]
    verdict: Verdict


@dataclass(slots=True)
class _Case:
    """What is known so far about one message."""

    author: str
    lookups: Lookups
    found: Found | None = None
    organization: str = ""
    identifiers: tuple[Identifier, ...] = ()

    @property
    def record(self) -> Record:
        assert self.found is not None
        return self.found.record


async def check(author: Address, spf: Spf | None, signatures: Sequence[Signature], dns: Dns) -> Dmarc:
    """Examines a message by the address of its one author (`mail.author`), who has a domain name in A-labels.

    `spf` is the result for the envelope (`spf.check`, which takes HELO for a null reverse-path), never that of
    `spf.check_helo` beside another reverse-path: DMARC relies on MAIL FROM only (§4.4.2). A signature of a key that is
    in testing is neutral, and counts for nothing. Never raises.
    """
    case = _Case(author.domain, Lookups(dns))
    # §5.3.2: without a domain name there is no place where a policy could stand.
    if not author.domain or author.literal is not None:
        return _conclude(case, "none", explanation.no_domain(author))
    try:
        await _discover(case)
        if case.found is None:
            return _conclude(case, "none", explanation.no_record(case.author))
        if not case.record.usable:
            return _conclude(case, "permerror", explanation.unusable(case.found))
        await _compare(case, spf, signatures)
        if any(identifier.speaks for identifier in case.identifiers):
            return _judge(case, "pass", _subdomain_policy(case, exists=True))
        if any(identifier.might_speak for identifier in case.identifiers):
            return _judge(case, "temperror", _strictest_policy(case))
        return _judge(case, "fail", _subdomain_policy(case, exists=await _exists(case)))
    except DnsFault:
        requested = _strictest_policy(case) if case.found is not None and case.record.usable else "none"
        return _conclude(case, "temperror", explanation.no_answer(case.lookups.evidence), requested)


async def _discover(case: _Case) -> None:
    """Finds the record that applies (§4.10.1): the author's own, else that of its organization or public suffix."""
    own = await case.lookups.record(case.author)
    if own is not None:
        case.found = Found(case.author, own)
        return
    above = await case.lookups.walk(case.author)
    if not above:
        return
    case.organization = select_organization(case.author, above)
    case.found = next((found for found in above if found.domain == case.organization), above[-1])


async def _compare(case: _Case, spf: Spf | None, signatures: Sequence[Signature]) -> None:
    comparison = Comparison(case.author, case.lookups)
    record = case.record
    identifiers: list[Identifier] = []
    if spf is not None:
        identifiers.append(await comparison.compare("spf", spf.domain, "", spf.result, record.aspf))
    for found in signatures:
        identifiers.append(await comparison.compare("dkim", found.domain, found.selector, found.result, record.adkim))
    case.identifiers = tuple(identifiers)
    case.organization = case.organization or comparison.organization


async def _exists(case: _Case) -> bool:
    """Whether the author's domain exists, asked only where the answer changes the policy."""
    record = case.record
    if case.found is None or case.found.domain == case.author or record.for_nonexistent == record.for_subdomains:
        return True
    return await case.lookups.exists(case.author)


def _subdomain_policy(case: _Case, *, exists: bool) -> Policy:
    """What the record asks for mail of this author (§4.7 p, sp, np)."""
    assert case.found is not None
    if case.found.domain == case.author:
        return case.record.p
    return case.record.for_subdomains if exists else case.record.for_nonexistent


def _strictest_policy(case: _Case) -> Policy:
    """The most that the record may ask for, where it is not known which of its policies applies."""
    return max((_subdomain_policy(case, exists=exists) for exists in (True, False)), key=_STRICTNESS.index)


def _judge(case: _Case, result: Result, requested: Policy) -> Dmarc:
    assert case.found is not None
    reason = explanation.judged(result, case.author, case.found, requested, case.identifiers)
    return _conclude(case, result, reason, requested)


def _conclude(case: _Case, result: Result, reason: str, requested: Policy = "none") -> Dmarc:
    record = case.found.record if case.found is not None else None
    testing = record is not None and record.testing and requested != "none"
    policy: Policy = "none"
    if result == "fail":
        policy = lowered(requested) if testing else requested
    applies = record is not None and record.usable
    return Dmarc(
        result=result,
        author_domain=case.author,
        policy_domain=case.found.domain if case.found is not None else "",
        organizational_domain=case.organization,
        record=record,
        requested=requested,
        policy=policy,
        lowered=result == "fail" and testing,
        identifiers=case.identifiers,
        aligned_spf=any(found.speaks for found in case.identifiers if found.method == "spf"),
        aligned_dkim=any(found.speaks for found in case.identifiers if found.method == "dkim"),
        rua=record.rua if record is not None and applies else (),
        # RFC 9991, "DMARC Failure Reports": a public suffix is told nothing about single messages.
        ruf=record.ruf if record is not None and applies and record.psd != "y" else (),
        flaws=(*case.lookups.flaws, *(record.flaws if record is not None else ())),
        verdict=Verdict("dmarc", result, case.author, reason, tuple(case.lookups.evidence)),
    )
