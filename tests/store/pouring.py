"""A process that files mail and notes what was acknowledged: for tests that kill it, and that start several.

    python pouring.py FOLDER LOG ACCOUNT_ID NODE [COUNT]

Each line of LOG is `key digest` in hex, written once the commit was reported. Without COUNT it goes on for ever.
"""

import asyncio
import hashlib
import os
import sys
import time
from itertools import count
from pathlib import Path

from posthouse.mail.journey import Stamp, Step
from posthouse.store import journeys, messages
from posthouse.store.blobs import Blobs, put
from posthouse.store.database import Transaction
from posthouse.store.ids import Ids
from posthouse.store.messages import NewMessage
from posthouse.store.sqlite import open_sqlite

CLIENTS = 12


def now() -> int:
    return time.time_ns() // 1_000


async def pour(folder: Path, log: Path, account_id: int, node: int, most: int | None) -> None:
    database = open_sqlite(folder / "post.db")
    ids = Ids(node)
    blobs = Blobs(folder / "blobs", database, ids, now)
    acknowledged = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def file_one(size: int) -> None:
        content = await blobs.content(os.urandom(64) * (size // 64))
        key = ids.next(now())
        filed = NewMessage(content.blob_id, b"", content.size, 0, now(), None, b"()", b"()", message_id=str(key))

        def unit(tx: Transaction) -> None:
            put(tx, content)
            added = messages.add(tx, account_id, 1, key, filed)
            journeys.begin(tx, key, filed.message_id, [Stamp(now(), Step.DELIVERED, {"uid": added.uid})])

        await database.write(unit, octets=content.size)
        os.write(acknowledged, f"{key:x} {content.digest.hex()}\n".encode())

    async def client() -> None:
        for turn in count() if most is None else range(most // CLIENTS):
            # Now and then one that becomes a file.
            await file_one(300_000 if turn % 50 == 1 else 2_000)

    await asyncio.gather(*[client() for _ in range(CLIENTS)])
    await database.close()


def verify(tx: Transaction, account_id: int) -> dict[int, tuple[int, int, bytes]]:
    """message key → (uid, blob_id, digest) of the inbox; AssertionError where anything is torn or miscounted."""
    rows = messages.fetch(
        tx, account_id, 1, messages.EVERY, ("uid", "message_key", "blob_id", "digest", "size", "octets", "flags")
    )
    assert tx.one("SELECT COUNT(*) FROM placements WHERE account_id = $1", account_id) == (len(rows),)
    assert tx.one("SELECT COUNT(*) FROM messages WHERE account_id = $1", account_id) == (len(rows),)
    assert tx.one("SELECT COUNT(*) FROM journeys") == (len(rows),)
    assert tx.one("SELECT COUNT(*) FROM blobs") == (len(rows),)
    octets = sum(row[4] for row in rows)
    counters = "SELECT messages, unseen, octets, uidnext FROM mailboxes WHERE account_id = $1 AND mailbox_id = 1"
    assert tx.one(counters, account_id) == (len(rows), len(rows), octets, len(rows) + 1)
    assert tx.one("SELECT octets FROM accounts WHERE account_id = $1", account_id) == (octets,)
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    for _, _, _, digest, size, body, _ in rows:
        if body is not None:
            assert len(body) == size
            assert hashlib.sha256(body).digest() == digest
    return {row[1]: (row[0], row[2], row[3]) for row in rows}


if __name__ == "__main__":
    place, journal, account, number, *rest = sys.argv[1:]
    asyncio.run(pour(Path(place), Path(journal), int(account), int(number), int(rest[0]) if rest else None))
