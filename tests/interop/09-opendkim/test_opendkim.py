"""OpenDKIM verifies what we sign, and we verify what it signs."""

import re
from pathlib import Path

import pytest

from interop.variations import LETTER, UNENDED, VARIATIONS, Variation
from interop.world import need, run
from posthouse.checks.dkim import Signature, SigningKey, sign, verify
from posthouse.checks.zonefile import ZoneDns
from posthouse.mail.instant import DAY
from posthouse.mail.message import Message

NOW = 1_740_852_930_000_000
# OpenDKIM signs with the time of the machine.
LATER = NOW + 36_500 * DAY

# Ed25519 over a simple header is left out: what OpenDKIM 2.11 signs so, it does not verify itself.
SIGNED = [
    ("rsa-sha256", "simple", "simple"),
    ("rsa-sha256", "simple", "relaxed"),
    ("rsa-sha256", "relaxed", "simple"),
    ("rsa-sha256", "relaxed", "relaxed"),
    ("ed25519-sha256", "relaxed", "simple"),
    ("ed25519-sha256", "relaxed", "relaxed"),
]


@pytest.fixture(scope="module")
def keys() -> list[SigningKey]:
    return [
        SigningKey.generate("example.org", "r2025"),
        SigningKey.generate("example.org", "e2025", "ed25519-sha256"),
    ]


def look(octets: bytes, keys: list[SigningKey]) -> tuple[Signature, ...]:
    dns = ZoneDns({key.dns_name: {"TXT": [key.dns_record()]} for key in keys})
    check = verify(Message.parse(octets), dns, LATER)
    with pytest.raises(StopIteration) as done:
        check.send(None)
    found: tuple[Signature, ...] = done.value.value
    return found


def opendkim(folder: Path, octets: bytes, *settings: str) -> str:
    """What OpenDKIM would do with a message, in its test mode."""
    message, configuration = folder / "message.eml", folder / "opendkim.conf"
    message.write_bytes(octets)
    configuration.write_text("\n".join((*settings, f"TemporaryDirectory {folder}", "")), "ascii")
    return run(need("opendkim"), "-x", configuration, "-v", "-v", "-t", message, code=None)


def verified(folder: Path, octets: bytes, keys: list[SigningKey]) -> list[tuple[str, str]]:
    """Algorithm and result of each signature, by OpenDKIM."""
    published = folder / "keys"
    published.write_text("".join(f"{key.dns_name} {key.dns_record()}\n" for key in keys), "ascii")
    said = opendkim(
        folder, octets, "Mode v", f"TestPublicKeys {published}", "AuthservID mx.example.net", "AlwaysAddARHeader yes"
    )
    return [(algorithm, result) for result, algorithm in re.findall(r"\bdkim=(\w+).*?header\.a=([\w-]+)", said)]


def test_opendkim_verifies_what_we_sign(keys: list[SigningKey], tmp_path: Path) -> None:
    octets = sign(LETTER, keys, NOW) + LETTER
    assert verified(tmp_path, octets, keys) == [("rsa-sha256", "pass"), ("ed25519-sha256", "pass")]


def disagrees(variation: Variation, header: str, body: str) -> bool:
    """Where OpenDKIM does not do what RFC 6376 §3.4 says, and why."""
    if variation.part != "body":
        # It takes such a field for none, or the signature in it for one without a name that could be reported; and in
        # its test mode it reads values without the white space behind the colon.
        return variation.name == "white space before the colon" or (
            header == "simple" and variation.name.endswith("white space behind the colon")
        )
    # It finds "no signature" where the last line of a relaxed body has no CRLF, which cannot come in by SMTP.
    return body == "relaxed" and variation.name == "no CRLF at the end"


@pytest.mark.parametrize("variation", VARIATIONS, ids=str)
def test_what_we_sign_survives_what_relaxed_lets_pass_and_nothing_else(
    variation: Variation, keys: list[SigningKey], tmp_path: Path
) -> None:
    octets = variation.of(sign(LETTER, keys, NOW) + LETTER)
    word = "pass" if variation.survives("relaxed", "relaxed") else "fail"
    assert [signature.result for signature in look(octets, keys)] == [word, word]
    if not disagrees(variation, "relaxed", "relaxed"):
        assert verified(tmp_path, octets, keys) == [("rsa-sha256", word), ("ed25519-sha256", word)]


