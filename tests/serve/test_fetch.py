"""The fetcher: what it brings, where it does not go, and what it does not wait for."""

import asyncio
import gzip
import ssl
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from posthouse.checks.zonefile import Records, ZoneDns
from posthouse.mail.fetch import FetchFault
from posthouse.serve import fetch
from posthouse.serve.fetch import Fetcher
from serve.loops import on_both_loops, run
from serve.web import Says, Web, found, moved, open_web

HERE: Records = {"a.example": {"A": "127.0.0.1"}, "b.example": {"A": "127.0.0.1"}}
URL = "https://a.example/logo.svg"


Test = Callable[[Web], Awaitable[None]]


def with_web(folder: Path, says: dict[str, Says], test: Test, loop: str = "asyncio") -> None:
    async def main() -> None:
        async with open_web(folder, says, "a.example") as web:
            await test(web)

    run(main(), loop)


async def fault(fetcher: Fetcher, url: str = URL, limit: int = 1_000) -> FetchFault:
    with pytest.raises(FetchFault) as caught:
        await fetcher.get(url, limit=limit)
    return caught.value


@on_both_loops
def test_a_document_is_brought_with_the_name_in_sni_and_host(loop: str, tmp_path: Path) -> None:
    async def test(web: Web) -> None:
        assert await web.fetcher(HERE).get(URL + "?v=1#top", limit=1_000) == b"<svg/>"
        assert web.asked[0].startswith("GET /logo.svg?v=1 HTTP/1.1\r\nHost: a.example\r\n")

    with_web(tmp_path, {"/logo.svg?v=1": found(b"<svg/>")}, test, loop)


def test_an_answer_in_chunks_is_put_together(tmp_path: Path) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n<sv\r\n3\r\ng/>\r\n0\r\n\r\n"

    async def test(web: Web) -> None:
        assert await web.fetcher(HERE).get(URL, limit=1_000) == b"<svg/>"

    with_web(tmp_path, {"/logo.svg": b"HTTP/1.1 103 Early Hints\r\n\r\n" + chunked}, test)


def test_what_is_asked_for_in_the_clear_comes_in_the_clear(tmp_path: Path) -> None:
    async def test(web: Web) -> None:
        assert await web.fetcher(HERE).get("http://a.example/list.crl", limit=1_000) == b"list"

    with_web(tmp_path, {"/list.crl": found(b"list")}, test)


INSIDE = [
    "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.9.9", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.5",
    "255.255.255.255", "192.0.2.1", "168.63.129.16",
]  # fmt: skip
INSIDE_V6 = [
    "::1", "::", "fe80::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1",
    "2002:7f00:1::1", "2001:db8::1", "ff02::1",
]  # fmt: skip


