"""The lab's CA: what it issues is trusted by a real TLS client that trusts it, and by no other."""

import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest

from posthouse.lab.authority import Authority, HostFiles


def shake(files: HostFiles, ca: Path, name: str) -> str:
    """A TLS handshake over a socket pair; gives back the version."""
    server_side, client_side = socket.socketpair()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    client = ssl.create_default_context(cafile=str(ca))

    def serve() -> None:
        try:
            with server.wrap_socket(server_side, server_side=True) as tls:
                tls.recv(1)
        except OSError:
            server_side.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(client_side, server_hostname=name) as tls:
            return tls.version() or ""
    finally:
        client_side.close()
        thread.join()


def test_a_client_that_trusts_the_ca_trusts_the_host(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path)
    files = authority.issue(tmp_path / "mx", ["mx.posthouse.test", "posthouse.test"], ["127.0.0.1"])
    assert shake(files, authority.path, "posthouse.test") == "TLSv1.3"
    assert shake(files, authority.path, "127.0.0.1") == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(files, authority.path, "far.test")


def test_another_ca_is_not_trusted(tmp_path: Path) -> None:
    files = Authority.open(tmp_path / "one").issue(tmp_path / "mx", ["mx.posthouse.test"])
    other = Authority.open(tmp_path / "two")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(files, other.path, "mx.posthouse.test")


def test_a_second_start_keeps_ca_and_certificate(tmp_path: Path) -> None:
    first = Authority.open(tmp_path).issue(tmp_path / "mx", ["mx.posthouse.test"])
    before = first.certificate.read_bytes(), first.key.read_bytes()
    again = Authority.open(tmp_path).issue(tmp_path / "mx", ["mx.posthouse.test"])
    assert (again.certificate.read_bytes(), again.key.read_bytes()) == before


def test_other_names_or_damage_make_a_new_certificate(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path)
    files = authority.issue(tmp_path / "mx", ["mx.posthouse.test"])
    before = files.certificate.read_bytes()
    authority.issue(tmp_path / "mx", ["mx.posthouse.test"], ["127.0.0.1"])
    assert files.certificate.read_bytes() != before
    files.certificate.write_text("torn")
    authority.issue(tmp_path / "mx", ["mx.posthouse.test"])
    assert shake(files, authority.path, "mx.posthouse.test") == "TLSv1.3"


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    files = Authority.open(tmp_path).issue(tmp_path / "mx", ["mx.posthouse.test"])
    for path in (files.key, tmp_path / "ca.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
