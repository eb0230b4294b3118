"""The relay with a courier of our making: results, retries, notices, limits, leases, and ways to be interrupted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.address import Address
from posthouse.mail.delivery import Attempt, Delivery, Outcome, Schedule, State
from posthouse.mail.envelope import Body, Notify, RcptTo
from posthouse.mail.instant import DAY, HOUR, MINUTE, SECOND
from posthouse.mail.journey import Stamp, Step
from posthouse.mail.message import Message
from posthouse.mail.reply import Reply
from posthouse.route import settlement
from posthouse.route.courier import RECIPIENTS, Handover, Parcel
from posthouse.route.exchanges import Exchanges, Host, RoutingSettings, StaticRoute
from posthouse.route.relay import Relay, RelaySettings
from posthouse.serve.relay import CourierSettings, SmtpCourier
from posthouse.store import queue
from posthouse.store.database import Fault, StoreFault
from posthouse.store.hints import QUEUE, RETRY
from posthouse.store.ids import from_text
from posthouse.wire.smtp.client import ClientSettings
from route.names import FakeDns
from route.office import BEGIN, Office, in_office, steps
from route.remote import Remote, listening

ALICE = "alice@posthouse.test"
LETTER = (
    b"From: alice@posthouse.test\r\nTo: carol@far.test\r\nSubject: Lunch\r\n"
    b"Date: Sun, 15 Jun 2025 15:06:40 +0000\r\nMessage-ID: <lunch@posthouse.test>\r\n\r\nAt noon?\r\n"
)
TAKEN = Reply(250, "2.0.0", "taken")
LATER = Reply(451, "4.7.1", "greylisted")
NEVER = Reply(550, "5.1.1", "no such user")
GONE = Reply(521, "5.3.2", "this host takes no mail")
UNFIT = Reply(554, "5.6.3", "the message needs 8BITMIME")


class FakeCourier:
    """`answer(host, rcpt)` gives a reply for each recipient, or None where the host cannot be reached; may await."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.answer: Callable[[Host, RcptTo], Reply | None] = lambda host, rcpt: TAKEN
        self.delay: Callable[[Host], Awaitable[None]] | None = None
        self.final = False
        self.dsn = True
        self.unfit: set[str] = set()  # hosts that do not offer what the message needs
        self.room = 1000  # connections that a host takes up at once
        self.carried: list[tuple[str, list[str], bytes]] = []
        self.parcels: list[Parcel] = []
        self.now: dict[str, int] = {}
        self.most: dict[str, int] = {}

    async def deliver(self, host: Host, parcel: Parcel, rcpts: Sequence[RcptTo]) -> Handover:
        self.now[host.name] = self.now.get(host.name, 0) + 1
        crowded = self.now[host.name] > self.room
        if not crowded:
            self.most[host.name] = max(self.most.get(host.name, 0), self.now[host.name])
        try:
            if self.delay is not None:
                await self.delay(host)
            else:
                await asyncio.sleep(0)
        finally:
            self.now[host.name] -= 1
        with parcel.content.open() as octets:
            self.carried.append((host.name, [str(rcpt.address) for rcpt in rcpts], parcel.prefix + bytes(octets)))
        self.parcels.append(parcel)
        attempts = []
        reached = True
        for rcpt in rcpts:
            reply = None if crowded else UNFIT if host.name in self.unfit else self.answer(host, rcpt)
            reached = reached and reply is not None
            reply = reply or Reply(451, "4.4.1", f"{host.name} cannot be reached")
            attempts.append(Attempt(self.clock(), settlement.outcome_of(reply.code), host.name, host.ips[0], "", reply))
        if all(attempt.reply is GONE for attempt in attempts):
            reached = False
        return Handover(tuple(attempts), reached, self.final, self.dsn, host.name in self.unfit)


