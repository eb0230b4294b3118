"""What accounts learn from what they call junk, beside the mail."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from posthouse.mail.instant import DAY
from posthouse.mail.message import Message
from posthouse.route import suspicion, training
from posthouse.route.observer import Unobserved
from posthouse.route.training import Training
from posthouse.store import directory, junk, learners, mailboxes, messages
from posthouse.store.database import Fault, StoreFault
from posthouse.store.junk import Kind
from posthouse.store.mailboxes import SpecialUse
from route.office import STRANGER
from route.watching import ALICE, PLAIN, Watch, watched


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


def test_an_enormous_message_is_no_lesson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LOOKED_AT", 1_000)

    async def work(watch: Watch) -> None:
        await watch.receive("news@shop.test", body="word " * 1_000)
        await watch.call(ALICE, Kind.JUNK)
        assert await watch.office.db.read(lambda tx: tx.all("SELECT * FROM junk_lessons")) == []
        assert await watch.office.db.read(lambda tx: tx.all("SELECT * FROM junk_tokens")) == []

    watched(tmp_path, work)


def test_a_message_that_cannot_be_read_is_no_lesson_and_is_told_of(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        failures: list[str] = []

        class Told(Unobserved):
            def failed(self, doing: str, error: BaseException) -> None:
                failures.append(doing)

        office = watch.office
        watch.training = Training(office.db, office.blobs, office.hints, office.clock, Told())
        await watch.receive("news@shop.test")
        await office.db.write(lambda tx: tx.execute("UPDATE blobs SET octets = $1", b"something else"))
        await watch.call(ALICE, Kind.JUNK)
        assert failures == ["learning from a message"]
        assert await office.db.read(lambda tx: tx.all("SELECT * FROM junk_lessons")) == []

    watched(tmp_path, work)


def test_tokens_that_no_database_takes_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspicion.bayes, "tokens", lambda message: frozenset(("b", "half\ud800", "nul\0", "a")))
    assert suspicion.lexicon(Message.parse(PLAIN)) == ("a", "b")


def test_a_store_that_is_full_for_a_while_makes_lessons_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LOOK_SECONDS", 0.02)

    async def work(watch: Watch) -> None:
        office = watch.office
        failures: list[str] = []

        class Told(Unobserved):
            def failed(self, doing: str, error: BaseException) -> None:
                failures.append(doing)

        class Full:
            """The office's store, that takes nothing at first."""

            def __init__(self) -> None:
                self.refusals = 3

            async def read(self, unit: Callable[..., object], **more: bool) -> object:
                return await office.db.read(unit, **more)

            async def write(self, unit: Callable[..., object], **more: bool) -> object:
                if self.refusals:
                    self.refusals -= 1
                    raise StoreFault(Fault.FULL, "the disk is full")
                return await office.db.write(unit, **more)

        await watch.receive("news@shop.test")
        account_id = office.accounts[ALICE]
        (row,) = await office.db.read(lambda tx: tx.all("SELECT message_key FROM messages"))
        await office.db.write(lambda tx: junk.say(tx, account_id, [row[0]], Kind.JUNK))
        running = asyncio.create_task(
            Training(Full(), office.blobs, office.hints, office.clock, Told()).run()  # type: ignore[arg-type]
        )
        async with asyncio.timeout(10):
            while (await office.db.read(lambda tx: junk.corpus(tx, account_id))).junk == 0:
                await asyncio.sleep(0.01)
        running.cancel()
        assert failures == ["learning"] * 3

    watched(tmp_path, work)