@pytest.mark.parametrize("ip", [*INSIDE, *INSIDE_V6])
def test_nothing_is_asked_of_an_address_from_inside(
    ip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(web: Web) -> None:
        connected = watched(monkeypatch)
        zone: Records = {"a.example": {"AAAA" if ":" in ip else "A": ip}}
        refused = await fault(web.fetcher(zone, allowed=()))
        assert str(refused) == "a.example has an address outside the public internet"
        assert not refused.temporary
        assert not connected
        assert not web.asked

    with_web(tmp_path, {"/logo.svg": found(b"<svg/>")}, test)


def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses to which connections are opened from now on."""
    connected: list[str] = []
    really = asyncio.open_connection

    async def watch(host: str, *args: object, **more: object) -> object:
        connected.append(host)
        return await really(host, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(fetch.asyncio, "open_connection", watch)
    return connected


def test_one_address_from_inside_among_others_is_enough_to_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(web: Web) -> None:
        connected = watched(monkeypatch)
        zone: Records = {"a.example": {"A": ["1.1.1.1", "127.0.0.1"], "AAAA": "2606:4700::1"}}
        assert "outside the public internet" in str(await fault(web.fetcher(zone, allowed=())))
        zone = {"a.example": {"A": "1.1.1.1", "AAAA": "fd00::1"}}
        assert "outside the public internet" in str(await fault(web.fetcher(zone, allowed=())))
        assert not connected

    with_web(tmp_path, {}, test)


def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that changes its address between two questions gains nothing: there is one question."""

    async def test(web: Web) -> None:
        connected = watched(monkeypatch)
        asked: list[str] = []

        class Rebinding(ZoneDns):
            async def a(self, name: str):  # type: ignore[no-untyped-def]
                asked.append(name)
                return await super().a(name) if len(asked) == 1 else await super().a("inside.example")

        zone: Records = {"a.example": {"A": "127.0.0.1"}, "inside.example": {"A": "10.0.0.1"}}
        fetcher = web.fetcher({})
        fetcher._dns = Rebinding(zone)
        assert await fetcher.get(URL, limit=1_000) == b"<svg/>"
        assert asked == ["a.example"]
        assert connected == ["127.0.0.1"]

    with_web(tmp_path, {"/logo.svg": found(b"<svg/>")}, test)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://127.0.0.1/", "names no host"),
        ("https://[::1]/", "names no host"),
        ("https://2130706433/", "names no host"),
        ("https://0x7f.1/", "names no host"),
        ("https://localhost/", "names no host"),
        ("https://a.example:22/", "user or a port"),
        ("http://a.example:443/", "user or a port"),
        ("https://a.example:70000/", "malformed"),
        ("https://you@a.example/", "user or a port"),
        ("https://a.example@b.example/", "user or a port"),
        ("https:///x", "names no host"),
        ("file:///etc/passwd", "malformed"),
        ("ftp://a.example/", "malformed"),
        ("gopher://a.example/_x", "malformed"),
        ("https://a.example/\r\nX: y", "malformed"),
        ("https://a.example/ b", "malformed"),
        ("https://a.exämple/", "malformed"),
        ("https://-a.example/", "names no host"),
        (f"https://a.example/{'x' * 2_000}", "malformed"),
    ],
)
def test_a_url_that_could_mean_something_else_is_not_asked_for(url: str, words: str, tmp_path: Path) -> None:
    async def test(web: Web) -> None:
        refused = await fault(web.fetcher(HERE), url)
        assert words in str(refused)
        assert not refused.temporary
        assert not web.asked

    with_web(tmp_path, {}, test)


def test_a_certificate_for_another_name_ends_it_before_the_request(tmp_path: Path) -> None:
    async def test(web: Web) -> None:
        refused = await fault(web.fetcher(HERE), "https://b.example/logo.svg")
        assert str(refused).startswith("the certificate of b.example is not valid: ")
        assert not web.asked

    with_web(tmp_path, {"/logo.svg": found(b"<svg/>")}, test)


def test_a_certificate_of_a_stranger_ends_it_before_the_request(tmp_path: Path) -> None:
    async def test(web: Web) -> None:
        fetcher = Fetcher(
            ZoneDns(HERE), ssl.create_default_context(), allowed=(ip_network("127.0.0.0/8"),), ports={443: web.secure}
        )
        assert "is not valid" in str(await fault(fetcher))
        assert not web.asked

    with_web(tmp_path, {"/logo.svg": found(b"<svg/>")}, test)


def test_a_context_that_checks_nothing_is_refused() -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    with pytest.raises(ValueError):
        Fetcher(ZoneDns({}), context)


def test_a_redirection_is_followed_by_the_same_rules(tmp_path: Path) -> None:
    says: dict[str, Says] = {
        "/logo.svg": moved("/2"), "/2": moved("https://a.example/3", "308 Permanent Redirect"), "/3": found(b"<svg/>"),
        "/inside": moved("https://inside.example/"), "/metadata": moved("http://169.254.169.254/latest"),
        "/port": moved("https://a.example:8080/"), "/clear": moved("http://a.example/3"),
        "/round": moved("/round"), "/odd": moved("file:///etc/passwd"),
    }  # fmt: skip

    async def test(web: Web) -> None:
        fetcher = web.fetcher({**HERE, "inside.example": {"A": "10.0.0.1"}})
        assert await fetcher.get(URL, limit=1_000) == b"<svg/>"
        told = {path: str(await fault(fetcher, f"https://a.example{path}")) for path in list(says)[3:]}
        assert told == {
            "/inside": "inside.example has an address outside the public internet",
            "/metadata": "its URL names no host",
            "/port": "its URL has a user or a port",
            "/clear": "it leads to a place without encryption",
            "/round": "it leads on more than 3 times",
            "/odd": "its URL is malformed",
        }
        assert len([each for each in web.asked if each.startswith("GET /round ")]) == 4

    with_web(tmp_path, says, test)


