"""Keys: made, kept, read again, published; and which are refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from checks.dkim.signers import ed25519 as ed25519_key
from checks.dkim.signers import keys
from checks.dkim.signers import rsa as rsa_key
from posthouse.checks.dkim import KeyFault, SigningKey
from posthouse.checks.dkim.records import parse_record


@pytest.mark.parametrize("key", [rsa_key, ed25519_key])
@pytest.mark.parametrize("form", ["pem", "der"])
def test_a_key_is_the_same_after_it_was_kept(key, form: str) -> None:
    octets = getattr(key(), form)()
    again = SigningKey.load("example.org", key().selector, octets)
    assert again.algorithm == key().algorithm
    assert again.dns_record() == key().dns_record()
    assert again.sign_digest(b"d" * 32) == key().sign_digest(b"d" * 32)


def test_a_key_in_the_old_form_is_read_as_well() -> None:
    octets = rsa_key().private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert b"BEGIN RSA PRIVATE KEY" in octets
    assert SigningKey.load("example.org", "x", b"\n" + octets).dns_record() == rsa_key().dns_record()


@pytest.mark.parametrize("key", [rsa_key, ed25519_key])
def test_a_record_is_read_as_the_key_that_made_it(key) -> None:
    record = parse_record(key().dns_record().encode())
    assert record.verifies(key().sign_digest(b"d" * 32), b"d" * 32)
    assert not record.verifies(key().sign_digest(b"d" * 32), b"e" * 32)
    assert not record.verifies(b"", b"d" * 32)
    assert (record.testing, record.strict) == (False, False)


def test_new_rsa_keys_have_2048_bits() -> None:
    assert rsa_key().private.key_size == 2048
    assert rsa_key().dns_name == "r2048._domainkey.example.org"


def test_the_private_key_is_never_shown() -> None:
    for key in keys():
        assert "private" not in repr(key)


@pytest.mark.parametrize(
    ("domain", "selector"),
    [
        ("example.org", ""), ("example.org", "a b"), ("example.org", "A"), ("example.org", "a;d=b"), ("org", "a"),
        ("Example.org", "a"), ("example.org.", "a"), ("bücher.example", "a"), ("", "a"), ("exa\r\nmple.org", "a"),
        ("example.org", "a\n"), ("example.org", "a."), ("example.org", "s" * 64),
    ],
)  # fmt: skip
def test_names_that_are_none_are_refused(domain: str, selector: str) -> None:
    with pytest.raises(KeyFault, match="no name for a key"):
        SigningKey(domain, selector, "ed25519-sha256", ed25519_key().private)


def pem(private) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_keys_that_sign_no_mail_are_refused() -> None:
    locked = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    for octets in (b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", locked):
        with pytest.raises(KeyFault, match="cannot be read"):
            SigningKey.load("example.org", "x", octets)
    with pytest.raises(KeyFault, match="neither RSA nor Ed25519"):
        SigningKey.load("example.org", "x", pem(ec.generate_private_key(ec.SECP256R1())))


def test_an_rsa_key_beyond_4096_bits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 5120 bits takes long to make, so the limit is moved instead of the key."""
    monkeypatch.setattr("posthouse.checks.dkim.keys.RSA_BITS_MOST", 1024)
    with pytest.raises(KeyFault, match="2048 bits"):
        SigningKey.load("example.org", "x", rsa_key().pem())


def test_an_rsa_key_below_1024_bits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries make none any more, so the limit is moved instead of the key."""
    monkeypatch.setattr("posthouse.checks.dkim.keys.RSA_BITS_LEAST", 3072)
    with pytest.raises(KeyFault, match="2048 bits"):
        SigningKey.load("example.org", "x", rsa_key().pem())


def test_a_key_is_for_its_own_algorithm_only() -> None:
    with pytest.raises(KeyFault, match="not one for"):
        SigningKey("example.org", "x", "ed25519-sha256", rsa.generate_private_key(65537, 1024))
    with pytest.raises(KeyFault, match="not one for"):
        SigningKey("example.org", "x", "rsa-sha256", ed25519_key().private)
