"""Verifying (RFC 6376 §6, RFC 8301, RFC 8463, RFC 8616).

    signatures = await verify(message, dns, now)
    for signature in signatures: signature.result, signature.domain, signature.verdict

A large body is hashed beforehand, in a thread: `verify(message, dns, now, digests=body_digests(message))`; the same
digests serve `arc.validate`. What is left to do then is some 100 µs for each signature once its key is known.

Signatures are looked at one after the other, each with its own result, and one that fails says nothing about the next
(RFC 6376 §6.1). Nothing in a message makes this raise.
"""

from dataclasses import dataclass
from typing import NamedTuple

from posthouse.checks.dkim.digests import BodyDigests, Extent, digest_body
from posthouse.checks.dkim.fields import (
    FieldFault,
    KeyName,
    SignedField,
    parse_signature,
    read_names,
    read_signed,
    read_tags,
)
from posthouse.checks.dkim.header import SignedHeader
from posthouse.checks.dkim.records import KeyRecord, RecordFault, parse_record
from posthouse.checks.dkim.signature import Result, Signature
from posthouse.checks.dkim.tags import Tags
from posthouse.checks.evidence import asked
from posthouse.mail.author import SINGLETONS
from posthouse.mail.dns import Dns, DnsFault
from posthouse.mail.headers import Field
from posthouse.mail.instant import HOUR, SECOND, Instant, rfc3339
from posthouse.mail.message import Message
from posthouse.mail.verdict import Evidence, Verdict

# More are not looked at, those nearest to the top first.
SIGNATURES_MOST = 10
# RFC 8617 §4.2.1: instance tag values can range from 1 to 50.
ARC_SETS_MOST = 50
# Of the records that stand under one name (RFC 6376 §3.6.2.2 wants one).
_RECORDS_MOST = 5
# How far the clock of a signer may be ahead of ours.
DRIFT = HOUR
_LAST_INSTANT = 253_402_300_799 * SECOND


class Finding(NamedTuple):
    """What became of one signature: an RFC 8601 word, a sentence, and whether its key is in testing."""

    result: Result
    reason: str
    testing: bool = False


@dataclass(frozen=True, slots=True)
class Keys:
    """The usable records under one name, or the trouble with them."""

    records: tuple[KeyRecord, ...]
    trouble: Finding | None
    evidence: Evidence


async def verify(
    message: Message, dns: Dns, now: Instant, *, digests: BodyDigests | None = None
) -> tuple[Signature, ...]:
    """Every DKIM signature of a message, top down, at most 10; empty where there is none.

    `digests` are those of `body_digests(message)`, for whoever has them made in a thread because the body is large.
    """
    fields = message.header.all("dkim-signature")[:SIGNATURES_MOST]
    if not fields:
        return ()
    readings = [_read(field) for field in fields]
    extents = [reading.signed.extent for reading in readings if isinstance(reading, _Reading)]
    bodies = complete(message, digests, extents)
    header = SignedHeader(message)
    doubled = _doubled(message)
    return tuple(
        [
            await _examine(reading, header, bodies, doubled, dns, now) if isinstance(reading, _Reading) else reading
            for reading in readings
        ]
    )


def key_name(field: Field) -> str:
    """Where the key of a DKIM-Signature field stands in the DNS; "" for a field that is no fit signature."""
    try:
        return parse_signature(read_tags(field.value))[0].key.dns_name
    except FieldFault:
        return ""


def body_digests(message: Message) -> BodyDigests:
    """The hashes that the DKIM and ARC signatures of a message ask for. Pure; for large bodies in a thread."""
    signatures = message.header.all("dkim-signature")[:SIGNATURES_MOST]
    extents: list[Extent] = []
    for field in (*signatures, *message.header.all("arc-message-signature")[:ARC_SETS_MOST]):
        try:
            extents.append(read_signed(read_tags(field.value)).extent)
        except FieldFault:
            continue
    return digest_body(message.octets, message.header.end, extents)


def complete(message: Message, digests: BodyDigests | None, extents: list[Extent]) -> BodyDigests:
    """`digests` where they have all of `extents`, else digests made now."""
    if digests is not None and all(extent in digests for extent in extents):
        return digests
    return digest_body(message.octets, message.header.end, extents)


async def find_keys(name: KeyName, dns: Dns) -> Keys:
    """The keys of the right kind under a name. Never raises."""
    try:
        answer = await dns.txt(name.dns_name)
    except DnsFault as fault:
        trouble = Finding("temperror", f"The key at {name.dns_name} could not be asked for now")
        return Keys((), trouble, asked("TXT", name.dns_name, [f"no answer: {fault}"]))
    texts = [text.decode("utf-8", "replace") for text in answer.records[:_RECORDS_MOST]]
    evidence = asked("TXT", name.dns_name, texts)
    records: list[KeyRecord] = []
    faults: list[str] = []
    for text in answer.records[:_RECORDS_MOST]:
        try:
            record = parse_record(text)
        except RecordFault as fault:
            faults.append(str(fault))
            continue
        if record.kind == name.kind:
            records.append(record)
        else:
            faults.append(f"is not for {name.algorithm}")
    if records:
        return Keys(tuple(records), None, evidence)
    reason = f"The key at {name.dns_name} {faults[0]}" if faults else f"There is no key at {name.dns_name}"
    return Keys((), Finding("permerror", reason), evidence)


