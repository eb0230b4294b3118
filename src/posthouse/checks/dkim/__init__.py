"""DKIM (RFC 6376, 8301, 8463, 8616): who signed a message, and signing what leaves.

    signatures = await verify(message, dns, now)          verification, signature: the results and what they mean
    fields = sign(octets, keys, now)                      signing, keys
"""

from posthouse.checks.dkim.digests import BodyDigests
from posthouse.checks.dkim.keys import KeyFault, SigningKey
from posthouse.checks.dkim.signature import UNSIGNED, Signature
from posthouse.checks.dkim.signing import SigningFault, sign
from posthouse.checks.dkim.verification import body_digests, key_name, verify

__all__ = [
    "UNSIGNED", "BodyDigests", "KeyFault", "Signature", "SigningFault", "SigningKey", "body_digests", "key_name",
    "sign", "verify",
]
