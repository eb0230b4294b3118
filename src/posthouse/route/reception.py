"""The desk of port 25: what the world may send us, step by step, from RCPT to the commit.

    MAIL    the declared size
    RCPT    is the address ours, known, and has it room?         550 5.7.1 · 550 5.1.1 · 452 4.2.2
    DATA    one look at the octets, then `STEPS`, the checks, the policy, and acceptance

Nothing is decided here: a step says what a standard says, and what may be decided one way or another is a rule of
`route.policy` about the verdicts of the checks. Recipients elsewhere are never taken, whatever their form; an address
of ours that leads elsewhere (an alias) is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from posthouse.checks.reports.aggregate import Reason
from posthouse.mail.address import Address
from posthouse.mail.authentication_results import format_results
from posthouse.mail.envelope import Envelope, RcptTo
from posthouse.mail.headers import Header
from posthouse.mail.instant import SECOND, Instant
from posthouse.mail.journey import Stamp
from posthouse.mail.peer import Peer
from posthouse.mail.received import format_received
from posthouse.mail.reply import Reply
from posthouse.mail.verdict import Defer, Quarantine, Reject
from posthouse.route import forgeries
from posthouse.route.acceptance import TAKEN, Acceptance, refusal, store_reply
from posthouse.route.authentication import Authentication, Findings
from posthouse.route.case import Case, look
from posthouse.route.forwarding import Refused, resolve
from posthouse.route.greylisting import Greylisting
from posthouse.route.letter import Letter, Unfit, received_stamp
from posthouse.route.observer import Observer, Unobserved
from posthouse.route.opinion import Opinions
from posthouse.route.outage import Outages
from posthouse.route.policy import UNEXAMINED, Policy, Ruling, awaits_names
from posthouse.route.refusal import Refusals, Unit
from posthouse.route.signing import Provenance
from posthouse.route.srs import is_rewritten
from posthouse.route.verdicts import told
from posthouse.store.blobs import Content
from posthouse.store.database import StoreFault, Transaction
from posthouse.store.directory import Local, Resolution
from posthouse.store.ids import to_text

MAIL_TAKEN = Reply(250, "2.1.0", "Go on")

# An address that was taken is not looked up again for this long. Under load many messages come for few addresses, and
# the acceptance transaction asks in any case: what has changed meanwhile costs the client a second try.
_MEMORY = SECOND
_REMEMBERED = 10_000
# Larger than any quota, in octets.
_ENORMOUS = 1 << 60


@dataclass(frozen=True, slots=True)
class ReceptionSettings:
    """`size_limit` in octets. `max_received`: a message with more Received fields runs in a circle (THREATS).
    `authserv_id`: in whose name Authentication-Results is written; "" for the host's own."""

    size_limit: int = 50 * 1024 * 1024
    max_received: int = 50
    authserv_id: str = ""


class Suspicion(Protocol):
    """What single accounts make of a message that is not refused."""

    async def opinions(self, case: Case, findings: Findings | None, ruling: Ruling) -> Opinions:
        """The opinions of the accounts that have one. Never raises."""
        ...


class Indicators(Protocol):
    """Who looks for the logo of a message that was accepted."""

    def consider(self, journey_id: int, header: Header, findings: Findings) -> None:
        """Never waits, never raises."""
        ...


# What is counted of a message, accepted or refused; None where there is nothing to count.
Count = Callable[[Case, Findings | None, Ruling], Unit | None]
# What an accepted message that may be a report waits for; None where it is none.
Arrival = Callable[[Case, Findings | None, Letter], Unit | None]


@dataclass(frozen=True, slots=True)
class Inspection:
    """Who is asked about mail from outside, in their order. Without `authentication` nobody is asked who sent it.

    `counts` are told of every message, once it is known what becomes of it; `arrival` of every one that is accepted.
    """

    authentication: Authentication | None = None
    policy: Policy = field(default_factory=Policy)
    greylisting: Greylisting | None = None
    outages: Outages | None = None
    suspicion: Suspicion | None = None
    counts: tuple[Count, ...] = ()
    arrival: Arrival | None = None
    indicators: Indicators | None = None


