"""The report desk of a house: what it has to do with DMARC and TLS reports, in one place.

    bureau = Bureau(acceptance, dns, settings, owner, observer)
    Inspection(…, counts=bureau.counts, arrival=bureau.arrival)        what reception tells it
    bureau.work                                                        what it does beside, for ever
"""

import asyncio
from collections.abc import Awaitable, Callable

from posthouse.mail.dns import Dns
from posthouse.mail.instant import DAY
from posthouse.route.acceptance import Acceptance
from posthouse.route.authentication import Findings
from posthouse.route.case import Case
from posthouse.route.feedback import Expectations, Reader, arriving
from posthouse.route.incidents import Incidents
from posthouse.route.letter import Letter
from posthouse.route.observer import Observer
from posthouse.route.reception import Count
from posthouse.route.reporting import Reporter, ReportSettings, Unit, counting
from posthouse.store import feedback, reports
from posthouse.store.database import Transaction

# A day that could not be reported by then never is.
GIVE_UP_DAYS = 7
SENT_KEPT = 400 * DAY
NAMES_KEPT = 30 * DAY
SWEEP_SECONDS = 3600.0


class Bureau:
    """`dns(seconds)` gives a `Dns` with limited time; `owner` names this process in the store."""

    def __init__(
        self,
        acceptance: Acceptance,
        dns: Callable[[float], Dns],
        settings: ReportSettings,
        owner: str,
        observer: Observer,
    ) -> None:
        self._acceptance = acceptance
        self._settings = settings
        self.reporter = Reporter(acceptance, dns, settings, owner, observer)
        self.incidents = Incidents(acceptance, dns, settings, observer)
        self.expectations = Expectations(acceptance, dns)
        self.reader = Reader(acceptance, observer)

    @property
    def counts(self) -> tuple[Count, ...]:
        """What is to be told of every message that was examined."""
        settings = self._settings
        return ((counting,) if settings.send else ()) + ((self.incidents.note,) if settings.failures else ())

    def arrival(self, case: Case, findings: Findings | None, letter: Letter) -> Unit | None:
        """For a message that is accepted: lets it wait to be read, if it may be a report."""
        unit = arriving(case, findings, letter, self.expectations.addresses)
        if unit is not None:
            self.reader.nudge()
        return unit

    @property
    def work(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What goes on for ever, by name."""
        settings = self._settings
        work: dict[str, Callable[[], Awaitable[None]]] = {
            "reports received": self.reader.run,
            "addresses for reports": self.expectations.run,
            "old reports": self._forget,
        }
        if settings.send:
            work["reports sent"] = self.reporter.run
        if settings.failures:
            work["failures reported"] = self.incidents.run
        return work

    async def _forget(self) -> None:
        while True:
            await self._acceptance.db.write(self.sweep)
            await asyncio.sleep(SWEEP_SECONDS)

    def sweep(self, tx: Transaction) -> None:
        """Forgets what is old, a part at a time."""
        now = self._acceptance.clock()
        reports.sweep(tx, now // DAY - GIVE_UP_DAYS, now - SENT_KEPT)
        feedback.sweep(tx, now - self._settings.keep, now - NAMES_KEPT)
