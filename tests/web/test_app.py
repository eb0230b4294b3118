"""The pages, over real sockets: what they say, to whom, and what a hostile client gets."""

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_network

import pytest

from posthouse.serve.listener import Census, Listener, open_sockets
from posthouse.serve.metrics import Metrics
from posthouse.web import app as app_module
from posthouse.web.app import Site
from posthouse.web.status import Service, Status, page
from serve.loops import on_both_loops, run

NAME = "mx.example.org"


class Facts:
    def __init__(self) -> None:
        self.healthy = True
        self.broken = False
        self.slow = asyncio.Event()
        self.slow.set()

    async def status(self) -> Status:
        await self.slow.wait()
        if self.broken:
            raise RuntimeError("the secret of the house")
        services = (Service("Mail <b>", (25,), "STARTTLS"),)
        return Status(services, 90_061.0, self.healthy, {"waiting": 1234}, 7)

    async def metrics(self) -> bytes:
        return b"posthouse_up 1\n"


class Pages:
    """A listening site and a client."""

    def __init__(self, networks: tuple[str, ...]) -> None:
        self.facts = Facts()
        self.failures: list[Exception] = []
        site = Site(NAME, self.facts, [ip_network(each) for each in networks], failed=self.failures.append)
        self.census = Census()
        self.listener = Listener(
            "http", open_sockets([("127.0.0.1", 0)]), site.door, self.census, metrics=Metrics()
        )
        self.listener.start()

    async def raw(self, octets: bytes) -> bytes:
        """Everything that comes back until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        writer.write(octets)
        try:
            return await reader.read()
        finally:
            writer.close()

    async def get(self, path: str, host: str = "localhost", method: str = "GET") -> tuple[int, dict[str, str], str]:
        answer = await self.raw(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        head, _, body = answer.decode().partition("\r\n\r\n")
        status, *fields = head.split("\r\n")
        named = dict(field.lower().split(": ", 1) for field in fields)
        assert len(named) == len(fields), "a field occurs twice"
        return int(status.split()[1]), named, body


def on_pages(
    test: Callable[[Pages], Awaitable[None]], loop: str = "asyncio", networks: tuple[str, ...] = ("127.0.0.0/8",)
) -> None:
    async def main() -> None:
        pages = Pages(networks)
        await test(pages)
        pages.listener.stop()
        await pages.listener.drain(5.0)
        assert pages.census.open == 0

    run(main(), loop)


@on_both_loops
def test_the_page_says_what_runs_here(loop: str) -> None:
    async def test(pages: Pages) -> None:
        status, fields, body = await pages.get("/")
        assert status == 200
        assert fields["content-type"] == "text/html; charset=utf-8"
        assert NAME in body
        assert "All services are running" in body
        assert "Up for 1 day 1 hour" in body
        assert "1,234" in body
        assert "Mail &lt;b&gt;" in body
        pages.facts.healthy = False
        assert "Something is wrong" in (await pages.get("/"))[2]

    on_pages(test, loop)


def test_the_page_needs_nothing_from_elsewhere_and_forbids_it() -> None:
    async def test(pages: Pages) -> None:
        for path in ("/", "/healthz", "/metrics", "/nothing"):
            _, fields, body = await pages.get(path)
            assert fields["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
            assert "frame-ancestors 'none'" in fields["content-security-policy"]
            assert fields["x-content-type-options"] == "nosniff"
            assert fields["referrer-policy"] == "no-referrer"
            assert "server" not in fields
            assert fields["date"].endswith(" gmt")
            for word in ("<script", "http://", "https://", "url(", "@import", " style=", " onclick"):
                assert word not in body

    on_pages(test)


def test_health_is_a_status_code() -> None:
    async def test(pages: Pages) -> None:
        assert (await pages.get("/healthz"))[::2] == (200, "ok\n")
        pages.facts.healthy = False
        assert (await pages.get("/healthz"))[::2] == (503, "unwell\n")

    on_pages(test)


def test_numbers_are_for_the_networks_that_may_read_them() -> None:
    async def allowed(pages: Pages) -> None:
        assert (await pages.get("/metrics"))[::2] == (200, "posthouse_up 1\n")

    async def refused(pages: Pages) -> None:
        assert (await pages.get("/metrics"))[0] == 403
        body = (await pages.get("/"))[2]
        assert NAME in body
        assert "1,234" not in body

    on_pages(allowed)
    on_pages(refused, networks=("192.0.2.0/24", "2001:db8::/32"))


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:2080", NAME, NAME + ".", "127.0.0.1:80", "[::1]:8080"])
def test_our_names_and_addresses_are_answered(host: str) -> None:
    async def test(pages: Pages) -> None:
        assert (await pages.get("/healthz", host))[0] == 200

    on_pages(test)


@pytest.mark.parametrize("host", ["evil.example", NAME + ".evil.example", "", "127.0.0.1.evil.example", "x" * 500])
def test_a_name_pointed_at_us_by_others_is_not_answered(host: str) -> None:
    async def test(pages: Pages) -> None:
        status, _, body = await pages.get("/metrics", host)
        assert status in (400, 421)
        assert "posthouse_up" not in body

    on_pages(test)


def test_only_what_is_there_and_only_to_be_read() -> None:
    async def test(pages: Pages) -> None:
        assert (await pages.get("/nothing"))[0] == 404
        assert (await pages.get("/", method="POST"))[0] == 405
        assert (await pages.get("/", method="HEAD"))[::2] == (200, "")
        assert (await pages.get("/../../etc/passwd"))[0] == 404

    on_pages(test)


def test_a_failure_within_tells_the_client_nothing() -> None:
    async def test(pages: Pages) -> None:
        pages.facts.broken = True
        status, fields, body = await pages.get("/")
        assert (status, body) == (500, "Internal Server Error")
        assert "content-security-policy" in fields
        assert [str(failure) for failure in pages.failures] == ["the secret of the house"]

    on_pages(test)


@pytest.mark.parametrize(
    "octets",
    [
        b"\r\n\r\n\r\n",
        b"EHLO mx\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\nRUBBISH\0\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nRUBBISH\0\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n\r\n",
    ],
)
@on_both_loops
def test_whatever_a_client_sends_the_house_stands(octets: bytes, loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "REQUEST_SECONDS", 0.5)

    async def test(pages: Pages) -> None:
        try:
            answer = await pages.raw(octets)
            assert not answer or answer.startswith(b"HTTP/1.1 ")
            assert b"Traceback" not in answer
        except ConnectionResetError:
            pass
        assert (await pages.get("/healthz"))[0] == 200
        assert not pages.failures

    on_pages(test, loop)


@on_both_loops
def test_a_body_that_breaks_after_the_answer_breaks_nothing_else(loop: str) -> None:
    async def test(pages: Pages) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", pages.listener.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 405 ")
        writer.write(b"not a chunk\r\n")
        try:
            await reader.read()
        except ConnectionResetError:
            pass
        writer.close()
        assert not pages.failures

    on_pages(test, loop)


@on_both_loops
def test_who_brings_no_request_is_let_go(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "REQUEST_SECONDS", 0.1)

    async def test(pages: Pages) -> None:
        for begin in (b"", b"GET / HTTP/1.1\r\nHost: loc"):
            try:
                assert await pages.raw(begin) == b""
            except ConnectionResetError:
                pass

    on_pages(test, loop)


@on_both_loops
def test_leaving_answers_what_was_asked(loop: str) -> None:
    async def test(pages: Pages) -> None:
        pages.facts.slow.clear()
        asked = asyncio.ensure_future(pages.get("/healthz"))
        reader, idle = await asyncio.open_connection("127.0.0.1", pages.listener.port)
        while pages.census.open < 2:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        pages.listener.stop()
        leaving = asyncio.ensure_future(pages.listener.drain(5.0))
        assert await reader.read() == b""
        idle.close()
        assert not asked.done()
        pages.facts.slow.set()
        assert (await asked)[0] == 200
        await leaving

    on_pages(test, loop)


def test_a_page_is_the_same_whatever_the_host_is_called() -> None:
    shown = page("<script>alert(1)</script>", Status((), 0.2, True), numbers=True)
    assert "<script" not in shown
    assert "Up for less than a second" in shown