def test_where_none_may_be_followed_the_first_redirection_is_the_end(tmp_path: Path) -> None:
    async def test(web: Web) -> None:
        fetcher = web.fetcher(HERE, redirects=0)
        assert str(await fault(fetcher)) == "it leads on to another place, which is not followed"
        assert await fetcher.get("https://a.example/2", limit=1_000) == b"<svg/>"

    with_web(tmp_path, {"/logo.svg": moved("/2"), "/2": found(b"<svg/>")}, test)


def test_a_document_that_is_too_large_is_not_read_to_its_end(tmp_path: Path) -> None:
    async def flood(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(65_536))
            await writer.drain()

    async def chunks(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\nx\r\n" * 10_000)
            await writer.drain()

    # Of the first nothing comes: it is refused for what it says.
    told = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"
    says: dict[str, Says] = {"/told": told, "/untold": flood, "/chunks": chunks}

    async def test(web: Web) -> None:
        for path in says:
            refused = await fault(web.fetcher(HERE), f"https://a.example{path}")
            assert (str(refused), refused.temporary) == ("it has more than 1,000 octets", False)
        web.says["/just"] = found(bytes(1_000))
        assert len(await web.fetcher(HERE).get("https://a.example/just", limit=1_000)) == 1_000

    with_web(tmp_path, says, test)


def test_what_is_packed_is_refused_unread(tmp_path: Path) -> None:
    async def test(web: Web) -> None:
        assert str(await fault(web.fetcher(HERE))) == "a.example sends it packed"
        assert "Accept-Encoding: identity" in web.asked[0]

    bomb = gzip.compress(bytes(1_000_000))
    with_web(tmp_path, {"/logo.svg": found(bomb, "Content-Encoding: gzip")}, test)


def test_a_host_that_takes_its_time_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async def test(web: Web) -> None:
        monkeypatch.setattr(fetch, "SECONDS", 0.3)
        for path in ("/drip", "/silent"):
            refused = await fault(web.fetcher(HERE), f"https://a.example{path}")
            assert "did not come within" in str(refused)
            assert refused.temporary

    with_web(tmp_path, {"/drip": drip, "/silent": silent}, test)


@pytest.mark.parametrize(
    ("says", "words", "temporary"),
    [
        (found(b"", status="404 Not Found"), "a.example answers 404", False),
        (found(b"", status="503 Service Unavailable"), "a.example answers 503", True),
        (found(b"", status="429 Too Many Requests"), "a.example answers 429", True),
        (found(b"", status="304 Not Modified"), "a.example answers 304", False),
        (found(b"", status="302 Found"), "a.example answers 302", False),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "does not speak HTTP", False),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000, "does not speak HTTP", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n01", "does not speak HTTP", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n012", "broke", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 50, "broke", True),
        (b"", "broke", True),
    ],
)
def test_an_answer_that_is_no_document_is_told_by_its_reason(
    says: bytes, words: str, temporary: bool, tmp_path: Path
) -> None:
    async def test(web: Web) -> None:
        refused = await fault(web.fetcher(HERE))
        assert words in str(refused)
        assert refused.temporary is temporary

    with_web(tmp_path, {"/logo.svg": says}, test)


def test_names_that_are_not_there_are_told_from_a_dns_that_is_silent(tmp_path: Path) -> None:
    async def test(web: Web) -> None:
        missing = await fault(web.fetcher({}))
        silent = await fault(web.fetcher({"a.example": {"ANY": "TIMEOUT"}}))
        assert (str(missing), missing.temporary) == ("there is no host a.example", False)
        assert (str(silent), silent.temporary) == ("the DNS gave no answer about a.example", True)

    with_web(tmp_path, {}, test)


def test_a_host_that_is_down_may_be_up_later(tmp_path: Path) -> None:
    async def test(web: Web) -> None:
        web.secure = 9
        refused = await fault(web.fetcher(HERE))
        assert (str(refused), refused.temporary) == ("a.example cannot be reached", True)

    with_web(tmp_path, {}, test)
