"""The desk for our own accounts: whose name they may write, what is added and what is taken out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from posthouse.mail.address import Address
from posthouse.mail.envelope import Envelope, Notify, RcptTo
from posthouse.mail.headers import parse_header
from posthouse.mail.journey import Step
from posthouse.route.submission import Submission, SubmissionSettings
from posthouse.store import correspondents
from posthouse.store.blobs import INLINE_LIMIT
from posthouse.store.database import Transaction
from posthouse.store.directory import remove_account, set_suspended
from route.office import STRANGER, Office, codes, in_office, steps

LETTER = (
    b"From: Alice <alice@posthouse.test>\r\nTo: carol@far.test\r\nSubject: Lunch\r\n"
    b"Date: Sun, 15 Jun 2025 15:06:40 +0000\r\nMessage-ID: <lunch@posthouse.test>\r\n\r\nAt noon?\r\n"
)
ALICE = "alice@posthouse.test"


def test_mail_goes_to_the_queue_and_to_accounts_here_in_one_commit(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        woken: list[str] = []
        office.hints.subscribe("queue", lambda: woken.append("queue"))
        asked = RcptTo(Address.parse("carol@far.test"), "rfc822;carol@far.test", Notify.SUCCESS)
        replies = await office.submit(ALICE, [asked, "bob@posthouse.test"], LETTER, envid="id1")
        assert replies[-1].code == 250
        (entry,) = await office.queued()
        assert entry.deliveries[0].rcpt == asked
        assert entry.deliveries[0].domain == "far.test"
        assert entry.message.envelope.envid == "id1"
        assert str(entry.message.envelope.mail_from) == ALICE
        assert await office.blobs.read(entry.message.blob_id) == LETTER
        (filed,) = await office.mailbox("bob@posthouse.test")
        assert filed.octets == LETTER
        assert filed.prefix.endswith(entry.message.prefix)
        assert woken == ["queue"]

    in_office(tmp_path, work)


def test_nothing_is_taken_without_a_login(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        replies = await office.hand_in(office.submission, STRANGER, ALICE, ["bob@posthouse.test"], LETTER)
        assert codes(replies) == [(530, "5.7.0")]

    in_office(tmp_path, work)


def test_the_reverse_path_belongs_to_the_account(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.alias("sales@posthouse.test", ALICE)
        for mail_from, code in (
            (ALICE, 250), ("alice+tag@posthouse.test", 250), ("sales@posthouse.test", 250),
            ("bob@posthouse.test", 553), ("carol@far.test", 553), ("nobody@posthouse.test", 553),
        ):
            replies = await office.submit(ALICE, [], LETTER, mail_from)
            assert replies[0].code == code, mail_from

    in_office(tmp_path, work)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"From: alice@posthouse.test\r\n", 250),
        (b"From: Alice <ALICE@Posthouse.Test>\r\n", 250),
        (b"From: bob@posthouse.test\r\n", 550),
        (b"From: alice@posthouse.test\r\nFrom: bob@posthouse.test\r\n", 550),
        (b"From: alice@posthouse.test, bob@posthouse.test\r\n", 550),
        (b"From: alice@posthouse.test\r\nSender: bob@posthouse.test\r\n", 550),
        (b"From: alice@posthouse.test\r\nSender: nobody\r\n", 550),
        (b"From: alice@posthouse.test\r\nSender: alice+x@posthouse.test\r\n", 250),
        (b"Resent-From: bob@posthouse.test\r\nFrom: alice@posthouse.test\r\n", 550),
        (b"Resent-From: alice@posthouse.test\r\nFrom: alice@posthouse.test\r\n", 250),
        (b'From: "alice@posthouse.test" <bob@posthouse.test>\r\n', 550),
        (b"From: <alice@posthouse.test>bob@posthouse.test\r\n", 550),
        (b"From : alice@posthouse.test\r\n", 550),
        (b"Subject: nobody wrote this\r\n", 550),
    ],
)
def test_the_author_belongs_to_the_account(tmp_path: Path, header: bytes, expected: int) -> None:
    async def work(office: Office) -> None:
        replies = await office.submit(ALICE, ["carol@far.test"], header + b"\r\nhello\r\n")
        assert replies[-1].code == expected
        assert len(await office.queued()) == (expected == 250)

    in_office(tmp_path, work)


def test_unknown_and_full_recipients_of_ours_are_refused_at_once(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.add("full@posthouse.test", quota=10)
        replies = await office.submit(ALICE, ["nobody@posthouse.test", "full@posthouse.test"], LETTER, size=100)
        assert codes(replies)[1:] == [(550, "5.1.1"), (452, "4.2.2")]

    in_office(tmp_path, work)


def test_a_missing_date_and_message_id_are_added_for_every_reader(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        bare = b"From: alice@posthouse.test\r\nSubject: bare\r\n\r\nhello\r\n"
        replies = await office.submit(ALICE, ["bob@posthouse.test", "carol@far.test"], bare)
        queue_id = replies[-1].text.rpartition(" ")[2]
        (filed,) = await office.mailbox("bob@posthouse.test")
        header = parse_header(filed.prefix + filed.octets)
        assert header.text("date") == "Sun, 15 Jun 2025 15:06:40 +0000"
        assert header.text("message-id") == f"<{queue_id}@mx.posthouse.test>"
        assert filed.message_id == f"{queue_id}@mx.posthouse.test"
        assert b"Sun, 15 Jun 2025" in filed.envelope
        assert queue_id.encode() in filed.envelope
        assert filed.octets == bare
        (entry,) = await office.queued()
        sent = parse_header(entry.message.prefix + bare)
        assert sent.text("message-id") == header.text("message-id")
        journey = await office.journey(replies[-1])
        assert journey.message_id == filed.message_id
        added = [stamp.facts["field"] for stamp in journey.stamps if stamp.step is Step.ADDED]
        assert added == ["added the missing Date", "added the missing Message-ID"]

    in_office(tmp_path, work)


def test_present_date_and_message_id_are_left_alone(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        replies = await office.submit(ALICE, ["bob@posthouse.test"], LETTER)
        (filed,) = await office.mailbox("bob@posthouse.test")
        assert len(parse_header(filed.prefix + filed.octets).all("message-id")) == 1
        assert filed.message_id == "lunch@posthouse.test"
        assert Step.ADDED not in steps(await office.journey(replies[-1]))

    in_office(tmp_path, work)


@pytest.mark.parametrize("large", [False, True])
def test_blind_copies_stay_blind(tmp_path: Path, large: bool) -> None:
    async def work(office: Office) -> None:
        secret = b"Bcc: Bob <bob@posthouse.test>,\r\n dave@far.test\r\n"
        body = b"hello\r\n" + (b"x" * 70 + b"\r\n") * (INLINE_LIMIT // 60 if large else 1)
        start = b"From: alice@posthouse.test\r\nTo: carol@far.test\r\n"
        octets = secret + start + b"BCC: \r\nResent-Bcc: eve@far.test\r\nSubject: x\r\n" + secret + b"\r\n" + body
        replies = await office.submit(ALICE, ["bob@posthouse.test", "carol@far.test"], octets)
        # Two Bcc fields are one too many for a header that is to be believed.
        assert replies[-1].code == 550
        octets = octets.replace(b"BCC: \r\n", b"").replace(secret, b"", 1)
        replies = await office.submit(ALICE, ["bob@posthouse.test", "carol@far.test"], octets)
        assert replies[-1].code == 250
        (filed,) = await office.mailbox("bob@posthouse.test")
        assert filed.octets == start + b"Subject: x\r\n\r\n" + body
        assert b"dave" not in filed.prefix + filed.envelope

    in_office(tmp_path, work)


def test_the_clients_address_is_left_out_unless_configured(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.submit(ALICE, ["bob@posthouse.test"], LETTER)
        office.submission = Submission(office.acceptance, SubmissionSettings(show_client=True))
        await office.submit(ALICE, ["bob@posthouse.test"], LETTER)
        first, second = await office.mailbox("bob@posthouse.test")
        assert b"192.0.2.9" not in first.prefix
        assert b"laptop" not in first.prefix
        assert b"192.0.2.9" in second.prefix

    in_office(tmp_path, work)


RECEIPT = (
    b"From: alice@posthouse.test\r\nTo: carol@far.test\r\nSubject: Read: Lunch\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/report; report-type=disposition-notification; boundary="b"\r\n\r\n'
    b"--b\r\n\r\nread\r\n--b\r\nContent-Type: message/disposition-notification\r\n\r\n"
    b"Disposition: manual-action/MDN-sent-manually; displayed\r\n\r\n--b--\r\n"
)


def test_only_receipts_come_from_the_null_sender(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        replies = await office.submit(ALICE, ["carol@far.test"], LETTER, None)
        assert codes(replies)[-1] == (550, "5.7.1")
        replies = await office.submit(ALICE, ["carol@far.test"], RECEIPT, None)
        assert replies[-1].code == 250
        (entry,) = await office.queued()
        assert entry.message.envelope.mail_from is None
        spoofed = RECEIPT.replace(b"From: alice", b"From: bob")
        assert (await office.submit(ALICE, ["carol@far.test"], spoofed, None))[-1].code == 550

    in_office(tmp_path, work)


def test_limits_hold_for_our_own_as_well(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        office.submission = Submission(office.acceptance, SubmissionSettings(size_limit=1000))
        assert codes(await office.submit(ALICE, [], LETTER, size=1001)) == [(552, "5.3.4")]
        hop = b"Received: from a by b; Sun, 15 Jun 2025 15:06:40 +0000\r\n"
        replies = await office.submit(ALICE, ["carol@far.test"], hop * 51 + LETTER)
        assert codes(replies)[-1] == (554, "5.4.6")
        assert await office.queued() == []

    in_office(tmp_path, work)


def test_an_account_may_send_itself_what_it_got(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        again = b"Delivered-To: alice@posthouse.test\r\n" + LETTER
        assert (await office.submit(ALICE, [ALICE], again))[-1].code == 250

    in_office(tmp_path, work)


@pytest.mark.parametrize("gone", [lambda tx, number: set_suspended(tx, number, True), remove_account])
def test_an_account_that_is_closed_while_it_is_logged_in_sends_no_more(
    tmp_path: Path, gone: Callable[[Transaction, int], None]
) -> None:
    async def work(office: Office) -> None:
        before = await office.submit(ALICE, ["carol@far.test"], LETTER)
        assert before[-1].code == 250
        account_id = office.accounts[ALICE]
        content = await office.blobs.content(LETTER)
        envelope = Envelope(Address.parse(ALICE), (RcptTo(Address.parse("carol@far.test")),))
        await office.db.write(lambda tx: gone(tx, account_id))
        assert codes(await office.submit(ALICE, ["carol@far.test"], LETTER)) == [(550, "5.7.1")]
        # Nor does what had got as far as DATA.
        reply = await office.submission.data(office.peer(ALICE), envelope, content, ())
        assert (reply.code, reply.enhanced) == (550, "5.7.1")
        assert len(await office.queued()) == 1

    in_office(tmp_path, work)


def test_what_is_for_a_literal_of_ours_is_never_queued(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        office.acceptance._own_ips = {"192.0.2.25"}
        rcpts = ["postmaster@[192.0.2.25]", "bob@[192.0.2.25]", "nobody@[192.0.2.25]", "carol@[192.0.2.26]"]
        replies = await office.submit(ALICE, rcpts, LETTER)
        assert codes(replies)[1:] == [(250, "2.1.5"), (250, "2.1.5"), (550, "5.1.1"), (250, "2.1.5"), (250, "2.0.0")]
        assert len(await office.mailbox("bob@posthouse.test")) == 1
        assert await office.waiting_for() == ["carol@[192.0.2.26]"]

    in_office(tmp_path, work)


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ("", ["carol@far.test", "dave@far.test"]),
        ("Auto-Submitted: no\r\n", ["carol@far.test", "dave@far.test"]),
        ("Auto-Submitted: auto-replied\r\n", []),
    ],
)
def test_whom_an_account_writes_to_is_remembered(fields: str, known: list[str], tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        octets = f"From: {ALICE}\r\nTo: Carol <carol@far.test>\r\n{fields}\r\nHello\r\n".encode()
        replies = await office.submit(ALICE, ["carol@far.test", "dave@far.test"], octets)
        assert replies[-1].is_positive
        account_id = office.accounts[ALICE]
        found = await office.db.read(lambda tx: correspondents.familiar(tx, account_id, 10))
        assert sorted(str(each.address) for each in found) == known

    in_office(tmp_path, work)


def test_a_receipt_makes_nobody_familiar(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        octets = (
            f"From: {ALICE}\r\nTo: spy@far.test\r\nMIME-Version: 1.0\r\n"
            "Content-Type: multipart/report; report-type=disposition-notification; boundary=x\r\n\r\n--x--\r\n"
        ).encode()
        replies = await office.submit(ALICE, ["spy@far.test"], octets, mail_from=None)
        assert replies[-1].is_positive
        assert await office.db.read(lambda tx: tx.all("SELECT * FROM correspondents")) == []

    in_office(tmp_path, work)
