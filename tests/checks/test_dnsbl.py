"""Blocklists and allowlists: what counts as a listing, what as an error of the list, and what it comes to."""

from dataclasses import replace

import pytest

from checks.zone import Zone, finish
from posthouse.checks import dnsbl, dnslists
from posthouse.checks.dnsbl import Code, DnsList, Entry, ListError
from posthouse.checks.zonefile import Records

BAD = DnsList("bad.test", weight=3)
DOMS = DnsList("doms.test", "domain", weight=2)
GOOD = DnsList("good.test", weight=-2)


def ask(
    records: Records, *lists: DnsList, ip: str = "192.0.2.99", domains: tuple[str, ...] = ("a.test",)
) -> dnsbl.Dnsbl:
    return finish(dnsbl.check(ip, domains, lists, Zone(records)))


def answering(*addresses: str, which: DnsList = BAD, text: str = "") -> Entry:
    zone = {"99.2.0.192.bad.test": {"A": addresses, **({"TXT": text} if text else {})}}
    return finish(dnsbl.ask("192.0.2.99", which, Zone(zone)))


def test_who_is_listed_as_good_is_vouched_for() -> None:
    zone = Zone({"99.2.0.192.good.test": {"A": "127.0.0.2"}, "99.2.0.192.bad.test": {"A": "127.0.0.2"}})
    found = finish(dnsbl.check("192.0.2.99", [], [DnsList("good.test", weight=-1), BAD], zone))
    assert found.verdict.reason == "192.0.2.99 is vouched for by good.test; 192.0.2.99 is listed by bad.test"


def test_an_address_is_looked_up_backwards_under_the_list() -> None:
    zone = Zone({"99.2.0.192.bad.test": {"A": "127.0.0.2", "TXT": "Dynamic address, see http://bad.test?192.0.2.99"}})
    found = finish(dnsbl.check("192.0.2.99", [], [BAD], zone))
    assert (found.score, found.verdict.method, found.verdict.result) == (3, "dnsbl", "fail")
    words = "192.0.2.99 is listed by bad.test (Dynamic address, see http://bad.test?192.0.2.99)"
    assert found.verdict.reason == words
    assert zone.asked == {"A 99.2.0.192.bad.test": 1, "TXT 99.2.0.192.bad.test": 1}
    assert [each.question for each in found.verdict.evidence] == list(zone.asked)


@pytest.mark.parametrize(("ip", "name"), [
    ("2001:db8:1:2:3:4:567:89ab", "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bad.test"),
    ("::ffff:192.0.2.99", "99.2.0.192.bad.test"),
])
def test_ipv6_goes_by_its_digits_unless_it_is_ipv4(ip: str, name: str) -> None:
    assert ask({name: {"A": "127.0.0.2"}}, BAD, ip=ip).score == 3


def test_domain_lists_are_asked_about_domains_once_each() -> None:
    zone = Zone({"a.test.doms.test": {"A": "127.0.0.2"}})
    found = finish(dnsbl.check("192.0.2.99", ["A.test", "b.test", "A.test"], [DOMS], zone))
    assert (found.score, [entry.subject for entry in found.entries]) == (2, ["A.test"])
    assert sum(zone.asked.values()) == 3
    zone = Zone({})
    assert finish(dnsbl.check("192.0.2.99", ["x." * 120 + "abcd"], [DOMS], zone)).verdict.result == "none"
    assert not zone.asked


def test_nobody_lists_an_honest_sender() -> None:
    found = ask({"a.test": {"A": "192.0.2.1"}}, BAD, DOMS, GOOD)
    assert (found.score, found.entries, found.verdict.result) == (0, (), "none")
    assert found.verdict.reason == "no list knows 192.0.2.99"


@pytest.mark.parametrize("answer", [
    "127.255.255.252", "127.255.255.254", "127.255.255.255", "127.255.255.0", "192.0.2.1", "0.0.0.0", "126.0.0.2",
    "128.0.0.2", "203.0.113.66", "127.0.0.1",
])
def test_an_error_of_the_list_is_never_a_listing(answer: str) -> None:
    for addresses in ((answer,), ("127.0.0.2", answer), (answer, "127.0.0.2")):
        entry = answering(*addresses)
        assert (entry.listed, entry.weight, entry.lasting) == (False, 0, True)
        assert answer in entry.error
    found = ask({"*.bad.test": {"A": answer}}, BAD)
    assert (found.score, found.verdict.result) == (0, "permerror")


def test_a_code_that_names_an_error_range_does_not_make_it_a_listing() -> None:
    everything = DnsList("bad.test", weight=9, codes=(Code("*.*.*.*", "anything"),))
    assert not answering("127.255.255.254", which=everything).listed
    assert not answering("192.0.2.1", which=everything).listed
    assert answering("127.0.0.1", which=everything).listed


def test_a_list_that_cannot_be_asked_is_no_listing_and_no_clearance() -> None:
    zone: Records = {"*.bad.test": {"A": "TIMEOUT"}, "99.2.0.192.good.test": {"A": "127.0.0.2"}}
    found = ask(zone, BAD)
    assert (found.score, found.verdict.result, found.entries[0].lasting) == (0, "temperror", False)
    assert "bad.test could not be asked" in found.verdict.reason
    found = ask(zone, BAD, GOOD)
    assert (found.score, found.verdict.result, len(found.entries)) == (-2, "pass", 2)


