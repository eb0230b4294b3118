"""DMARC in words: one sentence about a result, to be read behind "because".

    explanation.judged("fail", "a.example", found, "reject", identifiers)
    "nothing that passed speaks for a.example: SPF passed for b.example, which does not belong to the same organization
     as a.example; there is no DKIM signature; a.example asks to reject such mail"
"""

from collections.abc import Sequence

from posthouse.checks.dmarc.alignment import Identifier
from posthouse.checks.dmarc.discovery import Found
from posthouse.checks.dmarc.record import Policy, lowered
from posthouse.mail.address import Address
from posthouse.mail.verdict import Evidence

# As many signatures are told of one by one.
_TOLD = 3

_WISHES: dict[Policy, str] = {
    "none": "asks for nothing to be done about such mail",
    "quarantine": "asks to quarantine such mail",
    "reject": "asks to reject such mail",
}


def no_domain(author: Address) -> str:
    return f"the author's address <{author}> has no domain name that could publish a policy"


def no_record(author: str) -> str:
    above = " nor any domain above it" if "." in author else ""
    return f"{'neither ' if above else ''}{author}{above} publishes {'a' if above else 'no'} DMARC record"


def unusable(found: Found) -> str:
    return f"the DMARC record of {found.domain} has no valid policy"


def no_answer(evidence: Sequence[Evidence]) -> str:
    asked = evidence[-1].question if evidence else "the DNS"
    return f"the DNS gave no answer about {asked.rpartition(' ')[2]}, so nobody can tell for now"


def judged(result: str, author: str, found: Found, requested: Policy, identifiers: Sequence[Identifier]) -> str:
    """About a message whose author's domain has a usable record."""
    if result == "pass":
        speaking = [identifier for identifier in identifiers if identifier.speaks]
        return _joined([_told(identifier, author) for identifier in speaking])
    if result == "temperror":
        waiting = [identifier for identifier in identifiers if identifier.might_speak]
        return f"nobody can tell for now: {_joined([_told(identifier, author) for identifier in waiting])}"
    told = [_told(identifier, author) for identifier in identifiers]
    if not any(identifier.method == "spf" for identifier in identifiers):
        told.insert(0, "SPF was not asked")
    if not any(identifier.method == "dkim" for identifier in identifiers):
        told.append("there is no DKIM signature")
    return f"nothing that passed speaks for {author}: {_joined(told)}; {_wish(found, requested)}"


def _wish(found: Found, requested: Policy) -> str:
    if found.record.testing and requested != "none":
        return f"{found.domain} {_WISHES[lowered(requested)]} while it tests its policy of {requested}"
    return f"{found.domain} {_WISHES[requested]}"


def _told(identifier: Identifier, author: str) -> str:
    name = "SPF" if identifier.method == "spf" else "DKIM"
    if not identifier.domain:
        return f"{name} says {identifier.result} and names no domain"
    said = "passed" if identifier.result == "pass" else f"says {identifier.result}"
    return f"{name} {said} for {identifier.domain}{_relation(identifier, author)}"


def _relation(identifier: Identifier, author: str) -> str:
    domain = identifier.domain
    if domain == author:
        return ", the author's own domain"
    if identifier.unknown:
        return ", and the DNS would not say whose domain that is"
    if identifier.aligned:
        return f", which belongs to the same organization ({identifier.organizational_domain})"
    if identifier.result != "pass":
        return ""
    if identifier.mode == "strict":
        return f", which is not {author} itself, as its policy demands"
    return f", which does not belong to the same organization as {author}"


def _joined(told: Sequence[str]) -> str:
    more = len(told) - _TOLD - 1
    if more > 0:
        return f"{'; '.join(told[: _TOLD + 1])}; and {more} more"
    return "; ".join(told)
