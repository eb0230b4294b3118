"""Which logo a message may be shown with: whether its domain may have one, and the record that names it.

    reason = await ineligible(dmarc, lookups)      "" or why no logo is asked for at all
    found = await discover(author, selector, organization, questions)

Receiver Actions of draft-brand-indicators-for-message-identification, version 12: "Authentication Requirements" and
"Assertion Record Discovery".
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from posthouse.checks.bimi.record import (
    DEFAULT_SELECTOR,
    Record,
    RecordError,
    is_record,
    local_part_selector,
    parse,
    selector,
)
from posthouse.checks.dkim.signature import Signature
from posthouse.checks.dmarc import Dmarc, Lookups
from posthouse.checks.dmarc import Record as Policy
from posthouse.checks.evidence import asked
from posthouse.mail.address import Address
from posthouse.mail.dns import Dns
from posthouse.mail.headers import Header
from posthouse.mail.verdict import Evidence

_SELECTOR_FIELD = "bimi-selector"
_NAME_CHARACTERS = 253

# RFC 7489's tag, which RFC 9989 no longer has, but which owners wrote with a purpose.
_find_percentage = re.compile(r"(?:\A|;)[ \t]*pct[ \t]*=[ \t]*([0-9]{1,3})[ \t]*(?:;|\Z)", re.IGNORECASE).search


class Assertion(NamedTuple):
    """The record that counts, and where it was: `<selector>._bimi.<domain>`."""

    domain: str
    selector: str
    record: Record


class Questions:
    """TXT records of selectors; each question is asked once and kept as evidence. May raise DnsFault."""

    def __init__(self, dns: Dns) -> None:
        self.evidence: list[Evidence] = []
        self._dns = dns
        self._answers: dict[str, tuple[bytes, ...]] = {}

    async def records(self, name: str) -> tuple[bytes, ...]:
        """The BIMI records at a name; other TXT records are passed over."""
        if name not in self._answers:
            answer = await self._dns.txt(name) if len(name) <= _NAME_CHARACTERS else None
            found = tuple(filter(is_record, answer.records)) if answer is not None else ()
            self.evidence.append(asked("TXT", name, [record.decode("latin-1") for record in found]))
            self._answers[name] = found
        return self._answers[name]


async def ineligible(dmarc: Dmarc, lookups: Lookups) -> tuple[str, str]:
    """Why no logo is asked for ("" where one may be), and the organizational domain. May raise DnsFault."""
    if dmarc.result != "pass" or dmarc.record is None:
        return "the message did not pass DMARC", ""
    author = dmarc.author_domain
    organization = dmarc.organizational_domain or await lookups.organizational_domain(author)
    if dmarc.requested == "none":
        return f"the DMARC policy for {author} asks for nothing", organization
    reason = _unenforced(dmarc.policy_domain, dmarc.record)
    # Both the author's domain and its organization have to stand by what they say.
    if not reason and organization != dmarc.policy_domain:
        above = await lookups.record(organization)
        reason = _unenforced(organization, above) if above is not None else f"{organization} has no DMARC policy"
    return reason, organization


def wanted_selector(header: Header, dmarc: Dmarc, signatures: Sequence[Signature]) -> str:
    """The selector in the BIMI-Selector field, if a signature that speaks for the author covers it."""
    fields = header.all(_SELECTOR_FIELD)
    speaking = {
        (found.domain, found.selector) for found in dmarc.identifiers if found.method == "dkim" and found.speaks
    }
    covered = any(
        _SELECTOR_FIELD in signature.headers
        for signature in signatures
        if signature.result == "pass" and (signature.domain, signature.selector) in speaking
    )
    # Of two such fields the signature covers the last, and whoever reads the first is deceived.
    return selector(fields[0].unfolded) if covered and len(fields) == 1 else DEFAULT_SELECTOR


async def discover(author: Address, wanted: str, organization: str, questions: Questions) -> Assertion | None:
    """The one record of the author's domain, else of its organization; None where neither has any.

    Raises RecordError where there are several or the one is malformed, and may raise DnsFault.
    """
    for domain in dict.fromkeys((author.domain, organization)):
        records = await questions.records(f"{wanted}._bimi.{domain}")
        if not records:
            continue
        record = _only(records)
        by_local_part = await _by_local_part(author, domain, record, questions)
        return by_local_part or Assertion(domain, wanted, record)
    return None


async def _by_local_part(author: Address, domain: str, record: Record, questions: Questions) -> Assertion | None:
    """The record for the author's local part, where `record` has such (lps=) and there is one."""
    if record.prefixes is None:
        return None
    name = local_part_selector(author.local_part)
    if not name or (record.prefixes and not name.startswith(record.prefixes)):
        return None
    records = await questions.records(f"{name}._bimi.{domain}")
    try:
        return Assertion(domain, name, _only(records)) if records else None
    except RecordError:
        # "If a valid BIMI record is found then this should be used, if not" the one found before.
        return None


def _only(records: tuple[bytes, ...]) -> Record:
    if len(records) > 1:
        raise RecordError(f"there are {len(records)} records where one may be")
    return parse(records[0])


def _unenforced(domain: str, record: Policy) -> str:
    """Why a DMARC record does not enforce anything; "" where it does."""
    percentage = _find_percentage(record.text)
    if record.p == "none" or not record.usable:
        return f"the DMARC policy of {domain} asks for nothing"
    if record.sp == "none":
        return f"the DMARC policy of {domain} asks for nothing about its subdomains"
    if record.testing:
        return f"{domain} is testing its DMARC policy"
    if record.p == "quarantine" and percentage is not None and int(percentage[1]) != 100:
        return f"the DMARC policy of {domain} is for {percentage[1]}% of its mail"
    return ""
