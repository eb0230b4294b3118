"""Aggregate reports of ours (RFC 9990): what comes in is counted, and once a day the owners of domains are told.

    unit = counting(case, findings, ruling)      for `Letter.also`, or for a write of its own where mail is refused
    await Reporter(…).run()                      for ever: what is due is written, signed and sent

A day of one domain is claimed, written, and put on its way in the transaction that forgets it: so of several processes
one sends, nothing is sent twice, and a server that stood still for days catches up. What goes out is mail like any
other of ours: signed, tried again by the queue, with a journey. Where a domain is one of ours, what we saw ourselves
is also kept with what others report (`route.feedback`).
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from posthouse import __version__
from posthouse.checks.dmarc.discovery import Lookups
from posthouse.checks.dmarc.record import destination
from posthouse.checks.reports import AggregateReport, Permission, batches, mail_aggregate, observe, permit, report_id
from posthouse.checks.reports.recognition import is_report
from posthouse.mail.address import Address
from posthouse.mail.dns import Dns, DnsFault
from posthouse.mail.envelope import Envelope, Notify, RcptTo
from posthouse.mail.instant import DAY, HOUR, MINUTE, SECOND
from posthouse.mail.verdict import Defer
from posthouse.route.acceptance import Acceptance
from posthouse.route.authentication import Findings
from posthouse.route.case import Case
from posthouse.route.forwarding import resolve
from posthouse.route.gleanings import glean
from posthouse.route.letter import Letter, Ready, Receipt, Unplaceable, received_stamp
from posthouse.route.observer import Observer
from posthouse.route.policy import Ruling
from posthouse.store import directory, feedback, reports
from posthouse.store.database import StoreFault, Transaction
from posthouse.store.directory import Local, NotOurs
from posthouse.store.feedback import Arrival
from posthouse.store.ids import to_text
from posthouse.store.reports import Gathered, Period, SentReport

# Reports about a day go when it is over for everybody who was still at it, spread over some hours: whoever takes
# reports gets those of all the world on the same day.
START = 15 * MINUTE
SPREAD = 4 * HOUR
# A process that claims a day of a domain has it for itself so long.
LEASE = 15 * MINUTE
# Whether somebody wants reports is asked so often, then he goes without; and what was not sent by then never is.
TRIES = 4
PATIENCE = HOUR

LOOK_SECONDS = 60.0
# Between two days of domains that are due together.
PAUSE_SECONDS = 1.0
DNS_SECONDS = 30.0
_ERRORS = 5

Unit = Callable[[Transaction], None]


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """`send` aggregate reports, and `failures` as they happen; `redact` leaves out of these what tells of people.

    `author` stands in From and MAIL FROM; None: postmaster of our first domain. `organization` is our name in reports;
    "": the author's domain. `keep`: how long reports of others are kept, in µs.
    """

    send: bool = True
    failures: bool = False
    redact: bool = True
    author: Address | None = None
    organization: str = ""
    keep: int = 400 * DAY


def counting(case: Case, findings: Findings | None, ruling: Ruling) -> Unit | None:
    """What counts this message for the report to its author's domain; None where nobody asked for one.

    Reception calls this once it knows its ruling, and puts the unit into `Letter.also`, so that a message is counted
    when it is accepted and only then. A message that the policy refuses is counted too (RFC 9990: whatever becomes of
    it), in the transaction that writes its refusal down. One that is deferred comes again, so None. Nor is a report
    counted that its author sent as such: two servers would tell each other of their reports for ever. The unit writes
    one page where a message like it was counted before, is rerunnable, and raises nothing.
    """
    if findings is None or findings.dmarc is None or isinstance(ruling.decision, Defer):
        return None
    counter = observe(
        findings.dmarc,
        ip=findings.ip,
        mail_from=case.envelope.mail_from,
        spf=findings.spf,
        signatures=findings.signatures,
        disposition=ruling.disposition,
        reasons=ruling.overrides,
    )
    if counter is None or (findings.dmarc.result == "pass" and is_report(case.message.header)):
        return None
    day = case.now // DAY
    due = (day + 1) * DAY + START + random.randrange(SPREAD)
    return partial(reports.count, counter=counter, day=day, due=due)


def author_of(tx: Transaction, settings: ReportSettings) -> Address | None:
    """Who writes our reports; None while no domain is ours."""
    domains = directory.domains(tx)
    return settings.author or (Address("postmaster", domains[0]) if domains else None)


@dataclass(frozen=True, slots=True)
class Draft:
    """One report, and whom it goes to: `octets` are its mail, and `note` says why where nobody gets it."""

    report: AggregateReport
    to: tuple[Address, ...]
    octets: bytes
    note: str


class Reporter:
    """Sends what is due. `dns(seconds)` gives a `Dns` with limited time, `owner` names this process in the store."""

    def __init__(
        self,
        acceptance: Acceptance,
        dns: Callable[[float], Dns],
        settings: ReportSettings,
        owner: str,
        observer: Observer,
    ) -> None:
        self._acceptance = acceptance
        self._dns = dns
        self._settings = settings
        self._owner = owner
        self._observer = observer

    async def run(self) -> None:
        """For ever."""
        while True:
            rest = PAUSE_SECONDS if await self.send_one() else LOOK_SECONDS
            await asyncio.sleep(rest * (0.5 + random.random()))

    async def send_one(self) -> bool:
        """Sends the reports about the day and domain that is due longest; False where none is."""
        claim = partial(reports.claim, now=self._acceptance.clock(), owner=self._owner, lease=LEASE)
        period = await self._acceptance.db.write(claim)
        if period is None:
            return False
        try:
            await self._tell(period)
        except StoreFault:
            raise
        except Exception as error:
            # Whatever is wrong with this one, the others go. Its lease ends, and in the end it is given up.
            self._observer.failed(f"reporting to {period.domain}", error)
        return True

    async def _tell(self, period: Period) -> None:
        db = self._acceptance.db
        author, gathered, number = await db.read(partial(self._known, period))
        if author is None:
            await self._postpone(period, DAY)
            return
        permissions = [await self._ask(period.domain, each.rua) for each in gathered]
        if period.tries < TRIES and any(permission.open for permission in permissions):
            await self._postpone(period, PATIENCE)
            return
        errors = await self._errors(period)
        drafts = await asyncio.to_thread(
            self._write, period, list(zip(gathered, permissions, strict=True)), author, errors, number
        )
        letters = [await self._letter(draft, author) for draft in drafts]
        unit = partial(self._send, period, list(zip(drafts, letters, strict=True)), author)
        receipts = await self._acceptance.write(unit, octets=sum(len(draft.octets) for draft in drafts))
        for letter, receipt in receipts:
            self._acceptance.announce(receipt.topics)
            self._observer.happened("accepted", to_text(letter.journey_id), receipt.stamps)

    def _known(self, period: Period, tx: Transaction) -> tuple[Address | None, list[Gathered], int]:
        """Who writes, what was gathered, and how many reports about that day went before."""
        sent = reports.sent_about(tx, period.domain, period.day * DAY)
        return author_of(tx, self._settings), reports.gathered(tx, period), sent

    async def _ask(self, domain: str, rua: Sequence[str]) -> Permission:
        # Only URIs that are addresses were counted.
        places = [place for uri in rua if (place := destination(uri)) is not None]
        return await permit(domain, places, "rua", self._dns(DNS_SECONDS))

    async def _postpone(self, period: Period, wait: int) -> None:
        due = self._acceptance.clock() + wait + random.randrange(PATIENCE)
        await self._acceptance.db.write(partial(reports.postpone, period=period, due=due))

    async def _errors(self, period: Period) -> tuple[str, ...]:
        """What the domain's owner should know about his record, and about what is missing here."""
        lookups = Lookups(self._dns(DNS_SECONDS))
        try:
            record = await lookups.record(period.domain)
        except DnsFault:
            record = None
        flaws = [*lookups.flaws, *(record.flaws if record is not None else ())][:_ERRORS]
        if period.left_out:
            flaws.append(f"{period.left_out:,} more messages are not told of")
        return tuple(flaws)

    def _write(
        self,
        period: Period,
        gathered: Sequence[tuple[Gathered, Permission]],
        author: Address,
        errors: tuple[str, ...],
        number: int,
    ) -> list[Draft]:
        """CPU only: all reports about one day of one domain."""
        begin = period.day * DAY
        drafts = []
        for each, permission in gathered:
            for rows in batches(each.rows):
                report = AggregateReport(
                    org_name=self._settings.organization or author.domain,
                    email=str(author),
                    report_id=report_id(period.domain, begin, author.domain, number),
                    begin=begin,
                    end=begin + DAY - SECOND,
                    policy=each.policy,
                    rows=rows,
                    errors=errors,
                    generator=f"Posthouse {__version__}",
                )
                to, octets, note = permission.addresses, b"", "; ".join(permission.reasons)
                if to:
                    unique = str(number) if number else ""
                    now = self._acceptance.clock()
                    octets, note = mail_aggregate(report, author.domain, author, to, now, unique), ""
                drafts.append(Draft(report, to, octets, note))
                number += 1
        return drafts

    async def _letter(self, draft: Draft, author: Address) -> Letter | None:
        """The mail, signed and ready; None where there is nobody to get it."""
        return await own_letter(self._acceptance, author, draft.to, draft.octets) if draft.to else None

    def _send(
        self,
        period: Period,
        drafts: Sequence[tuple[Draft, Letter | None]],
        author: Address,
        tx: Transaction,
        *,
        ready: Ready,
    ) -> list[tuple[Letter, Receipt]]:
        if not reports.finish(tx, period):
            return []
        taken = []
        ours = directory.is_local(tx, period.domain)
        for draft, letter in drafts:
            sent, note = _placeable(tx, letter, self._acceptance.hostname), draft.note
            sent_id = letter.journey_id if letter is not None else self._acceptance.ids.next(self._acceptance.clock())
            to: tuple[str, ...] = ()
            if sent is not None:
                try:
                    taken.append((sent, self._acceptance.enter(tx, sent, ready)))
                    to = tuple(str(rcpt.address) for rcpt in sent.envelope.rcpt_to)
                except Unplaceable as refusal:
                    note = str(refusal)
            elif letter is not None:
                note = "no address that it should go to exists here"
            report = draft.report
            reports.remember(
                tx,
                SentReport(
                    sent_id, "aggregate", period.domain, report.report_id, report.begin, report.end, report.messages,
                    to, note,
                ),
            )  # fmt: skip
            if ours:
                self._keep(tx, report, Arrival(sent_id, 0, True, 0, author.domain, ""))
        return taken

    def _keep(self, tx: Transaction, report: AggregateReport, arrival: Arrival) -> None:
        """What we saw ourselves in the name of a domain of ours."""
        for told in glean(report, arrival):
            key = self._acceptance.ids.next(self._acceptance.clock())
            feedback.keep(tx, replace(told.report, report_key=key), told.lines)


