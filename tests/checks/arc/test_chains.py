"""Chains of ours: sealed hop after hop, altered, forged, cut, moved; and whom to believe."""

from dataclasses import replace
from hashlib import sha256

import dkim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.dkim.relays import letters, relayed
from checks.dkim.signers import LETTER, rsa, signed, zone
from checks.zone import NOW, Zone, finish
from posthouse.checks.arc import Arc, seal, validate
from posthouse.checks.dkim import SigningFault, SigningKey, body_digests
from posthouse.checks.dkim.canonicalization import relaxed_field
from posthouse.checks.dkim.fields import read_key, read_tags, without_signature
from posthouse.checks.dkim.records import parse_record
from posthouse.checks.dkim.signing import completed
from posthouse.checks.dkim.tags import parse_tags
from posthouse.mail.headers import scan_header
from posthouse.mail.instant import DAY, SECOND
from posthouse.mail.message import Message

# RSA signatures take their time; a thorough profile makes more of these as well.
FEWER = settings(max_examples=settings.default.max_examples // 2)
RESULTS = b"mx.example.org; spf=pass smtp.mailfrom=example.org;\r\n dmarc=pass header.from=example.org"
ELSEWHERE = SigningKey.generate("lists.example.net", "l1", "ed25519-sha256")
STRANGER = SigningKey.generate("stranger.example", "x1", "ed25519-sha256")
# dkimpy seals with the time of the machine.
LATER = NOW + 36_500 * DAY


def names() -> Zone:
    return zone(ELSEWHERE, STRANGER)


def look(octets: bytes, dns: Zone | None = None, now: int = NOW) -> Arc:
    return finish(validate(Message.parse(octets), dns or names(), now))


def sealed(octets: bytes, key: SigningKey | None = None, recorded: bytes = RESULTS) -> bytes:
    return seal(octets, key or rsa(), look(octets), recorded, NOW) + octets


def test_a_message_without_a_chain_has_none() -> None:
    arc = look(LETTER)
    assert (arc.result, arc.sealers, arc.sets, arc.oldest_pass) == ("none", (), (), None)
    assert arc.verdict.result == "none"


def test_what_we_sealed_passes_and_says_who_recorded_what() -> None:
    arc = look(sealed(sealed(signed(LETTER)), ELSEWHERE, b"lists.example.net; arc=pass"))
    assert (arc.result, arc.oldest_pass) == ("pass", 0)
    assert arc.sealers == ("lists.example.net", "example.org")
    assert [one.recorded for one in arc.sets] == [RESULTS.replace(b"\r\n", b""), b"lists.example.net; arc=pass"]
    assert [one.results().results[0].result for one in arc.sets] == ["pass", "pass"]
    assert arc.verdict.identity == "lists.example.net"
    assert {one.question for one in arc.verdict.evidence} == {
        "TXT r2048._domainkey.example.org", "TXT l1._domainkey.lists.example.net",
    }  # fmt: skip


def test_the_fields_stand_in_the_order_of_a_set() -> None:
    fields = scan_header(seal(LETTER, rsa(), look(LETTER), RESULTS, NOW)).fields
    assert [field.name for field in fields] == ["ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"]
    tags = parse_tags(fields[0].value)
    assert (tags["i"], tags["cv"], tags["d"]) == (b"1", b"none", b"example.org")
    assert tags["t"] == str(NOW // SECOND).encode()
    covered = parse_tags(fields[1].value)["h"].split(b":")
    assert b"from" in covered
    assert not any(name.startswith((b"arc-", b"authentication-results", b"received")) for name in covered)


def test_dkim_signatures_on_the_message_are_covered() -> None:
    octets = sealed(signed(LETTER))
    assert look(octets).result == "pass"
    assert look(octets.replace(b"s=r2048; t=", b"s=r2048;  t=")).result == "pass"
    assert look(octets.replace(b"s=e2025;", b"s=e2026;")).result == "fail"


def test_a_body_altered_before_the_next_seal_keeps_the_chain_whole() -> None:
    """What lists do: the newest message signature holds, older ones need not (RFC 8617 §5.2, step 5)."""
    first = sealed(signed(LETTER))
    altered = first.replace(b"Alice\r\n", b"Alice\r\n-- \r\nThe list\r\n")
    octets = seal(altered, ELSEWHERE, look(first), RESULTS, NOW) + altered
    arc = look(octets)
    assert (arc.result, arc.oldest_pass) == ("pass", 2)
    assert "TXT r2048._domainkey.example.org" in {one.question for one in arc.verdict.evidence}


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (b"hungry", b"angry", "body was altered"),
        (b"Subject: What", b"Subject: That", "signed fields were altered"),
        (b"dmarc=pass", b"dmarc=fail", "does not hold"),
        (b"cv=none", b"cv=pass", "whole before it"),
        (b"cv=pass", b"cv=none", "whole before it"),
        (b"ARC-Authentication-Results: i=1", b"X: i=1", "not whole"),
        (b"i=2; a=rsa", b"i=3; a=rsa", "not whole"),
        (b"i=1; mx", b"i=1 mx", "not whole"),
        (b"i=1; mx", b"i=01; mx", "does not hold"),
        (b"i=1; mx", b"i=100; mx", "not whole"),
    ],
)
def test_whatever_is_altered_afterwards_breaks_the_chain(before: bytes, after: bytes, reason: str) -> None:
    octets = sealed(sealed(signed(LETTER)))
    assert before in octets
    arc = look(octets.replace(before, after))
    assert (arc.result, arc.oldest_pass) == ("fail", None)
    assert reason in arc.verdict.reason


