"""IMAP as programs speak it: imaplib over TLS and STARTTLS, real logins, both loops, clients that misbehave."""

import asyncio
import imaplib
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from posthouse.serve import dialogue
from posthouse.serve.imap import door
from posthouse.serve.listener import Census, Listener, open_sockets
from posthouse.serve.login import Login
from posthouse.serve.metrics import Metrics
from posthouse.serve.tls import SELF_MADE, Keyring
from posthouse.store import credentials
from posthouse.wire import sasl
from posthouse.wire.imap import engine
from posthouse.wire.sasl.client import choose
from serve.imap_rooms import LETTER, Rooms, rooms
from serve.loops import on_both_loops, run

HOST = "mx.posthouse.test"
NAME = "alice@posthouse.test"
PASSWORD = "correct horse battery staple"
# Made once: it is costly on purpose.
CREDENTIALS = credentials.make(sasl.saslprep(PASSWORD))


class Open:
    """A house that listens: `imap` and `imaps` are ports."""

    def __init__(self, house: Rooms, listeners: dict[str, Listener], trusting: ssl.SSLContext) -> None:
        self.house = house
        self.listeners = listeners
        self.trusting = trusting

    def port(self, service: str) -> int:
        return self.listeners[service].port

    async def connect(self, service: str = "imaps") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = self.trusting if service == "imaps" else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port(service), ssl=context, server_hostname=HOST if context else None
        )
        assert (await reader.readline()).startswith(b"* OK [CAPABILITY IMAP4rev1")
        return reader, writer


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Open]:
    async with rooms(folder) as house:
        await house.database.write(lambda tx: credentials.save(tx, house.account_id, CREDENTIALS))
        keyring = Keyring(HOST, None, None, folder)
        metrics = Metrics()
        login = Login(house.database, metrics)
        post = replace(house.post, keyring=keyring, login=login)
        census = Census()
        listeners = {
            service: Listener(
                service,
                open_sockets([("127.0.0.1", 0)]),
                door(post),
                census,
                metrics=metrics,
                tls=(lambda: keyring.server("imaps")) if service == "imaps" else None,
            )
            for service in ("imap", "imaps")
        }
        for listener in listeners.values():
            listener.start()
        context = ssl.create_default_context(cafile=folder / SELF_MADE)
        try:
            yield Open(house, listeners, context)
        finally:
            for listener in listeners.values():
                listener.stop()
            for listener in listeners.values():
                await listener.drain(1.0)
            login.close()
            assert census.open == 0


def with_imaplib(service: str, work: Callable[[imaplib.IMAP4, Open], None], folder: Path) -> None:
    """The work of a blocking client, in a thread."""

    def connect(place: Open) -> imaplib.IMAP4:
        # The context knows the name of the certificate, imaplib the address.
        context = place.trusting
        context.check_hostname = False
        if service == "imaps":
            return imaplib.IMAP4_SSL("127.0.0.1", place.port("imaps"), ssl_context=context, timeout=20)
        client = imaplib.IMAP4("127.0.0.1", place.port("imap"), timeout=20)
        assert "LOGINDISABLED" in client.capabilities
        client.starttls(context)
        assert "LOGINDISABLED" not in client.capabilities
        return client

    async def main() -> None:
        async with opened(folder) as place:

            def whole() -> None:
                client = connect(place)
                work(client, place)
                assert client.logout()[0] == "BYE"

            await asyncio.to_thread(whole)

    run(main(), "uvloop")


def done(answer: tuple[str, list[Any]]) -> Any:
    assert answer[0] == "OK", answer
    return answer[1]


