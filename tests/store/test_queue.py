"""The queue: leases, fences, fairness, and what becomes of a message."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from posthouse.mail.address import Address
from posthouse.mail.delivery import Attempt, Delivery, Outcome, Schedule, State
from posthouse.mail.envelope import Body, Envelope, Notify, RcptTo, Ret
from posthouse.mail.instant import HOUR, MINUTE
from posthouse.mail.reply import Reply
from posthouse.store import queue
from posthouse.store.queue import Claim, Depth, QueuedMessage, Settled
from store.rooms import Rooms

LEASE = 10 * MINUTE
OK = Reply(250, "2.0.0", "taken")
LATER = Reply(451, "4.7.1", "greylisted\ncome back")
NEVER = Reply(550, "5.1.1", "no such user")
ENVELOPE = Envelope(
    Address("alice", "posthouse.test"), body=Body.EIGHT_BIT_MIME, smtputf8=True, ret=Ret.HDRS, envid="e+1"
)


def enqueue(rooms: Rooms, addresses: Sequence[str], blob_id: int = 1, envelope: Envelope = ENVELOPE) -> int:
    """Puts a message for the addresses into the queue, due now; gives its journey id."""
    journey_id = rooms.id()
    message = QueuedMessage(journey_id, blob_id, b"Received: x\r\n", 500, envelope, rooms.now)
    deliveries = []
    for text in addresses:
        address = Address.parse(text)
        rcpt = RcptTo(address, f"rfc822;{text}", Notify.FAILURE | Notify.DELAY)
        deliveries.append(Delivery(rooms.id(), journey_id, rcpt, address.domain, State.WAITING, rooms.now, rooms.now))
    rooms.do(lambda tx: queue.enqueue(tx, message, deliveries))
    return journey_id


def claim(rooms: Rooms, limit: int = 10, owner: str = "one", per_domain: int = 20, **more: object) -> list[Claim]:
    return rooms.do(
        lambda tx: queue.claim(tx, rooms.now, owner, limit, LEASE, per_domain=per_domain, **more)  # type: ignore[arg-type]
    )


def attempt(rooms: Rooms, reply: Reply = OK) -> Attempt:
    outcome = {2: Outcome.DELIVERED, 4: Outcome.TRANSIENT, 5: Outcome.PERMANENT}[reply.code // 100]
    return Attempt(rooms.now, outcome, "mx.far.test", "192.0.2.7", "TLSv1.3", reply)


def settle(rooms: Rooms, delivery: Delivery, reply: Reply = OK) -> Settled:
    tried = attempt(rooms, reply)
    return rooms.do(lambda tx: queue.settle(tx, delivery.after(tried, Schedule(), 0.0), tried))


def addresses(claims: Sequence[Claim]) -> list[list[str]]:
    return [[str(delivery.rcpt.address) for delivery in each.deliveries] for each in claims]


def test_what_was_queued_is_claimed_as_it_was(rooms: Rooms) -> None:
    journey_id = enqueue(rooms, ["Carol@far.test"], blob_id=77)
    (claimed,) = claim(rooms)
    assert claimed.message == QueuedMessage(journey_id, 77, b"Received: x\r\n", 500, ENVELOPE, rooms.now)
    (delivery,) = claimed.deliveries
    rcpt = RcptTo(Address("Carol", "far.test"), "rfc822;Carol@far.test", Notify.FAILURE | Notify.DELAY)
    assert delivery == Delivery(
        delivery.delivery_id, journey_id, rcpt, "far.test", State.CLAIMED, rooms.now, rooms.now, 0, 1
    )


def test_the_null_sender_and_absent_parameters_survive(rooms: Rooms) -> None:
    enqueue(rooms, ["carol@far.test"], envelope=Envelope(None))
    (claimed,) = claim(rooms)
    assert claimed.message.envelope == Envelope(None)


def test_recipients_of_one_domain_are_one_transaction(rooms: Rooms) -> None:
    enqueue(rooms, ["a@far.test", "b@near.test", "c@far.test"])
    enqueue(rooms, ["d@far.test"])
    assert sorted(addresses(claim(rooms))) == [["a@far.test", "c@far.test"], ["b@near.test"], ["d@far.test"]]


def test_nothing_is_claimed_twice(rooms: Rooms) -> None:
    for number in range(30):
        enqueue(rooms, [f"u{number}@d{number % 7}.test"])
    taken = [claim(rooms, 10, owner) for owner in ("one", "two", "three", "four")]
    found = [str(delivery.rcpt.address) for some in taken for each in some for delivery in each.deliveries]
    assert [len(some) for some in taken] == [10, 10, 10, 0]
    assert len(set(found)) == 30


def test_what_is_not_due_waits(rooms: Rooms) -> None:
    enqueue(rooms, ["a@far.test"])
    (claimed,) = claim(rooms)
    settle(rooms, claimed.deliveries[0], LATER)
    due = rooms.see(queue.next_due)
    assert due == rooms.now + 5 * MINUTE
    rooms.now = due - 1
    assert claim(rooms) == []
    rooms.now += 1
    (again,) = claim(rooms)
    assert again.deliveries[0].failures == 1
    assert again.deliveries[0].generation > claimed.deliveries[0].generation


def test_one_slow_domain_leaves_room_for_the_others(rooms: Rooms) -> None:
    """THREATS, faults: one slow domain takes at most 10% of the slots."""
    for number in range(100):
        enqueue(rooms, [f"u{number}@slow.test"])
    rooms.now += MINUTE
    for number in range(30):
        enqueue(rooms, [f"u{number}@quick{number}.test"])
    claims = claim(rooms, 40, per_domain=4)
    domains = [each.deliveries[0].domain for each in claims]
    assert domains.count("slow.test") == 4
    assert len(domains) == 34
    # Others' claims count as well, until they are settled.
    assert claim(rooms, 40, "two", per_domain=4) == []
    settle(rooms, claims[domains.index("slow.test")].deliveries[0])
    assert [each.deliveries[0].domain for each in claim(rooms, 40, "two", per_domain=4)] == ["slow.test"]


def test_the_longest_due_comes_first(rooms: Rooms) -> None:
    for domain in ("c.test", "a.test", "b.test"):
        enqueue(rooms, [f"one@{domain}"])
        rooms.now += MINUTE
        enqueue(rooms, [f"two@{domain}"])
        rooms.now += MINUTE
    assert addresses(claim(rooms, 3, per_domain=2)) == [["one@c.test"], ["two@c.test"], ["one@a.test"]]


def test_domains_can_be_passed_over(rooms: Rooms) -> None:
    enqueue(rooms, ["a@far.test", "b@near.test"])
    assert addresses(claim(rooms, passing_over={"far.test"})) == [["b@near.test"]]


def test_a_message_for_a_thousand_at_one_domain_is_one_claim(rooms: Rooms) -> None:
    enqueue(rooms, [f"u{number}@slow.test" for number in range(1_000)])
    rooms.now += MINUTE
    enqueue(rooms, ["x@near.test"])
    (large,) = claim(rooms, 1)
    assert len(large.deliveries) == 1_000
    assert addresses(claim(rooms)) == [["x@near.test"]]


def test_a_delivered_message_leaves_nothing_but_a_loose_blob(rooms: Rooms) -> None:
    enqueue(rooms, ["a@far.test", "b@far.test"], blob_id=5)
    (claimed,) = claim(rooms)
    assert settle(rooms, claimed.deliveries[0]) == Settled(taken=True, finished=False)
    assert settle(rooms, claimed.deliveries[1], NEVER) == Settled(taken=True, finished=True)
    for table in ("queued", "deliveries", "attempts"):
        assert rooms.see(lambda tx, table=table: tx.all(f"SELECT * FROM {table}")) == []  # type: ignore[misc]
    assert rooms.see(lambda tx: tx.all("SELECT blob_id FROM loose_blobs")) == [(5,)]


def test_every_remote_reply_is_kept_while_the_message_waits(rooms: Rooms) -> None:
    journey_id = enqueue(rooms, ["a@far.test", "b@far.test"])
    for _ in range(3):
        for claimed in claim(rooms):
            for delivery in claimed.deliveries:
                settle(rooms, delivery, LATER)
        rooms.now += HOUR
    tried = rooms.see(lambda tx: queue.attempts(tx, journey_id))
    assert len(tried) == 6
    assert {each.reply for _, each in tried} == {LATER}
    assert [each.at for _, each in tried] == sorted(each.at for _, each in tried)
    entry = rooms.see(lambda tx: queue.show(tx, journey_id))
    assert entry is not None
    assert [delivery.failures for delivery in entry.deliveries] == [3, 3]
    last = tried[-1][1]
    assert list(entry.last_attempts.values()) == [last, last]


def test_a_late_result_is_refused(rooms: Rooms) -> None:
    """The lease ran out, another worker has it: what the first one says is not stored."""
    enqueue(rooms, ["a@far.test"])
    (mine,) = claim(rooms)
    rooms.now += LEASE
    (theirs,) = claim(rooms, owner="two")
    assert theirs.deliveries[0].generation == 2
    for reply in (OK, LATER, NEVER):
        assert settle(rooms, mine.deliveries[0], reply) == Settled(taken=False, finished=False)
    assert rooms.do(lambda tx: queue.renew(tx, mine.deliveries, rooms.now + LEASE)) == []
    assert rooms.do(lambda tx: queue.give_up(tx, mine.deliveries)) == 0
    assert settle(rooms, theirs.deliveries[0]) == Settled(taken=True, finished=True)
    assert settle(rooms, theirs.deliveries[0]) == Settled(taken=False, finished=False)


@pytest.mark.parametrize("reply", [OK, LATER, NEVER])
def test_a_result_after_the_lease_counts_if_nobody_else_took_it(rooms: Rooms, reply: Reply) -> None:
    """It tells of a message that may have been sent; to refuse it would send it once more."""
    journey_id = enqueue(rooms, ["a@far.test"])
    (mine,) = claim(rooms)
    rooms.now += 2 * LEASE
    assert claim(rooms, owner="two", passing_over=["far.test"]) == []
    rooms.do(lambda tx: queue.hold(tx, journey_id))
    assert rooms.do(lambda tx: queue.renew(tx, mine.deliveries, rooms.now + LEASE)) == []
    assert rooms.do(lambda tx: queue.give_up(tx, mine.deliveries)) == 0
    assert settle(rooms, mine.deliveries[0], reply) == Settled(taken=True, finished=reply is not LATER)
    entry = rooms.see(lambda tx: queue.show(tx, journey_id))
    assert (entry and entry.deliveries[0].state) == (State.HELD if reply is LATER else None)
    # Once is enough.
    assert settle(rooms, mine.deliveries[0], reply) == Settled(taken=False, finished=False)


def test_a_renewed_lease_is_not_taken_over(rooms: Rooms) -> None:
    enqueue(rooms, ["a@far.test"])
    (mine,) = claim(rooms)
    assert rooms.do(lambda tx: queue.renew(tx, mine.deliveries, rooms.now + 3 * LEASE)) == list(mine.deliveries)
    rooms.now += 2 * LEASE
    assert claim(rooms, owner="two") == []
    rooms.now += LEASE
    assert len(claim(rooms, owner="two")) == 1


def test_leases_are_given_back_at_shutdown(rooms: Rooms) -> None:
    enqueue(rooms, ["a@far.test"])
    enqueue(rooms, ["b@near.test"])
    (mine,), (theirs,) = claim(rooms, 1), claim(rooms, 1, "two")
    assert rooms.do(lambda tx: queue.give_back(tx, "one")) == 1
    (again,) = claim(rooms, owner="three")
    assert again.deliveries[0].rcpt == mine.deliveries[0].rcpt
    assert settle(rooms, mine.deliveries[0]).taken is False
    assert settle(rooms, theirs.deliveries[0]).taken is True


def test_an_untried_claim_can_be_given_up(rooms: Rooms) -> None:
    enqueue(rooms, ["a@far.test"])
    (mine,) = claim(rooms)
    assert rooms.do(lambda tx: queue.give_up(tx, mine.deliveries)) == 1
    (again,) = claim(rooms)
    assert again.deliveries[0].failures == 0


def test_held_messages_are_left_alone_until_released(rooms: Rooms) -> None:
    journey_id = enqueue(rooms, ["a@far.test", "b@near.test"])
    claimed = claim(rooms, 1)
    held = rooms.do(lambda tx: queue.hold(tx, journey_id))
    assert [each.state for each in held] == [State.HELD]
    assert claim(rooms) == []
    assert settle(rooms, claimed[0].deliveries[0]) == Settled(taken=True, finished=False)
    rooms.now += 10 * HOUR
    assert claim(rooms) == []
    (released,) = rooms.do(lambda tx: queue.release(tx, journey_id, rooms.now))
    assert released == replace(held[0], state=State.WAITING, due=rooms.now)
    assert len(claim(rooms)) == 1


def test_retry_brings_everything_forward(rooms: Rooms) -> None:
    journeys = [enqueue(rooms, [f"a@{domain}"]) for domain in ("far.test", "near.test", "far.test")]
    for claimed in claim(rooms):
        settle(rooms, claimed.deliveries[0], LATER)
    assert rooms.do(lambda tx: queue.retry(tx, rooms.now, journeys[0])) == 1
    assert rooms.do(lambda tx: queue.retry(tx, rooms.now, domain="near.test")) == 1
    assert rooms.do(lambda tx: queue.retry(tx, rooms.now, domain="near.test")) == 0
    assert rooms.do(lambda tx: queue.retry(tx, rooms.now)) == 1
    assert len(claim(rooms)) == 3


def test_a_dropped_message_is_gone_and_late_results_are_refused(rooms: Rooms) -> None:
    journey_id = enqueue(rooms, ["a@far.test", "b@near.test"])
    (mine,) = claim(rooms, 1)
    dropped = rooms.do(lambda tx: queue.drop(tx, journey_id))
    assert sorted(str(each.rcpt.address) for each in dropped) == ["a@far.test", "b@near.test"]
    assert settle(rooms, mine.deliveries[0]).taken is False
    assert rooms.see(lambda tx: queue.show(tx, journey_id)) is None
    assert rooms.do(lambda tx: queue.drop(tx, journey_id)) == []


def test_a_delay_is_told_once(rooms: Rooms) -> None:
    enqueue(rooms, ["a@far.test"])
    (mine,) = claim(rooms)
    assert [rooms.do(lambda tx: queue.mark_delay_notified(tx, mine.deliveries[0])) for _ in range(2)] == [True, False]
    settle(rooms, mine.deliveries[0], LATER)
    rooms.now += HOUR
    (again,) = claim(rooms)
    assert again.deliveries[0].delay_notified


def test_the_list_goes_page_by_page(rooms: Rooms) -> None:
    journeys = [enqueue(rooms, ["a@far.test", "b@near.test"]) for _ in range(5)]
    first = rooms.see(lambda tx: queue.list_entries(tx, 3))
    rest = rooms.see(lambda tx: queue.list_entries(tx, 3, first[-1].message.journey_id))
    assert [each.message.journey_id for each in first + rest] == journeys
    assert all(len(each.deliveries) == 2 for each in first + rest)


def test_depth_counts_states(rooms: Rooms) -> None:
    assert rooms.see(queue.depth) == Depth(0, 0, 0, None)
    assert rooms.see(queue.next_due) is None
    held = enqueue(rooms, ["a@far.test", "b@far.test"])
    enqueue(rooms, ["c@near.test"])
    enqueue(rooms, ["d@else.test"])
    rooms.do(lambda tx: queue.hold(tx, held))
    claim(rooms, 1)
    assert rooms.see(queue.depth) == Depth(1, 1, 2, rooms.now)
    claim(rooms, 1)
    assert rooms.see(queue.next_due) == rooms.now + LEASE


class Leases(RuleBasedStateMachine):
    """Workers that are slow, die and come back, against a model of who holds what."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory()
        self.rooms = Rooms("sqlite", Path(self.folder.name))
        self.open: dict[int, tuple[str, int]] = {}  # delivery id → state, due or end of the lease
        self.newest: dict[int, int] = {}  # delivery id → generation
        self.held: list[Delivery] = []  # what some worker believes to hold
        self.done: set[int] = set()

    def teardown(self) -> None:
        self.rooms.close()
        self.folder.cleanup()

    @rule(domains=st.lists(st.sampled_from(["a.test", "b.test", "c.test"]), min_size=1, max_size=4))
    def arrive(self, domains: list[str]) -> None:
        journey_id = enqueue(self.rooms, [f"u{number}@{domain}" for number, domain in enumerate(domains)])
        entry = self.rooms.see(lambda tx: queue.show(tx, journey_id))
        assert entry is not None
        for delivery in entry.deliveries:
            self.open[delivery.delivery_id] = ("waiting", self.rooms.now)
            self.newest[delivery.delivery_id] = 0

    @rule(owner=st.sampled_from(["one", "two"]), limit=st.integers(1, 4), per_domain=st.integers(1, 3))
    def work(self, owner: str, limit: int, per_domain: int) -> None:
        now = self.rooms.now
        claims = claim(self.rooms, limit, owner, per_domain)
        assert len(claims) <= limit
        for each in claims:
            for delivery in each.deliveries:
                state, until = self.open[delivery.delivery_id]
                assert until <= now, f"taken from somebody, or before it was due ({state})"
                assert delivery.generation > self.newest[delivery.delivery_id]
                self.open[delivery.delivery_id] = ("claimed", now + LEASE)
                self.newest[delivery.delivery_id] = delivery.generation
                self.held.append(delivery)
        claimable = [each for each, (_, until) in self.open.items() if until <= now]
        assert not claimable or claims or self._all_slots_taken(per_domain)

    def _all_slots_taken(self, per_domain: int) -> bool:
        return any(state == "claimed" for state, _ in self.open.values()) and per_domain < 4

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 99), reply=st.sampled_from([OK, LATER, NEVER]))
    def report(self, which: int, reply: Reply) -> None:
        delivery = self.held.pop(which % len(self.held))
        newest = delivery.delivery_id in self.open and delivery.generation == self.newest[delivery.delivery_id]
        settled = settle(self.rooms, delivery, reply)
        assert settled.taken == newest
        if settled.taken:
            if reply is LATER:
                after = delivery.after(attempt(self.rooms, reply), Schedule(), 0.0)
                self.open[delivery.delivery_id] = ("waiting", after.due)
                self.newest[delivery.delivery_id] += 1
            else:
                assert delivery.delivery_id not in self.done, "sent twice"
                self.done.add(delivery.delivery_id)
                del self.open[delivery.delivery_id]

    @rule(minutes=st.integers(1, 15))
    def wait(self, minutes: int) -> None:
        self.rooms.now += minutes * MINUTE

    @rule(owner=st.sampled_from(["one", "two"]))
    def stop(self, owner: str) -> None:
        self.rooms.do(lambda tx: queue.give_back(tx, owner))
        rows = self.rooms.see(lambda tx: tx.all("SELECT delivery_id, due FROM deliveries WHERE state = 'waiting'"))
        for delivery_id, due in rows:
            self.open[delivery_id] = ("waiting", due)

    @invariant()
    def nothing_is_lost(self) -> None:
        rows = self.rooms.see(lambda tx: tx.all("SELECT delivery_id FROM deliveries"))
        assert {row[0] for row in rows} == set(self.open)
        messages = self.rooms.see(lambda tx: tx.one("SELECT COUNT(*) FROM queued"))
        distinct = self.rooms.see(lambda tx: tx.one("SELECT COUNT(DISTINCT journey_id) FROM deliveries"))
        assert messages == distinct


Leases.TestCase.settings = settings(
    max_examples=15, stateful_step_count=30, suppress_health_check=list(HealthCheck), deadline=None
)
TestLeases = Leases.TestCase


@pytest.mark.parametrize("count", [1, 3])
def test_enqueue_is_all_or_nothing(rooms: Rooms, count: int) -> None:
    journey_id = enqueue(rooms, ["a@far.test"])
    entry = rooms.see(lambda tx: queue.show(tx, journey_id))
    assert entry is not None
    with pytest.raises(Exception, match="UNIQUE"):
        rooms.do(lambda tx: queue.enqueue(tx, entry.message, entry.deliveries * count))
    assert len(rooms.see(lambda tx: queue.list_entries(tx))) == 1
