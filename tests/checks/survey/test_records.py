"""What a domain publishes about signatures, policies, transport and logos, and what is to be said of it."""

from typing import Any

import pytest

from checks.zone import Zone, finish
from posthouse.checks.dkim import SigningKey
from posthouse.checks.dmarc.record import parse
from posthouse.checks.dnslists import named
from posthouse.checks.survey import (
    Exchange,
    Item,
    State,
    drawing,
    emblem,
    listings,
    policy,
    selectors,
    sts_policy,
    sts_record,
    tls_reporting,
    tlsa,
)

KEY = SigningKey.generate("example.org", "s1", "ed25519-sha256")
SMALL = SigningKey.generate("example.org", "s1", "rsa-sha256", 1024)
MX = (Exchange("mx.example.org", 10, ("192.0.2.1",)), Exchange("mx2.far.test", 20, ("192.0.2.2",)))
Records = dict[str, dict[str, Any]]


def one(items: tuple[Item, ...], state: State) -> Item:
    found = [item for item in items if item.state is state]
    assert found, items
    return found[0]


def states(items: tuple[Item, ...]) -> list[State]:
    return [item.state for item in items]


# --- DKIM ---------------------------------------------------------------------------------------------


def keys(zone: Records, **options: Any) -> tuple[Item, ...]:
    return finish(selectors("example.org", Zone(zone), **options))


def key(selector: str, *texts: str) -> Records:
    return {f"{selector}._domainkey.example.org": {"TXT": list(texts)}}


def test_keys_under_usual_names_are_found() -> None:
    found = keys({**key("google", KEY.dns_record()), **key("k1", "v=DKIM1; p=")})
    assert [item.found for item in found] == [
        "the key google is Ed25519", "the key k1 was revoked (its record is empty)",
    ]  # fmt: skip
    assert set(states(found)) == {State.GOOD}


def test_without_any_usual_name_nobody_can_tell() -> None:
    assert states(keys({})) == [State.UNKNOWN]


def test_a_key_that_was_named_has_to_be_there() -> None:
    assert one(keys({}, named=("s9",)), State.WRONG).subject == "s9._domainkey.example.org"
    assert states(keys(key("s9", KEY.dns_record()), named=("s9",))) == [State.GOOD]


def test_a_wildcard_tells_nothing() -> None:
    zone = {"*._domainkey.example.org": {"TXT": [KEY.dns_record()]}}
    assert "every name below" in one(keys(zone), State.ADVICE).found


@pytest.mark.parametrize(("texts", "state", "words"), [
    ((SMALL.dns_record(),), State.ADVICE, "is RSA with 1024 bits"),
    ((KEY.dns_record() + "; t=y",), State.ADVICE, "is in testing"),
    ((KEY.dns_record(), KEY.dns_record() + "; n=2"), State.WRONG, "has 2 records"),
    (("v=DKIM1; k=rsa; p=nonsense!",), State.WRONG, "is malformed"),
])  # fmt: skip
def test_weak_and_broken_keys_are_told(texts: tuple[str, ...], state: State, words: str) -> None:
    assert words in one(keys(key("s9", *texts), named=("s9",)), state).found


def test_our_own_keys_are_compared_with_what_is_published() -> None:
    ours = {"s1": KEY.dns_record()}
    spaced = KEY.dns_record().replace("; ", " ; ")
    assert states(keys(key("s1", spaced), ours=ours)) == [State.GOOD]
    for zone, words in (({}, "is not published"), (key("s1", SMALL.dns_record()), "another key")):
        wrong = one(keys(zone, ours=ours), State.WRONG)
        assert words in wrong.found
        assert wrong.publish[0].data == KEY.dns_record()


def test_a_dns_without_answers_says_nothing_of_keys() -> None:
    assert states(keys({"posthouse-asks-for-no-such-selector._domainkey.example.org": {"TXT": ["TIMEOUT"]}})) == [
        State.UNKNOWN
    ]


def test_selectors_that_could_not_be_asked_for_are_not_said_to_be_missing() -> None:
    silent = {f"{name}._domainkey.example.org": {"TXT": ["SERVFAIL"]} for name in ("default", "s1")}
    words = "2 of 47 usual selectors could not be asked for: default, s1"
    assert [item.found for item in keys(silent)] == [words]
    found = keys({**silent, **key("google", KEY.dns_record())})
    assert states(found) == [State.GOOD, State.UNKNOWN]


