"""Where mail goes: MX tables, null and implicit MX, backups, faults, hostile zones."""

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.route.exchanges import (
    MAX_ADDRESSES,
    MAX_EXCHANGES,
    Exchanges,
    Hosts,
    NoRoute,
    RoutingSettings,
    SmarthostLogin,
    StaticRoute,
    TlsRule,
)
from route.names import FakeDns

# Public, and registered to nobody in particular: any address outside the special ranges will do.
ONE, TWO, THREE = "8.8.8.1", "8.8.8.2", "8.8.8.3"
SIX = "2606:4700::1"


def find(dns: FakeDns, domain: str = "far.test", seed: int = 1, **settings: object) -> Hosts | NoRoute:
    exchanges = Exchanges(dns, RoutingSettings(**settings), Random(seed).shuffle)  # type: ignore[arg-type]
    return asyncio.run(exchanges.find(domain))


def names(found: Hosts | NoRoute) -> list[str]:
    assert isinstance(found, Hosts), found
    return [host.name for host in found.hosts]


def refusal(found: Hosts | NoRoute) -> tuple[int, str]:
    assert isinstance(found, NoRoute), found
    return found.reply.code, found.reply.enhanced


@pytest.fixture
def dns() -> FakeDns:
    dns = FakeDns()
    dns.mx_records["far.test"] = [(20, "b.test"), (10, "a.test"), (30, "c.test")]
    dns.a_records = {"a.test": [ONE], "b.test": [TWO], "c.test": [THREE]}
    return dns


def test_mx_hosts_come_in_order_of_preference(dns: FakeDns) -> None:
    assert names(find(dns)) == ["a.test", "b.test", "c.test"]


def test_equal_preferences_are_shuffled_and_stay_before_the_next(dns: FakeDns) -> None:
    dns.mx_records["far.test"] = [(10, "a.test"), (10, "b.test"), (20, "c.test")]
    orders = {tuple(names(find(dns, seed=seed))) for seed in range(20)}
    assert orders == {("a.test", "b.test", "c.test"), ("b.test", "a.test", "c.test")}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=MAX_EXCHANGES), st.integers())
def test_no_host_is_lost_and_none_goes_before_a_preferred_one(preferences: list[int], seed: int) -> None:
    dns = FakeDns()
    dns.mx_records["far.test"] = [(p, f"mx{i}.test") for i, p in enumerate(preferences)]
    dns.a_records = {f"mx{i}.test": [ONE] for i in range(len(preferences))}
    found = names(find(dns, seed=seed))
    assert sorted(found) == sorted(f"mx{i}.test" for i in range(len(preferences)))
    order = [preferences[int(name[2:-5])] for name in found]
    assert order == sorted(order)


def test_without_mx_the_domain_itself_is_tried(dns: FakeDns) -> None:
    dns.a_records["plain.test"] = [ONE]
    found = find(dns, "plain.test")
    assert names(found) == ["plain.test"]


def test_null_mx_is_permanent_and_asks_no_further(dns: FakeDns) -> None:
    dns.mx_records["silent.test"] = [(0, "")]
    dns.a_records["silent.test"] = [ONE]
    assert refusal(find(dns, "silent.test")) == (556, "5.1.10")
    assert dns.asked == [("MX", "silent.test")]


def test_a_null_mx_beside_real_ones_is_passed_over(dns: FakeDns) -> None:
    dns.mx_records["far.test"] = [(0, ""), (10, "a.test")]
    assert names(find(dns)) == ["a.test"]


def test_nxdomain_is_permanent(dns: FakeDns) -> None:
    assert refusal(find(dns, "nowhere.test")) == (550, "5.1.2")


def test_a_domain_without_any_address_is_permanent(dns: FakeDns) -> None:
    dns.a_records["empty.test"] = []
    assert refusal(find(dns, "empty.test")) == (550, "5.1.2")


def test_servfail_for_mx_is_transient(dns: FakeDns) -> None:
    dns.faults.add(("MX", "far.test"))
    assert refusal(find(dns)) == (451, "4.4.3")


def test_a_fault_at_one_exchange_leaves_the_others(dns: FakeDns) -> None:
    dns.faults.update({("A", "a.test"), ("AAAA", "a.test")})
    assert names(find(dns)) == ["b.test", "c.test"]


def test_a_fault_of_one_family_leaves_the_other(dns: FakeDns) -> None:
    dns.faults.add(("AAAA", "a.test"))
    found = find(dns)
    assert isinstance(found, Hosts)
    assert found.hosts[0].ips == (ONE,)


def test_only_faults_and_no_host_is_transient(dns: FakeDns) -> None:
    dns.a_records = {}
    dns.aaaa_records = {}
    dns.faults.add(("A", "c.test"))
    assert refusal(find(dns)) == (451, "4.4.3")


def test_exchanges_without_addresses_are_permanent(dns: FakeDns) -> None:
    dns.a_records = {}
    assert refusal(find(dns)) == (550, "5.4.4")


def test_families_take_turns_and_addresses_are_bounded(dns: FakeDns) -> None:
    dns.a_records["a.test"] = [ONE, TWO]
    dns.aaaa_records["a.test"] = [SIX]
    found = find(dns)
    assert isinstance(found, Hosts)
    assert found.hosts[0].ips == (SIX, ONE, TWO)
    dns.a_records["a.test"] = [f"8.8.4.{i}" for i in range(100)]
    found = find(dns)
    assert isinstance(found, Hosts)
    assert len(found.hosts[0].ips) == MAX_ADDRESSES


