"""What makes a signature no pass: every limit, every malformed tag, every trick with the fields around it."""

import re
from base64 import b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from checks.dkim.signers import (
    BODY,
    HEADER,
    LETTER,
    SIGNED_AT,
    ed25519,
    look,
    results,
    rsa,
    signed,
    zone,
)
from checks.zone import NOW, Zone, finish
from posthouse.checks.dkim import UNSIGNED, SigningKey, body_digests, sign, verify
from posthouse.checks.dkim.canonicalization import relaxed_field
from posthouse.checks.dkim.header import SIGNED_OCTETS
from posthouse.checks.dkim.verification import DRIFT
from posthouse.mail.dns import Answer
from posthouse.mail.headers import scan_header
from posthouse.mail.instant import DAY, SECOND
from posthouse.mail.message import Message

BODY_HASH = b64encode(sha256(b"Hi.\r\n\r\nWe lost the game. Are you hungry yet?\r\n\r\nAlice\r\n").digest()).decode()
TAGS = {
    "v": "1", "a": "rsa-sha256", "c": "relaxed/relaxed", "d": "example.org", "s": "r2048", "t": str(SIGNED_AT),
    "h": "from:to:subject:date", "bh": BODY_HASH,
}  # fmt: skip


def forge(
    letter: bytes = LETTER, key: SigningKey | None = None, end: str = "", **tags: str | None
) -> bytes:
    """A message with a correct signature by `key` over whatever `tags` say; None leaves a tag out."""
    chosen = {name: value for name, value in (TAGS | tags).items() if value is not None}
    value = "".join(f" {name}={value};" for name, value in chosen.items()).encode() + b" b="
    header = scan_header(letter)
    left = {field.key: list(header.all(field.key)) for field in header.fields}
    before = b""
    for name in chosen.get("h", "").lower().split(":"):
        if left.get(name.strip()):
            before += relaxed_field(name.strip().encode(), left[name.strip()].pop().value) + b"\r\n"
    digest = sha256(before + relaxed_field(b"DKIM-Signature", value + end.encode())).digest()
    return b"DKIM-Signature:" + value + b64encode((key or rsa()).sign_digest(digest)) + end.encode() + b"\r\n" + letter


def only(octets: bytes, dns: Zone | None = None, now: int = NOW):
    [signature] = look(octets, dns, now)
    return signature


def test_what_was_signed_and_not_altered_passes() -> None:
    one, two = look(signed(LETTER))
    assert (one.result, one.domain, one.selector, one.algorithm) == ("pass", "example.org", "r2048", "rsa-sha256")
    assert (two.result, two.algorithm, two.identity) == ("pass", "ed25519-sha256", "@example.org")
    assert one.headers[:4] == ("from", "from", "to", "to")
    assert one.verdict.method == "dkim"
    assert one.verdict.identity == "example.org"
    [evidence] = one.verdict.evidence
    assert evidence.question == "TXT r2048._domainkey.example.org"
    assert evidence.answer == (rsa().dns_record(),)


def test_a_message_without_signatures_has_none() -> None:
    assert look(LETTER) == ()
    assert look(b"") == ()
    assert (UNSIGNED.method, UNSIGNED.result) == ("dkim", "none")


def test_the_tool_of_these_tests_makes_signatures_that_pass() -> None:
    assert only(forge()).result == "pass"
    assert only(forge(end="; x=9999999999")).result == "pass"


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"Subject: What", b"Subject: Whit"), (b"alice@", b"malice@"), (b"hungry", b"angry"), (b"Hi.", b"Hi.\r\n")],
)
def test_whatever_is_altered_fails(before: bytes, after: bytes) -> None:
    assert results(signed(LETTER).replace(before, after)) == ["fail", "fail"]


@pytest.mark.parametrize(
    "field", [b"From: Mallory <mallory@example.org>", b"Subject: Other", b"Reply-To: m@example.com", b"Cc: c@d.example",
              b"Content-Type: text/html", b"Date: Sun, 02 Mar 2025 13:15:28 -0500", b"To: all@example.org"]
)  # fmt: skip
@pytest.mark.parametrize("on_top", [True, False])
def test_a_field_that_is_added_to_a_message_of_ours_breaks_its_signature(field: bytes, on_top: bool) -> None:
    octets = signed(b"Cc: d@example.net\r\n" + LETTER)
    octets = field + b"\r\n" + octets if on_top else octets.replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n\r\n", 1)
    assert results(octets) == ["fail", "fail"]


