"""What follows from a try: each recipient's new state, the journey, and who is to be told, in one transaction.

    await settlement.settle(Result(claim.message, deliveries, attempts, …))

A failed recipient and the notification about it are one commit, so a crash between the two cannot be. A worker whose
lease ran out finds that its result is not taken, and then nothing of it is stored. When the store cannot write just
now the result is kept and offered again, for as long as the lease may hold: forgetting it would send the mail twice.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from posthouse.mail.delivery import Attempt, Delivery, Outcome, Schedule, State
from posthouse.mail.headers import scan_header
from posthouse.mail.instant import Instant, rfc3339
from posthouse.mail.journey import Fact, Stamp, Step
from posthouse.route.acceptance import QUICK_RECIPIENTS, Acceptance
from posthouse.route.bounce import QUOTE_OCTETS, Action, Notice, Original, wanted
from posthouse.route.letter import Ready
from posthouse.route.observer import Observer
from posthouse.store import journeys, queue
from posthouse.store.database import StoreFault, Transaction
from posthouse.store.ids import to_text
from posthouse.store.queue import QueuedMessage

# Waits in seconds before a result is offered to the store again; the first time at once.
_PATIENCE = (0.0, 0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60)


@dataclass(frozen=True, slots=True)
class Result:
    """What one try gave: an attempt for each delivery, in order.

    `unaware`: those taken by a server that does not keep RFC 3461. `stamps`: how the way was found, who else was
    tried. `seconds` is how long it took in all.
    """

    message: QueuedMessage
    deliveries: Sequence[Delivery]
    attempts: Sequence[Attempt]
    unaware: frozenset[int] = frozenset()
    stamps: Sequence[Stamp] = ()
    seconds: float = 0.0


@dataclass(slots=True)
class _Outcome:
    """One recipient's transition, worked out before the transaction."""

    after: Delivery
    attempt: Attempt
    stamps: list[Stamp]
    notice: Notice | None
    delays: bool = field(default=False)


