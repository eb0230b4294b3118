"""Certificates, contexts, and the passage from plaintext to TLS."""

import asyncio
import hashlib
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from posthouse.lab.authority import Authority
from posthouse.serve import tls
from posthouse.serve.tls import Keyring, TlsError
from serve.loops import on_both_loops, run

NAME = "mx.example.org"


class Upgrading(asyncio.Protocol):
    """On `STARTTLS` answers `go` and shakes hands; afterwards echoes, and remembers what it heard and when."""

    def __init__(self, keyring: Keyring, service: str = "smtp") -> None:
        self.keyring = keyring
        self.service = service
        self.transport: Any = None
        self.encrypted = False
        self.heard: list[tuple[bool, bytes]] = []
        self.lost = 0
        self.task: asyncio.Task[None] | None = None
        self.failure: BaseException | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if not self.encrypted and data.startswith(b"STARTTLS\r\n"):
            self.transport.write(b"go\r\n")
            self.task = asyncio.get_running_loop().create_task(self.upgrade())
            return
        self.heard.append((self.encrypted, data))
        self.transport.write(data)

    async def upgrade(self) -> None:
        try:
            self.transport = await tls.upgrade(
                self.transport, self, self.keyring.server(self.service), seconds=1.0
            )
            self.encrypted = True
        except (OSError, TimeoutError) as error:
            self.failure = error

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost += 1


async def serving(keyring: Keyring, service: str = "smtp") -> tuple[asyncio.Server, int, list[Upgrading]]:
    met: list[Upgrading] = []

    def made() -> Upgrading:
        met.append(Upgrading(keyring, service))
        return met[-1]

    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1], met


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=folder / tls.SELF_MADE)


async def until(what: Any) -> None:
    while not what():
        await asyncio.sleep(0.005)


@on_both_loops
def test_starttls_on_a_server_and_its_facts(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        keyring = Keyring(NAME, None, None, tmp_path)
        server, port, met = await serving(keyring)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"STARTTLS\r\n")
        assert await reader.readline() == b"go\r\n"
        await writer.start_tls(trusting(tmp_path), server_hostname=NAME)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        facts = tls.facts(met[0].transport)
        assert facts is not None
        assert facts.version == "TLSv1.3"
        assert facts.bits >= 128
        assert tls.binding(met[0].transport) == keyring.end_point
        assert met[0].heard == [(True, b"hello")]
        writer.close()
        await until(lambda: met[0].lost)
        assert met[0].lost == 1
        server.close()

    run(main(), loop)


@on_both_loops
def test_octets_in_the_flight_of_starttls_are_never_read_as_encrypted(loop: str, tmp_path: Path) -> None:
    """What follows STARTTLS in the same segment reaches the engine as plaintext (which drops it) or spoils the
    handshake; it never comes out of the TLS connection."""

    async def main() -> None:
        server, port, met = await serving(Keyring(NAME, None, None, tmp_path))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n")
        assert await reader.readline() == b"go\r\n"
        # A second flight, after the server has begun to shake hands.
        writer.write(b"RCPT TO:<victim@example.org>\r\n")
        await reader.read()
        await until(lambda: met[0].lost)
        assert not met[0].encrypted
        assert isinstance(met[0].failure, OSError)
        assert [data for encrypted, data in met[0].heard if encrypted] == []
        assert met[0].lost == 1
        writer.close()
        server.close()

    run(main(), loop)


