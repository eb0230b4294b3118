"""POP3 as programs speak it: poplib over TLS and STLS against the real store, two sessions, clients that misbehave."""

import asyncio
import json
import poplib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path
from typing import cast

import pytest

from posthouse.serve.listener import Census, Listener, open_sockets
from posthouse.serve.log import Logger, logger, silent
from posthouse.serve.login import Login
from posthouse.serve.metrics import Metrics
from posthouse.serve.pop3 import Post, door
from posthouse.serve.tls import SELF_MADE, Keyring
from posthouse.store import directory, mailboxes, messages
from posthouse.store.database import Transaction
from posthouse.store.maildrop import MaildropLock
from posthouse.wire import pop3 as wire
from serve.imap_rooms import LETTER, PREFIX, Doorkeeper, Rooms, rooms
from serve.loops import on_both_loops, run

HOST = "mx.posthouse.test"


def inbox_id(tx: Transaction, account_id: int) -> int:
    inbox = mailboxes.find(tx, account_id, mailboxes.INBOX)
    assert inbox is not None
    return inbox.mailbox_id


class Place:
    """A house whose POP3 doors are open."""

    def __init__(self, house: Rooms, listeners: dict[str, Listener], context: ssl.SSLContext, locks: Path) -> None:
        self.house = house
        self.listeners = listeners
        self.context = context
        self.locks = locks

    def client(self, service: str = "pop3s") -> poplib.POP3:
        port = self.listeners[service].port
        if service == "pop3s":
            return poplib.POP3_SSL("127.0.0.1", port, context=self.context, timeout=20)
        client = poplib.POP3("127.0.0.1", port, timeout=20)
        client.stls(self.context)
        return client

    def enter(self, service: str = "pop3s") -> poplib.POP3:
        client = self.client(service)
        try:
            client.user("alice")
            client.pass_("secret")
        except poplib.error_proto:
            client.close()
            raise
        return client

    async def inbox(self) -> list[int]:
        """The UIDs in INBOX."""
        account_id = self.house.account_id

        return await self.house.database.read(
            lambda tx: messages.snapshot(tx, account_id, inbox_id(tx, account_id)).uids
        )


@asynccontextmanager
async def opened(folder: Path, log: Logger | None = None) -> AsyncIterator[Place]:
    async with rooms(folder) as house:
        keyring = Keyring(HOST, None, None, folder)
        login = cast(Login, Doorkeeper({"alice": house.account_id}))
        locks = folder / "locks"
        post = Post(
            HOST, house.database, house.post.blobs, house.post.hints, login, keyring, locks, log or silent()
        )  # fmt: skip
        census = Census()
        listeners = {
            service: Listener(
                service, open_sockets([("127.0.0.1", 0)]), door(post), census, metrics=Metrics(),
                tls=(lambda: keyring.server("pop3s")) if service == "pop3s" else None,
            )
            for service in ("pop3", "pop3s")
        }  # fmt: skip
        for listener in listeners.values():
            listener.start()
        context = ssl.create_default_context(cafile=folder / SELF_MADE)
        context.check_hostname = False  # poplib asks for the address
        try:
            yield Place(house, listeners, context, locks)
        finally:
            for listener in listeners.values():
                listener.stop()
                await listener.drain(1.0)
            assert census.open == 0


def with_poplib(
    work: Callable[[Place], None], folder: Path, letters: int = 2, loop: str = "uvloop", log: Logger | None = None
) -> list[int]:
    """The work of blocking clients, in a thread; gives what is left in INBOX."""
    left: list[int] = []

    async def main() -> None:
        async with opened(folder, log) as place:
            for _ in range(letters):
                await place.house.deliver()
            await asyncio.to_thread(work, place)
            left.extend(await place.inbox())

    run(main(), loop)
    return left


