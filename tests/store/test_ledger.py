"""Ranges of UIDs, as the log keeps them."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from posthouse.store import ledger

numbers = st.sets(st.integers(1, 60)).map(sorted)
ranges = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)).map(lambda pair: (pair[0], pair[0] + pair[1])))


def spread(found: list[tuple[int, int]]) -> list[int]:
    return [number for low, high in found for number in range(low, high + 1)]


@given(numbers)
def test_gathered_numbers_are_the_same_numbers(some: list[int]) -> None:
    found = ledger.gather(some)
    assert spread(found) == some
    assert all(one[1] + 1 < two[0] for one, two in pairwise(found))


@given(ranges)
def test_a_union_has_what_any_has_and_is_apart(some: list[tuple[int, int]]) -> None:
    found = ledger.union(some)
    assert spread(found) == sorted(set(spread(some)))
    assert all(one[1] + 1 < two[0] for one, two in pairwise(found))


@given(ranges, numbers)
def test_without_leaves_the_rest(some: list[tuple[int, int]], away: list[int]) -> None:
    whole = ledger.union(some)
    assert spread(ledger.without(whole, away)) == [number for number in spread(whole) if number not in away]


@given(numbers.filter(bool))
def test_text_reads_back(some: list[int]) -> None:
    found = ledger.gather(some)
    assert ledger.from_text(ledger.to_text(found)) == found


@given(ranges)
def test_spread_asks_for_every_number_once(some: list[tuple[int, int]]) -> None:
    whole = ledger.union(some)
    wide, single = ledger.spread(whole)
    assert sorted(spread(wide) + [number for each in single for number in each]) == spread(whole)
