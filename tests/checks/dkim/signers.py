"""What the tests of DKIM and ARC share: keys, a message, the DNS with the keys, and dkimpy's way to ask it.

    octets = signed(LETTER)                                  by RSA and by Ed25519
    [signature, _] = look(octets)
"""

from collections.abc import Callable, Iterable
from functools import cache

from checks.zone import NOW, Zone, finish
from posthouse.checks.dkim import Signature, SigningKey, sign, verify
from posthouse.mail.instant import SECOND
from posthouse.mail.message import Message

HEADER = (
    b"From: Alice <alice@example.org>\r\n"
    b"To: Bob <bob@example.net>,\r\n\tCarol <carol@example.com>\r\n"
    b"Subject: What we  said\r\n"
    b"Date: Sat, 01 Mar 2025 13:15:28 -0500\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
)
BODY = b"Hi.\r\n\r\nWe lost  the game.\t Are you hungry yet? \r\n\r\nAlice\r\n"
LETTER = HEADER + b"\r\n" + BODY
SIGNED_AT = NOW // SECOND


@cache
def rsa(bits: int = 2048) -> SigningKey:
    return SigningKey.generate("example.org", f"r{bits}", bits=bits)


@cache
def ed25519() -> SigningKey:
    return SigningKey.generate("example.org", "e2025", "ed25519-sha256")


def keys() -> list[SigningKey]:
    return [rsa(), ed25519()]


def signed(octets: bytes) -> bytes:
    return sign(octets, keys(), NOW) + octets


def zone(*more: SigningKey, **records: str) -> Zone:
    """The keys of `keys` and `more`; `records` are other texts, by selector, with "<rsa>" and "<ed25519>" for a key."""
    texts = {key.dns_name: key.dns_record() for key in (*keys(), *more)}
    for selector, text in records.items():
        for name, key in (("<rsa>", rsa()), ("<ed25519>", ed25519())):
            text = text.replace(name, key.dns_record().partition("p=")[2])
        texts[f"{selector}._domainkey.example.org"] = text
    return Zone({name: {"TXT": [text]} for name, text in texts.items() if text})


def look(octets: bytes, dns: Zone | None = None, now: int = NOW) -> tuple[Signature, ...]:
    return finish(verify(Message.parse(octets), zone() if dns is None else dns, now))


def results(octets: bytes, dns: Zone | None = None, now: int = NOW) -> list[str]:
    return [signature.result for signature in look(octets, dns, now)]


def records_for_dkimpy(keys: Iterable[SigningKey]) -> Callable[..., bytes | None]:
    texts = {key.dns_name.encode() + b".": key.dns_record().encode() for key in keys}
    return lambda name, timeout=5: texts.get(name)
