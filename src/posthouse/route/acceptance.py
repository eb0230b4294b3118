"""Acceptance is a commit: a message becomes one unit of work, and 250 is said only when that is durable.

    letter = Letter(…)                       everything known about the message, nothing stored yet
    reply = await acceptance.accept(letter)  blob, placements, queue rows and journey in one transaction; then hints

The unit asks the directory again where each recipient leads, so that what was promised at RCPT and what is stored
cannot drift apart; where the two differ (an account was removed, a mailbox filled up meanwhile) nothing is stored and
the client is told to come again. One account gets one copy, by however many of its addresses it was reached, and all
of them are recorded in Delivered-To. How a message goes on to another site is told in `route.forwarding`.

Notifications (`route.bounce`) go the same way, inside the transaction of whatever they tell: `report`. What is signed
or sealed takes a thread, which no transaction can wait for: a unit that finds out that it needs such a thing is taken
back, and run again when it is ready (`write`). For all other mail that costs nothing.
"""

import asyncio
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from posthouse.mail.address import Address
from posthouse.mail.delivery import Delivery, State
from posthouse.mail.envelope import Envelope, RcptTo
from posthouse.mail.headers import Octets
from posthouse.mail.instant import Clock, Instant
from posthouse.mail.journey import Fact, Stamp, Step
from posthouse.mail.reply import Reply
from posthouse.route.bounce import Action, Notice, Original, wanted, without_success
from posthouse.route.filing import Reading, delivery_prefix, file_as, read
from posthouse.route.forwarding import Onward, Refused, Workshop, home, resolve, send_on
from posthouse.route.letter import Letter as Letter
from posthouse.route.letter import (
    Notification,
    Ready,
    Receipt,
    Unfit,
    Unit,
    Unplaceable,
    Unready,
    onward_envelope,
    opening,
    referring,
)  # fmt: skip
from posthouse.route.letter import received_stamp as received_stamp
from posthouse.route.notification import notify, original_of, sign_notification
from posthouse.route.observer import Observer, Unobserved
from posthouse.route.opinion import NO_OPINION
from posthouse.route.signing import Signed, Signer
from posthouse.store import directory, journeys, mailboxes, messages, queue, signing
from posthouse.store.blobs import Blobs, Content, put
from posthouse.store.database import Database, StoreFault, Transaction
from posthouse.store.directory import Full, Local, NotOurs, Resolution
from posthouse.store.hints import QUEUE, Hints, account_topic
from posthouse.store.ids import Ids, to_text
from posthouse.store.mailboxes import SpecialUse

# A body up to this many octets is read where we stand; a larger one in a thread, one after the other, so that neither
# the loop waits for it nor many mapped files lie in memory at once. Reading holds Python's lock: two are no faster.
READ_INLINE = 128 * 1024
READERS = 1
# A message for up to so many is stored in well below a millisecond for each.
QUICK_RECIPIENTS = 10

T = TypeVar("T")

TAKEN = Reply(250, "2.1.5", "Recipient taken")


@dataclass(slots=True)
class _Ways:
    """Where a message goes: accounts with the addresses that led there, addresses elsewhere, and what to report.

    `sent_on` are the addresses of ours that led elsewhere, in their order, `groups` those of them that lead to others
    as well. `stamps` tell of the recipients, `left_out` of those whom the decision keeps it from.
    """

    accounts: dict[int, tuple[Address, list[Address]]] = field(default_factory=dict)
    remote: dict[Address, RcptTo] = field(default_factory=dict)
    sent_on: dict[Address, None] = field(default_factory=dict)
    groups: list[Address] = field(default_factory=list)
    direct: bool = False
    stamps: list[Stamp] = field(default_factory=list)
    left_out: list[Stamp] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)


