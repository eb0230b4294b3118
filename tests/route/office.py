"""A post office without doors or wires: the real store and the real desks, a clock that stands still."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from posthouse.mail.address import Address
from posthouse.mail.envelope import Envelope, RcptTo
from posthouse.mail.instant import Instant
from posthouse.mail.journey import Journey, Stamp, Step
from posthouse.mail.peer import Peer, Role
from posthouse.mail.reply import Reply
from posthouse.route.acceptance import Acceptance
from posthouse.route.desk import MailDesk
from posthouse.route.reception import Reception
from posthouse.route.submission import Submission
from posthouse.store import directory, journeys, mailboxes, messages, queue
from posthouse.store.blobs import Blobs
from posthouse.store.database import Database
from posthouse.store.hints import Hints
from posthouse.store.ids import Ids, from_text
from posthouse.store.mailboxes import SpecialUse
from posthouse.store.queue import Entry
from posthouse.store.sqlite import open_sqlite

BEGIN = 1_750_000_000_000_000
STRANGER = Peer(Role.SMTP, "192.0.2.7", 40_000, helo="mx.far.test", esmtp=True)

LETTER = (
    b"From: Carol <carol@far.test>\r\nTo: alice@posthouse.test\r\nSubject: Lunch\r\n"
    b"Date: Sun, 15 Jun 2025 15:06:40 +0000\r\nMessage-ID: <lunch@far.test>\r\n\r\nAt noon?\r\n"
)


class StandingClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now: Instant = BEGIN

    def __call__(self) -> Instant:
        return self.now

    def pass_by(self, microseconds: int) -> None:
        self.now += microseconds


@dataclass(frozen=True)
class Filed:
    """One message in a mailbox."""

    uid: int
    prefix: bytes
    octets: bytes
    message_id: str
    envelope: bytes
    size: int


class Office:
    def __init__(self, db: Database, blobs: Blobs, ids: Ids, hints: Hints, clock: StandingClock) -> None:
        self.db = db
        self.blobs = blobs
        self.ids = ids
        self.hints = hints
        self.clock = clock
        self.acceptance = Acceptance(db, blobs, ids, hints, clock, "mx.posthouse.test")
        self.reception = Reception(self.acceptance)
        self.submission = Submission(self.acceptance)
        self.accounts: dict[str, int] = {}

    async def add(self, address: str, quota: int | None = None) -> int:
        account_id = self.ids.next(self.clock.now)
        parsed = Address.parse(address)

        def unit(tx: object) -> None:
            if not directory.is_local(tx, parsed.domain):  # type: ignore[arg-type]
                directory.add_domain(tx, parsed.domain, self.clock.now)  # type: ignore[arg-type]
            directory.add_account(tx, account_id, parsed, self.clock.now, quota=quota)  # type: ignore[arg-type]

        await self.db.write(unit)
        self.accounts[address] = account_id
        return account_id

    async def alias(self, name: str, *targets: str) -> None:
        parsed = [Address.parse(target) for target in targets]
        await self.db.write(lambda tx: directory.add_alias(tx, name, parsed))

    def peer(self, account: str) -> Peer:
        return Peer(
            Role.SUBMISSION, "192.0.2.9", 50_000, helo="laptop", esmtp=True,
            account_id=self.accounts[account], account=Address.parse(account),
        )  # fmt: skip

    async def hand_in(
        self,
        desk: MailDesk,
        peer: Peer,
        mail_from: str | None,
        rcpts: Sequence[str | RcptTo],
        octets: bytes = LETTER,
        *,
        file: bool = False,
        **envelope: object,
    ) -> list[Reply]:
        """What a door does with one transaction; the replies to MAIL, each RCPT and DATA, as far as it came."""
        sender = Address.parse(mail_from) if mail_from else None
        made = Envelope(sender, **envelope)  # type: ignore[arg-type]
        replies = [await desk.mail(peer, made)]
        if not replies[0].is_positive:
            return replies
        for each in rcpts:
            rcpt = each if isinstance(each, RcptTo) else RcptTo(Address.parse(each))
            replies.append(await desk.rcpt(peer, made, rcpt))
            if replies[-1].is_positive:
                made = replace(made, rcpt_to=(*made.rcpt_to, rcpt))
        if made.rcpt_to:
            spool = self.blobs.spool()
            spool.write(octets)
            content = await spool.finish()
            stamps = (Stamp(self.clock.now, Step.CONNECTED, {"ip": peer.ip, "port": 25, "service": "smtp"}),)
            replies.append(await desk.data(peer, made, content, stamps))
        return replies

    async def receive(
        self, mail_from: str | None, rcpts: Sequence[str | RcptTo], octets: bytes = LETTER, **envelope: object
    ) -> list[Reply]:
        return await self.hand_in(self.reception, STRANGER, mail_from, rcpts, octets, **envelope)  # type: ignore[arg-type]

    async def submit(
        self, account: str, rcpts: Sequence[str | RcptTo], octets: bytes, mail_from: str | None = "", **envelope: object
    ) -> list[Reply]:
        sender = account if mail_from == "" else mail_from
        return await self.hand_in(self.submission, self.peer(account), sender, rcpts, octets, **envelope)  # type: ignore[arg-type]

    async def mailbox(self, address: str, use: SpecialUse = SpecialUse.INBOX) -> list[Filed]:
        account_id = self.accounts[address]
        columns = ["uid", "prefix", "octets", "message_id", "envelope", "size", "blob_id"]

        def unit(tx: object) -> list[tuple[object, ...]]:
            mailbox = mailboxes.special(tx, account_id, use)  # type: ignore[arg-type]
            assert mailbox is not None
            return messages.fetch(tx, account_id, mailbox.mailbox_id, messages.EVERY, columns)  # type: ignore[arg-type]

        filed = []
        for uid, prefix, octets, message_id, envelope, size, blob_id in await self.db.read(unit):
            body = octets if octets is not None else await self.blobs.read(blob_id)  # type: ignore[arg-type]
            filed.append(Filed(uid, prefix, body, message_id, envelope, size))  # type: ignore[arg-type]
        return filed

    async def queued(self) -> list[Entry]:
        return await self.db.read(queue.list_entries)

    async def waiting_for(self) -> list[str]:
        """The recipients in the queue."""
        return [str(delivery.rcpt.address) for entry in await self.queued() for delivery in entry.deliveries]

    async def journey(self, reply: Reply) -> Journey:
        """The journey whose queue id a reply tells."""
        journey_id = from_text(reply.text.rpartition(" ")[2].strip("()"))
        journey = await self.db.read(lambda tx: journeys.load(tx, journey_id))
        assert journey is not None
        return journey

    async def newest_journey(self) -> Journey:
        journey_id = (await self.db.read(journeys.recent))[0]
        journey = await self.db.read(lambda tx: journeys.load(tx, journey_id))
        assert journey is not None
        return journey


@asynccontextmanager
async def open_office(folder: Path) -> AsyncIterator[Office]:
    clock = StandingClock()
    ids = Ids()
    db = open_sqlite(folder / "store.sqlite")
    blobs = Blobs(folder / "blobs", db, ids, clock)
    office = Office(db, blobs, ids, Hints(), clock)
    try:
        yield office
    finally:
        await db.close()


def in_office(folder: Path, work: Callable[[Office], Awaitable[None]]) -> None:
    """Runs a test in a fresh office with alice and bob of posthouse.test."""

    async def within() -> None:
        async with asyncio.timeout(60), open_office(folder) as office:
            await office.add("alice@posthouse.test")
            await office.add("bob@posthouse.test")
            await work(office)

    asyncio.run(within())


def codes(replies: Sequence[Reply]) -> list[tuple[int, str]]:
    return [(reply.code, reply.enhanced) for reply in replies]


def steps(journey: Journey) -> list[Step]:
    return [stamp.step for stamp in journey.stamps]
