"""Whom accounts know, kept at hand within bounds, and out of date for no longer than it may be."""

from dataclasses import replace
from pathlib import Path

import pytest

from posthouse.mail.address import Address
from posthouse.mail.envelope import RcptTo
from posthouse.mail.instant import HOUR
from posthouse.mail.message import Message
from posthouse.mail.verdict import Quarantine
from posthouse.route import acquaintance, suspicion
from posthouse.route.policy import Ruling
from posthouse.store import correspondents, directory
from posthouse.store.junk import Kind
from posthouse.store.learners import learnt_topic
from posthouse.store.mailboxes import SpecialUse
from route.office import BEGIN
from route.watching import ALICE, BOB, Watch, watched


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


def test_where_too_many_live_nobody_is_taken_for_a_colleague(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acquaintance, "_PEOPLE", 1)

    async def work(watch: Watch) -> None:
        bob = watch.office.accounts[BOB]
        await watch.office.db.write(lambda tx: directory.set_name(tx, bob, "Robert Miller"))
        reply = await watch.receive("Robert Miller <robert.miller77@gmail.com>")
        assert await watch.warning(reply) == ""

    watched(tmp_path, work)


def test_who_was_heard_is_remembered_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acquaintance, "_HEARD_KEPT", 5)

    async def work(watch: Watch) -> None:
        for number in range(12):
            await watch.receive(f"friend{number}@far.test")
        assert 0 < len(watch.acquaintances._heard) <= 5

    watched(tmp_path, work)


def test_what_the_policy_puts_into_junk_makes_nobody_known(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        class Severe:
            def judge(self, *args: object) -> Ruling:
                return Ruling(Quarantine("test", "it is Tuesday"))

        inspection = watch.office.reception._inspection
        watch.office.reception._inspection = replace(inspection, policy=Severe())  # type: ignore[arg-type]
        await watch.receive("carol@far.test")
        assert len(await watch.office.mailbox(ALICE, SpecialUse.JUNK)) == 1
        assert await watch.office.db.read(lambda tx: tx.all("SELECT * FROM correspondents")) == []

    watched(tmp_path, work)
