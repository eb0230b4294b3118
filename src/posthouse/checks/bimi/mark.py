"""Mark certificates: somebody who is trusted with it has seen that a logo belongs to a domain.

    mark = verify(pem, {"a.example"}, "default", roots, now)
    mark.organization, mark.kind, mark.logo         the logo as embedded, SVG or gzipped SVG
    await check_revocation(mark, fetch, now)

A verified mark certificate (VMC, or CMC for marks in common use; draft-fetch-validation-vmc-wchuang, version 5) is an
X.509 certificate for the extended key usage "brand indicator", issued by one of a few roots. Checked are the chain
(RFC 5280 §6.1: signatures, validity, path lengths, key usages, no critical extension that is not understood), the
usage at the certificate and its issuer, the domain, the logotype, that there is a proof of publication, and the
issuers' lists of what was revoked. The signatures of the certificate transparency logs are not checked.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtensionOID, NameOID, ObjectIdentifier

from posthouse.checks.bimi.logotype import LOGOTYPE_OID, LogotypeError, images
from posthouse.mail.fetch import Fetch, FetchFault
from posthouse.mail.instant import SECOND, Instant

# A file of certificates, how many it may hold, and a list of revoked ones.
EVIDENCE_OCTETS = 262_144
_CERTIFICATES = 6
_REVOCATION_OCTETS = 4_000_000

_RSA_BITS = 2048
_BRAND_INDICATOR = ObjectIdentifier("1.3.6.1.5.5.7.3.31")
_LOGOTYPE = ObjectIdentifier(LOGOTYPE_OID)
# "Registered Mark", "Government Mark", "Prior Use Mark" …, in the requirements for issuing mark certificates.
_MARK_KIND = ObjectIdentifier("1.3.6.1.4.1.53087.1.13")
_SVG_TYPES = frozenset(("image/svg+xml", "image/svg+xml+gzip"))
# What may be critical: it is checked here, or, as policies and key identifiers, does not narrow what is.
_UNDERSTOOD = frozenset((
    ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME, ExtensionOID.CERTIFICATE_POLICIES, _LOGOTYPE,
))
# All that cryptography raises about what a stranger wrote.
_MALFORMED = (
    ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound, x509.DuplicateExtension, x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


class MarkError(ValueError):
    """The certificate does not vouch for the logo. The text is a sentence; `temporary`: it may later."""

    def __init__(self, reason: str, *, temporary: bool = False) -> None:
        super().__init__(reason)
        self.temporary = temporary


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark certificate that was verified, but for revocation.

    `kind` is what the certificate calls the mark ("Registered Mark"), or ""; `chain` runs from it to a trusted root.
    """

    organization: str
    kind: str
    domains: tuple[str, ...]
    logo: bytes
    expires: Instant
    chain: tuple[x509.Certificate, ...]