def test_a_set_that_is_cut_out_breaks_the_chain() -> None:
    octets = sealed(sealed(sealed(LETTER), ELSEWHERE))
    header = scan_header(octets)
    for instance in (1, 2):
        rest = octets
        for field in reversed(header.fields):
            if b"i=%d;" % instance in field.value[:8]:
                rest = rest[: field.start] + rest[field.end :]
        assert look(rest).result == "fail"
    # Without its newest set it is the chain as it was before.
    newest = [field for field in header.fields if b"i=3;" in field.value[:8]]
    assert look(octets[newest[-1].end :]).result == "pass"


def test_a_seal_that_names_fields_of_its_own_choice_is_refused() -> None:
    octets = sealed(LETTER)
    arc = look(octets.replace(b"cv=none;", b"cv=none; h=from;"))
    assert arc.result == "fail"
    assert "own choice" in arc.verdict.reason


@pytest.mark.parametrize("fault", ["TIMEOUT", "SERVFAIL"])
def test_faults_of_the_dns_are_permanent(fault: str) -> None:
    """RFC 8617 §5.2.1"""
    arc = look(sealed(LETTER), zone(r2048=fault))
    assert arc.result == "fail"
    assert "could not be asked" in arc.verdict.reason
    assert arc.sealers == ("example.org",)


def test_a_key_that_is_gone_breaks_the_chain() -> None:
    arc = look(sealed(sealed(LETTER, ELSEWHERE)), zone())
    assert arc.result == "fail"
    assert arc.verdict.reason == "There is no key at l1._domainkey.lists.example.net"


@pytest.mark.parametrize("times", ["t=now", "t=1 2", "t="])
def test_a_seal_without_a_proper_time_is_refused_though_it_is_signed(times: str) -> None:
    _, signature, recorded = scan_header(sealed(LETTER)).fields[:3]
    before = b"".join(relaxed_field(field.name.encode(), field.value) + b"\r\n" for field in (recorded, signature))
    rest = sealed(LETTER)[signature.start :]

    def by_hand(times: str) -> bytes:
        return completed("ARC-Seal", f" i=1; a=rsa-sha256; cv=none; d=example.org; s=r2048; {times};", before, rsa())

    assert look(by_hand("t=12345") + rest).result == "pass"
    arc = look(by_hand(times) + rest)
    assert arc.result == "fail"
    assert "no time" in arc.verdict.reason


def test_fifty_sets_are_the_most() -> None:
    octets = LETTER
    for _ in range(50):
        octets = sealed(octets, ELSEWHERE, b"x; arc=pass")
    dns = names()
    arc = look(octets, dns)
    assert (arc.result, len(arc.sets)) == ("pass", 50)
    assert seal(octets, rsa(), arc, RESULTS, NOW) == b""
    beyond = b"ARC-Seal: i=99; cv=pass\r\n" + LETTER
    assert seal(beyond, rsa(), look(beyond), RESULTS, NOW) == b""
    more = seal(LETTER, ELSEWHERE, look(LETTER), RESULTS, NOW).replace(b" i=1;", b" i=51;") + octets
    dns = names()
    assert look(more, dns).result == "fail"
    assert not dns.asked


