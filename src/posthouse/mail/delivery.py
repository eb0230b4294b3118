"""One recipient's way out: its state, what a try gave, and what follows from it. Pure transitions; SQL stores them.

    waiting → claimed → delivered | failed | expired
       ↑         |
       └─ retry ─┘        held: taken out of the schedule by an admin, until released
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from posthouse.mail.envelope import RcptTo
from posthouse.mail.instant import DAY, HOUR, MINUTE, Instant
from posthouse.mail.reply import Reply


class State(StrEnum):
    """Where a delivery stands. The value is stored."""

    WAITING = "waiting"
    CLAIMED = "claimed"
    HELD = "held"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"


class Outcome(StrEnum):
    """What one try gave."""

    DELIVERED = "delivered"
    TRANSIENT = "transient"
    PERMANENT = "permanent"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try for one recipient. `reply` is the remote's own, or ours where there was none (`host` may be empty)."""

    at: Instant
    outcome: Outcome
    host: str
    ip: str
    tls: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class Schedule:
    """When to try again. `gaps` are the waits after the 1st, 2nd, … failure, the last one repeating; all in µs."""

    gaps: tuple[int, ...] = (
        5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 40 * MINUTE, 80 * MINUTE, 160 * MINUTE, 4 * HOUR,
    )
    delay_notice: int = 4 * HOUR
    expire: int = 5 * DAY

    def gap(self, failures: int, jitter: float) -> int:
        """The wait after `failures` failures (at least 1), made up to a quarter longer by `jitter` in [0, 1)."""
        gap = self.gaps[min(failures, len(self.gaps)) - 1]
        return gap + int(gap * 0.25 * jitter)

    @property
    def least_failures(self) -> int:
        """How often a try must have failed before time alone ends the matter.

        So many fit into `expire` in any case, so in a world with right clocks it changes nothing. After a jump of the
        clock, or a week in which the server was off, mail is not given up at the first failure.
        """
        total = 0
        for count, gap in enumerate(self.gaps):
            total += gap + gap // 4
            if total > self.expire:
                return count
        return len(self.gaps)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One recipient in the queue. `generation` grows with every claim and fences a worker whose lease ran out."""

    delivery_id: int
    journey_id: int
    rcpt: RcptTo
    domain: str
    state: State
    created: Instant
    due: Instant
    failures: int = 0
    generation: int = 0
    delay_notified: bool = False

    def after(self, attempt: Attempt, schedule: Schedule, jitter: float) -> "Delivery":
        """The state that follows from an attempt: delivered, failed, expired, or waiting again with a later `due`."""
        if attempt.outcome is Outcome.DELIVERED:
            return replace(self, state=State.DELIVERED)
        if attempt.outcome is Outcome.PERMANENT:
            return replace(self, state=State.FAILED)
        failures = self.failures + 1
        due = attempt.at + schedule.gap(failures, jitter)
        end = self.created + schedule.expire
        if attempt.at >= end:
            # RFC 5321 §4.5.4.1: give-up time of four to five days.
            if failures >= schedule.least_failures:
                return replace(self, state=State.EXPIRED, failures=failures)
        else:
            # A last try is made when the time runs out, not one gap later.
            due = min(due, end)
        return replace(self, state=State.WAITING, failures=failures, due=max(due, attempt.at + MINUTE))

    def wants_delay_notice(self, now: Instant, schedule: Schedule) -> bool:
        """Whether the sender is to be told now that this waits; once only (RFC 3461 §4.1 is the caller's check)."""
        return self.state is State.WAITING and not self.delay_notified and now - self.created >= schedule.delay_notice
