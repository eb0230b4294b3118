"""Logging in, for every protocol: SASL exchanges and plain passwords against the directory, bounded and watched.

Passwords are checked with Argon2 in a small thread pool, as many at once as the machine has cores. An unknown account
costs as much time as a known one. A right password is remembered for a short while (as an HMAC under a key that only
this process knows), since Argon2 allows some 50 logins a second. Failures are counted per network and per account:
strangers wait ever longer, and never is an account locked, so its owner gets in from where it logged in before.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from posthouse.mail.address import Address
from posthouse.mail.peer import Peer


@dataclass(frozen=True, slots=True)
class Account:
    """Who logged in, and how (`mechanism` is the SASL name, or LOGIN, PASS). `final`: SCRAM's last word, which the
    door sends with its success reply (SMTP 334/235, IMAP, POP3) as the protocol has it; None where there is none."""

    account_id: int
    address: Address
    mechanism: str


@dataclass(frozen=True, slots=True)
class LoginFailure:
    """Why not. `kind` decides the door's reply; `words` are for the client and tell nothing about the account.

    - `refused`: wrong name or password (535 5.7.8, NO [AUTHENTICATIONFAILED], -ERR [AUTH])
    - `aborted`: the client gave up with `*` (501 5.7.0, BAD)
    - `malformed`: broken base64 or message (501 5.5.2, BAD)
    - `unknown`: no such mechanism (504 5.5.4, NO [CANNOT])
    - `busy`: too many failures from there, or the store cannot answer (454 4.7.0, NO [UNAVAILABLE], -ERR [SYS/TEMP])
    """

    kind: str
    words: str


# Sends a challenge (raw octets, the door encodes base64) and gives the client's raw response; None for `*`.
# The door raises nothing for a client that is gone: it cancels the task.
Exchange = Callable[[bytes], Awaitable[bytes | None]]


class Login:
    """The door-keeper. One for the house; safe to call from any number of connections of its loop."""

    async def authenticate(
        self, mechanism: str, initial: bytes | None, exchange: Exchange, peer: Peer, binding: bytes | None = None
    ) -> Account | LoginFailure:
        """One SASL exchange (RFC 4422). `initial` is the decoded initial response, None where absent, b"" for `=`.

        `binding` is the tls-server-end-point data where the connection has TLS. Never raises on client input.
        """
        raise NotImplementedError

    async def check(self, user: str, password: str, peer: Peer, mechanism: str = "LOGIN") -> Account | LoginFailure:
        """A name and a password in the clear (IMAP LOGIN, POP3 PASS); the door has refused it before TLS."""
        raise NotImplementedError
