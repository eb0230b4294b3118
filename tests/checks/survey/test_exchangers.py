"""Who takes the mail of a domain, and what is wrong with them."""

from typing import Any

import pytest

from checks.zone import Zone, finish
from posthouse.checks.survey import Exchangers, State, exchangers, reverse

GOOD: dict[str, dict[str, Any]] = {
    "example.org": {"MX": ["20 b.example.org", "10 a.example.org"]},
    "a.example.org": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
    "b.example.org": {"A": ["192.0.2.2"]},
    "1.2.0.192.in-addr.arpa": {"PTR": ["a.example.org"]},
    "2.2.0.192.in-addr.arpa": {"PTR": ["SERVFAIL"]},
}


def hosts(zone: dict[str, dict[str, Any]], *, closed: bool = False) -> Exchangers:
    return finish(exchangers("example.org", Zone(zone), closed=closed))


def states(found: Exchangers) -> list[State]:
    return [item.state for item in found.items]


def test_good_hosts_are_told_in_their_order() -> None:
    found = hosts(GOOD)
    assert [(each.name, each.addresses) for each in found.exchanges] == [
        ("a.example.org", ("192.0.2.1", "2001:db8::1")), ("b.example.org", ("192.0.2.2",)),
    ]  # fmt: skip
    assert states(found) == [State.GOOD]
    assert found.items[0].evidence[0].question == "MX example.org"


def test_of_many_hosts_the_first_by_preference_are_looked_at() -> None:
    names = [f"m{n:02}.example.org" for n in range(25)]
    zone: dict[str, dict[str, Any]] = {name: {"A": [f"192.0.2.{n}"]} for n, name in enumerate(names)}
    found = hosts({**zone, "example.org": {"MX": [f"{n} {name}" for n, name in reversed(list(enumerate(names)))]}})
    assert [each.name for each in found.exchanges] == names[:20]
    assert states(found) == [State.GOOD, State.ADVICE]
    assert (found.items[1].found, found.items[1].means) == (
        "example.org has 25 mail hosts, of which the first 20 were looked at", "5 were left out",
    )  # fmt: skip


def test_a_host_that_stands_there_twice_is_told_once() -> None:
    found = hosts({**GOOD, "example.org": {"MX": ["20 a.example.org", "10 a.example.org", "10 a.example.org"]}})
    assert [(each.name, each.preference) for each in found.exchanges] == [("a.example.org", 10)]
    assert found.items[0].found == "example.org is served by a.example.org (10)"
    assert "a.example.org more than once" in found.items[1].found


def test_sound_hosts_are_told_beside_faulty_ones() -> None:
    found = hosts({**GOOD, "example.org": {"MX": ["10 a.example.org", "20 gone.example.org", "30 slow.example.org"]},
                   "slow.example.org": {"ANY": ["SERVFAIL"]}})  # fmt: skip
    assert [item.found for item in found.items if item.state is State.GOOD] == [
        "example.org is also served by a.example.org (10)"
    ]
    # Whose addresses could not be asked for still takes mail.
    assert [each.name for each in found.exchanges] == ["a.example.org", "slow.example.org"]


def test_a_null_mx_is_no_fault() -> None:
    found = hosts({"example.org": {"MX": ["0 ."]}})
    assert found.is_null
    assert states(found) == [State.GOOD]


def test_a_null_mx_beside_others_is() -> None:
    found = hosts({**GOOD, "example.org": {"MX": ["0 .", "10 a.example.org"]}})
    assert State.WRONG in states(found)
    assert [each.name for each in found.exchanges] == ["a.example.org"]


def test_a_host_without_an_address_loses_mail() -> None:
    found = hosts({"example.org": {"MX": ["10 gone.example.org"]}})
    assert states(found) == [State.WRONG]
    assert "gone.example.org has no address" in found.items[0].found


def test_an_address_is_no_host_name() -> None:
    found = hosts({"example.org": {"MX": ["10 192.0.2.1"]}})
    assert states(found) == [State.WRONG]


@pytest.mark.parametrize("address", ["127.0.0.1", "10." + "1.2.3"])
def test_an_address_that_nobody_can_reach_loses_mail(address: str) -> None:
    zone = {**GOOD, "b.example.org": {"A": [address]}}
    assert State.WRONG in states(hosts(zone))
    assert states(hosts(zone, closed=True)) == [State.GOOD]


def test_without_mx_the_address_of_the_domain_counts() -> None:
    found = hosts({"example.org": {"A": ["192.0.2.1"]}})
    assert states(found) == [State.ADVICE]
    assert found.items[0].publish[0].data == "10 example.org."
    assert found.exchanges[0].addresses == ("192.0.2.1",)


def test_without_any_address_no_mail_can_come() -> None:
    assert states(hosts({"example.org": {"TXT": ["x"]}})) == [State.WRONG]


def test_a_domain_that_does_not_exist_is_told_so() -> None:
    found = hosts({})
    assert not found.exists
    assert states(found) == [State.WRONG]


@pytest.mark.parametrize("zone", [
    {"example.org": {"MX": ["TIMEOUT"]}},
    {"example.org": {"MX": ["10 a.example.org"]}, "a.example.org": {"ANY": ["SERVFAIL"]}},
    {"example.org": {"A": ["TIMEOUT"], "TXT": ["x"]}},
])  # fmt: skip
def test_a_dns_that_does_not_answer_is_no_fault_of_the_domain(zone: dict[str, dict[str, Any]]) -> None:
    assert states(hosts(zone)) == [State.UNKNOWN]


def test_names_of_addresses_matter_where_the_hosts_send() -> None:
    zone = Zone(GOOD)
    found = hosts(GOOD)
    they_send = {item.subject: item for item in finish(reverse(found.exchanges, zone, they_send=True))}
    assert they_send["192.0.2.1"].state is State.GOOD
    assert they_send["192.0.2.2"].state is State.UNKNOWN
    item = they_send["2001:db8::1"]
    assert item.state is State.WRONG
    assert item.publish[0].rdtype == "PTR"
    assert item.publish[0].name.endswith(".ip6.arpa")
    assert item.publish[0].data == "a.example.org."
    they_take = {item.subject: item for item in finish(reverse(found.exchanges, zone, they_send=False))}
    assert they_take["2001:db8::1"].state is State.ADVICE
