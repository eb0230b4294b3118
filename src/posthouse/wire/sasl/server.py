"""The server's side of PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677)."""

import hmac
from base64 import b64encode

from posthouse.wire.sasl import scram
from posthouse.wire.sasl.mechanism import (
    NAME_OCTETS,
    PASSWORD_OCTETS,
    Authenticated,
    Challenge,
    ChannelBinding,
    CheckPassword,
    Mechanism,
    NeedKeys,
    Refused,
    SaslError,
    ScramKeys,
    Step,
)
from posthouse.wire.sasl.preparation import PreparationError, saslprep

# A client-first or client-final message holds a name, two nonces and a proof.
_SCRAM_OCTETS = 4096


def mechanisms(tls: bool, channel_binding: bool) -> tuple[str, ...]:
    """What may be announced, strongest first. PLAIN and LOGIN need TLS, -PLUS needs binding data."""
    if not tls:
        return (scram.PLAIN_NAME,)
    names = (scram.PLAIN_NAME, "PLAIN", "LOGIN")
    return (scram.PLUS_NAME, *names) if channel_binding else names


def start(name: str, *, nonce: bytes, binding: ChannelBinding | None = None) -> Mechanism:
    """Begin an exchange; SaslError for a mechanism that is not offered here.

    `name` in any case. `nonce` is fresh and random for each exchange, at least 18 octets. With `binding` holding
    anything, -PLUS counts as offered, and a client that claims otherwise is refused (RFC 5802 §6).
    """
    upper = name.upper()
    if upper == "PLAIN":
        return _Plain()
    if upper == "LOGIN":
        return _Login()
    if upper == scram.PLAIN_NAME or (upper == scram.PLUS_NAME and binding is not None and binding.kinds):
        return _Scram(upper == scram.PLUS_NAME, b64encode(nonce).decode("ascii"), binding or ChannelBinding())
    raise SaslError("no such mechanism")


def _password_step(authcid: bytes, authzid: bytes, password: bytes) -> Step:
    if not 0 < len(authcid) <= NAME_OCTETS or len(authzid) > NAME_OCTETS:
        return Refused("a name that is empty or too long", malformed=True)
    if not 0 < len(password) <= PASSWORD_OCTETS:
        return Refused("a password that is empty or too long", malformed=True)
    try:
        step = CheckPassword(saslprep(authcid.decode()), saslprep(authzid.decode()), saslprep(password.decode()))
    except (UnicodeDecodeError, PreparationError):
        return Refused("a name or password with characters that cannot be", malformed=True)
    # RFC 4616 §2: a name or password that is empty after its preparation fails.
    if not step.authcid or not step.password:
        return Refused("a name or password of nothing but invisible characters", malformed=True)
    return step


class _Plain:
    """`[authzid] NUL authcid NUL passwd` in one message."""

    def step(self, response: bytes | None) -> Step:
        if response is None:
            return Challenge(b"")
        parts = response.split(b"\0")
        if len(parts) != 3:
            return Refused("not a PLAIN message", malformed=True)
        return _password_step(parts[1], parts[0], parts[2])

    def keys(self, keys: ScramKeys) -> Step:
        raise SaslError("PLAIN asks for no keys")


class _Login:
    """Name and password, each asked for. An initial response is the name, as many clients send it."""

    def __init__(self) -> None:
        self._name: bytes | None = None

    def step(self, response: bytes | None) -> Step:
        if response is None:
            return Challenge(b"Username:")
        if self._name is None:
            self._name = response
            return Challenge(b"Password:")
        return _password_step(self._name, b"", response)

    def keys(self, keys: ScramKeys) -> Step:
        raise SaslError("LOGIN asks for no keys")