# --- DMARC --------------------------------------------------------------------------------------------


def asked(text: str, domain: str = "example.org", **more: dict[str, Any]) -> tuple[Item, ...]:
    zone: Records = {"_dmarc.example.org": {"TXT": [text]}, "mail.example.org": {"A": ["192.0.2.1"]}}
    return finish(policy(domain, Zone(zone | {name.replace("__", "."): types for name, types in more.items()})))


def test_a_policy_that_refuses_and_reports_is_good() -> None:
    found = asked("v=DMARC1; p=reject; rua=mailto:d@example.org")
    assert states(found) == [State.GOOD, State.GOOD]
    assert found[0].found == "for mail that fails, example.org asks for: reject"
    assert found[1].found == "reports go to d@example.org"


def test_a_subdomain_has_the_policy_of_its_organization() -> None:
    found = asked("v=DMARC1; p=reject; sp=quarantine; rua=mailto:d@example.org", "mail.example.org")
    assert found[0].found == (
        "for mail that fails, mail.example.org asks for: quarantine, by the record of example.org"
    )


def test_a_domain_without_a_policy_is_told_one() -> None:
    wrong = one(finish(policy("example.org", Zone({}))), State.WRONG)
    assert wrong.publish[0].name == "_dmarc.example.org"
    assert wrong.publish[0].data == "v=DMARC1; p=none; rua=mailto:dmarc-reports@example.org"
    silent = one(finish(policy("example.org", Zone({}), takes_mail=False)), State.WRONG)
    assert silent.publish[0].data == "v=DMARC1; p=reject"


@pytest.mark.parametrize(("text", "state", "words"), [
    ("v=DMARC1; p=none; rua=mailto:d@example.org", State.ADVICE, "only watches"),
    ("v=DMARC1; p=reject", State.ADVICE, "nobody is told"),
    ("v=DMARC1; p=reject; t=y; rua=mailto:d@example.org", State.ADVICE, "in testing"),
    ("v=DMARC1; p=reject; sp=none; rua=mailto:d@example.org", State.ADVICE, "subdomains are only watched"),
    ("v=DMARC1; p=reject; aspf=x; rua=mailto:d@example.org", State.ADVICE, "aspf=x is none of"),
    ("v=DMARC1; p=refuse", State.WRONG, "has no valid policy"),
    ("v=DMARC1; p=reject; rua=https://example.org/x", State.ADVICE, "is no mail address"),
    ("v=DMARC1; p=reject; rua=mailto:d@far.test", State.WRONG, "far.test does not say that it wants them"),
    ("TIMEOUT", State.UNKNOWN, "could not be asked for"),
])  # fmt: skip
def test_what_is_wrong_with_a_policy_is_told(text: str, state: State, words: str) -> None:
    assert any(item.state is state and words in item.found for item in asked(text)), asked(text)


def test_the_stronger_policy_to_publish_keeps_the_rest() -> None:
    advice = one(asked("v=DMARC1; p=none; fo=1; rua=mailto:d@example.org"), State.ADVICE)
    assert advice.publish[0].data == "v=DMARC1; p=quarantine; fo=1; rua=mailto:d@example.org"


