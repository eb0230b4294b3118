"""THREATS "Sender spoofing", as far as alignment decides: none of these may come out as a DMARC pass.

The names of the cases are those of "Composition Kills" (2020) and "Weak Links in Authentication Chains" (2021). Here
the victim is bank.example with p=reject, the attacker owns evil.example; what SPF and DKIM would find is given.
"""

import pytest

from checks.dmarc.letters import check, records, signature, spf
from checks.zone import Zone, finish
from posthouse.checks import dmarc
from posthouse.checks.dmarc import Dmarc
from posthouse.mail.address import Address, AddressError
from posthouse.mail.author import AuthorError, author
from posthouse.mail.headers import parse_header

VICTIM = "bank.example"


@pytest.fixture
def zone() -> Zone:
    return Zone(records(bank_example="v=DMARC1; p=reject", evil_example="v=DMARC1; p=none"))


def refused(found: Dmarc) -> bool:
    return (found.result, found.policy) == ("fail", "reject")


def test_an_attackers_own_pass_does_not_speak_for_the_victim(zone: Zone) -> None:
    assert refused(check(VICTIM, zone, spf("evil.example"), [signature("evil.example")]))


def test_a_non_existent_subdomain_in_mail(zone: Zone) -> None:
    """SPF of a name that does not exist is none, whatever HELO passes beside it."""
    assert refused(check(VICTIM, zone, spf("nothing.bank.example", "none")))
    assert refused(check(VICTIM, zone, spf("nothing.bank.example", "permerror")))


def test_an_empty_mail_with_the_attackers_helo(zone: Zone) -> None:
    assert refused(check(VICTIM, zone, spf("mail.evil.example", scope="helo")))


def test_a_malformed_mail_has_no_domain_to_align(zone: Zone) -> None:
    assert refused(check(VICTIM, zone, spf("", "none")))
    assert refused(check(VICTIM, zone, None))


@pytest.mark.parametrize(
    "domain",
    [
        "bank.example(.evil.example",
        'bank.example".evil.example',
        "bank.example'.evil.example",
        "bank.example\0.evil.example",
        "bank.example%00.evil.example",
        "bank.example,evil.example",
        "bank.example evil.example",
        "bank.example@evil.example",
        "<bank.example>",
        "@bank.example:x@evil.example",
        ".bank.example",
        "bank.example..",
        "*.bank.example",
        "bank\u3002example",
        "bank.example\u2028",
        "",
        ".",
        "example",
        "com",
        "xbank.example",
        "bank.example.evil.example",
    ],
)
@pytest.mark.parametrize("mode", ["r", "s"])
def test_strange_domains_in_mail_and_in_signatures_are_never_aligned(domain: str, mode: str) -> None:
    """A parenthesis, quote or source route in MAIL, a quote in d=: even if SPF or DKIM passed for such a name."""
    zone = Zone(records(bank_example=f"v=DMARC1; p=reject; aspf={mode}; adkim={mode}"))
    assert refused(check(VICTIM, zone, spf(domain), [signature(domain)]))


def test_a_nul_in_the_selector_changes_nothing(zone: Zone) -> None:
    """DKIM has no result for such a selector that would pass; one that did not pass does not speak."""
    assert refused(check(VICTIM, zone, None, [signature("bank.example", "permerror", selector="x\0.evil.example")]))


def test_a_body_that_is_signed_in_part_does_not_pass(zone: Zone) -> None:
    assert refused(check(VICTIM, zone, None, [signature("bank.example", "policy")]))


def test_a_signature_that_was_replayed_onto_another_author_does_not_speak(zone: Zone) -> None:
    assert refused(check(VICTIM, zone, None, [signature("evil.example"), signature("bank.example", "fail")]))


def test_a_homograph_is_another_domain(zone: Zone) -> None:
    """The Cyrillic а: compared as the A-label that it is."""
    found = check("b\u0430nk.example", zone, spf("bank.example"))
    assert found.author_domain == "xn--bnk-6cd.example"
    assert found.result == "none"
    assert refused(check(VICTIM, zone, spf("b\u0430nk.example"), [signature("b\u0430nk.example")]))


