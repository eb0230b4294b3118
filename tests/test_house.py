"""A house: built from settings, alone in its loop or beside another, and replaced while it stands."""

import asyncio
import smtplib
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from posthouse.config import Config, ConfigError, Dns, Duration, Endpoint, Journeys, Limits, Listen, Log, Relay, Tls
from posthouse.house import House, Standing, plan
from posthouse.mail.address import Address
from posthouse.mail.instant import DAY
from posthouse.route.exchanges import TlsRule
from posthouse.serve.listener import ListenError, open_sockets
from posthouse.serve.log import silent
from posthouse.serve.metrics import Metrics, SharedMetrics
from posthouse.serve.sketch import SharedLimits
from posthouse.serve.supervisor import ServeError
from posthouse.serve.tls import TlsError
from posthouse.store import credentials, directory, journeys, queue
from posthouse.store.blobs import Content, put
from posthouse.store.database import Fault, StoreFault, Transaction
from posthouse.store.ids import Ids
from serve.loops import on_both_loops, run

T = TypeVar("T")
FREE = (Endpoint("127.0.0.1", 0),)


def settings(folder: Path, **more: Any) -> Config:
    services = dict.fromkeys(Listen.__struct_fields__, FREE)
    return Config(**{
        "hostname": "mx.example.org",
        "data_dir": folder / "data",
        "listen": Listen(**services),
        "dns": Dns(servers=(Endpoint("127.0.0.1", 9),)),
        **more,
    })  # fmt: skip


