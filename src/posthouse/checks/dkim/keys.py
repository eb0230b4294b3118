"""Private keys that sign, and the records that publish their public halves (RFC 6376 §3.6, RFC 8301, RFC 8463).

    key = SigningKey.generate("example.org", "r2025", "rsa-sha256")
    key.dns_name                             "r2025._domainkey.example.org"
    key.dns_record()                         "v=DKIM1; k=rsa; p=…", to be cut into strings of at most 255 octets
    SigningKey.load("example.org", "r2025", key.pem())
"""

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Literal, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from posthouse.checks.dkim.fields import FieldFault, read_names
from posthouse.checks.dkim.records import DIGESTED, PADDING, RSA_BITS_LEAST, RSA_BITS_MOST

Algorithm = Literal["rsa-sha256", "ed25519-sha256"]

# RFC 8301 §3.2: signers should use RSA keys of at least 2048 bits.
RSA_BITS = 2048


class KeyFault(ValueError):
    """Not a key that signs mail. The text is a sentence."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with the name under which its public key stands; `repr` never shows it.

    Domain and selector have to be as `Signature` has them: valid, lower case, A-labels. Raises KeyFault.
    """

    domain: str
    selector: str
    algorithm: Algorithm
    private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        try:
            names = read_names({"d": self.domain.encode(), "s": self.selector.encode()})
        except FieldFault:
            names = ("", "")
        if names != (self.domain, self.selector):
            raise KeyFault(f"{self.dns_name!r} is no name for a key")
        is_rsa = isinstance(self.private, rsa.RSAPrivateKey)
        if self.algorithm != ("rsa-sha256" if is_rsa else "ed25519-sha256"):
            raise KeyFault(f"The key is not one for {self.algorithm}")
        if isinstance(self.private, rsa.RSAPrivateKey) and not (
            RSA_BITS_LEAST <= self.private.key_size <= RSA_BITS_MOST
        ):
            raise KeyFault(
                f"The key has {self.private.key_size} bits, but {RSA_BITS_LEAST} to {RSA_BITS_MOST} are believed"
            )

    @classmethod
    def generate(cls, domain: str, selector: str, algorithm: Algorithm = "rsa-sha256", bits: int = RSA_BITS) -> Self:
        """A new key; `bits` is of RSA only. Takes some 100 ms for RSA: not on an event loop."""
        if algorithm == "ed25519-sha256":
            return cls(domain, selector, algorithm, ed25519.Ed25519PrivateKey.generate())
        return cls(domain, selector, algorithm, rsa.generate_private_key(public_exponent=65537, key_size=bits))

    @classmethod
    def load(cls, domain: str, selector: str, octets: bytes) -> Self:
        """From PEM or DER (PKCS #8 or #1), unencrypted; the algorithm is the key's. Raises KeyFault."""
        load = load_pem_private_key if octets.lstrip().startswith(b"-----") else load_der_private_key
        try:
            private = load(octets, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise KeyFault("The key cannot be read: it has to be PEM or DER, without a password") from None
        if isinstance(private, rsa.RSAPrivateKey):
            return cls(domain, selector, "rsa-sha256", private)
        if isinstance(private, ed25519.Ed25519PrivateKey):
            return cls(domain, selector, "ed25519-sha256", private)
        raise KeyFault("The key is neither RSA nor Ed25519")

    @property
    def dns_name(self) -> str:
        """Where the record belongs."""
        return f"{self.selector}._domainkey.{self.domain}"

    def dns_record(self) -> str:
        """The text of the TXT record: longer than one string of 255 octets for RSA."""
        public = self.private.public_key()
        if isinstance(public, ed25519.Ed25519PublicKey):
            octets = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        else:
            octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        kind = self.algorithm.partition("-")[0]
        return f"v=DKIM1; k={kind}; p={b64encode(octets).decode('ascii')}"

    def pem(self) -> bytes:
        """PKCS #8, unencrypted."""
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def der(self) -> bytes:
        """PKCS #8, unencrypted."""
        return self.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def sign_digest(self, digest: bytes) -> bytes:
        """The signature of a SHA-256: PKCS #1 v1.5 (RFC 6376 §3.3.2), or PureEdDSA of the hash (RFC 8463 §3)."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(digest, PADDING, DIGESTED)
        return self.private.sign(digest)