def test_weights_of_several_lists_add_up() -> None:
    zone = {"99.2.0.192.bad.test": {"A": "127.0.0.2"}, "99.2.0.192.good.test": {"A": "127.0.0.2"},
            "a.test.doms.test": {"A": "127.0.0.9"}}
    assert ask(zone, BAD, DOMS, GOOD).score == 3
    assert ask(zone, BAD, DOMS, GOOD).verdict.result == "fail"
    assert ask(zone, GOOD).score == -2


def test_codes_say_what_is_meant_and_how_much_it_weighs() -> None:
    codes = (Code("127.0.0.2", "open relay"), Code("127.0.0.4-7", "malware", 7), Code("127.0.1.*", "old", 1))
    which = DnsList("bad.test", weight=3, codes=codes)
    for answer, weight, meaning in (
        ("127.0.0.2", 3, "open relay"), ("127.0.0.4", 7, "malware"), ("127.0.0.7", 7, "malware"),
        ("127.0.1.200", 1, "old"), ("127.0.0.3", 0, ""), ("127.0.0.8", 0, ""),
    ):
        entry = answering(answer, which=which)
        assert (entry.listed, entry.weight, entry.meaning, entry.error) == (bool(weight), weight, meaning, "")
    both = answering("127.0.0.2", "127.0.0.5", "127.0.0.99", which=which)
    assert (both.weight, set(both.meaning.split(", "))) == (7, {"open relay", "malware"})


def test_bits_are_told_apart() -> None:
    which = DnsList("bad.test", codes=(Code("127.0.0.&4", "malware", 5), Code("127.0.0.&2", "relay", 2)))
    assert [answering(f"127.0.0.{n}", which=which).weight for n in (2, 4, 6, 8, 3)] == [2, 5, 5, 0, 2]


@pytest.mark.parametrize("pattern", [
    "", "127.0.0", "127.0.0.2.3", "127.0.0.256", "127.0.0.-1", "127.0.0.1-", "127.0.0.&", "127.0.0.&0", "127.0.0.&1-2",
    "127.0.0.x", "127.0.0.0002", "127.0.0.**",
])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(ListError):
        Code(pattern, "")
    with pytest.raises(ListError):
        DnsList("bad.test", refusals=(pattern,))


def test_the_lists_own_words_are_bounded_and_fit_for_a_reply() -> None:
    text = answering("127.0.0.2", text="blocked\r\n250 OK \x1b ü " + "x" * 5_000).text
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= dnsbl.TEXT_CHARACTERS
    slow = {"99.2.0.192.bad.test": {"A": "127.0.0.2", "TXT": "TIMEOUT"}}
    assert ask(slow, BAD).verdict.result == "fail"


def test_allowlists_are_not_asked_for_words() -> None:
    zone = Zone({"99.2.0.192.good.test": {"A": "127.0.0.2", "TXT": "x"}})
    finish(dnsbl.check("192.0.2.99", [], [GOOD], zone))
    assert zone.asked == {"A 99.2.0.192.good.test": 1}


@pytest.mark.parametrize(("which", "records", "words"), [
    (BAD, {"2.0.0.127.bad.test": {"A": "127.0.0.2"}}, ""),
    (BAD, {"*.bad.test": {"A": "127.0.0.2"}}, "list everything"),
    (BAD, {"*.bad.test": {"A": "203.0.113.1"}}, "list everything"),
    (BAD, {}, "seems to be gone"),
    (BAD, {"*.bad.test": {"A": "SERVFAIL"}}, "could not be asked"),
    (DOMS, {"test.doms.test": {"A": "127.0.0.2"}}, ""),
    (DOMS, {"test.doms.test": {"A": "127.0.0.2"}, "invalid.doms.test": {"A": "127.0.0.2"}}, "list everything"),
])
def test_a_list_is_examined_by_the_entries_that_each_has_to_have(which: DnsList, records: Records, words: str) -> None:
    found = finish(dnsbl.examine(which, Zone(records)))
    assert words in found
    assert bool(words) == bool(found)


def test_well_known_lists_bring_their_codes() -> None:
    zen = replace(dnslists.named("ZEN.spamhaus.org."), zone="bad.test")
    assert answering("127.0.0.3", which=zen).meaning == "snowshoe spam"
    dnswl = replace(dnslists.named("list.dnswl.org", weight=-2), zone="bad.test")
    assert [answering(f"127.0.5.{n}", which=dnswl).weight for n in range(4)] == [0, -2, -4, -8]
    refused = answering("127.0.0.255", which=dnswl)
    assert (refused.listed, refused.lasting) == (False, True)
    assert dnslists.named("bl.example.net") == DnsList("bl.example.net")
    assert dnslists.named("bl.example.net", weight=7).weight == 7
    with pytest.raises(ListError):
        dnslists.named("not a name")
    lists = dnslists.chosen({"bl.test": 1, "dbl.spamhaus.org": 2}, {"names.test": -3, "zen.spamhaus.org": 4})
    assert [(each.zone, each.subject, each.weight) for each in lists] == [
        ("bl.test", "address", 1), ("dbl.spamhaus.org", "domain", 2),
        ("names.test", "domain", -3), ("zen.spamhaus.org", "address", 4),
    ]  # fmt: skip


def test_no_code_of_a_well_known_list_lies_where_errors_lie() -> None:
    for which in dnslists.KNOWN.values():
        assert all(code.pattern.startswith("127.0.") for code in which.codes)
        assert (which.weight < 0) == (which.zone == "list.dnswl.org")
