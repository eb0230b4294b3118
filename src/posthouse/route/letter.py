"""A message ready to be accepted, and what its acceptance needs of it.

    letter = Letter(…)                       everything known about the message, nothing stored yet
    reply = await acceptance.accept(letter)

A unit of work that accepts letters (`Unit`) may find out that it needs what takes a thread: a signature under a
notification, a seal. It raises `Unready`, is taken back, and is run again with what was made (`Ready`).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from posthouse.mail.envelope import Body, Envelope
from posthouse.mail.instant import Instant
from posthouse.mail.journey import Fact, Stamp, Step
from posthouse.mail.reply import Reply
from posthouse.route.bounce import Notice
from posthouse.route.filing import Reading
from posthouse.route.opinion import Opinions
from posthouse.route.signing import Provenance, Signed
from posthouse.store.blobs import Content
from posthouse.store.database import Transaction

Result = TypeVar("Result", covariant=True)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message ready to be accepted. `envelope` has its recipients.

    `trace` is put in front for everybody: Received, and fields that submission adds. `session` and `found` are the
    stamps from before and after the envelope. `quarantine` files into Junk. `relays`: recipients elsewhere are taken.
    `also` are further units of work for the same transaction: what is counted or remembered of the message, if it is
    accepted and only then; each is rerunnable, quick, and raises nothing. `provenance` is what reception found out
    about it, for whoever it is sent on to. `opinions` hold for single accounts: Junk for one, not for another.
    """

    journey_id: int
    envelope: Envelope
    content: Content
    reading: Reading
    trace: bytes
    session: Sequence[Stamp]
    found: Sequence[Stamp]
    now: Instant
    quarantine: bool = False
    relays: bool = False
    also: tuple[Callable[[Transaction], None], ...] = ()
    provenance: Provenance | None = None
    opinions: Opinions = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a transaction is to have stored: the reply to give, topics to hint at once it is durable, the journey."""

    reply: Reply
    topics: tuple[str, ...]
    stamps: tuple[Stamp, ...]


class Unplaceable(Exception):
    """A recipient cannot be served (any more); nothing of the message is stored."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Unfit(Unplaceable):
    """The message may not be sent on, and there is nobody here to file it for, or it is too early to say; `reason` in a
    few words."""

    def __init__(self, reply: Reply, reason: str) -> None:
        super().__init__(reply)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A letter as members of a group elsewhere get it: `content` lacks the From field, `added` has another. `signed`
    are the signatures of both."""

    content: Content
    signed: bytes
    added: bytes
    stamps: tuple[Stamp, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """What was made beside the event loop for a unit that asked for it."""

    rewritten: Rewritten | None = None
    seal: Signed | None = None
    notification: "Notification | None" = None


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification that is written, and what it is about."""

    notices: tuple[Notice, ...]
    letter: Letter


class Unready(Exception):
    """A unit needs what takes a thread; `make` adds it to what is ready."""

    def __init__(self, make: Callable[[Ready], Awaitable[Ready]]) -> None:
        super().__init__()
        self.make = make


class Unit(Protocol[Result]):
    """A unit of work that may send notifications or send mail on, given what is ready for that."""

    def __call__(self, tx: Transaction, *, ready: Ready) -> Result: ...


def received_stamp(content: Content, reading: Reading, now: Instant) -> Stamp:
    """The stamp that every message gets when it has come in whole."""
    return Stamp(now, Step.RECEIVED, received_facts(content, reading))


def onward_envelope(letter: Letter) -> Envelope:
    """The envelope without recipients, asking no more of the next hop than the message needs."""
    envelope = letter.envelope
    octets = letter.content.octets
    body = Body.SEVEN_BIT if octets is not None and octets.isascii() else envelope.body
    # An address outside ASCII asks for SMTPUTF8 by itself, for those recipients alone whom it concerns.
    return replace(envelope, rcpt_to=(), body=body, smtputf8=envelope.smtputf8 and letter.reading.international)


def _envelope_stamp(letter: Letter) -> Stamp:
    envelope = letter.envelope
    facts: dict[str, Fact] = {
        "mail_from": str(envelope.mail_from or ""),
        "size": letter.content.size,
        "body": envelope.body.value,
    }
    if envelope.smtputf8:
        facts["smtputf8"] = True
    if envelope.envid is not None:
        facts["envid"] = envelope.envid
    return Stamp(letter.now, Step.ENVELOPE, facts)


def referring(letter: Letter, blob_id: int) -> Letter:
    """The letter, referring to the body that is there already where the same octets came in before."""
    if blob_id == letter.content.blob_id:
        return letter
    reading = letter.reading
    return replace(
        letter,
        content=replace(letter.content, blob_id=blob_id),
        reading=replace(reading, message=reading.message._replace(blob_id=blob_id)),
    )


def opening(letter: Letter) -> list[Stamp]:
    """The session and the envelope, which was announced before the recipients that the door refused."""
    stamps = [*letter.session, _envelope_stamp(letter)]
    if letter.session and letter.session[-1].step is Step.RECIPIENT:
        refused = [stamp for stamp in letter.session if stamp.step is Step.RECIPIENT]
        announced = replace(stamps.pop(), at=refused[0].at)
        stamps[len(letter.session) - len(refused) :] = [announced, *refused]
    return stamps


def received_facts(content: Content, reading: Reading) -> dict[str, Fact]:
    message = reading.message
    return {
        "digest": content.digest.hex(),
        "size": content.size,
        "message_id": message.message_id,
        "header_from": str(reading.header_from or ""),
        "subject": message.subject,
    }
