"""Bodies of messages: immutable, spooled as they come in, durable before anything that names them.

A body is addressed by its SHA-256: the same octets are kept once, however often they come in, and the digest is
checked whenever the whole is read. Within the database a row goes by a time-ordered id, so that rows are appended and
what refers to a body is short. The index of the digests is ordered by a number that follows from the octets, their
Date: what comes in now lands at its end, where the digest alone would cost each delivery a random page. Up to
`INLINE_LIMIT` octets it is a row, written in the acceptance transaction itself; a larger one is a file,
`blobs/ab/cdef….ID`, complete and synced before that transaction begins. One blob serves all recipients.

    spool = blobs.spool()
    spool.write(chunk) …
    content = await spool.finish()
    await db.write(lambda tx: (put(tx, content), …))        # or: await blobs.discard(content)
"""

import asyncio
import contextlib
import errno
import mmap
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from time import monotonic

from posthouse.mail.instant import HOUR, SECOND, Clock, Instant
from posthouse.store.database import Database, Fault, StoreFault, Transaction, kept_free
from posthouse.store.folder import sync_folder
from posthouse.store.ids import Ids, from_text, to_text

INLINE_LIMIT = 256 * 1024
"""Largest body in octets that is kept in memory while it comes in, and in the database afterwards."""
PIECE = 256 * 1024
"""Octets read from a file at once."""
SPOOL_PIECE = 64 * 1024
"""Octets of a body gathered before they are written to its file: what many large bodies hold in memory together."""
HELD_LIMIT = 8 * 1024 * 1024
"""When the bodies that come in hold more octets in memory than this, small ones wait for their end in files, too."""
GRACE = HOUR
"""How long nothing is swept that might still be on its way into a transaction."""
SWEEP_LIMIT = 500
"""Blobs removed in one transaction."""

_TEMPORARY = "tmp"  # the folder of bodies that are not complete
_SWEEP_FOLDERS = 16  # folders looked through at a time
_FOLDERS = 256
_VERIFIED_LIMIT = 4096  # files whose digest is not checked again by this process

_PUT = "INSERT INTO blobs (blob_id, dated, digest, size, octets) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING"
_FIND = "SELECT digest, size, octets FROM blobs WHERE blob_id = $1"
_FIND_PART = "SELECT digest, size, octets IS NULL, SUBSTR(octets, $2, $3) FROM blobs WHERE blob_id = $1"
_KIND = "SELECT digest, octets IS NULL FROM blobs WHERE blob_id = $1"
_SAME = "SELECT blob_id, COALESCE(octets <> $3, FALSE) FROM blobs WHERE dated = $1 AND digest = $2"
_MEND = "UPDATE blobs SET octets = $2 WHERE blob_id = $1"
_EXISTS = "SELECT 1 FROM blobs WHERE blob_id = $1"

_SEEN_LOOSE = "UPDATE loose_blobs SET since = $1 WHERE since IS NULL"
_LOOSE = "SELECT blob_id FROM loose_blobs WHERE since <= $1 ORDER BY blob_id LIMIT $2"
_REFERRED = (
    "SELECT EXISTS (SELECT 1 FROM messages WHERE blob_id = $1) OR EXISTS (SELECT 1 FROM queued WHERE blob_id = $1)"
)
_REMOVE = "DELETE FROM blobs WHERE blob_id = $1"
_SETTLE = "DELETE FROM loose_blobs WHERE blob_id = $1"


