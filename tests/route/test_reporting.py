"""Aggregate reports of ours: counted with the acceptance, sent once a day, once, to those who may have them."""

from pathlib import Path

import pytest

from posthouse.checks import dkim
from posthouse.checks.dkim import SigningKey
from posthouse.checks.reports import AggregateReport, SpfResult, read
from posthouse.checks.zonefile import Records
from posthouse.mail.address import Address
from posthouse.mail.envelope import Notify
from posthouse.mail.instant import DAY, HOUR
from posthouse.mail.journey import Step
from posthouse.mail.message import Message
from posthouse.mail.reply import Reply
from posthouse.mail.verdict import Defer
from posthouse.route import incidents, reporting
from posthouse.route.authentication import Findings
from posthouse.route.bureau import Bureau
from posthouse.route.case import Case
from posthouse.route.policy import Policy, Preset, Ruling
from posthouse.route.reporting import ReportSettings
from posthouse.store import reports, signing
from posthouse.store.database import Fault, StoreFault
from posthouse.store.signing import KeyState
from route.deskwork import FAR, Desk, at_desk
from route.office import BEGIN, LETTER

SPOOFER = "203.0.113.9"


def asking(text: str) -> Records:
    """Far's zone with another DMARC record."""
    return {**FAR, "_dmarc.far.test": {"TXT": f"v=DMARC1; {text}"}}


def report_in(octets: bytes) -> AggregateReport:
    report = read(octets)
    assert isinstance(report, AggregateReport)
    return report


# --- counting -------------------------------------------------------------------------------------------


