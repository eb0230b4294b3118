"""Reports that others send about us (RFC 9990, RFC 9991, RFC 8460): recognised at the door, read at leisure.

    unit = arriving(case, findings, letter, expected)      for `Letter.also`
    await Reader(…).run()                                  for ever: reads what waits

Whatever a report holds, its mail is filed as any other. It is read where it came to an address that the DNS records of
our domains name for reports (`Expectations`), or where it looks like one and DMARC proves its author. What is kept of
it is about domains of ours, and says whether its sender was proved: only then it counts, unless somebody asks for all.
"""

import asyncio
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from functools import partial

from posthouse.checks.dmarc.record import parse as parse_dmarc
from posthouse.checks.reports import Report, ReportError, read
from posthouse.checks.reports.archive import REPORT_OCTETS
from posthouse.checks.reports.recognition import is_report
from posthouse.mail.address import Address, AddressError
from posthouse.mail.dns import Dns, DnsFault
from posthouse.mail.instant import MINUTE, Instant
from posthouse.mail.journey import Stamp, Step
from posthouse.mail.message import Message
from posthouse.route.acceptance import Acceptance
from posthouse.route.authentication import Findings
from posthouse.route.case import Case
from posthouse.route.gleanings import glean, outcome
from posthouse.route.letter import Letter
from posthouse.route.observer import Observer
from posthouse.store import directory, feedback, journeys
from posthouse.store.blobs import Content
from posthouse.store.database import StoreFault, Transaction
from posthouse.store.feedback import Arrival
from posthouse.store.ids import to_text

Unit = Callable[[Transaction], None]
Key = tuple[str, str]

# A mail is larger than the report in it by what base64 adds, and a few words.
MAIL_OCTETS = REPORT_OCTETS * 3 // 2
# Whoever reads a report has it for himself so long; one that could not be read so often never will be.
LEASE = 10 * MINUTE
TRIES = 5
# How often is looked where nothing was announced, and for how long often, once something was.
LOOK_SECONDS = 30.0
NUDGED_SECONDS = 0.5
NUDGES = 10
EXPECTATIONS_SECONDS = 3600.0
DNS_SECONDS = 20.0

# RFC 8460 §3
_is_tlsrpt = re.compile(rb"v=TLSRPTv1[ \t]*(?:;|\Z)").match
_find_rua = re.compile(rb";[ \t]*rua[ \t]*=([^;]{1,2000})").search


def _key(address: Address) -> Key:
    return address.key, address.domain


def arriving(case: Case, findings: Findings | None, letter: Letter, expected: Container[Key]) -> Unit | None:
    """What lets an accepted mail wait to be read as a report; None where it is none.

    `letter` is what the mail is stored as. Nothing is read here but the header. The unit writes one small row.
    """
    addressed = next((rcpt.address for rcpt in case.envelope.rcpt_to if _key(rcpt.address) in expected), None)
    proven = findings is not None and is_proven(findings)
    if addressed is None and not (proven and is_report(case.message.header)):
        return None
    author = letter.reading.header_from
    if author is None:
        return None
    arrival = Arrival(letter.journey_id, 0, proven, 0, author.domain, str(addressed or ""))
    dated, digest = letter.reading.message.sent_at, letter.content.digest
    return partial(feedback.arrive, arrival=arrival, dated=dated, digest=digest, now=letter.now)


def is_proven(findings: Findings) -> bool:
    """Whether its author is who From says: by DMARC, or by the word of a relay of ours."""
    return bool(findings.waived) or (findings.dmarc is not None and findings.dmarc.result == "pass")


class Expectations:
    """The addresses that the records of our domains name for reports; empty until `refresh` has asked."""

    def __init__(self, acceptance: Acceptance, dns: Callable[[float], Dns]) -> None:
        self._acceptance = acceptance
        self._dns = dns
        self._named: dict[str, frozenset[Key]] = {}
        self.addresses: frozenset[Key] = frozenset()

    async def run(self) -> None:
        """Asks now and then, for ever."""
        while True:
            await self.refresh()
            await asyncio.sleep(EXPECTATIONS_SECONDS)

    async def refresh(self) -> None:
        """Asks for the records of every domain of ours; where one cannot be had now, what it named last stays."""
        domains = await self._acceptance.db.read(directory.domains)
        named: dict[str, frozenset[Key]] = {}
        for domain in domains:
            for name, read_record in ((f"_dmarc.{domain}", _dmarc_addresses), (f"_smtp._tls.{domain}", _tls_addresses)):
                try:
                    records = (await self._dns(DNS_SECONDS).txt(name)).records
                except DnsFault:
                    named[name] = self._named.get(name, frozenset())
                else:
                    named[name] = frozenset(_key(address) for record in records for address in read_record(record))
        self._named = named
        self.addresses = frozenset().union(*named.values())


