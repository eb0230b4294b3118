"""Certificates and contexts: what TLS looks like on each service and towards each remote host.

TLS 1.2 or later, no compression, no renegotiation, no early data. Every service has a context of its own, and with it
keys of its own for session tickets, so that a ticket of one service is worth nothing at another.

    keys = Keyring(hostname, certificate, key, data_dir)     # a self-made certificate where none is configured
    context = keys.server("imap")                            # ask for it at each handshake: reload() swaps it
    transport = await upgrade(transport, protocol, context)  # STARTTLS and STLS

The private key has to be readable by the account the server runs as, or SIGHUP could not read a new one. Memory: an
idle connection costs 23 KB on uvloop; the stdlib loop sets aside 256 KiB for each, which `small_buffers` brings down to
one TLS record.
"""

import asyncio
import fcntl
import hashlib
import os
import ssl
from asyncio import sslproto
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from posthouse.mail.peer import TlsFacts

HANDSHAKE_SECONDS = 30.0
GOODBYE_SECONDS = 5.0  # for the peer's close_notify
HELD_OCTETS = 1 << 20  # of what a peer may send before an upgrade is complete
SELF_MADE = "self-made.pem"
_RECORD = 16 * 1024  # RFC 8446 §5.1: the largest piece of plaintext in a record
_SELF_MADE_DAYS = 3650
_RENEW_DAYS = 30

# RFC 8314 §4: mail programs are modern; RFC 9325 §4.2 for the list. Other servers on port 25 may need older suites,
# and an old suite is better there than no encryption at all (RFC 7435).
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_OLD_SERVICES = {"smtp"}


class TlsError(Exception):
    """Certificate or key cannot be used; the text says which file and why, in one line."""


class ServerContext(ssl.SSLContext):
    """The context of one service; remembers the channel binding of the certificate it shows."""

    end_point: bytes | None = None


class Keyring:
    """The certificate of this host and the contexts made from it. TlsError where it cannot be used."""

    def __init__(
        self, hostname: str, certificate: Path | None, key: Path | None, data_dir: Path, *, bind: bool = True
    ) -> None:
        """`bind`: whether logins may be bound to the connection, that is, whether SCRAM-SHA-256-PLUS is offered."""
        self.hostname = hostname
        self._bind = bind
        self.self_made = certificate is None or key is None
        self._certificate = certificate or data_dir / SELF_MADE
        self._key = key or self._certificate
        self._contexts: dict[str, ServerContext] = {}
        self.end_point: bytes | None = None
        self.expires = datetime.min.replace(tzinfo=UTC)
        self.reload()

    def server(self, service: str) -> ServerContext:
        """The context of a service (`smtp`, `imap`, `imaps`, …) as of the last good load."""
        context = self._contexts.get(service)
        if context is None:
            context = self._contexts[service] = self._context(service)
        return context

    def reload(self) -> None:
        """Read the files again. TlsError where they cannot be used: the old certificate stays in service."""
        if self.self_made:
            _provide_self_made(self._certificate, self.hostname)
        end_point, expires = _examine(self._certificate)
        if not self._bind:
            end_point = None
        services = tuple(self._contexts) or ("smtp",)
        old = self.end_point
        try:
            self.end_point = end_point
            contexts = {service: self._context(service) for service in services}
        except TlsError:
            self.end_point = old
            raise
        self._contexts = contexts
        self.expires = expires

    def _context(self, service: str) -> ServerContext:
        context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
        _harden(context)
        context.num_tickets = 1
        if service not in _OLD_SERVICES:
            context.set_ciphers(_CIPHERS)
        context.end_point = self.end_point
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except ssl.SSLError as error:
            raise TlsError(
                f"{self._certificate} and {self._key} cannot be used: {error.reason or error}"
            ) from None
        except OSError as error:
            raise TlsError(f"{self._key}: {error.strerror or error}") from None
        except ValueError as error:
            raise TlsError(f"{self._key}: {error}") from None
        return context


def _no_password() -> str:
    # Without this, OpenSSL asks at the terminal.
    raise ValueError("the key is encrypted with a passphrase, which a server cannot be asked for")


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # RFC 9325 §3.3, §3.5; early data is off unless switched on, and Python cannot.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def opportunistic() -> ssl.SSLContext:
    """For the relay to MX hosts: encrypts with whoever answers, verifies nobody (RFC 7435)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def verified(ca_file: Path | None = None) -> ssl.SSLContext:
    """For smarthosts: certificate and name must be right, by the system's roots and those in `ca_file`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    context.load_default_certs()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except ssl.SSLError as error:
            raise TlsError(f"{ca_file}: {error.reason or error}") from None
        except OSError as error:
            raise TlsError(f"{ca_file}: {error.strerror or error}") from None
    return context


def facts(transport: asyncio.BaseTransport) -> TlsFacts | None:
    """What was negotiated on a connection; None where it is not encrypted."""
    connection = transport.get_extra_info("ssl_object")
    if connection is None or (cipher := connection.cipher()) is None:
        return None
    name, _, bits = cipher
    return TlsFacts(connection.version() or "", name, bits)


