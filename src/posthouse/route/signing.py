"""Signing what leaves, beside the event loop: DKIM for what is ours, ARC for what goes on.

    signed = await signer.sign(content, keys, now, prefix=added)       our accounts' mail, our notices
    signed = await signer.seal(content, keys, provenance, now)         what others wrote and an alias sends on
    signed.fields                                                      to be put in front of everything

`keys` come from `store.signing.active`. Only an author's own server signs for him: what goes on from here keeps the
signatures it has, and is sealed. A key that is missing or broken stops no mail: it leaves unsigned, and the journey
says so.

RSA takes half a millisecond, loading a key for the first time a hundred times that; so both are done in threads, few
of them at a time.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from posthouse.checks.arc import Arc, seal
from posthouse.checks.dkim import KeyFault, SigningFault, SigningKey, sign
from posthouse.mail.authentication_results import Result, format_payload
from posthouse.mail.headers import Octets
from posthouse.mail.instant import Instant
from posthouse.mail.journey import Fact, Stamp, Step
from posthouse.mail.verdict import Verdict
from posthouse.route.observer import Observer
from posthouse.store.blobs import Content
from posthouse.store.signing import StoredKey

# How many messages are signed at once; more would only take turns on Python's lock.
SIGNERS = 2

_Work = Callable[[Octets, Sequence[SigningKey]], bytes]

_UNSEALED = Arc("none", (), (), None, Verdict("arc", "none", "", "No earlier hop has sealed it"))


@dataclass(frozen=True, slots=True)
class Provenance:
    """What reception found out about a message, as far as it matters where the message goes on.

    `results` as in Authentication-Results, found by `authserv_id`. `chain` is None where nobody has sealed it before.
    `dmarc` is the result, "pass" also for what a relay of ours brings. `survives`: a signature is what made it pass, so
    that it still will at the next server. `requested` is what the author's domain asks to be done with mail that fails.
    `pending`: the DNS withholds something that might prove who sent it, and not for long yet.
    """

    authserv_id: str
    results: tuple[Result, ...]
    chain: Arc | None = None
    dmarc: str = "none"
    survives: bool = False
    requested: str = "none"
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Signed:
    """Header fields with CRLF, or none, and what the journey tells of them."""

    fields: bytes = b""
    stamps: tuple[Stamp, ...] = ()


class Signer:
    """Shared by all that leaves. The observer hears of keys that cannot be used."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._turns = asyncio.Semaphore(SIGNERS)

    async def sign(self, content: Content, keys: Sequence[StoredKey], now: Instant, *, prefix: bytes = b"") -> Signed:
        """DKIM-Signature fields, one for each key; nothing where there is none.

        `prefix` are fields that will stand in front of the content when it leaves. Raises `StoreFault` where the body
        cannot be read.
        """

        def work(octets: Octets, loaded: Sequence[SigningKey]) -> bytes:
            return sign(octets, loaded, now, prefix=prefix)

        if not keys:
            return Signed()
        try:
            fields, selectors = await self._work(content, keys, work)
        except SigningFault as fault:
            return _unsigned(keys, fault, now)
        facts: dict[str, Fact] = {"domain": keys[0].domain, "selectors": selectors}
        return Signed(fields, (Stamp(now, Step.SIGNED, facts),))

    async def seal(
        self, content: Content, keys: Sequence[StoredKey], provenance: Provenance, now: Instant, *, prefix: bytes = b""
    ) -> Signed:
        """One more set for the chain, by the first of the keys; nothing where none may be added. As `sign`."""
        chain = provenance.chain or _UNSEALED

        def work(octets: Octets, loaded: Sequence[SigningKey]) -> bytes:
            # RFC 8617 §4.1.1: internationalised results only where the message is so as well; ours are in ASCII.
            recorded = format_payload(provenance.authserv_id, provenance.results)
            return seal(octets, loaded[0], chain, recorded, now, prefix=prefix)

        if not keys:
            return Signed()
        try:
            # RFC 8617 §5.1: one set for each hop. Of two keys the one of RSA is understood by more.
            fields, (selector,) = await self._work(content, keys[:1], work)
        except SigningFault as fault:
            return _unsigned(keys, fault, now)
        facts: dict[str, Fact] = {"domain": keys[0].domain, "selector": selector, "chain": chain.result}
        return Signed(fields, (Stamp(now, Step.SEALED, facts),))

    async def _work(self, content: Content, keys: Sequence[StoredKey], work: _Work) -> tuple[bytes, list[str]]:
        """What `work` makes of the content, in a thread, and the selectors that it took. Raises SigningFault."""
        broken: list[KeyFault] = []
        try:
            async with self._turns:
                return await asyncio.to_thread(_carry_out, content, keys, work, broken)
        finally:
            for fault in broken:
                self._observer.failed(f"loading a key of {keys[0].domain}", fault)


def _carry_out(
    content: Content, keys: Sequence[StoredKey], work: _Work, broken: list[KeyFault]
) -> tuple[bytes, list[str]]:
    loaded: list[SigningKey] = []
    for key in keys:
        try:
            loaded.append(key.load())
        except KeyFault as fault:
            broken.append(fault)
    if not loaded:
        raise SigningFault("Its keys cannot be used")
    with content.open() as octets:
        fields = work(octets, loaded)
    if not fields:
        raise SigningFault("The chain of seals has ended: it is as long as can be, or its last says it is broken")
    return fields, [key.selector for key in loaded]


def _unsigned(keys: Sequence[StoredKey], fault: SigningFault, now: Instant) -> Signed:
    return Signed(stamps=(Stamp(now, Step.UNSIGNED, {"domain": keys[0].domain, "reason": str(fault)}),))
