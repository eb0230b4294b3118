"""The DMARC check: policy, alignment, and the sentence about both."""

import pytest

from checks.dmarc.letters import check, policies, records, signature, spf
from checks.zone import Zone, finish
from posthouse.checks import dmarc
from posthouse.mail.address import Address

REJECT = "v=DMARC1; p=reject"


# --- what is aligned ----------------------------------------------------------------------------------


def test_spf_for_the_authors_own_domain_passes_with_one_question() -> None:
    zone = Zone(records(a_example=REJECT))
    found = check("a.example", zone, spf("a.example"))
    assert (found.result, found.policy, found.requested) == ("pass", "none", "reject")
    assert (found.aligned_spf, found.aligned_dkim) == (True, False)
    assert found.verdict.method == "dmarc"
    assert found.verdict.identity == "a.example"
    assert found.verdict.reason == "SPF passed for a.example, the author's own domain"
    assert sum(zone.asked.values()) == 1


def test_dkim_for_the_authors_own_domain_passes() -> None:
    found = check("a.example", Zone(records(a_example=REJECT)), spf("b.example"), [signature("a.example")])
    assert (found.result, found.aligned_spf, found.aligned_dkim) == ("pass", False, True)
    assert found.verdict.reason == "DKIM passed for a.example, the author's own domain"


@pytest.mark.parametrize(
    ("author", "identity"),
    [
        ("a.example", "bounce.a.example"),
        ("news.a.example", "a.example"),
        ("news.a.example", "bounce.a.example"),
        ("a.example", "A.EXAMPLE."),
        ("xn--bcher-kva.example", "bücher.example"),
        ("xn--bcher-kva.example", "mail.bücher.example"),
    ],
)
def test_one_organization_is_aligned_where_the_policy_is_relaxed(author: str, identity: str) -> None:
    zone = Zone(policies({"a.example": REJECT, "xn--bcher-kva.example": REJECT}))
    assert check(author, zone, spf(identity)).result == "pass"
    assert check(author, zone, None, [signature(identity)]).result == "pass"


def test_the_sentence_names_the_organization() -> None:
    found = check("a.example", Zone(records(a_example=REJECT)), spf("bounce.a.example"))
    assert found.organizational_domain == "a.example"
    assert found.identifiers[0].organizational_domain == "a.example"
    assert found.verdict.reason == "SPF passed for bounce.a.example, which belongs to the same organization (a.example)"


@pytest.mark.parametrize(("modes", "aligned"), [("", True), ("aspf=s; adkim=s", False)])
def test_a_strict_policy_wants_the_very_name(modes: str, aligned: bool) -> None:
    zone = Zone(records(a_example=f"v=DMARC1; p=reject; {modes}"))
    assert (check("a.example", zone, spf("mail.a.example")).result == "pass") is aligned
    assert (check("a.example", zone, None, [signature("mail.a.example")]).result == "pass") is aligned
    assert check("a.example", zone, spf("a.example"), [signature("a.example")]).result == "pass"


def test_each_mechanism_has_a_mode_of_its_own() -> None:
    zone = Zone(records(a_example="v=DMARC1; p=reject; adkim=s"))
    found = check("a.example", zone, spf("mail.a.example"), [signature("mail.a.example")])
    assert (found.aligned_spf, found.aligned_dkim) == (True, False)
    assert "which is not a.example itself, as its policy demands" in check(
        "a.example", zone, None, [signature("mail.a.example")]
    ).verdict.reason


def test_sibling_organizations_under_a_public_suffix_are_strangers() -> None:
    """The example of RFC 9989 appendix B.4.3."""
    zone = Zone(policies({"bank.example": "v=DMARC1; p=reject; psd=y", "giant.bank.example": "v=DMARC1; p=reject"}))
    found = check("giant.bank.example", zone, spf("mail.giant.bank.example"), [signature("mail.mega.bank.example")])
    assert found.result == "pass"
    assert (found.aligned_spf, found.aligned_dkim) == (True, False)
    assert found.policy_domain == "giant.bank.example"
    assert check("giant.bank.example", zone, None, [signature("mega.bank.example")]).result == "fail"
    assert check("giant.bank.example", zone, spf("bank.example")).result == "fail"


