"""Where `send --server` goes, how it finds out how TLS begins there, and what it refuses before it says anything."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from posthouse.cli import submission
from posthouse.cli.letterbox import Refusal
from posthouse.cli.submission import Place, submit
from posthouse.cli.terminal import Complaint
from posthouse.lab.authority import Authority
from posthouse.mail.address import Address
from posthouse.mail.envelope import Body, Envelope, RcptTo

YOU = Address.parse("you@example.org")
LETTER = Envelope(YOU, (RcptTo(YOU),), Body.SEVEN_BIT, False)
# It has come as far as it can come here: the greeting was read.
GREETING = b"554 5.7.0 nobody is at home\r\n"
Guest = Callable[[socket.socket, ssl.SSLContext], None]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("mx.example.org", Place("mx.example.org", 465, True)),
        ("mx.example.org:465", Place("mx.example.org", 465, True)),
        ("mx.example.org:587", Place("mx.example.org", 587, None)),
        ("mx.example.org:2587", Place("mx.example.org", 2587, None)),
        ("smtps://localhost:2465", Place("localhost", 2465, True)),
        ("smtp://localhost", Place("localhost", 587, False)),
        ("smtp://localhost:465", Place("localhost", 465, False)),
        ("[2001:db8::1]:465", Place("2001:db8::1", 465, True)),
        ("[2001:db8::1]", Place("2001:db8::1", 465, True)),
    ],
)
def test_a_place_tells_host_port_and_how_tls_begins(text: str, place: Place) -> None:
    assert Place.parse(text) == place


@pytest.mark.parametrize("text", ["", ":25", "host:0", "host:65536", "host:x", "http://host", "host/path"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(Complaint):
        Place.parse(text)


def encrypted(guest: socket.socket, context: ssl.SSLContext) -> None:
    """TLS from the first octet."""
    with context.wrap_socket(guest, server_side=True) as session:
        session.sendall(GREETING)
        session.recv(100)


def plain(guest: socket.socket, context: ssl.SSLContext) -> None:
    guest.sendall(GREETING)
    guest.recv(100)


def slow(guest: socket.socket, context: ssl.SSLContext) -> None:
    """Greets its first caller once somebody has called a second time and said more than he should."""
    with contextlib.suppress(TimeoutError):
        if guest.recv(1000):
            return
    guest.sendall(GREETING)
    guest.recv(100)


def curt(guest: socket.socket, context: ssl.SSLContext) -> None:
    """Hangs up without a word."""


@contextmanager
def server(folder: Path, manners: Guest) -> Iterator[tuple[int, Path]]:
    """A port of loopback where every guest is met so, and the authority to trust there."""
    authority = Authority.open(folder)
    files = authority.issue(folder / "localhost", ["localhost"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)

    def meet(guest: socket.socket) -> None:
        guest.settimeout(0.5)
        with guest, contextlib.suppress(OSError):
            manners(guest, context)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                guest, _ = listening.accept()
                threading.Thread(target=meet, args=(guest,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], authority.path
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("scheme", "manners", "error", "words"),
    [
        ("", encrypted, Refusal, "554 5.7.0"),
        ("", plain, Refusal, "554 5.7.0"),
        ("", slow, Refusal, "554 5.7.0"),
        ("", curt, Complaint, "did not say a word; where TLS begins at once, say smtps://localhost:"),
        ("smtps://", encrypted, Refusal, "554 5.7.0"),
        ("smtps://", plain, Complaint, "no TLS (WRONG_VERSION_NUMBER); where it begins by STARTTLS, say smtp://"),
        ("smtp://", plain, Refusal, "554 5.7.0"),
        ("smtp://", encrypted, Complaint, "did not say a word; where TLS begins at once, say smtps://localhost:"),
    ],
)  # fmt: skip
def test_how_tls_begins_is_found_out_or_said_in_one_line(
    scheme: str, manners: Guest, error: type[Exception], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "GREETING_SECONDS", 0.1)
    with server(tmp_path, manners) as (port, ca), pytest.raises(error) as caught:
        submit(Place.parse(f"{scheme}localhost:{port}"), ca, "you", "secret", LETTER, b"x\r\n")
    assert type(caught.value) is error
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_where_nobody_listens_is_said_without_numbers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(Complaint) as caught:
        submit(Place.parse(f"127.0.0.1:{port}"), None, "you", "secret", LETTER, b"x\r\n")
    assert str(caught.value) == f"127.0.0.1:{port}: Connection refused"


def test_a_certificate_that_is_not_to_be_trusted_ends_it_also_where_tls_was_only_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "GREETING_SECONDS", 0.1)
    with server(tmp_path, encrypted) as (port, _), pytest.raises(Complaint, match="certificate is not to be trusted"):
        submit(Place.parse(f"localhost:{port}"), None, "you", "secret", LETTER, b"x\r\n")
