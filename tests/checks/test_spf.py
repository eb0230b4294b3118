"""SPF where the published suite does not look: hostile domains, limits, faults of the DNS, and what people read."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.zone import NOW, Zone, finish
from posthouse.checks import evidence, spf
from posthouse.checks.spf import inquiry, macros, record
from posthouse.checks.spf.evaluation import EXPLANATION_CHARACTERS, POLICY_OCTETS, Spf
from posthouse.checks.zonefile import Records
from posthouse.mail.address import Address

CLIENT = "192.0.2.1"


def ask(
    records: Records | Zone, mail_from: str | None = "alice@a.test", *, ip: str = CLIENT, helo: str = "mx.a.test"
) -> Spf:
    local_part, _, domain = (mail_from or "").rpartition("@")
    zone = records if isinstance(records, Zone) else Zone(records)
    sender = Address(local_part, domain) if mail_from else None
    return finish(spf.check(ip, helo, sender, zone, receiver="mx.posthouse.test", now=NOW))


def txt(text: str) -> dict[str, list[str]]:
    return {"TXT": [text]}


def kinds(zone: Zone) -> Counter[str]:
    return Counter({kind: sum(n for q, n in zone.asked.items() if q.startswith(f"{kind} ")) for kind in
                    ("TXT", "A", "AAAA", "MX", "PTR")})


# --- who is asked -----------------------------------------------------------------------------------------


def test_the_null_reverse_path_asks_for_helo() -> None:
    found = ask({"mx.a.test": txt("v=spf1 ip4:192.0.2.1 -all")}, None)
    assert (found.result, found.domain, found.scope) == ("pass", "mx.a.test", "helo")
    assert found.verdict.method == "spf"
    assert found.verdict.identity == "mx.a.test"


def test_mail_from_is_asked_otherwise_and_helo_by_itself_on_request() -> None:
    zone = Zone({"a.test": txt("v=spf1 -all"), "mx.a.test": txt("v=spf1 a -all"), })
    assert (ask(zone).result, ask(zone).scope) == ("fail", "mailfrom")
    found = finish(spf.check_helo(CLIENT, "MX.a.test.", zone, receiver="", now=NOW))
    assert (found.result, found.domain, found.scope) == ("fail", "mx.a.test", "helo")


@pytest.mark.parametrize(
    "name",
    ["", "localhost", "[192.0.2.1]", "[ipv6:2001:db8::1]", "192.0.2.1", "a..test", ".a.test", "x" * 64 + ".test",
     ".".join(["abcdefg"] * 32), "\x00.\x01", "ü..test", "bad\ud800.test"],
)
def test_what_is_no_domain_is_none_and_nobody_is_asked(name: str) -> None:
    zone = Zone({"a.test": txt("v=spf1 +all")})
    for found in (ask(zone, f"u@{name}"), ask(zone, None, helo=name)):
        assert (found.result, found.domain) == ("none", "")
        assert found.verdict.identity.isprintable()
    assert not zone.asked


def test_postmaster_without_a_domain_is_none() -> None:
    assert finish(spf.check(CLIENT, "", Address("postmaster", ""), Zone({}), receiver="", now=NOW)).result == "none"


def test_u_labels_in_helo_are_asked_for_as_a_labels() -> None:
    zone = Zone({"xn--bcher-kva.test": txt("v=spf1 ip4:192.0.2.1 -all")})
    assert ask(zone, None, helo="Bücher.test").domain == "xn--bcher-kva.test"
    assert zone.asked == {"TXT xn--bcher-kva.test": 1}


def test_no_record_no_such_domain_and_no_answer_are_told_apart() -> None:
    for records, result, words in (
        ({"a.test": txt("something else")}, "none", "a.test has no SPF record"),
        ({}, "none", "a.test does not exist"),
        ({"a.test": {"TXT": ["TIMEOUT"]}}, "temperror", "cannot be read now"),
        ({"a.test": {"TXT": ["SERVFAIL"]}}, "temperror", "SERVFAIL"),
    ):
        found = ask(records)
        assert found.result == result
        assert words in found.verdict.reason


# --- what people read -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "result", "words"),
    [
        ("v=spf1 ip4:192.0.2.0/24 -all", "pass", 'a.test lets 192.0.2.1 send for it: by the term "ip4:192.0.2.0/24"'),
        ("v=spf1 -all", "fail", 'a.test does not let 192.0.2.1 send for it: by the term "-all" of its SPF record'),
        ("v=spf1 ~all", "softfail", "would rather not let"),
        ("v=spf1 ?all", "neutral", 'does not say whether it lets 192.0.2.1 send for it: by the term "?all"'),
        ("v=spf1 ip4:192.0.2.9", "neutral", "no term of its SPF record matches"),
        ("v=spf1 include:b.test -all", "pass", 'by the term "include:b.test" of its SPF record ("mx" of c.test)'),
        ("v=spf1 redirect=c.test", "pass", 'by the term "mx" of the SPF record of c.test, to which it redirects'),
        ("v=spf1 a:192.0.2.1 -all", "permerror", 'in "a:192.0.2.1" "192.0.2.1" ends in a number'),
        ("v=spf1 redirect:c.test", "permerror", "redirect is written with an equals sign"),
        ("v=spf1 mixed -all", "permerror", 'in "mixed" no such mechanism'),
        ("v=spf1 include:gone.test", "permerror", "includes gone.test, which has no SPF record"),
        ("v=spf1 redirect=gone.test", "permerror", "redirects to gone.test, which has no SPF record"),
    ],
)
def test_the_reason_says_which_term_of_whose_record_decided(policy: str, result: str, words: str) -> None:
    found = ask({
        "a.test": txt(policy), "b.test": txt("v=spf1 include:c.test"),
        "c.test": txt("v=spf1 mx -all") | {"MX": "5 x.test"}, "x.test": {"A": CLIENT},
    })
    assert found.result == result
    assert words in found.verdict.reason


def test_the_reason_names_the_include_that_matched_and_no_earlier_one() -> None:
    found = ask({
        "a.test": txt("v=spf1 include:b.test include:d.test -all"),
        "b.test": txt("v=spf1 ?include:c.test -all"), "c.test": txt("v=spf1 ip4:192.0.2.1"),
        "d.test": txt("v=spf1 ip4:192.0.2.0/30"),
    })
    assert '("ip4:192.0.2.0/30" of d.test)' in found.verdict.reason


def test_the_evidence_holds_what_was_asked_and_answered() -> None:
    found = ask({
        "a.test": {"TXT": ["unrelated", "v=spf1 mx -all"], "MX": ["5 x.test"]}, "x.test": {"A": [CLIENT, "192.0.2.2"]},
    })
    assert [(each.question, each.answer) for each in found.verdict.evidence] == [
        ("TXT a.test", ("v=spf1 mx -all",)), ("MX a.test", ("5 x.test",)), ("A x.test", (CLIENT, "192.0.2.2")),
    ]


# --- limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["v=spf1 include:a.test -all", "v=spf1 redirect=a.test"])
def test_a_loop_ends_after_ten_terms(policy: str) -> None:
    zone = Zone({"a.test": txt(policy)})
    found = ask(zone)
    assert (found.result, found.lookups) == ("permerror", inquiry.LOOKUPS + 1)
    assert sum(zone.asked.values()) == 11


def test_a_tree_of_includes_costs_no_more_than_a_line() -> None:
    policy = txt("v=spf1 " + " ".join(f"include:{name}.test" for name in "abcdefghij"))
    zone = Zone({f"{name}.test": policy for name in "abcdefghij"})
    assert ask(zone).result == "permerror"
    assert sum(zone.asked.values()) == 11


def test_ten_terms_are_fine_and_the_eleventh_is_not() -> None:
    hosts = {f"h{n}.test": {"A": "192.0.2.9"} for n in range(11)}
    policy = "v=spf1 " + " ".join(f"a:h{n}.test" for n in range(10))
    assert ask({"a.test": txt(f"{policy} -all"), **hosts}).result == "fail"
    assert ask({"a.test": txt(f"{policy} a:h10.test -all"), **hosts}).result == "permerror"


def test_more_than_ten_mail_exchangers_are_not_asked_for() -> None:
    hosts = {f"h{n}.test": {"A": "192.0.2.9"} for n in range(11)}
    for count, result in ((10, "fail"), (11, "permerror")):
        mx = {"MX": [f"5 h{n}.test" for n in range(count)]}
        zone = Zone({"a.test": txt("v=spf1 mx -all") | mx, **hosts})
        assert ask(zone).result == result
        assert kinds(zone)["A"] == (10 if count == 10 else 0)


def test_names_that_do_not_exist_are_asked_for_at_most_three_times() -> None:
    """Whoever publishes a policy must not be able to send our questions to somebody else."""
    for policy, mx in (
        ("v=spf1 " + " ".join(f"a:n{n}.victim.test" for n in range(10)), []),
        ("v=spf1 " + " ".join(f"exists:n{n}.victim.test" for n in range(10)), []),
        ("v=spf1 " + " ".join(f"mx:n{n}.victim.test" for n in range(10)), []),
        ("v=spf1 mx", [f"5 n{n}.victim.test" for n in range(10)]),
    ):
        zone = Zone({"a.test": txt(policy) | {"MX": mx}})
        found = ask(zone)
        assert found.result == "permerror"
        assert "lead to nothing" in found.verdict.reason
        assert sum(n for question, n in zone.asked.items() if "victim" in question) == inquiry.VOID_LOOKUPS + 1


def test_two_void_lookups_are_fine() -> None:
    assert ask({"a.test": txt("v=spf1 a:x.test a:y.test ip4:192.0.2.1 -all")}).result == "pass"


def test_hosts_of_an_mx_without_our_family_are_no_void_lookups() -> None:
    hosts = {f"h{n}.test": {"A": "192.0.2.9"} for n in range(5)}
    zone = {"a.test": txt("v=spf1 mx ip6:2001:db8::/32 -all") | {"MX": [f"5 h{n}.test" for n in range(5)]}, **hosts}
    assert ask(zone, ip="2001:db8::1").result == "pass"


def test_a_client_cannot_turn_fail_into_an_error_by_its_own_names() -> None:
    policy = {"a.test": txt("v=spf1 a:x.test a:y.test ptr exists:%{p}.ok.test -all")}
    ok = {"ok.test": {"A": "127.0.0.2"}, "*.ok.test": {"TXT": ["x"]}}
    for names in ({}, {"ANY": ["TIMEOUT"]}, {"PTR": ["gone.a.test"] * 3 + ["slow.a.test", "x..y"]}):
        zone = {**policy, "1.2.0.192.in-addr.arpa": names, "slow.a.test": {"ANY": ["SERVFAIL"]}}
        found = ask({**zone, **ok, "x.test": {"A": "192.0.2.9"}, "y.test": {"A": "192.0.2.9"}})
        assert found.result == "fail"


def test_at_most_ten_names_of_a_client_are_looked_at_and_each_once() -> None:
    names = [f"n{n}.a.test" for n in range(1000)]
    zone = Zone({"a.test": txt("v=spf1 ptr ptr:a.test exists:%{p}.x -all exp=why.a.test"), "why.a.test": txt("%{p}"),
                 "1.2.0.192.in-addr.arpa": {"PTR": names}, "unknown.x": {"TXT": ["x"]},
                 **{name: {"A": "192.0.2.9"} for name in names}})
    assert ask(zone).result == "fail"
    assert kinds(zone)["PTR"] == 1
    assert kinds(zone)["A"] == 11


def test_thousands_of_addresses_are_no_trouble() -> None:
    addresses = [f"127.{n >> 8 & 255}.{n & 255}.1" for n in range(4000)]
    zone = {"a.test": txt("v=spf1 a:h.test/31 -all"), "h.test": {"A": [*addresses, "192.0.2.0"]}}
    assert ask(zone).result == "pass"
    assert all(len(each.answer) <= evidence.ANSWERS for each in ask(zone).verdict.evidence)


def test_a_record_too_long_to_be_read_is_temperror_and_other_texts_do_not_matter() -> None:
    longest = "v=spf1" + " ip4:192.0.2.9" * ((POLICY_OCTETS - 20) // 14) + " ip4:192.0.2.1"
    assert ask({"a.test": txt(longest)}).result == "pass"
    found = ask({"a.test": txt(longest + " " * POLICY_OCTETS)})
    assert (found.result, found.lookups) == ("temperror", 0)
    assert ask({"a.test": {"TXT": ["x" * 60_000] * 20 + ["v=spf1 +all"]}}).result == "pass"
    assert sum(map(len, found.verdict.evidence[0].answer)) <= evidence.ANSWER_CHARACTERS


def test_many_long_records_count_together() -> None:
    filling = " ip4:192.0.2.9" * 200
    chain = {f"c{n}.test": txt(f"v=spf1{filling} include:c{n + 1}.test -all") for n in range(9)}
    zone = Zone({"a.test": txt("v=spf1 include:c0.test -all"), **chain})
    found = ask(zone)
    assert found.result == "temperror"
    assert "too long to be read" in found.verdict.reason
    assert kinds(zone)["TXT"] == 7


@pytest.mark.parametrize("text", ["", " ", " v=spf1 -all", "v=spf10", "v=spf2.0/pra -all", "v=spf1\t-all"])
def test_a_record_begins_with_its_version(text: str) -> None:
    assert not record.is_record(text.encode())
    with pytest.raises(record.RecordError, match="begin"):
        record.parse(text)


def test_a_record_of_countless_terms_is_refused_before_they_are_read() -> None:
    with pytest.raises(record.RecordError, match="more than"):
        record.parse("v=spf1" + " a" * (record.TERMS + 1))
    assert len(record.parse("v=spf1" + " a" * record.TERMS + "  ").directives) == record.TERMS


def test_the_evidence_is_bounded() -> None:
    hosts = {f"h{n}.test": {"A": "192.0.2.9"} for n in range(10)}
    mx = {"MX": [f"5 h{n}.test" for n in range(10)]}
    found = ask({"a.test": txt("v=spf1 " + "mx " * 10 + "-all") | mx, **hosts})
    assert (found.result, len(found.verdict.evidence)) == ("fail", inquiry.EVIDENCE)


# --- faults of the DNS ------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [
    "include:slow.test", "a:slow.test", "mx:slow.test", "mx:b.test", "exists:slow.test", "?include:b.test",
    "redirect=slow.test", "a:circle.test", "exists:%{i}.slow.test",
])
@pytest.mark.parametrize("fault", ["TIMEOUT", "SERVFAIL"])
def test_a_fault_of_the_dns_is_temperror_wherever_it_strikes(policy: str, fault: str) -> None:
    found = ask({
        "a.test": txt(f"v=spf1 {policy}"), "b.test": txt("v=spf1 mx -all") | {"MX": "5 slow.test"},
        "slow.test": {"ANY": [fault]}, "*.slow.test": {"A": [fault]}, "circle.test": {"CNAME": "circle.test"},
    })
    assert found.result == "temperror"


def test_aliases_are_followed_as_far_as_the_dns_follows_them() -> None:
    chain = {f"c{n}.test": {"CNAME": f"c{n + 1}.test"} for n in range(6)}
    zone = {"a.test": {"CNAME": "b.test"}, "b.test": txt("v=spf1 a:c0.test -all"), **chain, "c6.test": {"A": CLIENT}}
    assert ask(zone).result == "pass"


def test_what_matches_before_the_fault_counts() -> None:
    zone = {"a.test": txt("v=spf1 ip4:192.0.2.1 a:slow.test -all"), "slow.test": {"ANY": "TIMEOUT"}}
    assert ask(zone).result == "pass"


# --- macros -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [
    "%{s}" * 4000, "%{l1r.-+}" * 1700, "a." * 8000 + "%{d}", "%{h}" * 4000, "%{l" + "-" * 16000 + "}",
    "%{l" + "9" * 9000 + "r}", "%%" * 8000, "%{p}" * 4000,
])
def test_a_macro_bomb_makes_one_short_question(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expanded = Counter[str]()
    original = macros.Macro.expand

    def expand(macro: macros.Macro, value: str) -> str:
        expanded[macro.letter] += 1
        return original(macro, value)

    monkeypatch.setattr(macros.Macro, "expand", expand)
    zone = Zone({"a.test": txt(f"v=spf1 exists:{spec} -all")})
    assert ask(zone, "j.o-h+n@a.test").result == "fail"
    assert all(len(question) <= 2 + macros.NAME_CHARACTERS for question in zone.asked)
    assert sum(expanded.values()) <= macros.NAME_CHARACTERS + 2


@pytest.mark.parametrize(
    ("spec", "values", "name"),
    [
        ("%{d}.%{d}", {"d": "x" * 62 + "." + "y" * 60 + ".test"}, f"{'y' * 60}.test.{'x' * 62}.{'y' * 60}.test"),
        ("%{d}", {"d": "a." * 126 + "b"}, "a." * 126 + "b"),
        ("%{d}", {"d": "a." * 127 + "b"}, "a." * 126 + "b"),
        ("%{d}x.test", {"d": "y" * 300 + "."}, "x.test"),
        ("%{d}", {"d": "y" * 300}, ""),
        ("%{d2r-.}.x.test", {"d": "a-b.c"}, "b.a.x.test"),
        ("%{d0001}.test", {"d": "a.b"}, "b.test"),
        ("%{D}.test", {"d": "A b&c"}, "a%20b%26c.test"),
        ("%{d}.Test.", {"d": "A"}, "a.test"),
        ("%%%_%-.x.test", {}, "% %20.x.test"),
    ],
)
def test_a_name_is_expanded_and_cut_on_the_left_by_whole_labels(spec: str, values: dict[str, str], name: str) -> None:
    found = macros.parse_domain_spec(spec).name(values)
    assert found == name
    assert len(found) <= macros.NAME_CHARACTERS


@pytest.mark.parametrize("spec", [
    "", "x", "x.", ".123", "a.1.2.3.4", "a.-b", "a.b-", "a.b_c", "%{d}x", "%{d}.", "%", "%{", "%{d", "%{}",
    "%{d0}.x.test", "%{d00r}", "%{c}.test", "%{t}.test", "%{r}.test", "%{z}.test", "a b.test", "ü.test", "a.tést",
    "%{d}\n", "a.test\0", "%x.test",
])
def test_what_is_no_domain_spec_is_refused(spec: str) -> None:
    with pytest.raises(macros.MacroError) as caught:
        macros.parse_domain_spec(spec)
    assert str(caught.value).isprintable()


def test_a_local_part_outside_ascii_matches_nothing() -> None:
    zone = Zone({"*.b.test": {"A": CLIENT, "TXT": ["v=spf1 +all"]},
                 "a.test": txt("v=spf1 a:%{l}.b.test/0 mx:%{s}.b.test exists:%{l}.b.test include:%{l}.b.test -all")})
    assert ask(zone, "jörg@a.test").result == "fail"
    assert zone.asked == {"TXT a.test": 1}
    zone = Zone({"xn--jrg-sna.b.test": txt("v=spf1 +all"), "a.test": txt("v=spf1 redirect=%{l}.b.test")})
    assert ask(zone, "jörg@a.test").result == "permerror"


def test_names_that_cannot_be_match_nothing_and_are_not_asked_for() -> None:
    zone = Zone({"a.test": txt("v=spf1 a:x..test a:%{l}.test/0 mx:.x.test exists:%{h}.test -all")})
    assert ask(zone, "x" * 64 + "@a.test", helo="..").result == "fail"
    assert zone.asked == {"TXT a.test": 1}


# --- explanations -----------------------------------------------------------------------------------------


def explained(text: str, *, mail_from: str = "alice@a.test", helo: str = "mx.a.test") -> str:
    zone = {"a.test": txt("v=spf1 -all exp=why.a.test"), "why.a.test": txt(text)}
    return ask(zone, mail_from, helo=helo).explanation


def test_an_explanation_is_the_words_of_the_domain_that_fails() -> None:
    assert explained("%{i} is none of ours (%{d}), see %{r} at %{t}") == (
        f"192.0.2.1 is none of ours (a.test), see mx.posthouse.test at {NOW // 1_000_000}"
    )
    assert ask({"a.test": txt("v=spf1 ~all exp=why.a.test"), "why.a.test": txt("no")}).explanation == ""


@pytest.mark.parametrize("helo", ["x\r\nRCPT TO:<y>", "x\x00", "x\x1b[31m", "jörg", "x\u202ey", "\ud800"])
def test_nothing_that_cannot_stand_in_a_reply_comes_in_by_a_macro(helo: str) -> None:
    assert explained("you say %{h}", helo=helo) == ""
    assert explained("you say %{H}", helo=helo[:-1] + "x").isprintable()


@pytest.mark.parametrize("text", ["%", "%{x}", "%{d", "tab\there", "ü", "line\nbreak", "\x7f"])
def test_a_malformed_explanation_is_none(text: str) -> None:
    assert explained(text) == ""


def test_an_explanation_is_cut() -> None:
    assert len(explained("%{s}" * 10_000)) == EXPLANATION_CHARACTERS
    assert len(explained("x" * 50_000)) == EXPLANATION_CHARACTERS


def test_an_explanation_outside_all_limits_is_left_out_and_changes_no_result() -> None:
    for target in ("gone.test", "slow.test", "%{l}..x.test", "two.test"):
        zone = {"a.test": txt(f"v=spf1 a:x.test a:y.test -all exp={target}"), "slow.test": {"ANY": "TIMEOUT"},
                "two.test": {"TXT": ["one", "two"]}}
        assert (ask(zone).result, ask(zone).explanation) == ("fail", "")


# --- records ----------------------------------------------------------------------------------------------


def test_a_record_comes_apart_into_typed_terms() -> None:
    found = record.parse("V=SPF1 +a:%{d2}/24//64 ~MX:m.test -ip4:192.0.2.77/24 ?ip6:2001:db8::/32 x-y=z exp=e.test "
                         "include:i.test ptr exists:e.test redirect=r.test")
    a, mx, ip4, ip6, include, ptr, exists = found.directives
    assert isinstance(a, record.A)
    assert (a.qualifier, a.ip4_length, a.ip6_length, a.domain and a.domain.letters) == ("pass", 24, 64, {"d"})
    assert isinstance(mx, record.Mx)
    assert (mx.qualifier, mx.text, mx.ip4_length) == ("softfail", "~MX:m.test", 32)
    assert ip4 == record.Ip4("fail", "-ip4:192.0.2.77/24", 0xC0000200, 0xFFFFFF00, 24)
    assert isinstance(ip6, record.Ip6)
    assert (ip6.network, ip6.length) == (0x20010DB8 << 96, 32)
    assert [type(each) for each in (include, ptr, exists)] == [record.Include, record.Ptr, record.Exists]
    assert found.lookups == 6
    assert found.redirect is not None
    assert found.explanation is not None
    assert found.modifiers == (("x-y", "z"),)


def test_nothing_behind_all_is_kept() -> None:
    found = record.parse("v=spf1 redirect=r.test ip4:192.0.2.1 -all a mx")
    assert [type(each) for each in found.directives] == [record.Ip4, record.All]
    assert (found.redirect, found.lookups) == (None, 0)


@pytest.mark.parametrize("term", [
    "all:", "all/8", "+", "-", "+exp=a.test", "ip4", "ip4:", "ip4:192.0.2", "ip4:192.0.2.1/33", "ip4:192.0.2.1/-1",
    "ip4:192.0.2.1/", "ip4:192.0.2.01", "ip4:\u0661.2.3.4", "ip4:2001:db8::1", "ip6:192.0.2.1", "ip6:fe80::1%eth0",
    "ip6:2001:db8::/129", "ip6:2001:db8::/064", "a/33", "a//129", "a/1/2", "a:/24", "a:x.test/" + "9" * 5000, "mx:",
    "ptr/0", "include", "include:", "exists", "redirect=", "redirect=x", "exp=", "x=%",
    "x=%{q}", "1x=y", "=x", "a\tb", "a\x00",
])
def test_one_malformed_term_spoils_the_record(term: str) -> None:
    for text in (f"v=spf1 {term}", f"v=spf1 +all {term}", f"v=spf1 {term}" + " ip4:192.0.2.1" * 100):
        with pytest.raises(record.RecordError) as caught:
            record.parse(text)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400


PIECES = [
    "all", "a", "mx", "ptr", "include:", "exists:", "ip4:", "ip6:", "redirect=", "exp=", "x=", "-", "~", "?", "+", " ",
    "/", "//", "24", "0", "a.test", "b.test", ".", ":", "%", "%{", "}", "%{d}", "%{ir}", "%{l1r-}", "%{p}", "%%",
    "192.0.2.1", "2001:db8::1", "é",
]


@given(st.lists(st.sampled_from(PIECES), max_size=30), st.sampled_from([CLIENT, "2001:db8::1", "::ffff:192.0.2.1"]))
def test_whatever_is_published_a_check_ends_with_a_result_and_few_questions(pieces: list[str], ip: str) -> None:
    zone = Zone({"a.test": txt("v=spf1 " + "".join(pieces)) | {"A": CLIENT, "MX": "5 a.test"},
                 "b.test": txt("v=spf1 " + "".join(reversed(pieces))) | {"AAAA": "2001:db8::1"}})
    found: Any = ask(zone, ip=ip)
    assert found.result in {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}
    assert found.verdict.reason.isprintable()
    assert found.lookups <= inquiry.LOOKUPS + 1
    assert sum(zone.asked.values()) <= 1 + inquiry.LOOKUPS * 2 + 11 + 1


def test_an_ipv4_address_in_ipv6_clothes_is_an_ipv4_address() -> None:
    zone = Zone({"a.test": txt("v=spf1 a ip6:::/0 -all") | {"A": CLIENT}})
    assert ask(zone, ip="::ffff:192.0.2.1").result == "pass"
    assert kinds(zone)["AAAA"] == 0
    assert ask({"a.test": txt("v=spf1 ip6:::/0 -all")}, ip="::ffff:192.0.2.1").result == "fail"


def test_what_is_no_address_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        ask({}, ip="nonsense")