class Yard:
    """A relay in an office: names, courier, and a way to wait until nothing moves."""

    def __init__(self, office: Office, **settings: object) -> None:
        self.office = office
        self.dns = FakeDns()
        for domain in ("far.test", "slow.test", "near.test"):
            self.dns.mx_records[domain] = [(10, f"mx.{domain}"), (20, f"mx2.{domain}")]
            self.dns.a_records[f"mx.{domain}"] = ["127.0.0.1"]
            self.dns.a_records[f"mx2.{domain}"] = ["127.0.0.2"]
        self.courier = FakeCourier(office.clock)
        self.settings = RelaySettings(**settings)  # type: ignore[arg-type]
        self.faults: list[str] = []
        self.routes: dict[str, StaticRoute] = {}
        self.relay = self.another("mx/1")

    def another(self, owner: str) -> Relay:
        routing = RoutingSettings(allow_private=True, routes=self.routes)
        exchanges = Exchanges(self.dns, routing, lambda records: None)
        return Relay(
            self.office.acceptance, exchanges, self.courier, owner, lambda: 0.0, self.settings, self
        )

    def happened(self, event: str, queue_id: str, stamps: Sequence[Stamp]) -> None:
        assert event == "relay"

    def failed(self, doing: str, error: BaseException) -> None:
        self.faults.append(f"{doing}: {error!r}")

    @asynccontextmanager
    async def running(self, *relays: Relay) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(relay.run()) for relay in relays or (self.relay,)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def until(self, done: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(20):
            while not await done():
                await asyncio.sleep(0.002)

    async def until_quiet(self) -> None:
        """Nothing is claimed and nothing is due."""

        async def quiet() -> bool:
            depth = await self.office.db.read(queue.depth)
            later = depth.next_due is None or depth.next_due > self.office.clock.now
            return depth.claimed == 0 and later and self.relay._idle.is_set()

        await self.until(quiet)

    async def after(self, microseconds: int) -> None:
        """Time passes, and whatever is due then is tried."""
        self.office.clock.pass_by(microseconds)
        self.office.hints.publish(QUEUE)
        await self.until_quiet()


def in_yard(folder: Path, work: Callable[[Yard], Awaitable[None]], **settings: object) -> None:
    async def within(office: Office) -> None:
        yard = Yard(office, **settings)
        await work(yard)
        assert yard.faults == []

    in_office(folder, within)


def rcpt(address: str = "carol@far.test", notify: Notify | None = None) -> RcptTo:
    return RcptTo(Address.parse(address), notify=notify)


# --- results --------------------------------------------------------------------------------------------


def test_what_is_queued_is_carried_with_its_prefix_and_forgotten(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        async with yard.running():
            reply = (await yard.office.submit(ALICE, ["carol@far.test"], LETTER, envid="e1"))[-1]
            await yard.until_quiet()
        ((host, rcpts, octets),) = yard.courier.carried
        assert (host, rcpts) == ("mx.far.test", ["carol@far.test"])
        assert octets.startswith(b"Received: ")
        assert octets.endswith(LETTER)
        assert yard.courier.parcels[0].envelope.envid == "e1"
        assert await yard.office.queued() == []
        journey = await yard.office.journey(reply)
        assert steps(journey)[-3:] == [Step.ACCEPTED, Step.ROUTE, Step.RELAYED]
        assert journey.stamps[-2].facts["hosts"] == ["mx.far.test", "mx2.far.test"]
        assert journey.stamps[-1].facts["reply"] == "250 2.0.0 taken"
        assert len(await yard.office.mailbox(ALICE)) == 0

    in_yard(tmp_path, work)


def test_mail_left_by_an_earlier_life_is_taken_up_at_once(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        await yard.office.submit(ALICE, ["carol@far.test"], LETTER)
        now = yard.office.clock.now
        claimed = await yard.office.db.write(lambda tx: queue.claim(tx, now, "mx/1", 10, 3600 * SECOND))
        assert len(claimed) == 1
        async with yard.running():
            await yard.until_quiet()
        assert len(yard.courier.carried) == 1

    in_yard(tmp_path, work)


def test_recipients_of_one_domain_share_a_transaction_and_domains_do_not(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        async with yard.running():
            names = [f"u{i}@far.test" for i in range(3)]
            await yard.office.submit(ALICE, [*names, "x@near.test"], LETTER)
            await yard.until_quiet()
        assert sorted(rcpts for _, rcpts, _ in yard.courier.carried) == [names, ["x@near.test"]]

    in_yard(tmp_path, work)


def test_more_than_a_hundred_recipients_are_split(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        async with yard.running():
            await yard.office.submit(ALICE, [f"u{i}@far.test" for i in range(250)], LETTER)
            await yard.until_quiet()
        assert [len(rcpts) for _, rcpts, _ in yard.courier.carried] == [100, 100, 50]
        assert await yard.office.queued() == []

    in_yard(tmp_path, work)


def test_each_recipient_has_its_own_result(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        said = {"gone@far.test": NEVER, "grey@far.test": LATER}
        yard.courier.answer = lambda host, to: said.get(str(to.address), TAKEN)
        async with yard.running():
            reply = (await yard.office.submit(ALICE, ["a@far.test", *said, "b@far.test"], LETTER))[-1]
            await yard.until_quiet()
        assert await yard.office.waiting_for() == ["grey@far.test"]
        (entry,) = await yard.office.queued()
        assert entry.last_attempts[entry.deliveries[0].delivery_id].reply == LATER
        seen = steps(await yard.office.journey(reply))
        for step, times in ((Step.RELAYED, 2), (Step.FAILED, 1), (Step.RETRY, 1), (Step.BOUNCED, 1)):
            assert seen.count(step) == times
        assert len(await yard.office.mailbox(ALICE)) == 1

    in_yard(tmp_path, work)


# --- retries --------------------------------------------------------------------------------------------


def test_what_is_greylisted_goes_at_a_later_time(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        answers = [LATER, LATER, LATER, LATER, TAKEN]
        yard.courier.answer = lambda host, to: answers.pop(0)
        async with yard.running():
            reply = (await yard.office.submit(ALICE, ["carol@far.test"], LETTER))[-1]
            await yard.until_quiet()
            # Both exchanges were asked once; the next time comes after five minutes, then after ten.
            assert [host for host, *_ in yard.courier.carried] == ["mx.far.test", "mx2.far.test"]
            await yard.after(5 * MINUTE - SECOND)
            assert len(yard.courier.carried) == 2
            await yard.after(SECOND)
            assert len(yard.courier.carried) == 4
            await yard.after(10 * MINUTE)
        assert len(yard.courier.carried) == 5
        assert await yard.office.queued() == []
        seen = steps(await yard.office.journey(reply))
        assert [seen.count(step) for step in (Step.ATTEMPT, Step.RETRY, Step.RELAYED)] == [4, 2, 1]

    in_yard(tmp_path, work)


def test_recipients_who_wait_together_are_tried_and_told_about_together(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        yard.courier.answer = lambda host, to: LATER
        yard.relay._settlement._random = cycle([0.1, 0.9, 0.5]).__next__
        rcpts = [f"carol+{number}@far.test" for number in range(3)]
        async with yard.running():
            await yard.office.submit(ALICE, rcpts, LETTER)
            await yard.until_quiet()
            while not await yard.office.mailbox(ALICE):
                (entry,) = await yard.office.queued()
                assert len({delivery.due for delivery in entry.deliveries}) == 1
                await yard.after(entry.deliveries[0].due - yard.office.clock.now)
        (delay,) = [Message.parse(filed.octets) for filed in await yard.office.mailbox(ALICE)]
        assert all(f"<{each}>".encode() in delay.octets for each in rcpts)

    in_yard(tmp_path, work)


def test_the_author_hears_of_a_delay_once_and_of_the_end(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        yard.courier.answer = lambda host, to: LATER
        async with yard.running():
            reply = (await yard.office.submit(ALICE, ["carol@far.test"], LETTER))[-1]
            await yard.until_quiet()
            told = []
            for _ in range(60):
                (entry,) = await yard.office.queued() or [None]
                if entry is None:
                    break
                await yard.after(entry.deliveries[0].due - yard.office.clock.now)
                told.append(len(await yard.office.mailbox(ALICE)))
        assert yard.office.clock.now - BEGIN == 5 * DAY
        assert told.index(1) < told.index(2) == len(told) - 1
        delay, end = [Message.parse(filed.octets) for filed in await yard.office.mailbox(ALICE)]
        assert delay.header.text("subject") == "Your message is delayed, we keep trying"
        assert b"Will-Retry-Until: Fri, 20 Jun 2025" in delay.octets
        assert end.header.text("subject") == "Your message could not be delivered"
        assert b"Status: 5.4.7" in end.octets
        seen = steps(await yard.office.journey(reply))
        assert [seen.count(s) for s in (Step.DELAYED, Step.EXPIRED, Step.BOUNCED)] == [1, 1, 2]

    in_yard(tmp_path, work)


@given(
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 6 * HOUR)), max_size=80),
    st.lists(st.integers(MINUTE, DAY), min_size=1, max_size=8),
    st.integers(HOUR, 10 * DAY),
)
def test_the_schedule_never_stalls_never_storms_and_ends(
    tries: list[tuple[float, int]], gaps: list[int], expire: int
) -> None:
    schedule = Schedule(tuple(gaps), min(HOUR, expire), expire)
    delivery = Delivery(1, 2, rcpt(), "far.test", State.WAITING, BEGIN, BEGIN)
    now = BEGIN
    notices = 0
    for jitter, late in tries:
        attempt = Attempt(now, Outcome.TRANSIENT, "mx", "", "", LATER)
        after = delivery.after(attempt, schedule, jitter)
        if after.state is State.EXPIRED:
            assert now - BEGIN >= expire
            break
        assert after.state is State.WAITING
        assert after.failures == delivery.failures + 1
        assert now + MINUTE <= after.due <= max(now + max(gaps) * 5 // 4, now + MINUTE)
        assert after.due <= max(BEGIN + expire, now + MINUTE) or now >= BEGIN + expire
        notices += after.wants_delay_notice(now, schedule)
        delivery, now = after, after.due + late
    for outcome, state in ((Outcome.DELIVERED, State.DELIVERED), (Outcome.PERMANENT, State.FAILED)):
        assert delivery.after(Attempt(now, outcome, "", "", "", TAKEN), schedule, 0).state is state


# --- hosts ----------------------------------------------------------------------------------------------


def test_an_unreachable_host_is_passed_over_by_the_next_messages(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        yard.courier.answer = lambda host, to: None if host.name == "mx.far.test" else TAKEN
        async with yard.running():
            for _ in range(4):
                await yard.office.submit(ALICE, ["carol@far.test"], LETTER)
                await yard.until_quiet()
        hosts = [host for host, *_ in yard.courier.carried]
        assert hosts.count("mx.far.test") == 1
        assert hosts.count("mx2.far.test") == 4

    in_yard(tmp_path, work)


def test_who_asks_for_a_retry_gets_one_though_the_host_was_down_a_moment_ago(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        yard.courier.answer = lambda host, to: None
        async with yard.running():
            await yard.office.submit(ALICE, ["carol@far.test"], LETTER)
            await yard.until_quiet()
            yard.courier.answer = lambda host, to: TAKEN
            await yard.office.db.write(lambda tx: queue.retry(tx, yard.office.clock.now))
            yard.office.hints.publish(RETRY)
            yard.office.hints.publish(QUEUE)
            await yard.until_quiet()
        assert await yard.office.queued() == []

    in_yard(tmp_path, work)


def test_a_dead_domain_costs_one_try_and_not_a_thousand(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        yard.courier.answer = lambda host, to: None
        for _ in range(30):
            await yard.office.submit(ALICE, ["carol@far.test"], LETTER)
        async with yard.running():
            await yard.until_quiet()
        assert len(yard.courier.carried) <= 2
        entries = await yard.office.queued()
        assert len(entries) == 30
        assert all(entry.deliveries[0].failures == 1 for entry in entries)
        last = [str(attempt.reply) for entry in entries for attempt in entry.last_attempts.values()]
        assert sum("a moment ago" in words for words in last) >= 28

    in_yard(tmp_path, work, per_destination=1)


def test_after_two_hosts_that_said_later_no_third_is_bothered(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        yard.dns.mx_records["far.test"] = [(i, f"mx{i}.far.test") for i in range(5)]
        yard.dns.a_records.update({f"mx{i}.far.test": [f"127.0.0.{i + 1}"] for i in range(5)})
        yard.courier.answer = lambda host, to: None if host.name in ("mx0.far.test", "mx2.far.test") else LATER
        async with yard.running():
            await yard.office.submit(ALICE, ["carol@far.test"], LETTER)
            await yard.until_quiet()
        assert [host for host, *_ in yard.courier.carried] == [f"mx{i}.far.test" for i in range(4)]

    in_yard(tmp_path, work)


def test_only_those_told_later_are_tried_at_the_next_host(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        said = {"a@far.test": TAKEN, "b@far.test": LATER, "c@far.test": NEVER}
        yard.courier.answer = lambda host, to: said[str(to.address)] if host.name == "mx.far.test" else TAKEN
        async with yard.running():
            await yard.office.submit(ALICE, list(said), LETTER)
            await yard.until_quiet()
        assert [rcpts for _, rcpts, _ in yard.courier.carried] == [list(said), ["b@far.test"]]
        assert await yard.office.queued() == []

    in_yard(tmp_path, work)


def test_after_a_lost_final_reply_no_other_host_is_tried_now(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        yard.courier.answer = lambda host, to: LATER
        yard.courier.final = True
        async with yard.running():
            await yard.office.submit(ALICE, ["carol@far.test"], LETTER)
            await yard.until_quiet()
        assert len(yard.courier.carried) == 1
        assert await yard.office.waiting_for() == ["carol@far.test"]

    in_yard(tmp_path, work)


def hosts_of(yard: Yard, *preferences: int) -> list[str]:
    names = [f"mx{i}.far.test" for i in range(len(preferences))]
    yard.dns.mx_records["far.test"] = list(zip(preferences, names, strict=True))
    yard.dns.a_records.update({name: [f"127.0.0.{i + 1}"] for i, name in enumerate(names)})
    return names


@pytest.mark.parametrize("preferences", [(10, 10, 10, 10), (10, 10, 20, 30), (10, 20, 30, 40)])
def test_a_host_that_does_not_offer_what_the_message_needs_leaves_it_to_the_next(
    preferences: tuple[int, ...], tmp_path: Path
) -> None:
    """RFC 6152 §3 leaves no more than giving it back; but not before every host was seen."""

    async def work(yard: Yard) -> None:
        names = hosts_of(yard, *preferences)
        yard.courier.unfit = set(names[:3])
        async with yard.running():
            reply = (await yard.office.submit(ALICE, ["carol@far.test", "dora@far.test"], LETTER))[-1]
            await yard.until_quiet()
        assert [host for host, *_ in yard.courier.carried] == names
        assert await yard.office.queued() == []
        assert await yard.office.mailbox(ALICE) == []
        stamps = (await yard.office.journey(reply)).stamps
        passed = [stamp.facts["host"] for stamp in stamps if stamp.step is Step.ATTEMPT]
        assert passed == [name for name in names[:3] for _ in "ab"]

    in_yard(tmp_path, work)


def test_octets_above_127_go_round_a_host_without_8bitmime_to_its_neighbour(tmp_path: Path) -> None:
    eight_bit = LETTER + "Grüße.\r\n".encode()

    async def work(yard: Yard) -> None:
        lacking, other = Remote(capabilities=["PIPELINING"]), Remote()
        hosts_of(yard, 10, 10)
        ours = SmtpCourier(CourierSettings(ClientSettings("us.test")), yard.office.clock)
        async with listening(lacking, "127.0.0.1"):
            other.port = lacking.port
            async with listening(other, "127.0.0.2"):
                routing = RoutingSettings(allow_private=True, port=lacking.port)
                exchanges = Exchanges(yard.dns, routing, lambda records: None)
                yard.relay = Relay(yard.office.acceptance, exchanges, ours, "mx/1", lambda: 0.0, yard.settings, yard)
                async with yard.running():
                    for octets in (eight_bit, LETTER):
                        body = Body.SEVEN_BIT if octets.isascii() else Body.EIGHT_BIT_MIME
                        await yard.office.submit(ALICE, ["carol@far.test"], octets, body=body)
                        await yard.until_quiet()
                await ours.close()
        assert [mail.octets.endswith(eight_bit) for mail in other.mails] == [True]
        # What needs nothing is the first one's.
        assert [mail.octets.endswith(LETTER) for mail in lacking.mails] == [True]

    in_yard(tmp_path, work)


@pytest.mark.parametrize("words", [UNFIT, GONE])
def test_what_no_host_can_take_comes_back_once(words: Reply, tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        names = hosts_of(yard, 10, 10, 20)
        if words is UNFIT:
            yard.courier.unfit = set(names)
        yard.courier.answer = lambda host, to: GONE
        async with yard.running():
            await yard.office.submit(ALICE, ["carol@far.test"], LETTER)
            await yard.until_quiet()
        assert [host for host, *_ in yard.courier.carried] == names
        assert await yard.office.queued() == []
        (notice,) = await yard.office.mailbox(ALICE)
        assert f"Status: {words.enhanced}".encode() in notice.octets

    in_yard(tmp_path, work)


@pytest.mark.parametrize("words", [UNFIT, GONE])
@pytest.mark.parametrize("hope", ["unreachable", "remembered", "later"])
def test_mail_waits_while_a_host_is_left_that_may_take_it(hope: str, words: Reply, tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        hopeful, other = hosts_of(yard, 10, 20)
        if words is UNFIT:
            yard.courier.unfit = {other}
        yard.courier.answer = lambda host, to: GONE if host.name == other else LATER if hope == "later" else None
        async with yard.running():
            for _ in range(2 if hope == "remembered" else 1):
                await yard.office.submit(ALICE, ["carol@far.test"], LETTER)
                await yard.until_quiet()
            assert [host for host, *_ in yard.courier.carried][-1] == other
            entries = await yard.office.queued()
            assert all(entry.deliveries[0].failures == 1 for entry in entries)
            last = [attempt for entry in entries for attempt in entry.last_attempts.values()]
            assert {attempt.host for attempt in last} == {hopeful}
            yard.relay._passage._down.clear()
            yard.courier.answer = lambda host, to: TAKEN
            await yard.after(5 * 60 * SECOND)
        assert await yard.office.queued() == []
        assert await yard.office.mailbox(ALICE) == []

    in_yard(tmp_path, work)


def test_no_route_is_a_result_as_well(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        yard.dns.mx_records["silent.test"] = [(0, "")]
        yard.dns.faults.add(("MX", "near.test"))
        async with yard.running():
            wanted = ["a@silent.test", "b@nowhere.test", "c@near.test"]
            reply = (await yard.office.submit(ALICE, wanted, LETTER))[-1]
            await yard.until_quiet()
        assert yard.courier.carried == []
        assert await yard.office.waiting_for() == ["c@near.test"]
        failed = {s.facts["address"]: s.facts["reason"] for s in (await yard.office.journey(reply)).stamps
                  if s.step is Step.FAILED}  # fmt: skip
        assert str(failed["a@silent.test"]).startswith("556 5.1.10")
        assert str(failed["b@nowhere.test"]).startswith("550 5.1.2")
        assert len(await yard.office.mailbox(ALICE)) == 2

    in_yard(tmp_path, work)


# --- notifications --------------------------------------------------------------------------------------


def test_a_failure_is_told_to_the_author_in_the_same_commit(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        yard.courier.answer = lambda host, to: NEVER
        woken: list[str] = []
        topic = f"account:{yard.office.accounts[ALICE]}"
        yard.office.hints.subscribe(topic, lambda: woken.append(topic))
        async with yard.running():
            reply = (await yard.office.submit(ALICE, ["carol@far.test"], LETTER))[-1]
            await yard.until_quiet()
        assert await yard.office.queued() == []
        (filed,) = await yard.office.mailbox(ALICE)
        assert filed.prefix == b"Return-Path: <>\r\nDelivered-To: alice@posthouse.test\r\n"
        message = Message.parse(filed.octets)
        assert message.root.parts[2].body().endswith(LETTER)
        assert message.header.text("references") == "<lunch@posthouse.test>"
        assert b"550 5.1.1 no such user" in filed.octets
        journey = await yard.office.journey(reply)
        assert steps(journey)[-3:] == [Step.ATTEMPT, Step.FAILED, Step.BOUNCED]
        notice = await yard.office.newest_journey()
        assert notice.journey_id == from_text(str(journey.stamps[-1].facts["notice"]))
        assert steps(notice) == [Step.ENVELOPE, Step.RECIPIENT, Step.RECEIVED, Step.DELIVERED, Step.ACCEPTED]
        assert woken

    in_yard(tmp_path, work)


def test_a_foreign_author_is_told_by_mail_from_the_null_sender(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        await yard.office.alias("info@posthouse.test", "gone@far.test")
        yard.courier.answer = lambda host, to: NEVER if "gone" in str(to.address) else TAKEN
        async with yard.running():
            await yard.office.receive("carol@near.test", ["info@posthouse.test"])
            await yard.until_quiet()
        (_, first, _), (host, second, octets) = yard.courier.carried
        assert (first, host, second) == (["gone@far.test"], "mx.near.test", ["carol@near.test"])
        assert yard.courier.parcels[1].envelope.mail_from is None
        assert b"Auto-Submitted: auto-replied" in octets
        assert await yard.office.queued() == []

    in_yard(tmp_path, work)


def test_a_notice_that_fails_is_dropped_and_recorded(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        await yard.office.alias("info@posthouse.test", "gone@far.test")
        yard.courier.answer = lambda host, to: NEVER
        async with yard.running():
            await yard.office.receive("carol@near.test", ["info@posthouse.test"])
            await yard.until_quiet()
        assert len(yard.courier.carried) == 2
        assert await yard.office.queued() == []
        # The notice itself asked for no notice.
        assert steps(await yard.office.newest_journey())[-2:] == [Step.ATTEMPT, Step.FAILED]

    in_yard(tmp_path, work)


def test_the_null_sender_is_never_told(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        await yard.office.alias("info@posthouse.test", "gone@far.test")
        yard.courier.answer = lambda host, to: NEVER
        async with yard.running():
            reply = (await yard.office.receive(None, ["info@posthouse.test"]))[-1]
            await yard.until_quiet()
        assert len(yard.courier.carried) == 1
        journey = await yard.office.journey(reply)
        assert steps(journey)[-2:] == [Step.FAILED, Step.DROPPED]
        assert await yard.office.queued() == []

    in_yard(tmp_path, work)


def test_an_author_unknown_here_is_not_told_and_that_is_recorded(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        await yard.office.alias("info@posthouse.test", "gone@far.test")
        yard.courier.answer = lambda host, to: NEVER
        async with yard.running():
            reply = (await yard.office.receive("ghost@posthouse.test", ["info@posthouse.test"]))[-1]
            await yard.until_quiet()
        last = (await yard.office.journey(reply)).stamps[-1]
        assert last.step is Step.DROPPED
        assert "ghost@posthouse.test" in str(last.facts["reason"])
        assert await yard.office.queued() == []

    in_yard(tmp_path, work)


def test_what_cannot_be_quoted_is_told_without_it(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        await yard.office.alias("info@posthouse.test", "gone@far.test")
        yard.courier.answer = lambda host, to: NEVER
        async with yard.running():
            letter = LETTER.replace(b"From: alice@posthouse.test", b"From: dave@elsewhere.test") + b"\0\r\n"
            await yard.office.receive(ALICE, ["info@posthouse.test"], letter)
            await yard.until_quiet()
        (filed,) = await yard.office.mailbox(ALICE)
        assert b"Action: failed" in filed.octets
        assert b"At noon?" not in filed.octets

    in_yard(tmp_path, work)


def test_a_full_author_is_told_all_the_same(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        await yard.office.add("full@posthouse.test", quota=1)
        yard.courier.answer = lambda host, to: NEVER
        octets = LETTER.replace(b"alice@", b"full@")
        async with yard.running():
            await yard.office.submit("full@posthouse.test", ["carol@far.test"], octets)
            await yard.until_quiet()
        assert len(await yard.office.mailbox("full@posthouse.test")) == 1

    in_yard(tmp_path, work)


@pytest.mark.parametrize(
    ("notify", "told"),
    [(None, True), (Notify.NEVER, False), (Notify.SUCCESS, False), (Notify.DELAY, False), (Notify.FAILURE, True)],
)
def test_notify_is_honoured_for_failures(tmp_path: Path, notify: Notify | None, told: bool) -> None:
    async def work(yard: Yard) -> None:
        yard.courier.answer = lambda host, to: NEVER
        async with yard.running():
            reply = (await yard.office.submit(ALICE, [rcpt(notify=notify)], LETTER))[-1]
            await yard.until_quiet()
        assert len(await yard.office.mailbox(ALICE)) == told
        assert (steps(await yard.office.journey(reply))[-1] is Step.BOUNCED) is told

    in_yard(tmp_path, work)


@pytest.mark.parametrize(("notify", "told"), [(None, 0), (Notify.FAILURE, 0), (Notify.DELAY, 1), (Notify.NEVER, 0)])
def test_notify_is_honoured_for_delays(tmp_path: Path, notify: Notify | None, told: int) -> None:
    async def work(yard: Yard) -> None:
        yard.courier.answer = lambda host, to: LATER
        async with yard.running():
            await yard.office.submit(ALICE, [rcpt(notify=notify)], LETTER)
            await yard.after(5 * HOUR)
            await yard.after(5 * HOUR)
        assert len(await yard.office.mailbox(ALICE)) == (told or notify is None)

    in_yard(tmp_path, work)


@pytest.mark.parametrize(
    ("keeps", "notify", "told"),
    [
        (False, Notify.SUCCESS, True), (True, Notify.SUCCESS, False), (False, None, False),
        (False, Notify.FAILURE, False), (False, Notify.NEVER, False),
    ],
)
def test_success_is_told_as_relayed_where_the_next_host_will_not_tell(
    tmp_path: Path, keeps: bool, notify: Notify | None, told: bool
) -> None:
    async def work(yard: Yard) -> None:
        yard.courier.dsn = keeps
        async with yard.running():
            await yard.office.submit(ALICE, [rcpt(notify=notify)], LETTER)
            await yard.until_quiet()
        filed = await yard.office.mailbox(ALICE)
        assert len(filed) == told
        assert not told or b"Action: relayed" in filed[0].octets

    in_yard(tmp_path, work)


def test_local_success_is_told_as_delivered_or_expanded(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        await yard.office.alias("team@posthouse.test", "bob@posthouse.test", "carol@far.test")
        wanted = [rcpt("bob@posthouse.test", Notify.SUCCESS), rcpt("team@posthouse.test", Notify.SUCCESS)]
        reply = (await yard.office.submit(ALICE, wanted, LETTER))[-1]
        (filed,) = await yard.office.mailbox(ALICE)
        assert filed.octets.count(b"Action: delivered") == 1
        assert filed.octets.count(b"Action: expanded") == 1
        (entry,) = await yard.office.queued()
        assert entry.deliveries[0].rcpt.notify is Notify.NEVER
        assert Step.BOUNCED in steps(await yard.office.journey(reply))
        assert len(await yard.office.mailbox("bob@posthouse.test")) == 1

    in_yard(tmp_path, work)


def test_a_lone_forward_keeps_what_was_asked(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        await yard.office.alias("info@posthouse.test", "carol@far.test")
        asked = RcptTo(Address.parse("info@posthouse.test"), "rfc822;info@posthouse.test", Notify.SUCCESS)
        await yard.office.receive("dave@near.test", [asked], envid="e1")
        (entry,) = await yard.office.queued()
        sent = entry.deliveries[0].rcpt
        assert (sent.notify, sent.orcpt) == (Notify.SUCCESS, "rfc822;info@posthouse.test")
        assert entry.message.envelope.envid == "e1"

    in_yard(tmp_path, work)


# --- limits ---------------------------------------------------------------------------------------------


def test_a_slow_domain_holds_nobody_else_up(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        stuck = asyncio.Event()

        async def delay(host: Host) -> None:
            if host.name.endswith("slow.test"):
                await stuck.wait()

        yard.courier.delay = delay
        for i in range(100):
            await yard.office.submit(ALICE, [f"u{i}@slow.test"], LETTER)
        async with yard.running():
            await asyncio.sleep(0.1)
            # Nor does it fill our memory: what is not about to be carried stays in the store, for others to take.
            assert (await yard.office.db.read(queue.depth)).claimed <= 2 * 8
            for i in range(30):
                await yard.office.submit(ALICE, [f"u{i}@far.test"], LETTER)

            async def others_are_gone() -> bool:
                return sum(host == "mx.far.test" for host, *_ in yard.courier.carried) == 30

            await yard.until(others_are_gone)
            assert yard.courier.most["mx.slow.test"] == 2
            stuck.set()
            await yard.until_quiet()
        assert len(yard.courier.carried) == 130
        assert await yard.office.queued() == []

    in_yard(tmp_path, work, slots=20, per_destination=2)


def test_slots_bound_what_runs_at_once(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        domains = [f"d{i}.test" for i in range(40)]
        for domain in domains:
            yard.dns.mx_records[domain] = [(10, "mx.far.test")]
            await yard.office.submit(ALICE, [f"u@{domain}"], LETTER)

        async def delay(host: Host) -> None:
            await asyncio.sleep(0.002)

        yard.courier.delay = delay
        async with yard.running():
            await yard.until_quiet()
        assert len(yard.courier.carried) == 40
        assert yard.courier.most["mx.far.test"] <= 5

    in_yard(tmp_path, work, slots=5, per_destination=5)


def test_a_host_that_takes_few_connections_gets_its_mail_over_those(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        yard.dns.mx_records["far.test"] = [(10, "mx.far.test")]
        yard.courier.room = 2

        async def delay(host: Host) -> None:
            await asyncio.sleep(0.005)

        yard.courier.delay = delay
        await yard.office.submit(ALICE, ["first@far.test"], LETTER)
        async with yard.running():
            await yard.until_quiet()
            for i in range(30):
                await yard.office.submit(ALICE, [f"u{i}@far.test"], LETTER)
            await yard.until_quiet()
        # Nobody waits for another time because of that, and the host was not given up.
        assert await yard.office.queued() == []
        assert yard.courier.most["mx.far.test"] == 2

    in_yard(tmp_path, work)


def test_a_smarthost_is_one_destination_for_all_domains(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        yard.routes["*"] = StaticRoute("127.0.0.9", 2525)

        async def delay(host: Host) -> None:
            await asyncio.sleep(0.002)

        yard.courier.delay = delay
        for i in range(30):
            await yard.office.submit(ALICE, [f"u@d{i}.test"], LETTER)
        async with yard.running():
            await yard.until_quiet()
        assert {host for host, *_ in yard.courier.carried} == {"127.0.0.9"}
        assert yard.courier.most["127.0.0.9"] <= 3
        assert len(yard.courier.carried) == 30

    in_yard(tmp_path, work, per_destination=3)


# --- interruptions --------------------------------------------------------------------------------------


def test_two_relays_never_carry_one_message_twice(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        for i in range(100):
            await yard.office.submit(ALICE, [f"u{i}@far.test", f"u{i}@near.test"], LETTER)
        async with yard.running(yard.relay, yard.another("mx/2")):
            await yard.until_quiet()
        carried = [address for _, rcpts, _ in yard.courier.carried for address in rcpts]
        assert len(carried) == len(set(carried)) == 200

    in_yard(tmp_path, work)


def test_a_worker_that_died_between_claim_and_settle_is_succeeded_and_fenced(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        office = yard.office
        reply = (await office.submit(ALICE, ["carol@far.test"], LETTER))[-1]
        (late,) = await office.db.write(lambda tx: queue.claim(tx, office.clock.now, "dead", 10, MINUTE))
        async with yard.running():
            await asyncio.sleep(0.05)
            assert yard.courier.carried == []
            await yard.after(2 * MINUTE)
            assert len(yard.courier.carried) == 1
        # The dead one was only slow, and comes with its result now: nothing of it is taken, nobody is told.
        before = await office.journey(reply)
        attempt = Attempt(office.clock.now, Outcome.PERMANENT, "mx", "", "", NEVER)
        settling = settlement.Settlement(office.acceptance, Schedule(), lambda: 0.0, yard)
        await settling.settle(settlement.Result(late.message, late.deliveries, [attempt]))
        assert await office.journey(reply) == before
        assert await office.mailbox(ALICE) == []

    in_yard(tmp_path, work)


def test_a_long_transfer_keeps_its_lease(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        office = yard.office

        async def delay(host: Host) -> None:
            for _ in range(20):
                await asyncio.sleep(0.02)
                office.clock.pass_by(SECOND // 50)
                office.hints.publish(QUEUE)

        yard.courier.delay = delay
        await office.submit(ALICE, ["carol@far.test"], LETTER)
        async with yard.running(yard.relay, yard.another("mx/2")):
            await yard.until_quiet()
        assert len(yard.courier.carried) == 1

    in_yard(tmp_path, work, lease=0.15)


def test_a_result_is_offered_until_the_store_can_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(yard: Yard) -> None:
        monkeypatch.setattr(settlement, "_PATIENCE", (0.0, 0.01, 0.01, 0.01))
        real = yard.office.db.write
        refused = []

        async def sometimes(unit, *, octets: int = 0, quick: bool = False):  # type: ignore[no-untyped-def]
            if yard.courier.carried and len(refused) < 3:
                refused.append(unit)
                raise StoreFault(Fault.BUSY, "as told")
            return await real(unit, octets=octets)

        await yard.office.submit(ALICE, ["carol@far.test"], LETTER)
        monkeypatch.setattr(yard.office.db, "write", sometimes)
        async with yard.running():
            await yard.until_quiet()
        assert len(refused) == 3
        assert len(yard.courier.carried) == 1
        assert await yard.office.queued() == []
        assert len(yard.faults) == 3
        yard.faults.clear()

    in_yard(tmp_path, work)


def test_a_failure_and_its_notice_are_stored_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(yard: Yard) -> None:
        office = yard.office
        yard.courier.answer = lambda host, to: NEVER

        def crash(*arguments: object) -> None:
            raise RuntimeError("crashed while telling the author")

        monkeypatch.setattr(office.acceptance, "report", crash)
        reply = (await office.submit(ALICE, ["carol@far.test"], LETTER))[-1]
        async with yard.running():
            async def crashed() -> bool:
                return bool(yard.faults)

            await yard.until(crashed)
        yard.faults.clear()
        monkeypatch.undo()
        # The failure is not stored either: its lease was given back at the end, and a new life does it all.
        assert Step.FAILED not in steps(await office.journey(reply))
        assert await office.waiting_for() == ["carol@far.test"]
        async with yard.running(yard.another("mx/1")):
            async def told() -> bool:
                return len(await office.mailbox(ALICE)) == 1 and await office.queued() == []

            await yard.until(told)
        seen = steps(await office.journey(reply))
        assert (seen.count(Step.FAILED), seen.count(Step.BOUNCED)) == (1, 1)

    in_yard(tmp_path, work)


def test_draining_ends_what_is_under_way_and_gives_back_the_rest(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        gate = asyncio.Event()

        async def delay(host: Host) -> None:
            await gate.wait()

        yard.courier.delay = delay
        for i in range(20):
            await yard.office.submit(ALICE, [f"u{i}@far.test"], LETTER)
        running = asyncio.create_task(yard.relay.run())

        async def two_under_way() -> bool:
            return yard.courier.now.get("mx.far.test") == 2

        await yard.until(two_under_way)
        draining = asyncio.create_task(yard.relay.drain(10))
        await asyncio.sleep(0.02)
        gate.set()
        await asyncio.gather(draining, running)
        assert len(yard.courier.carried) == 2
        depth = await yard.office.db.read(queue.depth)
        assert (depth.waiting, depth.claimed) == (18, 0)

    in_yard(tmp_path, work, per_destination=2)


def test_a_relay_that_is_cancelled_leaves_nothing_behind_and_can_begin_again(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        gate = asyncio.Event()

        async def delay(host: Host) -> None:
            await gate.wait()

        yard.courier.delay = delay
        for i in range(6):
            await yard.office.submit(ALICE, [f"u{i}@far.test"], LETTER)

        async def under_way() -> bool:
            return yard.courier.now.get("mx.far.test") == 2

        async with yard.running():
            await yard.until(under_way)
        assert yard.courier.now == {"mx.far.test": 0}
        assert len(asyncio.all_tasks()) == 1
        depth = await yard.office.db.read(queue.depth)
        assert (depth.waiting, depth.claimed) == (6, 0)
        gate.set()
        async with yard.running():
            await yard.until_quiet()
        assert len(yard.courier.carried) == 6

    in_yard(tmp_path, work, per_destination=2)


def test_draining_does_not_wait_for_ever(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        async def delay(host: Host) -> None:
            await asyncio.Event().wait()

        yard.courier.delay = delay
        await yard.office.submit(ALICE, ["carol@far.test"], LETTER)
        running = asyncio.create_task(yard.relay.run())

        async def under_way() -> bool:
            return yard.courier.now.get("mx.far.test") == 1

        await yard.until(under_way)
        await yard.relay.drain(0.05)
        await running
        depth = await yard.office.db.read(queue.depth)
        assert (depth.waiting, depth.claimed) == (1, 0)
        assert yard.courier.carried == []

    in_yard(tmp_path, work)


def test_a_fault_of_ours_stops_one_message_and_not_the_post(tmp_path: Path) -> None:
    async def work(yard: Yard) -> None:
        def answer(host: Host, to: RcptTo) -> Reply:
            if "bad" in str(to.address):
                raise ZeroDivisionError("a fault in the courier")
            return TAKEN

        yard.courier.answer = answer
        for name in ("bad", "good", "better"):
            await yard.office.submit(ALICE, [f"{name}@far.test"], LETTER)
        async with yard.running():
            await yard.until_quiet()
        assert len(yard.faults) == 1
        (entry,) = await yard.office.queued()
        assert str(entry.deliveries[0].rcpt.address) == "bad@far.test"
        assert entry.deliveries[0].failures == 1
        yard.faults.clear()

    in_yard(tmp_path, work, per_destination=1)


def test_the_bounds_are_those_of_the_documents() -> None:
    # RFC 5321 §4.5.3.1.8; THREATS: one slow domain takes at most a tenth of the slots.
    assert RECIPIENTS == 100
    assert RelaySettings().per_destination * 10 <= RelaySettings().slots
