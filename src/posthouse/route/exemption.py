"""Whose word counts although DMARC fails: exceptions that the settings name, and traces of lists and forwarders.

    exemption = exempt(findings, Exemptions(sealers=frozenset({"lists.example.org"})))
    exemption.sentence, exemption.reason        for the journey; for the report to the author's domain (RFC 9990)
    carrier(findings, exemptions)               the forwarder or list that brought it, whatever the domain asks for

Lists and forwarders break what DMARC compares (RFC 7960). An exception is made only for somebody who has proved to be
the one that the settings name: by SPF, by a signature, by the name of its address, or by its network. An ARC chain
counts from sealers that the settings name only, and only for what they recorded of this very author (RFC 8617 §7.2).
`detour` makes no exception: it tells that there is a trace of a list, which anybody could have laid.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from posthouse.checks.arc import ArcSet
from posthouse.checks.dmarc import Policy as Disposition
from posthouse.checks.dmarc.record import lowered
from posthouse.checks.reports.aggregate import Reason
from posthouse.route.authentication import Findings, Network
from posthouse.route.case import Case

# RFC 2919, RFC 2369
_LIST_FIELDS = ("list-id", "list-post", "list-unsubscribe")


@dataclass(frozen=True, slots=True)
class Exemptions:
    """Who is believed. Domains in lower case and A-labels; each stands for its subdomains as well, but a sealer.

    `monitor`: authors whose DMARC policy is watched and not kept; `quarantine` and `reject`: those for whom this policy
    holds in place of their own. `mailing_lists`: what lists send from.
    `forwarders` and `networks`: who passes on what others wrote. `sealers`: whose ARC seals are believed.
    """

    monitor: frozenset[str] = frozenset()
    quarantine: frozenset[str] = frozenset()
    reject: frozenset[str] = frozenset()
    mailing_lists: frozenset[str] = frozenset()
    forwarders: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    sealers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Exemption:
    """Why the policy of the author's domain is not kept: a sentence, and what the domain is told."""

    sentence: str
    reason: Reason


def vouched(findings: Findings) -> str:
    """A domain that has proved to have to do with the message, by SPF or a signature; "" where there is none."""
    return next(proven(findings), "")


def enforced(findings: Findings, exemptions: Exemptions) -> Disposition:
    """What a DMARC failure of this message asks for, or would: by the settings, else by the author's domain."""
    found = findings.dmarc
    if found is None or found.result not in ("fail", "temperror"):
        return "none"
    if _within(found.author_domain, exemptions.reject):
        return "reject"
    if _within(found.author_domain, exemptions.quarantine):
        return "quarantine"
    if found.result == "temperror" and found.record is not None and found.record.testing:
        return lowered(found.requested)
    return found.policy if found.result == "fail" else found.requested


def insisted(findings: Findings, exemptions: Exemptions) -> bool:
    """Whether it is the settings that want such mail refused, by whatever way it came."""
    return bool(_within(findings.author.domain, exemptions.reject))


def exempt(findings: Findings, exemptions: Exemptions) -> Exemption | None:
    """The exception that is made for a message whose author's domain asks for a policy that it falls under, or may."""
    found = findings.dmarc
    if found is None:
        return None
    # Of a record that cannot be had now nobody knows what it asks for.
    unknown = found.result == "temperror" and found.record is None
    if enforced(findings, exemptions) == "none" and not unknown:
        return None
    domain = _within(found.author_domain, exemptions.monitor)
    if domain:
        return Exemption(f"the settings only watch {domain}", Reason("local_policy", f"{domain} is only monitored"))
    brought = carrier(findings, exemptions)
    if brought is not None:
        return brought
    return _sealed(findings, exemptions.sealers) if findings.arc is not None and exemptions.sealers else None


def carrier(findings: Findings, exemptions: Exemptions) -> Exemption | None:
    """Whom the settings trust to pass on what others wrote, if it was he who brought it."""
    if not (exemptions.forwarders or exemptions.networks or exemptions.mailing_lists):
        return None
    domain = next((named for each in _names(findings) if (named := _within(each, exemptions.forwarders))), "")
    if not domain:
        domain = _network(findings.ip, exemptions.networks)
    if domain:
        return Exemption(f"{domain} is a trusted forwarder", Reason("trusted_forwarder", domain))
    domain = next((named for each in proven(findings) if (named := _within(each, exemptions.mailing_lists))), "")
    if domain:
        return Exemption(f"{domain} is a known mailing list", Reason("mailing_list", domain))
    return None


def detour(case: Case, findings: Findings) -> str:
    """A trace of a list or a forwarder, as a clause; "" where there is none, or where nobody vouches for the message.

    Whoever has a domain of his own can lay such a trace: it keeps a message from being refused, and no more.
    """
    proven = vouched(findings)
    header = case.message.header
    if not proven:
        return ""
    if any(header.get(name) is not None for name in _LIST_FIELDS):
        return f"it bears the marks of a mailing list, and {proven} vouches for it"
    author = findings.author.domain
    if any(signature.domain == author and signature.result == "fail" for signature in findings.signatures):
        return f"{proven} vouches for it, and a signature of {author} may have been broken on the way"
    return ""


def proven(findings: Findings) -> Iterator[str]:
    """Domains that the message has proved to come from."""
    if findings.spf is not None and findings.spf.result == "pass":
        yield findings.spf.domain
    for signature in findings.signatures:
        if signature.result == "pass":
            yield signature.domain


def _names(findings: Findings) -> Iterator[str]:
    """The same, and the name of the client's address."""
    yield from proven(findings)
    if findings.iprev is not None and findings.iprev.result == "pass":
        yield findings.iprev.name


def _within(domain: str, named: frozenset[str]) -> str:
    """The one of `named` that the domain is or lies below; "" where there is none."""
    while named and domain:
        if domain in named:
            return domain
        domain = domain.partition(".")[2]
    return ""


def _network(ip: str, networks: tuple[Network, ...]) -> str:
    if not networks:
        return ""
    address = ip_address(ip)
    return next((str(network) for network in networks if address in network), "")


def _sealed(findings: Findings, sealers: frozenset[str]) -> Exemption | None:
    """What a trusted sealer found of this author before the message was altered."""
    chain = findings.arc
    assert chain is not None
    oldest = chain.trusted(sealers)
    if oldest is None or not _passed(oldest, findings.author.domain):
        return None
    sentence = f"{oldest.sealer} is a trusted sealer, and DMARC passed for {findings.author.domain} there"
    # RFC 8617 §7.2.2: the status, the domain and selector of each seal.
    seals = " ".join(f"as[{one.instance}].d={one.sealer} as[{one.instance}].s={one.selector}"
                     for one in reversed(chain.sets))
    return Exemption(sentence, Reason("local_policy", f"arc=pass {seals}{_origin(chain.sets[0])}"))


def _passed(oldest: ArcSet, author: str) -> bool:
    recorded = oldest.results()
    if recorded is None:
        return False
    # Two answers are none: a forged field that came in with the message may have been recorded beside the true one.
    words = {one.result for one in recorded.of("dmarc") if one.value("header", "from").lower() == author}
    return words == {"pass"}


def _origin(first: ArcSet) -> str:
    """The address that the first sealer had it from."""
    recorded = first.results()
    if recorded is None:
        return ""
    ip = next((ip for result in recorded.results if (ip := result.value("smtp", "remote-ip"))), "")
    ip = ip or next((result.value("policy", "iprev") for result in recorded.of("iprev")), "")
    return f" remote-ip[1]={ip}" if ip else ""
