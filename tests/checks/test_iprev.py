"""Reverse names that lead back, and those that do not."""

import pytest

from checks.zone import Zone, finish
from posthouse.checks import iprev

PTR = "1.2.0.192.in-addr.arpa"
PTR6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"


def test_a_name_that_leads_back_passes() -> None:
    zone = Zone({PTR: {"PTR": ["other.test", "mx.test"]}, "mx.test": {"A": ["192.0.2.7", "192.0.2.1"]}})
    found = finish(iprev.check("192.0.2.1", zone))
    assert (found.result, found.name, found.names) == ("pass", "mx.test", ("other.test", "mx.test"))
    assert (found.verdict.method, found.verdict.result, found.verdict.identity) == ("iprev", "pass", "192.0.2.1")
    assert found.verdict.reason == "192.0.2.1 is mx.test, and that name leads back to it"
    assert [each.question for each in found.verdict.evidence] == ["PTR 192.0.2.1", "A other.test", "A mx.test"]


def test_ipv6_and_ipv4_in_its_clothes() -> None:
    forward = {"mx.test": {"AAAA": "2001:db8::1", "A": "192.0.2.1"}}
    zone = Zone({PTR6: {"PTR": "mx.test"}, PTR: {"PTR": "mx.test"}, **forward})
    for ip, question in (("2001:DB8:0::1", "AAAA mx.test"), ("::ffff:192.0.2.1", "A mx.test")):
        assert finish(iprev.check(ip, zone)).result == "pass"
        assert question in zone.asked


@pytest.mark.parametrize("ptr", [{}, {PTR: {"TXT": "x"}}])
def test_an_address_without_a_name_is_permerror(ptr: dict[str, dict[str, str]]) -> None:
    found = finish(iprev.check("192.0.2.1", Zone(ptr)))
    assert (found.result, found.verdict.reason) == ("permerror", "192.0.2.1 has no name")


@pytest.mark.parametrize("forward", [{}, {"mx.test": {"AAAA": "2001:db8::1"}}, {"mx.test": {"A": "192.0.2.9"}}])
def test_a_name_that_leads_elsewhere_fails(forward: dict[str, dict[str, str]]) -> None:
    found = finish(iprev.check("192.0.2.1", Zone({PTR: {"PTR": "mx.test"}, **forward})))
    assert (found.result, found.name) == ("fail", "")
    assert "calls itself mx.test" in found.verdict.reason


def test_a_fault_of_the_dns_is_temperror_unless_another_name_passes() -> None:
    slow = {"slow.test": {"ANY": "TIMEOUT"}}
    assert finish(iprev.check("192.0.2.1", Zone({PTR: {"PTR": "SERVFAIL"}}))).result == "temperror"
    assert finish(iprev.check("192.0.2.1", Zone({PTR: {"PTR": "slow.test"}, **slow}))).result == "temperror"
    zone = Zone({PTR: {"PTR": ["slow.test", "mx.test"]}, **slow, "mx.test": {"A": "192.0.2.1"}})
    assert finish(iprev.check("192.0.2.1", zone)).result == "pass"


def test_at_most_ten_names_are_asked_for() -> None:
    names = [f"n{n}.test" for n in range(500)]
    zone = Zone({PTR: {"PTR": names}, **{name: {"A": "192.0.2.9"} for name in names}, "n10.test": {"A": "192.0.2.1"}})
    assert finish(iprev.check("192.0.2.1", zone)).result == "fail"
    assert sum(zone.asked.values()) == 1 + iprev.NAMES


def test_odd_octets_in_names_stay_out_of_what_people_read() -> None:
    name = "x\r\ny\x1b.test"
    found = finish(iprev.check("192.0.2.1", Zone({PTR: {"PTR": name}, name: {"A": "192.0.2.1"}})))
    assert found.result == "pass"
    assert found.verdict.reason.isprintable()
    assert all(text.isprintable() for each in found.verdict.evidence for text in (each.question, *each.answer))