def roots(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates that are trusted to begin a chain, from a file of settings. Raises ValueError."""
    return tuple(x509.load_pem_x509_certificates(pem))


def verify(
    pem: bytes, domains: Collection[str], selector: str, trusted: Sequence[x509.Certificate], now: Instant
) -> Mark:
    """The mark certificate in a fetched file, issued for one of `domains` (A-labels) and this selector, if it is good.

    Raises MarkError with the reason why it is not.
    """
    try:
        chain = _chain(_load(pem), trusted, datetime.fromtimestamp(now // SECOND, UTC))
        certificate = chain[0]
        names = _names(certificate)
        _check_profile(chain)
        _check_domain(names, domains, selector)
        return Mark(
            organization=_subject(certificate, NameOID.ORGANIZATION_NAME),
            kind=_subject(certificate, _MARK_KIND),
            domains=names,
            logo=_logo(certificate),
            expires=int(certificate.not_valid_after_utc.timestamp()) * SECOND,
            chain=chain,
        )
    except MarkError:
        raise
    # Certificates are parsed as they are asked; what is malformed deep inside comes out here.
    except _MALFORMED as error:
        raise MarkError(str(error) if isinstance(error, LogotypeError) else "the certificate is malformed") from error


async def check_revocation(mark: Mark, fetch: Fetch, now: Instant) -> None:
    """Asks each issuer's list whether it took a certificate of the chain back (RFC 5280 §6.3).

    Raises MarkError, a temporary one where a list cannot be had or is out of date.
    """
    at = datetime.fromtimestamp(now // SECOND, UTC)
    for index, (certificate, issuer) in enumerate(pairwise(mark.chain)):
        url = _distribution_point(certificate)
        if not url:
            # Profile, "Validity": a mark certificate has to say where its list is; an issuer's may go without.
            if index == 0:
                raise MarkError("the certificate names no list of revoked certificates")
            continue
        try:
            octets = await fetch.get(url, limit=_REVOCATION_OCTETS)
        except FetchFault as fault:
            raise MarkError(f"the list of revoked certificates cannot be had: {fault}", temporary=True) from fault
        _check_list(octets, certificate, issuer, at)


def _load(pem: bytes) -> list[x509.Certificate]:
    if len(pem) > EVIDENCE_OCTETS:
        raise MarkError("the file of certificates is too large")
    if not 0 < pem.count(b"-----BEGIN CERTIFICATE-----") <= _CERTIFICATES:
        raise MarkError(f"the file holds no certificate, or more than {_CERTIFICATES}")
    try:
        return x509.load_pem_x509_certificates(pem)
    except _MALFORMED as error:
        raise MarkError("the file holds a certificate that cannot be read") from error


def _chain(
    found: list[x509.Certificate], trusted: Sequence[x509.Certificate], at: datetime
) -> tuple[x509.Certificate, ...]:
    """The mark certificate, its issuers in the order of the file, and the trusted root (RFC 5280 §6.1)."""
    chain: list[x509.Certificate] = [found[0]]
    for certificate in found[1:]:
        # The file may end with a root; which root is trusted is not for the file to say.
        if certificate in trusted or certificate.subject == certificate.issuer:
            break
        chain.append(certificate)
    if chain[-1] not in trusted:
        root = next((root for root in trusted if _issued(chain[-1], root)), None)
        if root is None:
            raise MarkError("the certificate was not issued by anybody who is trusted with logos here")
        chain.append(root)
    if len(chain) < 2:
        raise MarkError("the certificate stands for itself")
    for depth, (certificate, issuer) in enumerate(pairwise(chain)):
        if not _issued(certificate, issuer):
            raise MarkError("the certificates of the file do not follow from each other")
        _check_issuer(issuer, depth)
    for certificate in chain:
        _check_own(certificate, at)
    return tuple(chain)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (*_MALFORMED, InvalidSignature):
        return False
    return True


def _check_own(certificate: x509.Certificate, at: datetime) -> None:
    """What holds for every certificate of a chain by itself."""
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise MarkError("the certificate, or one that it was issued by, is out of its time")
    for extension in certificate.extensions:
        if extension.oid == ExtensionOID.NAME_CONSTRAINTS or (extension.critical and extension.oid not in _UNDERSTOOD):
            raise MarkError("the certificate has a condition that is not understood here")
    algorithm, key = certificate.signature_hash_algorithm, certificate.public_key()
    if algorithm is not None and not isinstance(algorithm, _HASHES):
        raise MarkError("the certificate is signed with a hash that is too weak")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _RSA_BITS:
        raise MarkError("the certificate has a key that is too short")


def _check_issuer(issuer: x509.Certificate, below: int) -> None:
    """Whether a certificate may issue others, with `below` issuers between it and the mark (RFC 5280 §6.1.4)."""
    basic = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    if not basic.ca or (basic.path_length is not None and basic.path_length < below):
        raise MarkError("the certificate was issued by one that may not issue it")
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not usage.key_cert_sign:
        raise MarkError("the certificate was issued by one that may not issue any")


def _check_profile(chain: tuple[x509.Certificate, ...]) -> None:
    """What makes a certificate one for marks (profile, "BIMI Extended Key Usage", "Certificate Transparency")."""
    certificate = chain[0]
    try:
        if certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            raise MarkError("the certificate is one of an issuer")
    except x509.ExtensionNotFound:
        pass
    if not _for_marks(certificate, required=True):
        raise MarkError("the certificate is not meant for logos")
    # A root is trusted for logos because the settings say so; whoever stands between has to say it himself.
    for depth, issuer in enumerate(chain[1:-1]):
        if not _for_marks(issuer, required=depth == 0):
            raise MarkError("the certificate was issued by one that is not meant for logos")
    stamps = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    if not len(stamps):
        raise MarkError("the certificate has no proof that it was published")


def _for_marks(certificate: x509.Certificate, *, required: bool) -> bool:
    try:
        return _BRAND_INDICATOR in certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return not required


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(name.lower() for name in found.get_values_for_type(x509.DNSName))


def _check_domain(names: tuple[str, ...], domains: Collection[str], selector: str) -> None:
    """A name with "_bimi" stands for one selector, any other for all of its domain ("VMC Domain Verification")."""
    wanted = {*domains, *(f"{selector}._bimi.{domain}" for domain in domains)}
    if not wanted.intersection(names):
        raise MarkError(f"the certificate is not for {' or '.join(sorted(domains))}")


def _logo(certificate: x509.Certificate) -> bytes:
    value = certificate.extensions.get_extension_for_oid(_LOGOTYPE).value
    found = [image.octets for image in images(value.public_bytes()) if image.media_type in _SVG_TYPES]
    if len(found) != 1:
        raise MarkError("the certificate does not hold exactly one SVG logo")
    return found[0]


def _subject(certificate: x509.Certificate, oid: ObjectIdentifier) -> str:
    found = certificate.subject.get_attributes_for_oid(oid)
    text = str(found[0].value) if found else ""
    return text if text.isprintable() else ""


def _distribution_point(certificate: x509.Certificate) -> str:
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return ""
    for point in points:
        for name in point.full_name or ():
            if isinstance(name, x509.UniformResourceIdentifier) and name.value.startswith(("http://", "https://")):
                return name.value
    return ""


# Lists are made anew every few days; one without an end counts so long.
_LIST_LASTS = timedelta(days=30)


def _check_list(octets: bytes, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> None:
    load = x509.load_pem_x509_crl if octets.startswith(b"-----BEGIN") else x509.load_der_x509_crl
    try:
        revoked = load(octets)
        key = issuer.public_key()
        signed = isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) and revoked.is_signature_valid(key)
        if revoked.issuer != certificate.issuer or not signed:
            raise MarkError("the list of revoked certificates is not its issuer's", temporary=True)
        ends = revoked.next_update_utc or revoked.last_update_utc + _LIST_LASTS
        if not revoked.last_update_utc <= at <= ends:
            raise MarkError("the list of revoked certificates is out of its time", temporary=True)
        for extension in revoked.extensions:
            # RFC 5280 §5.2: a list of changes, or one for several issuers, says less than it seems to.
            if extension.critical and (
                not isinstance(extension.value, x509.IssuingDistributionPoint) or extension.value.indirect_crl
            ):
                raise MarkError("the list of revoked certificates is of a kind that is not read here")
        entry = revoked.get_revoked_certificate_by_serial_number(certificate.serial_number)
    except _MALFORMED as error:
        if isinstance(error, MarkError):
            raise
        raise MarkError("the list of revoked certificates cannot be read", temporary=True) from error
    if entry is not None and entry.revocation_date_utc <= at:
        raise MarkError("the certificate was revoked")
