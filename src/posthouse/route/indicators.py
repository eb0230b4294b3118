"""Logos of senders (BIMI), looked for when a message has long been accepted: nobody waits for a stranger's web server.

    indicators.consider(journey_id, header, findings)        after the commit; never waits, never raises
    await indicators.run()                                   for ever: asks the DNS, fetches, checks, keeps, stamps

Only mail that passed DMARC under a policy that is enforced is considered. What was found is kept for the domain and the
selector (`store.bimi`), so a logo is fetched once a day, however much its owner writes; and it is told on the journey
of each message, with where it is kept. A domain without a logo leaves no trace.

So many messages wait at most; of more the oldest have no logo, and the next one of the same sender may bring it.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol

from cryptography import x509

from posthouse.checks import bimi
from posthouse.checks.bimi import Bimi
from posthouse.checks.bimi.discovery import Assertion, Questions, discover, ineligible, wanted_selector
from posthouse.checks.bimi.record import RecordError
from posthouse.checks.dmarc import Lookups
from posthouse.mail.dns import Dns, DnsFault
from posthouse.mail.fetch import Fetch
from posthouse.mail.headers import Header
from posthouse.mail.instant import DAY, HOUR, Clock, Instant
from posthouse.mail.journey import Fact, Stamp, Step
from posthouse.route.authentication import Findings
from posthouse.route.observer import Observer
from posthouse.store import bimi as logos
from posthouse.store import journeys
from posthouse.store.bimi import Logo
from posthouse.store.database import Database

WAITING: Final = 200
"""Most messages that wait for their logo."""
LASTS: Final = DAY
"""How long what was found is believed; what could not be had now is tried again after `RETRY`."""
RETRY: Final = HOUR

_DNS_SECONDS: Final = 20.0
_AT_ONCE: Final = 4
_HEADER_OCTETS: Final = 64 * 1024
_SWEEP: Final = DAY
# Whose word there is for somebody who asks about a message; the others tell nothing.
_TOLD: Final = frozenset(("pass", "fail", "temperror", "declined"))


class Resolver(Protocol):
    """Where records are asked for; `serve.resolver.Resolver` is one."""

    def within(self, seconds: float) -> Dns:
        """A `Dns` whose questions all end within that time from now."""
        ...


class _Subject(NamedTuple):
    journey_id: int
    header: Header
    findings: Findings


class Indicators:
    """The logos of one house. `trusted` are the roots of mark certificates; without any, domains vouch for themselves.
    """

    def __init__(
        self,
        db: Database,
        resolver: Resolver,
        fetch: Fetch,
        clock: Clock,
        observer: Observer,
        trusted: Sequence[x509.Certificate] = (),
    ) -> None:
        self._db = db
        self._resolver = resolver
        self._fetch = fetch
        self._clock = clock
        self._observer = observer
        self._trusted = tuple(trusted)
        self._subjects: asyncio.Queue[_Subject] = asyncio.Queue(WAITING)
        self._swept: Instant = 0

    def consider(self, journey_id: int, header: Header, findings: Findings) -> None:
        """Puts a message that was accepted in line, if it may have a logo at all."""
        dmarc = findings.dmarc
        if dmarc is not None and dmarc.result == "pass" and dmarc.requested != "none" and header.end <= _HEADER_OCTETS:
            if self._subjects.full():
                self._subjects.get_nowait()
                self._subjects.task_done()
            self._subjects.put_nowait(_Subject(journey_id, header, findings))

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            subject = await self._subjects.get()
            try:
                await self.look(subject.journey_id, subject.header, subject.findings)
                await self._tidy()
            except Exception as error:
                # A drawing of a stranger ends nobody's work.
                self._observer.failed("looking for a logo", error)
            finally:
                self._subjects.task_done()

    async def settled(self) -> None:
        """Returns when nothing waits or is under way any more."""
        await self._subjects.join()

    async def look(self, journey_id: int, header: Header, findings: Findings) -> Logo | None:
        """Looks for the logo of one message, and tells its journey; what is kept about it now. May raise StoreFault."""
        try:
            assertion = await self._assertion(header, findings)
        except (DnsFault, RecordError):
            # What is wrong with the record is for the check to say; there is nothing to be kept about it.
            found = await self._check(header, findings)
            await self._tell(journey_id, found.result, found.verdict.reason, findings.author.domain)
            return None
        if assertion is None:
            return None
        kept = await self._db.read(
            partial(logos.find, domain=assertion.domain, selector=assertion.selector), quick=True
        )
        if kept is None or kept.record != assertion.record.text or kept.expires <= self._clock():
            kept = _logo(assertion, await self._check(header, findings), self._clock())
            await self._db.write(partial(logos.save, logo=kept))
        await self._tell(journey_id, kept.result, kept.reason, findings.author.domain, kept)
        return kept

    async def _assertion(self, header: Header, findings: Findings) -> Assertion | None:
        """The record that names the logo; None where none is looked for. May raise DnsFault, RecordError."""
        dmarc = findings.dmarc
        if dmarc is None:
            return None
        dns = self._resolver.within(_DNS_SECONDS)
        reason, organization = await ineligible(dmarc, Lookups(dns))
        if reason:
            return None
        wanted = wanted_selector(header, dmarc, findings.signatures)
        return await discover(findings.author, wanted, organization, Questions(dns))

    async def _check(self, header: Header, findings: Findings) -> Bimi:
        assert findings.dmarc is not None
        return await bimi.check(
            header, findings.author, findings.dmarc, findings.signatures, self._resolver.within(_DNS_SECONDS),
            self._fetch, self._clock(), trusted=self._trusted,
        )  # fmt: skip

    async def _tell(self, journey_id: int, result: str, reason: str, identity: str, kept: Logo | None = None) -> None:
        if result not in _TOLD:
            return
        facts: dict[str, Fact] = {"method": "bimi", "result": result, "identity": identity, "reason": reason}
        if kept is not None:
            facts |= {"domain": kept.domain, "selector": kept.selector}
        stamp = Stamp(self._clock(), Step.VERDICT, facts)
        await self._db.write(partial(journeys.append, journey_id=journey_id, stamps=(stamp,)))

    async def _tidy(self) -> None:
        now = self._clock()
        if not 0 <= now - self._swept < _SWEEP:
            self._swept = now
            await self._db.write(partial(logos.sweep, now=now))


def _logo(assertion: Assertion, found: Bimi, now: Instant) -> Logo:
    return Logo(
        domain=assertion.domain,
        selector=assertion.selector,
        record=assertion.record.text,
        result=found.result,
        reason=found.verdict.reason,
        authority=found.authority,
        organization=found.organization,
        mark=found.mark,
        preference=found.preference,
        fetched=now,
        expires=now + (RETRY if found.result == "temperror" else LASTS),
        indicator=found.indicator,
    )
