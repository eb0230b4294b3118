"""What is ours leaves signed: what accounts send, for readers here and elsewhere, and every notification."""

import asyncio
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from posthouse.checks.dkim import SigningKey, signing
from posthouse.mail.address import Address
from posthouse.mail.envelope import Envelope, Notify, RcptTo
from posthouse.mail.journey import Stamp, Step
from posthouse.mail.message import Message
from posthouse.mail.reply import Reply
from posthouse.route.acceptance import Acceptance
from posthouse.route.bounce import Action, Notice, Original
from posthouse.route.letter import Ready
from posthouse.route.signing import SIGNERS
from posthouse.store import signing as keyring
from posthouse.store.database import Transaction
from posthouse.store.signing import KeyState
from route.believers import OURS, chain, give_keys, keys, signatures
from route.office import BEGIN, Office, in_office, steps

ALICE, BOB, CAROL = "alice@posthouse.test", "bob@posthouse.test", "carol@far.test"
LETTER = (
    b"From: Alice <alice@posthouse.test>\r\nTo: carol@far.test\r\nSubject: Lunch\r\n"
    b"Date: Sun, 15 Jun 2025 15:06:40 +0000\r\nMessage-ID: <lunch@posthouse.test>\r\n\r\nAt noon?\r\n"
)


async def queued_octets(office: Office) -> bytes:
    """The only message in the queue, as it will be sent."""
    (entry,) = await office.queued()
    return entry.message.prefix + await office.blobs.read(entry.message.blob_id)