class Acceptance:
    """The one way into the store for messages.

    `hostname` is our own name, as Received and Message-ID show it; `own_ips` has the addresses of this host.
    """

    def __init__(
        self,
        db: Database,
        blobs: Blobs,
        ids: Ids,
        hints: Hints,
        clock: Clock,
        hostname: str,
        observer: Observer | None = None,
        own_ips: Container[str] = (),
    ) -> None:
        self.db = db
        self.blobs = blobs
        self.ids = ids
        self.hints = hints
        self.clock = clock
        self.hostname = hostname
        self._own_ips = own_ips
        self._observer = observer or Unobserved()
        self.signer = Signer(self._observer)
        self._readers = asyncio.Semaphore(READERS)

    def at_home(self, address: Address) -> Address:
        """What the directory is asked for: an address at an address literal of ours is one of our first domain.

        So nothing for ourselves is ever relayed, and postmaster is reached that way too (RFC 5321 §4.5.1).
        """
        literal = address.literal
        return Address(address.local_part, "") if literal is not None and literal in self._own_ips else address

    async def read(self, content: Content, now: Instant, added: bytes = b"") -> Reading:
        """`filing.read` of a received body, wherever it lies."""
        return await self.look(content, lambda octets: read(octets, content, now, added))

    async def look(self, content: Content, view: Callable[[Octets], T]) -> T:
        """What `view` makes of the octets: at once for a small body, in a thread and in its turn for a large one."""
        if content.octets is not None and content.size <= READ_INLINE:
            return view(content.octets)
        async with self._readers:
            return await asyncio.to_thread(_open, content, view)

    async def accept(self, letter: Letter) -> Reply:
        """Stores the letter and says so; 4xx where that is not certain. The content is discarded if it is refused.

        Raises `Unfit`, the content as it was, for what came from outside and may not be sent on: a refusal like any
        other, for whoever knows why to write down.
        """
        try:
            receipt = await self.write(
                partial(self.enter, letter=letter),
                octets=letter.content.size,
                quick=len(letter.envelope.rcpt_to) <= QUICK_RECIPIENTS,
            )
        except Unfit:
            raise
        except Unplaceable as refusal:
            await self.blobs.discard(letter.content)
            return refusal.reply
        except StoreFault as fault:
            if fault.full:
                # Nothing was written, and a file that waits to be swept would fill the disk all the more.
                await self.blobs.discard(letter.content)
            # Else the commit may have happened after all: the content stays, and is swept if nothing refers to it.
            return store_reply(fault)
        self.announce(receipt.topics)
        self._observer.happened("accepted", to_text(letter.journey_id), receipt.stamps)
        return receipt.reply

    async def write(self, unit: Unit[T], *, octets: int = 0, quick: bool = False) -> T:
        """As `Database.write`, for a unit that calls `enter` or `report` and hands on what is ready."""
        ready = Ready()
        while True:
            try:
                return await self.db.write(partial(unit, ready=ready), octets=octets, quick=quick)
            except Unready as missing:
                ready = await missing.make(ready)

    async def send(
        self, envelope: Envelope, octets: bytes, *, also: tuple[Callable[[Transaction], None], ...] = ()
    ) -> Reply:
        """Takes a message that this server wrote itself, as `accept` does, signed for the domain of its author."""
        now = self.clock()
        try:
            content = await self.blobs.content(octets)
            reading = await self.read(content, now)
            signed = await self.sign(content, reading.header_from, now)
        except StoreFault as fault:
            return store_reply(fault)
        found = (received_stamp(content, reading, now), *signed.stamps)
        letter = Letter(self.ids.next(now), envelope, content, reading, signed.fields, (), found, now, relays=True)
        return await self.accept(replace(letter, also=also))

    async def sign(self, content: Content, author: Address | None, now: Instant, prefix: bytes = b"") -> Signed:
        """The signatures of the author's domain, if it has keys here; `prefix` will stand in front. `StoreFault`."""
        if author is None:
            return Signed()
        keys = await self.db.read(lambda tx: signing.active(tx, author.domain), quick=True)
        return await self.signer.sign(content, keys, now, prefix=prefix)

    async def refuse(self, content: Content, reply: Reply) -> Reply:
        """Throws the content away and gives the reply back."""
        await self.blobs.discard(content)
        return reply

    def announce(self, topics: Sequence[str]) -> None:
        """Wakes whoever waits for these topics; only after the commit."""
        for topic in topics:
            self.hints.publish(topic)

    def enter(self, tx: Transaction, letter: Letter, ready: Ready) -> Receipt:
        """The unit of work. Raises `Unplaceable` and `Unready`; may be run again."""
        now = letter.now
        envelope = letter.envelope
        ways = self._distribute(tx, letter)
        onward = _leave(tx, letter, ways, ready, Workshop(self.hostname, self.signer, self.blobs))
        letter = referring(letter, put(tx, letter.content, letter.reading.message.sent_at))
        stamps = [*opening(letter), *ways.stamps, *letter.found]
        topics = []
        # Law: accounts in one order, whoever writes, so that two transactions never wait for each other.
        for account_id in sorted(ways.accounts):
            stamps += self._place(tx, letter, account_id, *ways.accounts[account_id])
            topics.append(account_topic(account_id))
        stamps += ways.left_out
        if onward is not None:
            stamps += self._enqueue(tx, letter, ways, onward)
            topics.append(QUEUE)
        queue_id = to_text(letter.journey_id)
        reply = Reply(250, "2.0.0", f"Accepted, queue id {queue_id}")
        stamps.append(Stamp(now, Step.ACCEPTED, {"reply": str(reply)}))
        # Of what is put into Junk nobody is told that it was delivered: its reverse-path is as likely somebody else's.
        if ways.notices and envelope.mail_from is not None and not letter.quarantine:
            told, woken = self.report(tx, original_of(letter), ways.notices, now, ready)
            stamps += told
            topics += woken
        for unit in letter.also:
            unit(tx)
        journeys.begin(tx, letter.journey_id, letter.reading.message.message_id, stamps)
        return Receipt(reply, tuple(topics), tuple(stamps))

    def report(
        self, tx: Transaction, original: Original, notices: Sequence[Notice], now: Instant, ready: Ready
    ) -> tuple[list[Stamp], list[str]]:
        """Sends one notification about `notices`, in this transaction; gives stamps for the original's journey, and
        topics to hint at. Without anybody to tell (null sender, author unknown here) that is what the stamp says.
        Raises `Unready` where it is to be signed first."""
        mail_from = original.envelope.mail_from
        about = [str(notice.rcpt.address) for notice in notices]
        if mail_from is None:
            # RFC 3461 §5.2, RFC 5321 §6.1: never a notification about one.
            reason = "nobody is to be told about a message from the null sender"
            return [Stamp(now, Step.DROPPED, {"reason": reason, "about": about})], []
        mail_from = home(tx, mail_from, now)
        notification = ready.notification
        if notification is None or notification.notices != tuple(notices):
            letter = notify(original, mail_from, notices, now, ids=self.ids, hostname=self.hostname)
            keys = signing.active(tx, self.hostname)
            if keys and notification is None:
                raise Unready(partial(sign_notification, Notification(tuple(notices), letter), self.signer, keys))
        else:
            letter = notification.letter
        try:
            receipt = self.enter(tx, letter, ready)
        except Unplaceable as refusal:
            return [Stamp(now, Step.DROPPED, {"reason": f"<{mail_from}> cannot be told: {refusal}"})], []
        facts: dict[str, Fact] = {"to": str(mail_from), "about": about, "notice": to_text(letter.journey_id)}
        return [Stamp(now, Step.BOUNCED, facts)], list(receipt.topics)

    def _distribute(self, tx: Transaction, letter: Letter) -> _Ways:
        ways = _Ways()
        mail_from, size = letter.envelope.mail_from, letter.content.size
        for rcpt in letter.envelope.rcpt_to:
            address = self.at_home(rcpt.address)
            resolution = resolve(tx, address, mail_from, letter.now, size=size, hostname=self.hostname)
            if isinstance(resolution, Full) and mail_from is None and letter.relays:
                resolution = _although_full(tx, resolution)
            facts: dict[str, Fact] = {"address": str(rcpt.address), "reply": str(TAKEN)}
            if isinstance(resolution, Local):
                if resolution.chain:
                    facts["via"] = list(resolution.chain)
                _expand(ways, rcpt, resolution, letter.now)
            elif isinstance(resolution, NotOurs) and letter.relays:
                ways.remote.setdefault(rcpt.address, rcpt)
                ways.direct = True
            else:
                raise Unplaceable(refusal_at_the_end(rcpt.address, resolution))
            ways.stamps.append(Stamp(letter.now, Step.RECIPIENT, facts))
        return ways

    def _place(
        self, tx: Transaction, letter: Letter, account_id: int, account: Address, addresses: Sequence[Address]
    ) -> list[Stamp]:
        opinion = letter.opinions.get(account_id, NO_OPINION)
        use = SpecialUse.JUNK if letter.quarantine or opinion.junk else SpecialUse.INBOX
        mailbox = mailboxes.special(tx, account_id, use) or mailboxes.special(tx, account_id, SpecialUse.INBOX)
        if mailbox is None:
            raise Unplaceable(Reply(451, "4.3.0", f"The mailbox of <{account}> is missing, please try again later"))
        prefix = delivery_prefix(letter.envelope.mail_from, addresses, opinion.fields + letter.trace)
        message = file_as(letter.reading.message, prefix)
        added = messages.add(tx, account_id, mailbox.mailbox_id, self.ids.next(letter.now), message)
        delivered = Stamp(
            letter.now,
            Step.DELIVERED,
            {
                "account": str(account),
                "mailbox": mailbox.name,
                "uid": added.uid,
                "address": [str(address) for address in addresses],
            },
        )
        if opinion.also is not None:
            opinion.also(tx)
        return [*opinion.stamps(account, letter.now), delivered]

    def _enqueue(self, tx: Transaction, letter: Letter, ways: _Ways, onward: Onward) -> list[Stamp]:
        now = letter.now
        prefix, content = onward.prefix, onward.content or letter.content
        blob_id = content.blob_id if onward.content is None else put(tx, content, letter.reading.message.sent_at)
        if len(ways.sent_on) == 1 and not ways.direct:
            # Seen again in what comes in for this very address, the field tells of a circle at its first turn. All
            # deliveries of a message share a prefix, so one that also goes elsewhere does without: its other
            # recipients may not know of this one. The bound on Received fields ends such a circle later.
            prefix = f"Delivered-To: {next(iter(ways.sent_on))}\r\n".encode() + prefix
        message = queue.QueuedMessage(
            letter.journey_id,
            blob_id,
            prefix,
            len(prefix) + content.size,
            replace(onward_envelope(letter), mail_from=onward.mail_from),
            now,
        )
        deliveries = [
            Delivery(self.ids.next(now), letter.journey_id, rcpt, address.domain, State.WAITING, now, now)
            for address, rcpt in ways.remote.items()
        ]
        queue.enqueue(tx, message, deliveries)
        return [
            *onward.stamps,
            *(Stamp(
                now,
                Step.QUEUED,
                {
                    "delivery": to_text(delivery.delivery_id),
                    "address": str(delivery.rcpt.address),
                    "domain": delivery.domain,
                },
            )
            for delivery in deliveries),
        ]


