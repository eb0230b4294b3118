"""Messages on their way out: who still has to get them, who is at it now, and what each try gave (functions on `tx`).

A queued message has one delivery for each recipient. A worker *claims* deliveries for a while (a lease); each claim
raises the delivery's generation, and only the result of the newest claim is taken. A lease that ran out (its worker
died) can be claimed by anybody. When the last delivery of a message has ended, its rows go; the journey stays.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from posthouse.mail.address import Address
from posthouse.mail.delivery import Attempt, Delivery, Outcome, State
from posthouse.mail.envelope import Body, Envelope, Notify, RcptTo, Ret
from posthouse.mail.instant import Instant
from posthouse.mail.reply import Reply
from posthouse.store.database import Fault, Row, StoreFault, Transaction

SHARD = 0
"""The first part of every key of the queue: one database is one shard. Engines that spread rows will have more."""


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
    """`taken` False: somebody else has claimed it since (or it was dropped), nothing was stored. `finished`: it was
    the message's last delivery, and its rows are gone."""

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


_MESSAGE_COLUMNS = "journey_id, blob_id, prefix, size, mail_from, body, smtputf8, ret, envid, created"
_DELIVERY_COLUMNS = (
    "delivery_id, journey_id, local_part, address_domain, orcpt, notify, domain, state, created, due, failures,"
    " generation, delay_notified"
)
_ATTEMPT_COLUMNS = "delivery_id, at, outcome, host, ip, tls, code, enhanced, words"

_QUEUE = (
    "INSERT INTO queued (shard, journey_id, blob_id, prefix, size, mail_from, body, smtputf8, ret, envid, created)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
)
_ADD = (
    f"INSERT INTO deliveries (shard, {_DELIVERY_COLUMNS}, owner, lease_until)"  # noqa: S608
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, '', 0)"
)
_MESSAGE = f"SELECT {_MESSAGE_COLUMNS} FROM queued WHERE shard = $1 AND journey_id = $2"  # noqa: S608
_MESSAGES = (
    f"SELECT {_MESSAGE_COLUMNS} FROM queued WHERE shard = $1 AND journey_id > $2"  # noqa: S608
    " ORDER BY journey_id LIMIT $3"
)
_DELIVERIES = (
    f"SELECT {_DELIVERY_COLUMNS} FROM deliveries WHERE shard = $1 AND journey_id = $2"  # noqa: S608
    " ORDER BY delivery_id"
)
_ATTEMPTS = (
    f"SELECT {_ATTEMPT_COLUMNS} FROM attempts WHERE shard = $1 AND journey_id = $2"  # noqa: S608
    " ORDER BY at, delivery_id, generation"
)