def test_a_header_full_of_seals_asks_nothing() -> None:
    dns = names()
    field = b"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=example.org; s=x; b=AAAA\r\n"
    arc = look(field * 9000 + LETTER, dns)
    assert "more than 50" in arc.verdict.reason
    assert not dns.asked


# --- sealing -----------------------------------------------------------------------------------------


def test_a_broken_chain_is_sealed_as_broken_and_then_no_more() -> None:
    """RFC 8617 §5.1, step 2, and §5.1.2"""
    broken = sealed(LETTER).replace(b"hungry", b"angry")
    assert look(broken).result == "fail"
    octets = sealed(broken, ELSEWHERE)
    assert octets.startswith(b"ARC-Seal: i=2; a=ed25519-sha256; cv=fail;")
    assert look(octets).verdict.reason == "The newest sealer found the chain broken"
    assert sealed(octets) == octets


def test_the_seal_of_a_broken_chain_covers_its_own_set_alone() -> None:
    octets = sealed(sealed(LETTER).replace(b"hungry", b"angry"))
    newest, signature, recorded = scan_header(octets).fields[:3]
    text = b"".join(relaxed_field(field.name.encode(), field.value) + b"\r\n" for field in (recorded, signature))
    text += relaxed_field(b"ARC-Seal", without_signature(newest.value))
    key = read_key(read_tags(newest.value))
    assert parse_record(rsa().dns_record().encode()).verifies(key.signature, sha256(text).digest())


def test_a_chain_whose_numbers_are_all_wrong_is_sealed_as_broken() -> None:
    octets = sealed(b"ARC-Seal: i=x; cv=none\r\n" + LETTER)
    assert octets.startswith(b"ARC-Seal: i=1; a=rsa-sha256; cv=fail;")
    assert look(octets).result == "fail"


@pytest.mark.parametrize(
    "recorded",
    [b"x; spf=pass\r\nBcc: y", b"x;\nspf=pass", b"x;\rspf=pass", b"x; spf=pass\r\n\r\nbody", b"x;\0", b"x\x7f"],
)
def test_results_cannot_begin_a_field_of_their_own(recorded: bytes) -> None:
    with pytest.raises(SigningFault, match="of their own"):
        seal(LETTER, rsa(), look(LETTER), recorded, NOW)


def test_a_chain_of_another_message_is_not_sealed() -> None:
    chain = look(sealed(LETTER))
    with pytest.raises(SigningFault, match="not the one"):
        seal(LETTER, rsa(), chain, RESULTS, NOW)
    with pytest.raises(SigningFault, match="not the one"):
        seal(sealed(LETTER), rsa(), look(LETTER), RESULTS, NOW)
    with pytest.raises(SigningFault, match="not the one"):
        seal(b"ARC-Seal: i=1; cv=none\r\n" + LETTER, rsa(), chain, RESULTS, NOW)


def test_fields_in_front_are_covered_too() -> None:
    prefix = b"List-Id: <l.example.org>\r\n"
    octets = seal(LETTER, rsa(), look(LETTER), RESULTS, NOW, prefix=prefix) + prefix + LETTER
    assert look(octets).result == "pass"
    assert look(octets.replace(b"<l.example", b"<m.example")).result == "fail"


# --- whom to believe ---------------------------------------------------------------------------------


def test_the_oldest_set_behind_which_all_are_trusted_is_believed() -> None:
    one = sealed(LETTER, ELSEWHERE, b"lists.example.net; dmarc=pass")
    two = sealed(one, STRANGER, b"stranger.example; dmarc=pass")
    three = sealed(two, rsa(), b"mx.example.org; dmarc=fail")
    both = {"lists.example.net", "example.org"}
    assert look(one).trusted(both).instance == 1
    assert look(one).trusted({"example.org"}) is None
    assert look(two).trusted(both) is None
    # A stranger in between could have put the older chain on another message.
    assert look(three).trusted(both).instance == 3
    assert look(three).trusted(both | {"stranger.example"}).instance == 1