class Reception:
    """The MTA's desk; see `MailDesk`."""

    def __init__(
        self,
        acceptance: Acceptance,
        settings: ReceptionSettings | None = None,
        inspection: Inspection | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._acceptance = acceptance
        self._settings = settings or ReceptionSettings()
        self._inspection = inspection or Inspection()
        self._authserv_id = self._settings.authserv_id or acceptance.hostname
        self._refusals = Refusals(acceptance, observer or Unobserved())
        self._taken: dict[Address, Instant] = {}

    async def mail(self, peer: Peer, envelope: Envelope) -> Reply:
        if envelope.mail_from is not None and not envelope.mail_from.domain:
            # RFC 5321 §4.1.1.3: a name without a domain is for RCPT only; nobody could be told of a failure.
            return Reply(553, "5.1.7", "The reverse-path has no domain")
        return size_reply(envelope, self._settings.size_limit) or MAIL_TAKEN

    async def rcpt(self, peer: Peer, envelope: Envelope, rcpt: RcptTo) -> Reply:
        address = rcpt.address
        now = self._acceptance.clock()
        if 0 <= now - self._taken.get(address, 0) < _MEMORY:
            return TAKEN
        acceptance = self._acceptance
        try:
            resolution, lasting = await acceptance.db.read(
                partial(_look_up, acceptance.at_home(address), envelope, now, acceptance.hostname), quick=True
            )
        except StoreFault as fault:
            return store_reply(fault)
        if not isinstance(resolution, Local):
            return refusal(address, resolution)
        if lasting:
            if len(self._taken) >= _REMEMBERED:
                self._taken.clear()
            self._taken[address] = now
        return TAKEN

    async def data(self, peer: Peer, envelope: Envelope, content: Content, stamps: Sequence[Stamp]) -> Reply:
        acceptance, inspection = self._acceptance, self._inspection
        now = acceptance.clock()
        examiner = inspection.authentication
        signatures = examiner is not None and not examiner.waives(peer.ip)
        seen = await look(acceptance, content, now, signatures=signatures)
        case = Case(peer, envelope, content, *seen, now)
        letter = Letter(
            acceptance.ids.next(now), envelope, content, seen.reading, b"", stamps,
            (received_stamp(content, seen.reading, now),), now,
        )  # fmt: skip
        for name, step in STEPS:
            reply = step(case, self._settings)
            if reply is not None:
                return await self._refuse(case, letter, None, Ruling(Reject(name, reply.text, reply)))
        findings, ruling, units = await self._inspect(case)
        if isinstance(ruling.decision, Defer | Reject):
            return await self._refuse(case, letter, findings, ruling, units)
        return await self._accept(case, letter, findings, ruling, units)

    async def _accept(
        self, case: Case, letter: Letter, findings: Findings | None, ruling: Ruling, units: Sequence[Unit]
    ) -> Reply:
        acceptance, inspection = self._acceptance, self._inspection
        opinions: Opinions = {}
        if inspection.suspicion is not None:
            opinions = await inspection.suspicion.opinions(case, findings, ruling)
        try:
            letter = await self._without_forgeries(case, letter)
        except StoreFault as fault:
            return await acceptance.refuse(case.content, store_reply(fault))
        provenance = None
        if findings is not None:
            pending = ruling.pending and not await self._is_late(case, findings)
            provenance = _provenance(findings, pending, self._authserv_id)
        counted = self._counted(case, findings, ruling)
        complete = replace(
            letter,
            trace=self._trace(letter, case.peer, provenance),
            found=(*letter.found, *told(findings, ruling, letter.now)),
            quarantine=isinstance(ruling.decision, Quarantine),
            also=(*units, *counted.values()),
            provenance=provenance,
            opinions=opinions,
        )
        try:
            reply = await acceptance.accept(self._awaited(case, findings, complete))
        except Unfit as unfit:
            # Whoever counts in a unit counted nothing yet, and counts a refusal now; others were told already.
            refused = _not_sent_on(ruling, findings, unfit)
            if ruling.pending and findings is not None and inspection.outages is not None:
                units = (*units, inspection.outages.noting(case, findings.author.domain))
            return await self._refuse(case, letter, findings, refused, units, tuple(counted))
        if inspection.indicators is not None and findings is not None and reply.is_positive:
            inspection.indicators.consider(letter.journey_id, case.message.header, findings)
        return reply

    async def _is_late(self, case: Case, findings: Findings) -> bool:
        outages = self._inspection.outages
        return outages is not None and await outages.is_late(case, findings.author.domain)

    def _trace(self, letter: Letter, peer: Peer, provenance: Provenance | None) -> bytes:
        """What stands in front of the message for everybody: Received, and above it what was found out."""
        envelope = letter.envelope
        received = format_received(
            peer,
            self._acceptance.hostname,
            to_text(letter.journey_id),
            letter.now,
            rcpt=envelope.rcpt_to[0].address if len(envelope.rcpt_to) == 1 else None,
            smtputf8=envelope.smtputf8,
        )
        if provenance is None or not provenance.results:
            return received
        return format_results(self._authserv_id, provenance.results) + received

    def _awaited(self, case: Case, findings: Findings | None, letter: Letter) -> Letter:
        arrival = self._inspection.arrival
        unit = arrival(case, findings, letter) if arrival is not None else None
        return letter if unit is None else replace(letter, also=(*letter.also, unit))

    async def _inspect(self, case: Case) -> tuple[Findings | None, Ruling, tuple[Unit, ...]]:
        """What the checks found, what is to be done, and what has to be written down in that case."""
        inspection = self._inspection
        if inspection.authentication is None:
            return None, UNEXAMINED, ()
        findings = await inspection.authentication.examine(case)
        ruling = inspection.policy.judge(case, findings)
        ended: Unit | None = None
        if inspection.outages is not None:
            ended = inspection.outages.ending(findings)
            if awaits_names(ruling):
                if not await self._is_late(case, findings):
                    return findings, ruling, (inspection.outages.noting(case, findings.author.domain),)
                ruling = inspection.policy.judge(case, findings, late=True)
        greeted: Unit | None = None
        if ruling.stranger and inspection.greylisting is not None:
            answer = await inspection.greylisting.ask(case)
            greeted = answer.unit
            if answer.decision is not None:
                ruling = replace(ruling, decision=answer.decision)
        return findings, ruling, tuple(unit for unit in (ended, greeted) if unit is not None)

    async def _refuse(
        self,
        case: Case,
        letter: Letter,
        findings: Findings | None,
        ruling: Ruling,
        units: Sequence[Unit] = (),
        counts: Sequence[Count] | None = None,
    ) -> Reply:
        decision = ruling.decision
        assert isinstance(decision, Defer | Reject)
        letter = replace(letter, found=(*letter.found, *told(findings, ruling, letter.now)))
        units = (*units, *self._counted(case, findings, ruling, counts).values())
        return await self._refusals.refuse(letter, case.peer.ip, decision.reply, units)

    def _counted(
        self, case: Case, findings: Findings | None, ruling: Ruling, counts: Sequence[Count] | None = None
    ) -> dict[Count, Unit]:
        """What each of `counts` (else all there are) has to write down of the message."""
        told = self._inspection.counts if counts is None else counts
        return {count: unit for count in told if (unit := count(case, findings, ruling)) is not None}

    async def _without_forgeries(self, case: Case, letter: Letter) -> Letter:
        """The letter with the body that is kept. `StoreFault` where one without forged fields cannot be written."""
        fields = forgeries.forged(case.message.header, self._authserv_id)
        if not fields:
            return letter
        acceptance = self._acceptance
        kept = await forgeries.without(acceptance.blobs, case.content, fields)
        reading = await acceptance.read(kept, case.now)
        await acceptance.blobs.discard(case.content)
        found = (*letter.found, *forgeries.stamps(fields, kept, case.now))
        return replace(letter, content=kept, reading=reading, found=found)


def _look_up(
    address: Address, envelope: Envelope, now: Instant, hostname: str, tx: Transaction
) -> tuple[Resolution | Refused, bool]:
    """Where the address leads, and whether that will be so for a moment: whoever writes, and however much."""
    resolution = resolve(tx, address, envelope.mail_from, now, size=envelope.size or 0, hostname=hostname)
    if not isinstance(resolution, Local) or is_rewritten(address):
        return resolution, False
    enormous = resolve(tx, address, envelope.mail_from, now, size=_ENORMOUS, hostname=hostname)
    return resolution, isinstance(enormous, Local)


def _not_sent_on(ruling: Ruling, findings: Findings | None, unfit: Unfit) -> Ruling:
    """What becomes of a ruling where nobody here gets the message and it may not be sent on."""
    reply = unfit.reply
    if ruling.pending:
        # A fault of the DNS refuses nothing for good.
        later = Reply(451, "4.7.5", f"{reply.text}; the DNS does not tell now who sent it, try again")
        return replace(ruling, decision=Defer("forward", later.text, later), disposition="none", overrides=())
    decision = Reject("forward", reply.text, reply)
    if findings is None or findings.dmarc is None or findings.dmarc.result != "fail":
        return replace(ruling, decision=decision)
    overruled = f"{ruling.decision.rule}: {ruling.decision.reason}"
    overrides = tuple(each for each in ruling.overrides if each.comment != overruled)
    if not overrides and findings.dmarc.policy != "reject":
        # An aggregate report tells of nobody: which address leads elsewhere is no affair of its readers.
        overrides = (Reason("local_policy", f"{decision.rule}: {unfit.reason} is not sent on"),)
    return replace(ruling, decision=decision, disposition="reject", overrides=overrides)


def _provenance(findings: Findings, pending: bool, authserv_id: str) -> Provenance:
    """What is told to whoever the message is sent on to."""
    dmarc = findings.dmarc
    if dmarc is None:
        return Provenance(authserv_id, (), dmarc="pass" if findings.waived else "none")
    return Provenance(
        authserv_id, findings.results, findings.arc, dmarc.result, dmarc.aligned_dkim, dmarc.requested,
        pending,
    )  # fmt: skip


def size_reply(envelope: Envelope, limit: int) -> Reply | None:
    """The refusal of a message that is declared too large (RFC 1870 §6.1)."""
    if envelope.size is not None and envelope.size > limit:
        return Reply(552, "5.3.4", f"Messages may have up to {limit} octets here")
    return None


def fit_header(case: Case, settings: ReceptionSettings) -> Reply | None:
    """One author, each field once, nothing that two programs could read in two ways."""
    if case.reading.flaw:
        return Reply(550, "5.6.0", case.reading.flaw)
    return None


def few_hops(case: Case, settings: ReceptionSettings) -> Reply | None:
    # RFC 5321 §6.3
    if case.reading.hops > settings.max_received:
        return Reply(554, "5.4.6", f"The message runs in a circle: it has {case.reading.hops} Received fields")
    return None


def no_return(case: Case, settings: ReceptionSettings) -> Reply | None:
    """A message that was here for this very recipient, and went on from here, has come back."""
    if case.reading.delivered_to:
        for rcpt in case.envelope.rcpt_to:
            address = str(rcpt.address)
            if address.lower() in case.reading.delivered_to:
                return Reply(554, "5.4.6", f"The message runs in a circle: it was delivered to <{address}> before")
    return None


# What a standard says, under the name that the journey gives it.
STEPS: tuple[tuple[str, Callable[[Case, ReceptionSettings], Reply | None]], ...] = (
    ("fit-header", fit_header), ("few-hops", few_hops), ("no-return", no_return),
)
