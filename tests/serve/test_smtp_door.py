"""The SMTP door on both event loops, with a desk that only remembers."""

import asyncio
import io
import json
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from posthouse.mail.address import Address
from posthouse.mail.envelope import Body, Envelope, RcptTo
from posthouse.mail.journey import Stamp, Step
from posthouse.mail.peer import Peer, Role
from posthouse.mail.reply import Reply
from posthouse.serve import dialogue, smtp, tls
from posthouse.serve.listener import Census, Listener, open_sockets
from posthouse.serve.log import logger
from posthouse.serve.login import Account, Exchange, Login, LoginFailure, Why
from posthouse.serve.metrics import Metrics
from posthouse.serve.smtp import Post, door
from posthouse.serve.tls import Keyring
from posthouse.store.blobs import Blobs, Content
from posthouse.store.database import Fault, StoreFault
from posthouse.store.ids import Ids
from serve.loops import on_both_loops, run

NAME = "mx.posthouse.test"
HELLO = b"EHLO client.test\r\n"
MAIL = b"MAIL FROM:<a@client.test>\r\n"
RCPT = b"RCPT TO:<b@posthouse.test>\r\n"
ALICE = Address.parse("alice@posthouse.test")


@dataclass
class Taken:
    peer: Peer
    envelope: Envelope
    octets: bytes
    content: Content
    stamps: Sequence[Stamp]


@dataclass
class Desk:
    """Takes everything but recipients called `no`; `gate` holds `data` back until it is set."""

    taken: list[Taken] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None
    fault: Exception | None = None

    async def mail(self, peer: Peer, envelope: Envelope) -> Reply:
        self.asked.append(f"mail {envelope.mail_from}")
        if self.fault is not None:
            raise self.fault
        return Reply(250, "2.1.0", "OK")

    async def rcpt(self, peer: Peer, envelope: Envelope, rcpt: RcptTo) -> Reply:
        self.asked.append(f"rcpt {rcpt.address}")
        await asyncio.sleep(0)
        return Reply(550, "5.1.1", "Who?") if rcpt.address.local_part == "no" else Reply(250, "2.1.5", "OK")

    async def data(self, peer: Peer, envelope: Envelope, content: Content, stamps: Sequence[Stamp]) -> Reply:
        self.asked.append("data")
        if self.gate is not None:
            await self.gate.wait()
        with content.open() as octets:
            self.taken.append(Taken(peer, envelope, bytes(octets), content, tuple(stamps)))
        return Reply(250, "2.0.0", "Taken")


class Doorkeeper:
    """Knows alice with the password `secret`, by PLAIN and LOGIN."""

    async def authenticate(
        self, mechanism: str, initial: bytes | None, exchange: Exchange, peer: Peer, binding: bytes | None = None
    ) -> Account | LoginFailure:
        assert peer.tls is not None
        said = initial if mechanism == "PLAIN" else None
        while said is None or said.count(b"\0") < 2:
            response = await exchange(b"")
            if response is None:
                return LoginFailure(Why.ABORTED, "Login given up")
            said = response if mechanism == "PLAIN" else (said or b"") + b"\0" + response
        if said != b"\0alice\0secret":
            return LoginFailure(Why.REFUSED, "Name or password is wrong")
        return Account(7, ALICE, mechanism)


