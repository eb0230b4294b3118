"""An office whose accounts have opinions, and lessons that are learnt when a test says so."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from posthouse.checks.lookalike import Known
from posthouse.mail.address import Address
from posthouse.mail.journey import Step
from posthouse.mail.message import Message
from posthouse.mail.reply import Reply
from posthouse.route.acquaintance import Acquaintances
from posthouse.route.authentication import Authentication, CheckSettings
from posthouse.route.observer import Unobserved
from posthouse.route.policy import Policy, Preset
from posthouse.route.reception import Inspection, Reception
from posthouse.route.suspicion import Suspicion
from posthouse.route.training import Training
from posthouse.store import correspondents, junk, mailboxes, messages
from posthouse.store.junk import Kind
from posthouse.store.learners import learnt_topic
from posthouse.store.mailboxes import SpecialUse
from route.asked import ZoneResolver
from route.office import Office, in_office

PLAIN = b"From: Carol <carol@far.test>\r\nSubject: Lunch\r\n\r\nAt noon?\r\n"

ALICE, BOB = "alice@posthouse.test", "bob@posthouse.test"
CAROL = Address("carol", "far.test")

# Whoever comes from the stranger's address may write for these.
PROVEN = ("far.test", "faar.test", "shop.test", "p0sthouse.test", "strange.test", "gmail.com", "exarnple.com")
RECORDS = {
    **{domain: {"TXT": "v=spf1 ip4:192.0.2.7 -all"} for domain in PROVEN},
    **{f"_dmarc.{domain}": {"TXT": "v=DMARC1; p=reject"} for domain in PROVEN},
}


class Watch:
    """An office with suspicion, and lessons that are learnt when a test says so."""

    def __init__(self, office: Office, protected: Sequence[Known] = ()) -> None:
        self.office = office
        self.acquaintances = Acquaintances(office.db, office.hints, "mx.posthouse.test", protected)
        self.suspicion = Suspicion(office.acceptance, self.acquaintances)
        self.training = Training(office.db, office.blobs, office.hints, office.clock, Unobserved())
        checks = Authentication(ZoneResolver(RECORDS), CheckSettings("mx.posthouse.test", trusted_networks=()))
        inspection = Inspection(checks, Policy(Preset.CAUTIOUS), suspicion=self.suspicion)
        office.reception = Reception(office.acceptance, inspection=inspection)

    async def receive(
        self, header_from: str = "carol@far.test", rcpts: Sequence[str] = (ALICE,), *, subject: str = "Lunch",
        body: str = "At noon?", fields: str = "", mail_from: str = "",
    ) -> Reply:  # fmt: skip
        self.office.clock.pass_by(1_000_000)
        author = Message.parse(f"From: {header_from}\r\n\r\n".encode()).header.addresses("from")[0].address  # type: ignore[union-attr]
        octets = (
            f"From: {header_from}\r\nTo: {rcpts[0]}\r\nSubject: {subject}\r\nDate: Sun, 15 Jun 2025 15:06:40 +0000\r\n"
            f"Message-ID: <{self.office.clock.now}@far.test>\r\n{fields}\r\n{body}\r\n"
        ).encode()
        replies = await self.office.receive(mail_from or str(author), rcpts, octets)
        assert replies[-1].is_positive, replies
        return replies[-1]

    async def verdicts(self, reply: Reply, account: str = ALICE) -> dict[str, tuple[str, str]]:
        """Method → result and reason, of those that hold for one account."""
        journey = await self.office.journey(reply)
        return {
            str(stamp.facts["method"]): (str(stamp.facts["result"]), str(stamp.facts["reason"]))
            for stamp in journey.stamps
            if stamp.step is Step.VERDICT and stamp.facts.get("account") == account
        }

    async def warning(self, reply: Reply, account: str = ALICE) -> str:
        journey = await self.office.journey(reply)
        found = [
            str(stamp.facts["warning"]) for stamp in journey.stamps
            if stamp.step is Step.WARNING and stamp.facts["account"] == account
        ]
        return found[0] if found else ""

    async def subjects(self, account: str, use: SpecialUse) -> list[str]:
        filed = await self.office.mailbox(account, use)
        return [Message.parse(each.octets).header.text("subject") for each in filed]

    async def know(self, address: Address, name: str = "", account: str = ALICE) -> None:
        account_id = self.office.accounts[account]
        now = self.office.clock.now
        await self.office.db.write(lambda tx: correspondents.note(tx, account_id, address, name, now, wrote=True))
        self.office.hints.publish(learnt_topic(account_id))

    async def call(self, account: str, kind: Kind) -> None:
        """Moves everything from Inbox to Junk, or calls it good, and lets it be learnt."""
        account_id = self.office.accounts[account]

        def unit(tx: object) -> None:
            inbox, spam = (mailboxes.special(tx, account_id, use) for use in (SpecialUse.INBOX, SpecialUse.JUNK))  # type: ignore[arg-type]
            assert inbox is not None
            assert spam is not None
            if kind is Kind.JUNK:
                messages.move(tx, account_id, inbox.mailbox_id, messages.EVERY, spam.mailbox_id)  # type: ignore[arg-type]
            else:
                uids = list(range(1, inbox.uidnext))
                junk.marked(tx, account_id, inbox.mailbox_id, uids, kind)  # type: ignore[arg-type]

        await self.office.db.write(unit)
        while await self.training.learn():
            pass


def watched(folder: Path, work: Callable[[Watch], Awaitable[None]], protected: Sequence[Known] = ()) -> None:
    async def within(office: Office) -> None:
        watch = Watch(office, protected)
        await work(watch)
        watch.acquaintances.close()

    in_office(folder, within)


JUNK_BODY = "Cheap pills from our pharmacy, special offer, no prescription needed, order now!"
GOOD_BODY = "The minutes of the meeting are attached to the wiki, see you on Thursday."


async def teach(watch: Watch, account: str = ALICE, *, count: int = 10) -> None:
    """As many good messages and junk ones, from many senders."""
    for number in range(count):
        await watch.receive(f"friend{number}@far.test", [account], subject=f"Minutes {number}", body=GOOD_BODY)
    await watch.call(account, Kind.GOOD)
    for number in range(count):
        await watch.receive(f"s{number}@unproven{number}.test", [account], subject=f"Pills {number}", body=JUNK_BODY)
    account_id = watch.office.accounts[account]

    def unit(tx: object) -> None:
        inbox = mailboxes.special(tx, account_id, SpecialUse.INBOX)  # type: ignore[arg-type]
        spam = mailboxes.special(tx, account_id, SpecialUse.JUNK)  # type: ignore[arg-type]
        assert inbox is not None
        assert spam is not None
        uids = ((count + 1, 2 * count),)
        messages.move(tx, account_id, inbox.mailbox_id, uids, spam.mailbox_id)  # type: ignore[arg-type]

    await watch.office.db.write(unit)
    while await watch.training.learn():
        pass
