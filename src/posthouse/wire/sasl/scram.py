"""SCRAM-SHA-256 (RFC 5802, RFC 7677): what server and client share — keys, attributes, names, channel binding.

    SaltedPassword = PBKDF2(password, salt, iterations)
    StoredKey      = SHA-256(HMAC(SaltedPassword, "Client Key"))
    ServerKey      = HMAC(SaltedPassword, "Server Key")
"""

import hashlib
import hmac
from base64 import b64decode
from binascii import Error as Base64Error

from posthouse.wire.sasl.mechanism import SaslError, ScramKeys
from posthouse.wire.sasl.preparation import saslprep

PLAIN_NAME = "SCRAM-SHA-256"
PLUS_NAME = "SCRAM-SHA-256-PLUS"

# RFC 7677 §4: at least 4096. The upper bound keeps a hostile server from keeping a client busy.
MIN_ITERATIONS = 4096
MAX_ITERATIONS = 1_000_000

_SALT_OCTETS = 16


def derive(password: str, salt: bytes, iterations: int) -> ScramKeys:
    """Keys to keep for a password. Slow by design: run it in a thread. PreparationError where it cannot be used."""
    salted = salted_password(password, salt, iterations)
    return ScramKeys(salt, iterations, sha256(client_key(salted)), server_key(salted))


def fabricated(authcid: str, secret: bytes, iterations: int) -> ScramKeys:
    """Keys for an account that does not exist, always the same for one name, that no password fits.

    They make a stranger's exchange look and cost as a known account's, provided that `iterations` and the length of
    the salt (16 octets) are those of the real accounts. `secret` is a key of this house that outlives restarts.
    """
    name = authcid.encode("utf-8", "surrogatepass")
    return ScramKeys(
        salt=_hmac(secret, b"salt " + name)[:_SALT_OCTETS],
        iterations=iterations,
        stored_key=_hmac(secret, b"stored key " + name),
        server_key=_hmac(secret, b"server key " + name),
    )


def salted_password(password: str, salt: bytes, iterations: int) -> bytes:
    """Hi() of RFC 5802 §2.2, over the prepared password."""
    return hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)


def client_key(salted: bytes) -> bytes:
    return _hmac(salted, b"Client Key")


def server_key(salted: bytes) -> bytes:
    return _hmac(salted, b"Server Key")


def sha256(octets: bytes) -> bytes:
    return hashlib.sha256(octets).digest()


def signature(key: bytes, auth_message: bytes) -> bytes:
    """HMAC(key, AuthMessage): ClientSignature with StoredKey, ServerSignature with ServerKey."""
    return _hmac(key, auth_message)


def xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def encode_name(name: str) -> str:
    """A name as saslname (RFC 5802 §5.1)."""
    return name.replace("=", "=3D").replace(",", "=2C")


def decode_name(text: str) -> str:
    """The name in a saslname, prepared. SaslError for a stray "=", PreparationError from `saslprep`."""
    # RFC 5802 §5.1: "=" in any other form is an error.
    if text.count("=") != text.count("=2C") + text.count("=3D"):
        raise SaslError("a name with a wrong escape")
    return saslprep(text.replace("=2C", ",").replace("=3D", "="))


def attributes(message: str) -> list[tuple[str, str]]:
    """`a=…,b=…` as pairs in order; SaslError for anything else (RFC 5802 §7)."""
    pairs = []
    for item in message.split(","):
        if len(item) < 2 or item[1] != "=" or not (item[0].isascii() and item[0].isalpha()):
            raise SaslError("an attribute that is none")
        pairs.append((item[0], item[2:]))
    return pairs


def unbase64(text: str) -> bytes:
    """Strict base64. SaslError."""
    try:
        return b64decode(text.encode("ascii"), validate=True)
    except (Base64Error, UnicodeEncodeError):
        raise SaslError("broken base64") from None


def is_nonce(text: str) -> bool:
    # RFC 5802 §7: printable = %x21-2B / %x2D-7E
    return 0 < len(text) <= 512 and text.isascii() and text.isprintable() and " " not in text and "," not in text


def _hmac(key: bytes, octets: bytes) -> bytes:
    return hmac.digest(key, octets, "sha256")
