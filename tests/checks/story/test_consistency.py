"""What in the way cannot be true: clocks, gaps, addresses of closed networks, borrowed names."""

import pytest

from checks.story.letters import OURS, message, received
from posthouse.checks.finding import Severity
from posthouse.checks.story import find, hops
from posthouse.checks.story.consistency import Doubt, doubts
from posthouse.checks.story.hops import HOPS
from posthouse.mail.instant import DAY

NOW = 1_740_852_930_000_000  # 2025-03-01T18:15:30Z
STRANGER = "mx.example.org (mx.example.org [192.0.2.1])"


def at(clock: str, day: str = "Sat, 01 Mar 2025") -> str:
    return f"{day} {clock} +0000"


def found(*fields: str, hosts: tuple[str, ...] = (), now: int = NOW) -> dict[str, Doubt]:
    header = message(*fields).header
    told = doubts(find(hops(header), hosts), header, now)
    return {doubt.finding.kind: doubt for doubt in told}


def chain(*clocks: str) -> list[str]:
    """Hosts a, b, c … that hand it on at these times."""
    names = "abcdefgh"
    fields = [
        received(f"{names[n]}.example", f"{names[n + 1]}.example", at(clock)) for n, clock in enumerate(clocks)
    ]
    return fields[::-1]


def test_an_honest_way_is_beyond_doubt() -> None:
    assert not found(*chain("18:15:00", "18:15:02", "18:15:05"), f"Date: {at('18:14:58')}")


def test_a_second_or_two_is_no_finding() -> None:
    assert not found(*chain("18:15:05", "18:15:03"))


def test_a_fast_clock_is_named_where_the_neighbours_agree() -> None:
    doubt = found(*chain("18:00:00", "18:05:00", "18:00:03"))["clock-skew"]
    assert doubt.finding.text == "passed c.example, whose clock is fast by 4 min 57 s, or whose field was made up"
    assert doubt.finding.severity is Severity.LOW
    assert doubt.number == 1


def test_a_slow_clock_is_named_where_the_neighbours_agree() -> None:
    doubt = found(*chain("18:05:00", "18:00:00", "18:05:03"))["clock-skew"]
    assert doubt.finding.text == "passed c.example, whose clock is slow by 5 min"


def test_with_two_hosts_nobody_knows_whose_clock_is_wrong() -> None:
    text = found(*chain("18:05:00", "18:04:00"))["clock-skew"].finding.text
    assert text.startswith("came to c.example 1 min before it was at b.example, which cannot be true")


def test_a_wrong_time_zone_is_no_grave_matter() -> None:
    doubt = found(*chain("18:00:00", "16:00:20"))["clock-skew"]
    assert doubt.finding.severity is Severity.LOW
    assert "as if it were in another time zone" in doubt.finding.text


def test_time_that_runs_backwards_for_long_cannot_be_true() -> None:
    assert found(*chain("18:00:00", "16:20:00"))["backwards"].finding.severity is Severity.MEDIUM


def test_waiting_is_told() -> None:
    assert found(*chain("13:00:00", "15:04:00"))["delay"].finding.text == "took 2 h 4 min from b.example to c.example"


def test_no_host_waits_for_a_year() -> None:
    old = received("a.example", "b.example", at("10:00:00", "Fri, 01 Mar 2024"))
    assert found(received("b.example", "c.example", at("10:00:00")), old)["delay"].finding.severity is Severity.MEDIUM


def test_hops_in_the_future_are_told() -> None:
    assert "future" in found(*chain("18:00:00"), now=NOW - DAY)


def test_a_date_that_is_later_than_the_first_hop_is_told() -> None:
    assert found(*chain("18:00:00"), f"Date: {at('18:40:00')}")["clock-skew"].number == 0
    late = found(*chain("18:00:00"), f"Date: {at('18:40:00', 'Mon, 10 Mar 2025')}")["dated"]
    assert late.finding.severity is Severity.MEDIUM


def test_a_host_that_was_handed_it_by_somebody_else_is_told() -> None:
    fields = (
        received("x.elsewhere.test ([203.0.113.8])", "c.example", at("18:00:02")),
        received("a.example", "b.other.test", at("18:00:00")),
    )
    text = found(*fields)["broken-chain"].finding.text
    assert text == "was handed to c.example by x.elsewhere.test, although it had come to b.other.test before"


def test_hosts_of_one_organization_have_many_names() -> None:
    fields = (
        received("out7.b.test ([203.0.113.8])", "c.example", at("18:00:02")),
        received("a.example", "in3.b.test", at("18:00:00")),
    )
    assert not found(*fields)