@dataclass(frozen=True, slots=True)
class Content:
    """A complete body. Exactly one of `octets` and `path` is there; `digest` is its SHA-256 (32 octets)."""

    blob_id: int
    digest: bytes
    size: int
    octets: bytes | None
    path: Path | None

    @contextmanager
    def open(self) -> Iterator[bytes | mmap.mmap]:
        """The octets, for the time of the `with`: those in memory, or the file mapped into it. `StoreFault`."""
        if self.path is None:
            yield self.octets or b""
            return
        try:
            with self.path.open("rb") as file:
                octets = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise _unreadable(self.path, error) from error
        try:
            if len(octets) != self.size:
                raise StoreFault(Fault.BROKEN, f"{self.path} has {len(octets)} octets instead of {self.size}")
            yield octets
        finally:
            # Somebody may still hold a view of it; then the mapping ends with the last of them.
            with contextlib.suppress(BufferError):
                octets.close()

    async def chunks(self, size: int = PIECE) -> AsyncIterator[bytes]:
        """The octets from first to last, at most `size` at once; files are read in a thread.

        `StoreFault` at the end of a file whose octets are not those that came in, so whoever passes them on breaks
        off instead of completing.
        """
        if self.path is None:
            octets = self.octets or b""
            for start in range(0, len(octets), size):
                yield octets[start : start + size]
            return
        path = self.path
        try:
            file = await asyncio.to_thread(path.open, "rb", buffering=0)
        except OSError as error:
            raise _unreadable(path, error) from error
        digest = sha256()
        length = 0
        with file:
            while piece := await asyncio.to_thread(_read_piece, file.fileno(), size, digest.update, path):
                length += len(piece)
                if length >= self.size and (length > self.size or digest.digest() != self.digest):
                    raise StoreFault(Fault.BROKEN, f"{path} is not what came in")
                yield piece
        if length < self.size:
            raise StoreFault(Fault.BROKEN, f"{path} ends early")


class Spool:
    """A body on its way in. Either `finish` or `discard` it."""

    __slots__ = ("_blobs", "_completing", "_descriptor", "_digest", "_held", "_octets", "_path", "size")

    def __init__(self, blobs: "Blobs") -> None:
        self._blobs = blobs
        self._octets = bytearray()
        self._digest = sha256()
        self._descriptor: int | None = None
        self._path: Path | None = None
        self._completing = False
        self._held = 0
        self.size = 0
        """Octets written so far."""

    def write(self, octets: bytes | bytearray | memoryview) -> None:
        """Takes the next octets. Raises `StoreFault` when there is no room on the disk; discard it then."""
        self._digest.update(octets)
        self.size += len(octets)
        if self._descriptor is not None and len(octets) >= SPOOL_PIECE:
            self._flush(octets)
        else:
            self._octets += octets
            # Beyond what stays in memory, pieces of one size go to the file.
            if len(self._octets) >= SPOOL_PIECE and (self.size > INLINE_LIMIT or self._blobs.held > HELD_LIMIT):
                self._flush()
        self._hold(len(self._octets))

    async def finish(self) -> Content:
        """The complete body; a file is durable under its final name when this returns. `StoreFault` where not."""
        blobs = self._blobs
        blob_id = blobs.ids.next(blobs.clock())
        digest = self._digest.digest()
        self._hold(0)
        if self._descriptor is None and self.size <= INLINE_LIMIT:
            octets = bytes(self._octets)
            self._octets = bytearray()
            return Content(blob_id, digest, self.size, octets, None)
        path = blobs.path(blob_id, digest)
        if blobs.stopped is not None:
            raise blobs.stopped.again()
        self._completing = True
        try:
            if self.size <= INLINE_LIMIT:
                octets = await asyncio.to_thread(self._take_back)
                return Content(blob_id, digest, self.size, octets, None)
            await asyncio.to_thread(self._complete, path)
        except StoreFault as fault:
            self._completing = False
            if fault.broken:
                blobs.stopped = fault
            raise
        self._completing = False
        return Content(blob_id, digest, self.size, None, path)

    def discard(self) -> None:
        """Forgets it all; harmless after `finish`, which it does not undo."""
        if self._completing:
            # Whoever waited for `finish` was cancelled; its thread still works with the file, which must not be closed
            # under it. What it leaves is swept.
            return
        self._hold(0)
        self._octets = bytearray()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None

    def _hold(self, octets: int) -> None:
        """So many are in memory now."""
        self._blobs.held += octets - self._held
        self._held = octets

    def _flush(self, more: bytes | bytearray | memoryview = b"") -> None:
        """To the file with what is gathered, and with what has come without being gathered first."""
        try:
            if self._descriptor is None:
                self._path = self._blobs.temporary()
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o600)
            disk = os.fstatvfs(self._descriptor)
            if disk.f_bavail * disk.f_frsize - len(self._octets) - len(more) < kept_free(disk):
                raise StoreFault(Fault.FULL, "the disk has hardly any room left for a body")
            _write_all(self._descriptor, self._octets)
            self._octets.clear()
            _write_all(self._descriptor, more)
        except OSError as error:
            raise _unwritable(error) from error

    def _take_back(self) -> bytes:
        """In a thread: the whole of a body that has gone to a file and is small enough for a row after all."""
        if self._descriptor is None or self._path is None:
            raise StoreFault(Fault.BUSY, "the body was discarded")
        try:
            octets = os.pread(self._descriptor, self.size, 0) + self._octets
            if len(octets) < self.size:
                raise StoreFault(Fault.BROKEN, f"{self._path} ends early")
            os.close(self._descriptor)
            self._descriptor = None
            self._path.unlink()
            self._path = None
        except OSError as error:
            raise _unwritable(error) from error
        return octets

    def _complete(self, path: Path) -> None:
        """In a thread: THREATS, facts: file, rename and folder are all synced, else a power cut loses it."""
        try:
            self._flush()
            if self._descriptor is None or self._path is None:
                raise StoreFault(Fault.BUSY, "the body was discarded")
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
            if not path.parent.is_dir():
                path.parent.mkdir(mode=0o700, exist_ok=True)
                sync_folder(path.parent.parent)
            self._path.rename(path)
            self._path = None
            sync_folder(path.parent)
        except OSError as error:
            raise _unwritable(error) from error


