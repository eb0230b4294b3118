"""The client's side of SASL: how the relay logs in at a smarthost."""

import hmac
from base64 import b64encode
from collections.abc import Iterable
from typing import Protocol

from posthouse.wire.sasl import scram
from posthouse.wire.sasl.mechanism import ChannelBinding, SaslError
from posthouse.wire.sasl.preparation import PreparationError, saslprep


class ClientMechanism(Protocol):
    """One exchange on the client's side.

    `initial` is the initial response, None where the server speaks first. `verified` is True when the server has
    shown what it has to show; a success reply before that is a fraud and must be refused.
    """

    name: str
    initial: bytes | None
    verified: bool

    def respond(self, challenge: bytes) -> bytes:
        """The answer to a (decoded) challenge. SaslError where the exchange has to be given up.

        SCRAM's one call with PBKDF2 takes some hundred milliseconds: run it in a thread.
        """
        ...


def choose(
    offered: Iterable[str],
    authcid: str,
    password: str,
    *,
    nonce: bytes,
    tls: bool,
    binding: ChannelBinding | None = None,
) -> ClientMechanism:
    """The strongest mechanism that both know; PLAIN and LOGIN under TLS only. SaslError where there is none.

    `nonce` is fresh and random, at least 18 octets.
    """
    names = {name.upper() for name in offered}
    try:
        authcid, password = saslprep(authcid), saslprep(password)
    except PreparationError:
        raise SaslError("the name or password has characters that cannot be") from None
    if scram.PLUS_NAME in names and binding is not None and binding.kinds:
        return _Scram(authcid, password, nonce, f"p={binding.kinds[0]}", binding.data(binding.kinds[0]) or b"")
    if scram.PLAIN_NAME in names:
        # RFC 5802 §6: "y" tells the server that we could bind, and that it did not offer to.
        flag = "y" if binding is not None and binding.kinds else "n"
        return _Scram(authcid, password, nonce, flag, b"")
    if tls and "PLAIN" in names:
        return _Plain(authcid, password)
    if tls and "LOGIN" in names:
        return _Login(authcid, password)
    raise SaslError("the server offers no mechanism that is safe to use here")


class _Plain:
    name = "PLAIN"
    verified = True

    def __init__(self, authcid: str, password: str) -> None:
        self.initial: bytes | None = b"\0" + authcid.encode() + b"\0" + password.encode()

    def respond(self, challenge: bytes) -> bytes:
        raise SaslError("PLAIN has nothing more to say")


class _Login:
    name = "LOGIN"
    verified = True

    def __init__(self, authcid: str, password: str) -> None:
        self.initial: bytes | None = None
        self._answers = [password.encode(), authcid.encode()]

    def respond(self, challenge: bytes) -> bytes:
        if not self._answers:
            raise SaslError("LOGIN has nothing more to say")
        return self._answers.pop()


class _Scram:
    def __init__(self, authcid: str, password: str, nonce: bytes, flag: str, bound: bytes) -> None:
        self.name = scram.PLUS_NAME if bound else scram.PLAIN_NAME
        self.verified = False
        self._password = password
        self._nonce = b64encode(nonce).decode("ascii")
        self._gs2 = f"{flag},,".encode()
        self._bound = bound
        self._client_first = f"n={scram.encode_name(authcid)},r={self._nonce}"
        self._server_signature = b""
        self.initial: bytes | None = self._gs2 + self._client_first.encode()

    def respond(self, challenge: bytes) -> bytes:
        if self.verified:
            raise SaslError("SCRAM has nothing more to say")
        try:
            text = challenge.decode()
        except UnicodeDecodeError:
            raise SaslError("the server's message is not UTF-8") from None
        if self._server_signature:
            return self._check(text)
        return self._prove(text)

    def _prove(self, server_first: str) -> bytes:
        pairs = scram.attributes(server_first)
        if [name for name, _ in pairs[:3]] != ["r", "s", "i"]:
            raise SaslError("not a server-first message")
        nonce, salt, iterations = pairs[0][1], scram.unbase64(pairs[1][1]), pairs[2][1]
        # RFC 5802 §5.1: the server's nonce begins with ours and adds to it.
        if not nonce.startswith(self._nonce) or nonce == self._nonce or not scram.is_nonce(nonce):
            raise SaslError("the server's nonce is not made from ours")
        count = int(iterations) if iterations.isascii() and iterations.isdigit() and len(iterations) <= 9 else 0
        if not scram.MIN_ITERATIONS <= count <= scram.MAX_ITERATIONS:
            raise SaslError("the server asks for too few or too many iterations")
        salted = scram.salted_password(self._password, salt, count)
        client_key = scram.client_key(salted)
        without_proof = f"c={b64encode(self._gs2 + self._bound).decode('ascii')},r={nonce}"
        auth_message = f"{self._client_first},{server_first},{without_proof}".encode()
        proof = scram.xor(client_key, scram.signature(scram.sha256(client_key), auth_message))
        self._server_signature = scram.signature(scram.server_key(salted), auth_message)
        return f"{without_proof},p={b64encode(proof).decode('ascii')}".encode()

    def _check(self, server_final: str) -> bytes:
        name, value = scram.attributes(server_final)[0]
        if name == "e":
            raise SaslError("the server refused the proof")
        if name != "v" or not hmac.compare_digest(scram.unbase64(value), self._server_signature):
            raise SaslError("the server does not know the password")
        self.verified = True
        return b""
