"""Names that do not answer: mail waits for them for half a day of one outage, and not for two hiccups far apart."""

from pathlib import Path

import pytest

from posthouse.checks.zonefile import Records
from posthouse.mail.instant import HOUR
from posthouse.mail.journey import Step
from posthouse.route.authentication import Authentication, CheckSettings
from posthouse.route.outage import Outages
from posthouse.route.policy import Policy, Preset
from posthouse.route.reception import Inspection, Reception
from posthouse.store.mailboxes import SpecialUse
from route.deskwork import FAR, World
from route.office import Office, in_office

REJECTING: Records = {**FAR, "_dmarc.far.test": {"TXT": "v=DMARC1; p=reject"}}
BROKEN: tuple[Records, ...] = (
    {**REJECTING, "_dmarc.far.test": {"TXT": "SERVFAIL"}},
    {**REJECTING, "far.test": {"TXT": "SERVFAIL"}},
)


def watched(office: Office, world: World, preset: Preset = Preset.BALANCED) -> None:
    """The office examines what comes in, and remembers whose names did not answer."""
    checks = Authentication(world, CheckSettings("mx.posthouse.test", ()))
    inspection = Inspection(checks, Policy(preset), outages=Outages(office.db))
    office.reception = Reception(office.acceptance, inspection=inspection)


async def bring(office: Office) -> str:
    """The code for one more letter, and whether it was judged without an answer."""
    reply = (await office.receive("carol@far.test", ["alice@posthouse.test"]))[-1]
    facts = next(stamp.facts for stamp in (await office.journey(reply)).stamps if stamp.step is Step.DECISION)
    spoken = [str(facts["rule"]), *map(str, facts.get("lines") or ())]  # type: ignore[call-overload]
    late = any(line.startswith(("dmarc-late", "unproven-late")) for line in spoken)
    return f"{reply.code}{' late' if late else ''}"


@pytest.mark.parametrize("broken", BROKEN, ids=["policy", "spf"])
def test_what_does_not_answer_for_half_a_day_is_waited_for_no_longer(tmp_path: Path, broken: Records) -> None:
    async def scene(office: Office) -> None:
        watched(office, World(broken))
        for hours in (0, 6, 5):
            office.clock.pass_by(hours * HOUR)
            assert await bring(office) == "451"
        office.clock.pass_by(HOUR)
        assert await bring(office) == "250 late"

    in_office(tmp_path, scene)


@pytest.mark.parametrize("broken", BROKEN, ids=["policy", "spf"])
def test_two_faults_with_an_answer_between_them_are_not_one(tmp_path: Path, broken: Records) -> None:
    async def scene(office: Office) -> None:
        world = World(broken)
        watched(office, world)
        assert await bring(office) == "451"
        office.clock.pass_by(HOUR)
        world.become(REJECTING)
        assert await bring(office) == "250"
        office.clock.pass_by(24 * HOUR)
        world.become(broken)
        assert await bring(office) == "451"

    in_office(tmp_path, scene)


@pytest.mark.parametrize("preset", [Preset.CAUTIOUS, Preset.BALANCED])
def test_who_lives_here_does_not_wait_longer_for_those_elsewhere(tmp_path: Path, preset: Preset) -> None:
    async def scene(office: Office) -> None:
        await office.alias("info@posthouse.test", "dave@elsewhere.test")
        watched(office, World(BROKEN[1]), preset)
        both = ["alice@posthouse.test", "info@posthouse.test"]
        for hours, code, alone in ((0, 451, 451), (12, 250, 451)):
            office.clock.pass_by(hours * HOUR)
            assert (await office.receive("carol@far.test", both[1:]))[-1].code == alone
            assert (await office.receive("carol@far.test", both))[-1].code == code
        assert len(await office.mailbox("alice@posthouse.test", SpecialUse.JUNK)) == 1
        assert await office.queued() == []

    in_office(tmp_path, scene)
