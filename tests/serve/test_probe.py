"""Calling a mail host as far as STARTTLS: good ones, lazy ones, and those that are none."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from posthouse.checks.survey.encryption import Call
from posthouse.lab.authority import Authority
from posthouse.serve import probe as probing
from posthouse.serve import tls
from posthouse.serve.probe import probe
from serve.loops import on_both_loops, run

HOST = "mx.far.test"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def call(talk: Talk, ca: Path | None = None, loop: str = "asyncio") -> Call:
    """What comes of calling a host that talks like that."""
    found: list[Call] = []
    talks: list[asyncio.Task[None]] = []

    async def left(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk_now = asyncio.current_task()
        assert talk_now is not None
        talks.append(talk_now)
        # The prober has seen enough and leaves without a word.
        with contextlib.suppress(OSError, EOFError, AssertionError):
            await talk(reader, writer)
        writer.transport.abort()

    async def main() -> None:
        server = await asyncio.start_server(left, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            found.append(await probe(HOST, "127.0.0.1", port, helo="mx.posthouse.test", context=tls.verified(ca)))
            await asyncio.wait(talks, timeout=10)
            await asyncio.sleep(0.01)

    run(main(), loop)
    return found[0]


def speaking(context: ssl.SSLContext | None, *, offered: bool = True, behind: bytes = b"") -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220-mx.far.test\r\n220 ready\r\n")
        assert await reader.readline() == b"EHLO mx.posthouse.test\r\n"
        writer.write(b"250-mx.far.test\r\n" + (b"250-STARTTLS\r\n" if offered else b"") + b"250 SIZE 1000\r\n")
        if await reader.readline() == b"STARTTLS\r\n":
            if context is None:
                writer.write(b"454 4.7.0 not now\r\n")
                return
            writer.write(b"220 go\r\n" + behind)
            await writer.start_tls(context)
            await reader.read()

    return talk


def saying(octets: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        await writer.drain()
        await reader.read()

    return talk


def certified(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    authority = Authority.open(folder)
    files = authority.issue(folder / "host", [name])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context, authority.path


@on_both_loops
def test_a_good_host_shows_a_certificate_that_can_be_verified(tmp_path: Path, loop: str) -> None:
    context, ca = certified(tmp_path, HOST)
    found = call(speaking(context), ca, loop)
    assert (found.trouble, found.broken, found.distrust) == ("", "", "")
    assert found.offers_tls
    assert found.tls.startswith("TLSv1.3 TLS_")
    own = (tmp_path / "host.pem").read_text("ascii").partition("-----END CERTIFICATE-----")
    assert found.certificate == ssl.PEM_cert_to_DER_cert(own[0] + own[1])
    assert found.greeting == "mx.far.test"


@pytest.mark.parametrize("case", ["another name", "nobody vouches"])
def test_a_certificate_that_cannot_be_verified_is_seen_all_the_same(tmp_path: Path, case: str) -> None:
    context, ca = certified(tmp_path, HOST if case == "nobody vouches" else "mx.elsewhere.test")
    found = call(speaking(context), ca if case == "another name" else None)
    assert found.distrust
    assert found.certificate
    assert found.tls.startswith("TLSv1.3")


def test_a_host_without_encryption_is_told_so() -> None:
    found = call(speaking(None, offered=False))
    assert (found.trouble, found.offers_tls) == ("", False)


def test_a_host_that_does_not_keep_what_it_offers_is_told_so() -> None:
    assert call(speaking(None)).broken == "it answered 454 4.7.0 not now"


def test_what_stands_behind_the_answer_to_starttls_breaks_it(tmp_path: Path) -> None:
    context, ca = certified(tmp_path, HOST)
    found = call(speaking(context, behind=b"250 injected\r\n"), ca)
    assert "sent more behind its answer" in found.broken
    assert not found.tls


@pytest.mark.parametrize(("octets", "words"), [
    (b"554 5.7.1 no\r\n", "it answered 554 5.7.1 no"),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it does not speak SMTP"),
    (b"220-a\r\n" * 500, "its answer has no end"),
    (b"220 " + b"x" * 10_000, "its lines have no end"),
    (b"\xff\xfe\x00\r\n", "it does not speak SMTP"),
])  # fmt: skip
def test_what_is_no_mail_server_is_told_so(octets: bytes, words: str) -> None:
    assert words in call(saying(octets)).trouble


def test_a_host_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "ANSWER_SECONDS", 0.1)
    assert call(saying(b"")).trouble == "it did not finish within 0 seconds"


def test_where_nobody_listens_is_told_so() -> None:
    found: list[Call] = []

    async def main() -> None:
        found.append(await probe(HOST, "127.0.0.1", 1, helo="mx.posthouse.test", context=tls.verified()))

    run(main())
    assert "refused" in found[0].trouble.lower()