@dataclass
class House:
    desk: Desk
    post: Post
    listener: Listener
    folder: Path
    records: io.StringIO
    clients: list["Client"] = field(default_factory=list)

    @property
    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.records.getvalue().splitlines()]

    async def connect(self) -> "Client":
        """A client that has been greeted; the greeting is still to be read."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.listener.port, limit=1 << 20))
        client.folder = self.folder
        self.clients.append(client)
        while not client.reader._buffer and not client.reader.at_eof():  # type: ignore[attr-defined]
            await asyncio.sleep(0.0005)
        return client


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    folder: Path = Path()

    async def reply(self) -> str:
        """The next reply; "" at the end of the connection."""
        text = ""
        while line := (await self.reader.readline()).decode():
            text += line
            if line[3:4] == " ":
                break
        return text

    async def say(self, octets: bytes) -> str:
        self.writer.write(octets)
        return await self.reply()

    async def codes(self, count: int) -> list[int]:
        return [int((await self.reply())[:3] or 0) for _ in range(count)]

    async def start_tls(self) -> None:
        assert (await self.say(b"STARTTLS\r\n")).startswith("220 ")
        await self.writer.start_tls(trusting(self.folder), server_hostname=NAME)


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=folder / tls.SELF_MADE)


@asynccontextmanager
async def house(folder: Path, service: str = "smtp", **settings: Any) -> AsyncIterator[House]:
    """A listener with the door; `settings` replace those of the engine."""
    ticks = iter(range(1_000_000, 10**9))
    records = io.StringIO()
    blobs = Blobs(folder / "blobs", cast(Any, None), Ids(), lambda: next(ticks))
    metrics = Metrics()
    login = cast(Login, Doorkeeper()) if service != "smtp" else None
    keyring = Keyring(NAME, None, None, folder)
    desk = Desk()
    post = Post(
        service, NAME, desk, blobs, login, keyring, metrics, logger("json", "info", records), lambda: next(ticks)
    )
    for bound, engine in post.settings.items():
        post.settings[bound] = replace(engine, **settings)
    secure = (lambda: keyring.server(service)) if service == "submissions" else None
    sockets = open_sockets([("127.0.0.1", 0)])
    listener = Listener(service, sockets, door(post), Census(), metrics=metrics, tls=secure)
    listener.start()
    built = House(desk, post, listener, folder, records)
    try:
        yield built
    finally:
        for client in built.clients:
            client.writer.transport.abort()
        listener.stop()
        await listener.drain(0.0)


def temporary(house: House) -> list[Path]:
    return list((house.folder / "blobs" / "tmp").iterdir())


async def until(what: Callable[[], object]) -> None:
    while not what():
        await asyncio.sleep(0.005)


def scene(
    loop: str, folder: Path, play: Callable[[House], Awaitable[None]], service: str = "smtp", **settings: Any
) -> None:
    async def main() -> None:
        async with house(folder, service, **settings) as built:
            await play(built)

    run(main(), loop, 15.0)


# --- the greeting -------------------------------------------------------------------------------------

FLIGHT = HELLO + MAIL + RCPT + b"BDAT 14 LAST\r\nSubject: x\r\n\r\nQUIT\r\n"


def call(house: House, octets: bytes) -> socket.socket:
    """A client whose octets are there before the server has so much as accepted it: nothing else runs meanwhile."""
    client = socket.create_connection(("127.0.0.1", house.listener.port), 10)
    client.sendall(octets)
    return client


@on_both_loops
@pytest.mark.parametrize("leaving", [False, True], ids=["stays", "closes its half"])
def test_who_speaks_before_the_greeting_is_refused(leaving: bool, loop: str, tmp_path: Path) -> None:
    """RFC 5321 §4.3.1, §3.1."""

    async def play(house: House) -> None:
        early = call(house, FLIGHT)
        if leaving:
            early.shutdown(socket.SHUT_WR)
        reader, writer = await asyncio.open_connection(sock=early)
        lines = (await reader.read()).decode().splitlines()
        assert lines[0].startswith(f"554 {NAME} You spoke before")
        assert [line[:4] for line in lines[1:]] == ["503 "] * 4 + ["221 "]
        assert house.desk.asked == []
        told = [record for record in house.logged if record["event"] == "spoke before the greeting"]
        assert [record["ip"] for record in told] == ["127.0.0.1"]
        assert house.post.metrics.registry.get_sample_value(
            "posthouse_messages_rejected_total", {"service": "smtp", "code": "554"}
        ) == 1
        writer.close()

    scene(loop, tmp_path, play)


@on_both_loops
def test_a_body_goes_to_the_spool_before_any_task_has_its_turn(loop: str, tmp_path: Path) -> None:
    """Else what a loop reads from many connections at one go is all in memory together."""
    line = b"x" * 998 + b"\r\n"

    async def play(house: House) -> None:
        client = await house.connect()
        client.writer.write(HELLO + MAIL + RCPT + b"DATA\r\n")
        assert await client.codes(5) == [220, 250, 250, 250, 354]
        (visit,) = house.listener._present
        session = cast(smtp.Session, visit.conversation)
        assert session._intake._spool is not None
        for count in range(1, 400):
            session.data_received(line)
            # The last CRLF may belong to the end.
            assert session._intake._spool.size == 1000 * count - 2
            assert session._smtp.unread == 0
        assert (await client.say(b".\r\n")).startswith("250 ")
        assert house.desk.taken[0].octets == line * 399
        assert (await client.say(b"NOOP\r\n")).startswith("250 ")

    scene(loop, tmp_path, play)


@on_both_loops
def test_a_piece_of_a_body_is_not_kept_while_the_next_is_waited_for(
    loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each of many large messages that come in at once holds a piece for nothing."""
    pieces: list[bytes] = []

    def write(intake: smtp._Intake, octets: bytes) -> None:
        pieces.append(octets)

    monkeypatch.setattr(smtp._Intake, "write", write)

    async def play(house: House) -> None:
        client = await house.connect()
        client.writer.write(HELLO + MAIL + RCPT + b"DATA\r\n")
        assert await client.codes(5) == [220, 250, 250, 250, 354]
        client.writer.write(b"x" * 998 + b"\r\n")
        await until(lambda: pieces)
        await asyncio.sleep(0)
        nobodys = [bytes(bytearray(1_000))]
        counts = sys.getrefcount(pieces[-1]), sys.getrefcount(nobodys[-1])
        assert counts[0] == counts[1]

    scene(loop, tmp_path, play)


