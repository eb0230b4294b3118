"""Who was asked to come again, what is remembered of it, and of journeys of what was refused."""

from typing import Any

import pytest

from posthouse.mail.address import Address
from posthouse.mail.instant import DAY, HOUR, MINUTE
from posthouse.mail.journey import Stamp, Step
from posthouse.store import greylist, journeys, refusals
from posthouse.store.greylist import KNOWN_FOR, PATIENCE, WINDOW, Attempt, State
from store.rooms import ALICE, NOON, Rooms

CAROL = Address("carol", "far.test")
ATTEMPT = Attempt.of("192.0.2.7", "mx.far.test", CAROL, ALICE)


def look(rooms: Rooms, now: int, attempt: Attempt = ATTEMPT) -> State:
    return rooms.see(lambda tx: greylist.look(tx, attempt, now))


def put_off(rooms: Rooms, now: int, attempt: Attempt = ATTEMPT) -> None:
    rooms.do(lambda tx: greylist.put_off(tx, attempt, now))


def let_in(rooms: Rooms, now: int, attempt: Attempt = ATTEMPT) -> None:
    rooms.do(lambda tx: greylist.let_in(tx, attempt, now))


def count(rooms: Rooms) -> int:
    found: Any = rooms.see(lambda tx: tx.one("SELECT COUNT(*) FROM greylist"))
    return int(found[0])


def test_who_comes_again_after_the_wait_is_known_from_then_on(rooms: Rooms) -> None:
    assert look(rooms, NOON) is State.FRESH
    put_off(rooms, NOON)
    assert look(rooms, NOON + PATIENCE - 1) is State.EARLY
    put_off(rooms, NOON + PATIENCE - 1)
    # The time runs from the first try, however often it was too early.
    assert look(rooms, NOON + PATIENCE) is State.READY
    let_in(rooms, NOON + PATIENCE)
    assert look(rooms, NOON + PATIENCE + HOUR) is State.TOUCHED
    assert look(rooms, NOON + 2 * DAY) is State.KNOWN
    let_in(rooms, NOON + 2 * DAY)
    assert look(rooms, NOON + 2 * DAY) is State.TOUCHED
    assert count(rooms) == 1


def test_who_comes_again_after_days_begins_anew(rooms: Rooms) -> None:
    put_off(rooms, NOON)
    assert look(rooms, NOON + WINDOW - 1) is State.READY
    assert look(rooms, NOON + WINDOW) is State.FRESH
    put_off(rooms, NOON + WINDOW + 1)
    assert look(rooms, NOON + WINDOW + 2) is State.EARLY


def test_a_client_is_known_for_the_whole_domain_of_its_author_and_from_its_whole_network(rooms: Rooms) -> None:
    let_in(rooms, NOON)
    near = Attempt.of("192.0.2.200", "other.far.test", Address("dave", "far.test"), Address("bob", "posthouse.test"))
    assert look(rooms, NOON, near) is State.TOUCHED
    assert look(rooms, NOON, Attempt.of("192.0.3.7", "mx.far.test", CAROL, ALICE)) is State.FRESH
    stranger = Attempt.of("192.0.2.7", "mx.far.test", Address("carol", "near.test"), ALICE)
    assert look(rooms, NOON, stranger) is State.FRESH


def test_before_it_is_known_each_author_and_recipient_waits_for_itself(rooms: Rooms) -> None:
    put_off(rooms, NOON)
    for other in (
        Attempt.of("192.0.2.7", "mx.far.test", Address("dave", "far.test"), ALICE),
        Attempt.of("192.0.2.7", "mx.far.test", CAROL, Address("bob", "posthouse.test")),
    ):
        assert look(rooms, NOON + HOUR, other) is State.FRESH
    assert look(rooms, NOON + HOUR, Attempt.of("192.0.2.9", "x", CAROL, ALICE)) is State.READY


def test_ipv6_counts_by_the_network_of_a_site(rooms: Rooms) -> None:
    put_off(rooms, NOON, Attempt.of("2001:db8:1:2::7", "x", CAROL, ALICE))
    assert look(rooms, NOON + HOUR, Attempt.of("2001:db8:1:2:ffff::1", "x", CAROL, ALICE)) is State.READY
    assert look(rooms, NOON + HOUR, Attempt.of("2001:db8:1:3::7", "x", CAROL, ALICE)) is State.FRESH


