"""What an alias or a group sends on to another site: under which reverse-path, in whose name, and the way back.

    resolution = resolve(tx, address, mail_from, now, …)     as `directory.resolve`; a rewritten address leads back home
    path = return_path(tx, mail_from, alias, journey_id, now)
    home(tx, mail_from, now)                                 whom a notification about such a message is for

The octets go on as they came, so the signatures on them hold, and nobody signs anew for their author. The reverse-path
becomes one of ours (`route.srs`), so that SPF holds at the next server and notifications find back. What reception
found out goes along in a seal (`route.signing`). Only a group, where nothing else helps, speaks in its own name
(`route.rewriting`).

Since SPF then speaks for us, a message that comes from outside with a From of ours would look genuine at the next
server, if we sent it on: it has to prove first that it is (`poses_as_us`). Nor does anything go on that was put into
Junk here. Who lives here gets his copy all the same; only where nobody does, the message is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from posthouse.checks.suffixes import registrable
from posthouse.mail.address import Address
from posthouse.mail.instant import Instant
from posthouse.mail.journey import Stamp, Step
from posthouse.mail.reply import Reply
from posthouse.route import srs
from posthouse.route.letter import Letter, Ready, Unfit, Unready
from posthouse.route.rewriting import rewrite
from posthouse.route.signing import Provenance, Signed, Signer
from posthouse.store import credentials, directory, journeys, signing
from posthouse.store.blobs import Blobs, Content
from posthouse.store.database import Transaction
from posthouse.store.directory import Local, NotOurs, Resolution
from posthouse.store.ids import to_text


@dataclass(frozen=True, slots=True)
class Refused:
    """The address is ours to answer for, and takes nothing, or not this."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Onward:
    """How a message leaves: its reverse-path, what is put in front, and its content where that is not the letter's."""

    mail_from: Address | None
    prefix: bytes
    content: Content | None = None
    stamps: tuple[Stamp, ...] = ()


@dataclass(frozen=True, slots=True)
class Workshop:
    """What is needed for mail that is sent on: our own name, who signs, and where bodies are kept."""

    hostname: str
    signer: Signer
    blobs: Blobs


def resolve(
    tx: Transaction, address: Address, mail_from: Address | None, now: Instant, *, size: int, hostname: str
) -> Resolution | Refused:
    """Where mail from `mail_from` for `address` goes: `directory.resolve`, and the way back of rewritten addresses."""
    if not srs.is_rewritten(address) or not directory.is_local(tx, address.domain):
        return directory.resolve(tx, address, size=size, hostname=hostname)
    if mail_from is not None:
        return Refused(Reply(550, "5.7.1", f"The address <{address}> is there for notifications only"))
    try:
        original = _reverse(tx, address, now)
    except srs.SrsFault as fault:
        return Refused(Reply(550, "5.1.1", f"{fault}: <{address}>"))
    found = directory.resolve(tx, original, size=size, hostname=hostname)
    if isinstance(found, NotOurs):
        return Local((), (original,), (f"{address} → {original} (what it stands for)",))
    return found


def send_on(
    tx: Transaction, letter: Letter, alias: Address | None, group: Address | None, ready: Ready, workshop: Workshop
) -> Onward:
    """How a letter leaves that has somebody elsewhere to reach; `alias` is the first of our addresses that led there,
    `group` the first that leads to others besides.

    What our own accounts sent leaves as it is. What came from outside has to be fit to be sent on: else `Unfit`.
    Raises `Unready` where it has to be sealed, or written anew, first.
    """
    mail_from = letter.envelope.mail_from
    if letter.relays or alias is None:
        return Onward(mail_from, letter.trace)
    path = return_path(tx, mail_from, alias, letter.journey_id, letter.now)
    # RFC 7208 §2.4: for the null reverse-path it is the name given in EHLO.
    identity = workshop.hostname if path is None else path.domain
    _must_be_fit(letter, alias, identity)
    stamps: tuple[Stamp, ...] = ()
    if path != mail_from:
        stamps = (Stamp(letter.now, Step.REWRITTEN, {"mail_from": str(path), "original": str(mail_from)}),)
    content, signed, trace = None, b"", letter.trace
    if group is not None and _would_fail(letter, group, identity):
        rewritten = ready.rewritten
        if rewritten is None:
            keys = signing.active(tx, group.domain)
            raise Unready(partial(rewrite, letter, group, keys, workshop.signer, workshop.blobs))
        content, signed, trace = rewritten.content, rewritten.signed, trace + rewritten.added
        stamps += rewritten.stamps
    known, seal = letter.provenance, ready.seal
    # A seal tells what was found out. Mail of our own networks is not examined, so there is nothing to tell.
    if seal is None and known is not None and known.results:
        keys = signing.active(tx, workshop.hostname) or signing.active(tx, alias.domain)
        if keys:
            make = partial(_seal, workshop.signer, content or letter.content, keys, known, letter.now, signed + trace)
            raise Unready(make)
    seal = seal or Signed()
    return Onward(path, seal.fields + signed + trace, content, stamps + seal.stamps)