@pytest.mark.parametrize(
    "field", [b"From: Mallory <mallory@evil.example>", b"Subject: Other", b"Content-Type: text/html"]
)
@pytest.mark.parametrize("algorithm", [rsa, ed25519])
def test_a_field_that_stands_twice_is_no_pass_though_the_signed_one_holds(field: bytes, algorithm) -> None:
    """The signature is of the lower From, and many programs show the upper one."""
    octets = forge(key=algorithm(), a=algorithm().algorithm, s=algorithm().selector)
    assert only(octets).result == "pass"
    signature = only(field + b"\r\n" + octets)
    assert signature.result == "policy"
    assert "more than one" in signature.verdict.reason


# --- keys --------------------------------------------------------------------------------------------


# A key of another kind in the frame that RSA keys have (SubjectPublicKeyInfo).
ELLIPTIC = b64encode(
    ec.derive_private_key(1, ec.SECP256R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()


def record(**tags: str) -> str:
    plain = {"v": "DKIM1", "k": "rsa", "p": "<rsa>"}
    return "; ".join(f"{name}={value}" for name, value in (plain | tags).items())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "There is no key"),
        (record(p=""), "was revoked"),
        (record(h="sha1"), "not for SHA-256"),
        (record(s="tlsrpt"), "not for e-mail"),
        (record(k="dsa"), "of a kind"),
        (record(k="ed25519", p="<ed25519>"), "is not for rsa-sha256"),
        (record(v="DKIM2"), "another version"),
        ("p=<rsa>; v=DKIM1", "another version"),
        ("v=spf1 -all", "another version"),
        ("some text", "malformed"),
        ("v=DKIM1; k=rsa", "has no p="),
        (record() + "; p=", "more than once"),
        (record(p="AAAA"), "no RSA key"),
        (record(p=ELLIPTIC), "no RSA key"),
        (record(p="A"), "not base64"),
        (record(p="not base64!"), "not base64"),
        (record() + "; n=" + "x" * 4096, "too long"),
        (record() + "; n=\x00", "control character"),
    ],
)
def test_a_key_that_is_not_fit_is_a_permanent_error(text: str, reason: str) -> None:
    signature = only(forge(), zone(r2048=text))
    assert signature.result == "permerror"
    assert reason in signature.verdict.reason


@pytest.mark.parametrize("text", [record(t="y"), record(t="s : y"), record(t="s:y:z")])
def test_a_key_in_testing_counts_for_nothing_whether_it_fits_or_not(text: str) -> None:
    for octets in (forge(), forge().replace(b"hungry", b"angry")):
        signature = only(octets, zone(r2048=text))
        assert (signature.result, signature.testing) == ("neutral", True)
        assert "in testing" in signature.verdict.reason


@pytest.mark.parametrize(
    ("text", "result"), [(record(t="s"), "permerror"), (record(t="y"), "neutral"), (record(), "pass")]
)
def test_a_strict_key_is_not_for_subdomains(text: str, result: str) -> None:
    assert only(forge(i="bob@sub.example.org"), zone(r2048=text)).result == result
    assert only(forge(i="bob@example.org"), zone(r2048=text)).result == ("neutral" if "t=y" in text else "pass")


def test_records_may_have_spaces_other_tags_and_the_bare_key() -> None:
    text = record(h="sha1 : sha256", s="other : *", x="y", n="a note")
    assert only(forge(), zone(r2048=text.replace("=", " = ").replace(";", " ;"))).result == "pass"
    assert only(forge(), zone(r2048="p=<rsa>")).result == "pass"
    spaced = rsa().dns_record().replace("p=MII", "p= M I\tI")
    assert only(forge(), zone(r2048=spaced)).result == "pass"


def test_of_several_records_the_one_that_fits_counts() -> None:
    name = "r2048._domainkey.example.org"
    other = SigningKey.generate("example.org", "other").dns_record()
    texts = ["v=spf1 -all", ed25519().dns_record(), other, rsa().dns_record()]
    assert only(forge(), Zone({name: {"TXT": texts}})).result == "pass"
    assert only(forge(), Zone({name: {"TXT": texts[:3]}})).result == "fail"


def test_only_the_first_few_of_many_records_are_tried() -> None:
    others = [ed25519().dns_record()] * 5
    texts = [*others, rsa().dns_record()]
    assert only(forge(), Zone({"r2048._domainkey.example.org": {"TXT": texts}})).result == "permerror"