class Hasty(asyncio.Protocol):
    """Sends its first encrypted octets in the same flight as the end of its handshake."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.inside, self.outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.inside, self.outside, server_hostname=NAME)
        self.plain = True
        self.transport: Any = None
        self.answer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(b"STARTTLS\r\n")

    def data_received(self, data: bytes) -> None:
        if self.plain:
            self.plain = False
            data = data.removeprefix(b"go\r\n")
        self.inside.write(data)
        try:
            if self.tls.version() is None or not self.tls.cipher():
                self.tls.do_handshake()
                self.tls.write(b"EHLO hasty\r\n")  # together with Finished
            self.answer += self.tls.read(100)
            self.done.set_result(None)
        except ssl.SSLWantReadError:
            pass
        if octets := self.outside.read():
            self.transport.write(octets)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


@on_both_loops
def test_octets_with_the_end_of_the_handshake_are_answered_encrypted(loop: str, tmp_path: Path) -> None:
    """The stdlib loop can deliver them before the new transport is known; the answer must not go out in the clear."""

    async def main() -> None:
        server, port, met = await serving(Keyring(NAME, None, None, tmp_path))
        context = trusting(tmp_path)
        _, hasty = await asyncio.get_running_loop().create_connection(lambda: Hasty(context), "127.0.0.1", port)
        await hasty.done
        assert hasty.answer == b"EHLO hasty\r\n"
        assert met[0].heard == [(True, b"EHLO hasty\r\n")]
        hasty.transport.close()
        await until(lambda: met[0].lost)
        server.close()

    run(main(), loop)


@on_both_loops
def test_a_peer_that_leaves_or_sleeps_in_the_handshake_is_let_go(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        server, port, met = await serving(Keyring(NAME, None, None, tmp_path))
        for leave in (True, False):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"STARTTLS\r\n")
            assert await reader.readline() == b"go\r\n"
            if leave:
                writer.close()
            await until(lambda: met[-1].lost and met[-1].failure)
            assert met[-1].lost == 1
            writer.close()
        server.close()

    run(main(), loop)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, session: Any = None) -> ssl.SSLObject:
    """Both sides in memory, to the end; gives the client's."""
    a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(a, b, server_side=True)
    theirs = client.wrap_bio(b, a, server_hostname=NAME, session=session)
    for _ in range(4):
        for side in (theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    ours.write(b".")
    assert theirs.read(1) == b"."
    return theirs


def test_a_session_ticket_is_worth_nothing_at_another_service(tmp_path: Path) -> None:
    keyring = Keyring(NAME, None, None, tmp_path)
    client = trusting(tmp_path)
    first = handshake(keyring.server("imap"), client)
    again = handshake(keyring.server("imap"), client, first.session)
    elsewhere = handshake(keyring.server("smtp"), client, first.session)
    assert again.session_reused
    assert not elsewhere.session_reused


@pytest.mark.parametrize("service", ["smtp", "imap"])
def test_nothing_older_than_tls_1_2_is_spoken(service: str, tmp_path: Path) -> None:
    keyring = Keyring(NAME, None, None, tmp_path)
    for context in (keyring.server(service), tls.opportunistic(), tls.verified()):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.options & ssl.OP_NO_COMPRESSION
    old = trusting(tmp_path)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        handshake(keyring.server(service), old)


def test_mail_programs_get_ciphers_with_forward_secrecy_only(tmp_path: Path) -> None:
    keyring = Keyring(NAME, None, None, tmp_path)
    names = [cipher["name"] for cipher in keyring.server("imap").get_ciphers()]
    assert names
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in names)
    assert all("GCM" in name or "CHACHA20" in name or "CCM" in name for name in names)


