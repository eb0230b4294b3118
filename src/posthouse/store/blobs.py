"""Bodies of messages: immutable, spooled as they come in, durable before anything that names them.

A blob is named by a time-ordered id and carries its SHA-256, which is checked whenever the whole is read. (Named by
the digest alone, each would cost a random page of an index, and delivery would slow down as the store grows.) Up to
`INLINE_LIMIT` octets it is a row, written in the acceptance transaction itself; a larger one is a file,
`blobs/ab/cdef….ID`, complete and synced before that transaction begins. One blob serves all recipients.

    spool = blobs.spool()
    spool.write(chunk) …
    content = await spool.finish()
    await db.write(lambda tx: (put(tx, content), …))        # or: await blobs.discard(content)
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path

from posthouse.mail.instant import Clock, Instant
from posthouse.store.database import Database, Transaction
from posthouse.store.ids import Ids

INLINE_LIMIT = 256 * 1024
"""Largest body in octets that is kept in memory while it comes in, and in the database afterwards."""


@dataclass(frozen=True, slots=True)
class Content:
    """A complete body. Exactly one of `octets` and `path` is there; `digest` is its SHA-256 (32 octets)."""

    blob_id: int
    digest: bytes
    size: int
    octets: bytes | None
    path: Path | None

    @contextmanager
    def open(self) -> Iterator[bytes | mmap]:
        """The octets, for the time of the `with`: those in memory, or the file mapped into it."""
        raise NotImplementedError
        yield b""

    async def chunks(self, size: int = 256 * 1024) -> AsyncIterator[bytes]:
        """The octets from first to last, at most `size` at once; files are read in a thread."""
        raise NotImplementedError
        yield b""


class Spool:
    """A body on its way in. Either `finish` or `discard` it."""

    @property
    def size(self) -> int:
        """Octets written so far."""
        raise NotImplementedError

    def write(self, octets: bytes | bytearray | memoryview) -> None:
        """Takes the next octets. Raises `StoreFault` when there is no room on the disk."""
        raise NotImplementedError

    async def finish(self) -> Content:
        """The complete body; a file is durable under its final name when this returns. `StoreFault` where not."""
        raise NotImplementedError

    def discard(self) -> None:
        """Forgets it all; harmless after `finish`, which it does not undo."""
        raise NotImplementedError


class Blobs:
    """The bodies of one house. `folder` is made when missing."""

    def __init__(self, folder: Path, database: Database, ids: Ids, clock: Clock) -> None:
        raise NotImplementedError

    def spool(self) -> Spool:
        """Begins a body whose length is not known."""
        raise NotImplementedError

    async def content(self, octets: bytes) -> Content:
        """A body that is complete already (composed here: DSN, APPEND); as `spool`, `write`, `finish`."""
        raise NotImplementedError

    async def discard(self, content: Content) -> None:
        """Removes a finished body that no transaction took. Never raises; harmless when it was taken as a row."""
        raise NotImplementedError

    async def load(self, blob_id: int) -> Content:
        """A stored body: the octets of a small one (digest checked), the path of a large one.

        Raises `StoreFault` when it is missing or its octets are not those that came in.
        """
        raise NotImplementedError

    async def read(self, blob_id: int, start: int = 0, end: int | None = None) -> bytes:
        """The octets from `start` to before `end` (None: the end), clipped to the body. Faults as `load`.

        The digest is checked where the whole is asked for.
        """
        raise NotImplementedError

    async def sweep(self, now: Instant) -> int:
        """Removes what nothing refers to any more, and files left by a crash; gives how many went.

        What was made within the last hour stays, so an acceptance on its way is never robbed. Call it every few
        minutes.
        """
        raise NotImplementedError


def put(tx: Transaction, content: Content) -> None:
    """Makes the body part of the transaction; once for all who refer to it, more often is harmless."""
    raise NotImplementedError