@pytest.mark.parametrize("fault", ["TIMEOUT", "SERVFAIL"])
def test_a_dns_that_does_not_answer_is_a_temporary_error_of_that_signature_alone(fault: str) -> None:
    one, two = look(signed(LETTER), zone(r2048=fault))
    assert (one.result, two.result) == ("temperror", "pass")
    assert one.domain == "example.org"
    assert "no answer" in one.verdict.evidence[0].answer[0]


def pkcs1(modulus: int, exponent: int) -> str:
    """RSAPublicKey (RFC 8017 §A.1.1) in base64."""

    def frame(tag: int, content: bytes) -> bytes:
        octets = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
        return bytes([tag]) + (octets if len(content) < 128 else bytes([0x80 | len(octets)]) + octets) + content

    def number(value: int) -> bytes:
        return frame(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))

    return b64encode(frame(0x30, number(modulus) + number(exponent))).decode()


@pytest.mark.parametrize(
    ("bits", "exponent", "reason"),
    [
        (512, 65537, "has 512 bits"),
        (1023, 65537, "has 1023 bits"),
        (4097, 65537, "has 4097 bits"),
        (8192, 65537, "has 8192 bits"),
        (2048, (1 << 1024) + 1, "exponent"),
    ],
)
def test_rsa_keys_below_1024_and_above_4096_bits_are_refused(bits: int, exponent: int, reason: str) -> None:
    text = f"v=DKIM1; p={pkcs1((1 << (bits - 1)) | 1, exponent)}"
    signature = only(forge(), zone(r2048=text))
    assert signature.result == "permerror"
    assert reason in signature.verdict.reason


@pytest.mark.parametrize("bits", [1024, 4096])
def test_rsa_keys_of_1024_and_4096_bits_are_taken_in_both_forms(bits: int) -> None:
    key = rsa(bits)
    octets = forge(key=key, s=key.selector)
    assert only(octets, zone(key)).result == "pass"
    numbers = key.private.public_key().public_numbers()
    assert only(octets, zone(**{key.selector: f"p={pkcs1(numbers.n, numbers.e)}"})).result == "pass"


# --- tags --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "result"),
    [
        ({"a": "rsa-sha1"}, "permerror"),
        ({"a": "rsa-sha512"}, "neutral"),
        ({"a": "RSA-SHA256"}, "neutral"),
        ({"a": None}, "neutral"),
        ({"v": "2"}, "neutral"),
        ({"v": "1.0"}, "neutral"),
        ({"v": None}, "neutral"),
        ({"c": "relaxed/nowsp"}, "neutral"),
        ({"c": ""}, "neutral"),
        ({"c": "relaxed/relaxed/relaxed"}, "neutral"),
        ({"bh": None}, "neutral"),
        ({"bh": "not base64"}, "neutral"),
        ({"bh": BODY_HASH[:-1]}, "neutral"),
        ({"bh": ""}, "neutral"),
        ({"bh": BODY_HASH[:9] + "!" + BODY_HASH[9:]}, "neutral"),
        ({"bh": "AAAA"}, "fail"),
        ({"h": None}, "neutral"),
        ({"h": ""}, "neutral"),
        ({"h": "from::to"}, "neutral"),
        ({"h": "from:a b"}, "neutral"),
        ({"h": "from:tö"}, "neutral"),
        ({"h": "to:subject"}, "permerror"),
        ({"h": "from:dkim-signature"}, "neutral"),
        ({"q": "http"}, "neutral"),
        ({"q": "http : dns/txt"}, "pass"),
        ({"t": "now"}, "neutral"),
        ({"t": "-1"}, "neutral"),
        ({"t": "1 2"}, "neutral"),
        ({"t": "1" * 13}, "neutral"),
        ({"x": str(SIGNED_AT)}, "neutral"),
        ({"x": ""}, "neutral"),
        ({"l": "-1"}, "neutral"),
        ({"l": "9" * 77}, "neutral"),
        ({"d": None}, "neutral"),
        ({"d": "org"}, "neutral"),
        ({"d": "example..org"}, "neutral"),
        ({"d": "-example.org"}, "neutral"),
        ({"d": "a" * 64 + ".org"}, "neutral"),
        ({"d": "[192.0.2.1]"}, "neutral"),
        ({"d": "192.0.2.1"}, "neutral"),
        ({"d": "example.org."}, "neutral"),
        ({"d": 'example.org" header.d="bank.example'}, "neutral"),
        ({"d": "bank.example(example.org"}, "neutral"),
        ({"d": "example.org'"}, "neutral"),
        ({"s": None}, "neutral"),
        ({"s": ""}, "neutral"),
        ({"s": "."}, "neutral"),
        ({"s": "r2048..x"}, "neutral"),
        ({"s": "r20*48"}, "neutral"),
        ({"s": "r2048._domainkey.example.org/"}, "neutral"),
        ({"s": ".".join(["a" * 63] * 4)}, "neutral"),
        ({"i": "example.org"}, "neutral"),
        ({"i": "@"}, "neutral"),
        ({"i": "@example.com"}, "neutral"),
        ({"i": "@notexample.org"}, "neutral"),
        ({"i": "@org"}, "neutral"),
        ({"i": "a=0Ab@example.org"}, "neutral"),
        ({"i": "=FF@example.org"}, "neutral"),
        ({"i": "@sub.example.org"}, "pass"),
        ({"i": "joe=20doe =3D@Example.ORG"}, "pass"),
        ({"zz": "unknown tags are signed and otherwise ignored"}, "pass"),
    ],
)
def test_tags(tags: dict[str, str | None], result: str) -> None:
    signature = only(forge(**tags), zone())
    assert signature.result == result, signature.verdict.reason
    if signature.domain:
        assert re.fullmatch(r"[a-z0-9.-]+", signature.domain)


