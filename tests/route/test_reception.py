"""Port 25's desk: who is taken, who is not, what is refused at the end of data, and what one commit holds."""

from pathlib import Path

import pytest

from posthouse.mail.address import Address, AddressError, parse_path
from posthouse.mail.envelope import Envelope, RcptTo
from posthouse.mail.journey import Step
from posthouse.mail.reply import Reply
from posthouse.route.reception import Reception, ReceptionSettings
from posthouse.store.blobs import INLINE_LIMIT, Content
from posthouse.store.database import Fault, StoreFault
from posthouse.store.directory import remove_account
from route.office import BEGIN, LETTER, STRANGER, Office, codes, in_office, steps

TAKEN = (250, "2.1.5")


def test_a_letter_for_an_account_is_in_its_inbox_when_250_is_said(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        woken: list[str] = []
        office.hints.subscribe(f"account:{office.accounts['alice@posthouse.test']}", lambda: woken.append("alice"))
        replies = await office.receive("carol@far.test", ["alice@posthouse.test"])
        assert codes(replies) == [(250, "2.1.0"), TAKEN, (250, "2.0.0")]
        (filed,) = await office.mailbox("alice@posthouse.test")
        assert filed.octets == LETTER
        lines = filed.prefix.decode().split("\r\n")
        assert lines[0] == "Return-Path: <carol@far.test>"
        assert lines[1] == "Delivered-To: alice@posthouse.test"
        assert lines[2].startswith("Received: from mx.far.test")
        assert "for <alice@posthouse.test>" in filed.prefix.decode()
        assert filed.size == len(filed.prefix) + len(LETTER)
        assert filed.message_id == "lunch@far.test"
        assert woken == ["alice"]
        assert await office.queued() == []

    in_office(tmp_path, work)


def test_the_journey_tells_every_step(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        replies = await office.receive("carol@far.test", ["alice@posthouse.test"])
        journey = await office.journey(replies[-1])
        assert journey.message_id == "lunch@far.test"
        assert steps(journey) == [
            Step.CONNECTED, Step.ENVELOPE, Step.RECIPIENT, Step.RECEIVED, Step.DECISION, Step.DELIVERED, Step.ACCEPTED,
        ]  # fmt: skip
        facts = {stamp.step: stamp.facts for stamp in journey.stamps}
        assert facts[Step.ENVELOPE]["mail_from"] == "carol@far.test"
        assert facts[Step.RECEIVED]["header_from"] == "carol@far.test"
        assert facts[Step.RECEIVED]["subject"] == "Lunch"
        assert facts[Step.DELIVERED]["mailbox"] == "INBOX"
        assert facts[Step.DELIVERED]["uid"] == 1
        assert all(stamp.at == BEGIN for stamp in journey.stamps)

    in_office(tmp_path, work)


# --- recipients -----------------------------------------------------------------------------------------


def test_unknown_full_and_foreign_recipients_have_their_replies(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.add("full@posthouse.test", quota=10)
        await office.receive("carol@far.test", ["full@posthouse.test"])
        wanted = ["nobody@posthouse.test", "full@posthouse.test", "dave@far.test", "alice@posthouse.test"]
        replies = await office.receive("carol@far.test", wanted, size=1000)
        assert codes(replies)[1:5] == [(550, "5.1.1"), (452, "4.2.2"), (550, "5.7.1"), TAKEN]
        assert len(await office.mailbox("alice@posthouse.test")) == 1

    in_office(tmp_path, work)


def test_a_declared_size_beyond_the_quota_is_refused_at_rcpt(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.add("small@posthouse.test", quota=5000)
        replies = await office.receive("carol@far.test", ["small@posthouse.test"], size=6000)
        assert codes(replies)[1:] == [(452, "4.2.2")]
        replies = await office.receive("carol@far.test", ["small@posthouse.test"], LETTER, size=1000)
        assert codes(replies)[1:] == [TAKEN, (250, "2.0.0")]

    in_office(tmp_path, work)


def test_the_null_sender_may_write_to_several(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        replies = await office.receive(None, ["alice@posthouse.test", "bob@posthouse.test"])
        assert replies[-1].code == 250
        for address in ("alice@posthouse.test", "bob@posthouse.test"):
            (filed,) = await office.mailbox(address)
            assert filed.prefix.startswith(b"Return-Path: <>\r\nDelivered-To: " + address.encode() + b"\r\n")
            # RFC 5321 §7.6: with several recipients, none of them is told of the others.
            assert b"for <" not in filed.prefix

    in_office(tmp_path, work)


def test_postmaster_is_always_taken(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        bare = RcptTo(Address("postmaster", ""))
        replies = await office.receive("carol@far.test", [bare, "Postmaster@posthouse.test"])
        assert codes(replies)[1:] == [TAKEN, TAKEN, (250, "2.0.0")]
        assert len(await office.mailbox("alice@posthouse.test")) == 1

    in_office(tmp_path, work)


@pytest.mark.parametrize("ip", ["192.0.2.25", "2001:db8::25"])
def test_an_address_at_a_literal_of_ours_is_one_of_our_first_domain(tmp_path: Path, ip: str) -> None:
    """RFC 5321 §4.5.1, §4.1.3."""
    literal = f"[ipv6:{ip}]" if ":" in ip else f"[{ip}]"

    async def work(office: Office) -> None:
        office.acceptance._own_ips = {ip}
        for name, code in (
            ("postmaster", TAKEN), ("PostMaster", TAKEN), ("bob", TAKEN), ("bob+x", TAKEN), ("carol", (550, "5.1.1")),
            ("carol%far.test", (550, "5.1.1")),
        ):  # fmt: skip
            replies = await office.receive("carol@far.test", [f"{name}@{literal}"])
            assert codes(replies)[1] == code
        (words,) = [reply.text for reply in replies[1:]]
        assert literal in words
        assert "taken" not in words
        first, second = await office.mailbox("alice@posthouse.test")
        assert f"Delivered-To: postmaster@{literal}\r\n".encode() in first.prefix
        assert f"for <PostMaster@{literal}>".encode() in second.prefix
        assert len(await office.mailbox("bob@posthouse.test")) == 2
        assert await office.queued() == []
        for stranger in ("[192.0.2.26]", "[ipv6:2001:db8::26]"):
            replies = await office.receive("carol@far.test", [f"postmaster@{stranger}"])
            assert codes(replies)[1] == (550, "5.7.1")

    in_office(tmp_path, work)


def test_our_notices_can_be_answered(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        writer = "Postmaster@mx.posthouse.test"
        replies = await office.receive("carol@far.test", [writer, "somebody@mx.posthouse.test"])
        assert codes(replies)[1:] == [TAKEN, (550, "5.7.1"), (250, "2.0.0")]
        answer = b"From: bob@posthouse.test\r\n\r\nHi\r\n"
        assert (await office.submit("bob@posthouse.test", [writer], answer))[-1].code == 250
        assert len(await office.mailbox("alice@posthouse.test")) == 2
        assert await office.queued() == []

    in_office(tmp_path, work)


def test_one_account_gets_one_copy_and_all_ways_are_recorded(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.alias("info@posthouse.test", "alice@posthouse.test")
        ways = ["alice+x@posthouse.test", "info@posthouse.test", "ALICE@posthouse.test"]
        replies = await office.receive("carol@far.test", ways)
        assert replies[-1].code == 250
        (filed,) = await office.mailbox("alice@posthouse.test")
        delivered_to = [line for line in filed.prefix.decode().split("\r\n") if line.startswith("Delivered-To")]
        assert delivered_to == [f"Delivered-To: {way}" for way in ways]
        journey = await office.journey(replies[-1])
        via = [stamp.facts.get("via") for stamp in journey.stamps if stamp.step is Step.RECIPIENT]
        assert via == [None, ["info@posthouse.test → alice@posthouse.test"], None]

    in_office(tmp_path, work)


def test_a_group_reaches_each_member_once_and_forwards_are_queued(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.alias("all@posthouse.test", "alice@posthouse.test", "team@posthouse.test", "carol@far.test")
        await office.alias("team@posthouse.test", "bob@posthouse.test", "alice@posthouse.test")
        replies = await office.receive("dave@far.test", ["all@posthouse.test", "team@posthouse.test"])
        assert replies[-1].code == 250
        assert len(await office.mailbox("alice@posthouse.test")) == 1
        assert len(await office.mailbox("bob@posthouse.test")) == 1
        (entry,) = await office.queued()
        assert [str(d.rcpt.address) for d in entry.deliveries] == ["carol@far.test"]
        assert str(entry.message.envelope.mail_from).endswith("=far.test=dave@posthouse.test")
        assert Step.QUEUED in steps(await office.journey(replies[-1]))

    in_office(tmp_path, work)


def test_aliases_in_a_circle_are_unknown(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        # An alias that closes a circle is refused; but the only way out of one may be taken away.
        account_id = await office.add("b@posthouse.test")
        await office.alias("a@posthouse.test", "b@posthouse.test")
        await office.alias("@posthouse.test", "a@posthouse.test")
        await office.db.write(lambda tx: remove_account(tx, account_id))
        assert codes(await office.receive("carol@far.test", ["a@posthouse.test"]))[1:] == [(550, "5.1.1")]

    in_office(tmp_path, work)


def test_a_catch_all_takes_the_rest(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.alias("@posthouse.test", "bob@posthouse.test")
        await office.receive("carol@far.test", ["whoever@posthouse.test", "alice@posthouse.test"])
        (filed,) = await office.mailbox("bob@posthouse.test")
        assert b"Delivered-To: whoever@posthouse.test\r\n" in filed.prefix
        assert len(await office.mailbox("alice@posthouse.test")) == 1

    in_office(tmp_path, work)


# THREATS, "Relay": r is a foreign domain, L one of ours. What the engine cannot parse never reaches the desk.
FORMS = [
    "u@r.test", "u%r.test@posthouse.test", "u%r.test@[192.0.2.1]", '"u@r.test"', '"u%r.test"',
    "u@r.test@posthouse.test", "u@r.test@[192.0.2.1]", '"u@r.test"@posthouse.test', '"u@r.test"@[192.0.2.1]',
    "@posthouse.test:u@r.test", "@[192.0.2.1]:u@r.test", "r.test!u", "r.test!u@posthouse.test",
    "r.test!u@[192.0.2.1]", "posthouse.test!r.test!u", '"u%r.test"@posthouse.test', "u@r.test.",
    "u%r.test@posthouse.test.", "u\0@r.test", "u@r\u3002test", "u@posthouse\uff0etest", "u%r.test@posthouse\uff61test",
    "u\uff20r.test@posthouse.test", "u\uff05r.test@posthouse.test", "r.test\uff01u@posthouse.test", "u@r.test\r\n",
    "@posthouse.test,@r.test:u@posthouse.test",
]  # fmt: skip
SENDERS = [None, "who@far.test", "alice@posthouse.test", "who@[192.0.2.7]"]


@pytest.mark.parametrize("own_ips", [(), ("192.0.2.1",)], ids=["a literal of others", "a literal of ours"])
@pytest.mark.parametrize("open_house", [False, True], ids=["plain", "catch-all and aliases"])
def test_no_form_of_a_recipient_is_relayed(tmp_path: Path, open_house: bool, own_ips: tuple[str, ...]) -> None:
    async def work(office: Office) -> None:
        office.acceptance._own_ips = own_ips
        if open_house:
            await office.alias("@posthouse.test", "bob@posthouse.test")
            await office.alias("u@posthouse.test", "alice@posthouse.test")
            await office.alias("r.test@posthouse.test", "alice@posthouse.test")
        for sender in SENDERS:
            for form in FORMS:
                for smtputf8 in (False, True):
                    try:
                        address = parse_path(f"<{form}>", smtputf8=smtputf8)
                    except AddressError:
                        continue
                    assert address is not None
                    envelope = Envelope(Address.parse(sender) if sender else None, smtputf8=smtputf8)
                    reply = await office.reception.rcpt(STRANGER, envelope, RcptTo(address))
                    assert reply.code == 550, (sender, form, reply)

    in_office(tmp_path, work)


def test_a_mailbox_with_a_percent_sign_in_its_name_is_reached(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.add("100%real@posthouse.test")
        replies = await office.receive("carol@far.test", ["100%real@posthouse.test"])
        assert replies[-1].code == 250
        assert len(await office.mailbox("100%real@posthouse.test")) == 1

    in_office(tmp_path, work)


# --- the message ----------------------------------------------------------------------------------------


def test_too_many_hops_are_a_circle(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        hop = b"Received: from a by b; Sun, 15 Jun 2025 15:06:40 +0000\r\n"
        for hops, expected in ((50, (250, "2.0.0")), (51, (554, "5.4.6"))):
            replies = await office.receive("carol@far.test", ["alice@posthouse.test"], hop * hops + LETTER)
            assert codes(replies)[-1] == expected
        assert len(await office.mailbox("alice@posthouse.test")) == 1

    in_office(tmp_path, work)


def test_what_was_delivered_to_this_address_before_has_come_in_a_circle(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        again = b"Delivered-To: Alice@posthouse.test\r\n" + LETTER
        replies = await office.receive("carol@far.test", ["alice@posthouse.test"], again)
        assert codes(replies)[-1] == (554, "5.4.6")
        replies = await office.receive("carol@far.test", ["bob@posthouse.test"], again)
        assert codes(replies)[-1] == (250, "2.0.0")

    in_office(tmp_path, work)


def test_a_forward_that_comes_back_is_seen_at_its_first_turn(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.alias("info@posthouse.test", "info@far.test")
        await office.receive("carol@far.test", ["info@posthouse.test"])
        (entry,) = await office.queued()
        away = entry.message.prefix + LETTER
        assert away.startswith(b"Delivered-To: info@posthouse.test\r\nReceived: ")
        replies = await office.receive("carol@far.test", ["info@posthouse.test"], away)
        assert codes(replies)[-1] == (554, "5.4.6")

    in_office(tmp_path, work)


def test_a_forward_is_not_shown_to_other_recipients(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.alias("one@posthouse.test", "x@far.test")
        await office.alias("two@posthouse.test", "y@far.test")
        await office.receive("carol@far.test", ["one@posthouse.test", "two@posthouse.test"])
        (entry,) = await office.queued()
        assert b"Delivered-To" not in entry.message.prefix
        assert len(entry.deliveries) == 2

    in_office(tmp_path, work)


# THREATS, "Sender spoofing"
SPOOFED = [
    b"From: a@far.test\r\nFrom: b@bank.test\r\n",
    b" From: a@far.test\r\n",
    b"From : a@far.test\r\n",
    b"From\t: a@far.test\r\n",
    b"Subject: x\r\nFrom\r\n : a@far.test\r\n",
    b"From: a@far.test, b@bank.test\r\n",
    b"From: group: a@far.test;\r\n",
    b"From: a@x.test,<b@bank.test>\r\n",
    b"From: <a@far.test>b@bank.test\r\n",
    b"From: <@bank.test,@far.test:a@far.test>\r\n",
    b"From: =?utf-8?Q?=3Ca=40bank.test=3E?=\r\n",
    b"From: \r\n",
    b"To: a@far.test\r\n",
    b"From: a@far.test\0b@bank.test\r\n",
    b"From: <a@far.test\r\n",
    b"From: nobody\r\n",
]


@pytest.mark.parametrize("header", SPOOFED)
def test_a_header_with_more_or_less_than_one_author_is_refused(tmp_path: Path, header: bytes) -> None:
    async def work(office: Office) -> None:
        octets = header + b"Date: Sun, 15 Jun 2025 15:06:40 +0000\r\n\r\nhello\r\n"
        replies = await office.receive("a@far.test", ["alice@posthouse.test"], octets)
        assert codes(replies)[-1] == (550, "5.6.0")
        assert await office.mailbox("alice@posthouse.test") == []

    in_office(tmp_path, work)


def test_an_odd_but_honest_author_is_taken(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        honest = (
            b"From: a@far.test\r\nSender: b@far.test\r\n",
            b"Resent-From: b@far.test\r\nFrom: a@far.test\r\n",
            b"From: Carol\r\n <a@far.test> (at home)\r\n",
            b'From: "a@bank.test" <a@far.test>\r\n',
            b"FROM: =?utf-8?Q?J=C3=B6rg?= <a@far.test>\r\n",
        )
        for header in honest:
            replies = await office.receive("a@far.test", ["alice@posthouse.test"], header + b"\r\nhello\r\n")
            assert codes(replies)[-1] == (250, "2.0.0"), header
        assert len(await office.mailbox("alice@posthouse.test")) == len(honest)

    in_office(tmp_path, work)


def test_a_large_message_is_a_file_and_reads_the_same(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        octets = LETTER + b"0123456789abcde\r\n" * (2 * INLINE_LIMIT // 16)
        replies = await office.receive("carol@far.test", ["alice@posthouse.test"], octets)
        assert codes(replies)[-1] == (250, "2.0.0")
        (filed,) = await office.mailbox("alice@posthouse.test")
        assert filed.octets == octets
        assert filed.message_id == "lunch@far.test"

    in_office(tmp_path, work)


def test_a_declared_size_above_the_limit_is_refused_at_mail(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        office.reception = Reception(office.acceptance, ReceptionSettings(size_limit=1000))
        assert codes(await office.receive("carol@far.test", ["alice@posthouse.test"], size=1001)) == [(552, "5.3.4")]

    in_office(tmp_path, work)


# --- what the store and the checks say ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "expected"), [(Fault.FULL, (452, "4.3.1")), (Fault.BUSY, (451, "4.3.0")), (Fault.BROKEN, (451, "4.3.0"))]
)
def test_a_failed_commit_is_never_250(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault, expected: tuple[int, str]
) -> None:
    async def work(office: Office) -> None:
        async def failing(unit: object, *, octets: int = 0, quick: bool = False) -> object:
            raise StoreFault(fault, "as told")

        monkeypatch.setattr(office.db, "write", failing)
        replies = await office.receive("carol@far.test", ["alice@posthouse.test"])
        assert codes(replies)[-1] == expected
        monkeypatch.undo()
        assert await office.mailbox("alice@posthouse.test") == []

    in_office(tmp_path, work)


def test_a_large_message_that_has_no_room_does_not_stay_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(office: Office) -> None:
        async def failing(unit: object, *, octets: int = 0, quick: bool = False) -> object:
            raise StoreFault(Fault.FULL, "as told")

        monkeypatch.setattr(office.db, "write", failing)
        large = LETTER + b"x" * 300_000 + b"\r\n"
        assert codes(await office.receive("carol@far.test", ["alice@posthouse.test"], large))[-1] == (452, "4.3.1")
        monkeypatch.undo()
        assert [path for path in tmp_path.joinpath("blobs").rglob("*") if path.is_file()] == []

    in_office(tmp_path, work)


def test_an_account_removed_meanwhile_makes_the_client_ask_again(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        class Removing(Reception):
            async def data(self, peer, envelope, content: Content, stamps) -> Reply:  # type: ignore[no-untyped-def]
                await office.db.write(lambda tx: remove_account(tx, office.accounts["bob@posthouse.test"]))
                return await super().data(peer, envelope, content, stamps)

        office.reception = Removing(office.acceptance)
        replies = await office.receive("carol@far.test", ["alice@posthouse.test", "bob@posthouse.test"])
        assert codes(replies)[-1] == (451, "4.3.0")
        assert await office.mailbox("alice@posthouse.test") == []

    in_office(tmp_path, work)