def test_a_chain_that_fails_is_believed_by_nobody() -> None:
    arc = look(sealed(LETTER).replace(b"hungry", b"angry"))
    assert arc.sets
    assert arc.trusted({"example.org"}) is None
    assert look(LETTER).trusted({"example.org"}) is None


def test_a_forged_chain_with_the_name_of_a_trusted_sealer_fails() -> None:
    forged = sealed(LETTER, replace(STRANGER, domain="example.org", selector="r2048"))
    arc = look(forged)
    assert arc.result == "fail"
    assert arc.trusted({"example.org"}) is None


def test_the_domain_of_a_sealer_is_a_valid_name() -> None:
    octets = sealed(LETTER).replace(b"d=example.org;", b'd=example.org" x;', 1)
    assert look(octets).sealers == ()


# --- dkimpy ------------------------------------------------------------------------------------------


def dkimpy_says(octets: bytes) -> bytes:
    texts = {key.dns_name.encode() + b".": key.dns_record().encode() for key in (rsa(), ELSEWHERE)}
    return dkim.ARC(octets).verify(dnsfunc=lambda name, timeout=5: texts.get(name))[0]


def test_dkimpy_validates_what_we_seal() -> None:
    octets = LETTER
    assert dkimpy_says(octets) == dkim.CV_None
    for _ in range(3):
        octets = sealed(octets)
        assert dkimpy_says(octets) == dkim.CV_Pass
    assert dkimpy_says(octets.replace(b"hungry", b"angry")) == dkim.CV_Fail


@FEWER
@given(letters(), st.data())
def test_chains_survive_whatever_relays_do_to_white_space(letter: bytes, data: st.DataObject) -> None:
    octets = letter
    for _ in range(2):
        octets = sealed(data.draw(relayed(octets)))
    assert look(data.draw(relayed(octets))).result == "pass"


@FEWER
@given(letters(), st.integers(1, 3))
def test_dkimpy_validates_whatever_we_seal(letter: bytes, sets: int) -> None:
    """As it was sealed: dkimpy finds a message signature only where ` i=1;` stands in it to the letter."""
    octets = letter
    for _ in range(sets):
        octets = sealed(octets)
    assert dkimpy_says(octets) == dkim.CV_Pass


@FEWER
@given(letters(), st.integers(1, 2), st.data())
def test_we_validate_what_dkimpy_seals(letter: bytes, sets: int, data: st.DataObject) -> None:
    octets = letter
    for status in (b"", b"; arc=pass")[:sets]:
        results = b"mx.example.org; spf=pass smtp.mailfrom=a@example.org" + status
        octets = b"Authentication-Results: " + results + b"\r\n" + octets
        fields = dkim.ARC(octets).sign(
            b"r2048", b"example.org", rsa().pem(), b"mx.example.org", include_headers=[b"from", b"subject"]
        )
        octets = octets.replace(b"Authentication-Results: mx", b"X-Seen: mx", 1)
        octets = data.draw(relayed(b"".join(fields) + octets))
    arc = look(octets, now=LATER)
    assert arc.result == "pass", arc.verdict.reason
    assert [one.results().results[0].result for one in arc.sets] == ["pass"] * sets


# --- anything ----------------------------------------------------------------------------------------


def test_digests_made_beforehand_are_used() -> None:
    message = Message.parse(sealed(signed(LETTER)))
    digests = body_digests(message)
    assert finish(validate(message, names(), NOW, digests=digests)).result == "pass"
    assert finish(validate(message, names(), NOW, digests=dict.fromkeys(digests, b""))).result == "fail"


@given(st.lists(st.tuples(st.sampled_from([b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"]),
                          st.binary(max_size=60)), max_size=6))  # fmt: skip
def test_nothing_in_a_chain_makes_it_raise(fields: list[tuple[bytes, bytes]]) -> None:
    octets = b"".join(name + b": " + value + b"\r\n" for name, value in fields) + LETTER
    arc = look(octets)
    assert arc.result in ("none", "fail")
    assert arc.verdict.reason.isprintable()
    try:
        added = seal(octets, ELSEWHERE, arc, RESULTS, NOW)
    except SigningFault:
        return
    assert look(added + octets).result == ("fail" if arc.result == "fail" else "pass")
