"""Key records: the public keys that domains publish (RFC 6376 §3.6, RFC 8301, RFC 8463).

    record = parse_record(b"v=DKIM1; k=rsa; p=MIIB…")
    record.verifies(signature, digest)

Records that were read are kept by their text, so that the key of a busy domain is decoded once.
"""

from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from posthouse.checks.dkim.tags import TagFault, Tags, decode_base64, parse_tags, words

# RFC 8301 §3.2: keys below are no keys; keys up to 4096 bits have to be taken, and beyond they only cost time.
RSA_BITS_LEAST = 1024
RSA_BITS_MOST = 4096
# An honest public exponent is 65537 or smaller; a huge one makes each check cost as much as signing.
_EXPONENT_BITS_MOST = 64
# A record with a 4096-bit key has some 750 octets.
_RECORD_OCTETS = 4096
_RECORDS_KEPT = 1024

PADDING = PKCS1v15()
DIGESTED = Prehashed(SHA256())


class RecordFault(ValueError):
    """Not a record that verifies anything. The text continues "The key at … "."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One record. `kind` is its k=; `testing` and `strict` are the flags y and s of its t=."""

    kind: str
    public: RSAPublicKey | Ed25519PublicKey
    bits: int
    testing: bool
    strict: bool

    def verifies(self, signature: bytes, digest: bytes) -> bool:
        """Whether `signature` is one over the SHA-256 `digest` by this key."""
        try:
            if isinstance(self.public, Ed25519PublicKey):
                # RFC 8463 §3: PureEdDSA, of the hash.
                self.public.verify(signature, digest)
            else:
                self.public.verify(signature, digest, PADDING, DIGESTED)
        except InvalidSignature:
            return False
        return True


@lru_cache(maxsize=_RECORDS_KEPT)
def parse_record(text: bytes) -> KeyRecord:
    """A TXT record, its strings joined. Raises RecordFault."""
    if len(text) > _RECORD_OCTETS:
        raise RecordFault("is too long")
    try:
        tags = parse_tags(text)
    except TagFault as fault:
        raise RecordFault(f"is malformed: {fault}") from None
    # RFC 6376 §3.6.1: v= is the first tag if it is there, and DKIM1.
    if "v" in tags and (next(iter(tags)) != "v" or tags["v"] != b"DKIM1"):
        raise RecordFault("is of another version")
    if b"sha256" not in words(tags.get("h", b"sha256")):
        raise RecordFault("is not for SHA-256")
    if not {b"*", b"email"}.intersection(words(tags.get("s", b"*"))):
        raise RecordFault("is not for e-mail")
    kind = tags.get("k", b"rsa")
    flags = words(tags.get("t", b""))
    public, bits = _public(kind, tags)
    return KeyRecord(kind.decode("ascii"), public, bits, b"y" in flags, b"s" in flags)


def _public(kind: bytes, tags: Tags) -> tuple[RSAPublicKey | Ed25519PublicKey, int]:
    if "p" not in tags:
        raise RecordFault("has no p=")
    # RFC 6376 §3.6.1: an empty value means that this public key has been revoked.
    if not tags["p"]:
        raise RecordFault("was revoked")
    try:
        octets = decode_base64(tags["p"])
    except TagFault as fault:
        raise RecordFault(f"is malformed: {fault}") from None
    if kind == b"rsa":
        return _rsa(octets)
    if kind == b"ed25519":
        # RFC 8463 §4.2: the 256 bits as they are, without a frame of ASN.1.
        if len(octets) != 32:
            raise RecordFault("is malformed: an Ed25519 key has 32 octets")
        return Ed25519PublicKey.from_public_bytes(octets), 256
    raise RecordFault("is of a kind that is not known here")


def _rsa(octets: bytes) -> tuple[RSAPublicKey, int]:
    """RFC 6376 says RSAPublicKey and shows SubjectPublicKeyInfo; both are published."""
    try:
        public = load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm):
        raise RecordFault("is malformed: it is no RSA key") from None
    if not isinstance(public, RSAPublicKey):
        raise RecordFault("is malformed: it is no RSA key")
    # RFC 8301 §3.2
    if public.key_size < RSA_BITS_LEAST:
        raise RecordFault(f"has {public.key_size} bits, and less than {RSA_BITS_LEAST} are easily forged")
    if public.key_size > RSA_BITS_MOST:
        raise RecordFault(f"has {public.key_size} bits, and more than {RSA_BITS_MOST} are not taken")
    if public.public_numbers().e.bit_length() > _EXPONENT_BITS_MOST:
        raise RecordFault("has too large an exponent")
    return public, public.key_size
