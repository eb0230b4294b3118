"""Messages on their way out: who still has to get them, who is at it now, and what each try gave (functions on `tx`).

A queued message has one delivery for each recipient. A worker *claims* deliveries for a while (a lease); each claim
raises the delivery's generation, and only the result of the newest claim is taken. A lease that ran out (its worker
died) can be claimed by anybody. When the last delivery of a message has ended, its rows go; the journey stays.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from posthouse.mail.delivery import Attempt, Delivery
from posthouse.mail.envelope import Envelope
from posthouse.mail.instant import Instant
from posthouse.store.database import Transaction


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """What is sent: `prefix` and then the blob; `size` is both. `envelope` without recipients: those are deliveries.

    `journey_id` is the queue id that people see.
    """

    journey_id: int
    blob_id: int
    prefix: bytes
    size: int
    envelope: Envelope
    created: Instant


@dataclass(frozen=True, slots=True)
class Claim:
    """Deliveries of one message to one domain: one transaction of the relay. Their state is CLAIMED."""

    message: QueuedMessage
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """`taken` False: the lease had run out and somebody else has it, nothing was stored. `finished`: it was the
    message's last delivery, and its rows are gone."""

    taken: bool
    finished: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One queued message for lists: every delivery not ended, and its last attempt where there was one."""

    message: QueuedMessage
    deliveries: tuple[Delivery, ...]
    last_attempts: dict[int, Attempt]


@dataclass(frozen=True, slots=True)
class Depth:
    """How many deliveries are in each state, and when the earliest waiting one is due (None: none waits)."""

    waiting: int
    claimed: int
    held: int
    next_due: Instant | None


def enqueue(tx: Transaction, message: QueuedMessage, deliveries: Sequence[Delivery]) -> None:
    """Puts a message into the queue; its blob is put by the same transaction. `delivery_id`s are fresh from `Ids`."""
    raise NotImplementedError


def claim(
    tx: Transaction,
    now: Instant,
    owner: str,
    limit: int,
    lease: int,
    *,
    per_domain: int = 20,
    passing_over: Collection[str] = (),
) -> list[Claim]:
    """Takes what is due, the longest due domains first: at most `limit` claims, at most `per_domain` for one domain.

    `per_domain` counts what other workers hold as well; domains in `passing_over` are left alone. `lease` in µs:
    settle or `renew` before it runs out.
    """
    raise NotImplementedError


def renew(tx: Transaction, deliveries: Sequence[Delivery], lease_until: Instant) -> list[Delivery]:
    """Makes leases last longer; gives those that are still ours."""
    raise NotImplementedError


def settle(tx: Transaction, delivery: Delivery, attempt: Attempt) -> Settled:
    """Stores what `Delivery.after(attempt, …)` made of a claimed delivery, with the attempt."""
    raise NotImplementedError


def give_back(tx: Transaction, owner: str) -> int:
    """Ends all leases of an owner (at shutdown); they are due at once. Gives how many."""
    raise NotImplementedError


def give_up(tx: Transaction, deliveries: Sequence[Delivery]) -> int:
    """Gives claimed deliveries back untried, due as before; gives how many were still ours."""
    raise NotImplementedError


def mark_delay_notified(tx: Transaction, delivery: Delivery) -> bool:
    """Remembers that the sender was told about the delay; False when that was so already (or it is gone)."""
    raise NotImplementedError


def next_due(tx: Transaction) -> Instant | None:
    """When the next waiting delivery is due or the next lease runs out; None when nothing waits."""
    raise NotImplementedError


def depth(tx: Transaction) -> Depth:
    """Numbers for metrics."""
    raise NotImplementedError


def list_entries(tx: Transaction, limit: int = 1_000, after: int = 0) -> list[Entry]:
    """Queued messages, oldest first, those with a journey id above `after`."""
    raise NotImplementedError


def show(tx: Transaction, journey_id: int) -> Entry | None:
    """One queued message."""
    raise NotImplementedError


def attempts(tx: Transaction, journey_id: int) -> list[tuple[int, Attempt]]:
    """(delivery_id, attempt) for every try so far of the deliveries of a message that is still queued, oldest first."""
    raise NotImplementedError


def hold(tx: Transaction, journey_id: int) -> list[Delivery]:
    """Takes the waiting deliveries of a message out of the schedule; gives them. Claimed ones go on."""
    raise NotImplementedError


def release(tx: Transaction, journey_id: int, now: Instant) -> list[Delivery]:
    """Puts held deliveries back, due now; gives them."""
    raise NotImplementedError


def retry(tx: Transaction, now: Instant, journey_id: int | None = None, domain: str | None = None) -> int:
    """Makes waiting deliveries due now: of one message, of one domain, or all; gives how many."""
    raise NotImplementedError


def drop(tx: Transaction, journey_id: int) -> list[Delivery]:
    """Removes a message from the queue without telling anybody; gives what had not ended. Late results are refused."""
    raise NotImplementedError
