"""Sealing (RFC 8617 §5.1): one more set for a message that goes on."""

from posthouse.checks.arc.chain import Arc
from posthouse.checks.dkim.keys import SigningKey
from posthouse.mail.headers import Octets
from posthouse.mail.instant import Instant


def seal(octets: Octets, key: SigningKey, chain: Arc, recorded: bytes, now: Instant, *, prefix: bytes = b"") -> bytes:
    """The three fields of the next set, CRLF included, to be put in front of everything; b"" where none may be added.

    `recorded` is the authres-payload: authserv-id and results, as in Authentication-Results without its name. `prefix`
    as in `dkim.sign`. Nothing is sealed on a chain that already says it failed, nor beyond 50 sets.
    """
    raise NotImplementedError