def test_an_accepted_message_is_counted(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        for _ in range(3):
            assert (await desk.receive()).code == 250
        (gathered,) = await desk.gathered()
        assert (gathered.policy.domain, gathered.policy.p, gathered.rua) == (
            "far.test", "none", ("mailto:dmarc@far.test",),
        )  # fmt: skip
        (row,) = gathered.rows
        assert (row.source_ip, row.count, row.spf, row.dkim) == ("192.0.2.7", 3, "pass", "fail")
        assert (row.header_from, row.envelope_from, row.disposition) == ("far.test", "far.test", "none")
        assert row.spf_results == (SpfResult("far.test", "mfrom", "pass"),)

    at_desk(tmp_path, FAR, work)


def test_nobody_is_counted_who_does_not_ask(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        assert (await desk.receive()).code == 250
        assert await desk.gathered() == []

    at_desk(tmp_path, asking("p=none"), work)


def test_what_a_policy_refuses_is_counted_as_refused(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        assert (await desk.receive(ip=SPOOFER)).code == 550
        ((row,),) = [gathered.rows for gathered in await desk.gathered()]
        assert (row.source_ip, row.disposition, row.spf, row.count) == (SPOOFER, "reject", "fail", 1)
        assert await desk.office.mailbox("alice@posthouse.test") == []

    at_desk(tmp_path, asking("p=reject; rua=mailto:dmarc@far.test"), work)


@pytest.mark.parametrize(
    ("asked", "kinds", "preset"),
    [
        ("quarantine", ["local_policy"], Preset.BALANCED),
        # Refused as its domain asks, though for another reason.
        ("reject", [], Preset.CAUTIOUS),
    ],
)
def test_what_is_refused_since_it_may_not_be_sent_on_is_counted_and_told_once(
    tmp_path: Path, asked: str, kinds: list[str], preset: Preset
) -> None:
    async def work(desk: Desk) -> None:
        await desk.office.alias("info@posthouse.test", "dave@elsewhere.test")
        assert (await desk.receive(ip=SPOOFER, to="info@posthouse.test")).code == 550
        ((row,),) = [gathered.rows for gathered in await desk.gathered()]
        assert (row.disposition, row.count) == ("reject", 1)
        assert [reason.kind for reason in row.reasons] == kinds
        assert "info@posthouse.test" not in row.key
        await desk.bureau.incidents.tell_all()
        assert len(await desk.outgoing()) == 1

    zone = asking(f"p={asked}; rua=mailto:dmarc@far.test; ruf=mailto:abuse@far.test; fo=1")
    at_desk(tmp_path, zone, work, ReportSettings(failures=True), policy=Policy(preset))


def test_an_exception_of_ours_is_told_with_its_reason(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        assert (await desk.receive(ip=SPOOFER)).code == 250
        ((row,),) = [gathered.rows for gathered in await desk.gathered()]
        assert row.disposition == "quarantine"
        assert [reason.kind for reason in row.reasons] == ["local_policy"]

    at_desk(tmp_path, asking("p=reject; rua=mailto:dmarc@far.test"), work, policy=Policy(Preset.CAUTIOUS))


def test_what_was_not_stored_is_not_counted(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        db = desk.office.db
        write = db.write

        async def full(unit: object, **options: object) -> None:
            raise StoreFault(Fault.FULL, "no room")

        db.write = full  # type: ignore[assignment, method-assign]
        assert (await desk.receive()).code == 452
        db.write = write  # type: ignore[method-assign]
        assert await desk.gathered() == []

    at_desk(tmp_path, FAR, work)


class PuttingOff(Policy):
    """Asks everybody to come again."""

    def judge(self, case: Case, findings: Findings) -> Ruling:
        return Ruling(Defer("later", "not now", Reply(451, "4.7.1", "Come again")))


def test_what_is_put_off_is_not_counted(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        assert (await desk.receive()).code == 451
        assert await desk.gathered() == []

    at_desk(tmp_path, FAR, work, policy=PuttingOff())


def test_reports_of_others_are_not_reported_back(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        report = LETTER.replace(b"Subject: Lunch", b"Subject: Report Domain: posthouse.test\r\n Submitter: far.test")
        assert (await desk.receive(report)).code == 250
        assert await desk.gathered() == []
        # Whoever only pretends is counted all the same.
        assert (await desk.receive(report, ip=SPOOFER)).code == 250
        assert len(await desk.gathered()) == 1

    at_desk(tmp_path, FAR, work)


# --- sending --------------------------------------------------------------------------------------------


def test_the_day_after_its_domain_gets_the_report(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await desk.receive()
        await desk.receive(ip=SPOOFER)
        assert not await desk.bureau.reporter.send_one()
        assert await desk.next_day() == 1
        ((rcpts, _, octets),) = await desk.outgoing()
        assert rcpts == ["dmarc@far.test"]
        header = Message.parse(octets).header
        assert header.text("from") == "postmaster@posthouse.test"
        begin = BEGIN // DAY * DAY
        report = report_in(octets)
        assert (report.org_name, report.email) == ("posthouse.test", "postmaster@posthouse.test")
        assert (report.begin, report.end) == (begin, begin + DAY - 1_000_000)
        assert {(row.source_ip, row.spf, row.count) for row in report.rows} == {
            ("192.0.2.7", "pass", 1), (SPOOFER, "fail", 1),
        }  # fmt: skip
        (sent,) = await desk.sent()
        assert (sent.kind, sent.domain, sent.report_id) == ("aggregate", "far.test", report.report_id)
        assert (sent.messages, sent.rcpt_to, sent.note) == (2, ("dmarc@far.test",), "")
        # What was told is forgotten, and nothing is told twice.
        assert await desk.next_day() == 0

    at_desk(tmp_path, FAR, work)


def test_the_report_is_signed_and_has_a_journey(tmp_path: Path) -> None:
    key = SigningKey.generate("posthouse.test", "s1", "ed25519-sha256")

    async def work(desk: Desk) -> None:
        db = desk.office.db
        await db.write(lambda tx: signing.add(tx, [key], KeyState.ACTIVE, BEGIN))
        await desk.receive()
        await desk.next_day()
        ((_, prefix, octets),) = await desk.outgoing()
        (found,) = await dkim.verify(Message.parse(prefix + octets), desk.world, desk.office.clock.now)
        assert (found.result, found.domain) == ("pass", "posthouse.test")
        (entry,) = await desk.office.queued()
        assert entry.message.envelope.mail_from == Address("postmaster", "posthouse.test")
        assert [delivery.rcpt.notify for delivery in entry.deliveries] == [Notify.NEVER]
        journey = await desk.office.newest_journey()
        assert {Step.RECEIVED, Step.SIGNED, Step.QUEUED} <= {stamp.step for stamp in journey.stamps}
        assert (await desk.sent())[0].sent_id == journey.journey_id

    records = {**FAR, key.dns_name: {"TXT": key.dns_record()}}
    at_desk(tmp_path, records, work)


def test_days_that_were_missed_are_made_good(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await desk.receive()
        desk.office.clock.pass_by(DAY)
        await desk.receive()
        desk.office.clock.pass_by(2 * DAY)
        assert await desk.next_day() == 2
        begins = [report_in(octets).begin for _, _, octets in await desk.outgoing()]
        assert sorted(begins) == [BEGIN // DAY * DAY, (BEGIN // DAY + 1) * DAY]

    at_desk(tmp_path, FAR, work)


def test_a_second_report_about_a_day_has_an_id_of_its_own(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await desk.receive()
        desk.world.become(asking("p=quarantine; rua=mailto:dmarc@far.test"))
        await desk.receive()
        await desk.next_day()
        mails = [octets for _, _, octets in await desk.outgoing()]
        found = [report_in(octets) for octets in mails]
        assert sorted(report.policy.p for report in found) == ["none", "quarantine"]
        assert len({report.report_id for report in found}) == 2
        names = {part.filename for octets in mails for part in Message.parse(octets).root.walk() if part.filename}
        assert len(names) == 2

    at_desk(tmp_path, FAR, work)


def test_what_comes_in_when_a_day_was_told_already_has_an_id_of_its_own(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await desk.receive()
        await desk.next_day()
        # A transaction of yesterday that took all night.
        desk.office.clock.now = BEGIN
        await desk.receive()
        await desk.next_day()
        found = [report_in(octets) for _, _, octets in await desk.outgoing()]
        assert [report.begin for report in found] == [BEGIN // DAY * DAY] * 2
        assert len({report.report_id for report in found}) == 2

    at_desk(tmp_path, FAR, work)


def test_who_was_too_slow_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(desk: Desk) -> None:
        await desk.receive()
        slow = desk.bureau.reporter
        quick = Bureau(desk.office.acceptance, desk.world.within, ReportSettings(), "two", desk.failures).reporter
        errors = slow._errors

        async def dawdling(period: reports.Period) -> tuple[str, ...]:
            desk.office.clock.pass_by(reporting.LEASE)
            assert await quick.send_one()
            return await errors(period)

        monkeypatch.setattr(slow, "_errors", dawdling)
        assert await desk.next_day() == 1
        assert len(await desk.outgoing()) == 1
        assert len(await desk.sent()) == 1

    at_desk(tmp_path, FAR, work)


def test_who_did_not_agree_gets_nothing(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await desk.receive()
        await desk.next_day()
        assert await desk.outgoing() == []
        (sent,) = await desk.sent()
        assert sent.rcpt_to == ()
        assert sent.note == "victim.test does not say that it wants reports about far.test"

    at_desk(tmp_path, asking("p=none; rua=mailto:dmarc@victim.test"), work)


def test_who_cannot_be_asked_is_asked_again_before_anybody_gets_it(tmp_path: Path) -> None:
    record = "p=none; rua=mailto:dmarc@far.test,mailto:far@reports.test"
    asked = "far.test._report._dmarc.reports.test"

    async def work(desk: Desk) -> None:
        await desk.receive()
        await desk.next_day()
        assert await desk.outgoing() == []
        assert await desk.sent() == []
        desk.world.become({**asking(record), asked: {"TXT": "v=DMARC1"}})
        desk.office.clock.pass_by(2 * HOUR)
        assert await desk.bureau.reporter.send_one()
        ((rcpts, _, _),) = await desk.outgoing()
        assert rcpts == ["dmarc@far.test", "far@reports.test"]

    at_desk(tmp_path, {**asking(record), asked: {"TXT": "SERVFAIL"}}, work)


def test_who_can_never_be_asked_holds_up_the_others_for_some_hours_only(tmp_path: Path) -> None:
    record = "p=none; rua=mailto:dmarc@far.test,mailto:far@reports.test"

    async def work(desk: Desk) -> None:
        await desk.receive()
        await desk.next_day()
        for _ in range(reporting.TRIES - 1):
            assert await desk.outgoing() == []
            desk.office.clock.pass_by(2 * HOUR)
            assert await desk.bureau.reporter.send_one()
        ((rcpts, _, _),) = await desk.outgoing()
        assert rcpts == ["dmarc@far.test"]

    at_desk(tmp_path, {**asking(record), "far.test._report._dmarc.reports.test": {"TXT": "TIMEOUT"}}, work)


def test_an_owner_of_a_flawed_record_is_told_so(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await desk.receive()
        await desk.next_day()
        ((_, _, octets),) = await desk.outgoing()
        (error,) = report_in(octets).errors
        assert "sp=rejct" in error

    at_desk(tmp_path, asking("p=none; sp=rejct; rua=mailto:dmarc@far.test"), work)


def test_a_report_about_ourselves_stays_in_the_house_and_is_shown(tmp_path: Path) -> None:
    record = "v=DMARC1; p=reject; rua=mailto:dmarc@posthouse.test,mailto:nobody@posthouse.test"
    spoof = LETTER.replace(b"carol@far.test", b"bob@posthouse.test")

    async def work(desk: Desk) -> None:
        await desk.office.alias("dmarc@posthouse.test", "bob@posthouse.test")
        assert (await desk.receive(spoof, "bob@posthouse.test", SPOOFER)).code == 550
        await desk.next_day()
        assert await desk.outgoing() == []
        (filed,) = await desk.office.mailbox("bob@posthouse.test")
        assert report_in(filed.octets).rows[0].source_ip == SPOOFER
        (sent,) = await desk.sent()
        assert sent.rcpt_to == ("dmarc@posthouse.test",)
        (kept,) = await desk.received(proven=True)
        assert (kept.domain, kept.organization, kept.messages, kept.passed) == (
            "posthouse.test", "posthouse.test", 1, 0,
        )  # fmt: skip

    at_desk(tmp_path, {"_dmarc.posthouse.test": {"TXT": record}}, work)


def test_a_store_that_fails_sends_nothing_and_forgets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(desk: Desk) -> None:
        await desk.receive()

        def fails(*_: object) -> None:
            raise StoreFault(Fault.FULL, "no room")

        with monkeypatch.context() as patch:
            patch.setattr(reports, "remember", fails)
            with pytest.raises(StoreFault):
                await desk.next_day()
        assert await desk.outgoing() == []
        desk.office.clock.pass_by(reporting.LEASE)
        assert await desk.bureau.reporter.send_one()
        assert len(await desk.outgoing()) == 1

    at_desk(tmp_path, FAR, work)


def test_one_domain_that_goes_wrong_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(desk: Desk) -> None:
        await desk.receive()
        desk.office.clock.now = (BEGIN // DAY + 1) * DAY + 6 * HOUR

        def breaks(*_: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(desk.bureau.reporter, "_write", breaks)
        assert await desk.bureau.reporter.send_one()
        assert desk.failures.told == ["reporting to far.test: RuntimeError('a bug')"]
        assert not await desk.bureau.reporter.send_one()

    at_desk(tmp_path, FAR, work)


def test_the_settings_say_who_writes(tmp_path: Path) -> None:
    settings = ReportSettings(author=Address("noreply-dmarc", "posthouse.test"), organization="Post & House")

    async def work(desk: Desk) -> None:
        await desk.receive()
        await desk.next_day()
        ((_, _, octets),) = await desk.outgoing()
        report = report_in(octets)
        assert (report.org_name, report.email) == ("Post & House", "noreply-dmarc@posthouse.test")

    at_desk(tmp_path, FAR, work, settings)


def test_switched_off_nothing_is_counted(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await desk.receive()
        assert await desk.gathered() == []
        assert "reports sent" not in desk.bureau.work

    at_desk(tmp_path, FAR, work, ReportSettings(send=False))


# --- failure reports ------------------------------------------------------------------------------------

FAILING = "p=none; ruf=mailto:abuse@far.test; fo=1"


async def told(desk: Desk, octets: bytes = LETTER, ip: str = SPOOFER) -> list[bytes]:
    await desk.receive(octets, ip=ip)
    await desk.bureau.incidents.tell_all()
    assert desk.failures.told == []
    return [octets for _, _, octets in await desk.outgoing()]


def test_failures_are_told_only_where_that_is_switched_on(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        assert await told(desk) == []

    at_desk(tmp_path, asking(FAILING), work)


def test_a_failure_is_told_without_what_tells_of_people(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        (octets,) = await told(desk)
        assert b"Feedback-Type: auth-failure" in octets
        assert b"Source-IP: 203.0.113.9" in octets
        assert b"Lunch" not in octets
        assert b"noon" not in octets
        assert b"carol" not in octets.lower()
        assert b"alice" not in octets
        (sent,) = await desk.sent()
        assert (sent.kind, sent.domain, sent.rcpt_to) == ("failure", "far.test", ("abuse@far.test",))

    at_desk(tmp_path, asking(FAILING), work, ReportSettings(failures=True))


def test_a_failure_is_told_with_everything_where_the_settings_say_so(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        (octets,) = await told(desk)
        assert b"Subject: Lunch" in octets
        assert b"noon" not in octets

    at_desk(tmp_path, asking(FAILING), work, ReportSettings(failures=True, redact=False))


def test_a_few_failures_are_told_in_an_hour(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        for _ in range(6):
            mails = await told(desk)
        assert len(mails) == 4
        desk.office.clock.pass_by(HOUR + 1000)
        assert len(await told(desk)) == 5

    at_desk(tmp_path, asking(FAILING), work, ReportSettings(failures=True))


def test_in_all_not_many_are_told_in_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incidents, "OF_A_DOMAIN", 10)
    monkeypatch.setattr(incidents, "IN_ALL", 2)

    async def work(desk: Desk) -> None:
        for _ in range(4):
            mails = await told(desk)
        assert len(mails) == 2

    at_desk(tmp_path, asking(FAILING), work, ReportSettings(failures=True))


def test_a_flood_of_failures_leaves_few_waiting(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        for _ in range(60):
            await desk.receive(ip=SPOOFER)
        assert desk.bureau.incidents._waiting.qsize() == 50

    at_desk(tmp_path, asking(FAILING), work, ReportSettings(failures=True))


def test_what_is_put_off_is_not_told(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        assert await told(desk) == []

    at_desk(tmp_path, asking(FAILING), work, ReportSettings(failures=True), PuttingOff())


def test_automatic_mail_is_not_told(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        assert await told(desk, b"Auto-Submitted: auto-replied\r\n" + LETTER) == []

    at_desk(tmp_path, asking(FAILING), work, ReportSettings(failures=True))


def test_a_stranger_who_did_not_agree_is_not_told(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        assert await told(desk) == []
        assert await desk.sent() == []

    at_desk(tmp_path, asking("p=none; ruf=mailto:abuse@victim.test; fo=1"), work, ReportSettings(failures=True))
