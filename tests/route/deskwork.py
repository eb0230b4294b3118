"""A post office with a report desk: mail from outside is examined against a zone, counted, reported, and read.

    world = Zone({"_dmarc.far.test": {"TXT": "v=DMARC1; p=none; rua=mailto:dmarc@far.test"}})
    at_desk(tmp_path, world, work)
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from checks.zone import Zone
from posthouse.checks.zonefile import Records, ZoneDns
from posthouse.mail.dns import Dns
from posthouse.mail.instant import DAY, HOUR
from posthouse.mail.reply import Reply
from posthouse.route.authentication import Authentication, CheckSettings, OurDomains
from posthouse.route.bureau import Bureau
from posthouse.route.observer import Unobserved
from posthouse.route.policy import Policy
from posthouse.route.reception import Inspection, Reception
from posthouse.route.reporting import ReportSettings
from posthouse.store import feedback, reports
from posthouse.store.database import Transaction
from posthouse.store.feedback import Kind, ReceivedReport, Span
from posthouse.store.reports import Gathered, SentReport
from route.office import LETTER, STRANGER, Office, in_office

FAR: Records = {
    "far.test": {"TXT": "v=spf1 ip4:192.0.2.7 -all", "MX": "10 mx.far.test"},
    "mx.far.test": {"A": "192.0.2.7"},
    "_dmarc.far.test": {"TXT": "v=DMARC1; p=none; rua=mailto:dmarc@far.test"},
}


class World(Zone):
    """The DNS as a house has it; questions have all the time there is."""

    def become(self, records: Records) -> None:
        """From now on it is this world."""
        ZoneDns.__init__(self, records)

    def within(self, seconds: float) -> Dns:
        return self

    def expect(self, kind: str, name: str) -> None:
        pass


class Failures(Unobserved):
    """What went wrong."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def failed(self, doing: str, error: BaseException) -> None:
        self.told.append(f"{doing}: {error!r}")


class Desk:
    """The report desk of one office, with what tests want to know."""

    def __init__(self, office: Office, zone: Records, settings: ReportSettings, policy: Policy) -> None:
        self.office = office
        self.world = World(zone)
        self.failures = Failures()
        self.bureau = Bureau(office.acceptance, self.world.within, settings, "one", self.failures)
        office.reception = Reception(
            office.acceptance,
            inspection=Inspection(
                Authentication(self.world, CheckSettings("mx.posthouse.test", ()), OurDomains(office.db)),
                policy,
                counts=self.bureau.counts,
                arrival=self.bureau.arrival,
            ),
        )

    async def receive(
        self, octets: bytes = LETTER, mail_from: str | None = "carol@far.test", ip: str = STRANGER.ip, to: str = ""
    ) -> Reply:
        """The reply to the end of data."""
        peer = replace(STRANGER, ip=ip)
        rcpt = to or "alice@posthouse.test"
        return (await self.office.hand_in(self.office.reception, peer, mail_from, [rcpt], octets))[-1]

    async def gathered(self, domain: str = "far.test") -> list[Gathered]:
        """What is counted for a domain today, without taking anything away."""
        day = self.office.clock.now // DAY

        def unit(tx: Transaction) -> list[Gathered]:
            return reports.gathered(tx, reports.Period(day, domain, 0, 0, "", 0))

        return await self.office.db.read(unit)

    async def next_day(self) -> int:
        """A night passes, and whatever is due is sent; gives for how many domains."""
        self.office.clock.now = (self.office.clock.now // DAY + 1) * DAY + 6 * HOUR
        count = 0
        while await self.bureau.reporter.send_one():
            count += 1
        assert self.failures.told == []
        return count

    async def sent(self) -> list[SentReport]:
        return await self.office.db.read(lambda tx: reports.sent_reports(tx, 0))

    async def received(self, kind: Kind = Kind.AGGREGATE, *, proven: bool = False) -> list[ReceivedReport]:
        """What was read since, oldest first."""
        await self.bureau.reader.read_all()
        found = await self.office.db.read(lambda tx: feedback.reports(tx, Span(0, proven=proven), kind))
        return found[::-1]

    async def outgoing(self) -> list[tuple[list[str], bytes, bytes]]:
        """The queue: recipients, prefix, octets."""
        return [
            (
                [str(delivery.rcpt.address) for delivery in entry.deliveries],
                entry.message.prefix,
                await self.office.blobs.read(entry.message.blob_id),
            )
            for entry in await self.office.queued()
        ]


def at_desk(
    folder: Path,
    zone: Records,
    work: Callable[[Desk], Awaitable[None]],
    settings: ReportSettings | None = None,
    policy: Policy | None = None,
) -> None:
    """Runs a test at the desk of a fresh office of posthouse.test."""

    async def within(office: Office) -> None:
        await work(Desk(office, zone, settings or ReportSettings(), policy or Policy()))

    in_office(folder, within)