def test_an_identity_is_decoded_and_its_domain_has_one_form() -> None:
    assert only(forge(i="joe=20doe =3D@Sub.Example.ORG")).identity == "joe doe=@sub.example.org"


def test_a_nul_in_the_selector_asks_nothing_of_the_dns() -> None:
    """Composition Kills: `s=selector\\0.evil.example` was looked up as one name and read as another."""
    dns = zone()
    assert only(forge(s="r2048\0.evil.example"), dns).result == "neutral"
    assert not dns.asked


def test_domains_in_unicode_are_asked_for_as_a_labels() -> None:
    """RFC 8616 §5"""
    key = SigningKey.generate("xn--bcher-kva.example", "xn--schlssel-95a", "ed25519-sha256")
    octets = forge(key=key, d="Bücher.example", s="Schlüssel", a=key.algorithm)
    signature = only(octets, zone(key))
    assert (signature.result, signature.domain) == ("pass", "xn--bcher-kva.example")
    assert signature.selector == "xn--schlssel-95a"


def test_selectors_may_have_underscores_and_dots() -> None:
    key = SigningKey.generate("example.org", "s1_2025.mta", "ed25519-sha256")
    assert only(forge(key=key, s="s1_2025.MTA", a=key.algorithm), zone(key)).result == "pass"


@pytest.mark.parametrize(
    "value",
    [b"", b";", b"v=1", b"v=1;;a=rsa-sha256", b"=;", b"v", b"v=1; v=1", b"v=1; 1=2", b"v=1\0", b"\xff", b"v=1;" * 9999],
)
def test_malformed_fields_are_neutral(value: bytes) -> None:
    signature = only(b"DKIM-Signature: " + value + b"\r\n" + LETTER)
    assert (signature.result, signature.domain, signature.identity) == ("neutral", "", "")


def test_a_field_that_is_too_long_is_not_read() -> None:
    assert only(forge(z="x" * 66_000)).result == "neutral"
    assert only(forge(z="x" * 60_000)).result == "pass"


def test_fields_beyond_a_megabyte_are_not_hashed() -> None:
    letter = b"X-Big: " + b"x" * SIGNED_OCTETS + b"\r\n" + LETTER
    assert only(forge(letter, h="from:x-big")).result == "neutral"
    assert only(forge(letter)).result == "pass"


def test_names_in_h_that_stand_for_many_fields_cost_no_more_than_the_fields() -> None:
    letter = b"X-A: b\r\n" * 5000 + LETTER
    assert only(forge(letter, h="from" + ":x-a" * 9000)).result == "pass"


# --- lengths and times -------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 5, 55])
def test_a_body_length_is_never_a_pass_even_if_it_is_that_of_the_whole_body(length: int) -> None:
    canonical = b"Hi.\r\n\r\nWe lost the game. Are you hungry yet?\r\n\r\nAlice\r\n"
    assert len(canonical) == 55
    part = b64encode(sha256(canonical[:length]).digest()).decode()
    signature = only(forge(l=str(length), bh=part))
    assert signature.result == "policy"
    assert f"first {length} octets" in signature.verdict.reason
    assert only(forge(l=str(length), bh=part) + b"<b>Buy!</b>\r\n").result == "policy"
    assert only(forge(l=str(length), bh="AAAA")).result == "fail"


