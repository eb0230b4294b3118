"""What a domain publishes about its logo, told without fetching anything: half of the BIMI check, from the DNS alone.

    found = await published(header, author, dmarc, signatures, dns)
    found.location, found.verdict.reason

Whoever only looks at a message does not want to be seen looking: fetching a logo tells its owner. So the story stops
at the record, with the draft's word "skipped"; `bimi.check` goes on where somebody asks for it.
"""

from collections.abc import Sequence
from dataclasses import replace

from posthouse.checks.bimi import Bimi
from posthouse.checks.bimi.discovery import Questions, discover, ineligible, wanted_selector
from posthouse.checks.bimi.evaluation import Result
from posthouse.checks.bimi.record import RecordError
from posthouse.checks.dkim import Signature
from posthouse.checks.dmarc import Dmarc, Lookups
from posthouse.checks.evidence import shown
from posthouse.mail.address import Address
from posthouse.mail.dns import Dns, DnsFault
from posthouse.mail.headers import Header
from posthouse.mail.verdict import Verdict


async def published(
    header: Header, author: Address, dmarc: Dmarc, signatures: Sequence[Signature], dns: Dns
) -> Bimi:
    """`result` is "skipped" where there is a record that names a logo. Never raises."""
    lookups, questions = Lookups(dns), Questions(dns)
    try:
        found = await _look(header, author, dmarc, signatures, lookups, questions)
    except DnsFault:
        found = _told("temperror", author, "the DNS gave no answer about its logo")
    except RecordError as error:
        found = _told("fail", author, f"its BIMI record is not valid: {error}")
    evidence = (*lookups.evidence, *questions.evidence)
    return replace(found, verdict=replace(found.verdict, evidence=evidence))


async def _look(
    header: Header,
    author: Address,
    dmarc: Dmarc,
    signatures: Sequence[Signature],
    lookups: Lookups,
    questions: Questions,
) -> Bimi:
    reason, organization = await ineligible(dmarc, lookups)
    if reason:
        return _told("skipped", author, f"no logo may be shown: {reason}")
    assertion = await discover(author, wanted_selector(header, dmarc, signatures), organization, questions)
    if assertion is None:
        return _told("none", author, f"{author.domain} publishes no logo")
    record = assertion.record
    if record.declines:
        return _told("declined", author, f"{assertion.domain} wants no logo to be shown")
    if not record.location:
        return _told("fail", author, "its BIMI record names no logo")
    by = " and a certificate for it" if record.evidence else ""
    reason = f"{assertion.domain} publishes the logo {shown(record.location, 200)}{by}, which was not fetched"
    return replace(
        _told("skipped", author, reason), domain=assertion.domain, selector=assertion.selector,
        location=record.location, authority_uri=record.evidence, preference=record.preference,
    )  # fmt: skip


def _told(result: Result, author: Address, reason: str) -> Bimi:
    # RFC 8601 §2.7 knows neither "declined" nor "skipped".
    word = "none" if result in ("declined", "skipped") else result
    return Bimi(result, Verdict("bimi", word, author.domain, reason))