def test_a_subdomain_of_the_victim_is_the_victims(zone: Zone) -> None:
    assert refused(check("pay.bank.example", zone, spf("evil.example")))
    assert refused(check("a.b.c.d.e.f.g.h.i.j.bank.example", zone, spf("evil.example")))


def test_the_attackers_record_cannot_adopt_the_victim() -> None:
    """An attacker's psd=n, or a record below the victim's name, changes nobody else's organization."""
    zone = Zone(records(bank_example="v=DMARC1; p=reject", evil_example="v=DMARC1; p=none; psd=n"))
    assert refused(check(VICTIM, zone, spf("bank.evil.example"), [signature("evil.example")]))


def test_a_neighbour_under_a_public_suffix_that_says_so_is_a_stranger() -> None:
    zone = Zone(records(example="v=DMARC1; p=none; psd=y", bank_example="v=DMARC1; p=reject"))
    assert refused(check(VICTIM, zone, spf("evil.example"), [signature("evil.example")]))


def test_neighbours_without_records_above_are_strangers(zone: Zone) -> None:
    assert refused(check(VICTIM, zone, spf("other.example"), [signature("mail.other.example")]))


def test_a_domain_above_the_organization_does_not_speak_for_it() -> None:
    zone = Zone(records(example="v=DMARC1; p=none; psd=y", bank_example="v=DMARC1; p=reject"))
    assert refused(check(VICTIM, zone, spf("example"), [signature("example")]))


# What the one parser refuses never gets as far as DMARC: there is no author whose domain could pass.
@pytest.mark.parametrize(
    "header",
    [
        b"From: a@bank.example\r\nFrom: a@evil.example\r\n",
        b"From: a@evil.example\r\nFrom: a@bank.example\r\n",
        b"From: a@bank.example, b@evil.example\r\n",
        b"From: a@evil.example, b@bank.example\r\n",
        b"From: <@evil.example,@x.example:a@bank.example>\r\n",
        b"From: =?utf-8?q?a=40bank=2Eexample?= <a@evil.example>, <b@bank.example>\r\n",
        b"From: =?utf-8?q?a=40bank=2Eexample?=\r\n",
        b"From: <=?utf-8?q?a=40bank=2Eexample=3E=00?=@evil.example>\r\n",
        b"From: \\<a@bank.example\\>,<b@evil.example>\r\n",
        b"From: a@bank.example,<b@evil.example>\r\n",
        b"From: <a@bank.example>b@evil.example\r\n",
        b"From: <a@bank.example\\>@evil.example>\r\n",
        b"From: a@bank.example <b@evil.example>\r\n",
        b"From: Group: a@bank.example;\r\n",
        b"From: a@bank.example\0@evil.example\r\n",
        b"Sender: a@bank.example\r\n",
        b"Resent-From: a@bank.example\r\n",
    ],
)
def test_a_from_that_can_be_read_in_two_ways_has_no_author(header: bytes) -> None:
    with pytest.raises(AuthorError):
        author(parse_header(header + b"\r\n"))


@pytest.mark.parametrize(
    "header",
    [
        b"From: a@bank.example\r\nSender: a@evil.example\r\n",
        b"From: a@bank.example\r\nResent-From: a@evil.example\r\n",
        b"From:\r\n a@bank.example\r\n",
        b'From: "b@evil.example" <a@bank.example>\r\n',
        b"From: =?utf-8?q?b=40evil=2Eexample?= <a@bank.example>\r\n",
        b"From: (b@evil.example) a@BANK.example\r\n",
        b"From: a@bank.example (b@evil.example)\r\n",
    ],
)
def test_nothing_beside_the_address_in_from_counts(zone: Zone, header: bytes) -> None:
    """Sender, Resent-From, folding, display names and comments: the author is who From names, or nobody."""
    try:
        address = author(parse_header(header + b"\r\n"))
    except AuthorError:
        return
    found = finish(dmarc.check(address, spf("evil.example"), [signature("evil.example")], zone))
    assert refused(found)


@pytest.mark.parametrize(
    "mail_from", ["@bank.example:a@evil.example", "a@bank.example(.evil.example", 'a@bank.example"']
)
def test_such_a_reverse_path_is_no_address_at_all(mail_from: str) -> None:
    with pytest.raises(AddressError):
        Address.parse(mail_from)