async def asked(port: int, words: bytes = b"") -> bytes:
    """What one line of a server says."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(words)
        return await reader.readline()
    finally:
        writer.close()


async def settle_in(house: House) -> None:
    def enter(tx: Transaction) -> None:
        directory.add_domain(tx, "example.org", house.clock())
        now = house.clock()
        account = directory.add_account(tx, house.ids.next(now), Address("you", "example.org"), now)
        credentials.save(tx, account.account_id, credentials.make("a long password"))

    await house.database.write(enter)


@on_both_loops
def test_every_service_answers_at_the_port_it_says(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with House(settings(tmp_path), log=silent()) as house:
            assert set(house.ports) == set(Listen.__struct_fields__)
            assert len(set(house.ports.values())) == len(house.ports)
            assert (await asked(house.ports["smtp"])).startswith(b"220 mx.example.org ")
            assert (await asked(house.ports["submission"])).startswith(b"220 mx.example.org ")
            assert (await asked(house.ports["imap"])).startswith(b"* OK ")
            assert (await asked(house.ports["pop3"])).startswith(b"+OK ")
            assert await asked(house.ports["http"], b"GET / HTTP/1.0\r\n\r\n") == b"HTTP/1.1 200 OK\r\n"
            ports = dict(house.ports)
        for port in ports.values():
            with pytest.raises(ConnectionRefusedError):
                await asked(port)

    run(main(), loop)


def test_two_houses_in_one_loop_share_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        here = settings(tmp_path / "here", limits=Limits(connections_per_address=1))
        there = settings(tmp_path / "there", hostname="mx.far.test")
        async with House(here, log=silent()) as one, House(there, log=silent()) as two:
            await settle_in(one)
            assert await two.database.read(directory.domains) == []
            held = await asyncio.open_connection("127.0.0.1", one.ports["smtp"])
            assert (await held[0].readline()).startswith(b"220 mx.example.org ")
            assert (await asked(one.ports["imap"])).startswith(b"* BYE Too many connections")
            assert (await asked(two.ports["smtp"])).startswith(b"220 mx.far.test ")
            assert one.metrics.registry is not two.metrics.registry
            value = two.metrics.registry.get_sample_value
            assert value("posthouse_connections_refused_total", {"service": "imap", "why": "address"}) == 0
            held[1].close()
        async with House(there, log=silent()) as two:
            assert two.ports

    run(main())


@pytest.mark.parametrize("service", ["smtp", "submission", "imap", "pop3", "http"])
def test_who_holds_too_many_connections_reads_why(service: str, tmp_path: Path) -> None:
    async def main() -> None:
        config = settings(tmp_path, limits=Limits(connections_per_address=1))
        async with House(config, log=silent()) as house:
            held = await asyncio.open_connection("127.0.0.1", house.ports["smtp"])
            await held[0].readline()
            words = {"imap": b"* BYE ", "pop3": b"-ERR [SYS/TEMP] ", "http": b"HTTP/1.1 503 "}
            assert (await asked(house.ports[service])).startswith(words.get(service, b"421 4.7.0 mx.example.org "))
            held[1].close()

    run(main())


def broken(tmp_path: Path, what: str) -> tuple[Config, type[Exception]]:
    match what:
        case "port":
            # Taken twice, and the second time in vain.
            with socket.create_server(("127.0.0.1", 0)) as taken:
                place = Endpoint("127.0.0.1", taken.getsockname()[1])
            return settings(tmp_path, listen=Listen(smtp=FREE, https=(place, place))), ListenError
        case "certificate":
            return settings(tmp_path, tls=Tls(certificate=tmp_path / "no", key=tmp_path / "no")), TlsError
        case "database":
            (tmp_path / "data").mkdir(parents=True)
            (tmp_path / "data" / "posthouse.db").write_bytes(b"rubbish" * 1000)
            return settings(tmp_path), StoreFault
        case "credentials":
            return settings(tmp_path, relay=Relay(credentials_file=tmp_path / "no")), ConfigError
        case _:
            return settings(tmp_path, relay=Relay(ca_file=tmp_path / "no")), TlsError


@pytest.mark.parametrize("what", ["port", "certificate", "database", "credentials", "roots"])
def test_a_house_that_cannot_begin_leaves_nothing_behind(what: str, tmp_path: Path) -> None:
    async def main() -> None:
        config, kind = broken(tmp_path, what)
        house = House(config, log=silent())
        with pytest.raises(kind) as caught:
            await house.start()
        assert "\n" not in str(caught.value)
        assert not house.tasks
        for port in house.ports.values():
            with pytest.raises(ConnectionRefusedError):
                await asked(port)
        # The folder is free for the next try.
        if what != "database":
            async with House(settings(tmp_path), log=silent()) as second:
                assert second.ports

    run(main())


def test_a_folder_holds_one_house(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(settings(tmp_path), log=silent()):
            with pytest.raises(ServeError, match="in use"):
                await House(settings(tmp_path), log=silent()).start()

    run(main())


def test_a_house_that_cannot_store_is_unwell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with House(settings(tmp_path), log=silent()) as house:
            health = b"GET /healthz HTTP/1.0\r\n\r\n"
            assert await asked(house.ports["http"], health) == b"HTTP/1.1 200 OK\r\n"

            async def write(unit: Callable[[Transaction], T], *, octets: int = 0, quick: bool = False) -> T:
                raise StoreFault(Fault.BROKEN, "fsync failed")

            monkeypatch.setattr(house.database, "write", write)
            assert (await asked(house.ports["http"], health)).startswith(b"HTTP/1.1 503 ")
            assert await asked(house.ports["http"], b"GET / HTTP/1.0\r\n\r\n") == b"HTTP/1.1 200 OK\r\n"

    run(main())


def test_work_that_fails_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        house = House(settings(tmp_path), log=silent())
        depths = iter([RuntimeError("once")])
        depth = queue.depth
        again = asyncio.Event()

        def failing(tx: Transaction) -> queue.Depth:
            for error in depths:
                raise error
            again.set()
            return depth(tx)

        monkeypatch.setattr(queue, "depth", failing)
        async with house:
            await again.wait()
            assert not house.unwell

    run(main())


def test_routes_with_a_login_are_never_without_tls(tmp_path: Path) -> None:
    from posthouse.wiring import routing

    secrets = tmp_path / "credentials"
    secrets.write_text("smart.example you secret\n")
    secrets.chmod(0o600)
    routes = {"*": Endpoint("Smart.example", 465), "sink.test": Endpoint("127.0.0.1", 2526)}
    found = routing(settings(tmp_path, relay=Relay(routes=routes, credentials_file=secrets))).routes
    assert found["*"].tls is TlsRule.REQUIRED
    assert found["*"].implicit_tls
    assert found["*"].login is not None
    assert "secret" not in repr(found)
    assert found["sink.test"].tls is TlsRule.OPPORTUNISTIC
    assert found["sink.test"].login is None


def test_the_plan_is_that_of_the_settings(tmp_path: Path) -> None:
    found = plan(settings(tmp_path, listen=Listen(smtp=FREE, imap=())))
    assert found.places["smtp"] == (("127.0.0.1", 0),)
    assert "imap" not in found.places
    assert found.grace == 30.0


def test_the_next_house_relays_only_when_the_one_before_has_put_down_its_leases(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "posthouse.toml"
        path.write_text(f'hostname = "mx.example.org"\ndata_dir = "{tmp_path}/data"\n[listen]\nsmtp = []\n')
        (tmp_path / "data").mkdir()
        config = settings(tmp_path, log=Log(level="error"))
        standing = Standing(path, config, {"smtp": open_sockets([("127.0.0.1", 0)])}, 0, silent())
        await standing.start()
        old = standing._house
        assert old is not None
        begun: list[str] = []
        release = asyncio.Event()
        drain = old.relay.drain

        async def slow_drain(deadline: float) -> None:
            await release.wait()
            await drain(deadline)

        old.relay.drain = slow_drain  # type: ignore[method-assign]
        await standing.reload()
        new = standing._house
        assert new is not None
        assert new is not old
        assert new.ids is old.ids
        run_new = new.relay.run

        async def noted() -> None:
            begun.append("relay")
            await run_new()

        new.relay.run = noted  # type: ignore[method-assign]
        await asyncio.sleep(0.1)
        assert begun == []
        release.set()
        while not begun:
            await asyncio.sleep(0.01)
        assert old.relay_over.is_set()
        await standing.stop(1.0)

    run(main())


def test_a_letter_goes_through_the_whole_house(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(settings(tmp_path), log=silent()) as house:
            await settle_in(house)

            def send() -> None:
                with smtplib.SMTP("127.0.0.1", house.ports["smtp"], timeout=20) as client:
                    client.sendmail("a@far.test", ["you@example.org"], "From: a@far.test\r\n\r\nHello\r\n")

            await asyncio.to_thread(send)
            value = house.metrics.registry.get_sample_value
            assert value("posthouse_messages_accepted_total", {"service": "smtp"}) == 1

    run(main())


def test_old_journeys_are_forgotten_while_the_house_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posthouse.house.SWEEP_SECONDS", 0.01)

    async def main() -> None:
        keep = Journeys(keep=Duration.parse("2d"))
        async with House(settings(tmp_path, journeys=keep), log=silent()) as house:
            now = house.clock()
            old, young = [Ids(9).next(now + days * DAY) for days in (-3, -1)]
            for journey_id in (old, young):
                await house.database.write(partial(journeys.begin, journey_id=journey_id, message_id="", stamps=()))
            async with asyncio.timeout(10):
                while await house.database.read(journeys.recent) != [young]:
                    await asyncio.sleep(0.01)

    run(main())


def test_a_sweep_goes_on_until_all_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posthouse.house.SWEEP_PAUSE", 0.0)
    monkeypatch.setattr("posthouse.store.blobs.SWEEP_LIMIT", 10)
    monkeypatch.setattr("posthouse.house.SWEEP_LIMIT", 10)

    async def main() -> None:
        async with House(settings(tmp_path), log=silent()) as house:
            ids = Ids(9)
            past = house.clock() - 100 * DAY

            def unit(tx: Transaction) -> None:
                for number in range(35):
                    put(tx, Content(ids.next(past), b"%032d" % number, 1, b"x", None))
                tx.execute("INSERT INTO loose_blobs (blob_id, since) SELECT blob_id, $1 FROM blobs", past)
                for _ in range(2 * journeys.SWEEP_LIMIT + 5):
                    journeys.begin(tx, ids.next(past), "", ())

            await house.database.write(unit)
            await house._sweep_all(False)
            for table in ("blobs", "journeys"):
                assert await house.database.read(lambda tx, of=table: tx.one(f"SELECT COUNT(*) FROM {of}")) == (0,)

    run(main())


def test_the_numbers_hold_no_series_of_when_each_began(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(settings(tmp_path), log=silent()) as house:
            house.metrics.connections.labels("smtp").inc()
            house.metrics.accept_seconds.labels("smtp").observe(0.1)
            alone = house.metrics.text().decode()
            (tmp_path / "counts").mkdir()
            together = SharedMetrics(house.metrics, tmp_path / "counts", 0).text().decode()
            for text in (alone, together):
                assert "posthouse_connections_total{" in text
                assert "posthouse_accept_seconds_bucket{" in text
                assert "_created" not in text

    run(main())


def test_the_page_counts_the_connections_of_all_processes(tmp_path: Path) -> None:
    async def main() -> None:
        shared = SharedLimits(2, Listen.__struct_fields__)
        async with House(settings(tmp_path), log=silent(), shared=shared) as house:
            other = Metrics()
            other.open.labels("smtp").inc(40)
            SharedMetrics(other, tmp_path / "data" / "run", 1).save()
            reader, writer = await asyncio.open_connection("127.0.0.1", house.ports["http"])
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            page = await reader.read()
            writer.close()
            assert b"<dd>41</dd><dt>connections</dt>" in page

    run(main())