def test_for_the_null_sender_its_greeting_stands_for_the_author(rooms: Rooms) -> None:
    put_off(rooms, NOON, Attempt.of("192.0.2.7", "MX.far.test", None, ALICE))
    assert look(rooms, NOON + HOUR, Attempt.of("192.0.2.7", "mx.far.test", None, ALICE)) is State.READY
    assert look(rooms, NOON + HOUR, Attempt.of("192.0.2.7", "mx.near.test", None, ALICE)) is State.FRESH


@pytest.mark.parametrize("jump", [-3650 * DAY, -HOUR, 3650 * DAY])
def test_a_clock_that_jumps_makes_nobody_wait_for_ever(rooms: Rooms, jump: int) -> None:
    put_off(rooms, NOON)
    now = NOON + jump
    if look(rooms, now) is not State.READY:
        put_off(rooms, now)
        assert look(rooms, now + PATIENCE) is State.READY


def test_a_domain_is_waited_for_since_the_first_time(rooms: Rooms) -> None:
    key = Attempt.of_domain("far.test")

    def since(now: int) -> int | None:
        return rooms.see(lambda tx: greylist.waiting_since(tx, key, now))

    assert since(NOON) is None
    put_off(rooms, NOON, key)
    put_off(rooms, NOON + HOUR, key)
    assert since(NOON + 2 * HOUR) == NOON
    assert since(NOON - HOUR) is None
    assert since(NOON + WINDOW) is None
    assert rooms.see(lambda tx: greylist.waiting_since(tx, Attempt.of_domain("other.test"), NOON)) is None


def test_what_is_over_is_forgotten_and_what_is_known_stays(rooms: Rooms) -> None:
    put_off(rooms, NOON)
    known = Attempt.of("198.51.100.7", "x", CAROL, ALICE)
    let_in(rooms, NOON, known)
    assert rooms.do(lambda tx: greylist.sweep(tx, NOON + WINDOW)) == 0
    assert rooms.do(lambda tx: greylist.sweep(tx, NOON + WINDOW + 1)) == 1
    assert look(rooms, NOON + KNOWN_FOR - 1, known) is State.KNOWN
    assert look(rooms, NOON + KNOWN_FOR, known) is State.FRESH
    assert rooms.do(lambda tx: greylist.sweep(tx, NOON + KNOWN_FOR + 1)) == 1
    assert count(rooms) == 0


def test_a_crowd_that_waits_is_bounded_the_oldest_go_first(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(greylist, "WAITING_MOST", 3)
    attempts = [Attempt.of(f"198.51.{number}.7", "x", CAROL, ALICE) for number in range(5)]
    for number, attempt in enumerate(attempts):
        put_off(rooms, NOON + number * MINUTE, attempt)
    let_in(rooms, NOON)
    rooms.do(lambda tx: greylist.sweep(tx, NOON + HOUR))
    states = [look(rooms, NOON + HOUR, attempt) for attempt in attempts]
    assert states == [State.FRESH, State.FRESH, State.READY, State.READY, State.READY]
    assert look(rooms, NOON + HOUR) is State.TOUCHED


def test_journeys_of_refused_messages_are_forgotten_after_a_week(rooms: Rooms) -> None:
    numbers = []
    for refused in (True, False):
        journey_id = rooms.id()
        numbers.append(journey_id)

        def unit(tx: Any, journey_id: int = journey_id, refused: bool = refused) -> None:
            journeys.begin(tx, journey_id, "m@far.test", [Stamp(NOON, Step.REFUSED, {"reply": "550 no"})])
            if refused:
                refusals.note(tx, journey_id)

        rooms.do(unit)
    assert rooms.do(lambda tx: refusals.sweep(tx, NOON + refusals.KEPT_FOR)) == 0
    assert rooms.do(lambda tx: refusals.sweep(tx, NOON + refusals.KEPT_FOR + DAY)) == 1
    assert rooms.see(lambda tx: journeys.load(tx, numbers[0])) is None
    assert rooms.see(lambda tx: journeys.load(tx, numbers[1])) is not None
    assert rooms.see(lambda tx: journeys.find(tx, "m@far.test")) == [numbers[1]]
    assert rooms.do(lambda tx: refusals.sweep(tx, NOON + refusals.KEPT_FOR + DAY)) == 0