def test_a_department_of_its_own_is_no_part_of_the_whole() -> None:
    """RFC 9989 §5.1.8: psd=n makes an organization of a subdomain."""
    zone = Zone(policies({"example.com": REJECT, "dept.example.com": "v=DMARC1; p=none; psd=n"}))
    assert check("example.com", zone, spf("dept.example.com")).result == "fail"
    assert check("dept.example.com", zone, spf("example.com")).result == "fail"
    assert check("mail.dept.example.com", zone, spf("dept.example.com")).result == "pass"
    assert check("mail.dept.example.com", zone, spf("x.dept.example.com")).policy_domain == "dept.example.com"


def test_any_one_of_several_signatures_is_enough() -> None:
    signatures = [
        signature("b.example"),
        signature("a.example", "fail"),
        signature("", "neutral"),
        signature("a.example", selector="s2"),
    ]
    found = check("a.example", Zone(records(a_example=REJECT)), spf("b.example", "fail"), signatures)
    assert found.result == "pass"
    assert [identifier.speaks for identifier in found.identifiers] == [False, False, False, False, True]
    assert [identifier.selector for identifier in found.identifiers] == ["", "s1", "s1", "s1", "s2"]


def test_a_key_in_testing_still_speaks() -> None:
    zone = Zone(records(a_example=REJECT))
    assert check("a.example", zone, None, [signature("a.example", testing=True)]).result == "pass"


def test_with_a_null_reverse_path_the_name_of_the_host_is_compared() -> None:
    zone = Zone(records(a_example=REJECT))
    assert check("a.example", zone, spf("mail.a.example", scope="helo")).result == "pass"


@pytest.mark.parametrize("result", ["none", "neutral", "fail", "softfail", "permerror"])
def test_only_a_pass_of_spf_counts(result: str) -> None:
    found = check("a.example", Zone(records(a_example=REJECT)), spf("a.example", result))  # type: ignore[arg-type]
    assert (found.result, found.policy) == ("fail", "reject")


@pytest.mark.parametrize("result", ["policy", "fail", "neutral", "permerror"])
def test_only_a_pass_of_dkim_counts(result: str) -> None:
    zone = Zone(records(a_example=REJECT))
    found = check("a.example", zone, None, [signature("a.example", result)])  # type: ignore[arg-type]
    assert (found.result, found.policy) == ("fail", "reject")


def test_what_did_not_pass_asks_the_dns_nothing() -> None:
    zone = Zone(records(a_example=REJECT))
    check("a.example", zone, spf("x.a.example", "fail"), [signature(f"l{n}.a.example", "fail") for n in range(10)])
    assert sum(zone.asked.values()) == 1


def test_identifiers_of_strangers_cost_no_walk_of_their_own() -> None:
    zone = Zone(records(a_example=REJECT))
    check("a.example", zone, spf("deep.name.of.b.example"), [signature(f"l{n}.c.example") for n in range(10)])
    assert set(zone.asked) == {"TXT _dmarc.a.example", "TXT _dmarc.example"}


# --- which policy applies -----------------------------------------------------------------------------


def test_without_a_record_dmarc_says_nothing() -> None:
    found = check("a.example", Zone({}), spf("a.example"))
    assert (found.result, found.policy, found.record, found.policy_domain) == ("none", "none", None, "")
    assert found.verdict.reason == "neither a.example nor any domain above it publishes a DMARC record"
    assert check("localhost", Zone({})).verdict.reason == "localhost publishes no DMARC record"


@pytest.mark.parametrize("author", [Address("a", "[192.0.2.1]"), Address("postmaster", "")])
def test_an_author_without_a_domain_name_has_no_policy(author: Address) -> None:
    zone = Zone({})
    assert finish(dmarc.check(author, None, [], zone)).result == "none"
    assert not zone.asked


