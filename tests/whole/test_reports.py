"""A day of mail, a night, and a report: what one host saw in the name of the other is told, received, and shown."""

import asyncio
import smtplib
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cli.program import call
from posthouse.house import House
from posthouse.lab import demo
from posthouse.mail.instant import DAY, HOUR, Instant
from posthouse.mail.journey import Step
from whole.internet import ALICE, CAROL, Internet, in_internet, letter, octets, until

SPOOFER = "127.0.0.2"


class Clock:
    """The time of all houses: as it is, and later when a test says so."""

    def __init__(self) -> None:
        self.later: Instant = 0

    def __call__(self) -> Instant:
        return time.time_ns() // 1000 + self.later


def examining(settings: str) -> str:
    """Everybody here comes from 127.0.0.0/8, and shall be examined all the same."""
    return settings if "[checks]" in settings else f"{settings}\n[checks]\ntrusted_networks = []\n"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    written = demo.Demo._settings
    monkeypatch.setattr(demo, "House", partial(House, clock=clock))
    monkeypatch.setattr(demo.Demo, "_settings", lambda *arguments: examining(written(*arguments)))
    return clock


def spoof(net: Internet) -> int:
    """The reply to a letter in alice's name from an address that is not hers."""
    with smtplib.SMTP("127.0.0.1", net.far["smtp"], timeout=20, source_address=(SPOOFER, 0)) as client:
        client.ehlo("stranger.test")
        client.mail("stranger@nowhere.test")
        client.rcpt(CAROL)
        return client.data(octets(letter(ALICE, CAROL, "Send money")))[0]


def told(net: Internet, site: str, *arguments: str) -> Any:
    """What a command says about one of the hosts."""
    done = call("reports", *arguments, "--json", "--config", net.demo.folder / f"{site}.toml")
    assert done.code == 0, done.err
    return done.json


def test_a_report_goes_from_the_receiver_to_the_owner_of_the_domain(tmp_path: Path, clock: Clock) -> None:
    async def scene(net: Internet) -> None:
        message = octets(letter(ALICE, CAROL, "Hello", Message_ID="<hello@posthouse.test>"))
        await asyncio.to_thread(net.send, ALICE, [CAROL], message)
        await asyncio.to_thread(net.wait_for, CAROL)
        assert await asyncio.to_thread(spoof, net) == 550

        reporter = net.demo.houses["far"].bureau.reporter
        assert not await reporter.send_one()
        clock.later = DAY + 6 * HOUR
        assert await reporter.send_one()
        assert not await reporter.send_one()

        (mail,) = await asyncio.to_thread(net.wait_for, ALICE)
        assert b"Subject: Report Domain: posthouse.test" in mail
        assert b"dmarc=pass" in mail
        found = await asyncio.to_thread(
            until, lambda: told(net, "posthouse", "--offline"), lambda found: bool(found["reports"])
        )
        (report,) = found["reports"]
        assert (report["organization"], report["reporter"], report["proven"]) == ("far.test", "far.test", True)
        assert (found["messages"], found["passed"], found["unproven"]) == (2, 1, 0)
        lines = {line["source_ip"]: line for source in found["sources"] for line in source["lines"]}
        spoofed = lines.pop(SPOOFER)
        assert (spoofed["disposition"], spoofed["header_from"]) == ("reject", "posthouse.test")
        (honest,) = lines.values()
        assert honest["aligned_dkim"]
        assert honest["aligned_spf"]
        (journey,) = await net.journeys("posthouse", report["report_id"])
        (read,) = [stamp for stamp in journey.stamps if stamp.step is Step.REPORT]
        assert read.facts["outcome"] == "aggregate report by far.test about posthouse.test, 2 messages"

        (sent,) = (await asyncio.to_thread(told, net, "far", "sent"))["sent"]
        assert (sent["domain"], sent["to"]) == ("posthouse.test", ["postmaster@posthouse.test"])
        assert sent["report_id"] == report["report_id"]
        # Reports are no mail that somebody would be told of in turn.
        clock.later += DAY
        assert not await net.demo.houses["posthouse"].bureau.reporter.send_one()

    in_internet(tmp_path, scene)