_EXPIRE = (
    "UPDATE deliveries SET state = 'waiting', owner = '' WHERE shard = $1 AND state = 'claimed' AND lease_until <= $2"
)
_HELD_BY_DOMAIN = (
    "SELECT domain, COUNT(DISTINCT journey_id) FROM deliveries WHERE shard = $1 AND state = 'claimed' GROUP BY domain"
)
# Jumps from domain to domain in the index, so that ten thousand deliveries for one cost no more than one.
_DUE_DOMAINS = (
    "WITH RECURSIVE d (domain) AS ("
    " SELECT MIN(domain) FROM deliveries WHERE state = 'waiting'"
    " UNION ALL SELECT (SELECT MIN(n.domain) FROM deliveries n WHERE n.state = 'waiting' AND n.domain > d.domain)"
    " FROM d WHERE d.domain IS NOT NULL)"
    " SELECT domain FROM (SELECT d.domain, (SELECT MIN(n.due) FROM deliveries n WHERE n.state = 'waiting'"
    " AND n.domain = d.domain) AS due FROM d WHERE d.domain IS NOT NULL) w WHERE due <= $1 ORDER BY due LIMIT $2"
)
_DUE_MESSAGES = (
    "SELECT journey_id FROM deliveries WHERE shard = $1 AND state = 'waiting' AND domain = $2 AND due <= $3"
    " ORDER BY due LIMIT $4"
)
# The domain is compared as an expression, so that no engine takes the index of all that wait for it before the key.
_CLAIM = (
    "UPDATE deliveries SET state = 'claimed', owner = $5, lease_until = $6, generation = generation + 1"  # noqa: S608
    " WHERE shard = $1 AND journey_id = $2 AND domain || '' = $3 AND state = 'waiting' AND due <= $4"
    f" RETURNING {_DELIVERY_COLUMNS}"
)
# Fences: only the newest claim of a delivery may change it. What it reports counts even after its lease, as long as
# nobody else has claimed the delivery: it is the truth about a message that may have been sent. Once told, it is over.
_NEWEST = "shard = $1 AND journey_id = $2 AND delivery_id = $3 AND generation = $4"
_AGAIN = (
    "UPDATE deliveries SET state = CASE state WHEN 'held' THEN 'held' ELSE 'waiting' END, owner = '',"  # noqa: S608
    f" due = $5, failures = $6, generation = generation + 1 WHERE {_NEWEST}"
)
_END = f"DELETE FROM deliveries WHERE {_NEWEST}"  # noqa: S608
_RENEW = f"UPDATE deliveries SET lease_until = $5 WHERE {_NEWEST} AND state = 'claimed'"  # noqa: S608
_GIVE_UP = f"UPDATE deliveries SET state = 'waiting', owner = '' WHERE {_NEWEST} AND state = 'claimed'"  # noqa: S608
_GIVE_BACK = (
    "UPDATE deliveries SET state = 'waiting', owner = '' WHERE shard = $1 AND state = 'claimed' AND owner = $2"
)
_TRIED = (
    "INSERT INTO attempts (shard, journey_id, delivery_id, generation, at, outcome, host, ip, tls, code, enhanced,"
    " words) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
)
_MORE = "SELECT 1 FROM deliveries WHERE shard = $1 AND journey_id = $2 LIMIT 1"
_LOOSEN = (
    "INSERT INTO loose_blobs (blob_id) SELECT blob_id FROM queued WHERE shard = $1 AND journey_id = $2"
    " ON CONFLICT DO NOTHING"
)
_NOTIFIED = (
    "UPDATE deliveries SET delay_notified = 1"
    " WHERE shard = $1 AND journey_id = $2 AND delivery_id = $3 AND delay_notified = 0"
)
_NEXT_DUE = (
    "SELECT MIN(due) FROM (SELECT MIN(due) AS due FROM deliveries WHERE state = 'waiting'"
    " UNION ALL SELECT MIN(lease_until) FROM deliveries WHERE state = 'claimed') soonest"
)
_DEPTH = "SELECT state, COUNT(*), MIN(due) FROM deliveries WHERE shard = $1 GROUP BY state"
_HOLD = (
    "UPDATE deliveries SET state = 'held' WHERE shard = $1 AND journey_id = $2 AND state = 'waiting'"  # noqa: S608
    f" RETURNING {_DELIVERY_COLUMNS}"
)
_RELEASE = (
    "UPDATE deliveries SET state = 'waiting', due = $3 WHERE shard = $1 AND journey_id = $2 AND state = 'held'"  # noqa: S608
    f" RETURNING {_DELIVERY_COLUMNS}"
)
_RETRY = "UPDATE deliveries SET due = $2 WHERE shard = $1 AND state = 'waiting' AND due > $2"

_DOMAIN_LIMIT = 1_000  # domains looked at by one claim
_RECIPIENT_LIMIT = 1_000  # rows read to find the messages that are due for one domain, for each slot


def enqueue(tx: Transaction, message: QueuedMessage, deliveries: Sequence[Delivery]) -> None:
    """Puts a message into the queue; its blob is put by the same transaction. `delivery_id`s are fresh from `Ids`."""
    envelope = message.envelope
    mail_from = None if envelope.mail_from is None else str(envelope.mail_from)
    ret = None if envelope.ret is None else envelope.ret.value
    tx.execute(
        _QUEUE, SHARD, message.journey_id, message.blob_id, message.prefix, message.size, mail_from,
        envelope.body.value, int(envelope.smtputf8), ret, envelope.envid, message.created,
    )  # fmt: skip
    tx.many(_ADD, [_values(delivery) for delivery in deliveries])


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
    tx.execute(_EXPIRE, SHARD, now)
    held: dict[str, int] = {row[0]: row[1] for row in tx.all(_HELD_BY_DOMAIN, SHARD)}
    claims: list[Claim] = []
    messages: dict[int, QueuedMessage] = {}
    for (domain,) in tx.all(_DUE_DOMAINS, now, _DOMAIN_LIMIT):
        slots = min(per_domain - held.get(domain, 0), limit - len(claims))
        if slots <= 0 or domain in passing_over:
            continue
        for journey_id in _due(tx, domain, now, slots):
            rows = tx.all(_CLAIM, SHARD, journey_id, domain, now, owner, now + lease)
            if journey_id not in messages:
                messages[journey_id] = _message(tx.one(_MESSAGE, SHARD, journey_id))
            claims.append(Claim(messages[journey_id], tuple([_delivery(row) for row in rows])))
        if len(claims) >= limit:
            break
    return claims


