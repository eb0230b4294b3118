"""The desk of port 25: what the world may send us, step by step, from RCPT to the commit.

    MAIL    the declared size
    RCPT    is the address ours, known, and has it room?         550 5.7.1 · 550 5.1.1 · 452 4.2.2
    DATA    one look at the octets, then `STEPS`, the checks, the policy, and acceptance

Nothing is decided here: a step says what a standard says, and what may be decided one way or another is a rule of
`route.policy` about the verdicts of the checks. Recipients elsewhere are never taken, whatever their form; an address
of ours that leads elsewhere (an alias) is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from posthouse.mail.address import Address
from posthouse.mail.authentication_results import format_results
from posthouse.mail.envelope import Envelope, RcptTo
from posthouse.mail.instant import SECOND, Instant
from posthouse.mail.journey import Stamp
from posthouse.mail.peer import Peer
from posthouse.mail.received import format_received
from posthouse.mail.reply import Reply
from posthouse.mail.verdict import Defer, Quarantine, Reject
from posthouse.route.acceptance import TAKEN, Acceptance, Letter, received_stamp, refusal, store_reply
from posthouse.route.authentication import Authentication, Findings
from posthouse.route.case import Case, look
from posthouse.route.policy import UNEXAMINED, Policy
from posthouse.route.verdicts import told
from posthouse.store.blobs import Content
from posthouse.store.database import StoreFault, Transaction
from posthouse.store.directory import Local, Resolution, resolve
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


class Reception:
    """The MTA's desk; see `MailDesk`. Without `authentication` nothing is asked about anybody."""

    def __init__(
        self,
        acceptance: Acceptance,
        settings: ReceptionSettings | None = None,
        authentication: Authentication | None = None,
        policy: Policy | None = None,
    ) -> None:
        self._acceptance = acceptance
        self._settings = settings or ReceptionSettings()
        self._authentication = authentication
        self._policy = policy or Policy()
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
        try:
            resolution, lasting = await self._acceptance.db.read(
                partial(_look_up, address, envelope.size or 0, self._acceptance.hostname), quick=True
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
        acceptance = self._acceptance
        now = acceptance.clock()
        seen = await look(acceptance, content, now, signatures=self._authentication is not None)
        case = Case(peer, envelope, content, *seen, now)
        for step in STEPS:
            reply = step(case, self._settings)
            if reply is not None:
                return await acceptance.refuse(content, reply)
        findings: Findings | None = None
        ruling = UNEXAMINED
        if self._authentication is not None:
            findings = await self._authentication.examine(case)
            ruling = self._policy.judge(case, findings)
        decision = ruling.decision
        if isinstance(decision, Defer | Reject):
            return await acceptance.refuse(content, decision.reply)
        journey_id = acceptance.ids.next(now)
        found = [received_stamp(content, seen.reading, now), *told(findings, ruling, now)]
        trace = format_received(
            peer,
            acceptance.hostname,
            to_text(journey_id),
            now,
            rcpt=envelope.rcpt_to[0].address if len(envelope.rcpt_to) == 1 else None,
            smtputf8=envelope.smtputf8,
        )
        if findings is not None and not findings.waived:
            trace = format_results(self._settings.authserv_id or acceptance.hostname, findings.results) + trace
        quarantine = isinstance(decision, Quarantine)
        opinions = findings.opinions if findings is not None else {}
        return await acceptance.accept(
            Letter(
                journey_id, envelope, content, seen.reading, trace, stamps, found, now, quarantine, opinions=opinions
            )
        )


def _look_up(address: Address, size: int, hostname: str, tx: Transaction) -> tuple[Resolution, bool]:
    """Where the address leads, and whether that will be so for a moment: no account of it has a quota to fill."""
    resolution = resolve(tx, address, size=size, hostname=hostname)
    enormous = resolve(tx, address, size=_ENORMOUS, hostname=hostname) if isinstance(resolution, Local) else None
    lasting = isinstance(enormous, Local)
    return resolution, lasting


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


STEPS: tuple[Callable[[Case, ReceptionSettings], Reply | None], ...] = (fit_header, few_hops, no_return)
