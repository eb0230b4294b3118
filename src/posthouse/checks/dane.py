"""DANE for SMTP (RFC 6698, RFC 7672): keys of mail hosts that stand in the DNS, signed by DNSSEC.

    dns_name("mx.example.org")                   "_25._tcp.mx.example.org"
    usable(record)                               "" or why no client takes the record
    matches(record, certificate)                 whether a certificate, in DER, is the one that is meant
    recommended(certificate)                     Tlsa(3, 1, 1, …)

A record counts only where its answer was secure. Certificates of usage DANE-TA(2) are those of the authority, so that
the whole chain has to be looked at.
"""

from hashlib import sha256, sha512
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from posthouse.mail.dns import Tlsa

DANE_TA: Final = 2
DANE_EE: Final = 3
_LENGTHS: Final = {1: 32, 2: 64}


def dns_name(host: str, port: int = 25) -> str:
    """Where the records of a mail host stand (RFC 6698 §3)."""
    return f"_{port}._tcp.{host}"


def text(record: Tlsa) -> str:
    """As a master file has it."""
    return f"{record.usage} {record.selector} {record.matching} {record.data.hex()}"


def usable(record: Tlsa) -> str:
    """Why clients pass the record over, as a clause; "" where they do not (RFC 7672 §3.1)."""
    if record.usage in (0, 1):
        # RFC 7672 §3.1.3: SMTP knows no common set of authorities.
        return f"its usage {record.usage} is not for mail: it has to be 3, or 2 for an authority"
    if record.usage not in (DANE_TA, DANE_EE):
        return f"nobody knows the usage {record.usage}"
    if record.selector not in (0, 1):
        return f"nobody knows the selector {record.selector}"
    if record.matching not in (0, 1, 2):
        return f"nobody knows the matching type {record.matching}"
    length = _LENGTHS.get(record.matching)
    if length is not None and len(record.data) != length:
        return f"a hash of type {record.matching} has {length} octets, and this one {len(record.data)}"
    return "" if record.data else "it is empty"


def matches(record: Tlsa, certificate: bytes) -> bool:
    """Whether a certificate in DER is what the record tells of (RFC 6698 §2.1); False also for what is none."""
    try:
        selected = certificate if record.selector == 0 else _public_key(certificate)
    except ValueError:
        return False
    if record.matching == 0:
        return selected == record.data
    digest = {1: sha256, 2: sha512}.get(record.matching)
    return digest is not None and digest(selected).digest() == record.data


def recommended(certificate: bytes) -> Tlsa:
    """The record for a certificate's key that RFC 7672 §3.1.1 advises: it outlives renewals. ValueError."""
    return Tlsa(DANE_EE, 1, 1, sha256(_public_key(certificate)).digest())


def _public_key(certificate: bytes) -> bytes:
    """SubjectPublicKeyInfo. ValueError."""
    try:
        public = x509.load_der_x509_certificate(certificate).public_key()
        return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except Exception as error:
        # The reader raises more than it documents for keys of unknown kinds.
        raise ValueError("the certificate cannot be read") from error