def binding(transport: asyncio.BaseTransport) -> bytes | None:
    """Channel binding data of type tls-server-end-point (RFC 5929 §4) of a server's connection, for SCRAM-PLUS.

    It is that of the certificate this very connection was opened with, whatever was loaded since. tls-exporter
    (RFC 9266) cannot be had: Python's ssl gives no keying material out.
    """
    connection = transport.get_extra_info("ssl_object")
    context = None if connection is None else connection.context
    return context.end_point if isinstance(context, ServerContext) else None


def small_buffers() -> None:
    """Make the stdlib loop set aside one TLS record per connection instead of sixteen. It is a constant of asyncio
    that cannot be set for one loop alone; the house sets it when it starts on that loop."""
    sslproto.SSLProtocol.max_size = _RECORD


class _Gate(asyncio.Protocol):
    """Stands in for the protocol while the handshake runs and keeps what comes until the new transport is known."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self.protocol = protocol
        self.held: list[bytes] = []
        self.size = 0
        self.ended = False
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.size += len(data)
        if self.size <= HELD_OCTETS:
            self.held.append(bytes(data))

    def eof_received(self) -> None:
        self.ended = True

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            self.protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self.protocol.pause_writing()

    def resume_writing(self) -> None:
        self.protocol.resume_writing()


async def upgrade(
    transport: asyncio.Transport,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    *,
    server_side: bool = True,
    server_hostname: str | None = None,
    seconds: float = HANDSHAKE_SECONDS,
) -> asyncio.Transport:
    """STARTTLS: the handshake on an open connection, then the transport to use from now on.

    The caller has thrown away what it had read (only plaintext can be there). Decrypted octets that come before the
    handshake is known to be complete (the stdlib loop does that) reach `data_received` only after the caller's next
    await, so the caller takes the new transport into use first. `connection_made` is not called again.
    OSError (ssl.SSLError is one) or TimeoutError where the handshake fails: the connection is aborted then, and
    `connection_lost` is called once as ever, which the loops by themselves do not agree upon.
    """
    loop = asyncio.get_running_loop()
    gate = _Gate(protocol)
    try:
        encrypted = await loop.start_tls(
            transport,
            gate,
            context,
            server_side=server_side,
            server_hostname=server_hostname,
            ssl_handshake_timeout=seconds,
            ssl_shutdown_timeout=GOODBYE_SECONDS,
        )
        if encrypted is None or gate.size > HELD_OCTETS:
            raise ConnectionAbortedError("the peer left, or sent too much, while TLS was set up")
    except BaseException as error:
        transport.abort()
        loop.call_soon(gate.connection_lost, error if isinstance(error, OSError) else None)
        raise
    encrypted.set_protocol(protocol)
    if gate.held:
        loop.call_soon(protocol.data_received, b"".join(gate.held))
    if gate.ended:
        loop.call_soon(_end, protocol, encrypted)
    return encrypted


def _end(protocol: asyncio.Protocol, transport: asyncio.Transport) -> None:
    if not protocol.eof_received():
        transport.close()


def _examine(path: Path) -> tuple[bytes | None, datetime]:
    """The channel binding of the certificate in a file, and when it ends."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise TlsError(f"{path}: {error.strerror or error}") from None
    except ValueError:
        raise TlsError(f"{path}: holds no certificate in PEM form") from None
    signed_with = certificate.signature_hash_algorithm
    if signed_with is None:
        # RFC 5929 §4.1: not defined for signatures without a single hash, such as Ed25519.
        return None, certificate.not_valid_after_utc
    name = "sha256" if signed_with.name in ("md5", "sha1") else signed_with.name
    return hashlib.new(name, certificate.public_bytes(Encoding.DER)).digest(), certificate.not_valid_after_utc


def _provide_self_made(path: Path, hostname: str) -> None:
    """See that the self-made certificate is there; of several processes that begin together, one makes it."""
    try:
        lock = os.open(path.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise TlsError(f"{path}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _still_fits(path, hostname):
            _replace(path, self_made(hostname))
    finally:
        os.close(lock)


def _still_fits(path: Path, hostname: str) -> bool:
    """False where it is missing, for another name, or about to end."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise TlsError(f"{path}: {error}; remove it, and a new one is made") from None
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    ends = certificate.not_valid_after_utc
    return hostname in names.get_values_for_type(x509.DNSName) and ends > datetime.now(UTC) + timedelta(_RENEW_DAYS)


def _replace(path: Path, octets: bytes) -> None:
    """Whole or not at all, and readable by nobody else: it holds a private key."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


def self_made(hostname: str) -> bytes:
    """A new key (P-256) and a certificate for it that nobody vouches for, as one PEM text."""
    key = ec.generate_private_key(ec.SECP256R1())
    # RFC 5280, upper bound of a common name: 64 characters. Clients look at the alternative name.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_SELF_MADE_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)
