"""SPF with everything it includes: counted, bounded, laid flat, and what is wrong with it."""

from typing import Any

import pytest

from checks.zone import Zone, finish
from posthouse.checks.survey import Branch, Item, State, Tree, follow
from posthouse.checks.survey.senders import DEPTH, FOLLOWED

HOSTS: dict[str, dict[str, Any]] = {
    "mx.example.org": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]},
    "www.example.org": {"A": ["192.0.2.80"]},
    "one.test": {"TXT": ["v=spf1 ip4:198.51.100.0/25 include:two.test -all"]},
    "two.test": {"TXT": ["v=spf1 ip4:198.51.100.128/25 ip6:2001:db8:5::/48 ~all"]},
}


def tree(text: str, **more: dict[str, Any]) -> Tree:
    records = {"example.org": {"TXT": [text], "MX": ["10 mx.example.org"]}, **HOSTS}
    records |= {name.replace("_", "."): types for name, types in more.items()}
    return finish(follow("example.org", Zone(records)))


def wrong(found: Tree) -> list[str]:
    return [item.found for item in found.items if item.state is State.WRONG]


def item(found: Tree, state: State) -> Item:
    return next(each for each in found.items if each.state is state)


def test_every_include_is_followed_and_counted() -> None:
    found = tree("v=spf1 mx include:one.test a:www.example.org -all")
    assert found.lookups == 4
    assert [(str(each.network), each.by) for each in found.networks] == [
        ("192.0.2.1/32", ("mx",)),
        ("2001:db8::1/128", ("mx",)),
        ("198.51.100.0/25", ("include:one.test", "ip4:198.51.100.0/25")),
        ("198.51.100.128/25", ("include:one.test", "include:two.test", "ip4:198.51.100.128/25")),
        ("2001:db8:5::/48", ("include:one.test", "include:two.test", "ip6:2001:db8:5::/48")),
        ("192.0.2.80/32", ("a:www.example.org",)),
    ]
    assert found.rest == "fail"
    assert found.uses_mx
    assert [each.state for each in found.items] == [State.GOOD]
    assert found.items[0].found == "258 IPv4 addresses and 2 IPv6 networks may send for it, found with 4 of 10 lookups"


def test_the_same_policy_is_laid_flat_in_one_record() -> None:
    flat = tree("v=spf1 mx include:one.test a:www.example.org -all").flattened()
    assert flat == (
        "v=spf1 ip4:192.0.2.1 ip4:192.0.2.80 ip4:198.51.100.0/24 ip6:2001:db8::1 ip6:2001:db8:5::/48 -all"
    )


def test_what_depends_on_the_message_stays_as_it_is() -> None:
    found = tree("v=spf1 exists:%{i}.x.test include:dyn.test ~all", dyn_test={"TXT": ["v=spf1 ptr exists:%{d} -all"]})
    assert found.flattened() == "v=spf1 exists:%{i}.x.test include:dyn.test ~all"
    assert found.lookups == 4
    assert any("ptr" in each.found for each in found.items if each.state is State.ADVICE)


def test_a_redirect_ends_the_policy() -> None:
    found = tree("v=spf1 redirect=one.test")
    assert (found.lookups, found.rest) == (2, "fail")


def test_what_an_include_forbids_is_not_let_pass() -> None:
    found = tree("v=spf1 include:no.test ~include:one.test -all", no_test={"TXT": ["v=spf1 -ip4:192.0.2.99 ?all"]})
    assert not found.networks
    assert found.rest == "fail"


def test_the_lookups_of_a_record_count_as_often_as_it_is_included() -> None:
    found = tree("v=spf1 include:one.test include:one.test -all")
    assert found.lookups == 4


def test_more_than_ten_lookups_are_a_fault_with_a_record_that_mends_it() -> None:
    found = tree("v=spf1 " + "include:one.test " * 6 + "-all")
    assert found.lookups == 12
    assert wrong(found) == ["the policy takes 12 lookups, and no more than 10 are made"]
    assert item(found, State.WRONG).publish[0].data == "v=spf1 ip4:198.51.100.0/24 ip6:2001:db8:5::/48 -all"