@pytest.mark.parametrize(
    ("author", "published", "domain", "policy"),
    [
        ("a.example", {"a.example": "p=reject; sp=none"}, "a.example", "reject"),
        ("x.a.example", {"a.example": "p=none; sp=reject"}, "a.example", "reject"),
        ("x.a.example", {"a.example": "p=quarantine"}, "a.example", "quarantine"),
        ("x.a.example", {"x.a.example": "p=none", "a.example": "p=reject"}, "x.a.example", "none"),
        # sp of a subdomain's record does not matter for that subdomain.
        ("x.a.example", {"x.a.example": "p=none; sp=reject"}, "x.a.example", "none"),
        # Not the nearest record counts, but that of the organization.
        ("x.y.a.example", {"y.a.example": "p=none", "a.example": "p=reject"}, "a.example", "reject"),
        ("x.y.a.example", {"y.a.example": "p=none; psd=n", "a.example": "p=reject"}, "y.a.example", "none"),
        ("a.example", {"example": "p=reject; psd=y"}, "example", "reject"),
        ("x.a.example", {"example": "p=reject; psd=y; sp=quarantine"}, "example", "quarantine"),
        ("x.a.example", {"example": "p=reject; psd=y", "a.example": "p=none"}, "a.example", "none"),
    ],
)
def test_the_record_of_the_author_then_the_organization_then_the_suffix_applies(
    author: str, published: dict[str, str], domain: str, policy: str
) -> None:
    zone = policies({name: f"v=DMARC1; {text}" for name, text in published.items()})
    found = check(author, Zone(zone | {author: {"A": ["192.0.2.1"]}}))
    assert (found.result, found.policy_domain, found.policy) == ("fail", domain, policy)


@pytest.mark.parametrize(
    ("text", "exists", "policy"),
    [
        ("p=none; np=reject", True, "none"),
        ("p=none; np=reject", False, "reject"),
        ("p=reject; sp=none; np=quarantine", True, "none"),
        ("p=reject; sp=none; np=quarantine", False, "quarantine"),
        ("p=none; sp=reject", False, "reject"),
    ],
)
def test_a_subdomain_that_does_not_exist_may_have_a_policy_of_its_own(text: str, exists: bool, policy: str) -> None:
    zone = Zone(records(a_example=f"v=DMARC1; {text}") | ({"x.a.example": {"MX": ["0 mx.test"]}} if exists else {}))
    assert check("x.a.example", zone).policy == policy


def test_existence_is_asked_only_where_it_matters() -> None:
    zone = Zone(records(a_example="v=DMARC1; p=reject; np=reject"))
    check("x.a.example", zone)
    check("a.example", Zone(records(a_example="v=DMARC1; p=none; np=reject")))
    assert not [question for question in zone.asked if question.startswith("A ")]
    zone = Zone(records(a_example="v=DMARC1; p=none; np=reject"))
    assert check("x.a.example", zone, None, [signature("x.a.example")]).result == "pass"
    assert not [question for question in zone.asked if question.startswith("A ")]


@pytest.mark.parametrize(
    ("published", "requested", "policy"),
    [("reject", "reject", "quarantine"), ("quarantine", "quarantine", "none"), ("none", "none", "none")],
)
def test_while_a_domain_tests_its_policy_is_one_level_lower(published: str, requested: str, policy: str) -> None:
    found = check("a.example", Zone(records(a_example=f"v=DMARC1; p={published}; t=y")))
    assert (found.requested, found.policy) == (requested, policy)
    assert found.lowered is (requested != policy)
    assert check("a.example", Zone(records(a_example="v=DMARC1; p=reject; t=y")), spf("a.example")).lowered is False


def test_the_sentence_about_a_failure_tells_everything() -> None:
    found = check("a.example", Zone(records(a_example=REJECT)), spf("b.example"))
    assert found.verdict.reason == (
        "nothing that passed speaks for a.example: SPF passed for b.example, which does not belong to the same "
        "organization as a.example; there is no DKIM signature; a.example asks to reject such mail"
    )
    zone = Zone(records(a_example="v=DMARC1; p=reject; t=y"))
    found = check("a.example", zone, None, [signature("a.example", "fail")])
    assert found.verdict.reason == (
        "nothing that passed speaks for a.example: SPF was not asked; DKIM says fail for a.example, the author's own "
        "domain; a.example asks to quarantine such mail while it tests its policy of reject"
    )


def test_the_sentence_stays_short_however_many_signatures_there_are() -> None:
    zone = Zone(records(a_example=REJECT))
    signatures = [signature(f"l{n}.test", "fail") for n in range(10)]
    reason = check("a.example", zone, spf("", "none"), signatures).verdict.reason
    assert "SPF says none and names no domain" in reason
    assert "and 7 more" in reason
    assert len(reason) < 400