class Blobs:
    """The bodies of one house. `folder` is made when missing."""

    def __init__(self, folder: Path, database: Database, ids: Ids, clock: Clock) -> None:
        """Raises `StoreFault` where the folder cannot be made."""
        self.ids = ids
        self.clock = clock
        self._folder = folder
        self._temporary = folder / _TEMPORARY
        self._database = database
        self._turn = 0
        self._suspects: dict[Path, float] = {}
        self._verified: set[int] = set()
        self.held = 0
        """Octets that unfinished bodies have in memory."""
        self.stopped: StoreFault | None = None
        """Set for good once a file could not be synced: no more files are taken."""
        try:
            self._temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(folder)
            sync_folder(folder.parent)
        except OSError as error:
            raise _unwritable(error) from error

    def spool(self) -> Spool:
        """Begins a body whose length is not known."""
        return Spool(self)

    async def content(self, octets: bytes) -> Content:
        """A body that is complete already (composed here: DSN, APPEND); as `spool`, `write`, `finish`."""
        if len(octets) <= INLINE_LIMIT:
            return Content(self.ids.next(self.clock()), sha256(octets).digest(), len(octets), octets, None)
        spool = self.spool()
        try:
            spool.write(octets)
            return await spool.finish()
        finally:
            spool.discard()

    async def discard(self, content: Content) -> None:
        """Removes a finished body that no transaction took. Never raises; harmless when it was taken as a row."""
        path = content.path
        if path is not None:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(path.unlink, missing_ok=True)

    async def load(self, blob_id: int) -> Content:
        """A stored body: the octets of a small one, the path of a large one.

        Raises `StoreFault` when it is missing or its octets are not those that came in. (A file is read through for
        that once in the life of a process, and again by `Content.chunks`.)
        """
        row = await self._database.read(lambda tx: tx.one(_FIND, blob_id), quick=True)
        if row is None:
            raise _missing(blob_id)
        digest, size, octets = row
        if octets is not None:
            return Content(blob_id, digest, size, checked(octets, digest, blob_id), None)
        content = Content(blob_id, digest, size, None, self.path(blob_id, digest))
        if blob_id not in self._verified:
            async for _ in content.chunks():
                pass
            if len(self._verified) >= _VERIFIED_LIMIT:
                self._verified.clear()
            self._verified.add(blob_id)
        return content

    async def read(self, blob_id: int, start: int = 0, end: int | None = None) -> bytes:
        """The octets from `start` to before `end` (None: the end), clipped to the body. Faults as `load`.

        The digest is checked where the whole is asked for.
        """
        start = max(0, start)
        length = INLINE_LIMIT if end is None else max(0, end - start)
        row = await self._database.read(lambda tx: tx.one(_FIND_PART, blob_id, start + 1, length), quick=True)
        if row is None:
            raise _missing(blob_id)
        digest, size, is_file, found = row
        # SQLite takes nothing of a blob to be NULL.
        part: bytes = found or b""
        if is_file:
            stop = size if end is None else min(end, size)
            part = await asyncio.to_thread(_read_range, self.path(blob_id, digest), start, stop)
        whole = start == 0 and (end is None or end >= size)
        return checked(part, digest, blob_id) if whole else part

    async def sweep(self, now: Instant, *, short: bool = False) -> int:
        """Removes what nothing refers to any more, and files left by a crash; gives how many went.

        A body to which the last reference went stays for an hour, for the sessions that still show its message; where
        the disk is `short` of room it goes at once. Files that no row speaks of stay for that hour in any case, so
        that no acceptance on its way is robbed. Call it every few minutes, and again where `SWEEP_LIMIT` or more went.
        """
        before = now if short else now - GRACE
        count, files = await self._database.write(lambda tx: _sweep(tx, now, before))
        for path in [self.path(blob_id, digest) for blob_id, digest in files]:
            await asyncio.to_thread(_unlink, path)
        return count + await self._sweep_files()

    async def _sweep_files(self) -> int:
        """Removes bodies that were never finished, and files that no row speaks of."""
        folders = [self._folder / f"{(self._turn + i) % _FOLDERS:02x}" for i in range(_SWEEP_FOLDERS)]
        self._turn = (self._turn + _SWEEP_FOLDERS) % _FOLDERS
        found = await asyncio.to_thread(_files, [self._temporary, *folders])
        lost = await self._database.read(partial(_lost, found))
        # By the monotonic clock of this process: a clock that jumps must not make an acceptance look old.
        now = monotonic()
        self._suspects = {
            path: since
            for path, since in self._suspects.items()
            if path in lost or (path.parent not in folders and path.parent != self._temporary)
        }
        count = 0
        for path in lost:
            if now - self._suspects.setdefault(path, now) >= GRACE / SECOND:
                await asyncio.to_thread(_unlink, path)
                del self._suspects[path]
                count += 1
        return count

    def path(self, blob_id: int, digest: bytes) -> Path:
        """Where the body lies if it is a file."""
        name = digest.hex()
        return self._folder / name[:2] / f"{name[2:]}.{to_text(blob_id)}"

    def temporary(self) -> Path:
        """A new name for a body that is still coming in."""
        return self._temporary / to_text(self.ids.next(self.clock()))


