"""One recipient's way through the queue, as pure transitions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.address import Address
from posthouse.mail.delivery import Attempt, Delivery, Outcome, Schedule, State
from posthouse.mail.envelope import RcptTo
from posthouse.mail.instant import DAY, HOUR, MINUTE, SECOND
from posthouse.mail.reply import Reply

START = 1_740_852_930 * SECOND
SCHEDULE = Schedule()


def waiting(**changes: object) -> Delivery:
    known: dict[str, object] = {
        "delivery_id": 1,
        "journey_id": 1,
        "rcpt": RcptTo(Address("carol", "far.test")),
        "domain": "far.test",
        "state": State.CLAIMED,
        "created": START,
        "due": START,
    }
    return Delivery(**(known | changes))  # type: ignore[arg-type]


def attempt(at: int, outcome: Outcome) -> Attempt:
    return Attempt(at, outcome, "mx.far.test", "192.0.2.1", "", Reply(451, "4.3.0", "later"))


def test_a_positive_answer_ends_it_and_a_permanent_one_as_well() -> None:
    assert waiting().after(attempt(START, Outcome.DELIVERED), SCHEDULE, 0.0).state is State.DELIVERED
    assert waiting().after(attempt(START, Outcome.PERMANENT), SCHEDULE, 0.0).state is State.FAILED


def test_gaps_grow_and_are_jittered_by_a_quarter() -> None:
    gaps = [SCHEDULE.gap(failures, 0.0) for failures in range(1, 12)]
    assert gaps == sorted(gaps)
    assert gaps[0] == 5 * MINUTE
    assert gaps[-1] == 4 * HOUR
    assert SCHEDULE.gap(1, 0.999) < 1.25 * 5 * MINUTE
    assert SCHEDULE.gap(1, 0.5) > SCHEDULE.gap(1, 0.1)


def test_a_delivery_is_tried_until_its_time_is_over_and_once_more_at_the_end() -> None:
    delivery, now, tries = waiting(), START, 0
    while delivery.state in (State.CLAIMED, State.WAITING):
        tries += 1
        delivery = delivery.after(attempt(now, Outcome.TRANSIENT), SCHEDULE, 0.5)
        assert delivery.failures == tries
        if delivery.state is State.WAITING:
            assert now + MINUTE <= delivery.due <= START + 5 * DAY
            now = delivery.due
    assert delivery.state is State.EXPIRED
    assert now == START + 5 * DAY
    assert 20 < tries < 50


@pytest.mark.parametrize("jump", [6 * DAY, 10 * 365 * DAY])
def test_a_clock_that_jumps_gives_nobody_up_for_hours(jump: int) -> None:
    delivery, now = waiting(), START + jump
    while (delivery := delivery.after(attempt(now, Outcome.TRANSIENT), SCHEDULE, 0.0)).state is State.WAITING:
        assert delivery.due - now >= 5 * MINUTE
        now = delivery.due
    assert delivery.state is State.EXPIRED
    assert now - START - jump > 5 * HOUR


@pytest.mark.parametrize(
    ("gaps", "expire", "least"),
    [
        ((MINUTE,), 5 * DAY, 1),
        ((5 * MINUTE, 10 * MINUTE), 10 * MINUTE, 1),
        ((4 * HOUR,), HOUR, 0),
        (SCHEDULE.gaps, 5 * DAY, 7),
    ],
)
def test_short_schedules_end_when_they_say(gaps: tuple[int, ...], expire: int, least: int) -> None:
    schedule = Schedule(gaps, expire, expire)
    assert schedule.least_failures == least
    delivery, now = waiting(), START
    while (delivery := delivery.after(attempt(now, Outcome.TRANSIENT), schedule, 0.999)).state is State.WAITING:
        now = delivery.due
    # Never two tries within a minute, so the last one may be so much later.
    assert START + expire <= now < START + expire + MINUTE


@given(st.integers(-10 * 365 * DAY, 10 * 365 * DAY), st.floats(0, 1, exclude_max=True), st.integers(0, 1000))
def test_no_clock_makes_a_retry_come_at_once(jump: int, jitter: float, failures: int) -> None:
    after = waiting(failures=failures).after(attempt(START + jump, Outcome.TRANSIENT), SCHEDULE, jitter)
    assert after.state in (State.WAITING, State.EXPIRED)
    if after.state is State.WAITING:
        assert after.due >= START + jump + MINUTE


@pytest.mark.parametrize(
    ("changes", "after", "wanted"),
    [
        ({"state": State.WAITING}, 4 * HOUR, True),
        ({"state": State.WAITING}, 4 * HOUR - 1, False),
        ({"state": State.WAITING, "delay_notified": True}, 4 * HOUR, False),
        ({"state": State.HELD}, 4 * HOUR, False),
    ],
)
def test_the_sender_hears_of_a_delay_once(changes: dict[str, object], after: int, wanted: bool) -> None:
    assert waiting(**changes).wants_delay_notice(START + after, SCHEDULE) is wanted
