"""What single accounts make of a message: lookalikes, impostors, reputation, junk; Junk for one and not for another."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from posthouse.checks.lookalike import Kin, Known
from posthouse.mail.address import Address
from posthouse.mail.envelope import RcptTo
from posthouse.mail.instant import DAY, HOUR
from posthouse.mail.journey import Step
from posthouse.mail.message import Message
from posthouse.mail.reply import Reply
from posthouse.route import acquaintance, suspicion
from posthouse.route.acquaintance import Acquaintances
from posthouse.route.authentication import Authentication, CheckSettings
from posthouse.route.observer import Unobserved
from posthouse.route.opinion import Opinion
from posthouse.route.policy import Policy, Preset
from posthouse.route.reception import Inspection, Reception
from posthouse.route.suspicion import Suspicion
from posthouse.route.training import Training
from posthouse.store import correspondents, directory, junk, learners, mailboxes, messages
from posthouse.store.database import Fault, StoreFault
from posthouse.store.junk import Kind
from posthouse.store.learners import learnt_topic
from posthouse.store.mailboxes import SpecialUse
from route.asked import ZoneResolver, case
from route.office import BEGIN, STRANGER, Office, in_office

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


def test_a_letter_from_nobody_in_particular_gets_no_opinion(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        reply = await watch.receive()
        assert await watch.verdicts(reply) == {}
        assert await watch.warning(reply) == ""
        (filed,) = await watch.office.mailbox(ALICE)
        assert b"Posthouse-Warning" not in filed.prefix

    watched(tmp_path, work)


def test_a_domain_that_looks_like_ours_brings_a_warning_and_stays_in_the_inbox(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        reply = await watch.receive("it@p0sthouse.test")
        result, reason = (await watch.verdicts(reply))["lookalike"]
        assert result == "fail"
        assert reason.startswith("looks like posthouse.test, but ")
        assert (await watch.warning(reply)).startswith("looks like posthouse.test, but ")
        (filed,) = await watch.office.mailbox(ALICE)
        warning = Message.parse(filed.prefix + b"\r\n").header.text("posthouse-warning")
        assert warning.startswith("This message looks like posthouse.test, but ")
        assert warning.endswith(".")
        assert filed.prefix.index(b"Posthouse-Warning") < filed.prefix.index(b"Received:")

    watched(tmp_path, work)


def test_a_lookalike_of_a_correspondent_is_told_to_whoever_knows_him(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        await watch.know(Address("carol", "example.com"), "Carol")
        reply = await watch.receive("carol@exarnple.com", [ALICE, BOB])
        assert (await watch.verdicts(reply, ALICE))["lookalike"][0] == "fail"
        assert "example.com" in await watch.warning(reply, ALICE)
        assert await watch.verdicts(reply, BOB) == {}
        assert await watch.warning(reply, BOB) == ""

    watched(tmp_path, work)


def test_a_name_of_the_settings_is_protected(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        reply = await watch.receive('"PayPal Service" <info@strange.test>')
        assert await watch.warning(reply) == "calls itself PayPal, but is from strange.test"

    watched(tmp_path, work, [Known("paypal.com", Kin.PROTECTED, "PayPal")])


def test_the_name_of_a_colleague_before_a_strange_address_is_told(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        bob = watch.office.accounts[BOB]
        await watch.office.db.write(lambda tx: directory.set_name(tx, bob, "Robert Miller"))
        reply = await watch.receive("Robert Miller <robert.miller77@gmail.com>")
        assert "has the name of Robert Miller <bob@posthouse.test>" in await watch.warning(reply)

    watched(tmp_path, work)


def test_people_of_other_domains_of_the_house_are_not_told_of(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        stranger = await watch.office.add("zoe@other.test")
        await watch.office.db.write(lambda tx: directory.set_name(tx, stranger, "Zoe Secret"))
        reply = await watch.receive("Zoe Secret <zoe@gmail.com>")
        assert await watch.warning(reply) == ""
        reply = await watch.receive("Zoe Secret <zoe@gmail.com>", ["zoe@other.test"])
        assert "has the name of Zoe Secret" in await watch.warning(reply, "zoe@other.test")

    watched(tmp_path, work)


def test_money_in_a_hurry_and_an_answer_elsewhere_add_up_to_a_warning_and_nothing_is_dropped(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        bob = watch.office.accounts[BOB]
        await watch.office.db.write(lambda tx: directory.set_name(tx, bob, "Robert Miller"))
        reply = await watch.receive(
            "Robert Miller <boss@strange.test>", subject="Urgent wire transfer",
            body="Please process a payment to our new bank account. It is urgent. I am in a meeting, do not call.",
            fields="Reply-To: ceo.office@gmail.com\r\n",
        )
        warning = await watch.warning(reply)
        assert "may be an attempt to get at money" in warning
        assert "ceo.office@gmail.com" in warning
        (filed,) = await watch.office.mailbox(ALICE)
        assert b"\r\nPosthouse-Warning: This message " in b"\r\n" + filed.prefix
        assert (await watch.verdicts(reply))["impostor"][0] == "softfail"

    watched(tmp_path, work)


def test_what_is_hidden_is_found_by_an_account_that_knows_nobody(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        address = await watch.receive('"alice@posthouse.test" <x@strange.test>')
        assert "calls itself alice@posthouse.test" in await watch.warning(address)
        turned = await watch.receive(subject="=?utf-8?q?in=E2=80=AEgpj.exe?=")
        assert "turns the direction" in await watch.warning(turned)
        attached = await watch.receive(
            fields='MIME-Version: 1.0\r\nContent-Type: application/x; name="=?utf-8?q?x=E2=80=AEfdp=2Eexe?="\r\n'
                   'Content-Disposition: attachment; filename="=?utf-8?q?x=E2=80=AEfdp=2Eexe?="\r\n'
        )  # fmt: skip
        assert "attachment whose name is read backwards" in await watch.warning(attached)

    watched(tmp_path, work)


PLAIN = b"From: Carol <carol@far.test>\r\nSubject: Lunch\r\n\r\nAt noon?\r\n"


@pytest.mark.parametrize(
    ("octets", "plain"),
    [
        (PLAIN, True),
        (PLAIN.replace(b"Carol", b"=?utf-8?q?Carol?="), False),
        (PLAIN.replace(b"Carol", "Cárol".encode()), False),
        (PLAIN.replace(b"Carol", b'"carol@far.test"'), False),
        (PLAIN.replace(b"Lunch", b"=?utf-8?q?Lunch?="), False),
        (b"Reply-To: x@y.test\r\n" + PLAIN, False),
        (b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=x.pdf\r\n" + PLAIN, False),
    ],
)
def test_only_what_is_plain_is_passed_over(octets: bytes, plain: bool) -> None:
    assert suspicion.is_plain(case(octets)) is plain


# --- junk -----------------------------------------------------------------------------------------------

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


def test_what_looks_like_the_junk_of_one_account_is_junk_for_that_one_alone(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        await teach(watch)
        reply = await watch.receive("new@strange.test", [ALICE, BOB], subject="Your pills", body=JUNK_BODY)
        assert "Your pills" in await watch.subjects(ALICE, SpecialUse.JUNK)
        assert await watch.subjects(BOB, SpecialUse.INBOX) == ["Your pills"]
        result, reason = (await watch.verdicts(reply))["bayes"]
        assert result == "fail"
        assert "most of all by “cheap”" in reason
        assert await watch.verdicts(reply, BOB) == {}
        journey = await watch.office.journey(reply)
        decided = [stamp.facts for stamp in journey.stamps if stamp.step is Step.DECISION]
        done = [(facts["action"], facts.get("account")) for facts in decided]
        assert done == [("accept", None), ("quarantine", ALICE)]
        (judged,) = [stamp.facts for stamp in journey.stamps if stamp.facts.get("method") == "bayes"]
        assert any(str(clue).startswith("pharmacy ") for clue in judged["clues"])  # type: ignore[union-attr]

    watched(tmp_path, work)


def test_good_mail_goes_on_coming_in(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        await teach(watch)
        reply = await watch.receive("friend99@far.test", subject="Minutes", body=GOOD_BODY)
        assert (await watch.verdicts(reply))["bayes"][0] == "pass"
        assert "Minutes" in await watch.subjects(ALICE, SpecialUse.INBOX)

    watched(tmp_path, work)


def test_an_account_that_has_called_little_anything_has_no_opinion(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        await teach(watch, count=9)
        reply = await watch.receive("new@strange.test", subject="Your pills", body=JUNK_BODY)
        assert await watch.verdicts(reply) == {}
        assert "Your pills" in await watch.subjects(ALICE, SpecialUse.INBOX)

    watched(tmp_path, work)


def test_who_is_known_and_proved_is_never_junk_for_his_words(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        await teach(watch)
        await watch.know(CAROL)
        reply = await watch.receive("carol@far.test", subject="Look at this", body=JUNK_BODY)
        assert (await watch.verdicts(reply))["bayes"][0] == "fail"
        assert "Look at this" in await watch.subjects(ALICE, SpecialUse.INBOX)
        # Somebody who only says that he is Carol is nobody's friend.
        await watch.know(Address("dave", "unproven.test"))
        await watch.receive("dave@unproven.test", subject="And this", body=JUNK_BODY)
        assert "And this" in await watch.subjects(ALICE, SpecialUse.JUNK)

    watched(tmp_path, work)


def test_a_sender_whose_mail_was_junk_each_time_is_junk(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        for number in range(suspicion.CALLED_JUNK):
            await watch.receive("news@shop.test", subject=f"News {number}")
            await watch.call(ALICE, Kind.JUNK)
        reply = await watch.receive("offers@shop.test", subject="Once more")
        assert (await watch.verdicts(reply))["reputation"][0] == "fail"
        assert "Once more" in await watch.subjects(ALICE, SpecialUse.JUNK)
        # A stranger who only calls himself so is not he, and does not spoil his name either.
        reply = await watch.receive("news@far.test", subject="Lunch")
        assert "reputation" not in await watch.verdicts(reply)

    watched(tmp_path, work)


def test_nobody_spoils_the_name_of_another(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        elsewhere = replace(STRANGER, ip="198.51.100.9")
        octets = b"From: news@shop.test\r\nDate: Sun, 15 Jun 2025 15:06:40 +0000\r\nMessage-ID: <%d@x>\r\n\r\nx\r\n"
        office = watch.office
        account_id = office.accounts[ALICE]
        for number in range(suspicion.CALLED_JUNK + 1):
            replies = await office.hand_in(office.reception, elsewhere, "x@evil.test", [ALICE], octets % number)
            assert replies[-1].is_positive
        # The policy has put them into Junk; the account says the same by a keyword.
        keys = [row[0] for row in await office.db.read(lambda tx: tx.all("SELECT message_key FROM messages"))]
        await office.db.write(lambda tx: junk.say(tx, account_id, keys, Kind.JUNK))
        await watch.call(ALICE, Kind.JUNK)
        assert (await office.db.read(lambda tx: junk.corpus(tx, account_id))).junk == suspicion.CALLED_JUNK + 1
        assert await watch.office.db.read(lambda tx: junk.origins(tx, account_id, 10)) == []

    watched(tmp_path, work)


def test_of_a_provider_for_everybody_each_address_has_a_reputation_of_its_own() -> None:
    assert suspicion.origin_of(Address("spammer", "gmail.com")) == "spammer@gmail.com"
    assert suspicion.origin_of(Address("news", "mail.shop.co.uk")) == "shop.co.uk"


def test_a_sender_whose_mail_was_good_each_time_is_not_junk_for_his_words(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        await teach(watch)
        for number in range(suspicion.CALLED_GOOD):
            await watch.receive("news@shop.test", subject=f"News {number}", body=GOOD_BODY)
        await watch.call(ALICE, Kind.GOOD)
        reply = await watch.receive("news@shop.test", subject="Pharmacy", body=JUNK_BODY)
        verdicts = await watch.verdicts(reply)
        assert (verdicts["reputation"][0], verdicts["bayes"][0]) == ("pass", "fail")
        assert "Pharmacy" in await watch.subjects(ALICE, SpecialUse.INBOX)

    watched(tmp_path, work)


# --- acquaintances --------------------------------------------------------------------------------------


def test_whom_one_hears_from_is_noted_once_an_hour_where_dmarc_proves_him(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        account_id = watch.office.accounts[ALICE]

        async def heard() -> list[tuple[str, str, int]]:
            rows = await watch.office.db.read(lambda tx: correspondents.latest(tx, account_id, 10))
            return [(str(each.address), each.name, each.heard) for each in rows]

        await watch.receive("Carol Jones <carol@far.test>")
        await watch.receive("Carol Jones <carol@far.test>")
        await watch.receive("Dave <dave@unproven.test>")
        assert await heard() == [("carol@far.test", "Carol Jones", 1)]
        watch.office.clock.pass_by(HOUR)
        await watch.receive("Carol Jones <carol@far.test>")
        assert await heard() == [("carol@far.test", "Carol Jones", 2)]

    watched(tmp_path, work)


def test_whose_message_is_junk_is_not_heard_and_is_forgotten(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        account_id = watch.office.accounts[ALICE]
        await watch.receive("news@shop.test")
        assert await watch.office.db.read(lambda tx: correspondents.find(tx, account_id, Address("news", "shop.test")))
        for _ in range(suspicion.CALLED_JUNK):
            await watch.call(ALICE, Kind.JUNK)
            watch.office.clock.pass_by(2 * HOUR)
            await watch.receive("news@shop.test")
        await watch.call(ALICE, Kind.JUNK)
        watch.office.clock.pass_by(2 * HOUR)
        await watch.receive("news@shop.test")
        assert await watch.office.db.read(lambda tx: correspondents.latest(tx, account_id, 10)) == []

    watched(tmp_path, work)


def test_who_becomes_familiar_elsewhere_is_known_here_after_a_hint_or_a_while(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        office = watch.office
        await watch.receive()
        account_id = office.accounts[ALICE]
        now = office.clock.now
        for domain in ("hinted.test", "waited.test"):
            person = Address("carol", domain)
            await office.db.write(lambda tx, who=person: correspondents.note(tx, account_id, who, "", now, wrote=True))
            reply = await watch.receive(f"x@{domain[:-6]}s.test", mail_from="x@far.test")
            assert await watch.verdicts(reply) == {}
            if domain == "hinted.test":
                office.hints.publish(learnt_topic(account_id))
            else:
                office.clock.pass_by(acquaintance.LOOK)
            reply = await watch.receive(f"x@{domain[:-6]}s.test", mail_from="x@far.test")
            assert domain in (await watch.verdicts(reply))["lookalike"][1]

    watched(tmp_path, work)


def test_what_is_at_hand_is_bounded_and_nothing_listens_for_what_was_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acquaintance, "_ACCOUNTS_KEPT", 3)
    monkeypatch.setattr(acquaintance, "_ADDRESSES_KEPT", 3)

    async def work(watch: Watch) -> None:
        for number in range(8):
            await watch.office.add(f"user{number}@posthouse.test")
            await watch.receive(rcpts=[f"user{number}@posthouse.test"])
        assert len(watch.acquaintances._known) == 3
        assert len(watch.acquaintances._ways) <= 3
        assert len(watch.office.hints._subscribers) == 3
        watch.acquaintances.close()
        assert watch.office.hints._subscribers == {}

    watched(tmp_path, work)


def test_people_at_hand_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acquaintance, "_PEOPLE_KEPT", 5)
    monkeypatch.setattr(acquaintance, "_FAMILIAR", 3)

    async def work(watch: Watch) -> None:
        for account in (ALICE, BOB):
            for number in range(5):
                await watch.know(Address(f"p{number}", "far.test"), account=account)
            await watch.receive(rcpts=[account])
        kept = watch.acquaintances._known
        assert sum(knowledge.people for knowledge in kept.values()) <= 5
        assert list(kept) == [watch.office.accounts[BOB]]

    watched(tmp_path, work)


def test_a_message_for_many_is_looked_at_by_the_first_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acquaintance, "ACCOUNTS", 4)

    async def work(watch: Watch) -> None:
        rcpts = [f"user{number}@posthouse.test" for number in range(6)]
        for rcpt in rcpts:
            await watch.office.add(rcpt)
        reply = await watch.receive("it@p0sthouse.test", rcpts)
        warned = [await watch.warning(reply, rcpt) != "" for rcpt in rcpts]
        assert warned == [True] * 4 + [False] * 2

    watched(tmp_path, work)


def test_a_large_message_is_looked_at_where_it_lies(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        bob = watch.office.accounts[BOB]
        await watch.office.db.write(lambda tx: directory.set_name(tx, bob, "Robert Miller"))
        filler = "\r\n".join(["and so on and on it goes with words of no meaning"] * 12_000)
        reply = await watch.receive(
            "Robert Miller <boss@strange.test>", subject="Payment", fields="Reply-To: ceo@gmail.com\r\n",
            body=f"Urgent: make a payment to the new bank account.\r\n{filler}",
        )
        assert "may be an attempt to get at money" in await watch.warning(reply)

    watched(tmp_path, work)


def test_a_store_that_cannot_be_asked_leaves_no_opinion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(watch: Watch) -> None:
        async def broken(*args: object) -> None:
            raise StoreFault(Fault.BUSY, "too much to do")

        monkeypatch.setattr(watch.acquaintances, "of", broken)
        reply = await watch.receive("it@p0sthouse.test")
        assert await watch.verdicts(reply) == {}

    watched(tmp_path, work)


def test_a_submission_makes_its_recipients_familiar(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        fields = b'To: "Carol Jones" <carol@far.test>, x@y.test\r\nCc: Dave <dave@far.test>\r\n\r\n'
        header = Message.parse(fields).header
        rcpts = [RcptTo(Address("carol", "far.test")), RcptTo(Address("dave", "far.test"))]
        account_id = watch.office.accounts[ALICE]
        unit = acquaintance.written(account_id, rcpts, header, BEGIN)
        assert unit is not None
        await watch.office.db.write(unit)
        found = await watch.office.db.read(lambda tx: correspondents.familiar(tx, account_id, 10))
        assert {(str(each.address), each.name) for each in found} == {
            ("carol@far.test", "Carol Jones"), ("dave@far.test", "Dave")
        }
        many = [RcptTo(Address(f"u{number}", "far.test")) for number in range(51)]
        assert acquaintance.written(account_id, many, header, BEGIN) is None

    watched(tmp_path, work)


def test_an_opinion_in_the_letter_files_one_copy_into_junk_and_remembers(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        remembered: list[int] = []

        class Mood:
            async def opinions(self, *args: object) -> dict[int, Opinion]:
                also = lambda tx: remembered.append(1)  # noqa: E731
                return {office.accounts[BOB]: Opinion(junk="it is boring", warning="is “boring”", also=also)}

        office.reception = Reception(office.acceptance, inspection=Inspection(suspicion=Mood()))
        await office.receive("carol@far.test", [ALICE, BOB])
        assert len(await office.mailbox(ALICE)) == 1
        assert await office.mailbox(BOB) == []
        (filed,) = await office.mailbox(BOB, SpecialUse.JUNK)
        assert Message.parse(filed.prefix + b"\r\n").header.text("posthouse-warning") == 'This message is "boring".'
        assert filed.prefix.isascii()
        assert remembered

    in_office(tmp_path, work)


def test_a_long_warning_is_folded_and_cut() -> None:
    opinion = Opinion(warning="looks odd; " * 500)
    lines = opinion.fields.split(b"\r\n")
    assert all(len(line) <= 78 for line in lines)
    assert len(opinion.fields) < 1_200


def test_nothing_is_learnt_of_the_learner_of_an_account_that_is_gone(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        await watch.receive()
        account_id = watch.office.accounts[ALICE]
        (row,) = await watch.office.db.read(lambda tx: tx.all("SELECT message_key FROM messages"))
        await watch.office.db.write(lambda tx: directory.remove_account(tx, account_id))
        await watch.office.db.write(lambda tx: junk.say(tx, account_id, [row[0]], Kind.JUNK))
        assert not await watch.training.learn()
        assert await watch.office.db.read(lambda tx: tx.all("SELECT * FROM junk_lessons")) == []
        assert await watch.office.db.read(lambda tx: learners.find(tx, account_id)) == learners.Learner()

    watched(tmp_path, work)


def test_training_waits_for_a_hint(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        await watch.receive("news@shop.test")
        running = asyncio.create_task(watch.training.run())
        account_id = watch.office.accounts[ALICE]
        (row,) = await watch.office.db.read(lambda tx: tx.all("SELECT message_key FROM messages"))
        await asyncio.sleep(0.05)
        await watch.office.db.write(lambda tx: junk.say(tx, account_id, [row[0]], Kind.JUNK))
        watch.office.hints.publish(junk.LESSONS)
        async with asyncio.timeout(10):
            while (await watch.office.db.read(lambda tx: junk.corpus(tx, account_id))).junk == 0:
                await asyncio.sleep(0.01)
        running.cancel()

    watched(tmp_path, work)


def test_a_vocabulary_that_is_too_large_is_tidied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(junk, "VOCABULARY", 40)
    monkeypatch.setattr(junk, "_FORGOTTEN", 15)
    monkeypatch.setattr(junk, "PIECE", 4)

    async def work(watch: Watch) -> None:
        for number in range(4):
            body = " ".join(f"word{number}x{each}" for each in range(20))
            await watch.receive("news@shop.test", body=body)
        await watch.call(ALICE, Kind.JUNK)
        account_id = watch.office.accounts[ALICE]
        assert (await watch.office.db.read(lambda tx: learners.find(tx, account_id))).tokens > 40
        await watch.training._tidy()
        learner = await watch.office.db.read(lambda tx: learners.find(tx, account_id))
        rows = await watch.office.db.read(lambda tx: tx.all("SELECT token FROM junk_tokens"))
        assert 20 <= learner.tokens == len(rows) <= 40

    watched(tmp_path, work)


def test_lessons_wait_no_longer_than_their_messages(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        await watch.receive("news@shop.test")
        await watch.call(ALICE, Kind.JUNK)
        account_id = watch.office.accounts[ALICE]

        def unit(tx: object) -> None:
            spam = mailboxes.special(tx, account_id, SpecialUse.JUNK)  # type: ignore[arg-type]
            assert spam is not None
            messages.expunge(tx, account_id, spam.mailbox_id, flagged=0)  # type: ignore[arg-type]

        await watch.office.db.write(unit)
        watch.office.clock.pass_by(DAY)
        await watch.training._tidy()
        assert await watch.office.db.read(lambda tx: tx.all("SELECT * FROM junk_lessons")) == []

    watched(tmp_path, work)
