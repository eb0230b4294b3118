"""An open database for tests that are no coroutines, with an account, ids and a clock that stands still."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from posthouse.mail.address import Address
from posthouse.mail.instant import SECOND, Instant
from posthouse.store import directory, messages
from posthouse.store.blobs import Blobs, Content, put
from posthouse.store.database import Database, Transaction
from posthouse.store.ids import EPOCH, Ids
from posthouse.store.messages import Added, NewMessage
from posthouse.store.sqlite import open_sqlite

T = TypeVar("T")

# The contract tests run against every engine that is named here.
ENGINES: dict[str, Callable[[Path], Database]] = {"sqlite": lambda folder: open_sqlite(folder / "post.db")}

NOON = EPOCH + 500 * 86_400 * SECOND
ALICE = Address("alice", "posthouse.test")


class Rooms:
    """`do` writes, `see` reads; both take a unit. `run` runs a coroutine in the same event loop."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.folder = folder
        self.now: Instant = NOON
        self.ids = Ids(1)
        self.runner = asyncio.Runner()
        self.database = ENGINES[engine](folder)
        self.blobs = Blobs(folder / "blobs", self.database, self.ids, lambda: self.now)
        self.account_id = 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    def do(self, unit: Callable[[Transaction], T]) -> T:
        return self.run(self.database.write(unit))

    def see(self, unit: Callable[[Transaction], T]) -> T:
        return self.run(self.database.read(unit, quick=True))

    def close(self) -> None:
        self.run(self.database.close())
        self.runner.close()

    def id(self) -> int:
        return self.ids.next(self.now)

    def settle_in(self, address: Address = ALICE, quota: int | None = None) -> int:
        """A domain and an account with its mailboxes."""
        account_id = self.id()

        def unit(tx: Transaction) -> None:
            if not directory.is_local(tx, address.domain):
                directory.add_domain(tx, address.domain, self.now)
            directory.add_account(tx, account_id, address, self.now, quota=quota)

        self.do(unit)
        self.account_id = account_id
        return account_id

    def content(self, octets: bytes = b"Subject: hello\r\n\r\nworld\r\n") -> Content:
        return self.run(self.blobs.content(octets))

    def message(self, content: Content, **changes: Any) -> NewMessage:
        plain: dict[str, Any] = {
            "blob_id": content.blob_id,
            "prefix": b"Return-Path: <>\r\n",
            "size": content.size + 17,
            "header_size": 35,
            "received_at": self.now,
            "sent_at": None,
            "envelope": b"(envelope)",
            "bodystructure": b"(bodystructure)",
        }
        return NewMessage(**{**plain, **changes})

    def deliver(self, mailbox_id: int = 1, octets: bytes = b"Subject: hello\r\n\r\nworld\r\n", **changes: Any) -> Added:
        content = self.content(octets)
        message = self.message(content, **changes)
        key = self.id()

        def unit(tx: Transaction) -> Added:
            filed = message._replace(blob_id=put(tx, content, message.sent_at))
            return messages.add(tx, self.account_id, mailbox_id, key, filed)

        return self.do(unit)