@on_both_loops
@pytest.mark.parametrize("service", ["pop3", "pop3s"])
def test_a_letter_is_read_as_it_lies_in_inbox(tmp_path: Path, service: str, loop: str) -> None:
    def work(place: Place) -> None:
        client = place.enter(service)
        assert client.stat() == (2, 2 * len(PREFIX + LETTER))
        _, lines, _ = client.retr(1)
        assert b"\r\n".join([*lines, b""]) == PREFIX + LETTER
        _, top, _ = client.top(2, 0)
        assert b"\r\n".join([*top, b""]) == (PREFIX + LETTER).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        client.quit()

    assert len(with_poplib(work, tmp_path, loop=loop)) == 2


def test_logins_are_logged_the_refused_ones_too(tmp_path: Path) -> None:
    def work(place: Place) -> None:
        client = place.client()
        client.user("alice")
        with pytest.raises(poplib.error_proto):
            client.pass_("wrong")
        client.user("alice")
        client.pass_("secret")
        client.quit()

    file = StringIO()
    with_poplib(work, tmp_path, log=logger(file=file))
    told = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [(each["event"], each["service"], each["ip"]) for each in told if "service" in each] == [
        ("login refused", "pop3", "127.0.0.1"), ("logged in", "pop3", "127.0.0.1"),
    ]  # fmt: skip


