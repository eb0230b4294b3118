"""The BIMI check: may this message be shown with a logo, with which, and who vouches for it?

It asks the DNS first and the web last, and stops at the first reason why not. With a mark certificate the logo is the
one embedded in it, and nothing else is fetched; without one the domain vouches for itself, and `authority` says so.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal

from cryptography import x509

from posthouse.checks.bimi.discovery import Assertion, Questions, discover, ineligible, wanted_selector
from posthouse.checks.bimi.mark import EVIDENCE_OCTETS, Mark, MarkError, check_revocation, verify
from posthouse.checks.bimi.record import RecordError
from posthouse.checks.bimi.svg import SVG_OCTETS, SvgError, sanitise
from posthouse.checks.dkim.signature import Signature
from posthouse.checks.dmarc import Dmarc, Lookups
from posthouse.checks.evidence import asked
from posthouse.mail.address import Address
from posthouse.mail.authentication_results import Property
from posthouse.mail.authentication_results import Result as Recorded
from posthouse.mail.dns import Dns, DnsFault
from posthouse.mail.fetch import Fetch, FetchFault
from posthouse.mail.headers import Header
from posthouse.mail.instant import Instant
from posthouse.mail.verdict import Evidence, Verdict

# "Affix BIMI Status to Authentication Results Header Field".
Result = Literal["pass", "none", "fail", "temperror", "declined", "skipped"]
Authority = Literal["pass", "fail", "none"]

# What only the receiver may put in front of a message; whatever came with it is not to be believed.
RECEIVER_FIELDS = ("BIMI-Location", "BIMI-Indicator", "BIMI-Logo-Preference")

_LINE_CHARACTERS = 76
_HASH_CHARACTERS = 8


@dataclass(frozen=True, slots=True)
class Bimi:
    """The answer about one message. `result` is the draft's word; the verdict has "none" for declined and skipped.

    `indicator` is the sanitised SVG, b"" but for a pass. `authority` is "pass" where a mark certificate vouches for
    it, and then `organization` and `mark` are its subject and kind. `location` and `authority_uri` are the URLs of the
    record; `preference` is "brand", "personal" (an avatar of the sender goes before the logo), or "".
    """

    result: Result
    verdict: Verdict
    domain: str = ""
    selector: str = ""
    location: str = ""
    authority: Authority = "none"
    authority_uri: str = ""
    indicator: bytes = b""
    preference: str = ""
    organization: str = ""
    mark: str = ""

    @property
    def indicator_hash(self) -> str:
        """The end of the indicator's SHA-256, for policy.indicator-hash; "" without one."""
        return sha256(self.indicator).hexdigest()[-_HASH_CHARACTERS:] if self.indicator else ""


async def check(
    header: Header,
    author: Address,
    dmarc: Dmarc,
    signatures: Sequence[Signature],
    dns: Dns,
    fetch: Fetch,
    now: Instant,
    *,
    trusted: Sequence[x509.Certificate] = (),
) -> Bimi:
    """Examines a message whose author and DMARC result are known.

    `trusted` are the roots of mark certificates (`mark.roots`); without any no certificate is asked for. Never raises.
    """
    lookups, questions = Lookups(dns), Questions(dns)
    found = _refused("none", author, "")
    try:
        found = await _examine(header, author, dmarc, signatures, lookups, questions, fetch, now, trusted)
    except DnsFault:
        found = _refused("temperror", author, "the DNS gave no answer about its logo")
    except RecordError as error:
        found = _refused("fail", author, f"its BIMI record is not valid: {error}")
    evidence = (*lookups.evidence, *questions.evidence, *found.verdict.evidence)
    return replace(found, verdict=replace(found.verdict, evidence=evidence))


def recorded(found: Bimi) -> Recorded:
    """The result as Authentication-Results has it ("Affix BIMI Status …")."""
    properties = [
        ("header", "d", found.domain),
        ("header", "selector", found.selector),
        ("policy", "authority", found.authority if found.domain else ""),
        ("policy", "authority-uri", found.authority_uri),
        ("policy", "indicator-uri", found.location),
        ("policy", "indicator-hash", found.indicator_hash),
        ("policy", "logo-preference", found.preference),
    ]
    return Recorded(
        "bimi", found.result, properties=tuple(Property(*property_) for property_ in properties if property_[2])
    )


