"""Private keys that sign, and the records that publish their public halves (RFC 6376 §3.6, RFC 8301, RFC 8463).

    key = SigningKey.generate("example.org", "r2025", "rsa-sha256")
    key.dns_name                             "r2025._domainkey.example.org"
    key.dns_record()                         "v=DKIM1; k=rsa; h=sha256; p=…", to be cut into strings of 255 octets
    SigningKey.load("example.org", "r2025", key.pem())
"""

from dataclasses import dataclass, field
from typing import Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

Algorithm = Literal["rsa-sha256", "ed25519-sha256"]


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with the name under which its public key stands; never shown by `repr`."""

    domain: str
    selector: str
    algorithm: Algorithm
    private: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls, domain: str, selector: str, algorithm: Algorithm = "rsa-sha256", bits: int = 2048) -> Self:
        """A new key; `bits` is of RSA only. Takes some 100 ms for RSA: not on the event loop."""
        raise NotImplementedError

    @classmethod
    def load(cls, domain: str, selector: str, octets: bytes) -> Self:
        """From PEM or DER (PKCS #8 or #1), unencrypted; the algorithm is the key's. Raises KeyFault."""
        raise NotImplementedError

    @property
    def dns_name(self) -> str:
        """Where the record belongs."""
        return f"{self.selector}._domainkey.{self.domain}"

    def dns_record(self) -> str:
        """The text of the TXT record."""
        raise NotImplementedError

    def pem(self) -> bytes:
        """PKCS #8, unencrypted."""
        raise NotImplementedError

    def der(self) -> bytes:
        """PKCS #8, unencrypted."""
        raise NotImplementedError


class KeyFault(ValueError):
    """Not a key that signs mail. The text is a sentence."""
