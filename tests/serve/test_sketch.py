"""Counts of several processes: whoever made them, all see them, and nobody gets more than there is for all."""

import math

import pytest

from posthouse.serve import login as login_module
from posthouse.serve.listener import Census, network_key
from posthouse.serve.login import Doorkeeper
from posthouse.serve.sketch import CELLS, SharedLimits, Sketch

HOME = "192.0.2.7"


class Several(SharedLimits):
    """As in three processes, one of which is at work at a time."""

    def __init__(self) -> None:
        super().__init__(3, ())

    def go_to(self, process: int) -> "Several":
        for sketch in self._sketches:
            sketch.process = process
        return self


def test_what_each_process_counts_is_one_count() -> None:
    sketch = Sketch(3, math.inf)
    for process in (0, 1, 2, 1):
        sketch.process = process
        sketch.add("k", 0.0)
    assert sketch.count("k", 0.0) == 4.0
    assert sketch.add("k", 1e9, -1.0) == 3.0
    assert sketch.count("another", 0.0) == 0.0


def test_a_shared_count_halves_with_time_whoever_made_it() -> None:
    sketch = Sketch(2, 100.0)
    sketch.add("k", 0.0, 8.0)
    sketch.process = 1
    assert sketch.add("k", 100.0, 4.0) == 8.0
    assert sketch.count("k", 200.0) == 4.0
    # A clock that steps back does not make it grow.
    assert sketch.count("k", 0.0) == 12.0


def test_what_others_counted_can_be_forgotten_and_stays_so() -> None:
    sketch = Sketch(2, 100.0)
    sketch.add("k", 0.0, 8.0)
    sketch.process = 1
    sketch.forget("k", 50.0)
    assert [sketch.count("k", now) for now in (50.0, 100.0, 1_000.0)] == pytest.approx([0.0] * 3, abs=1e-5)
    sketch.process = 0
    assert sketch.add("k", 1_000.0) == pytest.approx(1.0, abs=1e-5)


def test_a_row_that_is_vacated_takes_nothing_from_the_others() -> None:
    sketch = Sketch(2, math.inf)
    sketch.add("k", 0.0, 3.0)
    sketch.process = 1
    sketch.add("k", 0.0, 5.0)
    sketch.vacate()
    assert sketch.count("k", 0.0) == 3.0
    sketch.process = 0
    sketch.vacate()
    assert sketch.count("k", 0.0) == 0.0


def test_a_flood_of_addresses_holds_up_hardly_any_stranger() -> None:
    sketch = Sketch(2, math.inf)
    for number in range(CELLS // 16):
        sketch.add(f"attacker {number}", 0.0, 10.0)
    # A sixteenth of the cells is taken, so one stranger in 256 meets them in both of his.
    assert sum(sketch.count(f"stranger {number}", 0.0) >= 10.0 for number in range(2_000)) < 40


def test_nobody_knows_which_keys_meet() -> None:
    cells = {Sketch(1, math.inf)._cells("192.0.2.1") for _ in range(8)}
    assert len(cells) == 8


@pytest.mark.parametrize(("ip", "most"), [(HOME, 3), ("2001:db8::1", 5)])
def test_an_address_has_as_many_places_in_all_processes_as_in_one(ip: str, most: int) -> None:
    shared = Several()
    house = [Census(3, 5, shared=shared.strangers) for _ in range(3)]
    key = network_key(ip)
    entered = [house[number % 3].enter(key) for number in range(9) if shared.go_to(number % 3)]
    assert entered == [True] * most + [False] * (9 - most)
    # Who was turned away has taken no place, and who logs in or leaves gives it back, for whichever process it is.
    shared.go_to(0)
    house[0].known(key)
    shared.go_to(2)
    assert house[2].enter(key)
    shared.go_to(1)
    assert not house[1].enter(key)


def test_the_connections_of_a_process_that_died_are_forgotten_and_its_failures_are_not() -> None:
    shared = Several().go_to(1)
    census = Census(2, shared=shared.strangers)
    assert census.enter(HOME)
    assert census.enter(HOME)
    for _ in range(10):
        shared.doorkeeper.failed("alice", HOME, 0.0)
    shared.join(1)
    assert Census(2, shared=shared.strangers).enter(HOME)
    assert shared.go_to(0).doorkeeper.wait("bob", HOME, 0.0) is None


def test_failures_in_all_processes_are_counted_together() -> None:
    shared = Several()
    for number in range(10):
        assert shared.go_to(number % 3).doorkeeper.wait("bob", HOME, 0.0) == 0.0
        shared.doorkeeper.failed(f"u{number}", HOME, 0.0)
    for process in range(3):
        assert shared.go_to(process).doorkeeper.wait("bob", HOME, 0.0) is None
        assert shared.doorkeeper.wait("bob", "198.51.100.1", 0.0) == 0.0
        assert shared.doorkeeper.wait("bob", HOME, login_module.HALF_LIFE) == 0.0


def test_who_logged_in_at_one_process_is_known_to_all() -> None:
    shared = Several().go_to(2)
    shared.doorkeeper.succeeded("alice", HOME, 0.0)
    for number in range(40):
        shared.go_to(number % 2).doorkeeper.failed(f"u{number}", HOME, 0.0)
    assert shared.doorkeeper.wait("bob", HOME, 0.0) is None
    assert shared.doorkeeper.wait("alice", HOME, 0.0) == 0.0
    for number in range(40):
        shared.go_to(number % 3).doorkeeper.failed("alice", HOME, 0.0)
    assert shared.doorkeeper.wait("alice", HOME, 0.0) == login_module.LONGEST_WAIT
    shared.go_to(0).doorkeeper.succeeded("alice", HOME, 0.0)
    assert shared.go_to(1).doorkeeper.wait("alice", HOME, 0.0) == 0.0


@pytest.mark.parametrize("keeper", [Doorkeeper(), SharedLimits(2, ()).doorkeeper], ids=["alone", "shared"])
def test_after_a_month_without_a_login_an_address_is_a_stranger_again(keeper: Doorkeeper) -> None:
    month = login_module.KNOWN_SECONDS
    for _ in range(20):
        keeper.succeeded("alice", HOME, 0.0)
    keeper.succeeded("alice", HOME, month / 2)

    def waits(now: float) -> float | None:
        for number in range(20):
            keeper.failed(f"u{number}", HOME, now)
        return keeper.wait("alice", HOME, now)

    assert waits(month * 1.49) == 0.0
    assert waits(month * 1.51) is None