def _must_be_fit(letter: Letter, alias: Address, identity: str) -> None:
    """Raises `Unfit` for what may not be sent on; `identity` is the domain for which SPF will pass."""
    if letter.quarantine:
        reply = Reply(550, "5.7.1", f"<{alias}> leads elsewhere, and suspect mail is not sent on")
        raise Unfit(reply, "suspect mail")
    known = letter.provenance
    # A domain that asks for nothing is no worse off: who spoofs it needs no help of ours.
    doubtful = known is None or known.dmarc not in ("pass", "none")
    if doubtful and poses_as_us(letter.reading.header_from, identity):
        words = f"<{alias}> leads elsewhere, and mail in our own name is only sent on if DMARC passes"
        raise Unfit(Reply(550, "5.7.1", words), "mail in our own name without a pass of DMARC")


def _would_fail(letter: Letter, group: Address, identity: str) -> bool:
    """Whether the next server will be asked to refuse what has proved here who wrote it."""
    known, author = letter.provenance, letter.reading.header_from
    if known is None or author is None or known.dmarc != "pass" or known.survives:
        return False
    if known.requested == "none" or poses_as_us(author, identity):
        return False
    # What cannot be written without SMTPUTF8 would fail at other servers for that.
    return author.is_ascii and group.is_ascii


def return_path(
    tx: Transaction, mail_from: Address | None, alias: Address, journey_id: int, now: Instant
) -> Address | None:
    """The reverse-path under which a message that came for `alias` goes on; that of our own stays as it is."""
    if mail_from is None or directory.is_local(tx, mail_from.domain):
        return mail_from
    domain = alias.domain if directory.is_local(tx, alias.domain) else directory.domains(tx)[0]
    return srs.rewrite(mail_from, domain, journey_id, srs.derive_key(credentials.secret(tx)), now)


def home(tx: Transaction, mail_from: Address, now: Instant) -> Address:
    """The reverse-path that a message of ours had when it came, whether it was rewritten then or not."""
    if srs.is_rewritten(mail_from) and directory.is_local(tx, mail_from.domain):
        try:
            return _reverse(tx, mail_from, now)
        except srs.SrsFault:
            pass
    return mail_from


def poses_as_us(author: Address | None, identity: str) -> bool:
    """Whether From would be aligned with the domain for which SPF passes when we send it.

    By the list of public suffixes, so without a question: a domain whose own DMARC record says otherwise is taken for
    ours once too often.
    """
    if author is None:
        return False
    return (registrable(author.domain) or author.domain) == (registrable(identity) or identity)


async def _seal(
    signer: Signer,
    content: Content,
    keys: Sequence[signing.StoredKey],
    known: Provenance,
    now: Instant,
    prefix: bytes,
    ready: Ready,
) -> Ready:
    return replace(ready, seal=await signer.seal(content, keys, known, now, prefix=prefix))


def _reverse(tx: Transaction, address: Address, now: Instant) -> Address:
    """What a rewritten address stands for. Raises SrsFault."""
    found = srs.reverse(address, srs.derive_key(credentials.secret(tx)), now)
    if isinstance(found, Address):
        return found
    journey = journeys.load(tx, found.journey_id)
    stamps = journey.stamps if journey is not None else ()
    told = next((stamp.facts.get("mail_from") for stamp in stamps if stamp.step is Step.ENVELOPE), None)
    if not told:
        raise srs.SrsFault(f"Nothing is known any more of the message {to_text(found.journey_id)}")
    return Address.parse(str(told))
