"""A house with one IMAP door for the tests: the real store, mail that is filed as delivery files it, talking clients.

A client is the door's own conversation on a transport made of a list, so no socket and no TLS cost any time. Dialogues
are texts: `1>` is what client 1 sends, `1<` the next line it must read, `…` in it stands for anything, `1!` a pause
in which nothing may come.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from posthouse.mail.address import Address
from posthouse.mail.instant import SECOND
from posthouse.mail.peer import Peer
from posthouse.route import filing
from posthouse.serve.imap import Post
from posthouse.serve.imap.conversation import Conversation
from posthouse.serve.listener import Visit
from posthouse.serve.log import silent
from posthouse.serve.login import Account, Login, LoginFailure, Why
from posthouse.serve.tls import Keyring
from posthouse.store import blobs, directory, keywords, mailboxes, messages
from posthouse.store.blobs import Blobs
from posthouse.store.database import Transaction
from posthouse.store.hints import Hints, account_topic
from posthouse.store.ids import Ids
from posthouse.store.messages import Added
from posthouse.store.sqlite import SqliteDatabase, open_sqlite

NOW = 1_741_000_000 * SECOND
ALICE = Address.parse("alice@posthouse.test")
LETTER = (
    b"From: Bob <bob@far.test>\r\nTo: alice@posthouse.test\r\nSubject: Lunch\r\n"
    b"Date: Sat, 1 Mar 2025 12:00:00 +0100\r\n\r\nAt noon?\r\n"
)
PREFIX = b"Return-Path: <bob@far.test>\r\nDelivered-To: alice@posthouse.test\r\n"


class Doorkeeper:
    """Lets alice in, quickly."""

    def __init__(self, accounts: dict[str, int]) -> None:
        self.accounts = accounts

    async def check(self, user: str, password: str, peer: Peer, mechanism: str = "LOGIN") -> Account | LoginFailure:
        if password != "secret" or user not in self.accounts:
            return LoginFailure(Why.REFUSED, "Name or password is wrong")
        return Account(self.accounts[user], Address.parse(f"{user}@posthouse.test"), mechanism)

    async def authenticate(
        self, mechanism: str, initial: bytes | None, exchange: Callable[[bytes], Any], peer: Peer, binding: bytes | None
    ) -> Account | LoginFailure:
        if mechanism != "PLAIN":
            return LoginFailure(Why.UNKNOWN, "No such mechanism")
        response = initial if initial is not None else await exchange(b"")
        if response is None:
            return LoginFailure(Why.ABORTED, "Login given up")
        _, user, password = response.decode().split("\0")
        return await self.check(user, password, peer, mechanism)


class Transport:
    """What a conversation writes to; `held` makes it as slow as a client that does not read."""

    def __init__(self, conversation: Conversation) -> None:
        self.written = bytearray()
        self.most = 0  # octets of the largest single write
        self.closed = False
        self.held = False
        self._conversation = conversation
        self._ssl = SimpleNamespace(cipher=lambda: ("TLS_AES", "TLSv1.3", 256), version=lambda: "TLSv1.3", context=None)

    def write(self, octets: bytes) -> None:
        assert not self.closed
        self.written += octets
        self.most = max(self.most, len(octets))
        if self.held:
            self._conversation.pause_writing()

    def release(self) -> None:
        self.held = False
        self._conversation.resume_writing()

    def get_extra_info(self, name: str) -> object:
        return self._ssl if name == "ssl_object" else None

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._conversation.connection_lost, None)

    abort = close

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Client:
    """One connection, by lines. Literals in what the server sends stay within their line."""

    def __init__(self, post: Post) -> None:
        self.conversation = Conversation(Visit("imaps", "192.0.2.1", 40000, "192.0.2.1"), post)
        self.transport = Transport(self.conversation)
        self._tag = 0
        self._read = 0
        self.conversation.connection_made(cast(asyncio.BaseTransport, self.transport))

    def send(self, octets: bytes) -> None:
        self.conversation.data_received(octets)

    async def line(self, seconds: float = 20.0) -> str:
        """The next line, with the literals in it; raises TimeoutError, or EOFError when the server has hung up."""
        async with asyncio.timeout(seconds):
            while (end := self._end()) < 0:
                if self.transport.closed:
                    raise EOFError
                await asyncio.sleep(0.0005)
        line = bytes(self.transport.written[self._read : end])
        self._read = end + 2
        if self._read > 1 << 20:
            del self.transport.written[: self._read]
            self._read = 0
        return line.decode("latin-1")

    def _end(self) -> int:
        written = self.transport.written
        at = self._read
        while (end := written.find(b"\r\n", at)) >= 0:
            literal = re.search(rb"\{(\d+)\}$", written[max(at, end - 14) : end])
            if literal is None:
                return end
            at = end + 2 + int(literal[1])
            if len(written) < at:
                return -1
        return -1

    async def say(self, command: str | bytes) -> list[str]:
        """A command under a fresh tag, and all that is answered, the tagged line last without its tag."""
        self._tag += 1
        tag = f"t{self._tag}"
        octets = command.encode() if isinstance(command, str) else command
        self.send(tag.encode() + b" " + octets + b"\r\n")
        lines = []
        while not (line := await self.line()).startswith(tag + " "):
            lines.append(line)
        return [*lines, line.removeprefix(tag + " ")]

    async def enter(self, mailbox: str = "") -> "Client":
        """Reads the greeting, logs in, and selects."""
        await self.line()
        assert (await self.say("LOGIN alice secret"))[-1].startswith("OK")
        if mailbox:
            assert (await self.say(f"SELECT {mailbox}"))[-1].startswith("OK")
        return self

    async def leave(self) -> None:
        self.transport.close()
        await asyncio.sleep(0.001)


class Rooms:
    """The house: its store, alice's account, and the desk the door works with."""

    def __init__(self, database: SqliteDatabase, post: Post, account_id: int) -> None:
        self.database = database
        self.post = post
        self.account_id = account_id
        self.clients: list[Client] = []

    def connect(self) -> Client:
        client = Client(self.post)
        self.clients.append(client)
        return client

    async def deliver(
        self,
        octets: bytes = LETTER,
        mailbox: str = "INBOX",
        *,
        prefix: bytes = PREFIX,
        flags: int = 0,
        words: Sequence[str] = (),
        at: int = NOW,
    ) -> int:
        """Files a message as delivery does; gives its UID."""
        (added,) = await self.deliver_all([octets], mailbox, prefix=prefix, flags=flags, words=words, at=at)
        return added.uid

    async def deliver_all(
        self,
        letters: Sequence[bytes],
        mailbox: str = "INBOX",
        *,
        prefix: bytes = PREFIX,
        flags: int = 0,
        words: Sequence[str] = (),
        at: int = NOW,
    ) -> list[Added]:
        """Many at once."""
        post = self.post
        contents = [await post.blobs.content(octets) for octets in letters]
        filed = []
        for content in contents:
            with content.open() as octets:
                filed.append(filing.file_as(filing.read(octets, content, at).message, prefix, flags))

        def unit(tx: Transaction) -> list[Added]:
            found = mailboxes.find(tx, self.account_id, mailbox)
            assert found is not None
            bits = keywords.claim(tx, self.account_id, words) if words else 0
            added = []
            for content, message in zip(contents, filed, strict=True):
                key = post.ids.next(NOW)
                marked = message._replace(blob_id=blobs.put(tx, content), flags=message.flags | bits)
                added.append(messages.add(tx, self.account_id, found.mailbox_id, key, marked))
            return added

        added = await self.database.write(unit)
        post.hints.publish(account_topic(self.account_id))
        return added

    async def play(self, text: str) -> None:
        """A dialogue; clients 1 to 9 have entered the mailbox INBOX when it begins."""
        numbers = sorted(set(re.findall(r"^\s*(\d)[<>!]", text, re.MULTILINE)))
        clients = {number: await self.connect().enter("INBOX") for number in numbers}
        for row in filter(None, map(str.strip, text.splitlines())):
            number, sign, words = row[0], row[1], row[3:].replace("\\n", "\r\n")
            client = clients[number]
            if sign == ">":
                client.send(words.encode() + b"\r\n")
            elif sign == "<":
                line = await client.line()
                pattern = "".join(".*" if c == "…" else re.escape(c) for c in words.encode().decode("utf-8"))
                assert re.fullmatch(pattern, line, re.DOTALL), f"{row!r}, but {line!r}"
            else:
                await asyncio.sleep(0.05)
                assert client._end() < 0, f"{row!r}, but {await client.line()!r}"
        for client in clients.values():
            assert client._end() < 0, f"nothing more was expected, but {await client.line()!r}"


@asynccontextmanager
async def rooms(folder: Path, *, quota: int | None = None, append_limit: int = 50 * 2**20) -> AsyncIterator[Rooms]:
    """A fresh house in `folder`."""
    database = open_sqlite(folder / "posthouse.db")
    ids = Ids(1)
    hints = Hints()
    account_id = ids.next(NOW)

    def found(tx: Transaction) -> None:
        directory.add_domain(tx, "posthouse.test", NOW)
        directory.add_account(tx, account_id, ALICE, NOW, quota=quota)

    await database.write(found)
    post = Post(
        hostname="mx.posthouse.test",
        database=database,
        blobs=Blobs(folder / "blobs", database, ids, lambda: NOW),
        ids=ids,
        hints=hints,
        clock=lambda: NOW,
        login=cast(Login, Doorkeeper({"alice": account_id})),
        keyring=cast(Keyring, None),
        log=silent(),
        append_limit=append_limit,
    )
    house = Rooms(database, post, account_id)
    try:
        yield house
    finally:
        for client in house.clients:
            await client.leave()
        await hints.close()
        await database.close()
