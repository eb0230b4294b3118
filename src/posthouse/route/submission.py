"""The desk of ports 587 and 465: what our own accounts send (RFC 6409).

    MAIL    after a login only; the reverse-path belongs to the account
    RCPT    anywhere; an address of ours that is not there is refused at once
    DATA    From (and Sender) belong to the account; Date and Message-ID are added where missing, Bcc is taken out

What is added stands in front of the content, like Received, and is the same for every reader; taking Bcc out makes a
new content before anything is stored. The client's own name and address are left out of Received unless configured.
In the end the message is signed with the keys of the From domain (`route.signing`), for readers here as for those
elsewhere.

The null reverse-path is for notifications that machines read (RFC 5321 §4.5.5). A mail program sends one kind of
those, the receipt that a message was displayed (RFC 8098 §2.1), and this alone is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from posthouse.mail.address import Address
from posthouse.mail.author import AuthorError, author, flaws
from posthouse.mail.envelope import Envelope, RcptTo
from posthouse.mail.headers import Field, Header, Octets
from posthouse.mail.instant import Instant, rfc5322_date
from posthouse.mail.journey import Stamp, Step
from posthouse.mail.mailboxes import mailboxes
from posthouse.mail.message import Message
from posthouse.mail.peer import Peer
from posthouse.mail.received import format_received
from posthouse.mail.reply import Reply
from posthouse.route.acceptance import TAKEN, Acceptance, refusal, store_reply
from posthouse.route.acquaintance import Unit, written
from posthouse.route.forgeries import forged, without
from posthouse.route.forwarding import resolve
from posthouse.route.letter import Letter, received_stamp
from posthouse.route.reception import MAIL_TAKEN, size_reply
from posthouse.store.blobs import Content
from posthouse.store.database import StoreFault
from posthouse.store.directory import Local, NotOurs, Owned, owned
from posthouse.store.ids import to_text
from posthouse.store.learners import learnt_topic

_LOGIN_FIRST = Reply(530, "5.7.0", "Please log in first")
# It was suspended or removed since the login.
_CLOSED = Reply(550, "5.7.1", "The account is closed")


@dataclass(frozen=True, slots=True)
class SubmissionSettings:
    """`size_limit` in octets; `show_client` writes the client's address into Received (a leak, so off). `authserv_id`:
    the name in which Authentication-Results is written here; "" for the host's own."""

    size_limit: int = 50 * 1024 * 1024
    max_received: int = 50
    show_client: bool = False
    authserv_id: str = ""


@dataclass(slots=True)
class _Draft:
    """What was sent, before it is a letter: a refusal, or fields to add and fields to cut out, with their stamps."""

    header: Header
    refusal: Reply | None = None
    added: list[str] = field(default_factory=list)
    cuts: list[Field] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)


class Submission:
    """The MSA's desk; see `MailDesk`. Every call wants a peer that has logged in."""

    def __init__(self, acceptance: Acceptance, settings: SubmissionSettings | None = None) -> None:
        self._acceptance = acceptance
        self._settings = settings or SubmissionSettings()
        self._authserv_id = self._settings.authserv_id or acceptance.hostname

    async def mail(self, peer: Peer, envelope: Envelope) -> Reply:
        if peer.account_id is None:
            return _LOGIN_FIRST
        too_large = size_reply(envelope, self._settings.size_limit)
        if too_large is not None:
            return too_large
        if envelope.mail_from is None:
            return MAIL_TAKEN
        try:
            addresses = await self._owned(peer.account_id)
        except StoreFault as fault:
            return store_reply(fault)
        if not addresses.addresses:
            return _CLOSED
        if envelope.mail_from not in addresses:
            return _not_yours(envelope.mail_from, 553)
        return MAIL_TAKEN

    async def rcpt(self, peer: Peer, envelope: Envelope, rcpt: RcptTo) -> Reply:
        if peer.account_id is None:
            return _LOGIN_FIRST
        acceptance = self._acceptance
        now, size = acceptance.clock(), envelope.size or 0
        address = acceptance.at_home(rcpt.address)
        try:
            resolution = await acceptance.db.read(
                lambda tx: resolve(
                    tx, address, envelope.mail_from, now, size=size, hostname=acceptance.hostname
                ),
                quick=True,
            )
        except StoreFault as fault:
            return store_reply(fault)
        return TAKEN if isinstance(resolution, Local | NotOurs) else refusal(rcpt.address, resolution)

    async def data(self, peer: Peer, envelope: Envelope, content: Content, stamps: Sequence[Stamp]) -> Reply:
        acceptance = self._acceptance
        if peer.account_id is None:
            return await acceptance.refuse(content, _LOGIN_FIRST)
        now = acceptance.clock()
        journey_id = acceptance.ids.next(now)
        queue_id = to_text(journey_id)
        message_id = f"<{queue_id}@{acceptance.hostname}>"
        try:
            addresses = await self._owned(peer.account_id)
            if not addresses.addresses:
                return await acceptance.refuse(content, _CLOSED)
            draft = await acceptance.look(
                content, lambda octets: _draft(octets, envelope, addresses, message_id, now, self._authserv_id)
            )
            if draft.refusal is not None:
                return await acceptance.refuse(content, draft.refusal)
            if draft.cuts:
                whole, content = content, await without(acceptance.blobs, content, draft.cuts)
                await acceptance.blobs.discard(whole)
        except StoreFault as fault:
            return await acceptance.refuse(content, store_reply(fault))
        added = "".join(draft.added).encode()
        reading = await acceptance.read(content, now, added)
        if reading.hops > self._settings.max_received:
            # RFC 5321 §6.3
            words = f"The message runs in a circle: it has {reading.hops} Received fields"
            return await acceptance.refuse(content, Reply(554, "5.4.6", words))
        try:
            # As it leaves: with what was added, without what was taken out.
            signed = await acceptance.sign(content, reading.header_from, now, added)
        except StoreFault as fault:
            return await acceptance.refuse(content, store_reply(fault))
        found = [received_stamp(content, reading, now)]
        found += [Stamp(now, Step.ADDED, {"field": change}) for change in draft.changes]
        found += signed.stamps
        front = signed.fields + self._trace(peer, envelope, queue_id, now) + added
        noted = _noted(peer.account_id, envelope, draft.header, now)
        reply = await acceptance.accept(
            Letter(journey_id, envelope, content, reading, front, stamps, found, now, relays=True, also=noted)
        )
        if noted and reply.is_positive:
            acceptance.announce([learnt_topic(peer.account_id)])
        return reply

    def _trace(self, peer: Peer, envelope: Envelope, queue_id: str, now: Instant) -> bytes:
        return format_received(
            peer,
            self._acceptance.hostname,
            queue_id,
            now,
            rcpt=envelope.rcpt_to[0].address if len(envelope.rcpt_to) == 1 else None,
            smtputf8=envelope.smtputf8,
            show_client=self._settings.show_client,
        )

    async def _owned(self, account_id: int) -> Owned:
        return await self._acceptance.db.read(lambda tx: owned(tx, account_id), quick=True)


