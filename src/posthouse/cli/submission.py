"""Submitting to a server over the network, as any mail program does: TLS first, login, one transaction (RFC 6409).

The house's own client engine on a plain blocking socket. Without TLS with a certificate that holds for the name
asked for, nothing is said, least of all a password. Where one recipient is refused, the connection is cut before the
message is sent, so that it goes to all or to none.
"""

import secrets
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from posthouse.cli.letterbox import EX_TEMPFAIL, EX_UNAVAILABLE, Receipt, Refusal, receipt
from posthouse.cli.terminal import Complaint
from posthouse.mail.envelope import Envelope
from posthouse.mail.reply import Reply
from posthouse.wire.buffer import ProtocolError
from posthouse.wire.sasl import SaslError, choose
from posthouse.wire.smtp.client import ClientEngine, ClientSettings
from posthouse.wire.smtp.events import (
    AuthChallenge,
    BodyWanted,
    ClientEvent,
    Goodbye,
    Greeted,
    LoggedIn,
    RcptReplied,
    Ready,
    Settled,
    TlsReady,
)

SUBMISSIONS_PORT, SUBMISSION_PORT = 465, 587
CONNECT_SECONDS = 30.0
# Where nothing says how TLS begins: a server that has not greeted by then probably waits for TLS itself.
GREETING_SECONDS = 5.0
CHUNK = 64 * 1024

_HUNG_UP = "the server closed the connection"
# RFC 5321 §4.2.5 leaves this one gap: the reply that would tell is lost.
_IN_DOUBT = " before it said whether it took the message; it may have"


@dataclass(frozen=True, slots=True)
class Place:
    """Where to submit; `at_once`: TLS from the first octet (RFC 8314 §3.3), by STARTTLS, or (None) as it turns out."""

    host: str
    port: int
    at_once: bool | None

    @classmethod
    def parse(cls, text: str) -> "Place":
        """`mx.example.org`, `mx.example.org:587`, `[2001:db8::1]:465`, `smtps://localhost:2465`; Complaint else."""
        scheme, _, rest = text.rpartition("://")
        host, colon, port = rest.rpartition(":")
        if not colon or rest.endswith("]"):
            host, port = rest, ""
        host = host.removeprefix("[").removesuffix("]")
        if scheme not in ("", "smtp", "smtps") or not host or not (port.isdecimal() or not port) or "/" in host:
            raise Complaint(f"--server {text!r}: say HOST, HOST:PORT or smtps://HOST:PORT")
        number = int(port or (SUBMISSION_PORT if scheme == "smtp" else SUBMISSIONS_PORT))
        if not 0 < number < 65536:
            raise Complaint(f"--server {text!r}: there is no port {number}")
        at_once = scheme == "smtps" if scheme else True if number == SUBMISSIONS_PORT else None
        return cls(host, number, at_once)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def submit(place: Place, ca: Path | None, login: str, password: str, envelope: Envelope, octets: bytes) -> Receipt:
    """Hand the message in there; Refusal with the server's own reply where it does not take it."""
    context = ssl.create_default_context()
    if ca is not None:
        try:
            context.load_verify_locations(ca)
        except (OSError, ssl.SSLError) as error:
            raise Complaint(f"{ca}: holds no certificate that can be read ({error})") from None
    try:
        session = _Session(place, context, login, password)
        try:
            return session.run(envelope, octets)
        finally:
            session.close()
    except ssl.SSLCertVerificationError as error:
        raise Complaint(f"{place}: its certificate is not to be trusted: {error.verify_message}") from None
    except _Silence as error:
        raise Complaint(f"{place}: {error}; where TLS begins at once, say smtps://{place}", EX_TEMPFAIL) from None
    except ssl.SSLError as error:
        hint = f"; where it begins by STARTTLS, say smtp://{place}" if place.at_once else ""
        raise Complaint(f"{place}: there is no TLS ({error.reason or error}){hint}", EX_TEMPFAIL) from None
    except OSError as error:
        raise Complaint(f"{place}: {error.strerror or error}", EX_TEMPFAIL) from None
    except EOFError as error:
        raise Complaint(f"{place}: {error}", EX_TEMPFAIL) from None
    except (ProtocolError, SaslError) as error:
        raise Complaint(f"{place}: {error}", EX_UNAVAILABLE) from None


class _Silence(Exception):
    """The server has not said a word."""


