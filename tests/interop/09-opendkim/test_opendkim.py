"""OpenDKIM verifies what we sign, and we verify what it signs."""

import re
from pathlib import Path

import pytest

from interop.world import need, run
from posthouse.checks.dkim import Signature, SigningKey, sign, verify
from posthouse.checks.zonefile import ZoneDns
from posthouse.mail.instant import DAY
from posthouse.mail.message import Message

NOW = 1_740_852_930_000_000
# OpenDKIM signs with the time of the machine.
LATER = NOW + 36_500 * DAY

LETTER = (
    b"Received: from a.example.org by b.example.org; Sat, 01 Mar 2025 13:15:30 -0500\r\n"
    b"From: Alice <alice@example.org>\r\n"
    b"To: Bob <bob@example.net>,\r\n\tCarol <carol@example.com>\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n  and   more\t\r\n"
    b"Date: Sat, 01 Mar 2025 13:15:28 -0500\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"\r\n"
    b"Hi.\r\n\r\n.We lost  the game.\t Are you hungry yet? \r\n \t\r\n\r\nAlice\r\n\r\n \r\n"
)


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


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Subject: =?utf-8?q?Gr", b"SUBJECT:=?utf-8?q?Gr"),
        (b"=?=\r\n  and   more\t\r\n", b"=?= and more\r\n"),
        (b",\r\n\tCarol", b",  Carol"),
        (b"lost  the game.\t Are", b"lost the\tgame. Are"),
        (b"Alice\r\n\r\n \r\n", b"Alice \t\r\n"),
    ],
)
def test_opendkim_verifies_it_after_a_relay(
    before: bytes, after: bytes, keys: list[SigningKey], tmp_path: Path
) -> None:
    octets = (sign(LETTER, keys, NOW) + LETTER).replace(before, after)
    assert verified(tmp_path, octets, keys) == [("rsa-sha256", "pass"), ("ed25519-sha256", "pass")]
    assert [signature.result for signature in look(octets, keys)] == ["pass", "pass"]


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


# Ed25519 over a simple header is left out: what OpenDKIM 2.11 signs so, it does not verify itself.
@pytest.mark.parametrize(
    ("algorithm", "canonicalization"),
    [
        ("rsa-sha256", "simple/simple"),
        ("rsa-sha256", "simple/relaxed"),
        ("rsa-sha256", "relaxed/simple"),
        ("rsa-sha256", "relaxed/relaxed"),
        ("ed25519-sha256", "relaxed/simple"),
        ("ed25519-sha256", "relaxed/relaxed"),
    ],
)
def test_we_verify_what_opendkim_signs(
    algorithm: str, canonicalization: str, keys: list[SigningKey], tmp_path: Path
) -> None:
    [key] = [key for key in keys if key.algorithm == algorithm]
    private = tmp_path / "private.pem"
    private.touch(0o600)
    private.write_bytes(key.pem())
    said = opendkim(
        tmp_path, LETTER, "Mode s", f"Domain {key.domain}", f"Selector {key.selector}", f"KeyFile {private}",
        f"Canonicalization {canonicalization}", f"SignatureAlgorithm {algorithm}", "InternalHosts 0.0.0.0/0",
        "OversignHeaders From,Subject",
    )  # fmt: skip
    value = re.search(r"hname='DKIM-Signature' hvalue='([^']+)'", said)
    assert value is not None, said
    octets = b"DKIM-Signature: " + value[1].replace("\n", "\r\n").encode("ascii") + b"\r\n" + LETTER
    [signature] = look(octets, keys)
    assert signature.result == "pass", signature.verdict.reason
    [altered] = look(octets.replace(b"hungry", b"angry"), keys)
    assert altered.result == "fail"
    [added] = look(octets.replace(b"\r\nDate:", b"\r\nSubject: Other\r\nDate:"), keys)
    assert added.result == "fail"


def test_the_sha1_that_opendkim_testmsg_still_signs_with_is_refused(keys: list[SigningKey], tmp_path: Path) -> None:
    program = need("opendkim-testmsg", "opendkim-tools")
    private = tmp_path / "private.pem"
    private.write_bytes(keys[0].pem())
    signed = run(program, "-C", "-d", "example.org", "-s", "r2025", "-k", private, input=LETTER.decode())
    [signature] = look(signed.replace("\r\n", "\n").replace("\n", "\r\n").encode(), keys)
    assert signature.result == "permerror"
    assert "sha1" in signature.verdict.reason
