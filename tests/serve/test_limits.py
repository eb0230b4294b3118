"""Counts that fade, in bounded memory."""

import pytest

from posthouse.serve.limits import Tally, networks


def test_a_count_halves_with_time() -> None:
    tally = Tally(half_life=100.0)
    for _ in range(8):
        tally.add("k", 0.0)
    assert tally.count("k", 0.0) == 8.0
    assert tally.count("k", 100.0) == 4.0
    assert tally.count("k", 300.0) == 1.0
    assert tally.add("k", 300.0) == 2.0


def test_a_clock_that_steps_back_makes_no_count_grow() -> None:
    tally = Tally(half_life=100.0)
    tally.add("k", 1_000.0)
    assert tally.count("k", 0.0) == 1.0


def test_no_flood_of_keys_takes_more_memory_than_was_given() -> None:
    tally = Tally(100.0, most=10)
    for number in range(1_000):
        tally.add(number, 0.0)
    assert len(tally) == 10
    assert tally.count(999, 0.0) == 1.0
    assert tally.count(0, 0.0) == 0.0


def test_a_key_in_use_outlives_a_flood_of_others() -> None:
    tally = Tally(1e9, most=10)
    for number in range(100):
        tally.add("busy", 0.0)
        tally.add(number, 0.0)
    assert tally.count("busy", 0.0) == pytest.approx(100.0)


def test_addresses_of_one_network_share_its_key() -> None:
    assert networks("192.0.2.1")[0] != networks("192.0.2.2")[0]
    assert networks("192.0.2.1")[1] == networks("192.0.2.62")[1]
    assert networks("192.0.2.1")[1] != networks("192.0.2.65")[1]
    assert networks("192.0.2.1")[2] == networks("192.0.7.1")[2]
    assert networks("192.0.2.1")[2] != networks("192.0.8.1")[2]
    assert networks("2001:db8::1")[0] == networks("2001:db8::2")[0]
    assert networks("2001:db8:0:1::1")[0] != networks("2001:db8::1")[0]
    assert networks("2001:db8:0:1::1")[1] == networks("2001:db8::1")[1]
    assert networks("2001:db8:1::1")[2] == networks("2001:db8:2::1")[2]
    assert networks("fe80::1%eth0") == networks("fe80::1")
