"""A certificate authority of our own, for the hosts of the lab.

    authority = Authority.open(folder)                  # ca.pem and ca.key are made at the first call
    host = authority.issue(folder / "mx", names=["mx.posthouse.test"], ips=["127.0.0.1"])
    host.certificate, host.key                          # paths of PEM files: the chain, and the private key

Keys are ECDSA P-256 and readable by their owner only. A certificate that exists already is kept while it names the
same hosts and is good for another month; so a second start of the demo serves what the first one served, and a
mail program that was told to trust it goes on trusting it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_YEARS = 10
# What mail programs and browsers accept of a host at the longest.
HOST_DAYS = 397
RENEW_DAYS = 30
# A clock that is a little behind ours shall not call a fresh certificate one of the future.
BACKDATE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class HostFiles:
    """Where a host's certificate chain and its private key lie, both PEM."""

    certificate: Path
    key: Path


class Authority:
    """One CA, held in `ca.pem` and `ca.key` of a folder."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, path: Path) -> None:
        self._certificate = certificate
        self._key = key
        self.path = path

    @classmethod
    def open(cls, folder: Path, name: str = "Posthouse lab") -> "Authority":
        """The CA of that folder, made now if there is none. Its `path` is the PEM file that clients shall trust."""
        folder.mkdir(parents=True, exist_ok=True)
        path, key_path = folder / "ca.pem", folder / "ca.key"
        if path.exists() and key_path.exists():
            key = serialization.load_pem_private_key(key_path.read_bytes(), None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise ValueError(f"{key_path} holds no ECDSA key")
            return cls(x509.load_pem_x509_certificate(path.read_bytes()), key, path)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} authority")])
        certificate = (
            _builder(subject, subject, key.public_key(), timedelta(days=CA_YEARS * 365))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(certify=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write_key(key_path, key)
        _write(path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return cls(certificate, key, path)

    def issue(self, stem: Path, names: Sequence[str], ips: Sequence[str] = ()) -> HostFiles:
        """The certificate of a host, in `STEM.pem` (with the CA behind it) and `STEM.key`; kept while still good."""
        files = HostFiles(stem.with_name(f"{stem.name}.pem"), stem.with_name(f"{stem.name}.key"))
        if files.key.exists() and files.certificate.exists() and self._still_good(files.certificate, names, ips):
            return files
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _host_builder(names, ips, self._certificate.subject, key.public_key())
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        stem.parent.mkdir(parents=True, exist_ok=True)
        _write_key(files.key, key)
        chain = [certificate, self._certificate]
        _write(files.certificate, b"".join(c.public_bytes(serialization.Encoding.PEM) for c in chain), 0o644)
        return files

    def _still_good(self, path: Path, names: Sequence[str], ips: Sequence[str]) -> bool:
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
            certificate.verify_directly_issued_by(self._certificate)
        except Exception:  # a damaged or a stranger's certificate is simply made anew
            return False
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return (
            certificate.not_valid_after_utc - datetime.now(UTC) > timedelta(days=RENEW_DAYS)
            and found == _subject_alternatives(names, ips)
        )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lifetime: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + lifetime)
    )


def _host_builder(
    names: Sequence[str], ips: Sequence[str], issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    # A common name holds 64 characters; who reads it at all reads it for display only.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    return (
        _builder(subject, issuer, key, timedelta(days=HOST_DAYS))
        .add_extension(_subject_alternatives(names, ips), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certify=False), critical=True)
        # Servers of mail are clients of others as well.
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _subject_alternatives(names: Sequence[str], ips: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [*(x509.DNSName(name) for name in names), *(x509.IPAddress(ip_address(ip)) for ip in ips)]
    )


def _usage(*, certify: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certify, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=certify, crl_sign=certify, encipher_only=False, decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    octets = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(path, octets, 0o600)


def _write(path: Path, octets: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others for a moment."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(octets)
    temporary.replace(path)