def put(tx: Transaction, content: Content, dated: Instant | None = None) -> int:
    """Makes the body part of the transaction, and gives the id to refer to it by; more than once is harmless.

    That is the id of the body that is there already where the same octets came in before; should it have been damaged
    since, it is mended. A file that is not needed then is swept. `dated` is the Date that the octets themselves tell
    (see above): the same octets put with another one are kept twice, no more.
    """
    dated = dated or 0
    if tx.execute(_PUT, content.blob_id, dated, content.digest, content.size, content.octets):
        return content.blob_id
    row = tx.one(_SAME, dated, content.digest, content.octets)
    if row is None:
        raise StoreFault(Fault.BROKEN, f"blob {to_text(content.blob_id)} stands for other octets")
    blob_id: int = row[0]
    if row[1]:
        # The copy that was there has been damaged; what is referred to now has to be what came in.
        tx.execute(_MEND, blob_id, content.octets)
    if content.path is not None:
        _renew(content, content.path, blob_id)
    return blob_id


def _renew(content: Content, path: Path, blob_id: int) -> None:
    """The file that the row speaks of is from now on the one that has just come in; `StoreFault` where that is needed
    and cannot be.

    Whether the old one is whole would take reading it. The new one stays under its own name as well, since the unit may
    yet be taken back. A change of the folder is only waited for where the old file is seen to be lost: else it would
    take bad octets and a power cut within the same few seconds.
    """
    kept = path.with_name(f"{path.name.rpartition('.')[0]}.{to_text(blob_id)}")
    spare = path.parents[1] / _TEMPORARY / to_text(content.blob_id)
    lost = True
    try:
        lost = not kept.exists() or kept.stat().st_size != content.size
        spare.unlink(missing_ok=True)
        os.link(path, spare)
        spare.replace(kept)
        # rename(2) leaves both where they are one file already.
        spare.unlink(missing_ok=True)
        if lost:
            sync_folder(path.parent)
    except OSError as error:
        # Some file systems have no links.
        if lost:
            raise _unwritable(error) from error


