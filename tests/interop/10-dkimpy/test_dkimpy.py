"""dkimpy verifies what we sign and we verify what it signs, also after everything that a relay may do to it."""

from base64 import b64encode

import dkim
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.dkim.relays import letters, relayed
from checks.dkim.signers import ed25519, keys, look, records_for_dkimpy, results, rsa, signed
from checks.zone import NOW
from interop.variations import CANONICALIZATIONS, LETTER, UNENDED, VARIATIONS, Variation
from posthouse.checks.dkim import SigningKey, sign
from posthouse.mail.instant import DAY

# RSA signatures take their time; a thorough profile makes more of these as well.
FEWER = settings(max_examples=settings.default.max_examples // 2)
# dkimpy signs with the time of the machine.
LATER = NOW + 36_500 * DAY
FIELDS = [b"from", b"from", b"subject", b"subject", b"date", b"to", b"cc", b"x-thing", b"x-other"]
# To dkimpy such a line is no field: it gives the message up, or overlooks the signature.
NO_FIELD = "white space before the colon"


def signed_by_dkimpy(octets: bytes, key: SigningKey, canonicalization: tuple[str, str]) -> bytes:
    private = key.pem()
    if key.algorithm == "ed25519-sha256":
        private = b64encode(key.private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))
    field = dkim.sign(
        octets, key.selector.encode(), key.domain.encode(), private,
        canonicalize=tuple(map(str.encode, canonicalization)),
        include_headers=FIELDS, signature_algorithm=key.algorithm.encode(),
    )  # fmt: skip
    return bytes(field) + octets


def dkimpy_says(octets: bytes) -> list[bool]:
    def verifies(n: int) -> bool:
        try:
            return bool(dkim.DKIM(octets).verify(n, dnsfunc=records_for_dkimpy(keys())))
        except dkim.DKIMException:
            return False

    return [verifies(n) for n in range(octets.lower().count(b"dkim-signature:"))]


def test_dkimpy_verifies_what_we_sign() -> None:
    assert dkimpy_says(signed(LETTER)) == [True, True]


@pytest.mark.parametrize("variation", VARIATIONS, ids=str)
def test_what_we_sign_survives_what_relaxed_lets_pass_and_nothing_else(variation: Variation) -> None:
    octets = variation.of(signed(LETTER))
    survives = variation.survives("relaxed", "relaxed")
    assert results(octets) == ["pass" if survives else "fail"] * 2
    assert all(dkimpy_says(octets)) == survives or variation.name == NO_FIELD


@pytest.mark.parametrize("key", [rsa, ed25519])
@pytest.mark.parametrize("canonicalization", CANONICALIZATIONS, ids="/".join)
@pytest.mark.parametrize("variation", VARIATIONS, ids=str)
def test_what_dkimpy_signs_survives_what_its_canonicalization_lets_pass_and_nothing_else(
    variation: Variation, canonicalization: tuple[str, str], key
) -> None:
    octets = variation.of(signed_by_dkimpy(LETTER, key(), canonicalization))
    survives = variation.survives(*canonicalization)
    assert results(octets, now=LATER) == ["pass" if survives else "fail"]
    assert dkimpy_says(octets) == [survives] or variation.name == NO_FIELD


@pytest.mark.parametrize("canonicalization", CANONICALIZATIONS, ids="/".join)
def test_a_crlf_that_was_missing_at_the_end_may_be_added(canonicalization: tuple[str, str]) -> None:
    assert dkimpy_says(signed(UNENDED) + b"\r\n") == [True, True]
    octets = signed_by_dkimpy(UNENDED, rsa(), canonicalization)
    assert results(octets, now=LATER) == results(octets + b"\r\n", now=LATER) == ["pass"]


@given(letters())
def test_dkimpy_verifies_whatever_we_sign(letter: bytes) -> None:
    assert dkimpy_says(signed(letter)) == [True, True]


@FEWER
@given(letters(), st.data())
def test_dkimpy_verifies_what_we_sign_after_a_relay(letter: bytes, data: st.DataObject) -> None:
    octets = data.draw(relayed(signed(letter)))
    assert dkimpy_says(octets) == [True, True]
    assert results(octets) == ["pass", "pass"]


@FEWER
@given(letters(), st.sampled_from([rsa, ed25519]), st.sampled_from(CANONICALIZATIONS))
def test_we_verify_whatever_dkimpy_signs(letter: bytes, key, canonicalization: tuple[str, str]) -> None:
    [signature] = look(signed_by_dkimpy(letter, key(), canonicalization), now=LATER)
    assert signature.result == "pass", signature.verdict.reason


@FEWER
@given(letters(), st.sampled_from([rsa, ed25519]), st.data())
def test_we_verify_what_dkimpy_signs_after_a_relay(letter: bytes, key, data: st.DataObject) -> None:
    octets = data.draw(relayed(signed_by_dkimpy(letter, key(), ("relaxed", "relaxed"))))
    [signature] = look(octets, now=LATER)
    assert signature.result == "pass", signature.verdict.reason


@given(letters(), st.data())
def test_both_see_every_octet_that_was_altered(letter: bytes, data: st.DataObject) -> None:
    """One octet of a signed field or of the body, anything but white space, becomes another."""
    octets = sign(letter, [rsa()], NOW) + letter
    start = len(octets) - len(letter)
    places = [n for n in range(start, len(octets)) if octets[n : n + 1] not in b" \t\r\n:"]
    value_only = [n for n in places if _is_signed(octets, n)]
    place = data.draw(st.sampled_from(value_only))
    other = b"Q" if octets[place] != ord("Q") else b"R"
    octets = octets[:place] + other + octets[place + 1 :]
    assert results(octets) == ["fail"]
    assert dkimpy_says(octets) == [False]


def _is_signed(octets: bytes, place: int) -> bool:
    """Whether the octet is in the body, or in the value of From or Subject."""
    body = octets.index(b"\r\n\r\n") + 4
    if place >= body:
        return True
    for name in (b"\r\nFrom: ", b"\r\nSubject:"):
        at = octets.find(name)
        if at < 0:
            continue
        end = at + 2
        while True:
            end = octets.index(b"\r\n", end) + 2
            if octets[end : end + 1] not in (b" ", b"\t"):
                break
        if at + len(name) <= place < end:
            return True
    return False


@pytest.mark.parametrize("canonicalization", CANONICALIZATIONS)
def test_an_empty_body_is_the_same_to_both(canonicalization: tuple[str, str]) -> None:
    letter = b"From: alice@example.org\r\nSubject: nothing\r\n\r\n"
    assert results(signed_by_dkimpy(letter, rsa(), canonicalization), now=LATER) == ["pass"]
    assert dkimpy_says(signed(letter)) == [True, True]
