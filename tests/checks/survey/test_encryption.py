"""What mail hosts showed when they were called, beside keys in the DNS and policies."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256, sha512

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from posthouse.checks import dane
from posthouse.checks.survey import State
from posthouse.checks.survey.encryption import Call, encryption
from posthouse.mail.dns import Tlsa
from posthouse.mail.instant import SECOND

NOW = 1_740_852_930 * SECOND
HOST = "mx.example.org"


def made(days: int) -> tuple[bytes, bytes]:
    """A certificate that ends in so many days, in DER, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.fromtimestamp(NOW / SECOND, UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(days))
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER), public


CERTIFICATE, PUBLIC = made(90)
AUTHORITY, _ = made(900)
GOOD = Call(HOST, "192.0.2.1", offers_tls=True, tls="TLSv1.3 X", certificate=CERTIFICATE, chain=(CERTIFICATE,))


def state(call: Call, *keys: Tlsa, enforced: bool = False) -> State:
    items = encryption([call], NOW, enforced=enforced, keys={HOST: keys} if keys else {})
    return items[0].state


def test_a_good_host_is_told_the_record_for_its_key() -> None:
    items = encryption([GOOD], NOW, enforced=True, keys={})
    assert [item.state for item in items] == [State.GOOD, State.ABSENT]
    assert items[1].publish[0] == (
        "_25._tcp.mx.example.org", "TLSA", f"3 1 1 {sha256(PUBLIC).hexdigest()}"
    )


def test_a_host_that_cannot_be_called_is_no_fault() -> None:
    assert state(Call(HOST, "192.0.2.1", trouble="no answer")) is State.UNKNOWN


def test_a_host_without_encryption_is() -> None:
    assert state(Call(HOST, "192.0.2.1")) is State.WRONG
    assert state(Call(HOST, "192.0.2.1", offers_tls=True, broken="wrong version number")) is State.WRONG
    old = Call(HOST, "192.0.2.1", offers_tls=True, tls="TLSv1 X", certificate=CERTIFICATE)
    assert state(old) is State.WRONG


def test_a_certificate_that_nobody_vouches_for_matters_where_a_policy_asks_for_one() -> None:
    call = Call(HOST, "192.0.2.1", offers_tls=True, tls="TLSv1.3 X", certificate=CERTIFICATE, distrust="self-signed")
    assert state(call) is State.ADVICE
    assert state(call, enforced=True) is State.WRONG
    assert state(call, Tlsa(3, 1, 1, sha256(PUBLIC).digest())) is State.GOOD


def test_a_certificate_that_ends_soon_is_told() -> None:
    soon, _ = made(5)
    call = Call(HOST, "192.0.2.1", offers_tls=True, tls="TLSv1.3 X", certificate=soon)
    assert state(call) is State.ADVICE


@pytest.mark.parametrize(("record", "expected"), [
    (Tlsa(3, 1, 1, sha256(PUBLIC).digest()), State.GOOD),
    (Tlsa(3, 0, 1, sha256(CERTIFICATE).digest()), State.GOOD),
    (Tlsa(3, 0, 2, sha512(CERTIFICATE).digest()), State.GOOD),
    (Tlsa(3, 1, 0, PUBLIC), State.GOOD),
    (Tlsa(3, 1, 1, sha256(CERTIFICATE).digest()), State.WRONG),
    (Tlsa(2, 0, 1, sha256(AUTHORITY).digest()), State.UNKNOWN),
])  # fmt: skip
def test_the_key_in_the_dns_has_to_be_that_of_the_host(record: Tlsa, expected: State) -> None:
    assert state(GOOD, record) is expected


def test_an_authority_counts_where_the_chain_is_seen() -> None:
    whole = Call(HOST, "192.0.2.1", offers_tls=True, tls="TLSv1.3 X", certificate=CERTIFICATE,
                 chain=(CERTIFICATE, AUTHORITY))  # fmt: skip
    assert state(whole, Tlsa(2, 0, 1, sha256(AUTHORITY).digest())) is State.GOOD
    # Of the host itself an authority says nothing.
    assert state(whole, Tlsa(3, 0, 1, sha256(AUTHORITY).digest())) is State.WRONG


@pytest.mark.parametrize(("record", "fits"), [
    (Tlsa(3, 1, 1, b"x" * 32), True), (Tlsa(2, 0, 2, b"x" * 64), True), (Tlsa(3, 1, 0, b"x"), True),
    (Tlsa(1, 1, 1, b"x" * 32), False), (Tlsa(0, 1, 1, b"x" * 32), False), (Tlsa(4, 1, 1, b"x" * 32), False),
    (Tlsa(3, 2, 1, b"x" * 32), False), (Tlsa(3, 1, 3, b"x" * 32), False), (Tlsa(3, 1, 1, b"x"), False),
    (Tlsa(3, 1, 0, b""), False),
])  # fmt: skip
def test_records_that_clients_take(record: Tlsa, fits: bool) -> None:
    assert (dane.usable(record) == "") is fits


def test_what_is_no_certificate_matches_nothing() -> None:
    assert not dane.matches(Tlsa(3, 1, 1, b"x" * 32), b"nonsense")
    with pytest.raises(ValueError, match="cannot be read"):
        dane.recommended(b"nonsense")