class Settlement:
    """Stores results. `random` gives numbers in [0, 1)."""

    def __init__(
        self, acceptance: Acceptance, schedule: Schedule, random: Callable[[], float], observer: Observer
    ) -> None:
        self._acceptance = acceptance
        self._schedule = schedule
        self._random = random
        self._observer = observer

    async def settle(self, result: Result) -> None:
        """Returns when the result is durable, or given up because the store did not recover."""
        # One for all: recipients who fail together are tried again together, and told about together.
        jitter = self._random()
        outcomes = [
            self._transition(result, index, delivery, attempt, jitter)
            for index, (delivery, attempt) in enumerate(zip(result.deliveries, result.attempts, strict=True))
        ]
        original = None
        if any(outcome.notice for outcome in outcomes):
            original = await self._original(result.message)
        for wait in _PATIENCE:
            if wait:
                await asyncio.sleep(wait)
            try:
                stamps, topics = await self._acceptance.write(
                    partial(self._enter, result=result, outcomes=outcomes, original=original),
                    quick=len(outcomes) <= QUICK_RECIPIENTS,
                )
            except StoreFault as fault:
                self._observer.failed("storing the result of a try", fault)
                if fault.broken:
                    return
                continue
            self._acceptance.announce(topics)
            self._observer.happened("relay", to_text(result.message.journey_id), stamps)
            return

    def _transition(
        self, result: Result, index: int, delivery: Delivery, attempt: Attempt, jitter: float
    ) -> _Outcome:
        after = delivery.after(attempt, self._schedule, jitter)
        address = str(delivery.rcpt.address)
        ids: dict[str, Fact] = {"delivery": to_text(delivery.delivery_id), "address": address}
        tried: dict[str, Fact] = {
            **ids,
            "host": attempt.host,
            "ip": attempt.ip,
            "tls": attempt.tls,
            "reply": str(attempt.reply),
            "outcome": attempt.outcome.value,
            "seconds": f"{result.seconds:.3f}",
        }
        at = attempt.at
        outcome = _Outcome(after, attempt, [], None)
        if after.state is State.DELIVERED:
            outcome.stamps.append(Stamp(at, Step.RELAYED, tried))
            # RFC 3461 §5.2.2 b
            asked = result.message.envelope.mail_from is not None and wanted(delivery.rcpt, Action.RELAYED)
            if asked and index in result.unaware:
                outcome.notice = _notice(delivery, attempt, Action.RELAYED)
            return outcome
        outcome.stamps.append(Stamp(at, Step.ATTEMPT, tried))
        if after.state is State.WAITING:
            outcome.stamps.append(Stamp(at, Step.RETRY, {**ids, "at": rfc3339(after.due)}))
            if after.wants_delay_notice(at, self._schedule) and wanted(delivery.rcpt, Action.DELAYED):
                tries_end = delivery.created + self._schedule.expire
                outcome.notice = _notice(delivery, attempt, Action.DELAYED, tries_end)
                outcome.delays = True
            return outcome
        step = Step.EXPIRED if after.state is State.EXPIRED else Step.FAILED
        outcome.stamps.append(Stamp(at, step, {**ids, "reason": str(attempt.reply)}))
        if wanted(delivery.rcpt, Action.FAILED):
            outcome.notice = _notice(delivery, attempt, Action.FAILED, expired=after.state is State.EXPIRED)
        return outcome

    def _enter(
        self, tx: Transaction, result: Result, outcomes: Sequence[_Outcome], original: Original | None, ready: Ready
    ) -> tuple[list[Stamp], list[str]]:
        """The unit of work; may be run again."""
        stamps: list[Stamp] = []
        notices: list[Notice] = []
        for outcome in outcomes:
            if not queue.settle(tx, outcome.after, outcome.attempt).taken:
                continue
            stamps += outcome.stamps
            if outcome.notice is None:
                continue
            if outcome.delays:
                # The sender is told once, and the null sender never.
                if original is None or original.envelope.mail_from is None:
                    continue
                queue.mark_delay_notified(tx, outcome.after)
                facts: dict[str, Fact] = {
                    "delivery": to_text(outcome.after.delivery_id),
                    "address": str(outcome.after.rcpt.address),
                }
                stamps.append(Stamp(outcome.attempt.at, Step.DELAYED, facts))
            notices.append(outcome.notice)
        if not stamps:
            return [], []
        # What was found out about the way is told only where somebody's result was taken.
        stamps = [*result.stamps, *stamps]
        topics: list[str] = []
        if notices and original is not None:
            told, topics = self._acceptance.report(tx, original, notices, notices[0].at, ready)
            stamps += told
        journeys.append(tx, result.message.journey_id, stamps)
        return stamps, topics

    async def _original(self, message: QueuedMessage) -> Original:
        """What a notification quotes. A body that cannot be read any more is left out: telling goes before showing."""
        try:
            head = await self._acceptance.blobs.read(message.blob_id, 0, QUOTE_OCTETS)
        except StoreFault as fault:
            self._observer.failed("reading a message for a notification", fault)
            head = b""
        quote = message.prefix + head
        header = scan_header(quote)
        return Original(
            message.envelope,
            to_text(message.journey_id),
            header.text("message-id").strip().strip("<>"),
            header.text("subject"),
            message.created,
            quote,
            message.size,
        )


def _notice(
    delivery: Delivery, attempt: Attempt, action: Action, tries_end: Instant | None = None, expired: bool = False
) -> Notice:
    return Notice(delivery.rcpt, action, attempt.reply, attempt.at, attempt.host, attempt.ip, tries_end, expired)


def outcome_of(reply_code: int) -> Outcome:
    """What a reply of ours or of a remote server makes of a try."""
    if 200 <= reply_code < 300:
        return Outcome.DELIVERED
    return Outcome.PERMANENT if reply_code >= 500 else Outcome.TRANSIENT
