"""What an exchange is made of: its steps, its bounds, and the two facts it may lean on (keys and channel binding)."""

from dataclasses import dataclass
from typing import Protocol

# THREATS: passwords up to 1 KB. A name is an address at most, in UTF-8.
NAME_OCTETS = 512
PASSWORD_OCTETS = 1024


class SaslError(ValueError):
    """An exchange that cannot go on; the text is a sentence without anything secret."""


@dataclass(frozen=True, slots=True)
class ChannelBinding:
    """What both ends know about their TLS connection; None where this end cannot tell.

    `tls_server_end_point` is the hash of the server's certificate (RFC 5929 §4.1), `tls_exporter` 32 octets of
    keying material (RFC 9266 §2).
    """

    tls_server_end_point: bytes | None = None
    tls_exporter: bytes | None = None

    def data(self, kind: str) -> bytes | None:
        """The octets of one type, by its registered name; None for another or where it is not known."""
        if kind == "tls-exporter":
            return self.tls_exporter
        if kind == "tls-server-end-point":
            return self.tls_server_end_point
        return None

    @property
    def kinds(self) -> tuple[str, ...]:
        """The types known here, the stronger one first."""
        return tuple(kind for kind in ("tls-exporter", "tls-server-end-point") if self.data(kind) is not None)


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What a server keeps of a password for SCRAM-SHA-256 (RFC 5802 §3)."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send this to the client (the protocol encodes it) and give its answer to `step`."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class CheckPassword:
    """The client gave a name and a password: the exchange ends with whether they are right."""

    authcid: str
    authzid: str
    password: str


@dataclass(frozen=True, slots=True)
class NeedKeys:
    """SCRAM waits for the keys of `authcid`: go on with `keys`."""

    authcid: str
    authzid: str


@dataclass(frozen=True, slots=True)
class Authenticated:
    """It is `authcid`. A non-empty `final` has to reach the client before the success (SMTP: as a challenge)."""

    authcid: str
    authzid: str
    final: bytes = b""


@dataclass(frozen=True, slots=True)
class Refused:
    """It failed. `malformed` tells a broken message from wrong credentials; `reason` is for the log."""

    reason: str
    malformed: bool = False


Step = Challenge | CheckPassword | NeedKeys | Authenticated | Refused


class Mechanism(Protocol):
    """One exchange on the server's side. Nothing is raised for what a client sends."""

    def step(self, response: bytes | None) -> Step:
        """Take the client's (decoded) response. None, at the first step only: there was no initial response."""
        ...

    def keys(self, keys: ScramKeys) -> Step:
        """The answer to `NeedKeys`. SaslError where nothing was asked."""
        ...