@on_both_loops
def test_who_waits_for_the_greeting_may_send_the_rest_in_one_flight(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        for number in range(1, 21):
            client = await house.connect()
            assert (await client.reply()).startswith("220 ")
            client.writer.write(FLIGHT)
            assert await client.codes(5) == [250, 250, 250, 250, 221]
            assert len(house.desk.taken) == number
        # Nor is it taken for early who connects and goes.
        call(house, b"").close()
        client = await house.connect()
        assert (await client.reply()).startswith("220 ")
        assert "spoke before the greeting" not in house.records.getvalue()

    scene(loop, tmp_path, play)


@on_both_loops
def test_our_own_people_are_not_asked_to_wait(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        early = call(house, HELLO + b"QUIT\r\n")
        reader, writer = await asyncio.open_connection(sock=early)
        assert (await reader.read()).startswith(b"220 ")
        writer.close()

    scene(loop, tmp_path, play, "submission")


# --- a message ----------------------------------------------------------------------------------------


@on_both_loops
def test_a_message_reaches_the_desk_as_it_came(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        client = await house.connect()
        assert (await client.reply()).startswith(f"220 {NAME} ")
        assert "PIPELINING" in await client.say(HELLO)
        for line, code in (
            (MAIL, "250 2.1.0"),
            (b"RCPT TO:<no@posthouse.test>\r\n", "550 5.1.1"),
            (RCPT, "250 2.1.5"),
            (b"DATA\r\n", "354 "),
            (b"Subject: caf\xc3\xa9\r\n\r\n..x\r\n.\r\n", "250 2.0.0"),
            (b"QUIT\r\n", "221 "),
        ):
            assert (await client.say(line)).startswith(code)
        assert await client.reply() == ""
        [taken] = house.desk.taken
        assert taken.octets == b"Subject: caf\xc3\xa9\r\n\r\n.x\r\n"
        assert taken.content.size == len(taken.octets)
        assert [str(rcpt.address) for rcpt in taken.envelope.rcpt_to] == ["b@posthouse.test"]
        assert taken.envelope.body is Body.EIGHT_BIT_MIME
        assert (taken.peer.role, taken.peer.ip, taken.peer.helo, taken.peer.esmtp) == (
            Role.SMTP,
            "127.0.0.1",
            "client.test",
            True,
        )
        assert [stamp.step for stamp in taken.stamps] == [Step.CONNECTED, Step.HELLO, Step.RECIPIENT]
        assert taken.stamps[2].facts == {"address": "no@posthouse.test", "reply": "550 5.1.1 Who?"}
        assert sorted(stamp.at for stamp in taken.stamps) == [stamp.at for stamp in taken.stamps]
        [refused] = house.logged
        assert refused["event"] == "recipient refused"
        assert refused["rcpt_to"] == "no@posthouse.test"

    scene(loop, tmp_path, play)


@on_both_loops
def test_a_pipelined_flight_is_answered_in_order(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        client = await house.connect()
        message = MAIL + RCPT + b"RCPT TO:<no@posthouse.test>\r\nDATA\r\nx\r\n.\r\n"
        client.writer.write(HELLO + message * 20 + b"NOOP\r\nQUIT\r\n")
        assert await client.codes(2) == [220, 250]
        assert await client.codes(100) == [250, 250, 550, 354, 250] * 20
        assert await client.codes(3) == [250, 221, 0]
        assert len(house.desk.taken) == 20
        # A recipient that was refused belongs to its own transaction.
        assert [len(taken.stamps) for taken in house.desk.taken] == [3] * 20

    scene(loop, tmp_path, play)


def test_not_every_refused_recipient_is_told_to_the_journey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "REFUSED_STAMPS", 2)

    async def play(house: House) -> None:
        client = await house.connect()
        client.writer.write(HELLO + MAIL + b"RCPT TO:<no@posthouse.test>\r\n" * 5 + RCPT + b"DATA\r\n.\r\n")
        assert await client.codes(10) == [220, 250, 250, 550, 550, 550, 550, 550, 250, 354]
        assert (await client.reply()).startswith("250 ")
        assert len(house.desk.taken[0].stamps) == 4

    scene("uvloop", tmp_path, play)


@on_both_loops
def test_a_large_message_goes_through_a_file(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        client = await house.connect()
        body = b"0123456789" * 99 + b"\r\n"
        client.writer.write(HELLO + MAIL + RCPT + b"DATA\r\n" + body * 3000 + b".\r\n")
        assert await client.codes(6) == [220, 250, 250, 250, 354, 250]
        [taken] = house.desk.taken
        assert taken.octets == body * 3000
        assert taken.content.path is not None
        assert temporary(house) == []

    scene(loop, tmp_path, play)


@on_both_loops
def test_what_is_not_to_be_kept_leaves_no_file(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        big = b"x" * 600_000
        client = await house.connect()
        client.writer.write(HELLO + MAIL + RCPT + b"BDAT 600000\r\n" + big + b"RSET\r\n")
        assert await client.codes(6) == [220, 250, 250, 250, 250, 250]
        assert temporary(house) == []
        client.writer.write(MAIL + RCPT + b"DATA\r\n" + big + b"\n.\n\r\n.\r\nNOOP\r\n")
        assert await client.codes(5) == [250, 250, 354, 550, 250]
        assert temporary(house) == []
        client.writer.write(MAIL + RCPT + b"BDAT 700000\r\n" + big)
        await until(lambda: temporary(house))
        client.writer.close()
        await until(lambda: not temporary(house))
        assert house.desk.taken == []
        assert "data" not in house.desk.asked

    scene(loop, tmp_path, play)


@on_both_loops
def test_too_large_a_message_is_refused_at_its_end(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        client = await house.connect()
        client.writer.write(HELLO + MAIL + RCPT + b"DATA\r\n" + b"x" * 5000 + b"\r\n.\r\nNOOP\r\n")
        assert await client.codes(7) == [220, 250, 250, 250, 354, 552, 250]
        assert "data" not in house.desk.asked

    scene(loop, tmp_path, play, max_size=1000)


# --- faults of ours -----------------------------------------------------------------------------------


@on_both_loops
def test_a_desk_that_fails_is_a_451_and_a_record(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        client = await house.connect()
        client.writer.write(HELLO)
        assert await client.codes(2) == [220, 250]
        house.desk.fault = RuntimeError("secret details")
        reply = await client.say(MAIL)
        assert reply.startswith("451 4.3.0 ")
        assert "secret" not in reply
        house.desk.fault = None
        assert (await client.say(MAIL)).startswith("250 ")
        [record] = house.logged
        assert record["event"] == "desk failed"
        assert "secret details" in record["error"]

    scene(loop, tmp_path, play)


@on_both_loops
@pytest.mark.parametrize(
    ("fault", "code"), [(Fault.FULL, 452), (Fault.BROKEN, 451)], ids=["disk full", "disk broken"]
)
@pytest.mark.parametrize("where", ["write", "finish"])
def test_a_disk_that_fails_is_a_4xx_at_the_end(
    loop: str, tmp_path: Path, fault: Fault, code: int, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from posthouse.store.blobs import Spool

    def broken(self: Spool, *octets: bytes) -> Any:
        raise StoreFault(fault, "in a test")

    async def play(house: House) -> None:
        client = await house.connect()
        with monkeypatch.context() as patch:
            patch.setattr(Spool, where, broken)
            client.writer.write(HELLO + MAIL + RCPT + b"DATA\r\n" + b"x" * 1000 + b"\r\n.\r\n")
            assert await client.codes(6) == [220, 250, 250, 250, 354, code]
        client.writer.write(MAIL + RCPT + b"DATA\r\nx\r\n.\r\n")
        assert await client.codes(4) == [250, 250, 354, 250]
        assert len(house.desk.taken) == 1

    scene(loop, tmp_path, play)


@on_both_loops
def test_a_fault_within_the_door_is_a_421_and_a_record(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        client = await house.connect()
        client.writer.write(HELLO + MAIL + RCPT)
        assert await client.codes(4) == [220, 250, 250, 250]
        house.post.blobs.spool = cast(Any, None)
        assert (await client.say(b"DATA\r\n")).startswith("421 4.3.0 ")
        assert await client.reply() == ""
        assert [record["event"] for record in house.logged] == ["smtp door failed"]

    scene(loop, tmp_path, play)


# --- clients that leave -------------------------------------------------------------------------------


@on_both_loops
def test_a_half_closed_client_gets_all_its_replies(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        client = await house.connect()
        client.writer.write(HELLO + MAIL + RCPT + b"DATA\r\nx\r\n.\r\nNOOP\r\n")
        client.writer.write_eof()
        assert await client.codes(8) == [220, 250, 250, 250, 354, 250, 250, 0]
        assert len(house.desk.taken) == 1

    scene(loop, tmp_path, play)


@on_both_loops
def test_a_client_that_leaves_before_the_end_has_sent_nothing(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        client = await house.connect()
        client.writer.write(HELLO + MAIL + RCPT + b"DATA\r\nhalf a message\r\n")
        assert await client.codes(5) == [220, 250, 250, 250, 354]
        client.writer.close()
        await until(lambda: house.listener.census.open == 0)
        assert "data" not in house.desk.asked

    scene(loop, tmp_path, play)


@on_both_loops
def test_a_message_that_came_in_whole_is_taken_though_the_client_is_gone(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        house.desk.gate = asyncio.Event()
        client = await house.connect()
        client.writer.write(HELLO + MAIL + RCPT + b"DATA\r\nx\r\n.\r\n")
        await until(lambda: "data" in house.desk.asked)
        # Gone without a goodbye: the connection is reset.
        linger = struct.pack("ii", 1, 0)
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        client.writer.transport.abort()
        await until(lambda: house.listener.census.open == 0)
        house.desk.gate.set()
        await until(lambda: house.desk.taken)

    scene(loop, tmp_path, play)


@on_both_loops
def test_a_client_that_does_not_read_is_not_read(loop: str, tmp_path: Path) -> None:
    """Its replies are not piled up, and once it reads, not one is missing."""

    async def play(house: House) -> None:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", house.listener.port))
        client = Client(*await asyncio.open_connection(sock=sock))
        house.clients.append(client)
        assert (await client.reply()).startswith("220 ")
        answer = len(await client.say(b"HELP\r\n"))
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.transport.set_write_buffer_limits(high=0)
        flood = (b"HELP " + b"x" * 50 + b"\r\n") * 5_000
        count = 0
        while count < 1_000_000:
            client.writer.write(flood)
            count += 5_000
            try:
                await asyncio.wait_for(client.writer.drain(), 0.3)
            except TimeoutError:
                break
        assert count < 1_000_000, "everything was taken without a reply being read"
        [visit] = house.listener._present
        session = visit.conversation
        assert isinstance(session, smtp.Session)
        assert cast(asyncio.Transport, visit.transport).get_write_buffer_size() < 512 * 1024
        assert session._smtp.unread < dialogue.UNREAD + 512 * 1024
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        received = 0
        while received < count * answer:
            octets = await client.reader.read(1 << 18)
            assert octets, "the connection ended early"
            received += len(octets)
        assert received == count * answer

    scene(loop, tmp_path, play)


# --- clients that take their time ---------------------------------------------------------------------


@on_both_loops
def test_a_silent_client_is_sent_away(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        client = await house.connect()
        assert await client.codes(3) == [220, 421, 0]

    scene(loop, tmp_path, play, hello_patience=0.05)


@on_both_loops
def test_octets_that_do_not_end_a_line_are_no_sign_of_life(
    loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialogue, "LOOK_SECONDS", 0.05)

    async def play(house: House) -> None:
        client = await house.connect()
        client.writer.write(HELLO)
        assert await client.codes(2) == [220, 250]
        replies = asyncio.create_task(client.codes(1))
        sent = 0
        while not replies.done() and sent < 100:
            client.writer.write(b"N")
            sent += 1
            await asyncio.sleep(0.05)
        assert await replies == [421]
        assert sent < 100
        # An octet that was not read any more makes a reset of the goodbye.
        with suppress(ConnectionResetError):
            assert await client.codes(1) == [0]

    scene(loop, tmp_path, play, command_patience=0.4)


@on_both_loops
def test_commands_are_a_sign_of_life(loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogue, "LOOK_SECONDS", 0.05)

    async def play(house: House) -> None:
        client = await house.connect()
        client.writer.write(HELLO)
        assert await client.codes(2) == [220, 250]
        for _ in range(12):
            assert (await client.say(b"NOOP\r\n")).startswith("250 ")
            await asyncio.sleep(0.1)

    scene(loop, tmp_path, play, command_patience=0.6)


@on_both_loops
def test_a_body_that_trickles_in_is_cut_off(loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "BODY_GRACE", 0.2)

    async def play(house: House) -> None:
        client = await house.connect()
        client.writer.write(HELLO + MAIL + RCPT + b"DATA\r\n")
        assert await client.codes(5) == [220, 250, 250, 250, 354]
        replies = asyncio.create_task(client.codes(2))
        for _ in range(100):
            client.writer.write(b"x")
            await asyncio.sleep(0.02)
            if replies.done():
                break
        assert await replies == [421, 0]
        assert "data" not in house.desk.asked

    scene(loop, tmp_path, play)


@on_both_loops
def test_who_keeps_the_line_busy_for_nothing_is_sent_away(
    loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "USELESS_SECONDS", 0.3)

    async def play(house: House) -> None:
        client = await house.connect()
        client.writer.write(HELLO)
        assert await client.codes(2) == [220, 250]
        for _ in range(1000):
            if not (reply := await client.say(b"NOOP\r\n")).startswith("250 "):
                break
            await asyncio.sleep(0.01)
        assert reply.startswith("421 ")

    scene(loop, tmp_path, play, command_patience=0.1, hello_patience=0.1)


# --- TLS ----------------------------------------------------------------------------------------------


@on_both_loops
def test_starttls_begins_anew(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        client = await house.connect()
        client.writer.write(HELLO + MAIL + RCPT)
        assert await client.codes(4) == [220, 250, 250, 250]
        await client.start_tls()
        assert (await client.say(RCPT)).startswith("503 ")
        assert "STARTTLS" not in await client.say(b"EHLO second.test\r\n")
        client.writer.write(MAIL + RCPT + b"DATA\r\nx\r\n.\r\n")
        assert await client.codes(4) == [250, 250, 354, 250]
        [taken] = house.desk.taken
        assert taken.peer.tls is not None
        assert taken.peer.tls.version == "TLSv1.3"
        assert taken.peer.helo == "second.test"
        assert [stamp.step for stamp in taken.stamps] == [Step.CONNECTED, Step.TLS, Step.HELLO]
        client.writer.close()

    scene(loop, tmp_path, play)


INJECTED = MAIL + RCPT + b"DATA\r\nevil\r\n.\r\n"


@on_both_loops
def test_commands_in_the_segment_of_starttls_are_never_run(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        client = await house.connect()
        client.writer.write(HELLO)
        assert await client.codes(2) == [220, 250]
        client.writer.write(b"STARTTLS\r\n" + INJECTED)
        assert await client.codes(2) == [554, 0]
        assert house.desk.asked == []

    scene(loop, tmp_path, play)


@on_both_loops
def test_commands_in_the_clear_behind_220_are_never_run(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        client = await house.connect()
        client.writer.write(HELLO)
        assert await client.codes(2) == [220, 250]
        assert (await client.say(b"STARTTLS\r\n")).startswith("220 ")
        client.writer.write(INJECTED)
        assert b"250" not in await client.reader.read()
        await until(lambda: house.listener.census.open == 0)
        assert house.desk.asked == []

    scene(loop, tmp_path, play)


class Hasty(asyncio.Protocol):
    """Sends its first encrypted command in the same segment as the end of its handshake."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.inside, self.outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.inside, self.outside, server_hostname=NAME)
        self.plain = b""
        self.encrypted = b""
        self.done = asyncio.get_running_loop().create_future()
        self.shaken = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self.plain:
            self.transport.write(HELLO + b"STARTTLS\r\n")
        if not self.plain.endswith(b"220 2.0.0 Go ahead\r\n"):
            self.plain += data
            if not self.plain.endswith(b"220 2.0.0 Go ahead\r\n"):
                return
        else:
            self.inside.write(data)
        try:
            if not self.shaken:
                self.tls.do_handshake()
                self.shaken = True
                self.tls.write(HELLO)
            self.encrypted += self.tls.read(65536)
        except ssl.SSLWantReadError:
            pass
        if octets := self.outside.read():
            self.transport.write(octets)
        if b"SIZE" in self.encrypted and not self.done.done():
            self.done.set_result(None)


@on_both_loops
def test_a_hasty_client_is_answered_encrypted(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        _, hasty = await asyncio.get_running_loop().create_connection(
            lambda: Hasty(trusting(tmp_path)), "127.0.0.1", house.listener.port
        )
        await hasty.done
        assert b"STARTTLS" not in hasty.encrypted
        assert hasty.plain.count(b"220 ") == 2
        hasty.transport.abort()

    scene(loop, tmp_path, play)


# --- login --------------------------------------------------------------------------------------------


@on_both_loops
def test_submission_wants_tls_and_then_a_login(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        client = await house.connect()
        await client.reply()
        assert "AUTH" not in await client.say(HELLO)
        assert (await client.say(b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n")).startswith("538 ")
        assert (await client.say(MAIL)).startswith("530 5.7.0 ")
        await client.start_tls()
        offer = await client.say(HELLO)
        assert "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" in offer
        assert (await client.say(MAIL)).startswith("530 5.7.0 ")
        assert (await client.say(b"AUTH PLAIN AGFsaWNlAHdyb25n\r\n")).startswith("535 5.7.8 ")
        assert await client.say(b"AUTH PLAIN\r\n") == "334 \r\n"
        assert (await client.say(b"!!\r\n")).startswith("501 5.5.2 ")
        assert await client.say(b"AUTH LOGIN\r\n") == "334 \r\n"
        assert (await client.say(b"*\r\n")).startswith("501 5.7.0 ")
        assert await client.say(b"AUTH LOGIN\r\n") == "334 \r\n"
        assert await client.say(b"YWxpY2U=\r\n") == "334 \r\n"
        assert (await client.say(b"c2VjcmV0\r\n")).startswith("235 2.7.0 ")
        client.writer.write(MAIL + RCPT + b"DATA\r\nx\r\n.\r\n")
        assert await client.codes(4) == [250, 250, 354, 250]
        [taken] = house.desk.taken
        assert (taken.peer.account_id, taken.peer.account) == (7, ALICE)
        assert [stamp.step for stamp in taken.stamps] == [Step.CONNECTED, Step.TLS, Step.HELLO, Step.LOGIN]
        assert taken.stamps[3].facts == {"account": "alice@posthouse.test", "mechanism": "LOGIN"}
        client.writer.close()

    scene(loop, tmp_path, play, "submission")


@on_both_loops
def test_submissions_has_tls_from_the_first_octet(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", house.listener.port, ssl=trusting(tmp_path), server_hostname=NAME
        )
        client = Client(reader, writer)
        assert (await client.reply()).startswith("220 ")
        offer = await client.say(HELLO)
        assert "STARTTLS" not in offer
        assert "AUTH " in offer
        assert (await client.say(b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n")).startswith("235 ")
        assert (await client.say(MAIL)).startswith("250 ")
        assert (await client.say(b"QUIT\r\n")).startswith("221 ")
        assert await client.reply() == ""
        writer.close()

    scene(loop, tmp_path, play, "submissions")


@on_both_loops
def test_a_client_that_leaves_in_the_middle_of_a_login_is_forgotten(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        client = await house.connect()
        client.writer.write(HELLO)
        assert await client.codes(2) == [220, 250]
        await client.start_tls()
        client.writer.write(HELLO + b"AUTH LOGIN\r\n")
        assert await client.codes(2) == [250, 334]
        client.writer.transport.abort()
        await until(lambda: house.listener.census.open == 0)
        assert house.logged == []

    scene(loop, tmp_path, play, "submission")


# --- the house closes ---------------------------------------------------------------------------------


@on_both_loops
def test_a_drain_ends_idle_connections_at_once_and_transactions_after_their_end(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        idle, busy = await house.connect(), await house.connect()
        assert (await idle.reply()).startswith("220 ")
        busy.writer.write(HELLO + MAIL + RCPT + b"DATA\r\n")
        assert await busy.codes(5) == [220, 250, 250, 250, 354]
        house.listener.stop()
        drained = asyncio.create_task(house.listener.drain(20.0))
        assert (await idle.reply()).startswith("421 4.3.2 ")
        assert await idle.reply() == ""
        busy.writer.write(b"x\r\n.\r\n")
        assert await busy.codes(3) == [250, 421, 0]
        await drained
        assert len(house.desk.taken) == 1

    scene(loop, tmp_path, play)


@on_both_loops
def test_a_drain_has_an_end(loop: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        client = await house.connect()
        client.writer.write(HELLO + MAIL)
        assert await client.codes(3) == [220, 250, 250]
        house.listener.stop()
        await house.listener.drain(0.05)
        assert house.listener.census.open == 0

    scene(loop, tmp_path, play)


def test_the_kernel_is_not_asked_for_more_than_is_worked_on(tmp_path: Path) -> None:
    """While the desk thinks, a client that goes on sending fills the sockets' buffers, not our memory."""

    async def play(house: House) -> None:
        house.desk.gate = asyncio.Event()
        client = await house.connect()
        client.writer.write(HELLO + MAIL + RCPT + b"DATA\r\nx\r\n.\r\n")
        await until(lambda: "data" in house.desk.asked)
        [visit] = house.listener._present
        session = visit.conversation
        assert isinstance(session, smtp.Session)
        sock = client.writer.get_extra_info("socket")
        assert isinstance(sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF), int)
        client.writer.write(b"NOOP\r\n" * 1_000_000)
        await asyncio.sleep(0.3)
        assert session._smtp.unread < dialogue.UNREAD + 2 * 256 * 1024
        house.desk.gate.set()
        assert await client.codes(6) == [220, 250, 250, 250, 354, 250]
        client.writer.transport.abort()

    scene("uvloop", tmp_path, play)