def refusal(address: Address, resolution: Resolution | Refused) -> Reply:
    """The reply to RCPT for an address that is not served."""
    if isinstance(resolution, Refused):
        return resolution.reply
    if isinstance(resolution, Full):
        return Reply(452, "4.2.2", f"The mailbox of <{address}> is full")
    if isinstance(resolution, NotOurs):
        return Reply(550, "5.7.1", "Relaying denied")
    return Reply(550, "5.1.1", f"There is no <{address}> here")


def refusal_at_the_end(address: Address, resolution: Resolution | Refused) -> Reply:
    """The reply to the end of data, where a recipient that was taken is not served any more: always 4xx, so that
    the client asks again for each and is told about this one alone."""
    said = refusal(address, resolution)
    if said.is_transient:
        return said
    return Reply(451, "4.3.0", f"<{address}> was changed while the message came in, please try again")


def store_reply(fault: StoreFault) -> Reply:
    """What a client is told when the store failed it."""
    if fault.full:
        return Reply(452, "4.3.1", "There is no room for the message now, please try again later")
    return Reply(451, "4.3.0", "The message could not be stored, please try again later")


def _leave(tx: Transaction, letter: Letter, ways: _Ways, ready: Ready, workshop: Workshop) -> Onward | None:
    """How the letter leaves for elsewhere, if it does. What may not is left out where somebody here gets it."""
    if not ways.remote:
        return None
    alias, group = next(iter(ways.sent_on), None), next(iter(ways.groups), None)
    try:
        return send_on(tx, letter, alias, group, ready, workshop)
    except Unfit as unfit:
        known = letter.provenance
        # What may turn out to be honest in an hour is put off for all, and lost for nobody.
        if not ways.accounts or (known is not None and known.pending):
            raise
        for address in ways.remote:
            reason = f"not sent on: {unfit.reason} (<{address}>)"
            ways.left_out.append(Stamp(letter.now, Step.DROPPED, {"address": str(address), "reason": reason}))
        # Nobody is told that a whole group has it.
        ways.notices = [notice for notice in ways.notices if notice.rcpt.address not in ways.sent_on]
        return None