def test_a_crlf_that_was_missing_at_the_end_may_be_added(keys: list[SigningKey], tmp_path: Path) -> None:
    octets = sign(UNENDED, keys, NOW) + UNENDED + b"\r\n"
    assert verified(tmp_path, octets, keys) == [("rsa-sha256", "pass"), ("ed25519-sha256", "pass")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"hungry", b"angry"),
        (b"alice@", b"malice@"),
        (b"\r\nMessage-ID", b"\r\nReply-To: m@example.com\r\nMessage-ID"),
        (b"\r\nMessage-ID", b"\r\nSubject: Other\r\nMessage-ID"),
    ],
)
def test_opendkim_sees_what_was_altered_or_added(
    before: bytes, after: bytes, keys: list[SigningKey], tmp_path: Path
) -> None:
    octets = (sign(LETTER, keys, NOW) + LETTER).replace(before, after, 1)
    assert {result for _, result in verified(tmp_path, octets, keys)} == {"fail"}


@pytest.fixture(scope="module")
def signed(keys: list[SigningKey], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], bytes]:
    """The letter as OpenDKIM signs it."""
    folder = tmp_path_factory.mktemp("signed")
    return {how: signed_by_opendkim(folder, keys, *how) for how in SIGNED}


def signed_by_opendkim(folder: Path, keys: list[SigningKey], algorithm: str, header: str, body: str) -> bytes:
    [key] = [key for key in keys if key.algorithm == algorithm]
    private = folder / "private.pem"
    private.touch(0o600)
    private.write_bytes(key.pem())
    said = opendkim(
        folder, LETTER, "Mode s", f"Domain {key.domain}", f"Selector {key.selector}", f"KeyFile {private}",
        f"Canonicalization {header}/{body}", f"SignatureAlgorithm {algorithm}", "InternalHosts 0.0.0.0/0",
        "OversignHeaders From,Subject",
    )  # fmt: skip
    value = re.search(r"hname='DKIM-Signature' hvalue='([^']+)'", said)
    assert value is not None, said
    return b"DKIM-Signature: " + value[1].replace("\n", "\r\n").encode("ascii") + b"\r\n" + LETTER


@pytest.mark.parametrize("how", SIGNED, ids="-".join)
def test_we_verify_what_opendkim_signs(
    how: tuple[str, str, str], signed: dict[tuple[str, str, str], bytes], keys: list[SigningKey]
) -> None:
    octets = signed[how]
    [signature] = look(octets, keys)
    assert signature.result == "pass", signature.verdict.reason
    [altered] = look(octets.replace(b"hungry", b"angry"), keys)
    assert altered.result == "fail"
    [added] = look(octets.replace(b"\r\nDate:", b"\r\nSubject: Other\r\nDate:"), keys)
    assert added.result == "fail"


@pytest.mark.parametrize("how", SIGNED, ids="-".join)
@pytest.mark.parametrize("variation", VARIATIONS, ids=str)
def test_what_opendkim_signs_survives_what_its_canonicalization_lets_pass_and_nothing_else(
    variation: Variation,
    how: tuple[str, str, str],
    signed: dict[tuple[str, str, str], bytes],
    keys: list[SigningKey],
    tmp_path: Path,
) -> None:
    algorithm, header, body = how
    octets = variation.of(signed[how])
    word = "pass" if variation.survives(header, body) else "fail"
    assert [signature.result for signature in look(octets, keys)] == [word]
    if not disagrees(variation, header, body):
        assert verified(tmp_path, octets, keys) == [(algorithm, word)]


def test_the_sha1_that_opendkim_testmsg_still_signs_with_is_refused(keys: list[SigningKey], tmp_path: Path) -> None:
    program = need("opendkim-testmsg", "opendkim-tools")
    private = tmp_path / "private.pem"
    private.write_bytes(keys[0].pem())
    signed = run(program, "-C", "-d", "example.org", "-s", "r2025", "-k", private, input=LETTER.decode())
    [signature] = look(signed.replace("\r\n", "\n").replace("\n", "\r\n").encode(), keys)
    assert signature.result == "permerror"
    assert "sha1" in signature.verdict.reason