def fields(found: Bimi) -> bytes:
    """BIMI-Location, BIMI-Indicator and BIMI-Logo-Preference, folded, with their CRLFs; b"" but for a pass."""
    if found.result != "pass":
        return b""
    place = f"a={found.authority_uri}" if found.authority == "pass" else f"l={found.location}"
    encoded = b64encode(found.indicator).decode("ascii")
    lines = [encoded[at : at + _LINE_CHARACTERS] for at in range(0, len(encoded), _LINE_CHARACTERS)]
    written = f"BIMI-Location: v=BIMI1;\r\n {place}\r\nBIMI-Indicator:\r\n " + "\r\n ".join(lines) + "\r\n"
    if found.preference:
        written += f"BIMI-Logo-Preference: avp={found.preference};\r\n"
    return written.encode("ascii")


async def _examine(
    header: Header,
    author: Address,
    dmarc: Dmarc,
    signatures: Sequence[Signature],
    lookups: Lookups,
    questions: Questions,
    fetch: Fetch,
    now: Instant,
    trusted: Sequence[x509.Certificate],
) -> Bimi:
    reason, organization = await ineligible(dmarc, lookups)
    if reason:
        return _refused("skipped", author, f"no logo is looked for: {reason}")
    wanted = wanted_selector(header, dmarc, signatures)
    assertion = await discover(author, wanted, organization, questions)
    if assertion is None:
        return _refused("none", author, f"{author.domain} publishes no logo")
    record = assertion.record
    about = Bimi(
        "fail", Verdict("bimi", "fail", author.domain, ""), assertion.domain, assertion.selector, record.location,
        authority_uri=record.evidence, preference=record.preference,
    )
    if record.declines:
        return _concluded(about, "declined", f"{assertion.domain} wants no logo to be shown")
    if not record.location:
        return _concluded(about, "fail", "its BIMI record names no logo")
    if record.evidence and trusted:
        return await _with_evidence(about, assertion, {author.domain, organization}, fetch, now, trusted)
    try:
        drawing = sanitise(await fetch.get(record.location, limit=SVG_OCTETS))
    except FetchFault as fault:
        return _unfetched(about, "logo", fault)
    except SvgError as error:
        return _concluded(about, "fail", f"its logo cannot be shown: {error}")
    reason = f"{assertion.domain} publishes a logo, for which nobody else vouches"
    return _concluded(replace(about, indicator=drawing), "pass", reason, _fetched(record.location, drawing))


async def _with_evidence(
    about: Bimi,
    assertion: Assertion,
    domains: set[str],
    fetch: Fetch,
    now: Instant,
    trusted: Sequence[x509.Certificate],
) -> Bimi:
    """The logo in the mark certificate, if that is good; a bad one is worse than none."""
    url = assertion.record.evidence
    try:
        pem = await fetch.get(url, limit=EVIDENCE_OCTETS)
        mark = verify(pem, domains, assertion.selector, trusted, now)
        await check_revocation(mark, fetch, now)
        drawing = sanitise(mark.logo)
    except FetchFault as fault:
        return _unfetched(about, "certificate of its logo", fault)
    except MarkError as error:
        about = replace(about, authority="none" if error.temporary else "fail")
        return _concluded(about, "temperror" if error.temporary else "fail", f"its logo is not vouched for: {error}")
    except SvgError as error:
        about = replace(about, authority="fail")
        return _concluded(about, "fail", f"its logo cannot be shown: {error}")
    about = replace(about, authority="pass", indicator=drawing, organization=mark.organization, mark=mark.kind)
    return _concluded(about, "pass", _vouched(assertion.domain, mark), _fetched(url, pem))


def _vouched(domain: str, mark: Mark) -> str:
    return f"{domain} publishes a logo, and a certificate vouches that it belongs to {mark.organization or domain}"


def _unfetched(about: Bimi, what: str, fault: FetchFault) -> Bimi:
    return _concluded(about, "temperror" if fault.temporary else "fail", f"the {what} cannot be had: {fault}")


def _fetched(url: str, octets: bytes) -> tuple[Evidence, ...]:
    return (asked("GET", url, [f"{len(octets)} octets"]),)


def _refused(result: Result, author: Address, reason: str) -> Bimi:
    return _concluded(Bimi(result, Verdict("bimi", "none", author.domain, reason)), result, reason)


def _concluded(about: Bimi, result: Result, reason: str, evidence: tuple[Evidence, ...] = ()) -> Bimi:
    # RFC 8601 §2.7 knows neither "declined" nor "skipped": to the house both mean that there is nothing to tell.
    word = "none" if result in ("declined", "skipped") else result
    return replace(about, result=result, verdict=Verdict("bimi", word, about.verdict.identity, reason, evidence))
