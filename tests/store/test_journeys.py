"""Journeys: begun, continued, found, forgotten."""

import pytest

from posthouse.mail.instant import DAY, SECOND
from posthouse.mail.journey import Stamp, Step
from posthouse.store import journeys
from posthouse.store.database import StoreFault
from store.rooms import NOON, Rooms
from store.test_queue import claim, enqueue, settle

STAMPS = (
    Stamp(NOON, Step.CONNECTED, {"ip": "192.0.2.1", "port": 25, "tls": True, "none": None}),
    Stamp(NOON + 1, Step.RECIPIENT, {"address": "jörg@bücher.example", "via": ["a", "b"]}),
)


def begin(rooms: Rooms, message_id: str = "m@far.test", stamps: tuple[Stamp, ...] = STAMPS) -> int:
    journey_id = rooms.id()
    rooms.do(lambda tx: journeys.begin(tx, journey_id, message_id, stamps))
    return journey_id


def test_a_journey_comes_back_as_it_was(rooms: Rooms) -> None:
    journey_id = begin(rooms)
    journey = rooms.see(lambda tx: journeys.load(tx, journey_id))
    assert journey is not None
    assert (journey.journey_id, journey.message_id, journey.stamps) == (journey_id, "m@far.test", STAMPS)
    assert rooms.see(lambda tx: journeys.load(tx, 5)) is None


def test_later_stamps_join_in_the_order_of_time(rooms: Rooms) -> None:
    journey_id = begin(rooms)
    late, later, same = (Stamp(NOON + n, Step.ATTEMPT, {"n": n}) for n in (20, 30, 20))
    for stamps in ([later], [late], [], [same]):
        rooms.do(lambda tx, stamps=stamps: journeys.append(tx, journey_id, stamps))  # type: ignore[misc]
    journey = rooms.see(lambda tx: journeys.load(tx, journey_id))
    assert journey is not None
    assert journey.stamps == (*STAMPS, late, same, later)


def test_a_stamp_for_a_journey_that_is_gone_is_dropped(rooms: Rooms) -> None:
    rooms.do(lambda tx: journeys.append(tx, 5, STAMPS))
    assert rooms.see(lambda tx: tx.all("SELECT * FROM journey_parts")) == []


def test_journeys_are_found_by_message_id_newest_first(rooms: Rooms) -> None:
    made = [begin(rooms, name) for name in ("a@x", "b@x", "a@x", "", "a@x", "A@x")]
    assert rooms.see(lambda tx: journeys.find(tx, "a@x")) == [made[4], made[2], made[0]]
    assert rooms.see(lambda tx: journeys.find(tx, " <a@x> ", 2)) == [made[4], made[2]]
    assert rooms.see(lambda tx: journeys.find(tx, "c@x")) == []
    assert rooms.see(lambda tx: journeys.recent(tx, 2)) == [made[5], made[4]]


def test_names_that_share_a_hash_are_told_apart(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journeys, "_name", lambda message_id: 7)
    made = [begin(rooms, name) for name in ("a@x", "b@x")]
    assert rooms.see(lambda tx: journeys.find(tx, "a@x")) == [made[0]]


def test_text_that_is_no_text_is_kept_readable(rooms: Rooms) -> None:
    hostile = Stamp(NOON, Step.HELLO, {"name": "half \ud83d", "all": ["\udcff", "fine"], "nul": "\0"})
    journey_id = begin(rooms, "\udcff@x", (hostile,))
    journey = rooms.see(lambda tx: journeys.load(tx, journey_id))
    assert journey is not None
    assert journey.message_id == "?@x"
    assert journey.stamps[0].facts == {"name": "half ?", "all": ["?", "fine"], "nul": "\0"}


def test_a_damaged_journey_is_a_fault(rooms: Rooms) -> None:
    journey_id = begin(rooms)
    rooms.do(lambda tx: tx.execute("UPDATE journeys SET stamps = $1", b'[[1,"flown",{}]]'))
    with pytest.raises(StoreFault):
        rooms.see(lambda tx: journeys.load(tx, journey_id))


def test_old_journeys_are_forgotten_unless_the_message_still_waits(rooms: Rooms) -> None:
    waiting = enqueue(rooms, ["a@far.test"])
    rooms.do(lambda tx: journeys.begin(tx, waiting, "w@x", STAMPS))
    old = [begin(rooms, f"{number}@x") for number in range(5)]
    rooms.do(lambda tx: journeys.append(tx, old[0], STAMPS))
    rooms.now += 30 * DAY
    new = begin(rooms, "new@x")
    assert rooms.do(lambda tx: journeys.sweep(tx, rooms.now - SECOND, 3)) == 3
    assert rooms.do(lambda tx: journeys.sweep(tx, rooms.now - SECOND)) == 2
    assert rooms.do(lambda tx: journeys.sweep(tx, rooms.now - SECOND)) == 0
    assert rooms.see(lambda tx: journeys.recent(tx)) == [new, waiting]
    assert rooms.see(lambda tx: tx.all("SELECT * FROM journey_parts")) == []
    assert rooms.see(lambda tx: journeys.find(tx, "0@x")) == []
    (claimed,) = claim(rooms)
    settle(rooms, claimed.deliveries[0])
    assert rooms.do(lambda tx: journeys.sweep(tx, rooms.now - SECOND)) == 1
