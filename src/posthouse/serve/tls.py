"""Certificates and contexts: what TLS looks like on each service and towards each remote host.

TLS 1.2 or later, no compression, no renegotiation, no early data. Every service has a context of its own, so that a
session ticket of one is worth nothing at another.

    keys = Keyring(hostname, certificate, key, data_dir)     # a self-made certificate where none is configured
    context = keys.server("imap")                            # ask for it at each handshake: reload() swaps it
    transport = await upgrade(transport, protocol, context)  # STARTTLS and STLS
"""

import asyncio
import ssl
from pathlib import Path

from posthouse.mail.peer import TlsFacts

HANDSHAKE_SECONDS = 30.0


class TlsError(Exception):
    """Certificate or key cannot be used; the text says which file and why, in one line."""


class Keyring:
    """The certificate of this host and the contexts made from it."""

    self_made: bool

    def __init__(self, hostname: str, certificate: Path | None, key: Path | None, data_dir: Path) -> None: ...

    def server(self, service: str) -> ssl.SSLContext:
        """The context of a service (`smtp`, `imap`, …) as of the last good load; TLS and STARTTLS of one share it."""
        raise NotImplementedError

    def reload(self) -> None:
        """Read the files again. TlsError where they cannot be used: the old certificate stays in service."""

    @property
    def end_point(self) -> bytes:
        """Channel binding data of type tls-server-end-point (RFC 5929 §4.1) for the certificate in service."""
        raise NotImplementedError


def opportunistic() -> ssl.SSLContext:
    """For the relay to MX hosts: encrypts with whoever answers, verifies nobody (RFC 7435)."""
    raise NotImplementedError


def verified(ca_file: Path | None = None) -> ssl.SSLContext:
    """For smarthosts: certificate and name must be right, system roots and `ca_file`."""
    raise NotImplementedError


def facts(transport: asyncio.BaseTransport) -> TlsFacts | None:
    """What was negotiated on a connection; None where it is not encrypted."""
    raise NotImplementedError


async def upgrade(
    transport: asyncio.Transport,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    *,
    server_side: bool = True,
    server_hostname: str | None = None,
    timeout: float = HANDSHAKE_SECONDS,
) -> asyncio.Transport:
    """STARTTLS: the handshake on an open connection, then the transport to use from now on.

    The caller must have thrown away what it had read (only plaintext can be there) and must hold what
    `data_received` brings until this returns: the stdlib loop may deliver decrypted octets before that.
    ssl.SSLError, ConnectionError or TimeoutError where the handshake fails: close the connection then.
    """
    raise NotImplementedError
