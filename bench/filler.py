"""Fills a mailbox with many small messages through the store, as fast as the disk allows; the server is not running."""

import asyncio
import time
from pathlib import Path

from posthouse.config import Config, load
from posthouse.mail.address import Address
from posthouse.mail.instant import Instant
from posthouse.route.filing import delivery_prefix, file_as, read
from posthouse.store import blobs, directory, mailboxes, messages
from posthouse.store.blobs import Blobs, Content
from posthouse.store.database import Database, Transaction
from posthouse.store.ids import NODES, Ids
from posthouse.store.sqlite import open_sqlite

# Messages in one transaction: large enough that its commit hardly counts.
BATCH = 500

LETTER = (
    b"From: Somebody <a@src.test>\r\nTo: full@perf.test\r\nSubject: Letter %d\r\n"
    b"Message-ID: <%d.letter@src.test>\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\n"
    b"One of very many.\r\n"
)


def now() -> Instant:
    return time.time_ns() // 1000


def fill(config: Path, address: str, count: int) -> None:
    """Puts `count` messages, each with a body of its own, into the account's INBOX."""
    asyncio.run(_fill(load(config), Address.parse(address), count))


async def _fill(config: Config, address: Address, count: int) -> None:
    database = open_sqlite(config.database_file)
    try:
        await _add(database, config, address, count)
    finally:
        await database.close()


async def _add(database: Database, config: Config, address: Address, count: int) -> None:
    ids = Ids(NODES - 1)
    store = Blobs(config.blobs_folder, database, ids, now)
    account_id, mailbox_id = await database.read(lambda tx: _inbox(tx, address))
    first = LETTER % (0, 0)
    model = file_as(read(first, await store.content(first), now()).message, delivery_prefix(None, [address], b""))
    for start in range(0, count, BATCH):
        contents = [await store.content(LETTER % (n, n)) for n in range(start, min(start + BATCH, count))]

        def unit(tx: Transaction, start: int = start, contents: list[Content] = contents) -> None:
            for number, content in enumerate(contents, start):
                message = model._replace(
                    blob_id=blobs.put(tx, content, model.sent_at),
                    size=content.size + len(model.prefix),
                    message_id=f"{number}.letter@src.test",
                )
                messages.add(tx, account_id, mailbox_id, ids.next(now()), message)

        await database.write(unit)


def _inbox(tx: Transaction, address: Address) -> tuple[int, int]:
    account = directory.find_account(tx, address)
    assert account is not None
    inbox = mailboxes.find(tx, account.account_id, mailboxes.INBOX)
    assert inbox is not None
    return account.account_id, inbox.mailbox_id
