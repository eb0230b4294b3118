"""What we sign: which fields, how the field looks, what is refused, and that the body is read once."""

import re
from collections import Counter
from mmap import mmap

import pytest

from checks.dkim.signers import BODY, HEADER, LETTER, SIGNED_AT, ed25519, keys, look, results, rsa, signed, zone
from checks.zone import NOW
from posthouse.checks.dkim import SigningFault, SigningKey, digests, sign, signing
from posthouse.checks.dkim.tags import parse_tags, words
from posthouse.mail.headers import scan_header
from posthouse.mail.instant import SECOND


def tags(field: bytes) -> dict[str, bytes]:
    return parse_tags(scan_header(field).fields[0].value)


def names(letter: bytes) -> Counter[bytes]:
    return Counter(words(tags(sign(letter, [ed25519()], NOW))["h"]))


def test_each_key_gives_one_field_in_its_order() -> None:
    fields = scan_header(sign(LETTER, keys(), NOW)).fields
    assert [field.name for field in fields] == ["DKIM-Signature"] * 2
    assert [tags(b"X:" + field.value)["s"] for field in fields] == [b"r2048", b"e2025"]


def test_no_keys_give_no_fields() -> None:
    assert sign(LETTER, [], NOW) == b""


def test_the_tags() -> None:
    found = tags(sign(LETTER, [rsa()], NOW, lifetime=86_400))
    plain = {name: found[name] for name in ("v", "a", "c", "d", "s", "t", "x")}
    assert plain == {
        "v": b"1", "a": b"rsa-sha256", "c": b"relaxed/relaxed", "d": b"example.org", "s": b"r2048",
        "t": str(SIGNED_AT).encode(), "x": str(SIGNED_AT + 86_400).encode(),
    }  # fmt: skip
    assert "l" not in found


def test_a_lifetime_ends() -> None:
    octets = sign(LETTER, [rsa()], NOW, lifetime=60) + LETTER
    assert results(octets) == ["pass"]
    assert results(octets, now=NOW + 61 * SECOND) == ["policy"]


@pytest.mark.parametrize("name", ["From", "To", "Subject", "Date", "Reply-To", "Content-Type"])
def test_fields_that_people_go_by_are_signed_once_more_than_they_stand(name: str) -> None:
    assert names(b"From: a@example.org\r\n\r\n")[name.lower().encode()] == (2 if name == "From" else 1)
    letter = b"From: a@example.org\r\n" + (b"" if name == "From" else name.encode() + b": x\r\n") + b"\r\n"
    assert names(letter)[name.lower().encode()] == 2


@pytest.mark.parametrize(
    "name", ["Cc", "Message-ID", "MIME-Version", "In-Reply-To", "References", "Sender", "Content-Transfer-Encoding",
             "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Post", "List-Help", "List-Archive",
             "List-Owner", "List-Subscribe"]
)  # fmt: skip
def test_other_fields_are_signed_once_more_than_they_stand_if_they_are_there(name: str) -> None:
    key = name.lower().encode()
    assert names(LETTER.replace(b"Message-ID", b"X-Old").replace(b"MIME-Version", b"X-Old"))[key] == 0
    assert names(b"From: a@example.org\r\n" + name.encode() + b": x\r\n\r\n")[key] == 2


@pytest.mark.parametrize("name", ["Received", "Return-Path", "DKIM-Signature", "Authentication-Results", "X-Mailer",
                                  "ARC-Seal", "Bcc", "Comments", "Keywords"])  # fmt: skip
def test_fields_that_relays_add_or_take_away_are_not_signed(name: str) -> None:
    assert names(name.encode() + b": x\r\n" + LETTER)[name.lower().encode()] == 0


def test_a_message_that_was_sent_on_may_be_sent_on_again() -> None:
    resent = b"Resent-From: carol@example.com\r\nResent-To: dave@example.net\r\n"
    octets = signed(resent + LETTER)
    assert results(b"Resent-From: dave@example.net\r\n" + octets) == ["pass", "pass"]
    assert results(octets.replace(b"Resent-From: carol", b"Resent-From: karol")) == ["fail", "fail"]


def test_fields_that_will_stand_in_front_are_signed_with_the_rest() -> None:
    date = b"Date: Sat, 01 Mar 2025 13:15:28 -0500\r\n"
    content = LETTER.replace(date, b"")
    prefix = b"Received: by mx.example.org; today\r\n" + date
    octets = sign(content, keys(), NOW, prefix=prefix) + prefix + content
    assert results(octets) == ["pass", "pass"]
    assert results(octets.replace(b"13:15:28", b"13:15:29")) == ["fail", "fail"]


@pytest.mark.parametrize(
    ("letter", "prefix", "reason"),
    [
        (LETTER.replace(b"From: Alice <alice@example.org>\r\n", b""), b"", "no From"),
        (b"From: b@example.org\r\n" + LETTER, b"", "more than one From"),
        (LETTER, b"Date: x\r\n", "more than one Date"),
        (b"Subject: x\r\n" + LETTER, b"", "more than one Subject"),
        (b"no field\r\n" + LETTER, b"", "not a header field"),
        (LETTER, b"no field\r\n", "not a header field"),
        (LETTER.replace(b"Subject:", b"Subject :"), b"", "White space"),
        (b"", b"", "no From"),
    ],
)
def test_what_nobody_should_believe_is_not_signed(letter: bytes, prefix: bytes, reason: str) -> None:
    with pytest.raises(SigningFault, match=reason):
        sign(letter, keys(), NOW, prefix=prefix)


@pytest.mark.parametrize("key", [rsa, ed25519])
def test_lines_are_short_and_folded_as_header_lines_are(key) -> None:
    many = b"".join(b"List-%s: <https://example.org/x>\r\n" % name for name in (b"Id", b"Help", b"Post", b"Owner"))
    field = sign(many + LETTER, [key()], NOW, lifetime=1)
    assert field.endswith(b"\r\n")
    lines = field[:-2].split(b"\r\n")
    assert all(len(line) <= 78 for line in lines)
    assert all(re.match(rb"\t\S", line) for line in lines[1:])
    assert not any(line.endswith((b" ", b"\t")) for line in lines)


def test_a_long_name_stays_in_one_piece() -> None:
    key = SigningKey.generate(".".join(["a" * 60] * 3) + ".example", "s" * 40, "ed25519-sha256")
    octets = sign(LETTER, [key], NOW) + LETTER
    assert look(octets, zone(key))[0].result == "pass"
    assert max(map(len, octets.split(b"\r\n"))) < 998


def test_the_body_is_hashed_once_for_all_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return digests.digest_body(*arguments)

    monkeypatch.setattr(signing, "digest_body", counted)
    assert len(scan_header(sign(LETTER, keys() * 2, NOW)).fields) == 4
    assert len(calls) == 1


def test_a_body_may_be_an_mmap() -> None:
    letter = HEADER + b"\r\n" + BODY * 5000
    with mmap(-1, len(letter)) as octets:
        octets[:] = letter
        assert sign(octets, [ed25519()], NOW) == sign(letter, [ed25519()], NOW)


def test_utf8_header_fields_are_signed_as_they_stand() -> None:
    letter = "From: Jörg <jörg@bücher.example>\r\nSubject: Grüße  漢\r\n\r\nx\r\n".encode()
    assert results(signed(letter)) == ["pass", "pass"]