async def own_letter(acceptance: Acceptance, author: Address, to: Sequence[Address], octets: bytes) -> Letter:
    """A mail of our own to `to`, signed for its author. Whoever cannot get it is not told of (NOTIFY=NEVER)."""
    now = acceptance.clock()
    envelope = Envelope(author, tuple(RcptTo(address, notify=Notify.NEVER) for address in to))
    content = await acceptance.blobs.content(octets)
    reading = await acceptance.read(content, now)
    signed = await acceptance.sign(content, author, now)
    found = (received_stamp(content, reading, now), *signed.stamps)
    return Letter(acceptance.ids.next(now), envelope, content, reading, signed.fields, (), found, now, relays=True)


def _placeable(tx: Transaction, letter: Letter | None, hostname: str) -> Letter | None:
    """The letter without addresses of ours that do not exist or have no room; None where nobody is left."""
    if letter is None:
        return None
    envelope = letter.envelope

    def exists(rcpt: RcptTo) -> bool:
        size, now = letter.content.size, letter.now
        found = resolve(tx, rcpt.address, envelope.mail_from, now, size=size, hostname=hostname)
        return isinstance(found, Local | NotOurs)

    rcpts = tuple(filter(exists, envelope.rcpt_to))
    return replace(letter, envelope=replace(envelope, rcpt_to=rcpts)) if rcpts else None
