"""The connection of an IMAP session: events of the engine become commands, answers become tagged responses."""

import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from posthouse.mail.peer import Peer, Role
from posthouse.serve.dialogue import Dialogue
from posthouse.serve.imap import appending, copying, fetching, flagging, listing, logins, searching, selecting, waiting
from posthouse.serve.imap.session import Answer, Post, Session
from posthouse.serve.listener import Visit
from posthouse.store.database import StoreFault
from posthouse.store.mailboxes import MailboxError
from posthouse.wire import sasl
from posthouse.wire.imap import commands
from posthouse.wire.imap.engine import Event, Request, ServerEngine, Settings, Status
from posthouse.wire.imap.faults import Malformed, Refusal
from posthouse.wire.imap.table import State

# Seconds that a stranger may stay, whatever it says meanwhile.
STRANGER_SECONDS = 180.0

# None: the command has been answered.
Handler = Callable[[Session, Any], Awaitable[Answer | None]]

# What the engine does not answer itself. A new command is a row in `wire.imap.table` and a line here.
HANDLERS: dict[type[commands.Command], Handler] = {
    commands.Noop: waiting.noop,
    commands.Check: waiting.noop,
    commands.Idle: waiting.idle,
    commands.StartTls: logins.start_tls,
    commands.Authenticate: logins.authenticate,
    commands.Login: logins.login,
    commands.Identify: logins.identify,
    commands.Select: selecting.select,
    commands.Close: selecting.close,
    commands.Status: selecting.status,
    commands.Create: listing.create,
    commands.Delete: listing.delete,
    commands.Rename: listing.rename,
    commands.Subscribe: listing.subscribe,
    commands.ListMailboxes: listing.list_mailboxes,
    commands.Namespace: listing.namespace,
    commands.Append: appending.append,
    commands.Fetch: fetching.fetch,
    commands.Store: flagging.store,
    commands.Expunge: flagging.expunge,
    commands.Copy: copying.copy,
    commands.Move: copying.move,
    commands.Search: searching.search_messages,
}


def door(post: Post) -> Callable[[Visit], "Conversation"]:
    """The door of `imap` and `imaps`."""
    return lambda visit: Conversation(visit, post)


class Conversation(Dialogue[Event]):
    """One client's connection."""

    def __init__(self, visit: Visit, post: Post) -> None:
        self._post = post
        self._imap = ServerEngine(Settings(starttls=True, append_limit=post.append_limit))
        super().__init__(visit, self._imap, post.keyring, post.log)
        # It does not hold us in turn: what an ended connection had is free at once, without the collector.
        self._session = Session(post, self._imap, weakref.proxy(self))

    @property
    def peer(self) -> Peer:
        """The client as it is known now."""
        return Peer(Role.IMAP, self.visit.ip, self.visit.port, tls=self.tls)

    def late(self) -> None:
        self._imap.bye("Nothing was heard for too long")

    def leave(self) -> None:
        self._imap.bye("The server is closing, come back soon")

    def may_leave(self) -> bool:
        return not self._session.filing

    async def converse(self) -> None:
        if self.tls is not None:
            self._imap.tls_started(self._encrypted())
        deadline = self._loop.call_later(STRANGER_SECONDS, self._expel)
        self._imap.greet(self._post.hostname)
        try:
            while (event := await self.event()) is not None:
                if isinstance(event, Request):
                    await self._perform(event)
                    if self._session.account_id:
                        deadline.cancel()
                        self.visit.logged_in()
            await self._session.leave()
        except StoreFault:
            pass  # only \Recent was at stake
        finally:
            deadline.cancel()

    async def start_tls(self) -> None:
        await super().start_tls()
        self._imap.tls_started(self._encrypted())

    def wake(self) -> None:
        self._wake()

    def _encrypted(self) -> Settings:
        mechanisms = sasl.mechanisms(True, self.binding is not None)
        return Settings(tls=True, mechanisms=mechanisms, append_limit=self._post.append_limit)

    def _expel(self) -> None:
        self.late()
        self._close()

    async def _perform(self, request: Request) -> None:
        session, engine = self._session, self._imap
        answer = await self._answer(self._admitted(request))
        if answer is None:
            return
        if session.selected is not None and not engine.closed:
            try:
                await session.catch_up(expunge=not request.row.by_number)
            except StoreFault as fault:
                answer = self._failed(fault)
        if engine.closed:
            return
        if session.selected is None and engine.state is State.SELECTED and request.row.on_ok is None:
            # The mailbox that was selected was deleted by this very command.
            engine.state = State.AUTHENTICATED
        engine.complete(answer.status, answer.words, answer.code)

    async def _admitted(self, request: Request) -> Answer | None:
        """The command, unless the account was suspended or removed since the login: then it does nothing any more."""
        session = self._session
        if session.account_id and not await session.is_open():
            session.expel()
            return None
        return await HANDLERS[type(request.command)](session, request.command)

    async def _answer(self, performance: Awaitable[Answer | None]) -> Answer | None:
        try:
            return await performance
        except Refusal as refusal:
            return Answer(refusal.text, refusal.code, Status.NO)
        except MailboxError as error:
            words = str(error)
            return Answer(words[:1].upper() + words[1:], error.code, Status.NO)
        except Malformed as fault:
            return Answer(str(fault), "", Status.BAD)
        except StoreFault as fault:
            return self._failed(fault)

    def _failed(self, fault: StoreFault) -> Answer:
        self.log.warning("store fault", service=self.visit.service, ip=self.visit.ip, reason=str(fault))
        # RFC 5530 §3.
        return Answer("That cannot be done now", "UNAVAILABLE", Status.NO)
