"""What the checks found, as the results of one Authentication-Results field (RFC 8601 §2.7, RFC 6008, RFC 8617 §10.1).

    octets = format_results(authserv_id, summarize(peer.ip, iprev=…, spf=…, signatures=…, arc=…, dmarc=…))

What was not asked is left out; a message without signatures is told as `dkim=none`. Of addresses only the domain is
told, since none of the methods says anything about a local part. BIMI adds its own result.
"""

from collections.abc import Iterator, Sequence

from posthouse.checks.arc.chain import Arc
from posthouse.checks.dkim.signature import Signature
from posthouse.checks.dmarc import Dmarc
from posthouse.checks.iprev import Iprev
from posthouse.checks.spf.evaluation import Spf
from posthouse.mail.authentication_results import Property, Result


def summarize(
    ip: str,
    *,
    iprev: Iprev | None = None,
    spf: Spf | None = None,
    signatures: Sequence[Signature] | None = None,
    arc: Arc | None = None,
    dmarc: Dmarc | None = None,
) -> tuple[Result, ...]:
    """The results in the order in which a reader asks: who connects, who vouches, what that makes of the author."""
    return tuple(_results(ip, iprev, spf, signatures, arc, dmarc))


def _results(
    ip: str,
    iprev: Iprev | None,
    spf: Spf | None,
    signatures: Sequence[Signature] | None,
    arc: Arc | None,
    dmarc: Dmarc | None,
) -> Iterator[Result]:
    if iprev is not None:
        yield Result("iprev", iprev.result, properties=(Property("policy", "iprev", ip),))
    if spf is not None:
        # RFC 8601 §4: only the parameter that yielded the result.
        yield Result("spf", spf.result, properties=(Property("smtp", spf.scope, spf.domain),) if spf.domain else ())
    if signatures is not None:
        yield from map(_signature, signatures)
        if not signatures:
            yield Result("dkim", "none")
    if arc is not None:
        yield _arc(ip, arc)
    if dmarc is not None:
        yield _dmarc(dmarc)


def _signature(found: Signature) -> Result:
    named = (("d", found.domain), ("s", found.selector), ("a", found.algorithm))
    return Result("dkim", found.result, properties=tuple(Property("header", tag, told) for tag, told in named if told))


def _arc(ip: str, arc: Arc) -> Result:
    if arc.result == "none":
        return Result("arc", "none")
    properties = [Property("smtp", "remote-ip", ip)]
    if arc.oldest_pass is not None:
        properties.append(Property("header", "oldest-pass", str(arc.oldest_pass)))
    return Result("arc", arc.result, properties=tuple(properties))


def _dmarc(found: Dmarc) -> Result:
    properties = [Property("header", "from", found.author_domain)]
    if found.record is not None:
        properties.append(Property("policy", "dmarc", found.policy))
    return Result("dmarc", found.result, properties=tuple(properties))
