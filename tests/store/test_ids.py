"""Ids grow, are unique, and read the same as text and as numbers."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.instant import DAY, SECOND
from posthouse.store.ids import EPOCH, NODES, Ids, at, from_text, instant, to_text

NOW = EPOCH + 300 * DAY
times = st.integers(EPOCH, EPOCH + 60 * 365 * DAY)


@given(st.lists(times, max_size=50), st.integers(0, NODES - 1))
def test_ids_grow_however_the_clock_jumps(clock: list[int], node: int) -> None:
    ids = Ids(node)
    made = [ids.next(now) for now in clock]
    assert made == sorted(set(made))
    assert all(0 < number < 1 << 63 for number in made)
    assert all(number >> 12 & 1023 == node for number in made)


def test_a_millisecond_that_is_used_up_borrows_from_the_next() -> None:
    ids = Ids()
    made = [ids.next(NOW) for _ in range(10_000)]
    assert made == sorted(set(made))
    assert instant(made[0]) == NOW
    assert instant(made[-1]) == NOW + 2_000


def test_threads_never_get_the_same_id() -> None:
    ids = Ids()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: [ids.next(NOW) for _ in range(5_000)], range(4)))
    assert len({number for some in made for number in some}) == 20_000


def test_two_nodes_never_make_the_same_id() -> None:
    one, two = Ids(1), Ids(2)
    assert not {one.next(NOW) for _ in range(100)} & {two.next(NOW) for _ in range(100)}


@given(times)
def test_an_id_tells_when_it_was_made(now: int) -> None:
    made = Ids(5).next(now)
    assert 0 <= now - instant(made) < 1_000
    assert at(now) <= made < at(now + SECOND)


@given(st.integers(0, (1 << 63) - 1), st.integers(0, (1 << 63) - 1))
def test_text_reads_back_and_sorts_as_the_numbers(one: int, two: int) -> None:
    assert from_text(to_text(one)) == one
    assert len(to_text(one)) == 13
    assert (to_text(one) < to_text(two)) == (one < two)


def test_text_is_read_in_any_case_and_with_lookalikes() -> None:
    assert from_text("0B0O000000ILL") == from_text("0b0000000" + "0111")


@pytest.mark.parametrize("text", ["", "0" * 12, "0" * 14, "u000000000000", "-000000000000", "zzzzzzzzzzzzz", "é" * 13])
def test_text_that_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_text(text)


@pytest.mark.parametrize("number", [-1, 1 << 63])
def test_numbers_that_are_no_ids_are_refused(number: int) -> None:
    with pytest.raises(ValueError):
        to_text(number)


@pytest.mark.parametrize("node", [-1, NODES])
def test_node_numbers_have_a_range(node: int) -> None:
    with pytest.raises(ValueError):
        Ids(node)