def _connect(place: Place, context: ssl.SSLContext) -> tuple[socket.socket, bool]:
    """A connection, and whether it is encrypted already. OSError."""
    plain = socket.create_connection((place.host, place.port), CONNECT_SECONDS)
    if place.at_once:
        return context.wrap_socket(plain, server_hostname=place.host), True
    if place.at_once is None and not _is_greeted(plain):
        try:
            other = socket.create_connection((place.host, place.port), CONNECT_SECONDS)
            encrypted = context.wrap_socket(other, server_hostname=place.host)
        except ssl.SSLCertVerificationError:
            plain.close()
            raise
        except OSError:
            # Then it is only slow; the first connection is still there.
            return plain, False
        plain.close()
        return encrypted, True
    return plain, False


def _is_greeted(connection: socket.socket) -> bool:
    """Whether the server begins to speak; what it says is left to be read."""
    connection.settimeout(GREETING_SECONDS)
    try:
        return connection.recv(1, socket.MSG_PEEK).isdigit()
    except OSError:
        return False


class _Session:
    """One connection, from greeting to goodbye."""

    def __init__(self, place: Place, context: ssl.SSLContext, login: str, password: str) -> None:
        self._place = place
        self._context = context
        self._socket, encrypted = _connect(place, context)
        # RFC 6409 lets a submission client give any name; ours is nobody's business.
        self._engine = ClientEngine(ClientSettings("localhost"), tls=encrypted)
        self._login = login
        self._password = password
        self._sent = False

    def run(self, envelope: Envelope, octets: bytes) -> Receipt:
        engine = self._engine
        self._greet()
        self._hello()
        if not engine.tls:
            engine.start_tls()
            self._expect(TlsReady, "STARTTLS")
            self._encrypt()
            engine.start_tls_done()
            self._hello()
        self._authenticate()
        engine.transact(envelope, len(octets))
        settled = self._transact(envelope, octets)
        # The message is theirs now; how they say goodbye changes nothing.
        with suppress(OSError, EOFError, ProtocolError):
            engine.quit()
            self._event()
        return receipt(settled, envelope)

    def close(self) -> None:
        self._socket.close()

    def _encrypt(self) -> None:
        self._socket = self._context.wrap_socket(self._socket, server_hostname=self._place.host)

    def _greet(self) -> None:
        try:
            self._expect(Greeted, "the server")
        except (OSError, EOFError):
            if self._engine.tls:
                raise
            raise _Silence("the server did not say a word") from None

    def _hello(self) -> None:
        self._engine.hello()
        self._expect(Ready, "EHLO")

    def _authenticate(self) -> None:
        offered = self._engine.capabilities.keywords.get("AUTH", "").split()
        nonce = secrets.token_urlsafe(24).encode()
        mechanism = choose(offered, self._login, self._password, nonce=nonce, tls=True)
        self._engine.login(mechanism)
        while isinstance(event := self._event(), AuthChallenge):
            self._engine.respond(mechanism.respond(event.octets))
        if not isinstance(event, LoggedIn):
            raise ProtocolError("the server said something else than whether the login is good")
        self._must(f"login as {self._login}", event.reply)

    def _transact(self, envelope: Envelope, octets: bytes) -> Reply:
        """Send the message; gives the reply to it. Nobody gets it where one recipient is refused."""
        while not isinstance(event := self._event(), Settled):
            if isinstance(event, RcptReplied):
                self._must(f"<{envelope.rcpt_to[event.index].address}>", event.reply)
            elif isinstance(event, BodyWanted):
                for start in range(0, len(octets), CHUNK):
                    self._engine.body(octets[start : start + CHUNK])
                    self._socket.sendall(self._engine.take())
                self._engine.body(b"", last=True)
                self._sent = True
        for reply in event.replies:
            self._must("the message", reply)
        return event.replies[0]

    def _expect(self, kind: type[Greeted | Ready | TlsReady], about: str) -> None:
        event = self._event()
        if not isinstance(event, kind):
            if isinstance(event, Goodbye):
                raise Refusal(about, event.reply)
            raise ProtocolError(f"{about} was answered by something else")
        self._must(about, event.reply)

    def _must(self, about: str, reply: Reply) -> None:
        if not reply.is_positive:
            raise Refusal(f"{self._place}: {about}", reply)

    def _event(self) -> ClientEvent:
        """The next event, whatever has to be sent and received for it; EOFError where the server hangs up."""
        while True:
            if octets := self._engine.take():
                self._socket.sendall(octets)
            event = self._engine.next_event()
            if event is not None:
                return event
            self._socket.settimeout(self._engine.patience)
            received = self._socket.recv(CHUNK)
            if not received:
                raise EOFError(_HUNG_UP + (_IN_DOUBT if self._sent else ""))
            self._engine.feed(received)