def test_close_to_the_limit_there_is_advice() -> None:
    found = tree("v=spf1 " + "include:two.test " * 9 + "-all")
    assert item(found, State.ADVICE).found == "the policy takes 9 of 10 lookups"


@pytest.mark.parametrize(("text", "words"), [
    ("v=spf1 include:gone.test -all", "gone.test has no SPF record"),
    ("v=spf1 include:bad.test -all", "the SPF record of bad.test is malformed"),
    ("v=spf1 include:twice.test -all", "twice.test has 2 SPF records"),
    ("v=spf1 include:loop.test -all", "loop.test leads back to itself"),
    ("v=spf1 ip4:1.2.3 -all", "the SPF record of example.org is malformed"),
    ("v=spf1 mx:many.test -all", "many.test has 11 mail hosts"),
    ("v=spf1 a:n1.test a:n2.test a:n3.test -all", "3 of its lookups lead to nothing"),
    ("v=spf1 +all", "the policy lets everybody send"),
    ("v=spf1 include:any.test -all", "the policy lets everybody send"),
])  # fmt: skip
def test_what_spoils_the_policy_is_told(text: str, words: str) -> None:
    found = tree(
        text,
        bad_test={"TXT": ["v=spf1 nonsense -all"]}, twice_test={"TXT": ["v=spf1 -all", "v=spf1 ~all"]},
        loop_test={"TXT": ["v=spf1 include:loop.test -all"]},
        many_test={"MX": [f"{n} mx.example.org" for n in range(11)]},
        any_test={"TXT": ["v=spf1 +all"]},
    )  # fmt: skip
    assert any(words in each for each in wrong(found)), wrong(found)


def test_a_domain_without_a_record_is_told_one() -> None:
    found = finish(follow("mx.example.org", Zone(HOSTS)))
    assert wrong(found) == ["mx.example.org has no SPF record"]
    assert item(found, State.WRONG).publish[0].data == "v=spf1 mx -all"
    silent = finish(follow("mx.example.org", Zone(HOSTS), takes_mail=False))
    assert item(silent, State.WRONG).publish[0].data == "v=spf1 -all"


@pytest.mark.parametrize("text", ["v=spf1 mx", "v=spf1 mx ?all"])
def test_a_policy_that_forbids_nothing_gets_advice(text: str) -> None:
    advice = item(tree(text), State.ADVICE)
    assert advice.publish[0].data == "v=spf1 mx ~all"


def test_a_network_of_half_the_world_gets_advice() -> None:
    assert "ip4:192.0.0.0/3" in item(tree("v=spf1 ip4:192.0.0.0/3 -all"), State.ADVICE).found


def test_a_dns_that_does_not_answer_is_no_fault_of_the_domain() -> None:
    assert item(tree("TIMEOUT"), State.UNKNOWN)
    found = tree("v=spf1 include:slow.test -all", slow_test={"TXT": ["TIMEOUT"]})
    assert not wrong(found)
    assert "slow.test could not be asked" in item(found, State.UNKNOWN).found


def test_circles_and_depths_have_an_end() -> None:
    deep = {f"d{n}_test": {"TXT": [f"v=spf1 include:d{n + 1}.test -all"]} for n in range(3 * DEPTH)}
    found = tree("v=spf1 include:d0.test -all", **deep)
    assert any("was not followed" in each for each in wrong(found))
    wide = tree("v=spf1 " + " ".join(f"a:w{n}.test" for n in range(3 * FOLLOWED)) + " -all")
    assert wide.lookups == 3 * FOLLOWED
    assert len(wide.evidence) <= 2 * FOLLOWED + 3


def test_the_tree_shows_which_record_is_whose() -> None:
    root = tree("v=spf1 mx include:one.test -all").root
    below = root.terms[1]
    assert isinstance(below, Branch)
    assert (below.domain, below.term, below.lookups) == ("one.test", "include:one.test", 1)
    assert [term for term in root.terms if isinstance(term, str)] == ["mx", "-all"]