def checked(octets: bytes, digest: bytes, blob_id: int) -> bytes:
    """The octets, if they are those that came in; `StoreFault` otherwise: never serve what is damaged."""
    if sha256(octets).digest() != digest:
        raise StoreFault(Fault.BROKEN, f"blob {to_text(blob_id)} is not what came in")
    return octets


def _sweep(tx: Transaction, now: Instant, before: Instant) -> tuple[int, list[tuple[int, bytes]]]:
    """How many blobs were removed, and which of them were files."""
    tx.execute(_SEEN_LOOSE, now)
    count = 0
    files = []
    for (blob_id,) in tx.all(_LOOSE, before, SWEEP_LIMIT):
        referred = tx.one(_REFERRED, blob_id)
        row = tx.one(_KIND, blob_id)
        if row is not None and not (referred and referred[0]):
            tx.execute(_REMOVE, blob_id)
            count += 1
            if row[1]:
                files.append((blob_id, row[0]))
        tx.execute(_SETTLE, blob_id)
    return count, files


def _files(folders: list[Path]) -> list[tuple[Path, int | None]]:
    """All files with the blob they hold; None for a body that was coming in."""
    found: list[tuple[Path, int | None]] = []
    for folder in folders:
        if not folder.is_dir():
            continue
        for entry in os.scandir(folder):
            _, dot, text = entry.name.rpartition(".")
            with contextlib.suppress(ValueError):
                found.append((Path(entry.path), from_text(text) if dot else None))
    return found


def _lost(found: list[tuple[Path, int | None]], tx: Transaction) -> set[Path]:
    """Those that no row speaks of."""
    return {path for path, blob_id in found if blob_id is None or tx.one(_EXISTS, blob_id) is None}


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _read_piece(descriptor: int, size: int, update: Callable[[bytes], object], path: Path) -> bytes:
    try:
        piece = os.read(descriptor, size)
    except OSError as error:
        raise _unreadable(path, error) from error
    update(piece)
    return piece


def _read_range(path: Path, start: int, end: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            part = file.read(max(0, end - start))
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(part) < end - start:
        raise StoreFault(Fault.BROKEN, f"{path} ends early")
    return part


def _write_all(descriptor: int, octets: bytes | bytearray | memoryview) -> None:
    with memoryview(octets) as view:
        written = 0
        while written < len(view):
            written += os.write(descriptor, view[written:])


def _missing(blob_id: int) -> StoreFault:
    return StoreFault(Fault.BROKEN, f"blob {to_text(blob_id)} is missing")


def _unreadable(path: Path, error: Exception) -> StoreFault:
    return StoreFault(Fault.BROKEN, f"{path} cannot be read: {error}")


def _unwritable(error: OSError) -> StoreFault:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreFault(Fault.FULL, f"no room for a body: {error.strerror}")
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        return StoreFault(Fault.BUSY, f"a body cannot be taken now: {error.strerror}")
    return StoreFault(Fault.BROKEN, f"a body cannot be written: {error}")