@pytest.mark.parametrize(("text", "state", "words", "record"), [
    ("v=DMARC1; p=rejct; rua=foo; pct=200; adkim=x", State.WRONG, "counts for nothing",
     "v=DMARC1; p=none; rua=mailto:dmarc-reports@example.org"),
    ("v=DMARC1; p=rejct; rua=mailto:d@example.org", State.WRONG, "counts as p=none",
     "v=DMARC1; p=none; rua=mailto:d@example.org"),
    ("v=DMARC1; rua=mailto:d@example.org", State.ADVICE, "counts as p=none",
     "v=DMARC1; p=none; rua=mailto:d@example.org"),
    ("v=DMARC1; rua=mailto:d@example.org; p=reject; t=y; np=foo; psd=q; fo=9; foo=bar; foo=baz; ;x", State.WRONG,
     "counts as p=none", "v=DMARC1; p=reject; rua=mailto:d@example.org; t=y; foo=bar"),
    ("v=DMARC1; p=reject; np=foo", State.WRONG, "counts for nothing",
     "v=DMARC1; p=reject; rua=mailto:dmarc-reports@example.org"),
    ("v=DMARC1; p=Reject; fo=1:d; rua=foo", State.ADVICE, "come to light",
     "v=DMARC1; p=reject; fo=1:d; rua=mailto:dmarc-reports@example.org"),
    ("v=DMARC1; p=none", State.ADVICE, "come to light", "v=DMARC1; p=none; rua=mailto:dmarc-reports@example.org"),
])  # fmt: skip
def test_one_record_is_proposed_and_all_of_it_counts(text: str, state: State, words: str, record: str) -> None:
    proposed = [(item.state, words in item.means, item.publish[0].data) for item in asked(text) if item.publish]
    assert proposed == [(state, True, record)]
    assert not parse(record.encode()).flaws  # type: ignore[union-attr]
    assert not [item for item in asked(text) if "np=" in item.found and "part of the record" in item.means]


def test_who_reads_reports_for_others_says_so_in_the_dns() -> None:
    text = "v=DMARC1; p=reject; rua=mailto:d@far.test"
    wanted = one(asked(text), State.WRONG).publish[0]
    assert wanted == ("example.org._report._dmarc.far.test", "TXT", "v=DMARC1")
    found = asked(text, **{wanted.name.replace(".", "__"): {"TXT": [wanted.data]}})
    assert set(states(found)) == {State.GOOD}


def test_two_records_are_none() -> None:
    zone: Records = {"_dmarc.example.org": {"TXT": ["v=DMARC1; p=reject", "v=DMARC1; p=none"]}}
    assert "2 DMARC records" in one(finish(policy("example.org", Zone(zone))), State.WRONG).found


# --- on the way ---------------------------------------------------------------------------------------


def test_without_mta_sts_record_and_policy_to_publish_are_told() -> None:
    found = finish(sts_record("example.org", MX, Zone({})))
    absent = one(found.items, State.ABSENT)
    assert not found.announced
    assert absent.publish[0] == ("_mta-sts.example.org", "TXT", "v=STSv1; id=1")
    assert "mx: mx.example.org, mx: mx2.far.test" in absent.change


def test_no_policy_of_mta_sts_is_proposed_while_the_mail_hosts_are_unknown() -> None:
    absent = one(finish(sts_record("example.org", (), Zone({}))).items, State.ABSENT)
    assert not absent.publish
    assert "mode:" not in absent.change


@pytest.mark.parametrize(("texts", "new"), [
    (["v=STSv1; id=1", "v=STSv1; id=2"], "3"), (["v=STSv1; id="], "1"), (["v=STSv1; id=20250101; x"], "20250102"),
    (["v=STSv1; id=" + "9" * 40], "1"), (["v=STSv1; id=a", "v=STSv1; id=b"], "1"),
])  # fmt: skip
def test_the_id_that_is_proposed_was_never_used(texts: list[str], new: str) -> None:
    found = finish(sts_record("example.org", MX, Zone({"_mta-sts.example.org": {"TXT": texts}})))
    assert one(found.items, State.WRONG).publish[0].data == f"v=STSv1; id={new}"


@pytest.mark.parametrize(("texts", "state"), [
    (["v=STSv1; id=2025"], State.GOOD), (["v=STSv1"], State.WRONG), (["v=STSv1; id=a", "v=STSv1; id=b"], State.WRONG),
    (["TIMEOUT"], State.UNKNOWN), (["v=spf1 -all"], State.ABSENT),
])  # fmt: skip
def test_the_record_of_mta_sts(texts: list[str], state: State) -> None:
    found = finish(sts_record("example.org", MX, Zone({"_mta-sts.example.org": {"TXT": texts}})))
    assert states(found.items) == [state]
    assert found.announced is (state is State.GOOD)


def document(*lines: str, mode: str = "enforce") -> bytes:
    return "\r\n".join(["version: STSv1", f"mode: {mode}", *lines, "max_age: 604800", ""]).encode()


def test_a_policy_that_names_every_host_is_good() -> None:
    assert states(sts_policy("example.org", document("mx: *.example.org", "mx: mx2.far.test"), MX)) == [State.GOOD]