def _expand(ways: _Ways, rcpt: RcptTo, resolution: Local, now: Instant) -> None:
    """Adds what a local address leads to (RFC 3461 §5.2.7)."""
    alone = len(resolution.accounts) + len(resolution.remote) == 1
    for target in resolution.accounts:
        _, addresses = ways.accounts.setdefault(target.account_id, (target.address, []))
        if rcpt.address not in addresses:
            addresses.append(rcpt.address)
    for address in resolution.remote:
        onward = RcptTo(address, rcpt.orcpt, rcpt.notify if alone else without_success(rcpt))
        ways.remote.setdefault(address, onward)
        ways.sent_on[rcpt.address] = None
        if not alone and rcpt.address not in ways.groups:
            ways.groups.append(rcpt.address)
    if alone and resolution.remote:
        return
    action = Action.DELIVERED if alone else Action.EXPANDED
    if wanted(rcpt, action):
        words = "Put into the mailbox" if alone else "Sent to all members of the group"
        ways.notices.append(Notice(rcpt, action, Reply(250, "2.1.5", words), now))


def _although_full(tx: Transaction, resolution: Full) -> Resolution:
    """A notification is ours to deliver, quota or not: its reader may be waiting for just that."""
    account = directory.find_account(tx, resolution.address)
    if account is None:
        return resolution
    return Local((directory.Target(account.account_id, account.address, None),), (), ())


def _open(content: Content, view: Callable[[Octets], T]) -> T:
    with content.open() as octets:
        return view(octets)