def _draft(
    octets: Octets, envelope: Envelope, addresses: Owned, message_id: str, now: Instant, authserv_id: str
) -> _Draft:
    message = Message.parse(octets)
    header = message.header
    draft = _Draft(header, _unfit(header) or _not_the_author(header, addresses))
    if draft.refusal is None and envelope.mail_from is None and not _is_receipt(message):
        draft.refusal = Reply(550, "5.7.1", "Only a receipt for a displayed message may come from the null address")
    if draft.refusal is not None:
        return draft
    # RFC 6409 §8.2, §8.3
    if header.get("date") is None:
        draft.added.append(f"Date: {rfc5322_date(now)}\r\n")
        draft.changes.append("added the missing Date")
    if header.get("message-id") is None:
        draft.added.append(f"Message-ID: {message_id}\r\n")
        draft.changes.append("added the missing Message-ID")
    # RFC 5322 §3.6.3
    for name in ("bcc", "resent-bcc"):
        found = header.all(name)
        draft.cuts += found
        if found:
            draft.changes.append(f"took out {found[0].name}")
    # RFC 8601 §5: nobody but the server speaks in its name, its own people included.
    results = forged(header, authserv_id)
    draft.cuts += results
    draft.changes += [f"took out a forged {field.name}" for field in results[:1]]
    draft.cuts.sort(key=lambda each: each.start)
    return draft


def _noted(account_id: int, envelope: Envelope, header: Header, now: Instant) -> tuple[Unit, ...]:
    """What remembers whom the account wrote to, where it did so itself: a receipt or an automatic reply is nobody's."""
    # RFC 3834 §5
    automatic = header.text("auto-submitted").strip().lower() not in ("", "no")
    if envelope.mail_from is None or automatic:
        return ()
    unit = written(account_id, envelope.rcpt_to, header, now)
    return (unit,) if unit is not None else ()


def _unfit(header: Header) -> Reply | None:
    flaw = flaws(header)
    return Reply(550, "5.6.0", flaw) if flaw else None


def _not_the_author(header: Header, addresses: Owned) -> Reply | None:
    # RFC 6409 §6.1
    try:
        header_from = author(header)
    except AuthorError as error:
        return Reply(550, "5.7.1", str(error))
    if header_from not in addresses:
        return _not_yours(header_from, 550)
    for name in ("Sender", "Resent-From", "Resent-Sender"):
        for mailbox in mailboxes(header.addresses(name)) if header.get(name) is not None else ():
            if mailbox.address is None or mailbox.address not in addresses:
                return Reply(550, "5.7.1", f"The address in {name} does not belong to your account")
    return None


def _is_receipt(message: Message) -> bool:
    # RFC 8098 §3
    root = message.root
    return root.content_type == ("multipart", "report") and (
        root.parameters.get("report-type", "").lower() == "disposition-notification"
    )


def _not_yours(address: Address, code: int) -> Reply:
    return Reply(code, "5.7.1", f"The address <{address}> does not belong to your account")