def judge(signed: SignedField, identity: str, digest: bytes, bodies: BodyDigests, keys: Keys, now: Instant) -> Finding:
    """What the signature is worth, given the keys of its domain; `digest` is the one of its header."""
    if keys.trouble is not None:
        return keys.trouble
    name = signed.key
    # RFC 6376 §3.6.1: the flag s forbids subdomains in i=.
    records = [record for record in keys.records if not record.strict or identity.endswith(f"@{name.domain}")]
    if not records:
        return Finding("permerror", f"The key at {name.dns_name} is not for subdomains, but the signature is of one")
    record = next((record for record in records if record.verifies(name.signature, digest)), None)
    testing = (record or records[0]).testing
    body = bodies.get(signed.extent)
    if body is None:
        return _failed(f"The body is shorter than what {name.domain} signed", testing)
    if record is None:
        reason = f"The signature is not by the key at {name.dns_name}, or signed fields were altered"
        return _failed(reason, testing)
    if body != signed.body_hash:
        return _failed(f"The body was altered after {name.domain} signed it", testing)
    unaltered = f"{name.domain} signed it, and neither the signed fields nor the body were altered since"
    if testing:
        # RFC 6376 §3.6.1: not to be treated differently from what is unsigned.
        return Finding("neutral", f"{unaltered}; but its key is in testing, so that this says nothing", True)
    return _unacceptable(signed, now) or Finding("pass", unaltered)


def _failed(reason: str, testing: bool) -> Finding:
    # RFC 6376 §3.6.1: from a signer in testing mode it counts as unsigned, even should the signature fail.
    if testing:
        return Finding("neutral", f"{reason}; but its key is in testing, so that this says nothing", True)
    return Finding("fail", reason)


def _unacceptable(signed: SignedField, now: Instant) -> Finding | None:
    """Why a signature that verifies is not taken all the same."""
    domain = signed.key.domain
    # RFC 6376 §8.2: whoever signs a part of the body lets others write the rest.
    if signed.length is not None:
        reason = f"{domain} signed only the first {signed.length} octets of the body, so that anything may follow"
        return Finding("policy", reason)
    # RFC 6376 §3.5, x= and t=
    if signed.expires_at is not None and signed.expires_at * SECOND < now:
        return Finding("policy", f"The signature of {domain} ended on {_day(signed.expires_at)}")
    if signed.signed_at is not None and signed.signed_at * SECOND > now + DRIFT:
        return Finding("policy", f"The signature of {domain} begins only on {_day(signed.signed_at)}")
    return None


def _day(seconds: int) -> str:
    return rfc3339(min(seconds * SECOND, _LAST_INSTANT))


class _Reading(NamedTuple):
    field: Field
    signed: SignedField
    identity: str


def _read(field: Field) -> _Reading | Signature:
    """A signature to be examined, or the result for one that cannot be."""
    tags: Tags = {}
    try:
        tags = read_tags(field.value)
        signed, identity = parse_signature(tags)
    except FieldFault as fault:
        return _unreadable(tags, fault)
    return _Reading(field, signed, identity)


def _unreadable(tags: Tags, fault: FieldFault) -> Signature:
    """The result for a field that is no fit signature, under the names it gives if those are any."""
    try:
        domain, selector = read_names(tags)
    except FieldFault:
        domain = selector = ""
    algorithm = tags.get("a", b"")
    known = algorithm.decode("ascii") if algorithm in (b"rsa-sha256", b"ed25519-sha256", b"rsa-sha1") else ""
    verdict = Verdict("dkim", fault.result, domain, str(fault))
    return Signature(fault.result, domain, selector, known, f"@{domain}" if domain else "", False, (), verdict)


async def _examine(
    reading: _Reading, header: SignedHeader, bodies: BodyDigests, doubled: str, dns: Dns, now: Instant
) -> Signature:
    field, signed, identity = reading
    evidence: tuple[Evidence, ...] = ()
    try:
        digest = header.digest(signed.headers, signed.header_canonicalization, field)
    except FieldFault as fault:
        finding = Finding(fault.result, str(fault))
    else:
        keys = await find_keys(signed.key, dns)
        evidence = (keys.evidence,)
        finding = judge(signed, identity, digest, bodies, keys, now)
    # RFC 6376 §8.15: the field that was signed need not be the one that is shown.
    if doubled and finding.result == "pass":
        finding = finding._replace(result="policy", reason=doubled)
    result, reason, testing = finding
    key = signed.key
    verdict = Verdict("dkim", result, key.domain, reason, evidence)
    return Signature(result, key.domain, key.selector, key.algorithm, identity, testing, signed.headers, verdict)


def _doubled(message: Message) -> str:
    """A sentence where a field that may stand once stands twice (RFC 5322 §3.6), else ""."""
    doubled = SINGLETONS & message.header.repeated()
    if not doubled:
        return ""
    name = next(field.name for field in message.header.fields if field.key in doubled)
    return f"There is more than one {name} field, and only one of them need be what was signed"
