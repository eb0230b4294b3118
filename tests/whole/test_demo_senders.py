"""In the demo: an honest letter, a spoof, a lookalike, forwarded mail with ARC and a mailing list, each ending where it
should, and each journey saying why."""

import asyncio
import subprocess
from pathlib import Path

from posthouse.lab.demo import Played
from posthouse.mail.journey import Journey, Stamp, Step
from posthouse.mail.message import Message
from posthouse.store import journeys
from posthouse.store.ids import from_text
from whole.internet import ALICE, BOB, CAROL, Internet, in_internet, letter, octets, until
from whole.process import DemoProcess, free_port_base


def verdicts(journey: Journey) -> dict[str, str]:
    return {
        str(stamp.facts["method"]): str(stamp.facts["result"])
        for stamp in journey.stamps if stamp.step is Step.VERDICT and "account" not in stamp.facts
    }


def decision(journey: Journey) -> Stamp:
    (decided,) = [stamp for stamp in journey.stamps if stamp.step is Step.DECISION and "account" not in stamp.facts]
    return decided


async def at_the_door(net: Internet) -> dict[str, tuple[Played, Journey]]:
    """The strangers' scenes, each with what our server knows of it."""
    found = {}
    async for played in net.demo.play():
        number = from_text(played.queue_id)
        journey = await net.demo.houses["posthouse"].database.read(lambda tx, number=number: journeys.load(tx, number))
        assert journey is not None
        found[played.scene.name] = (played, journey)
    return found


def only(found: list[bytes], subject: str) -> Message:
    (octets,) = [each for each in found if subject in Message.parse(each).header.text("subject")]
    return Message.parse(octets)


def results(message: Message) -> str:
    field = message.header.get("authentication-results")
    assert field is not None
    return field.text


def test_every_sender_of_the_demo_ends_where_it_should(tmp_path: Path) -> None:
    async def scene(net: Internet) -> None:
        found = await at_the_door(net)
        inboxes = {address: await asyncio.to_thread(net.inbox, address) for address in (ALICE, BOB)}

        spoof, journey = found["spoof"]
        assert spoof.reply.startswith("550 5.7.26 Refused by the DMARC policy of posthouse.test")
        assert verdicts(journey) == {"iprev": "pass", "spf": "fail", "dkim": "none", "dmarc": "fail"}
        assert (decision(journey).facts["action"], decision(journey).facts["rule"]) == ("reject", "dmarc-reject")
        assert "posthouse.test asks to reject such mail" in str(decision(journey).facts["reason"])
        assert journey.stamps[-1].step is Step.REFUSED

        lookalike, journey = found["lookalike"]
        assert lookalike.reply.startswith("250")
        assert verdicts(journey) == {"iprev": "pass", "spf": "pass", "dkim": "pass", "dmarc": "pass"}
        message = only(inboxes[BOB], "My new account")
        warning = message.header.get("posthouse-warning")
        assert warning is not None
        assert "posthouse.test" in warning.text
        assert any(stamp.step is Step.WARNING for stamp in journey.stamps)
        (seen,) = [s for s in journey.stamps if s.step is Step.VERDICT and s.facts["method"] == "lookalike"]
        assert "looks like posthouse.test, but" in str(seen.facts["reason"])

        forwarded, journey = found["forwarded"]
        assert forwarded.reply.startswith("250")
        told = verdicts(journey)
        assert (told["spf"], told["arc"], told["dmarc"]) == ("pass", "pass", "fail")
        lines = decision(journey).facts["lines"]
        assert lines == ["dmarc-exempted: forward.test is a trusted sealer, and DMARC passed for far.test there"]
        overrides = str(decision(journey).facts["overrides"])
        assert "local_policy: arc=pass as[1].d=forward.test as[1].s=s1" in overrides
        assert "arc=pass" in results(only(inboxes[BOB], "Lunch"))

        listed, journey = found["list"]
        assert listed.reply.startswith("250")
        told = verdicts(journey)
        assert (told["spf"], told["dmarc"]) == ("pass", "fail")
        assert decision(journey).facts["lines"] == ["dmarc-exempted: lists.test is a known mailing list"]
        assert decision(journey).facts["overrides"] == ["mailing_list: lists.test"]
        assert "dkim=fail header.d=far.test" in results(only(inboxes[ALICE], "[talk] Reading"))

        assert await asyncio.to_thread(net.inbox, ALICE, "Junk") == []
        assert await asyncio.to_thread(net.inbox, BOB, "Junk") == []

    in_internet(tmp_path, scene)


def test_an_honest_letter_travels_the_real_way_and_passes(tmp_path: Path) -> None:
    async def scene(net: Internet) -> None:
        written = octets(letter(CAROL, ALICE, "Greetings"))
        await asyncio.to_thread(net.send, CAROL, [ALICE], written)
        (got,) = await asyncio.to_thread(net.wait_for, ALICE)
        told = results(Message.parse(got))
        for result in ("iprev=pass", "spf=pass smtp.mailfrom=far.test", "dkim=pass header.d=far.test", "dmarc=pass"):
            assert result in told
        message_id = Message.parse(got).header.text("message-id")
        journey = (await net.journeys("posthouse", message_id))[0]
        assert set(verdicts(journey).values()) == {"pass"}
        assert decision(journey).facts["action"] == "accept"

    in_internet(tmp_path, scene)


def test_who_is_not_of_the_small_internet_cannot_write_as_its_people(tmp_path: Path) -> None:
    async def scene(net: Internet) -> None:
        import smtplib

        def spoof(mail_from: str) -> tuple[int, bytes]:
            with smtplib.SMTP("127.0.0.1", net.ports["smtp"], timeout=20) as client:
                client.ehlo("somewhere.test")
                client.mail(mail_from)
                client.rcpt(ALICE)
                return client.data(octets(letter(mail_from, ALICE, "It is me")))

        for mail_from in (CAROL, BOB):
            assert (await asyncio.to_thread(spoof, mail_from))[0] == 550
        # Anybody else may write.
        assert (await asyncio.to_thread(spoof, "dave@elsewhere.test"))[0] == 250
        await asyncio.to_thread(until, lambda: net.inbox(ALICE), bool)

    in_internet(tmp_path, scene)


def test_the_demo_shows_its_senders_with_commands_to_copy(tmp_path: Path) -> None:
    with DemoProcess(tmp_path / "demo", free_port_base(), "--senders") as demo:
        assert demo.process.stdout is not None
        lines: list[str] = []
        while sum(" trace --config " in line for line in lines) < 1 + 5:
            lines.append(demo.process.stdout.readline().decode())
            assert lines[-1], "".join(lines)
        traces = [line.strip() for line in lines if " trace --config " in line][1:]
        stories = [
            subprocess.run(["sh", "-c", trace], capture_output=True, text=True, check=True, timeout=60).stdout
            for trace in traces
        ]
    honest, spoof, lookalike, forwarded, listed = stories
    assert "dmarc" in honest
    assert "decided to accept" in honest
    assert "warned" not in honest
    assert "decided to reject by the rule dmarc-reject" in spoof
    assert "answered 550 5.7.26" in spoof
    assert "TXT _dmarc.posthouse.test: v=DMARC1; p=reject" in spoof
    assert "warned the reader bob@posthouse.test" in lookalike
    assert "forward.test is a trusted sealer, and DMARC passed for far.test there" in forwarded
    assert "override for the report: local_policy: arc=pass" in forwarded
    assert "lists.test is a known mailing list" in listed
