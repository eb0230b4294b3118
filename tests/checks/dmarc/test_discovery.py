"""The DNS tree walk: which names are asked for, and which organization a domain belongs to."""

from contextlib import suppress

import pytest

from checks.dmarc.letters import policies
from checks.zone import Zone, finish
from posthouse.checks.dmarc.discovery import FAULTS, QUESTIONS, Lookups, targets
from posthouse.mail.dns import DnsFault


def organization(domain: str, published: dict[str, str]) -> str:
    return finish(Lookups(Zone(policies(published))).organizational_domain(domain))


def test_a_long_name_costs_eight_questions() -> None:
    """The example of RFC 9989 §4.10."""
    assert targets("a.b.c.d.e.f.g.h.i.j.mail.example.com") == [
        "a.b.c.d.e.f.g.h.i.j.mail.example.com",
        "g.h.i.j.mail.example.com",
        "h.i.j.mail.example.com",
        "i.j.mail.example.com",
        "j.mail.example.com",
        "mail.example.com",
        "example.com",
        "com",
    ]


@pytest.mark.parametrize("labels", range(1, 40))
def test_no_walk_asks_more_than_eight_questions(labels: int) -> None:
    domain = ".".join(f"l{n}" for n in range(labels))
    zone = Zone({})
    assert finish(Lookups(zone).walk(domain)) == ()
    assert sum(zone.asked.values()) == min(labels, 8)
    assert zone.asked[f"TXT _dmarc.{domain}"] == 1
    assert zone.asked[f"TXT _dmarc.l{labels - 1}"] == 1


def test_eight_labels_are_asked_one_by_one() -> None:
    assert len(targets("a.b.c.d.e.f.example.com")) == 8
    assert targets("a.b.c.d.e.f.example.com")[1] == "b.c.d.e.f.example.com"
    assert targets("x.a.b.c.d.e.f.example.com")[1] == "b.c.d.e.f.example.com"


# The examples of RFC 9989 §4.10.2 and appendix B.4.
@pytest.mark.parametrize(
    ("domain", "published", "expected"),
    [
        ("a.mail.example.com", {"mail.example.com": "", "example.com": ""}, "example.com"),
        ("a.mail.example.com", {"mail.example.com": "psd=n", "example.com": ""}, "mail.example.com"),
        ("a.mail.example.com", {"com": "psd=y"}, "example.com"),
        ("mail.example.com", {"example.com": "psd=y"}, "mail.example.com"),
        ("example.com", {"example.com": ""}, "example.com"),
        ("signing.example.com", {"example.com": "", "signing.example.com": ""}, "example.com"),
        ("a.b.c.d.e.f.g.h.i.j.k.example.com", {"example.com": ""}, "example.com"),
        ("giant.bank.example", {"giant.bank.example": "", "bank.example": "psd=y"}, "giant.bank.example"),
        ("mail.giant.bank.example", {"giant.bank.example": "", "bank.example": "psd=y"}, "giant.bank.example"),
        ("mail.mega.bank.example", {"giant.bank.example": "", "bank.example": "psd=y"}, "mega.bank.example"),
        ("bank.example", {"bank.example": "psd=y"}, "bank.example"),
        ("bank.example", {"bank.example": "psd=y", "example": ""}, "bank.example"),
        ("a.example.com", {}, "a.example.com"),
        ("mail.a.example.com", {"a.example.com": "psd=n", "com": "psd=y"}, "a.example.com"),
        # §5.1.8: too deep for the walk to find.
        (
            "mail.a.b.c.d.e.f.g.example.com",
            {"b.c.d.e.f.g.example.com": "psd=n", "example.com": ""},
            "example.com",
        ),
    ],
)
def test_the_organizational_domain_is_found(domain: str, published: dict[str, str], expected: str) -> None:
    assert organization(domain, {name: f"v=DMARC1; p=none; {text}" for name, text in published.items()}) == expected


def test_several_records_are_as_good_as_none() -> None:
    zone = Zone({"_dmarc.example.com": {"TXT": ["v=DMARC1; p=reject", "v=DMARC1; p=none"]}})
    lookups = Lookups(zone)
    assert finish(lookups.record("example.com")) is None
    assert lookups.flaws == ["_dmarc.example.com has 2 DMARC records, so none of them counts"]


def test_other_texts_beside_the_record_do_not_matter() -> None:
    zone = Zone({"_dmarc.example.com": {"TXT": ["v=spf1 -all", "v=DMARC1; p=reject", "hello"]}})
    found = finish(Lookups(zone).record("example.com"))
    assert found is not None
    assert found.p == "reject"


def test_no_question_is_asked_twice() -> None:
    zone = Zone(policies({"example.com": "v=DMARC1; p=none"}))
    lookups = Lookups(zone)
    for domain in ("a.example.com", "b.example.com", "example.com", "a.example.com"):
        assert finish(lookups.organizational_domain(domain)) == "example.com"
    assert set(zone.asked.values()) == {1}
    assert len(lookups.evidence) == len(zone.asked)


def test_the_evidence_holds_questions_and_answers() -> None:
    lookups = Lookups(Zone({"_dmarc.example.com": {"TXT": ["v=DMARC1; p=none; x=\x07é"]}}))
    finish(lookups.walk("example.com"))
    assert [(found.question, found.answer) for found in lookups.evidence] == [
        ("TXT _dmarc.example.com", (r"v=DMARC1; p=none; x=\x07\xc3\xa9",)),
        ("TXT _dmarc.com", ()),
    ]


def test_a_name_too_long_for_the_dns_is_not_asked() -> None:
    domain = ".".join(["a" * 60] * 4) + ".example"
    zone = Zone({})
    assert finish(Lookups(zone).record(domain)) is None
    assert not zone.asked


def test_a_domain_exists_if_anything_is_below_it() -> None:
    zone = Zone({"_dmarc.a.example.com": {"TXT": ["nothing"]}, "b.example.com": {"MX": ["0 ."]}})
    lookups = Lookups(zone)
    finish(lookups.record("a.example.com"))
    assert finish(lookups.exists("a.example.com"))
    assert zone.asked["A a.example.com"] == 0
    finish(lookups.record("b.example.com"))
    assert finish(lookups.exists("b.example.com"))
    assert not finish(lookups.exists("c.example.com"))


def test_after_some_faults_nothing_more_is_asked() -> None:
    zone = Zone({f"_dmarc.l{n}.example.com": {"TXT": ["TIMEOUT"]} for n in range(9)})
    lookups = Lookups(zone)
    for n in range(9):
        with pytest.raises(DnsFault):
            finish(lookups.record(f"l{n}.example.com"))
    assert sum(zone.asked.values()) == FAULTS
    assert lookups.evidence[0].answer == ("no answer",)


def test_the_questions_about_one_message_are_bounded() -> None:
    zone = Zone({})
    lookups = Lookups(zone)
    for n in range(200):
        with suppress(DnsFault):
            finish(lookups.walk(f"a.b.c.l{n}.example.com"))
    assert sum(zone.asked.values()) == QUESTIONS
