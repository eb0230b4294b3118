"""The way of a message: order, delays across time zones, and fields that tell less than they should."""

from checks.story.letters import message, received
from posthouse.checks.story import hops
from posthouse.checks.story.hops import HOPS
from posthouse.mail.instant import SECOND

EAST = "Sat, 01 Mar 2025 13:15:28 -0500"
WEST = "Sat, 01 Mar 2025 10:15:30 -0800"


def test_hops_are_told_from_the_bottom_of_the_header_to_the_top() -> None:
    way = hops(message(received("b.example", "c.example", WEST), received("a.example", "b.example", EAST)).header)
    assert [hop.by for hop in way] == ["b.example", "c.example"]
    assert [hop.where for hop in way] == ["Received 2", "Received 1"]


def test_a_delay_is_true_across_time_zones() -> None:
    way = hops(message(received("b.example", "c.example", WEST), received("a.example", "b.example", EAST)).header)
    assert [hop.delay for hop in way] == [None, 2 * SECOND]


def test_a_clock_that_is_slow_gives_a_delay_below_zero() -> None:
    early = "Sat, 01 Mar 2025 18:15:20 +0000"
    way = hops(message(received("b.example", "c.example", early), received("a.example", "b.example", EAST)).header)
    assert way[1].delay == -8 * SECOND


def test_the_delay_behind_a_field_without_a_date_is_that_since_the_last_date() -> None:
    way = hops(
        message(
            received("c.example", "d.example", WEST), "Received: from b.example by c.example",
            received("a.example", "b.example", EAST),
        ).header
    )  # fmt: skip
    assert [hop.delay for hop in way] == [None, None, 2 * SECOND]


def test_of_a_header_with_thousands_of_fields_the_topmost_are_told() -> None:
    fields = [received("a.example", f"h{number}.example", EAST) for number in range(3 * HOPS)]
    way = hops(message(*fields).header)
    assert len(way) == HOPS
    assert way[-1].by == "h0.example"


def test_fields_of_nonsense_make_hops_without_names() -> None:
    way = hops(message("Received: \x00\xff;;;((", "Received:").header)
    assert [hop.by for hop in way] == ["", ""]
    assert all(hop.delay is None for hop in way)


def test_the_delay_behind_a_time_without_a_zone_is_that_since_the_last_known_one() -> None:
    fields = (
        received("c.example", "d.example", WEST), received("b.example", "c.example", "Sat, 01 Mar 2025 13:15:29 CEST"),
        received("a.example", "b.example", EAST),
    )  # fmt: skip
    assert [hop.delay for hop in hops(message(*fields).header)] == [None, None, 2 * SECOND]
