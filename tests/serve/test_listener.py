"""Accepting: who gets in, who waits, who is turned away, and how everybody leaves."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.serve import listener as listener_module
from posthouse.serve.listener import Census, Conversation, Listener, ListenError, Visit, open_sockets, plain_ip
from posthouse.serve.metrics import Metrics
from posthouse.serve.tls import Keyring
from serve.loops import on_both_loops, run

REFUSAL = b"421 too many\r\n"


class Echo(asyncio.Protocol):
    """Says `hello`, then whatever it hears; `login` logs in, `deaf` makes it ignore the wish to leave."""

    def __init__(self, visit: Visit, deaf: bool = False) -> None:
        self.visit = visit
        self.deaf = deaf
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(b"hello\n")

    def data_received(self, data: bytes) -> None:
        if data == b"login":
            self.visit.logged_in()
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.visit.over()

    def drain(self) -> None:
        if not self.deaf:
            self.transport.write(b"bye\n")
            self.transport.close()


def opened(
    census: Census,
    door: Callable[[Visit], Conversation] = Echo,
    places: list[tuple[str, int]] | None = None,
    tls: Callable[[], ssl.SSLContext] | None = None,
) -> Listener:
    sockets = open_sockets(places or [("127.0.0.1", 0)])
    found = Listener("test", sockets, door, census, metrics=Metrics(), tls=tls, refusal=REFUSAL)
    found.start()
    return found


async def knock(port: int, host: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(host, port)


async def until(what: Callable[[], bool]) -> None:
    while not what():
        await asyncio.sleep(0.005)


@on_both_loops
def test_a_conversation_begins_and_ends(loop: str) -> None:
    async def main() -> None:
        census = Census()
        service = opened(census)
        reader, writer = await knock(service.port)
        assert await reader.readline() == b"hello\n"
        writer.write(b"x\n")
        assert await reader.readline() == b"x\n"
        assert census.open == 1
        writer.close()
        await until(lambda: census.open == 0)
        service.stop()

    run(main(), loop)


@on_both_loops
def test_the_eleventh_connection_of_an_address_is_turned_away(loop: str) -> None:
    async def main() -> None:
        census = Census(per_address=3)
        service = opened(census)
        inside = [await knock(service.port) for _ in range(3)]
        for reader, _ in inside:
            assert await reader.readline() == b"hello\n"
        reader, writer = await knock(service.port)
        assert await reader.read() == REFUSAL
        writer.close()
        # Who has logged in does not count any more.
        inside[0][1].write(b"login")
        assert await inside[0][0].readexactly(5) == b"login"
        another = await knock(service.port)
        assert await another[0].readline() == b"hello\n"
        for _, each in (*inside, another):
            each.close()
        await until(lambda: census.open == 0)
        reader, writer = await knock(service.port)
        assert await reader.readline() == b"hello\n"
        writer.close()
        await until(lambda: census.open == 0)
        service.stop()

    run(main(), loop)


def test_an_ipv6_network_has_a_count_of_its_own() -> None:
    census = Census(per_address=1, per_network=2)
    first, second = listener_module.network_key("2001:db8::1"), listener_module.network_key("2001:db8::ffff")
    assert first == second
    assert census.enter(first)
    assert census.enter(second)
    assert not census.enter(first)
    assert census.enter(listener_module.network_key("2001:db8:0:1::1"))
    assert census.enter(listener_module.network_key("192.0.2.1"))
    assert not census.enter(listener_module.network_key("192.0.2.1"))


def test_a_visit_gives_its_place_back_once() -> None:
    async def main() -> None:
        census = Census(per_address=2)
        service = Listener("test", [], Echo, census, metrics=Metrics())
        for _ in range(2):
            assert census.enter("192.0.2.1")
        visits = [Visit("test", "192.0.2.1", 1, "192.0.2.1", service) for _ in range(2)]
        visits[0].logged_in()
        visits[0].logged_in()
        visits[0].over()
        visits[0].over()
        visits[0].logged_in()
        assert census.open == 1
        assert census.enter("192.0.2.1")
        assert not census.enter("192.0.2.1")

    run(main())


@on_both_loops
def test_a_full_house_makes_them_wait_outside(loop: str) -> None:
    async def main() -> None:
        census = Census(per_address=100, total=2)
        service = opened(census)
        inside = [await knock(service.port) for _ in range(2)]
        for reader, _ in inside:
            assert await reader.readline() == b"hello\n"
        reader, writer = await knock(service.port)  # the kernel takes it into the backlog
        waiting = asyncio.ensure_future(reader.readline())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert census.open == 2
        inside[0][1].close()
        assert await waiting == b"hello\n"
        writer.close()
        inside[1][1].close()
        await until(lambda: census.open == 0)
        service.stop()

    run(main(), loop)


class Exhausted(socket.socket):
    """A listening socket whose process has no descriptors left, until `free`."""

    tries = 0
    free = False

    def accept(self) -> tuple[socket.socket, Any]:
        if not self.free:
            self.tries += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


@on_both_loops
def test_without_descriptors_accepting_rests_and_does_not_spin(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "REST_SECONDS", 0.05)

    async def main() -> None:
        plain = open_sockets([("127.0.0.1", 0)])[0]
        listening = Exhausted(fileno=plain.detach())
        census = Census()
        service = Listener("test", [listening], Echo, census, metrics=Metrics())
        service.start()
        reader, writer = await knock(service.port)
        await asyncio.sleep(0.3)
        assert 1 <= listening.tries <= 10  # once for each rest, not once for each turn of the loop
        listening.free = True
        assert await reader.readline() == b"hello\n"
        writer.close()
        await until(lambda: census.open == 0)
        service.stop()

    run(main(), loop)


@on_both_loops
def test_tls_is_done_after_the_counting_and_a_broken_handshake_gives_the_place_back(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        keyring = Keyring("mx.example.org", None, None, tmp_path)
        census = Census(per_address=2)
        service = opened(census, tls=lambda: keyring.server("test"))
        # One that never shakes hands holds a place; a second is turned away without a word.
        _, idle = await knock(service.port)
        reader, writer = await knock(service.port)
        await until(lambda: census.open == 2)
        refused, third = await knock(service.port)
        assert await refused.read() == b""
        third.close()
        # Rubbish instead of a handshake: out, and its place is free.
        writer.write(b"EHLO this is not TLS\r\n\r\n")
        await reader.read()
        writer.close()
        await until(lambda: census.open == 1)
        trusting = ssl.create_default_context(cafile=tmp_path / "self-made.pem")
        secure, secure_writer = await asyncio.open_connection(
            "127.0.0.1", service.port, ssl=trusting, server_hostname="mx.example.org"
        )
        assert await secure.readline() == b"hello\n"
        secure_writer.close()
        idle.close()
        await until(lambda: census.open == 0)
        service.stop()

    run(main(), loop)


@on_both_loops
def test_a_handshake_that_never_comes_ends(loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "HANDSHAKE_SECONDS", 0.1)

    async def main() -> None:
        keyring = Keyring("mx.example.org", None, None, tmp_path)
        census = Census()
        service = opened(census, tls=lambda: keyring.server("test"))
        reader, writer = await knock(service.port)
        await until(lambda: census.open == 1)
        assert await reader.read() == b""
        await until(lambda: census.open == 0)
        writer.close()
        service.stop()

    run(main(), loop)


@on_both_loops
def test_draining_asks_first_and_aborts_after_the_grace(loop: str) -> None:
    async def main() -> None:
        census = Census()
        deaf = iter([False, True])
        service = opened(census, lambda visit: Echo(visit, next(deaf)))
        polite = await knock(service.port)
        assert await polite[0].readline() == b"hello\n"
        rude = await knock(service.port)
        assert await rude[0].readline() == b"hello\n"
        port = service.port
        service.stop()
        with pytest.raises(ConnectionRefusedError):
            await knock(port)
        await service.drain(0.1)
        assert await polite[0].read() == b"bye\n"
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await rude[0].readexactly(1)
        assert census.open == 0
        for _, writer in (polite, rude):
            writer.close()

    run(main(), loop)


@on_both_loops
def test_draining_breaks_off_handshakes_that_do_not_end(
    loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "GOODBYE_SECONDS", 0.1)

    async def main() -> None:
        keyring = Keyring("mx.example.org", None, None, tmp_path)
        census = Census()
        service = opened(census, tls=lambda: keyring.server("test"))
        reader, writer = await knock(service.port)
        await until(lambda: census.open == 1)
        service.stop()
        await service.drain(20.0)
        assert census.open == 0
        assert await reader.read() == b""
        writer.close()

    run(main(), loop)


@on_both_loops
def test_who_was_just_accepted_is_told_too(loop: str) -> None:
    async def main() -> None:
        census = Census()
        service = opened(census)
        reader, writer = await knock(service.port)
        while not census.open:
            await asyncio.sleep(0)
        service.stop()
        await service.drain(5.0)
        assert await reader.read() == b"hello\nbye\n"
        writer.close()

    run(main(), loop)


def test_a_door_that_fails_leaves_no_place_taken() -> None:
    async def main() -> None:
        lost: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))

        def broken(visit: Visit) -> Conversation:
            raise RuntimeError("no door")

        census = Census()
        service = opened(census, broken)
        reader, writer = await knock(service.port)
        assert await reader.read() == b""
        writer.close()
        await until(lambda: census.open == 0)
        service.stop()

    run(main())


def test_a_star_listens_in_both_families_at_one_port() -> None:
    sockets = open_sockets([("*", 0)])
    try:
        assert {each.family for each in sockets} <= {socket.AF_INET, socket.AF_INET6}
        assert len({each.getsockname()[1] for each in sockets}) == 1
        assert len(sockets) == 2 or not socket.has_ipv6
        assert all(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for each in sockets)
    finally:
        for each in sockets:
            each.close()


def test_a_taken_port_is_named_and_nothing_stays_open() -> None:
    taken = open_sockets([("127.0.0.1", 0)])
    port = taken[0].getsockname()[1]
    with pytest.raises(ListenError, match=f"cannot listen at 127.0.0.1:{port}: Address already in use"):
        open_sockets([("127.0.0.1", 0), ("127.0.0.1", port)])
    taken[0].close()


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_addresses_are_written_one_way(given: str, plain: str) -> None:
    assert plain_ip(given) == plain
