"""Letters go the whole way, between two real hosts, and both tell the journey."""

import asyncio
import email
import smtplib
from email.policy import default
from pathlib import Path

import pytest

from posthouse.mail.journey import Step
from whole.internet import ALICE, BOB, CAROL, Internet, in_internet, letter, octets


def test_a_letter_travels_from_submission_to_the_other_inbox(tmp_path: Path) -> None:
    async def scene(net: Internet) -> None:
        sent = octets(letter(ALICE, CAROL, "Grüße", "Straße.\n", Message_ID="<one@posthouse.test>"))
        await asyncio.to_thread(net.send, ALICE, [CAROL], sent)
        (got,) = await asyncio.to_thread(net.wait_for, CAROL)
        # Received octets are never rewritten: what alice sent is there unchanged, behind what was put in front.
        assert got.endswith(sent)
        message = email.message_from_bytes(got, policy=default)
        assert message["Return-Path"] == f"<{ALICE}>"
        assert message["Delivered-To"] == CAROL
        assert message["Subject"] == "Grüße"
        by_far, by_ours = message.get_all("Received")
        assert "by mx.far.test" in by_far
        assert "ESMTPS" in by_far
        assert "TLS" in by_far
        assert "by mx.posthouse.test" in by_ours
        assert "ESMTPSA" in by_ours
        # The author's own address on the network stays private.
        assert "127.0.0.1" not in by_ours
        assert await asyncio.to_thread(net.maildrop, CAROL) == [got]

        (ours,) = await net.journeys("posthouse", "one@posthouse.test")
        (far,) = await net.journeys("far", "one@posthouse.test")
        steps = [stamp.step for stamp in ours.stamps]
        assert [step for step in steps if step in STORY] == STORY
        assert sorted(stamp.at for stamp in ours.stamps) == [stamp.at for stamp in ours.stamps]
        relayed = next(stamp for stamp in ours.stamps if stamp.step is Step.RELAYED)
        accepted = next(stamp for stamp in far.stamps if stamp.step is Step.ACCEPTED)
        assert relayed.facts["host"] == "mx.far.test"
        assert relayed.facts["reply"] == accepted.facts["reply"]
        assert {Step.CONNECTED, Step.HELLO, Step.TLS, Step.ENVELOPE, Step.RECIPIENT, Step.DELIVERED} <= {
            stamp.step for stamp in far.stamps
        }

    in_internet(tmp_path, scene)


STORY = [
    Step.CONNECTED, Step.TLS, Step.HELLO, Step.LOGIN, Step.ENVELOPE, Step.RECIPIENT, Step.RECEIVED, Step.QUEUED,
    Step.ACCEPTED, Step.ROUTE, Step.RELAYED,
]


def test_an_answer_comes_back_over_tls_at_once(tmp_path: Path) -> None:
    async def scene(net: Internet) -> None:
        await asyncio.to_thread(net.send, CAROL, [BOB], octets(letter(CAROL, BOB, "Back")), at_once=True)
        (got,) = await asyncio.to_thread(net.wait_for, BOB)
        assert b"Subject: Back\r\n" in got
        assert await asyncio.to_thread(net.inbox, CAROL, "Sent") == []

    in_internet(tmp_path, scene)


def test_one_letter_for_people_here_and_there(tmp_path: Path) -> None:
    async def scene(net: Internet) -> None:
        message = letter(ALICE, f"{BOB}, {CAROL}", "All", Bcc="alice+copy@posthouse.test")
        await asyncio.to_thread(net.send, ALICE, [BOB, CAROL, "alice+copy@posthouse.test"], octets(message))
        for address in (ALICE, BOB, CAROL):
            (got,) = await asyncio.to_thread(net.wait_for, address)
            assert b"Bcc" not in got
            assert b"Date: " in got
            assert b"Message-ID: " in got.replace(b"Message-Id", b"Message-ID")

    in_internet(tmp_path, scene)


@pytest.mark.parametrize(
    ("rcpt", "status"), [("nobody@far.test", "5.1.1"), ("somebody@nowhere.test", "5.1.2")]
)
def test_what_cannot_be_delivered_comes_back_with_the_reason(tmp_path: Path, rcpt: str, status: str) -> None:
    async def scene(net: Internet) -> None:
        message = octets(letter(ALICE, rcpt, "Lost", Message_ID="<lost@x.test>"))
        await asyncio.to_thread(net.send, ALICE, [rcpt], message)
        (got,) = await asyncio.to_thread(net.wait_for, ALICE)
        report = email.message_from_bytes(got, policy=default)
        assert report["Return-Path"] == "<>"
        assert report.get_content_type() == "multipart/report"
        assert report.get_param("report-type") == "delivery-status"
        parts = list(report.iter_parts())
        assert parts[1].get_content_type() == "message/delivery-status"
        fields = parts[1].get_payload()[1]
        assert fields["Final-Recipient"] == f"rfc822; {rcpt}" or fields["Final-Recipient"] == f"rfc822;{rcpt}"
        assert fields["Action"] == "failed"
        assert fields["Status"] == status
        assert b"<lost@x.test>" in got
        (journey,) = await net.journeys("posthouse", "lost@x.test")
        assert [s.step for s in journey.stamps if s.step in (Step.FAILED, Step.BOUNCED)] == [Step.FAILED, Step.BOUNCED]

    in_internet(tmp_path, scene)


def test_the_journey_of_a_letter_tells_who_was_refused_in_its_place(tmp_path: Path) -> None:
    async def scene(net: Internet) -> None:
        def visit() -> None:
            with smtplib.SMTP("localhost", net.ports["smtp"], timeout=20) as client:
                rcpts = ["nobody@posthouse.test", BOB]
                message = octets(letter("s@elsewhere.test", BOB, "Half", Message_ID="<half@x.test>"))
                assert list(client.sendmail("s@elsewhere.test", rcpts, message)) == rcpts[:1]

        await asyncio.to_thread(visit)
        (journey,) = await net.journeys("posthouse", "half@x.test")
        assert sorted(stamp.at for stamp in journey.stamps) == [stamp.at for stamp in journey.stamps]
        steps = [stamp.step for stamp in journey.stamps]
        assert steps[2:5] == [Step.ENVELOPE, Step.RECIPIENT, Step.RECIPIENT]
        assert [stamp.facts["address"] for stamp in journey.stamps[3:5]] == ["nobody@posthouse.test", BOB]

    in_internet(tmp_path, scene)


def test_a_stranger_can_neither_relay_nor_guess_nor_pose_as_alice(tmp_path: Path) -> None:
    def visit(net: Internet) -> None:
        with smtplib.SMTP("localhost", net.ports["smtp"], timeout=20) as client:
            client.ehlo("stranger.test")
            client.mail("stranger@elsewhere.test")
            assert client.rcpt(CAROL)[0] == 550
            assert client.rcpt("nobody@posthouse.test")[0] == 550
            assert client.rcpt(BOB)[0] == 250
            assert client.rcpt("postmaster@[127.0.0.1]")[0] == 250
            assert client.rcpt("nobody@[127.0.0.1]")[0] == 550
        with smtplib.SMTP("localhost", net.ports["submission"], timeout=20) as client:
            client.starttls(context=net.trust)
            client.ehlo()
            assert client.mail(ALICE)[0] == 530
            client.login(BOB, net.passwords[BOB])
            assert client.mail(ALICE)[0] == 553

    async def scene(net: Internet) -> None:
        await asyncio.to_thread(visit, net)

    in_internet(tmp_path, scene)
