"""An authenticated received chain (RFC 8617 §4): its sets as they stand in a header, and what validation made of them.

    links = collect(header)                  the sets from 1 to N, or ChainFault with the sentence
    arc.trusted({"lists.example.org"})       the set whose recorded results may be believed

`collect` looks at structure and form only; what it lets through has exactly one field of each kind in every set, names
that are valid, and the statuses that a whole chain has to have.
"""

import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Literal, NamedTuple

from posthouse.checks.dkim.fields import FieldFault, KeyName, SignedField, read_key, read_signed, read_tags, read_time
from posthouse.checks.dkim.tags import Tags
from posthouse.mail.authentication_results import AuthenticationResults, AuthenticationResultsError, parse_results
from posthouse.mail.headers import Field, Header
from posthouse.mail.tokens import unfold
from posthouse.mail.verdict import Verdict

# RFC 8617 §4.2.1: instance tag values can range from 1 to 50.
SETS_MOST = 50

AAR = "ARC-Authentication-Results"
AMS = "ARC-Message-Signature"
SEAL = "ARC-Seal"

# RFC 8617 §4.1.1: instance [CFWS] ";" authres-payload
_CFWS = rb"(?:[ \t\r\n]++|\([^()\\]*+\))*+"
_match_recorded = re.compile(_CFWS.join((b"", b"i", b"=", b"([0-9]++)", b";(.*)")), re.DOTALL).fullmatch
_is_instance = re.compile(rb"[0-9]{1,2}").fullmatch


class ChainFault(ValueError):
    """The chain does not pass. The text is a sentence."""


@dataclass(frozen=True, slots=True)
class ArcSet:
    """One set. `sealer` is d= of the ARC-Seal and `selector` its s=.

    `recorded` is the authres-payload of its ARC-Authentication-Results, on one line.
    """

    instance: int
    sealer: str
    selector: str
    recorded: bytes

    def results(self) -> AuthenticationResults | None:
        """What the sealer found when the message came to it; None where that cannot be read."""
        try:
            return parse_results(self.recorded)
        except AuthenticationResultsError:
            return None


@dataclass(frozen=True, slots=True)
class Arc:
    """What was found: `sets` from instance 1 to N, empty where the chain is malformed or there is none.

    `sealers` are the domains of the seals, newest first. `oldest_pass` is the instance of the oldest message signature
    that still verifies, 0 where all do (RFC 8617 §5.2), None where the chain does not pass.
    """

    result: Literal["none", "pass", "fail"]
    sealers: tuple[str, ...]
    sets: tuple[ArcSet, ...]
    oldest_pass: int | None
    verdict: Verdict

    def trusted(self, sealers: Container[str]) -> ArcSet | None:
        """The oldest set whose sealer and all later ones are trusted, of a chain that passes; None where there is none.

        Whoever seals later could have moved an older chain onto another message, so one stranger ends the trust.
        """
        if self.result != "pass":
            return None
        oldest = None
        for one in reversed(self.sets):
            if one.sealer not in sealers:
                break
            oldest = one
        return oldest


class Link(NamedTuple):
    """One set with its fields. `key` is what its seal says, `signed` its message signature, or the fault in that.

    Only the newest message signature has to hold (RFC 8617 §5.2, step 4), so that a fault in another breaks nothing.
    """

    set: ArcSet
    recorded: Field
    signature: Field
    signed: SignedField | FieldFault
    seal: Field
    key: KeyName


def present(header: Header) -> bool:
    """Whether there is anything of a chain."""
    return any(header.get(name) is not None for name in (SEAL, AMS, AAR))


def highest(header: Header) -> tuple[int, bool]:
    """The highest instance that any field of a chain names, and whether the seal of that instance says cv=fail."""
    seals = [(_instance(tags), tags.get("cv") == b"fail") for tags in map(_tags, header.all(SEAL))]
    found = [instance for instance, _ in seals]
    found += [_instance(_tags(field)) for field in header.all(AMS)]
    found += [_recorded(field)[0] for field in header.all(AAR)]
    newest = max(found, default=0)
    return newest, (newest, True) in seals


def collect(header: Header) -> tuple[Link, ...]:
    """The chain of a header, instance 1 first. Raises ChainFault for anything that is not whole (RFC 8617 §5.2)."""
    seals, signatures, results = header.all(SEAL), header.all(AMS), header.all(AAR)
    size = max(len(seals), len(signatures), len(results))
    if size > SETS_MOST:
        raise ChainFault(f"The chain has more than {SETS_MOST} sets")
    # RFC 8617 §5.2, step 2: what the newest sealer found broken stays so.
    if highest(header)[1]:
        raise ChainFault("The newest sealer found the chain broken")
    try:
        sealed = {_instance(tags): (field, tags) for field, tags in ((f, read_tags(f.value)) for f in seals)}
        signed = {_instance(tags): (field, tags) for field, tags in ((f, read_tags(f.value)) for f in signatures)}
    except FieldFault as fault:
        raise ChainFault(f"The chain is malformed: {fault}") from None
    recorded = {instance: (field, payload) for field, (instance, payload) in ((f, _recorded(f)) for f in results)}
    # RFC 8617 §5.2, step 3 A and B: exactly one of each, from 1 to N without gaps.
    whole = set(range(1, size + 1))
    if any(kind.keys() != whole for kind in (sealed, signed, recorded)):
        raise ChainFault("The chain is malformed: its sets are not whole, or not numbered from 1 on")
    links = [_link(instance, sealed[instance], signed[instance], recorded[instance]) for instance in sorted(whole)]
    return tuple(links)


def _link(
    instance: int, sealed: tuple[Field, Tags], signed: tuple[Field, Tags], recorded: tuple[Field, bytes]
) -> Link:
    """One set whose fields are fit. Raises ChainFault."""
    seal, tags = sealed
    signature, signature_tags = signed
    try:
        # RFC 8617 §4.1.3: the tag h is not allowed.
        if "h" in tags:
            raise FieldFault("neutral", "The seal names fields of its own choice")
        # RFC 8617 §5.2, step 3 C
        if tags.get("cv") != (b"none" if instance == 1 else b"pass"):
            raise FieldFault("neutral", "The seal does not say that the chain was whole before it")
        key = read_key(tags)
        read_time(tags, "t")
    except FieldFault as fault:
        raise ChainFault(f"Instance {instance} of the chain does not count: {fault}") from None
    results, payload = recorded
    one = ArcSet(instance, key.domain, key.selector, unfold(payload))
    return Link(one, results, signature, _signed(signature_tags), seal, key)


def _signed(tags: Tags) -> SignedField | FieldFault:
    """An ARC-Message-Signature, or what is wrong with it."""
    try:
        signed = read_signed(tags)
    except FieldFault as fault:
        return fault
    # RFC 8617 §4.1.2: no field of ARC may be signed. Sealers there are that sign the results, which does no harm.
    if "arc-seal" in signed.headers or "arc-message-signature" in signed.headers:
        return FieldFault("neutral", "The message signature covers fields of the chain")
    return signed


def _tags(field: Field) -> Tags:
    try:
        return read_tags(field.value)
    except FieldFault:
        return {}


def _instance(tags: Tags) -> int:
    """i=, or 0 where it is none."""
    return _number(tags.get("i", b""))


def _recorded(field: Field) -> tuple[int, bytes]:
    """The instance of an ARC-Authentication-Results, or 0 where it has none, and what stands behind it."""
    match = _match_recorded(field.value)
    return (_number(match[1]), match[2]) if match else (0, b"")


def _number(value: bytes) -> int:
    return int(value) if _is_instance(value) else 0