def test_a_closed_account_neither_reads_nor_removes(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as place:
            for _ in range(2):
                await place.house.deliver()
            reading = await asyncio.to_thread(place.enter)
            await asyncio.to_thread(reading.dele, 1)
            await place.house.database.write(lambda tx: directory.set_suspended(tx, place.house.account_id, True))
            with pytest.raises(poplib.error_proto, match="the account is closed"):
                await asyncio.to_thread(reading.quit)
            reading.close()
            await place.house.database.write(lambda tx: directory.set_suspended(tx, place.house.account_id, False))
            reading = await asyncio.to_thread(place.enter)
            await place.house.database.write(lambda tx: directory.set_suspended(tx, place.house.account_id, True))
            with pytest.raises(poplib.error_proto, match="the account is closed"):
                await asyncio.to_thread(reading.retr, 1)
            reading.close()
            assert len(await place.inbox()) == 2

    run(main(), "uvloop")


def test_what_is_marked_goes_at_quit_and_not_before(tmp_path: Path) -> None:
    def work(place: Place) -> None:
        client = place.enter()
        client.dele(1)
        client.close()  # no QUIT: nothing is removed
        client = place.enter()
        assert client.stat()[0] == 2
        client.dele(2)
        client.quit()

    assert with_poplib(work, tmp_path) == [1]


def test_the_maildrop_is_for_one_session_at_a_time(tmp_path: Path) -> None:
    def work(place: Place) -> None:
        first = place.enter()
        with pytest.raises(poplib.error_proto, match="IN-USE"):
            place.enter()
        first.quit()
        place.enter().quit()
        held = MaildropLock.take(place.locks, place.house.account_id)
        assert held is not None
        with pytest.raises(poplib.error_proto, match="IN-USE"):
            place.enter()
        held.release()
        place.enter().quit()

    with_poplib(work, tmp_path)


def test_whoever_read_the_goodbye_finds_the_maildrop_free(tmp_path: Path) -> None:
    def work(place: Place) -> None:
        for _ in range(20):
            place.enter().quit()
            free = MaildropLock.take(place.locks, place.house.account_id)
            assert free is not None
            free.release()

    with_poplib(work, tmp_path)


def test_the_unique_id_stays(tmp_path: Path) -> None:
    def work(place: Place) -> None:
        client = place.enter()
        _, before, _ = client.uidl()
        client.dele(1)
        client.quit()
        client = place.enter()
        _, after, _ = client.uidl()
        assert [line.split()[1] for line in before[1:]] == [line.split()[1] for line in after]
        client.quit()

    with_poplib(work, tmp_path)


def test_a_wrong_password_says_so_in_a_code(tmp_path: Path) -> None:
    def work(place: Place) -> None:
        client = place.client()
        client.user("alice")
        with pytest.raises(poplib.error_proto, match=r"-ERR \[AUTH\]"):
            client.pass_("wrong")
        client.user("alice")
        client.pass_("secret")
        client.quit()

    with_poplib(work, tmp_path)


def test_a_message_that_imap_removed_is_an_error_and_the_session_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as place:
            await place.house.deliver()
            await place.house.deliver()
            client = await asyncio.to_thread(place.enter)
            account_id = place.house.account_id
            await place.house.database.write(
                lambda tx: messages.expunge(tx, account_id, inbox_id(tx, account_id), ((1, 1),), flagged=0)
            )
            with pytest.raises(poplib.error_proto, match="another program"):
                await asyncio.to_thread(client.retr, 1)
            assert (await asyncio.to_thread(client.retr, 2))[1]
            await asyncio.to_thread(client.quit)

    run(main(), "uvloop")


def test_sasl_by_steps_and_given_up(tmp_path: Path) -> None:
    def work(place: Place) -> None:
        client = place.client()
        for line, answer in (
            ("AUTH PLAIN", b"+ "), ("*", b"-ERR"), ("AUTH PLAIN", b"+ "), ("broken!", b"-ERR"), ("NOOP", b"-ERR"),
            ("AUTH SCRAM-SHA-1", b"-ERR"), ("AUTH PLAIN AGFsaWNlAHNlY3JldA==", b"+OK 2"), ("AUTH PLAIN =", b"-ERR"),
        ):  # fmt: skip
            client._putcmd(line)
            assert client._getline()[0].startswith(answer), line
        client.quit()

    with_poplib(work, tmp_path)


@on_both_loops
def test_octets_behind_stls_are_never_commands(tmp_path: Path, loop: str) -> None:
    async def main() -> None:
        async with opened(tmp_path) as place:
            reader, writer = await asyncio.open_connection("127.0.0.1", place.listeners["pop3"].port)
            await reader.readline()
            writer.write(b"STLS\r\nUSER alice\r\nPASS secret\r\n")
            said = await asyncio.wait_for(reader.read(), 10)
            assert said.startswith(b"-ERR")
            assert b"+OK" not in said
            writer.close()

    run(main(), loop)


@on_both_loops
def test_octets_that_come_after_stls_are_not_answered_in_plaintext(tmp_path: Path, loop: str) -> None:
    async def main() -> None:
        async with opened(tmp_path) as place:
            reader, writer = await asyncio.open_connection("127.0.0.1", place.listeners["pop3"].port)
            await reader.readline()
            writer.write(b"STLS\r\n")
            assert (await reader.readline()).startswith(b"+OK")
            writer.write(b"CAPA\r\nUSER alice\r\n")
            try:
                said = await asyncio.wait_for(reader.read(), 10)
            except ConnectionResetError:
                said = b""
            assert b"+OK" not in said
            assert b"-ERR" not in said
            writer.close()

    run(main(), loop)


def test_silence_ends_a_session_and_frees_the_maildrop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "IDLE_PATIENCE", 0.3)
    monkeypatch.setattr("posthouse.serve.dialogue.LOOK_SECONDS", 0.1)

    def work(place: Place) -> None:
        client = place.enter()
        client.dele(1)
        assert client.file.readline().startswith(b"-ERR")
        assert client.file.readline() == b""
        client.close()
        place.enter().quit()

    assert len(with_poplib(work, tmp_path)) == 2


def test_a_large_letter_arrives_whole(tmp_path: Path) -> None:
    body = b".line of sixty octets or so, and it begins with a dot indeed\r\n" * 20_000

    async def main() -> None:
        async with opened(tmp_path) as place:
            await place.house.deliver(LETTER + body)
            client = await asyncio.to_thread(place.enter)
            _, lines, _ = await asyncio.to_thread(client.retr, 1)
            assert b"\r\n".join([*lines, b""]) == PREFIX + LETTER + body
            await asyncio.to_thread(client.quit)

    run(main(), "uvloop")