def _due(tx: Transaction, domain: str, now: Instant, slots: int) -> list[int]:
    """The messages that wait longest for a domain, at most `slots`; most have one recipient there."""
    limit = slots
    while True:
        rows = tx.all(_DUE_MESSAGES, SHARD, domain, now, limit)
        found = list(dict.fromkeys([row[0] for row in rows]))
        if len(found) >= slots or len(rows) < limit or limit >= slots * _RECIPIENT_LIMIT:
            return found[:slots]
        limit *= 10


def renew(tx: Transaction, deliveries: Sequence[Delivery], lease_until: Instant) -> list[Delivery]:
    """Makes leases last longer; gives those that are still ours."""
    return [each for each in deliveries if tx.execute(_RENEW, *_fence(each), lease_until)]


def settle(tx: Transaction, delivery: Delivery, attempt: Attempt) -> Settled:
    """Stores what `Delivery.after(attempt, …)` made of a claimed delivery, with the attempt; once for each claim."""
    ended = delivery.state in (State.DELIVERED, State.FAILED, State.EXPIRED)
    if ended:
        taken = tx.execute(_END, *_fence(delivery))
    else:
        taken = tx.execute(_AGAIN, *_fence(delivery), delivery.due, delivery.failures)
    if not taken:
        return Settled(False, False)
    if ended and tx.one(_MORE, SHARD, delivery.journey_id) is None:
        _finish(tx, delivery.journey_id)
        return Settled(True, True)
    reply = attempt.reply
    tx.execute(
        _TRIED, *_fence(delivery), attempt.at, attempt.outcome.value, attempt.host, attempt.ip, attempt.tls,
        reply.code, reply.enhanced, reply.text,
    )  # fmt: skip
    return Settled(True, False)


def give_back(tx: Transaction, owner: str) -> int:
    """Ends all leases of an owner (at shutdown); they are due at once. Gives how many."""
    return tx.execute(_GIVE_BACK, SHARD, owner)


def give_up(tx: Transaction, deliveries: Sequence[Delivery]) -> int:
    """Gives claimed deliveries back untried, due as before; gives how many were still ours."""
    return sum([tx.execute(_GIVE_UP, *_fence(each)) for each in deliveries])


def mark_delay_notified(tx: Transaction, delivery: Delivery) -> bool:
    """Remembers that the sender was told about the delay; False when that was so already (or it is gone)."""
    return tx.execute(_NOTIFIED, SHARD, delivery.journey_id, delivery.delivery_id) == 1


def next_due(tx: Transaction) -> Instant | None:
    """When the next waiting delivery is due or the next lease runs out; None when nothing waits."""
    row = tx.one(_NEXT_DUE)
    return None if row is None else row[0]


def depth(tx: Transaction) -> Depth:
    """Numbers for metrics; reads the whole queue."""
    counts = {state: (count, due) for state, count, due in tx.all(_DEPTH, SHARD)}
    waiting, due = counts.get(State.WAITING, (0, None))
    return Depth(waiting, counts.get(State.CLAIMED, (0, None))[0], counts.get(State.HELD, (0, None))[0], due)


def list_entries(tx: Transaction, limit: int = 1_000, after: int = 0) -> list[Entry]:
    """Queued messages, oldest first, those with a journey id above `after`."""
    return [_entry(tx, _message(row)) for row in tx.all(_MESSAGES, SHARD, after, limit)]


