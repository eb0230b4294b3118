"""Counting what comes in: one message becomes a row of the aggregate report about its author's domain (RFC 9990).

    counter = observe(found, ip=peer.ip, mail_from=envelope.mail_from, spf=spf, signatures=signatures,
                      disposition="none")
    if counter is not None: …           keep it under the day, counter.policy.key and counter.row.key
"""

from collections.abc import Sequence
from ipaddress import ip_address

from posthouse.checks.dkim.signature import Signature
from posthouse.checks.dmarc import Dmarc, Policy, Record
from posthouse.checks.reports.aggregate import (
    AggregateCounter,
    Disposition,
    DkimResult,
    PolicyPublished,
    Reason,
    ReportRow,
    SpfResult,
)
from posthouse.checks.spf.evaluation import Spf
from posthouse.mail.address import Address

# RFC 9990, "DKIM Signatures in Aggregate Reports".
SIGNATURES = 100
_MODES = {"relaxed": "r", "strict": "s"}


def observe(
    found: Dmarc,
    *,
    ip: str,
    mail_from: Address | None,
    spf: Spf | None,
    signatures: Sequence[Signature],
    disposition: Policy,
    reasons: Sequence[Reason] = (),
) -> AggregateCounter | None:
    """The row for one message; None where nobody asked for reports.

    `disposition` is what was done with it: "none" (taken as usual), "quarantine" or "reject". `reasons` tell why that
    is not the published policy: a trusted forwarder, a mailing list, a local rule. Test mode is told of itself, and
    where nobody gave a reason, it was a local one.
    """
    record = found.record
    rua = tuple(place.uri for place in found.rua if place.address is not None)
    if record is None or not record.usable or not rua:
        return None
    row = ReportRow(
        source_ip=str(ip_address(ip)),
        disposition=_disposition(found, disposition),
        dkim="pass" if found.aligned_dkim else "fail",
        spf="pass" if found.aligned_spf else "fail",
        header_from=found.author_domain,
        envelope_from=mail_from.domain if mail_from is not None else "",
        reasons=_reasons(found, disposition, reasons),
        dkim_results=_signatures(found, signatures),
        # RFC 9990, "Contents of the spf element": for a null reverse-path too, what was asked is MAIL FROM.
        spf_results=(SpfResult(spf.domain, "mfrom", spf.result),) if spf is not None and spf.domain else (),
    )
    return AggregateCounter(_published(found.policy_domain, record), row, rua)


def _disposition(found: Dmarc, disposition: Policy) -> Disposition:
    """RFC 9990, ActionDispositionType: "pass" is no action, where the policy would have asked for one."""
    if disposition == "none" and found.result == "pass" and found.requested != "none":
        return "pass"
    return disposition


def _reasons(found: Dmarc, disposition: Policy, reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    told = tuple(reasons)
    if found.lowered:
        told = (Reason("policy_test_mode"), *told)
    if found.result == "fail" and disposition != found.requested and not told:
        told = (Reason("local_policy"),)
    return told


def _signatures(found: Dmarc, signatures: Sequence[Signature]) -> tuple[DkimResult, ...]:
    """Those that pass and speak for the very author first, then for its organization, then the others."""
    speaking = {known.domain for known in found.identifiers if known.method == "dkim" and known.speaks}

    def rank(signature: Signature) -> int:
        if signature.result != "pass":
            return 3
        if signature.domain == found.author_domain:
            return 0
        return 1 if signature.domain in speaking else 2

    named = [signature for signature in signatures if signature.domain and signature.selector]
    return tuple(
        DkimResult(signature.domain, signature.selector, signature.result)
        for signature in sorted(named, key=rank)[:SIGNATURES]
    )


def _published(domain: str, record: Record) -> PolicyPublished:
    return PolicyPublished(
        domain=domain,
        p=record.p,
        sp=record.sp or "",
        np=record.np or "",
        adkim=_MODES[record.adkim],
        aspf=_MODES[record.aspf],
        # RFC 9989 §4.7: fo counts for nothing without ruf.
        fo=":".join(record.fo) if record.ruf else "",
        testing=record.testing,
        discovery="treewalk",
    )
