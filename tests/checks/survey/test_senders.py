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


ELEVEN = " ".join(f"a:h{n}.test" for n in range(11))
HELD = {f"h{n}_test": {"A": [f"198.51.100.{n}"]} for n in range(11)}


@pytest.mark.parametrize(("text", "words"), [
    (f"v=spf1 -ip4:192.0.2.66 ip4:192.0.2.0/24 {ELEVEN} ~all", "-ip4:192.0.2.66 stands before ip4:192.0.2.0/24"),
    (f"v=spf1 ~a:h1.test {ELEVEN} -all", "~a:h1.test stands before a:h0.test"),
    (f"v=spf1 ?include:one.test {ELEVEN} -all", "?include:one.test stands before a:h0.test"),
    (f"v=spf1 include:but.test {ELEVEN} -all", "-ip4:203.0.113.5 stands before ip4:203.0.113.0/24"),
    (f"v=spf1 {ELEVEN} ~ip4:192.0.2.66 -all", "~ip4:192.0.2.66 says another thing"),
    (f"v=spf1 {ELEVEN} a:slow.test -all", "not everything"),
    (f"v=spf1 {ELEVEN} include:gone.test -all", "not everything"),
    (f"v=spf1 {ELEVEN} redirect=%{{l}}.test", "redirect depends"),
])  # fmt: skip
def test_a_list_of_networks_is_not_proposed_where_it_would_say_another_thing(text: str, words: str) -> None:
    found = tree(
        text, **HELD, slow_test={"A": ["SERVFAIL"]},
        but_test={"TXT": ["v=spf1 -ip4:203.0.113.5 ip4:203.0.113.0/24 ~all"]},
    )  # fmt: skip
    assert (words in found.unlike(), found.flattened()) == (True, "")
    much = next(each for each in found.items if "lookups, and no more" in each.found)
    assert not much.publish
    assert words in much.change
    assert "says the same" not in much.change


@pytest.mark.parametrize(("text", "flat"), [
    # What an include forbids only ends the include; and "all" at its end matches nothing outside.
    ("v=spf1 include:only.test ip4:203.0.113.0/24 -all", "v=spf1 ip4:192.0.2.7 ip4:203.0.113.0/24 -all"),
    ("v=spf1 ip4:192.0.2.7 -ip4:192.0.2.66 -all", "v=spf1 ip4:192.0.2.7 -all"),
    ("v=spf1 ip4:192.0.2.7", "v=spf1 ip4:192.0.2.7 ?all"),
])  # fmt: skip
def test_what_forbids_without_a_difference_does_not_hinder_a_list(text: str, flat: str) -> None:
    only = {"TXT": ["v=spf1 ip4:192.0.2.7 -ip4:203.0.113.5 -all"]}
    assert tree(text, only_test=only).flattened() == flat


def test_lookups_that_are_left_in_the_flat_record_are_told() -> None:
    found = tree(f"v=spf1 include:dyn.test {ELEVEN} -all", **HELD, dyn_test={"TXT": ["v=spf1 exists:%{i}.x.test -all"]})
    much = item(found, State.WRONG)
    assert "says the same with 2 lookups" in much.change
    assert "include:dyn.test" in much.publish[0].data


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


@pytest.mark.parametrize(("text", "words", "record"), [
    ("v=spf1 mx", "nothing about everybody else", "v=spf1 mx ~all"),
    ("v=spf1 mx ?all", "it ends with ?all", "v=spf1 mx ~all"),
    ("v=spf1 mx ?ALL", "it ends with ?all", "v=spf1 mx ~all"),
    ("v=spf1 mx exp=why.test ?all", "it ends with ?all", "v=spf1 mx ~all exp=why.test"),
    ("v=spf1 mx ?all exp=why.test", "it ends with ?all", "v=spf1 mx ~all exp=why.test"),
    ("v=spf1 mx exp=why.test", "nothing about everybody else", "v=spf1 mx ~all exp=why.test"),
    ("v=spf1 ?all mx include:one.test", "?all stands before mx", "v=spf1 mx include:one.test ~all"),
    ("v=spf1 mx ?all -all", "it ends with ?all", "v=spf1 mx ~all"),
    ("v=spf1 ?all redirect=one.test", "?all stands beside redirect=one.test", ""),
    ("v=spf1 redirect=open.test", "the record of open.test, to which it redirects, ends with ?all", ""),
])  # fmt: skip
def test_a_policy_that_forbids_nothing_gets_advice(text: str, words: str, record: str) -> None:
    advice = item(tree(text, open_test={"TXT": ["v=spf1 ip4:192.0.2.1 ?all"]}), State.ADVICE)
    assert words in advice.found
    assert [entry.data for entry in advice.publish] == ([record] if record else [])


@pytest.mark.parametrize("target", ["gone.test", "slow.test", "%{l}.test"])
def test_a_redirect_that_leads_nowhere_wants_no_other_end(target: str) -> None:
    found = tree(f"v=spf1 redirect={target}", slow_test={"TXT": ["SERVFAIL"]})
    assert not [each for each in found.items if "~all" in each.change]


@pytest.mark.parametrize("terms", [
    "ip4:0.0.0.0/0", "ip4:0.0.0.0/1 ip4:128.0.0.0/1", "ip4:128.0.0.0/1", "ip6:::/0", "ip6:2000::/4",
])  # fmt: skip
def test_half_of_the_internet_is_as_bad_as_everybody(terms: str) -> None:
    found = tree(f"v=spf1 {terms} -all")
    assert ["half of the internet" in each for each in wrong(found)] == [True]
    assert not [each for each in found.items if each.state is State.GOOD]


def test_a_network_of_half_the_world_gets_advice() -> None:
    assert "ip4:192.0.0.0/3" in item(tree("v=spf1 ip4:192.0.0.0/3 -all"), State.ADVICE).found


def test_a_dns_that_does_not_answer_is_no_fault_of_the_domain() -> None:
    assert item(tree("TIMEOUT"), State.UNKNOWN)
    found = tree("v=spf1 include:slow.test -all", slow_test={"TXT": ["TIMEOUT"]})
    assert [each.state for each in found.items] == [State.UNKNOWN]
    assert found.flattened() == ""
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
