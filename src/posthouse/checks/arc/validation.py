"""Validating a chain (RFC 8617 §5.2).

    arc = await validate(message, dns, now)
    arc.result, arc.sealers, arc.verdict.reason

A chain that passes says that each sealer saw what it recorded, and nothing about who the sealers are: `Arc.trusted`
knows whom to believe. Every fault is permanent, those of the DNS too (§5.2.1).

The work is linear in the header: what the seals of all instances cover is one text that grows, so that its hash is
carried on from seal to seal.
"""

from hashlib import sha256

from posthouse.checks.arc.chain import Arc, ChainFault, Link, collect, present
from posthouse.checks.dkim.digests import BodyDigests
from posthouse.checks.dkim.fields import FieldFault, SignedField
from posthouse.checks.dkim.header import SignedHeader, relaxed_signature
from posthouse.checks.dkim.verification import complete, find_keys, judge
from posthouse.mail.dns import Dns
from posthouse.mail.instant import Instant
from posthouse.mail.message import Message
from posthouse.mail.verdict import Evidence, Verdict


async def validate(message: Message, dns: Dns, now: Instant, *, digests: BodyDigests | None = None) -> Arc:
    """The chain of a message. Never raises; `digests` as in `dkim.verify`."""
    if not present(message.header):
        return Arc("none", (), (), None, Verdict("arc", "none", "", "No earlier hop has sealed it"))
    try:
        links = collect(message.header)
    except ChainFault as fault:
        return Arc("fail", (), (), None, Verdict("arc", "fail", "", str(fault)))
    chain = _Chain(message, links, dns, now, digests)
    sealers = tuple(link.set.sealer for link in reversed(links))
    sets = tuple(link.set for link in links)
    try:
        oldest = await chain.examine()
    except ChainFault as fault:
        return Arc("fail", sealers, sets, None, Verdict("arc", "fail", sealers[0], str(fault), chain.evidence))
    reason = f"{_names(sealers)} sealed it, and every seal holds"
    return Arc("pass", sealers, sets, oldest, Verdict("arc", "pass", sealers[0], reason, chain.evidence))


class _Chain:
    """One chain under examination, with the evidence so far."""

    def __init__(
        self, message: Message, links: tuple[Link, ...], dns: Dns, now: Instant, digests: BodyDigests | None
    ) -> None:
        self._links = links
        self._dns = dns
        self._now = now
        self._header = SignedHeader(message)
        signed = [link.signed for link in links]
        self._bodies = complete(message, digests, [one.extent for one in signed if isinstance(one, SignedField)])
        self._evidence: dict[str, Evidence] = {}

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The keys that were asked for, each once."""
        return tuple(self._evidence.values())

    async def examine(self) -> int:
        """The "oldest-pass" value. Raises ChainFault."""
        newest = self._links[-1]
        # RFC 8617 §5.2, step 4: the newest message signature has to hold …
        fault = await self._message_fault(newest)
        if fault:
            raise ChainFault(f"The message was altered after the last seal: {fault}")
        # … and step 6: every seal, the newest first.
        for link, digest in reversed(list(zip(self._links, self._seal_digests(), strict=True))):
            keys = await find_keys(link.key, self._dns)
            self._evidence[keys.evidence.question] = keys.evidence
            if keys.trouble is not None:
                raise ChainFault(keys.trouble.reason)
            if not any(record.verifies(link.key.signature, digest) for record in keys.records):
                raise ChainFault(f"The seal of {link.set.sealer} (instance {link.set.instance}) does not hold")
        return await self._oldest_pass()

    async def _oldest_pass(self) -> int:
        """RFC 8617 §5.2, step 5."""
        for link in reversed(self._links[:-1]):
            if await self._message_fault(link):
                return link.set.instance + 1
        return 0

    async def _message_fault(self, link: Link) -> str:
        """Why the message signature of a set does not verify, or ""."""
        signed = link.signed
        if isinstance(signed, FieldFault):
            return str(signed)
        # Lists alter bodies, and this way no key is asked for in vain.
        if self._bodies.get(signed.extent) != signed.body_hash:
            return f"The body was altered after {signed.key.domain} signed it"
        try:
            digest = self._header.digest(signed.headers, signed.header_canonicalization, link.signature)
        except FieldFault as fault:
            return str(fault)
        keys = await find_keys(signed.key, self._dns)
        self._evidence[keys.evidence.question] = keys.evidence
        finding = judge(signed, f"@{signed.key.domain}", digest, self._bodies, keys, self._now)
        return "" if finding.result == "pass" else finding.reason

    def _seal_digests(self) -> list[bytes]:
        """What each seal is a signature of, instance 1 first (RFC 8617 §5.1.1)."""
        so_far = sha256()
        digests = []
        for link in self._links:
            so_far.update(self._header.relaxed(link.recorded))
            so_far.update(self._header.relaxed(link.signature))
            seal = so_far.copy()
            seal.update(relaxed_signature(link.seal))
            digests.append(seal.digest())
            so_far.update(self._header.relaxed(link.seal))
        return digests


def _names(sealers: tuple[str, ...]) -> str:
    """In the order of travel, each once."""
    return ", then ".join(dict.fromkeys(reversed(sealers)))