@pytest.mark.parametrize(
    ("text", "result"), [("rua=mailto:a@a.example", "fail"), ("", "permerror"), ("p=x", "permerror")]
)
def test_a_record_without_a_policy_counts_as_none_only_where_reports_are_wanted(text: str, result: str) -> None:
    found = check("a.example", Zone(records(a_example=f"v=DMARC1; {text}")))
    assert (found.result, found.policy) == (result, "none")
    if result == "permerror":
        assert found.rua == ()
        assert found.verdict.reason == "the DMARC record of a.example has no valid policy"


def test_several_records_are_as_good_as_none_and_it_is_told() -> None:
    found = check("a.example", Zone({"_dmarc.a.example": {"TXT": [REJECT, "v=DMARC1; p=none"]}}))
    assert found.result == "none"
    assert found.flaws == ("_dmarc.a.example has 2 DMARC records, so none of them counts",)


# --- reports ------------------------------------------------------------------------------------------


def test_the_places_for_reports_are_those_of_the_record_that_applies() -> None:
    text = "v=DMARC1; p=none; rua=mailto:agg@a.example; ruf=mailto:fail@a.example"
    found = check("x.a.example", Zone(records(a_example=text)))
    assert [str(place.address) for place in (*found.rua, *found.ruf)] == ["agg@a.example", "fail@a.example"]
    found = check("a.example", Zone(records(example=f"{text}; psd=y")))
    assert [str(place.address) for place in found.rua] == ["agg@a.example"]
    assert found.ruf == ()


# --- what the DNS does not say ------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["TIMEOUT", "SERVFAIL"])
def test_a_silent_dns_is_a_temporary_error(fault: str) -> None:
    found = check("a.example", Zone({"_dmarc.a.example": {"TXT": [fault]}}), spf("a.example"))
    assert (found.result, found.policy) == ("temperror", "none")
    assert found.verdict.reason == "the DNS gave no answer about _dmarc.a.example, so nobody can tell for now"
    assert check("x.a.example", Zone({"_dmarc.a.example": {"TXT": [fault]}})).result == "temperror"


def test_a_fault_beside_something_that_speaks_does_not_matter() -> None:
    zone = Zone(records(a_example=REJECT) | {"_dmarc.x.a.example": {"TXT": ["TIMEOUT"]}})
    found = check("a.example", zone, spf("x.a.example"), [signature("a.example")])
    assert (found.result, found.aligned_spf, found.aligned_dkim) == ("pass", False, True)


def test_an_organization_that_cannot_be_asked_for_leaves_the_result_open() -> None:
    zone = Zone(records(a_example=REJECT) | {"_dmarc.x.a.example": {"TXT": ["TIMEOUT"]}})
    found = check("a.example", zone, spf("x.a.example"))
    assert (found.result, found.policy) == ("temperror", "none")
    assert found.verdict.reason == (
        "nobody can tell for now: SPF passed for x.a.example, and the DNS would not say whose domain that is"
    )


def test_a_check_that_could_not_be_finished_leaves_the_result_open_where_it_could_speak() -> None:
    zone = Zone(records(a_example=REJECT))
    assert check("a.example", zone, spf("a.example", "temperror")).result == "temperror"
    assert check("a.example", zone, None, [signature("x.a.example", "temperror")]).result == "temperror"
    assert check("a.example", zone, spf("b.example", "temperror")).result == "fail"
    strict = Zone(records(a_example="v=DMARC1; p=reject; adkim=s"))
    assert check("a.example", strict, None, [signature("x.a.example", "temperror")]).result == "fail"


def test_an_existence_that_cannot_be_asked_for_leaves_the_result_open() -> None:
    zone = Zone(records(a_example="v=DMARC1; p=none; np=reject") | {"x.a.example": {"A": ["SERVFAIL"]}})
    assert check("x.a.example", zone).result == "temperror"


def test_hostile_identifiers_cost_a_bounded_number_of_questions() -> None:
    zone = Zone(records(a_example=REJECT))
    signatures = [signature(f"a.b.c.d.e.f.l{n}.a.example") for n in range(10)]
    check("a.example", zone, spf("a.b.c.d.e.f.g.h.a.example"), signatures)
    assert sum(zone.asked.values()) <= 50
