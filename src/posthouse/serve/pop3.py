"""The POP3 door: INBOX as a maildrop (RFC 1939).

A session sees INBOX as it was at login and holds its lock; what is marked is removed at QUIT and only there. Reading
a message here changes no flags. The unique-id is UIDVALIDITY and UID, so it is the same one that IMAP knows.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from posthouse.mail.peer import Peer, Role
from posthouse.serve.dialogue import Dialogue
from posthouse.serve.listener import Visit
from posthouse.serve.log import Logger
from posthouse.serve.login import Account, Login, LoginFailure, Why
from posthouse.serve.tls import Keyring
from posthouse.store import directory, mailboxes, messages
from posthouse.store.blobs import Blobs
from posthouse.store.database import Database, Row, StoreFault, Transaction
from posthouse.store.hints import Hints
from posthouse.store.maildrop import MaildropLock
from posthouse.wire import sasl
from posthouse.wire.pop3 import Auth, AuthResponse, Event, Maildrop, Pass, Quit, Retrieve, ServerEngine, StartTls

PIECE = 64 * 1024  # octets of a message on their way at once
_CLOSED = "the account is closed"  # suspended or removed since the login


@dataclass(frozen=True, slots=True)
class Post:
    """What the door needs of the house."""

    hostname: str
    database: Database
    blobs: Blobs
    hints: Hints
    login: Login
    keyring: Keyring
    locks: Path
    log: Logger


@dataclass(frozen=True, slots=True)
class _Listing:
    """INBOX as it was at login, message 1 first."""

    mailbox_id: int
    uidvalidity: int
    uids: tuple[int, ...]
    sizes: tuple[int, ...]


def door(post: Post) -> Callable[[Visit], "Session"]:
    """The door of `pop3` and `pop3s`."""
    return lambda visit: Session(visit, post)


class Session(Dialogue[Event]):
    """One client."""

    def __init__(self, visit: Visit, post: Post) -> None:
        self._post = post
        self._pop3 = ServerEngine(post.hostname, "Posthouse", tls_available=True, tls_active=visit.service == "pop3s")
        super().__init__(visit, self._pop3, post.keyring, post.log)
        self._peer = Peer(Role.POP3, visit.ip, visit.port)
        self._account: Account | None = None
        self._listing = _Listing(0, 0, (), ())
        self._lock: MaildropLock | None = None

    def late(self) -> None:
        self._pop3.hang_up("nothing heard for too long, goodbye", "SYS/TEMP")

    def leave(self) -> None:
        self._pop3.hang_up("the server is closing, come back soon", "SYS/TEMP")

    async def converse(self) -> None:
        self._encrypted()
        try:
            while (event := await self.event()) is not None:
                match event:
                    case Pass():
                        await self._pass(event)
                    case Auth():
                        await self._auth(event)
                    case AuthResponse():
                        self._pop3.err("no exchange is under way")
                    case StartTls():
                        await self.start_tls()
                        self._pop3.tls_started()
                        self._encrypted()
                    case Retrieve():
                        await self._retrieve(event)
                    case Quit():
                        await self._quit(event)
        finally:
            self._release()

    def _encrypted(self) -> None:
        """What follows from TLS: who the peer is, and what may be offered to it."""
        self._peer = replace(self._peer, tls=self.tls)
        if self.tls is not None:
            self._pop3.mechanisms = sasl.mechanisms(True, self.binding is not None)

    # --- login -------------------------------------------------------------------------------------

    async def _pass(self, event: Pass) -> None:
        result = await self._post.login.check(event.name, event.password, self._peer, "PASS")
        await self._admit(result)

    async def _auth(self, event: Auth) -> None:
        result = await self._post.login.authenticate(
            event.mechanism, event.initial, self._exchange, self._peer, self.binding
        )
        await self._admit(result)

    async def _exchange(self, challenge: bytes) -> bytes | None:
        self._pop3.challenge(challenge)
        event = await self.event()
        if isinstance(event, AuthResponse):
            return event.octets
        raise ConnectionAbortedError("the client left in the middle of a login")

    async def _admit(self, result: Account | LoginFailure) -> None:
        ip, log = self.visit.ip, self.log
        if isinstance(result, LoginFailure):
            log.info("login refused", service=Role.POP3.value, ip=ip, why=result.kind.value)
            if result.kind is Why.ABORTED:
                return self._pop3.err("login given up, or a response was not base64")
            # RFC 3206: AUTH says that the credentials are to be changed, SYS/TEMP that they may be right.
            return self._pop3.err(result.words, "SYS/TEMP" if result.kind is Why.BUSY else "AUTH")
        try:
            self._lock = MaildropLock.take(self._post.locks, result.account_id)
            if self._lock is None:
                return self._pop3.err("another session has this maildrop open", "IN-USE")
            listing = await self._post.database.read(lambda tx: _list(tx, result.account_id))
        except (StoreFault, OSError):
            self._release()
            return self._pop3.err("the maildrop cannot be read now", "SYS/TEMP")
        log.info("logged in", service=Role.POP3.value, ip=ip, account=str(result.address), mechanism=result.mechanism)
        self._account = result
        self._listing = listing
        self.visit.logged_in()
        unique_ids = [f"{listing.uidvalidity}.{uid}" for uid in listing.uids]
        return self._pop3.opened(Maildrop(listing.sizes, unique_ids))

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # --- reading and removing ----------------------------------------------------------------------

    async def _retrieve(self, event: Retrieve) -> None:
        account, listing = self._account, self._listing
        if account is None:
            raise RuntimeError("RETR before login")
        uid = listing.uids[event.number - 1]

        def unit(tx: Transaction) -> list[Row] | None:
            if not directory.is_open(tx, account.account_id):
                return None
            return messages.fetch(tx, account.account_id, listing.mailbox_id, ((uid, uid),), ("prefix", "blob_id"))

        try:
            rows = await self._post.database.read(unit, quick=True)
            if rows is None:
                return self._pop3.hang_up(_CLOSED, "AUTH")
            if not rows:
                return self._pop3.err("that message was removed by another program")
            prefix, blob_id = rows[0]
            content = await self._post.blobs.load(blob_id)
        except StoreFault:
            return self._pop3.err("that message cannot be read now", "SYS/TEMP")
        wanted = self._pop3.text(prefix)
        async for piece in content.chunks(PIECE):
            if not wanted:
                break
            wanted = self._pop3.text(piece)
            await self.send()
        return self._pop3.text_end()

    async def _quit(self, event: Quit) -> None:
        account, listing = self._account, self._listing
        if account is not None and event.deleted:
            uids = tuple((listing.uids[n - 1],) * 2 for n in event.deleted)

            def unit(tx: Transaction) -> bool:
                if not directory.is_open(tx, account.account_id):
                    return False
                messages.expunge(tx, account.account_id, listing.mailbox_id, uids, flagged=0)
                return True

            try:
                if not await self._post.database.write(unit):
                    self._release()
                    return self._pop3.err(_CLOSED, "AUTH")
            except StoreFault:
                # RFC 1939 §6: nothing, or not all, was removed.
                self._release()
                return self._pop3.err("some messages could not be removed", "SYS/TEMP")
            self._post.hints.publish(f"account:{account.account_id}")
        # Whoever reads the goodbye may come back at once.
        self._release()
        return self._pop3.ok(f"goodbye, {len(event.deleted)} messages removed")


def _list(tx: Transaction, account_id: int) -> _Listing:
    inbox = mailboxes.find(tx, account_id, mailboxes.INBOX)
    if inbox is None:
        return _Listing(0, 0, (), ())
    rows = messages.fetch(tx, account_id, inbox.mailbox_id, messages.EVERY, ("uid", "size"))
    return _Listing(inbox.mailbox_id, inbox.uidvalidity, tuple(r[0] for r in rows), tuple(r[1] for r in rows))