class _Scram:
    """client-first → NeedKeys → server-first → client-final → Authenticated with server-final."""

    def __init__(self, plus: bool, nonce: str, binding: ChannelBinding) -> None:
        self._plus = plus
        self._nonce = nonce
        self._binding = binding
        self._authcid = ""
        self._authzid = ""
        self._gs2 = ""
        self._bound = b""
        self._client_first = ""
        self._server_first = ""
        self._keys: ScramKeys | None = None
        self._asked = False

    def step(self, response: bytes | None) -> Step:
        if response is None:
            return Challenge(b"")
        if len(response) > _SCRAM_OCTETS:
            return Refused("a message that is too long", malformed=True)
        try:
            text = response.decode()
            if self._keys is not None:
                return self._final(text)
            return self._first(text)
        except UnicodeDecodeError:
            return Refused("not UTF-8", malformed=True)
        except (SaslError, PreparationError) as error:
            return Refused(str(error), malformed=True)

    def keys(self, keys: ScramKeys) -> Step:
        if not self._asked or self._keys is not None:
            raise SaslError("keys that were not asked for")
        self._keys = keys
        salt = b64encode(keys.salt).decode("ascii")
        self._server_first = f"r={self._nonce},s={salt},i={keys.iterations}"
        return Challenge(self._server_first.encode())

    def _first(self, text: str) -> Step:
        # RFC 5802 §7: gs2-header = gs2-cbind-flag "," [ authzid ] ","
        flag, _, rest = text.partition(",")
        authzid, comma, bare = rest.partition(",")
        if self._asked or not comma:
            raise SaslError("not a client-first message")
        refused = self._bind(flag)
        if refused is not None:
            return refused
        if authzid:
            if not authzid.startswith("a="):
                raise SaslError("not a client-first message")
            self._authzid = scram.decode_name(authzid[2:])
        pairs = scram.attributes(bare)
        # RFC 5802 §5.1: "m" is a mandatory extension, none of which is known here.
        if len(pairs) < 2 or pairs[0][0] != "n" or pairs[1][0] != "r" or not scram.is_nonce(pairs[1][1]):
            raise SaslError("a client-first message without name and nonce, or with an unknown extension")
        self._authcid = scram.decode_name(pairs[0][1])
        if not self._authcid or max(len(self._authcid.encode()), len(self._authzid.encode())) > NAME_OCTETS:
            raise SaslError("a name that is empty or too long")
        self._gs2 = f"{flag},{authzid},"
        self._client_first = bare
        self._nonce = pairs[1][1] + self._nonce
        self._asked = True
        return NeedKeys(self._authcid, self._authzid)

    def _bind(self, flag: str) -> Refused | None:
        """RFC 5802 §6: what the flag says about channel binding must fit the mechanism and what was offered."""
        if flag.startswith("p="):
            data = self._binding.data(flag[2:])
            if not self._plus:
                return Refused("channel binding with a mechanism that has none", malformed=True)
            if data is None:
                return Refused("an unknown type of channel binding")
            self._bound = data
            return None
        if self._plus or flag not in ("n", "y"):
            return Refused("no channel binding with a mechanism that asks for it", malformed=True)
        # RFC 5802 §6: "y" means the client saw no -PLUS; if we offered it, somebody on the way took it out.
        if flag == "y" and self._binding.kinds:
            return Refused("the offer of channel binding was taken out on the way")
        return None

    def _final(self, text: str) -> Step:
        assert self._keys is not None
        without_proof, comma, proof_text = text.rpartition(",p=")
        pairs = scram.attributes(without_proof) if comma else []
        if len(pairs) < 2 or pairs[0][0] != "c" or pairs[1][0] != "r":
            raise SaslError("not a client-final message")
        bound = scram.unbase64(pairs[0][1])
        proof = scram.unbase64(proof_text)
        auth_message = f"{self._client_first},{self._server_first},{without_proof}".encode()
        client_signature = scram.signature(self._keys.stored_key, auth_message)
        if len(proof) != len(client_signature):
            raise SaslError("a proof of a wrong length")
        stored_key = scram.sha256(scram.xor(proof, client_signature))
        # All three are looked at, whatever the first says.
        right = hmac.compare_digest(stored_key, self._keys.stored_key)
        right &= hmac.compare_digest(bound, self._gs2.encode() + self._bound)
        right &= hmac.compare_digest(pairs[1][1].encode(), self._nonce.encode())
        if not right:
            return Refused("a wrong proof, nonce or channel binding")
        verifier = b64encode(scram.signature(self._keys.server_key, auth_message))
        return Authenticated(self._authcid, self._authzid, b"v=" + verifier)