def test_what_goes_through_a_filter_on_the_same_machine_is_in_order() -> None:
    fields = (
        received("localhost (localhost [127.0.0.1])", "c.example", at("18:00:02")),
        received("a.example", "b.other.test", at("18:00:00")),
    )
    assert "broken-chain" not in found(*fields)


def test_a_private_address_between_two_houses_cannot_be_true() -> None:
    private = "192.168." + "4.5"
    fields = (
        received(f"relay.third.test ([{private}])", "c.example", at("18:00:02")),
        received("a.example", "b.other.test", at("18:00:00")),
    )
    doubt = found(*fields)["private-address"]
    assert private in doubt.finding.text


def test_a_client_that_bears_our_name_is_told() -> None:
    fields = (received(f"{OURS} (unknown [203.0.113.66])", OURS, at("18:00:00")),)
    assert found(*fields)["borrowed-name"].finding.severity is Severity.MEDIUM


def test_a_field_in_our_name_below_the_entry_is_told() -> None:
    fields = (received(STRANGER, OURS, at("18:00:02")), received("bank.example ([192.0.2.9])", OURS, at("18:00:00")))
    doubt = found(*fields, hosts=(OURS,))["forged-hop"]
    assert doubt.number == 2
    assert doubt.finding.severity is Severity.MEDIUM
    # What we guess ourselves weighs less.
    assert found(*fields)["forged-hop"].finding.severity is Severity.LOW


def test_many_doubts_of_one_kind_are_told_three_times() -> None:
    header = message(*chain("18:07:00", "18:06:00", "18:05:00", "18:04:00", "18:03:00", "18:02:00")).header
    told = [doubt for doubt in doubts(find(hops(header)), header, NOW) if doubt.finding.kind == "clock-skew"]
    assert len(told) == 3


def test_too_many_fields_are_told() -> None:
    fields = [received("a.example", "b.example", at("18:00:00"))] * (HOPS + 7)
    assert f"has {HOPS + 7} Received fields" in found(*fields)["too-many-hops"].finding.text


@pytest.mark.parametrize("zone", ["CEST", "+9999", ""])
def test_a_time_in_a_zone_that_nobody_knows_is_no_delay(zone: str) -> None:
    first = received("a.example", "b.example", f"Sat, 01 Mar 2025 13:15:28 {zone}".strip())
    told = found(received("b.example", "c.example", at("18:15:30")), first, f"Date: {at('18:15:20')}")
    assert list(told) == ["unknown-zone"]
    assert told["unknown-zone"].number == 2
    assert (
        told["unknown-zone"].finding.text
        == "passed b.example at a time in no zone that is known: it may be wrong by 14 h"
    )
    date = f"Date: Sat, 01 Mar 2025 13:15:28 {zone}".strip()
    assert not found(received("a.example", "b.example", at("04:15:30")), date)


def test_minus_nought_is_the_time_of_utc() -> None:
    told = found(*chain("13:15:28", "18:15:30"), "Received: from x by a.example; Sat, 01 Mar 2025 13:15:20 -0000")
    assert list(told) == ["delay"]


def test_no_zone_explains_more_than_half_a_day() -> None:
    late = received("b.example", "c.example", "Sat, 01 Mar 2025 01:00:00 CEST")
    told = found(late, received("a.example", "b.example", at("18:15:30")))
    assert told["backwards"].finding.text.endswith("which no time zone explains")
    late = received("b.example", "c.example", "Sat, 01 Mar 2025 13:15:28 CEST")
    told = found(late, received("a.example", "b.example", at("18:15:30", "Wed, 01 May 2024")))
    assert told["delay"].finding.text.endswith("which no host waits for")


@pytest.mark.parametrize("ip", ["224.0.0.1", "255.255.255.255", "0.0.0.0", "IPv6:ff02::1"])
def test_an_address_that_no_host_can_have_is_told(ip: str) -> None:
    told = found(received(f"mx.example.org (mx.example.org [{ip}])", OURS, at("18:15:30")))
    assert told["impossible-address"].finding.text.endswith("an address that no host can have")


def test_a_date_that_no_calendar_has_is_told() -> None:
    told = found(received(STRANGER, OURS, "Mon, 31 Feb 2025 10:00:00 +0000"))
    assert told["impossible-date"].finding.text == f"passed {OURS} at a time that no calendar has"
    told = found(received(STRANGER, OURS, at("18:15:30")), "Date: Mon, 31 Feb 2025 10:00:00 +0000")
    assert told["impossible-date"].finding.text == "is dated at a time that no calendar has"
    assert not found(received(STRANGER, OURS, at("18:15:30")), "Date: yesterday")
