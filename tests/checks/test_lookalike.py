"""Domains that look like others: confusable letters, swapped digits, one letter off, other endings, mixed scripts."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.checks.finding import Severity
from posthouse.checks.lookalike import Index, Kin, Known, check, compare
from posthouse.checks.lookalike.scripts import homograph, invisible, mixture, overrides, script
from posthouse.checks.lookalike.skeleton import differences, fold, shape, skeleton

HOUSE = Index([
    Known("example.com", Kin.OWN),
    Known("paypal.com", Kin.PROTECTED, "PayPal"),
    Known("amazon.co.uk", Kin.PROTECTED),
    Known("köln-messe.example", Kin.OWN),
])
ACCOUNT = Index([Known("modernclub.org"), Known("gmx.de"), Known("northwind.example")])


def texts(domain: str) -> list[str]:
    return [finding.text for finding in check(domain, HOUSE, ACCOUNT).findings]


@pytest.mark.parametrize(
    ("domain", "sentence"),
    [
        ("examp1e.com", "looks like example.com, but the l is a 1"),
        ("exarnple.com", "looks like example.com, but the m is rn"),
        ("example.corn", "looks like example.com, but the m is rn"),
        ("ex4mple.com", "looks like example.com, but the a is a 4"),
        ("3xamp1e.com", "looks like example.com, but the e is a 3 and the l is a 1"),
        ("exàmple.com", "looks like example.com, but the a is an à (U+00E0)"),
        ("exаmple.com", "looks like example.com, but the a is a Cyrillic а (U+0430)"),
        ("pαypal.com", "looks like paypal.com, but the a is a Greek α (U+03B1)"),
        ("paypai.com", "looks like paypal.com, but the l is an i"),
        ("modemclub.org", "looks like modernclub.org, but the rn is an m"),
        ("moderndub.org", "looks like modernclub.org, but the cl is a d"),
        ("modernc1ub.org", "looks like modernclub.org, but the l is a 1"),
        ("koln-messe.example", "looks like köln-messe.example, but the ö is an o"),
        ("rnodernclub.com", "looks like modernclub.org, but the m is rn, and it ends in .com"),
        ("exmaple.com", "looks like example.com, but the a and the m have changed places"),
        ("exampl.com", "looks like example.com, but lacks an e"),
        ("examplle.com", "looks like example.com, but has an l too many"),
        ("example1.com", "looks like example.com, but has a 1 too many"),
        ("examqle.com", "looks like example.com, but the p is a q"),
        ("exam-ple.com", "looks like example.com, but has a hyphen too many"),
        ("northwindd.example", "looks like northwind.example, but has a d too many"),
        ("examples.net", "looks like example.com, but has an s too many, and it ends in .net"),
        ("example.net", "has the name of example.com, but ends in .net instead of .com"),
        ("amazon.com", "has the name of amazon.co.uk, but ends in .com instead of .co.uk"),
        ("modernclub.de", "has the name of modernclub.org, but ends in .de instead of .org"),
        ("paypal.com.account.example", "begins like paypal.com, but belongs to account.example"),
        ("paypal-login.example", "has the name of paypal.com in it, but is another domain"),
        ("paypa1.account.example", "has the name of paypal.com in it, but is another domain"),
        ("аррӏе.com", "is written in Cyrillic letters that look like the Latin apple"),
        ("ехсhаngе-mail.com", "mixes Cyrillic and Latin letters in one word"),
    ],
)
def test_each_trick_is_told_in_a_plain_sentence(domain: str, sentence: str) -> None:
    assert sentence in texts(domain)
    assert sentence in texts(domain.encode("idna").decode() if domain.isascii() else a_labels(domain))


def a_labels(domain: str) -> str:
    return ".".join(
        label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii") for label in domain.split(".")
    )


@pytest.mark.parametrize(
    "domain",
    [
        "example.com", "mail.example.com", "EXAMPLE.com.", "paypal.com", "paypal.co.paypal.com", "modernclub.org",
        "lists.modernclub.org", "xn--kln-messe-07a.example", "wikipedia.org", "gmx.net.example", "mx.gmx.de", "com",
        "[192.0.2.1]", "[ipv6:2001:db8::1]", "samples.example", "пример.рф", "хор.рф", "東京タワー.jp",
        "bücher.example", "", "northwest.example",
    ],
)
def test_known_and_unlike_domains_are_left_alone(domain: str) -> None:
    found = check(domain, HOUSE, ACCOUNT)
    assert found.findings == ()
    assert found.verdict.result == "none"


def test_severity_goes_by_the_trick_and_by_whom_it_is_played_on() -> None:
    def severity(domain: str) -> Severity:
        return check(domain, HOUSE, ACCOUNT).findings[0].severity

    assert severity("examp1e.com") == severity("modemclub.org") == severity("exampl.com") == Severity.HIGH
    assert severity("northwin.example") == severity("example.net") == severity("аррӏе.com") == Severity.MEDIUM
    assert severity("modernclub.de") == Severity.LOW


def test_the_verdict_names_the_domain_and_says_why() -> None:
    found = check("examp1e.com", HOUSE, ACCOUNT)
    assert (found.verdict.method, found.verdict.result, found.verdict.identity) == ("lookalike", "fail", "examp1e.com")
    assert found.verdict.reason == "looks like example.com, but the l is a 1"
    assert check("example.net", HOUSE).verdict.result == "softfail"
    assert check("modernclub.de", ACCOUNT).verdict.result == "neutral"
    assert "no other domain" in check("wikipedia.org", HOUSE).verdict.reason


def test_a_correspondent_is_told_of_only_where_the_eye_cannot_tell() -> None:
    account = Index([Known("example.net"), Known("examp1e.com"), Known("exampel.com")])
    assert check("example.net", HOUSE, account).findings == ()
    assert check("exampel.com", HOUSE, account).findings == ()
    assert [f.about for f in check("examp1e.com", HOUSE, account).findings] == ["example.com"]


def test_our_own_domains_resemble_no_correspondent() -> None:
    assert check("example.com", HOUSE, Index([Known("exampel.com"), Known("examp1e.com")])).findings == ()


def test_of_two_entries_the_stronger_counts_in_either_order() -> None:
    for known in ([Known("example.com"), Known("example.com", Kin.OWN)], [Known("example.com", Kin.OWN)] * 2):
        assert Index(known).kin("www.example.com") is Kin.OWN
        assert len(Index(reversed(known))) == 1
    assert HOUSE.kin("paypal.com") is Kin.PROTECTED
    assert HOUSE.kin("paypal.example") is None


def test_one_known_name_is_told_of_once_and_three_names_at_most() -> None:
    found = compare("paypal.com.paypal-login.example", [Known("paypal.com", Kin.PROTECTED)])
    assert [finding.text for finding in found] == ["begins like paypal.com, but belongs to paypal-login.example"]
    many = [Known(f"example{letter}.com") for letter in "abcdefgh"]
    assert len(compare("example.com", many)) == 3


def test_short_names_have_neighbours_that_mean_nothing() -> None:
    assert compare("gmx.de", [Known("gms.de", Kin.OWN), Known("hmx.de")]) == ()
    assert compare("team2.example", [Known("team1.example", Kin.OWN)]) == ()
    assert compare("team12.example", [Known("team1.example", Kin.OWN)]) == ()
    assert compare("email.com", [Known("gmail.com")]) == ()


def test_what_cannot_be_seen_or_turns_the_text_is_told() -> None:
    assert "hidden" in [finding.kind for finding in check("exam\u202eple.com", HOUSE).findings]
    assert "hidden" in [finding.kind for finding in check("exam\u200bple.com", HOUSE).findings]
    assert overrides("invoice\u202efdp.exe")
    assert not overrides("\u200fשלום\u200e")
    assert invisible("pay\u200bpal")
    assert invisible("pay\u200dpal")
    assert not invisible("👩\u200d💻 क्\u200dष")


def test_skeletons_are_those_of_the_unicode_table() -> None:
    assert skeleton("раураl") == skeleton("paypal")
    assert skeleton("ℌello") == skeleton("Hello")
    assert skeleton("𝐞𝐱𝐚𝐦𝐩𝐥𝐞") == skeleton("example")
    assert skeleton("pay\u00adpal\ufe0f") == skeleton("paypal")
    assert skeleton("e\u0301") == skeleton("é")
    assert skeleton("m") == "rn"
    assert skeleton("example") != skeleton("exemple")


def test_shapes_take_digits_for_letters_and_pairs_for_one() -> None:
    assert shape("examp1e") == shape("EXAMPlE") == shape("éxamplè")
    assert shape("vvikipedia") == shape("wikipedia")
    assert shape("g00gle") == shape("google")
    assert shape("club") == shape("dub")
    assert len(fold("modernclub")) == len("modernclub")
    assert differences("modernclub", "modemdub") == [("rn", "m"), ("cl", "d")]
    assert differences("a", "a") == []


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_has_a_shape_and_any_two_have_differences(mine: str, theirs: str) -> None:
    shape(mine)
    mixture(mine)
    assert len(fold(mine)) == len(mine)
    assert all(piece for pair in differences(mine, theirs) for piece in pair)


@given(st.text(string.ascii_lowercase, min_size=6, max_size=12), st.data())
def test_every_single_edit_of_a_name_is_found(name: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(name) - 1))
    letter = data.draw(st.sampled_from(string.ascii_lowercase))
    edit = data.draw(st.sampled_from(("add", "drop", "change", "exchange")))
    edited = {
        "add": name[:at] + letter + name[at:],
        "drop": name[:at] + name[at + 1 :],
        "change": name[:at] + letter + name[at + 1 :],
        "exchange": name[:at] + name[at : at + 2][::-1] + name[at + 2 :],
    }[edit]
    found = compare(f"{edited}.example", [Known(f"{name}.example", Kin.OWN), Known("unlike-all.example")])
    assert bool(found) == (edited != name)


@given(st.text(max_size=80))
def test_no_domain_whatever_breaks_the_comparison(domain: str) -> None:
    assert check(domain, HOUSE, ACCOUNT).verdict.method == "lookalike"


def test_scripts_that_belong_together_are_no_mixture() -> None:
    assert mixture("東京タワーとabc") == ()
    assert mixture("漢字ㄅㄆabc") == ()
    assert mixture("한국漢字") == ()
    assert mixture("exаmple") == ("Cyrillic", "Latin")
    assert mixture("αβγж") == ("Cyrillic", "Greek")
    assert mixture("abc-123") == ()
    assert script("é") == "Latin"
    assert script("7") == ""
    assert script("\U0001f600") == ""
    assert homograph("аррӏе") == "apple"
    assert homograph("пример") == ""
    assert homograph("apple") == ""


def test_thousands_of_names_are_kept_apart() -> None:
    index = Index(Known(f"customer-{number:05}.example") for number in range(5_000))
    assert len(index) == 5_000
    assert check("customer-00042.example", index).findings == ()
    assert [f.about for f in check("custorner-00042.example", index).findings] == ["customer-00042.example"]


@pytest.mark.parametrize(
    ("domain", "severity"),
    [
        ("paypalsecure.com", Severity.MEDIUM),
        ("securepaypal.com", Severity.MEDIUM),
        ("paypa1support.net", Severity.MEDIUM),
        ("examplecom.net", Severity.MEDIUM),
        ("my-paypallogin.net", Severity.MEDIUM),
        ("paypallogin.other.net", Severity.MEDIUM),
        ("exampleton.net", Severity.LOW),
    ],
)
def test_a_name_that_others_are_stuck_to_is_told(domain: str, severity: Severity) -> None:
    findings = check(domain, HOUSE, ACCOUNT).findings
    assert [finding.severity for finding in findings] == [severity]
    assert "in it, but is another domain" in findings[0].text


def test_short_names_and_those_of_correspondents_are_not_looked_for_inside_of_others() -> None:
    short = Index([Known("apple.com", Kin.PROTECTED, "Apple")])
    assert check("pineapple.com", short).findings == ()
    assert check("applesupport.com", short).findings == ()
    assert check("northwindlogin.example", ACCOUNT).findings == ()


@pytest.mark.parametrize(
    ("domain", "known"),
    [
        ("north-wind-de.com", "north-wind.de"),
        ("north-wind.evil.example", "north-wind.de"),
        ("north-wind-gmbh.example", "north-wind.de"),
        ("my-north-w1nd.example", "north-wind.de"),
        ("northwindgmbh.example", "north-wind.de"),
        ("dhl-paket.example", "dhl.com"),
        ("dhl.parcel-tracking.example", "dhl.com"),
    ],
)
def test_names_of_several_words_and_short_ones_beside_a_lure_are_found_in_others(domain: str, known: str) -> None:
    index = Index([Known("north-wind.de", Kin.OWN), Known("dhl.com", Kin.PROTECTED, "DHL")])
    (finding,) = check(domain, index).findings
    assert finding.severity is Severity.MEDIUM
    assert finding.text == f"has the name of {known} in it, but is another domain"


def test_a_long_name_of_a_correspondent_in_another_is_a_curiosity() -> None:
    index = Index([Known("baltic-freight.example"), Known("short.example")])
    assert [f.severity for f in check("baltic-freight-invoice.example", index).findings] == [Severity.LOW]
    assert check("short-invoice.example", index).findings == ()


@pytest.mark.parametrize(
    "domain", ["dhl-kruse.example", "wind-north.example", "start-dhl.example", "windy-north-sea.de"]
)
def test_words_that_only_happen_to_be_in_a_name_are_left_alone(domain: str) -> None:
    index = Index([Known("north-wind.de", Kin.OWN), Known("dhl.com", Kin.PROTECTED, "DHL")])
    assert check(domain, index).findings == ()