@pytest.mark.parametrize("length", ["56", "9" * 76])
def test_a_body_length_beyond_the_body_fails(length: str) -> None:
    signature = only(forge(l=length))
    assert signature.result == "fail"
    assert "shorter than what" in signature.verdict.reason


def test_an_expired_signature_is_no_pass() -> None:
    octets = forge(x=str(SIGNED_AT + 60))
    assert only(octets, now=(SIGNED_AT + 60) * SECOND).result == "pass"
    assert only(octets, now=(SIGNED_AT + 60) * SECOND + 1).result == "policy"


def test_a_signature_from_the_future_is_no_pass() -> None:
    assert only(forge(), now=NOW - DRIFT).result == "pass"
    assert only(forge(), now=NOW - DRIFT - SECOND).result == "policy"
    assert only(forge(t="9" * 12)).result == "policy"
    assert only(forge(x="9" * 12)).result == "pass"


# --- several signatures ------------------------------------------------------------------------------


def test_at_most_ten_signatures_are_looked_at() -> None:
    dns = zone()
    octets = LETTER
    for _ in range(40):
        octets = sign(LETTER, [ed25519()], NOW) + octets
    assert results(octets, dns) == ["pass"] * 10
    assert dns.asked.total() == 10


def test_signatures_by_strangers_do_not_harm_that_of_the_author() -> None:
    bad = b"DKIM-Signature: v=1; d=evil.example; s=x\r\nDKIM-Signature: \r\n"
    assert results(bad + signed(LETTER)) == ["neutral", "neutral", "pass", "pass"]


def test_a_signature_may_cover_others() -> None:
    inner = sign(LETTER, [ed25519()], NOW) + LETTER
    octets = forge(inner, h="from:dkim-signature")
    assert results(octets) == ["pass", "pass"]
    assert results(octets.replace(b"e2025", b"f2025")) == ["fail", "permerror"]


# --- bodies made elsewhere ---------------------------------------------------------------------------


def test_digests_made_beforehand_are_used() -> None:
    message = Message.parse(signed(LETTER))
    digests = body_digests(message)
    assert set(digests) == {("relaxed", None)}
    assert [s.result for s in finish(verify(message, zone(), NOW, digests=digests))] == ["pass", "pass"]
    wrong = dict.fromkeys(digests, b"")
    assert [s.result for s in finish(verify(message, zone(), NOW, digests=wrong))] == ["fail", "fail"]
    assert [s.result for s in finish(verify(message, zone(), NOW, digests={}))] == ["pass", "pass"]


def test_a_header_that_ends_with_the_message_has_an_empty_body() -> None:
    letter = b"From: alice@example.org\r\n"
    assert results(signed(letter)) == ["pass", "pass"]
    assert results(signed(letter) + b"\r\n") == ["pass", "pass"]


# --- anything ----------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_nothing_in_a_signature_makes_it_raise(value: bytes) -> None:
    assert all(result != "pass" for result in results(b"DKIM-Signature:" + value + b"\r\n" + LETTER))


@given(st.sampled_from(sorted(TAGS)), st.text(max_size=30).map(lambda text: text.replace("\r", "").replace("\n", "")))
def test_nothing_in_a_tag_makes_it_raise(name: str, value: str) -> None:
    octets = forge(**{name: value.encode("utf-8", "replace").decode()})
    for signature in look(octets):
        assert signature.verdict.reason.isprintable()
        assert signature.domain in ("", "example.org") or name == "d"


@given(st.binary(max_size=100))
def test_nothing_in_a_record_makes_it_raise(octets: bytes) -> None:
    class Answering(Zone):
        async def txt(self, name: str):
            return Answer((octets, b"v=DKIM1; k=rsa; p=" + b64encode(octets), b"k=ed25519; p=" + b64encode(octets)))

    assert only(forge(), Answering({})).result in ("permerror", "fail")


def test_times_beyond_the_calendar_are_shown_all_the_same() -> None:
    assert "begins only on 9999-12-31" in only(forge(t="9" * 12), now=NOW + DAY).verdict.reason


def test_the_letter_of_these_tests_is_what_they_think() -> None:
    assert HEADER + b"\r\n" + BODY == LETTER