def test_a_huge_mx_set_costs_a_bounded_number_of_questions(dns: FakeDns) -> None:
    dns.mx_records["far.test"] = [(i, f"mx{i}.test") for i in range(1000)]
    dns.a_records = {f"mx{i}.test": [ONE] for i in range(1000)}
    assert names(find(dns)) == [f"mx{i}.test" for i in range(MAX_EXCHANGES)]
    assert len(dns.asked) == 1 + 2 * MAX_EXCHANGES


@pytest.mark.parametrize(
    ("ours", "expected"),
    [("b.test", ["a.test"]), ("c.test", ["a.test", "b.test"])],
)
def test_as_a_backup_we_keep_only_what_is_preferred_to_us(dns: FakeDns, ours: str, expected: list[str]) -> None:
    assert names(find(dns, own_names=frozenset({ours}))) == expected
    ip = dns.a_records[ours][0]
    assert names(find(dns, own_ips=frozenset({ip}))) == expected


def test_an_exchange_of_our_own_rank_is_dropped_too(dns: FakeDns) -> None:
    dns.mx_records["far.test"] = [(10, "a.test"), (20, "b.test"), (20, "c.test")]
    for seed in range(8):
        assert names(find(dns, seed=seed, own_names=frozenset({"b.test"}))) == ["a.test"]
        assert names(find(dns, seed=seed, own_ips=frozenset({TWO}))) == ["a.test"]


def test_being_the_best_exchange_of_a_foreign_domain_is_a_circle(dns: FakeDns) -> None:
    assert refusal(find(dns, own_names=frozenset({"a.test"}))) == (554, "5.4.6")
    assert refusal(find(dns, own_ips=frozenset({ONE}))) == (554, "5.4.6")
    dns.a_records["plain.test"] = [ONE]
    assert refusal(find(dns, "plain.test", own_ips=frozenset({ONE}))) == (554, "5.4.6")
    assert refusal(find(dns, f"[{ONE}]", own_ips=frozenset({ONE}))) == (554, "5.4.6")


@pytest.mark.parametrize(
    ("domain", "ip"), [("[8.8.8.8]", "8.8.8.8"), ("[ipv6:2606:4700::1]", SIX), ("[IPv6:2606:4700::1]", SIX)]
)
def test_address_literals_need_no_dns(dns: FakeDns, domain: str, ip: str) -> None:
    found = find(dns, domain)
    assert isinstance(found, Hosts)
    assert [host.ips for host in found.hosts] == [(ip,)]
    assert dns.asked == []


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1", "0.0.0.0", "169.254.1.1", "198.18.0.1", "192.0.2.1", "224.0.0.1", "255.255.255.255",
        "::1", "::", "fe80::1", "fd00::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "2002:7f00:1::",
        "64:ff9b::7f00:1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "fec0::1",
    ],
)
def test_addresses_outside_the_internet_are_refused_unless_allowed(dns: FakeDns, ip: str) -> None:
    dns.mx_records["far.test"] = [(10, "a.test")]
    dns.a_records["a.test"] = [ip]
    literal = f"[ipv6:{ip}]" if ":" in ip else f"[{ip}]"
    for domain in ("far.test", "a.test", literal):
        assert refusal(find(dns, domain)) == (550, "5.4.4")
        assert isinstance(find(dns, domain, allow_private=True), Hosts)


def test_a_public_exchange_is_used_beside_a_private_one(dns: FakeDns) -> None:
    dns.a_records["a.test"] = ["127.0.0.1"]
    assert names(find(dns)) == ["b.test", "c.test"]


def test_private_networks_by_another_name_are_refused(dns: FakeDns) -> None:
    # Written as numbers: the three private networks of RFC 1918.
    for first in (0x0A000001, 0xAC100001, 0xC0A80001):
        dns.a_records["a.test"] = [".".join(str(b) for b in first.to_bytes(4, "big"))]
        assert refusal(find(dns, "a.test")) == (550, "5.4.4")


def test_a_configured_route_goes_before_mx_and_may_be_private(dns: FakeDns) -> None:
    login = SmarthostLogin("us", "secret")
    route = StaticRoute("127.0.0.1", 2500, TlsRule.REQUIRED, login=login)
    found = find(dns, routes={"far.test": route})
    assert isinstance(found, Hosts)
    assert (found.how, dns.asked) == ("route", [])
    (host,) = found.hosts
    assert (host.ips, host.port, host.tls, host.login) == (("127.0.0.1",), 2500, TlsRule.REQUIRED, login)
    assert "secret" not in repr(found)


def test_a_smarthost_takes_what_has_no_route_of_its_own(dns: FakeDns) -> None:
    routes = {"*": StaticRoute("a.test", 587), "near.test": StaticRoute("b.test")}
    assert names(find(dns, routes=routes)) == ["a.test"]
    assert names(find(dns, "near.test", routes=routes)) == ["b.test"]
    assert names(find(dns, "[192.0.2.1]", routes=routes)) == ["a.test"]


def test_a_route_to_a_lost_host_is_transient(dns: FakeDns) -> None:
    assert refusal(find(dns, routes={"*": StaticRoute("lost.test")})) == (451, "4.4.4")
    dns.faults.update({("A", "a.test"), ("AAAA", "a.test")})
    assert refusal(find(dns, routes={"*": StaticRoute("a.test")})) == (451, "4.4.3")
