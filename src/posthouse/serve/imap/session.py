"""One session: what the commands share. Who logged in, the mailbox selected, and the way out to the client.

A command is a function `async (session, command) -> Answer`. It may send untagged responses before it answers, raise
`Refusal` (NO), `Malformed` (BAD), `MailboxError` (NO) or `StoreFault` (NO, as nothing is known to have happened).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from posthouse.mail.instant import Clock
from posthouse.mail.peer import Peer
from posthouse.serve.imap.selected import Selected
from posthouse.serve.log import Logger
from posthouse.serve.login import Login
from posthouse.serve.tls import Keyring
from posthouse.store import directory, keywords, mailboxes, messages
from posthouse.store.blobs import Blobs
from posthouse.store.database import Database, Transaction
from posthouse.store.hints import Hints, account_topic
from posthouse.store.ids import Ids
from posthouse.store.mailboxes import MailboxError
from posthouse.store.messages import Changes, Uids
from posthouse.wire.imap.engine import Event, ServerEngine, Status
from posthouse.wire.imap.faults import Malformed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Post:
    """What the door needs of the house. `append_limit` is the largest message in octets."""

    hostname: str
    database: Database
    blobs: Blobs
    ids: Ids
    hints: Hints
    clock: Clock
    login: Login
    keyring: Keyring
    log: Logger
    append_limit: int
    # Searches that read whole messages, in threads, at the same time.
    scans: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended: the tagged response; `code` without brackets."""

    words: str
    code: str = ""
    status: Status = Status.OK


class Line(Protocol):
    """What a session needs of its connection; `serve.imap.conversation` has the real one."""

    async def event(self) -> Event | None: ...
    async def send(self) -> None: ...
    async def start_tls(self) -> None: ...

    def wake(self) -> None:
        """Lets `event` look again: the engine was closed by something that happened beside the conversation."""
        ...

    @property
    def peer(self) -> Peer:
        """The client, with what is known of its TLS now."""
        ...

    @property
    def binding(self) -> bytes | None: ...


class Session:
    """The state of one client. `filing`: a message of its own is complete, and is filed though the client be gone."""

    __slots__ = ("account_id", "engine", "filing", "line", "post", "selected")

    def __init__(self, post: Post, engine: ServerEngine, line: Line) -> None:
        self.post = post
        self.engine = engine
        self.line = line
        self.account_id = 0
        self.filing = False
        self.selected: Selected | None = None

    @property
    def view(self) -> Selected:
        """The mailbox selected; the engine lets no command here that needs one where there is none."""
        if self.selected is None:
            raise Malformed("No mailbox is selected")
        return self.selected

    @property
    def writable(self) -> Selected:
        """The mailbox selected, for a command that changes it. Raises `MailboxError` after EXAMINE."""
        view = self.view
        if view.read_only:
            raise MailboxError("", "The mailbox is open for reading only")
        return view

    # --- to the client -----------------------------------------------------------------------------------

    def tell(self, octets: bytes) -> None:
        """Untagged response lines."""
        self.engine.untagged(octets)

    async def flush(self) -> None:
        """Sends what was told, and waits for a client that is slower than we are."""
        await self.line.send()

    # --- the store ---------------------------------------------------------------------------------------

    async def read(self, unit: Callable[[Transaction], T], *, quick: bool = False) -> T:
        """A unit of reading."""
        return await self.post.database.read(unit, quick=quick)

    async def change(self, unit: Callable[[Transaction], T], *, octets: int = 0) -> T:
        """A unit of writing on this account, adding about so much mail; who waits is told when it is durable."""
        result = await self.post.database.write(unit, octets=octets)
        self.post.hints.publish(account_topic(self.account_id))
        return result

    async def has_deleted(self, view: Selected) -> bool:
        """Whether any message of the mailbox is marked deleted; a look at a counter."""
        account_id, mailbox_id = self.account_id, view.mailbox_id
        mailbox = await self.read(lambda tx: mailboxes.get(tx, account_id, mailbox_id), quick=True)
        return mailbox is not None and mailbox.deleted > 0

    async def is_open(self) -> bool:
        """Whether the account may still be used."""
        account_id = self.account_id
        return await self.read(lambda tx: directory.is_open(tx, account_id), quick=True)

    def expel(self) -> None:
        """The account was suspended or removed since the login."""
        self.selected = None
        self.engine.bye("The account is closed")

    async def leave(self) -> None:
        """Deselects the mailbox; what arrived while it was open is \\Recent for nobody else from now on."""
        view, self.selected = self.selected, None
        if view is None or view.read_only:
            return
        account_id, mailbox_id = self.account_id, view.mailbox_id

        def unseen(tx: Transaction) -> bool:
            mailbox = mailboxes.get(tx, account_id, mailbox_id)
            return mailbox is not None and mailbox.recent_from < view.uidnext <= mailbox.uidnext

        if await self.read(unseen, quick=True):
            await self.post.database.write(lambda tx: mailboxes.take_recent(tx, account_id, mailbox_id))

    async def catch_up(self, *, expunge: bool) -> None:
        """Tells what changed in the mailbox selected since it was last told; EXPUNGE only where that is allowed.

        (RFC 3501 §5.2, §7.4.1: numbers must not change under a command that uses them.)
        """
        view = self.selected
        if view is None:
            return
        account_id = self.account_id
        if await self.read(lambda tx: mailboxes.modseq(tx, account_id), quick=True) != view.account_modseq:
            await self._look(view)
        if expunge and view.gone:
            self.tell(view.expunge())

    async def _look(self, view: Selected) -> None:
        account_id, mailbox_id, since = self.account_id, view.mailbox_id, view.modseq

        def unit(tx: Transaction) -> tuple[int, Changes | None, Uids, dict[int, str]] | None:
            if not directory.is_open(tx, account_id):
                return None
            modseq = mailboxes.modseq(tx, account_id)
            if mailboxes.get(tx, account_id, mailbox_id) is None:
                return modseq, None, (), {}
            changes = messages.changes(tx, account_id, mailbox_id, since)
            expunged = changes.expunged
            if expunged is None:
                expunged = view.missing(messages.snapshot(tx, account_id, mailbox_id).uids)
            return modseq, changes, expunged, keywords.names(tx, account_id)

        found = await self.read(unit)
        if found is None:
            self.expel()
            return
        account_modseq, changes, expunged, names = found
        if changes is None:
            # RFC 2180 §3.3: somebody deleted the mailbox. Nothing said about it could be true any more.
            self.selected = None
            self.engine.bye("The mailbox was deleted")
            return
        view.account_modseq = account_modseq
        if view.name_keywords(names):
            self.tell(view.flags_lines())
        arrived, foreign = view.apply(changes, expunged)
        if arrived:
            self.tell(b"* %d EXISTS\r\n* %d RECENT\r\n" % (len(view.uids), view.recent))
        if foreign:
            self.tell(view.flag_changes(foreign))