def show(tx: Transaction, journey_id: int) -> Entry | None:
    """One queued message."""
    row = tx.one(_MESSAGE, SHARD, journey_id)
    return None if row is None else _entry(tx, _message(row))


def attempts(tx: Transaction, journey_id: int) -> list[tuple[int, Attempt]]:
    """(delivery_id, attempt) for every try so far of the deliveries of a message that is still queued, oldest first."""
    return [
        (delivery_id, Attempt(at, Outcome(outcome), host, ip, tls, Reply(code, enhanced, words)))
        for delivery_id, at, outcome, host, ip, tls, code, enhanced, words in tx.all(_ATTEMPTS, SHARD, journey_id)
    ]


def hold(tx: Transaction, journey_id: int) -> list[Delivery]:
    """Takes the waiting deliveries of a message out of the schedule; gives them. Claimed ones go on."""
    return [_delivery(row) for row in tx.all(_HOLD, SHARD, journey_id)]


def release(tx: Transaction, journey_id: int, now: Instant) -> list[Delivery]:
    """Puts held deliveries back, due now; gives them."""
    return [_delivery(row) for row in tx.all(_RELEASE, SHARD, journey_id, now)]


def retry(tx: Transaction, now: Instant, journey_id: int | None = None, domain: str | None = None) -> int:
    """Makes waiting deliveries due now: of one message, of one domain, or all; gives how many."""
    if journey_id is not None:
        return tx.execute(f"{_RETRY} AND journey_id = $3", SHARD, now, journey_id)
    if domain is not None:
        return tx.execute(f"{_RETRY} AND domain = $3", SHARD, now, domain)
    return tx.execute(_RETRY, SHARD, now)


def drop(tx: Transaction, journey_id: int) -> list[Delivery]:
    """Removes a message from the queue without telling anybody; gives what had not ended. Late results are refused."""
    dropped = [_delivery(row) for row in tx.all(_DELIVERIES, SHARD, journey_id)]
    _finish(tx, journey_id)
    return dropped


def _finish(tx: Transaction, journey_id: int) -> None:
    tx.execute(_LOOSEN, SHARD, journey_id)
    for table in ("queued", "deliveries", "attempts"):
        tx.execute(f"DELETE FROM {table} WHERE shard = $1 AND journey_id = $2", SHARD, journey_id)  # noqa: S608


def _entry(tx: Transaction, message: QueuedMessage) -> Entry:
    deliveries = [_delivery(row) for row in tx.all(_DELIVERIES, SHARD, message.journey_id)]
    # The last of each delivery wins.
    return Entry(message, tuple(deliveries), dict(attempts(tx, message.journey_id)))


def _fence(delivery: Delivery) -> tuple[int, int, int, int]:
    return SHARD, delivery.journey_id, delivery.delivery_id, delivery.generation


def _values(delivery: Delivery) -> tuple[int | str | None, ...]:
    rcpt = delivery.rcpt
    notify = None if rcpt.notify is None else rcpt.notify.value
    return (
        SHARD, delivery.delivery_id, delivery.journey_id, rcpt.address.local_part, rcpt.address.domain, rcpt.orcpt,
        notify, delivery.domain, delivery.state.value, delivery.created, delivery.due, delivery.failures,
        delivery.generation, int(delivery.delay_notified),
    )  # fmt: skip


def _delivery(row: Row) -> Delivery:
    delivery_id, journey_id, local_part, address_domain, orcpt, notify, domain, state, *rest = row
    created, due, failures, generation, delay_notified = rest
    rcpt = RcptTo(Address(local_part, address_domain), orcpt, None if notify is None else Notify(notify))
    return Delivery(
        delivery_id, journey_id, rcpt, domain, State(state), created, due, failures, generation, bool(delay_notified)
    )


def _message(row: Row | None) -> QueuedMessage:
    if row is None:
        raise StoreFault(Fault.BROKEN, "a delivery waits in the queue whose message is gone")
    journey_id, blob_id, prefix, size, mail_from, body, smtputf8, ret, envid, created = row
    envelope = Envelope(
        None if mail_from is None else Address.parse(mail_from),
        body=Body(body),
        smtputf8=bool(smtputf8),
        ret=None if ret is None else Ret(ret),
        envid=envid,
    )
    return QueuedMessage(journey_id, blob_id, prefix, size, envelope, created)