def test_a_policy_that_forgets_a_host_loses_mail() -> None:
    wrong = one(sts_policy("example.org", document("mx: mx.example.org"), MX), State.WRONG)
    assert "does not name mx2.far.test" in wrong.found


@pytest.mark.parametrize(("octets", "state"), [
    (document("mx: *.example.org", "mx: mx2.far.test", mode="testing"), State.ADVICE),
    (document(mode="none"), State.ADVICE),
    (document("mx: *.example.org", "mx: mx2.far.test").replace(b"604800", b"60"), State.ADVICE),
    (b"<html>", State.WRONG),
])  # fmt: skip
def test_weak_and_broken_policies_are_told(octets: bytes, state: State) -> None:
    one(sts_policy("example.org", octets, MX), state)


@pytest.mark.parametrize(("texts", "state"), [
    (["v=TLSRPTv1; rua=mailto:t@example.org"], State.GOOD), ([], State.ABSENT),
    (["v=TLSRPTv1; rua=ftp:x"], State.WRONG), (["SERVFAIL"], State.UNKNOWN),
])  # fmt: skip
def test_tls_reporting(texts: list[str], state: State) -> None:
    assert states(finish(tls_reporting("example.org", Zone({"_smtp._tls.example.org": {"TXT": texts}})))) == [state]


def test_keys_in_the_dns() -> None:
    zone = {"_25._tcp.mx.example.org": {"TLSA": [f"3 1 1 {'ab' * 32}", "1 0 1 00"]},
            "_25._tcp.mx2.far.test": {"TLSA": ["TIMEOUT"]}}  # fmt: skip
    found = finish(tlsa(MX, Zone(zone)))
    assert [record.usage for record in found.records["mx.example.org"]] == [3]
    assert sorted(states(found.items)) == sorted([State.ADVICE, State.GOOD, State.UNKNOWN])
    assert states(finish(tlsa(MX, Zone({}))).items) == [State.ABSENT]
    bad = {"_25._tcp.mx.example.org": {"TLSA": ["1 0 1 00"]}}
    assert states(finish(tlsa(MX, Zone(bad))).items) == [State.WRONG]


# --- logos and lists ----------------------------------------------------------------------------------


def logo(text: str, dmarc: str = "v=DMARC1; p=reject") -> tuple[Item, ...]:
    zone = {"default._bimi.example.org": {"TXT": [text]}, "_dmarc.example.org": {"TXT": [dmarc]}}
    return finish(emblem("example.org", Zone(zone))).items


def test_logos() -> None:
    assert states(logo("v=BIMI1; l=https://example.org/a.svg; a=https://example.org/a.pem")) == [State.GOOD]
    assert states(logo("v=BIMI1; l=; a=")) == [State.GOOD]
    assert states(logo("v=BIMI1; l=http://example.org/a.svg")) == [State.WRONG]
    assert states(logo("v=spf1 -all")) == [State.ABSENT]
    assert states(logo("TIMEOUT")) == [State.UNKNOWN]
    assert State.ADVICE in states(logo("v=BIMI1; l=https://example.org/a.svg", "v=DMARC1; p=none"))


def test_what_lies_where_the_logo_should() -> None:
    assert drawing("https://example.org/a.svg", b"<html>").state is State.WRONG


def test_lists_that_are_named_are_asked() -> None:
    lists = (named("bl.test"), named("allow.test", weight=-1), named("dead.test"))
    zone = {
        "2.0.0.127.bl.test": {"A": ["127.0.0.2"]}, "2.0.0.127.allow.test": {"A": ["127.0.0.2"]},
        "1.2.0.192.bl.test": {"A": ["127.0.0.2"], "TXT": ["seen in traps"]},
        "2.2.0.192.allow.test": {"A": ["127.0.0.2"]},
    }  # fmt: skip
    found = finish(listings("example.org", MX, lists, Zone(zone)))
    assert one(found, State.WRONG).found == "192.0.2.1 is listed by bl.test (seen in traps)"
    assert one(found, State.GOOD).found == "192.0.2.2 is listed by allow.test"
    assert "dead.test" in one(found, State.UNKNOWN).found
    assert finish(listings("example.org", MX, (), Zone(zone))) == ()