@pytest.mark.parametrize("service", ["imap", "imaps"])
def test_a_day_with_imaplib(service: str, tmp_path: Path) -> None:
    def work(client: imaplib.IMAP4, place: Open) -> None:
        done(client.login(NAME, PASSWORD))
        done(client.create("Work/Old"))
        assert done(client.namespace()) == [b'(("" "/")) NIL NIL']
        assert b'(\\HasNoChildren \\Trash) "/" "Trash"' in done(client.list())
        date = '"01-Feb-2020 10:00:00 +0000"'
        assert done(client.append("INBOX", "(\\Flagged)", date, LETTER))[0].startswith(b"[APPENDUID ")
        done(client.append("INBOX", None, None, LETTER + b"second\r\n"))
        assert done(client.select("INBOX")) == [b"2"]
        assert client.response("UIDNEXT")[1] == [b"3"]
        assert done(client.search(None, "FLAGGED")) == [b"1"]
        assert done(client.search("UTF-8", "SUBJECT", '"Lunch"')) == [b"1 2"]
        assert done(client.uid("SEARCH", "BODY", "second")) == [b"2"]
        ((label, octets), tail) = done(client.fetch("2", "(BODY[] UID)"))
        assert octets == LETTER + b"second\r\n"
        assert label.startswith(b"2 (UID 2 FLAGS (\\Seen")
        assert tail == b")"
        assert b"\\Seen" in done(client.fetch("2", "(FLAGS)"))[0]
        assert imaplib.Internaldate2tuple(done(client.fetch("1", "(INTERNALDATE)"))[0]) is not None
        assert b"\\Deleted" in done(client.store("1", "+FLAGS", "(\\Deleted)"))[0]
        assert done(client.copy("1:2", "Work/Old")) == [b"[COPYUID %s 1:2 1:2] Copied" % _validity(client)]
        assert done(client.expunge()) == [b"1"]
        assert done(client.status("Work/Old", "(MESSAGES UNSEEN)")) == [b'"Work/Old" (MESSAGES 2 UNSEEN 1)']
        assert client.select("Nowhere")[0] == "NO"
        assert done(client.select("INBOX", readonly=True)) == [b"1"]
        assert client.store("1", "+FLAGS", "(\\Deleted)")[0] == "NO"
        done(client.unselect())
        done(client.rename("Work/Old", "Done"))
        done(client.delete("Done"))
        done(client.subscribe("Elsewhere"))
        assert b'() "/" "Elsewhere"' in done(client.lsub('""', "Else*"))
        done(client.noop())

    with_imaplib(service, work, tmp_path)


def _validity(client: imaplib.IMAP4) -> bytes:
    kind, data = client.status("Work/Old", "(UIDVALIDITY)")
    assert kind == "OK"
    validity: bytes = data[0].split()[-1].rstrip(b")")
    return validity


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "LOGIN"])
def test_logins_by_sasl(mechanism: str, tmp_path: Path) -> None:
    def work(client: imaplib.IMAP4, place: Open) -> None:
        assert f"AUTH={mechanism}" in client.capabilities

        def respond(password: str) -> Callable[[bytes], bytes]:
            chosen = choose((mechanism,), NAME, password, nonce=secrets.token_bytes(18), tls=True)
            waiting = [chosen.initial] if chosen.initial is not None else []

            def answer(challenge: bytes) -> bytes:
                first = waiting.pop() if waiting and not challenge else None
                return first if first is not None else chosen.respond(challenge)

            return answer

        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            client.authenticate(mechanism, respond("wrong"))
        done(client.authenticate(mechanism, respond(PASSWORD)))
        done(client.select())

    with_imaplib("imaps", work, tmp_path)


def test_wrong_passwords_and_unknown_names_are_told_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as place:
            reader, writer = await place.connect()
            answers = set()
            for words in (f"LOGIN {NAME} wrong", "LOGIN nobody@posthouse.test wrong", "LOGIN x y"):
                writer.write(f"x {words}\r\n".encode())
                answers.add(await reader.readline())
            assert answers == {b"x NO [AUTHENTICATIONFAILED] Name or password is wrong\r\n"}
            writer.write(b"x AUTHENTICATE CRAM-MD5\r\n")
            assert (await reader.readline()).startswith(b"x NO [CANNOT]")
            writer.write(b"x AUTHENTICATE PLAIN\r\n")
            assert await reader.readline() == b"+ \r\n"
            writer.write(b"*\r\n")
            assert (await reader.readline()).startswith(b"x BAD")
            writer.close()

    run(main(), "uvloop")


# --- STARTTLS ----------------------------------------------------------------------------------------------