def test_relay_contexts_verify_where_they_must(tmp_path: Path) -> None:
    assert tls.opportunistic().verify_mode is ssl.CERT_NONE
    strict = tls.verified()
    assert strict.verify_mode is ssl.CERT_REQUIRED
    assert strict.check_hostname
    keyring = Keyring(NAME, None, None, tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(keyring.server("smtp"), strict)
    trusted = handshake(keyring.server("smtp"), tls.verified(tmp_path / tls.SELF_MADE))
    assert trusted.version() == "TLSv1.3"
    with pytest.raises(TlsError, match=r"nothing\.pem: No such file"):
        tls.verified(tmp_path / "nothing.pem")
    (tmp_path / "empty.pem").touch()
    with pytest.raises(TlsError, match=r"empty\.pem"):
        tls.verified(tmp_path / "empty.pem")


def test_the_self_made_certificate_is_kept_until_it_no_longer_fits(tmp_path: Path) -> None:
    first = Keyring(NAME, None, None, tmp_path)
    file = tmp_path / tls.SELF_MADE
    assert first.self_made
    assert file.stat().st_mode & 0o777 == 0o600
    octets = file.read_bytes()
    Keyring(NAME, None, None, tmp_path)
    assert file.read_bytes() == octets
    other = Keyring("mail.example.org", None, None, tmp_path)
    assert file.read_bytes() != octets
    assert other.end_point != first.end_point
    file.write_bytes(b"rubbish")
    with pytest.raises(TlsError, match="remove it"):
        Keyring(NAME, None, None, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {tls.SELF_MADE, "self-made.lock"}


def test_processes_that_begin_together_have_one_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []

    def slow(hostname: str) -> bytes:
        made.append(make(hostname))
        time.sleep(0.1)
        return made[-1]

    make = tls.self_made
    monkeypatch.setattr(tls, "self_made", slow)
    with ThreadPoolExecutor(8) as pool:
        rings = list(pool.map(lambda _: Keyring(NAME, None, None, tmp_path), range(8)))
    assert len(made) == 1
    assert len({ring.end_point for ring in rings}) == 1


def test_the_channel_binding_is_the_hash_of_the_certificate(tmp_path: Path) -> None:
    keyring = Keyring(NAME, None, None, tmp_path)
    shown = handshake(keyring.server("imap"), trusting(tmp_path)).getpeercert(binary_form=True)
    assert shown is not None
    assert keyring.end_point == hashlib.sha256(shown).digest()


def issued(folder: Path, name: str) -> tuple[Path, Path]:
    files = Authority.open(folder).issue(folder / name, [NAME])
    return files.certificate, files.key


def serial(keyring: Keyring, ca: Path) -> int:
    shown = handshake(keyring.server("imap"), ssl.create_default_context(cafile=ca)).getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number


def test_a_reload_shows_the_new_certificate_and_survives_a_broken_one(tmp_path: Path) -> None:
    certificate, key = issued(tmp_path, "one")
    keyring = Keyring(NAME, certificate, key, tmp_path)
    ca = tmp_path / "ca.pem"
    first, end_point, context = serial(keyring, ca), keyring.end_point, keyring.server("imap")
    new_certificate, new_key = issued(tmp_path, "two")
    certificate.write_bytes(new_certificate.read_bytes())
    with pytest.raises(TlsError, match="cannot be used"):
        keyring.reload()  # the key is still the old one
    assert serial(keyring, ca) == first
    assert keyring.end_point == end_point
    certificate.write_bytes(b"rubbish")
    with pytest.raises(TlsError, match="holds no certificate"):
        keyring.reload()
    key.unlink()
    certificate.write_bytes(new_certificate.read_bytes())
    with pytest.raises(TlsError, match="No such file"):
        keyring.reload()
    assert serial(keyring, ca) == first
    key.write_bytes(new_key.read_bytes())
    keyring.reload()
    assert serial(keyring, ca) != first
    # A connection from before still knows what it was opened with.
    assert context.end_point == end_point
    assert keyring.server("imap").end_point == keyring.end_point != end_point


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    certificate, key = issued(tmp_path, "one")
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        )
    )
    with pytest.raises(TlsError, match="the key is encrypted with a passphrase"):
        Keyring(NAME, certificate, key, tmp_path)


def test_small_buffers_are_one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    from asyncio import sslproto

    monkeypatch.setattr(sslproto.SSLProtocol, "max_size", sslproto.SSLProtocol.max_size)
    tls.small_buffers()
    assert sslproto.SSLProtocol.max_size == 16 * 1024
