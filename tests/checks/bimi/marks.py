"""An authority for mark certificates, that makes good ones and, where it is told to, bad ones.

    authority = Authority()
    pem = authority.pem(authority.mark(["a.example"]))
    mark.verify(pem, {"a.example"}, "default", [authority.root], NOW)
"""

import gzip
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from checks.zone import NOW

SVG = (
    b'<svg version="1.2" baseProfile="tiny-ps" viewBox="0 0 100 100" xmlns="http://www.w3.org/2000/svg">'
    b'<title>A</title><circle cx="50" cy="50" r="40" stroke="black" stroke-width="3" fill="red"/></svg>'
)
AT = datetime.fromtimestamp(NOW // 1_000_000, UTC)
DAY = timedelta(days=1)
BRAND = ObjectIdentifier("1.3.6.1.5.5.7.3.31")
LOGOTYPE = ObjectIdentifier("1.3.6.1.5.5.7.1.12")
MARK_KIND = ObjectIdentifier("1.3.6.1.4.1.53087.1.13")
SCT_LIST = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
SHA256 = bytes.fromhex("300b0609608648016503040201")

Extension = tuple[x509.ExtensionType, bool]


def der(tag: int, *inside: bytes) -> bytes:
    content = b"".join(inside)
    width = (len(content).bit_length() + 7) // 8
    length = bytes([len(content)]) if len(content) < 128 else bytes([0x80 | width]) + len(content).to_bytes(width)
    return bytes([tag]) + length + content


def logotype(svg: bytes = SVG, *, media: str = "image/svg+xml", digest: bytes | None = None, zipped: bool = True,
             url: bytes | None = None) -> bytes:
    embedded = gzip.compress(svg, mtime=0) if zipped else svg
    url = url if url is not None else f"data:{media};base64,".encode() + b64encode(embedded)
    details = der(
        0x30,
        der(0x16, media.encode()),
        der(0x30, der(0x30, SHA256, der(0x04, digest if digest is not None else sha256(embedded).digest()))),
        der(0x30, der(0x16, url)),
    )
    return der(0x30, der(0xA2, der(0xA0, der(0x30, der(0x30, details)))))


def timestamps(count: int = 1) -> bytes:
    """A list of signed certificate timestamps of nobody's log."""
    stamp = bytes([0]) + bytes(32) + (1_700_000_000_000).to_bytes(8) + bytes(2) + bytes([4, 3]) + bytes([0, 2, 48, 0])
    items = b"".join(len(stamp).to_bytes(2) + stamp for _ in range(count))
    return der(0x04, len(items).to_bytes(2) + items)


def unrecognized(oid: ObjectIdentifier, octets: bytes) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(oid, octets)


def name(common: str, *, organization: str = "", kind: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    if kind:
        attributes.append(x509.NameAttribute(MARK_KIND, kind))
    return x509.Name(attributes)


def crl_points(url: str) -> Extension:
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
    return x509.CRLDistributionPoints([point]), False


def ca_extensions(*, path_length: int | None = None, marks: bool = False, signs: bool = True) -> list[Extension]:
    usage = x509.KeyUsage(False, False, False, False, False, signs, True, False, False)
    found: list[Extension] = [(x509.BasicConstraints(ca=True, path_length=path_length), True), (usage, True)]
    return [*found, (x509.ExtendedKeyUsage([BRAND]), False)] if marks else found


@dataclass
class Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def certify(subject: x509.Name, issuer: Pair | None, extensions: Sequence[Extension], *,
            start: datetime = AT - DAY, end: datetime = AT + DAY, digest: hashes.HashAlgorithm | None = None,
            public_key: rsa.RSAPublicKey | None = None) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder().subject_name(subject).public_key(public_key or key.public_key())
    builder = builder.issuer_name(issuer.certificate.subject if issuer else subject)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(issuer.key if issuer else key, digest or hashes.SHA256())
    return Pair(certificate, key)


@dataclass
class Authority:
    """A root, an issuer of marks below it, and marks on demand."""

    root_pair: Pair = field(default_factory=lambda: certify(name("Root"), None, ca_extensions()))
    issuer: Pair = field(init=False)

    def __post_init__(self) -> None:
        extensions = [*ca_extensions(path_length=0, marks=True), crl_points("http://root.example/list.crl")]
        self.issuer = certify(name("Issuer of Marks"), self.root_pair, extensions)

    @property
    def root(self) -> x509.Certificate:
        return self.root_pair.certificate

    def extensions(self, domains: Sequence[str]) -> dict[str, Extension]:
        """What a good mark certificate has, by names under which a test replaces or drops it."""
        return {
            "basic": (x509.BasicConstraints(ca=False, path_length=None), True),
            "usage": (x509.ExtendedKeyUsage([BRAND]), False),
            "names": (x509.SubjectAlternativeName([x509.DNSName(domain) for domain in domains]), False),
            "logotype": (unrecognized(LOGOTYPE, logotype()), False),
            "timestamps": (unrecognized(SCT_LIST, timestamps()), False),
            "list": crl_points("http://issuer.example/list.crl"),
        }

    def mark(self, domains: Sequence[str] = ("a.example",), *, issuer: Pair | None = None, start: datetime = AT - DAY,
             end: datetime = AT + DAY, **changed: Extension | None) -> Pair:
        extensions = self.extensions(domains) | changed
        subject = name("a.example", organization="A Inc.", kind="Registered Mark")
        kept = [extension for extension in extensions.values() if extension is not None]
        return certify(subject, issuer or self.issuer, kept, start=start, end=end)

    def pem(self, mark: Pair, *others: x509.Certificate) -> bytes:
        """The mark, its issuer, and others: a file as a domain publishes it."""
        return pem(mark.certificate, *(others or (self.issuer.certificate, self.root)))

    def lists(self, *revoked: x509.Certificate, end: datetime = AT + DAY) -> dict[str, bytes]:
        """The lists of revoked certificates of both issuers, by their URLs."""
        return {
            "http://issuer.example/list.crl": revocations(self.issuer, revoked, end=end),
            "http://root.example/list.crl": revocations(self.root_pair, revoked, end=end),
        }


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def revocations(issuer: Pair, revoked: Sequence[x509.Certificate], *, end: datetime = AT + DAY,
                extensions: Sequence[Extension] = (), named: x509.Name | None = None) -> bytes:
    builder = x509.CertificateRevocationListBuilder().issuer_name(named or issuer.certificate.subject)
    builder = builder.last_update(min(AT, end) - DAY).next_update(end)
    for certificate in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(AT - DAY)
        builder = builder.add_revoked_certificate(entry.build())
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)