def _dmarc_addresses(octets: bytes) -> list[Address]:
    record = parse_dmarc(octets)
    places = (*record.rua, *record.ruf) if record is not None else ()
    return [place.address for place in places if place.address is not None]


def _tls_addresses(octets: bytes) -> list[Address]:
    match = _find_rua(octets) if _is_tlsrpt(octets) else None
    found = []
    for uri in match[1].split(b",") if match is not None else ():
        text = uri.strip(b" \t").decode("latin-1")
        if text[:7].lower() == "mailto:":
            try:
                found.append(Address.parse(text[7:]))
            except AddressError:
                continue
    return found


class Reader:
    """Reads reports that have arrived, one after the other, in a thread. Several processes may do so together."""

    def __init__(self, acceptance: Acceptance, observer: Observer) -> None:
        self._acceptance = acceptance
        self._observer = observer
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        """Something is about to arrive."""
        self._nudged.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.read_all()
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._nudged.wait()
            except TimeoutError:
                continue
            self._nudged.clear()
            for _ in range(NUDGES):
                # The commit of what was announced may be under way.
                await asyncio.sleep(NUDGED_SECONDS)
                if await self.read_all():
                    break

    async def read_all(self) -> int:
        """Reads what waits; gives how many mails that were."""
        count = 0
        while await self._acceptance.db.read(partial(feedback.waits, now=self._acceptance.clock()), quick=True):
            arrival = await self._acceptance.db.write(self._claim, quick=True)
            if arrival is None:
                break
            await self._read(arrival)
            count += 1
        return count

    def _claim(self, tx: Transaction) -> Arrival | None:
        return feedback.claim(tx, self._acceptance.clock(), LEASE)

    async def _read(self, arrival: Arrival) -> None:
        acceptance = self._acceptance
        found: Callable[[Transaction], Sequence[Stamp]]
        try:
            found = partial(self._keep, arrival, await self._open(arrival))
        except ReportError as error:
            refused = [_stamp(acceptance.clock(), f"refused, {error}")]
            found = partial(_unkept, refused)
        except StoreFault as fault:
            # Its reader may have removed it before anybody looked; or it is a fault that passes, and the lease ends.
            if arrival.tries < TRIES:
                return
            self._observer.failed(f"reading the report {to_text(arrival.journey_id)}", fault)
            found = partial(_unkept, [])
        await acceptance.db.write(partial(_settle, arrival, found))

    async def _open(self, arrival: Arrival) -> Report:
        content = await self._acceptance.blobs.load(arrival.blob_id)
        if content.size > MAIL_OCTETS:
            raise ReportError(f"The mail is larger than {MAIL_OCTETS:,} octets")
        return await asyncio.to_thread(_read, content)

    def _keep(self, arrival: Arrival, report: Report, tx: Transaction) -> list[Stamp]:
        """What the report tells about domains of ours."""
        now = self._acceptance.clock()
        ours = directory.domains(tx)
        stamps = []
        for told in glean(report, arrival):
            if _within(told.report.domain, ours):
                kept = replace(told.report, report_key=self._acceptance.ids.next(now))
                fate = feedback.keep(tx, kept, told.lines)
                stamps.append(_stamp(now, outcome(kept, fate), kind=kept.kind.value, domain=kept.domain))
        return stamps or [_stamp(now, "not kept, since it is about no domain of ours")]


def _settle(arrival: Arrival, found: Callable[[Transaction], Sequence[Stamp]], tx: Transaction) -> None:
    """Once for each arrival: what was found is kept, and told on its journey."""
    if feedback.dismiss(tx, arrival):
        journeys.append(tx, arrival.journey_id, found(tx))


def _unkept(stamps: Sequence[Stamp], tx: Transaction) -> Sequence[Stamp]:
    return stamps


def _read(content: Content) -> Report:
    with content.open() as octets:
        return read(Message.parse(octets))


def _within(domain: str, ours: Sequence[str]) -> bool:
    return any(domain == known or domain.endswith(f".{known}") for known in ours)


def _stamp(at: Instant, outcome: str, **facts: str) -> Stamp:
    return Stamp(at, Step.REPORT, {**facts, "outcome": outcome})