def test_what_an_account_sends_leaves_with_a_signature_of_each_key(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        replies = await office.submit(ALICE, [CAROL], LETTER)
        octets = await queued_octets(office)
        assert await signatures(octets) == [(OURS, "pass"), (OURS, "pass")]
        assert octets.endswith(LETTER)
        assert octets.startswith(b"DKIM-Signature: ")
        journey = await office.journey(replies[-1])
        (signed,) = [stamp for stamp in journey.stamps if stamp.step is Step.SIGNED]
        assert signed.facts == {"domain": OURS, "selectors": [key.selector for key in keys(OURS)]}
        assert steps(journey).index(Step.SIGNED) < steps(journey).index(Step.QUEUED)

    in_office(tmp_path, work)


def test_a_reader_here_gets_the_signature_too(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        await office.submit(ALICE, [BOB, CAROL], LETTER)
        (filed,) = await office.mailbox(BOB)
        assert await signatures(filed.prefix + filed.octets) == [(OURS, "pass"), (OURS, "pass")]
        assert filed.size == len(filed.prefix + filed.octets)

    in_office(tmp_path, work)


def test_what_is_added_is_signed_and_what_is_taken_out_is_not(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        bare = b"From: alice@posthouse.test\r\nBcc: bob@posthouse.test\r\nTo: carol@far.test\r\n\r\nHello\r\n"
        await office.submit(ALICE, [CAROL], bare)
        octets = await queued_octets(office)
        assert b"Bcc" not in octets
        assert await signatures(octets) == [(OURS, "pass"), (OURS, "pass")]
        header = Message.parse(octets).header
        for name in ("date", "message-id"):
            assert len(header.all(name)) == 1
            altered = octets.replace(header.all(name)[0].value, b" something else", 1)
            assert {result for _, result in await signatures(altered)} == {"fail"}

    in_office(tmp_path, work)


def test_fields_that_are_not_there_cannot_be_added_later(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        await office.submit(ALICE, [CAROL], LETTER)
        octets = await queued_octets(office)
        for more in (b"Reply-To: mallory@far.test\r\n", b"Subject: Dinner\r\n", b"To: all@far.test\r\n"):
            assert "pass" not in {result for _, result in await signatures(more + octets)}

    in_office(tmp_path, work)


def test_a_large_body_is_signed_where_it_lies(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        large = LETTER + b"A line of some length, again and again.\r\n" * 20_000
        await office.submit(ALICE, [CAROL], large)
        octets = await queued_octets(office)
        assert octets.endswith(large)
        assert await signatures(octets) == [(OURS, "pass"), (OURS, "pass")]

    in_office(tmp_path, work)


def test_without_keys_nothing_is_signed_and_nothing_is_said(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        replies = await office.submit(ALICE, [CAROL], LETTER)
        assert replies[-1].code == 250
        assert b"DKIM-Signature" not in await queued_octets(office)
        assert not {Step.SIGNED, Step.UNSIGNED} & set(steps(await office.journey(replies[-1])))

    in_office(tmp_path, work)


def test_keys_that_are_only_published_or_retired_do_not_sign(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.db.write(lambda tx: keyring.add(tx, keys(OURS), KeyState.PUBLISHED, BEGIN))
        await office.submit(ALICE, [CAROL], LETTER)
        assert b"DKIM-Signature" not in await queued_octets(office)

    in_office(tmp_path, work)


@dataclass
class Hearing:
    """An observer that remembers what failed."""

    failures: list[tuple[str, BaseException]] = field(default_factory=list)

    def happened(self, event: str, queue_id: str, stamps: object) -> None:
        pass

    def failed(self, doing: str, error: BaseException) -> None:
        self.failures.append((doing, error))


def hear(office: Office) -> Hearing:
    heard = Hearing()
    office.acceptance = Acceptance(
        office.db, office.blobs, office.ids, office.hints, office.clock, "mx.posthouse.test", heard
    )
    office.submission = type(office.submission)(office.acceptance)
    return heard


def test_a_broken_key_is_reported_and_the_others_sign(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        heard = hear(office)
        rsa, _ = await give_keys(office)
        spoil = "UPDATE signing_keys SET private = $2 WHERE selector = $1"
        await office.db.write(lambda tx: tx.execute(spoil, rsa.selector, b"no key"))
        await office.submit(ALICE, [CAROL], LETTER)
        assert await signatures(await queued_octets(office)) == [(OURS, "pass")]
        assert [doing for doing, _ in heard.failures] == ["loading a key of posthouse.test"]

    in_office(tmp_path, work)


def test_mail_leaves_unsigned_where_no_key_can_be_used_and_the_journey_says_so(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        heard = hear(office)
        await give_keys(office)
        await office.db.write(lambda tx: tx.execute("UPDATE signing_keys SET private = $1", b"no key"))
        replies = await office.submit(ALICE, [CAROL], LETTER)
        assert replies[-1].code == 250
        (told,) = [s for s in (await office.journey(replies[-1])).stamps if s.step is Step.UNSIGNED]
        assert told.facts == {"domain": OURS, "reason": "Its keys cannot be used"}
        assert len(heard.failures) == 2

    in_office(tmp_path, work)


def test_signing_is_done_beside_the_event_loop_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        at_once: list[int] = []
        threads: set[str] = set()
        inside = threading.Semaphore(0)
        under_way = [0]
        whole = SigningKey.sign_digest

        def slow(key: SigningKey, digest: bytes) -> bytes:
            under_way[0] += 1
            at_once.append(under_way[0])
            threads.add(threading.current_thread().name)
            inside.acquire(timeout=0.02)
            under_way[0] -= 1
            return whole(key, digest)

        monkeypatch.setattr(SigningKey, "sign_digest", slow)
        await asyncio.gather(*(office.submit(ALICE, [CAROL], LETTER) for _ in range(8)))
        assert threading.main_thread().name not in threads
        assert max(at_once) <= SIGNERS
        assert len(at_once) == 16

    in_office(tmp_path, work)


async def notified(office: Office, rcpt: RcptTo, mail_from: str) -> bytes:
    """The notification that a message for bob, delivered at once, brings about."""
    letter = LETTER.replace(b"alice@posthouse.test", b"dave@elsewhere.test")
    await office.receive(mail_from, [rcpt], letter)
    return await queued_octets(office)


def test_a_notification_is_signed_for_the_host_by_the_domain_above_it(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        rcpt = RcptTo(Address.parse(BOB), notify=Notify.SUCCESS)
        octets = await notified(office, rcpt, "dave@elsewhere.test")
        assert b"From: Mail delivery <postmaster@mx.posthouse.test>\r\n" in octets
        assert await signatures(octets) == [(OURS, "pass"), (OURS, "pass")]
        # Bob's own copy is there once, though the unit was run twice.
        assert len(await office.mailbox(BOB)) == 1
        newest = await office.newest_journey()
        assert Step.SIGNED in steps(newest)
        (bounced,) = [s for s in await _stamps(office) if s.step is Step.BOUNCED]
        assert bounced.facts["to"] == "dave@elsewhere.test"

    in_office(tmp_path, work)


async def _stamps(office: Office) -> list[Stamp]:
    from posthouse.store import journeys

    def unit(tx: object) -> list[Stamp]:
        found = [journeys.load(tx, number) for number in journeys.recent(tx)]  # type: ignore[arg-type]
        return [stamp for journey in found if journey is not None for stamp in journey.stamps]

    return await office.db.read(unit)


def test_a_notification_goes_without_a_signature_where_there_are_no_keys(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        rcpt = RcptTo(Address.parse(BOB), notify=Notify.SUCCESS)
        octets = await notified(office, rcpt, "dave@elsewhere.test")
        assert b"DKIM-Signature" not in octets
        assert b"Action: delivered" in octets

    in_office(tmp_path, work)


def test_a_notification_that_turns_out_otherwise_goes_without_a_signature(tmp_path: Path) -> None:
    """Somebody else's result came in between: what was signed is about too many, and the truth goes before."""

    async def work(office: Office) -> None:
        await give_keys(office)
        rcpts = [RcptTo(Address("one", "far.test")), RcptTo(Address("two", "far.test"))]
        notices = [Notice(rcpt, Action.FAILED, Reply(550, "5.1.1", "No such user"), BEGIN) for rcpt in rcpts]
        envelope = Envelope(Address.parse(CAROL), tuple(rcpts))
        original = Original(envelope, "queue-id", "lunch@posthouse.test", "Lunch", BEGIN, LETTER, len(LETTER))
        runs: list[Ready] = []

        def unit(tx: Transaction, *, ready: Ready) -> None:
            runs.append(ready)
            office.acceptance.report(tx, original, notices if len(runs) == 1 else notices[:1], BEGIN, ready)

        await office.acceptance.write(unit)
        octets = await queued_octets(office)
        assert len(runs) == 2
        assert b"one@far.test" in octets
        assert b"two@far.test" not in octets
        assert b"DKIM-Signature" not in octets

    in_office(tmp_path, work)


def test_a_message_of_the_server_itself_is_signed_for_its_author(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        counted: list[str] = []
        envelope = Envelope(Address.parse(ALICE), (RcptTo(Address.parse(CAROL)),))
        reply = await office.acceptance.send(envelope, LETTER, also=(lambda tx: counted.append("once"),))
        assert reply.code == 250
        assert await signatures(await queued_octets(office)) == [(OURS, "pass"), (OURS, "pass")]
        assert counted == ["once"]

    in_office(tmp_path, work)


def test_what_was_signed_elsewhere_is_not_signed_again_when_it_comes_in(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        signed = signing.sign(LETTER, keys(OURS)[:1], BEGIN) + LETTER
        await office.alias("info@posthouse.test", CAROL)
        await office.receive("dave@elsewhere.test", [BOB], signed)
        (filed,) = await office.mailbox(BOB)
        assert (filed.prefix + filed.octets).count(b"DKIM-Signature:") == 1
        assert (await chain(filed.prefix + filed.octets)).result == "none"

    in_office(tmp_path, work)
