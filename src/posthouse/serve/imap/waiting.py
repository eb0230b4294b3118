"""NOOP, CHECK and IDLE: show what changed, now or as it happens (RFC 3501 §6.1.2, §6.4.1, RFC 2177)."""

import asyncio

from posthouse.serve.imap.session import Answer, Session
from posthouse.store.database import StoreFault
from posthouse.store.hints import account_topic
from posthouse.wire.imap import commands
from posthouse.wire.imap.engine import Done, Status

# Seconds. Hints may be lost; the truth is in the store.
LOOK_SECONDS = 30.0


async def noop(session: Session, command: commands.Noop | commands.Check) -> Answer:
    """What changed is told with every command; this one does nothing else. Every reply was durable, so has CHECK."""
    return Answer("Done")


async def idle(session: Session, command: commands.Idle) -> Answer:
    """Tells what changes until the client says DONE."""
    session.engine.proceed()
    watch = _Watch(session) if session.selected is not None else None
    try:
        event = await session.line.event()
    finally:
        if watch is not None:
            await watch.end()
    if not isinstance(event, Done):
        raise ConnectionAbortedError("the client left while it was idle")
    return Answer(event.flaw, status=Status.BAD) if event.flaw else Answer("Done")


class _Watch:
    """Looks at the mailbox after each hint and every so often. While nothing happens it has a timer and no task."""

    __slots__ = ("_again", "_loop", "_session", "_task", "_timer", "_unsubscribe")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._unsubscribe = session.post.hints.subscribe(account_topic(session.account_id), self._hint)
        self._timer = self._loop.call_later(0, self._tick)

    async def end(self) -> None:
        """Nothing more is told when this returns."""
        self._unsubscribe()
        self._timer.cancel()
        self._again = False
        if self._task is not None:
            # It is waited for: the same connection must not be told two things at once.
            await asyncio.gather(self._task, return_exceptions=True)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(LOOK_SECONDS, self._tick)
        self._hint()

    def _hint(self) -> None:
        if self._task is not None:
            self._again = True
            return
        self._task = self._loop.create_task(self._look())

    async def _look(self) -> None:
        session = self._session
        try:
            await session.catch_up(expunge=True)
            await session.flush()
        except StoreFault:
            pass  # there is a next time
        finally:
            self._task = None
            if session.engine.closed:
                session.line.wake()
            elif self._again:
                self._again = False
                self._hint()
