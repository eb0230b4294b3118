"""SASL (RFC 4422): who logs in, for SMTP, IMAP and POP3 alike, as server and as client; no I/O, no randomness.

Server side, driven by `serve.login`:

    mechanism = start("SCRAM-SHA-256", nonce=b"…", binding=None)
    step = mechanism.step(initial)                # None: the client sent no initial response
    Challenge(octets)                             → send it, then step(response)
    CheckPassword(authcid, authzid, password)     → the caller checks it, the exchange is over
    NeedKeys(authcid, authzid)                    → mechanism.keys(ScramKeys(…)), or keys(fabricated(…)) for strangers
    Authenticated(authcid, authzid, final)        → over; `final` (may be empty) is SCRAM's last word for the client
    Refused(reason, malformed)                    → over

`authzid` is who the client wants to act as, empty where it did not say; the caller refuses what it does not allow.
Names and passwords come out prepared by `saslprep`, so that whoever stores a password prepares it the same way.
Client side: `choose(offered, …)` gives a `ClientMechanism` for the relay's login at a smarthost.
"""

from posthouse.wire.sasl.client import ClientMechanism, choose
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
from posthouse.wire.sasl.scram import derive, fabricated
from posthouse.wire.sasl.server import mechanisms, start

__all__ = [
    "NAME_OCTETS",
    "PASSWORD_OCTETS",
    "Authenticated",
    "Challenge",
    "ChannelBinding",
    "CheckPassword",
    "ClientMechanism",
    "Mechanism",
    "NeedKeys",
    "PreparationError",
    "Refused",
    "SaslError",
    "ScramKeys",
    "Step",
    "choose",
    "derive",
    "fabricated",
    "mechanisms",
    "saslprep",
    "start",
]
