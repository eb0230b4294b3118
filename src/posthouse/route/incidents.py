"""Failure reports of ours (RFC 9991): a domain is told at once of a message in its name that did not pass.

    incidents = Incidents(acceptance, dns, settings, observer)
    incidents.note(case, findings, ruling)       for each message, accepted or refused; quick
    await incidents.run()                        for ever: asks who may be told, writes, signs and sends

Off unless the settings switch it on: such a report tells a stranger about somebody's mail. It says little unless
`redact` is off (`checks.reports.notice`). A few go about one domain in an hour and not many in all, counted in the
store for all processes; and few wait: what is beyond is not told, and nothing is lost with it, for it is counted in
the aggregate report.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

from posthouse import __version__
from posthouse.checks.reports import Incident, Permission, permit, wanted, write_failure
from posthouse.checks.reports.notice import HEADER_OCTETS, Delivery, Kind
from posthouse.mail.address import Address
from posthouse.mail.dns import Dns
from posthouse.mail.headers import Header
from posthouse.mail.instant import HOUR
from posthouse.mail.verdict import Decision, Defer, Quarantine, Reject
from posthouse.route.acceptance import Acceptance
from posthouse.route.authentication import Findings
from posthouse.route.case import Case
from posthouse.route.observer import Observer
from posthouse.route.policy import Ruling
from posthouse.route.reporting import ReportSettings, author_of, own_letter
from posthouse.store import credentials, reports
from posthouse.store.database import StoreFault, Transaction
from posthouse.store.ids import to_text
from posthouse.store.reports import SentReport

# Reports in an hour about one author's domain, and about all.
OF_A_DOMAIN = 4
IN_ALL = 60
WAITING = 50
DNS_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Noted:
    """An incident with the header it is about; `octets` begin with that header."""

    incident: Incident
    kind: Kind
    header: Header
    octets: bytes


class _Known(NamedTuple):
    """What the store knows before a report is written. `author` None: nobody could write it."""

    author: Address | None
    secret: bytes
    allowed: bool


class Incidents:
    """Those of one process. `dns(seconds)` gives a `Dns` with limited time."""

    def __init__(
        self,
        acceptance: Acceptance,
        dns: Callable[[float], Dns],
        settings: ReportSettings,
        observer: Observer,
    ) -> None:
        self._acceptance = acceptance
        self._dns = dns
        self._settings = settings
        self._observer = observer
        self._waiting: asyncio.Queue[_Noted] = asyncio.Queue(WAITING)

    def note(self, case: Case, findings: Findings | None, ruling: Ruling) -> None:
        """Lets a message wait to be told of, if its author's domain asks for it. Never raises."""
        if findings is None or findings.dmarc is None or isinstance(ruling.decision, Defer):
            return
        incident = Incident(
            findings.dmarc, findings.spf, findings.signatures, findings.ip, case.envelope.mail_from, case.now,
            _delivery(ruling.decision),
        )  # fmt: skip
        header = case.message.header
        kind = wanted(incident, header)
        if kind and not self._waiting.full():
            octets = bytes(case.message.octets[: min(header.end, HEADER_OCTETS)])
            self._waiting.put_nowait(_Noted(incident, kind, header, octets))

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.tell(await self._waiting.get())

    async def tell_all(self) -> None:
        """What waits at this moment."""
        while not self._waiting.empty():
            await self.tell(self._waiting.get_nowait())

    async def tell(self, noted: _Noted) -> None:
        """One report, if it may be sent."""
        found = noted.incident.found
        try:
            known = await self._acceptance.db.read(partial(self._known, found.author_domain))
            if known.author is None or not known.allowed:
                return
            permission = await permit(found.policy_domain, found.ruf, "ruf", self._dns(DNS_SECONDS))
            if permission.addresses:
                await self._send(noted, known, known.author, permission)
        except StoreFault as fault:
            self._observer.failed(f"telling {found.author_domain} of a failure", fault)

    def _known(self, domain: str, tx: Transaction) -> _Known:
        since = self._acceptance.clock() - HOUR
        allowed = (
            reports.sent_since(tx, domain, "failure", since) < OF_A_DOMAIN
            and reports.sent_since(tx, "", "failure", since) < IN_ALL
        )
        # One of the house's own, for this alone: from the tokens nobody learns what else it guards.
        secret = blake2b(key=credentials.secret(tx), person=b"failure reports").digest()
        return _Known(author_of(tx, self._settings), secret, allowed)

    async def _send(self, noted: _Noted, known: _Known, author: Address, permission: Permission) -> None:
        acceptance, incident = self._acceptance, noted.incident
        now = acceptance.clock()
        report_id = to_text(acceptance.ids.next(now))
        octets = write_failure(
            incident, noted.octets, noted.header, noted.kind,
            submitter=author.domain, author=author, to=permission.addresses, now=now, report_id=report_id,
            secret=known.secret, generator=f"Posthouse/{__version__}", redact=self._settings.redact,
        )  # fmt: skip
        letter = await own_letter(acceptance, author, permission.addresses, octets)
        to = tuple(map(str, permission.addresses))
        sent = SentReport(
            letter.journey_id, "failure", incident.found.author_domain, report_id, incident.arrival, incident.arrival,
            1, to, "",
        )  # fmt: skip
        await acceptance.accept(replace(letter, also=(partial(reports.remember, sent=sent),)))


def _delivery(decision: Decision) -> Delivery:
    if isinstance(decision, Reject):
        return "reject"
    return "spam" if isinstance(decision, Quarantine) else "delivered"