@on_both_loops
def test_octets_behind_starttls_end_the_session(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as place:
            reader, writer = await place.connect("imap")
            writer.write(b"a STARTTLS\r\nb NOOP\r\n")
            assert (await reader.read()).startswith(b"* BYE ")
            writer.close()

    run(main(), loop)


@on_both_loops
def test_starttls_and_everything_at_once_after_it(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as place:
            reader, writer = await place.connect("imap")
            writer.write(b"a LOGIN x y\r\n")
            assert (await reader.readline()).startswith(b"a NO [PRIVACYREQUIRED]")
            writer.write(b"b STARTTLS\r\n")
            assert (await reader.readline()).startswith(b"b OK")
            await writer.start_tls(place.trusting, server_hostname=HOST)
            writer.write(f'c CAPABILITY\r\nd LOGIN {NAME} "{PASSWORD}"\r\ne SELECT INBOX\r\nf LOGOUT\r\n'.encode())
            octets = await reader.read()
            assert b"AUTH=PLAIN" in octets.partition(b"\r\n")[0]
            assert b"STARTTLS" not in octets
            assert b"\r\nd OK " in octets
            assert b"\r\ne OK [READ-WRITE]" in octets
            assert octets.endswith(b"f OK Done\r\n")
            writer.close()

    run(main(), loop)


# --- time --------------------------------------------------------------------------------------------------


def test_a_stranger_who_is_silent_is_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "STRANGER_PATIENCE", 0.05)

    async def main() -> None:
        async with opened(tmp_path) as place:
            reader, writer = await place.connect()
            assert await reader.read() == b"* BYE Nothing was heard for too long\r\n"
            writer.close()

    run(main(), "uvloop")


def test_a_stranger_who_only_talks_is_sent_away_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posthouse.serve.imap.conversation.STRANGER_SECONDS", 0.2)

    async def main() -> None:
        async with opened(tmp_path) as place:
            reader, writer = await place.connect()
            octets = b""
            while b"* BYE" not in octets:
                writer.write(b"x NOOP\r\n")
                octets = await reader.read(1000)
                assert octets
            writer.close()

    run(main(), "uvloop")


def test_who_logged_in_may_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posthouse.serve.imap.conversation.STRANGER_SECONDS", 0.5)
    monkeypatch.setattr(engine, "STRANGER_PATIENCE", 0.5)

    async def main() -> None:
        async with opened(tmp_path) as place:
            reader, writer = await place.connect()
            writer.write(f'a LOGIN {NAME} "{PASSWORD}"\r\n'.encode())
            assert (await reader.readline()).startswith(b"a OK")
            await asyncio.sleep(0.7)
            writer.write(b"b NOOP\r\n")
            assert await reader.readline() == b"b OK Done\r\n"
            writer.close()

    run(main(), "uvloop")


def test_silence_after_login_ends_a_session_even_in_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PATIENCE", 0.1)

    async def main() -> None:
        async with rooms(tmp_path) as house:
            client = await house.connect().enter("INBOX")
            client.send(b"x IDLE\r\n")
            assert await client.line() == "+ idling"
            monkeypatch.setattr(client.conversation, "_heard", 0.0)
            client.conversation._look()
            assert await client.line() == "* BYE Nothing was heard for too long"
            assert client.transport.closed

    run(main(), "uvloop")


def test_a_house_that_closes_says_goodbye(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as place:
            idle_reader, idle_writer = await place.connect()
            reader, writer = await place.connect()
            writer.write(f'a LOGIN {NAME} "{PASSWORD}"\r\nb SELECT INBOX\r\nc IDLE\r\n'.encode())
            while not (await reader.readline()).startswith(b"+ "):
                pass
            drains = [asyncio.create_task(listener.drain(5.0)) for listener in place.listeners.values()]
            assert (await reader.read()).startswith(b"* BYE The server is closing")
            assert (await idle_reader.read()).startswith(b"* BYE The server is closing")
            writer.close()
            idle_writer.close()
            await asyncio.gather(*drains)

    run(main(), "uvloop")


def test_a_client_that_leaves_in_the_middle_of_anything_leaves_nothing_behind(tmp_path: Path) -> None:
    async def main() -> None:
        async with rooms(tmp_path) as house:
            await house.deliver_all([LETTER] * 50)
            for words in (
                b"x IDLE\r\n",
                b"x APPEND INBOX {100}\r\nabc",
                b"x APPEND INBOX {500000}\r\n" + b"y" * 400_000,
                b"x FETCH 1:* BODY[]\r\n",
                b"x SEARCH BODY noon\r\n",
                b"x AUTH",
                b"x CREATE {5}\r\nab",
            ):
                client = await house.connect().enter("INBOX")
                client.transport.held = b"FETCH" in words
                client.send(words)
                await asyncio.sleep(0.005)
                task = client.conversation._task
                assert task is not None
                await client.leave()
                await asyncio.sleep(0.005)
                assert task.done()
            assert house.post.hints._subscribers == {}
            assert house.post.scans._value == 2
            assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []

    run(main(), "uvloop")


def test_a_client_that_sends_without_reading_is_not_read_without_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with rooms(tmp_path) as house:
            await house.deliver_all([LETTER] * 3)
            client = await house.connect().enter("INBOX")
            paused: list[bool] = []
            client.transport.pause_reading = lambda: paused.append(True)  # type: ignore[method-assign]
            client.transport.resume_reading = lambda: paused.append(False)  # type: ignore[method-assign]
            client.transport.held = True
            flights = 0
            while not paused:
                client.send(b"x FETCH 1:* (FLAGS ENVELOPE)\r\n" * 500)
                flights += 1
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            assert paused == [True]
            assert client.conversation._imap.unread <= dialogue.UNREAD + 500 * 40
            client.transport.release()
            for _ in range(flights * 500):
                while not (await client.line()).startswith("x "):
                    pass
            assert paused == [True, False]

    run(main(), "uvloop", seconds=60)
