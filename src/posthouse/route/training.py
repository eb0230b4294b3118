"""Learning, beside the mail: what accounts have called junk is read and counted, message by message.

    training = Training(db, blobs, hints, clock, observer)
    await training.run()                     for ever, in one task of one process

A move into Junk or out of it leaves a lesson behind (`store.junk`). Here its message is read in a thread, and its
tokens are counted in small transactions between which the mail goes on. A lesson that was interrupted is taken up
where it was. Afterwards as much mail as there is junk is learnt as good, of what was read and kept, and what is too
much of a vocabulary is forgotten.

Whom a junk message is from is remembered only where DMARC proved it: in our own Authentication-Results in front of it.
Anybody could otherwise spoil the name of somebody else.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from posthouse.mail.address import Address
from posthouse.mail.authentication_results import AuthenticationResultsError, parse_results
from posthouse.mail.author import AuthorError, author
from posthouse.mail.headers import Octets, scan_header
from posthouse.mail.instant import HOUR, Clock, Instant
from posthouse.mail.message import Message
from posthouse.route.observer import Observer
from posthouse.route.suspicion import LOOKED_AT, lexicon, origin_of
from posthouse.store import correspondents, junk
from posthouse.store.blobs import Blobs, Content
from posthouse.store.database import Database, Fault, StoreFault
from posthouse.store.hints import Hints
from posthouse.store.junk import Kind, Lesson
from posthouse.store.learners import learnt_topic

LOOK_SECONDS: Final = 30.0
"""How long nobody looks for lessons if there is no hint."""

_SWEEP: Final = HOUR
_AT_ONCE: Final = 20
# Between two transactions others get their turn.
_PAUSE_SECONDS: Final = 0.01


class _Matter(NamedTuple):
    """What there is to learn in a message. `proven` is its author, if DMARC vouched for him when it came in."""

    tokens: tuple[str, ...]
    proven: Address | None


class Training:
    """The lessons of all accounts of a house, one after the other."""

    def __init__(self, db: Database, blobs: Blobs, hints: Hints, clock: Clock, observer: Observer) -> None:
        self._db = db
        self._blobs = blobs
        self._hints = hints
        self._clock = clock
        self._observer = observer
        self._swept: Instant = 0

    async def run(self) -> None:
        """Until it is cancelled. While the store can take nothing, lessons wait like everything else."""
        hinted = asyncio.Event()
        unsubscribe = self._hints.subscribe(junk.LESSONS, hinted.set)
        try:
            while True:
                hinted.clear()
                try:
                    while await self.learn():
                        pass
                    await self._tidy()
                except StoreFault as fault:
                    self._observer.failed("learning", fault)
                try:
                    async with asyncio.timeout(LOOK_SECONDS):
                        await hinted.wait()
                except TimeoutError:
                    continue
        finally:
            unsubscribe()

    async def learn(self) -> bool:
        """Some of the lessons that wait; True where there may be more."""
        lessons = await self._db.read(partial(junk.waiting, limit=_AT_ONCE))
        taught = {lesson.account_id for lesson in lessons}
        for lesson in lessons:
            await self._learn(lesson)
        kept = 0
        for account_id in taught:
            kept += await self._db.write(partial(junk.say_kept, account_id=account_id))
            self._hints.publish(learnt_topic(account_id))
        return kept > 0 or len(lessons) == _AT_ONCE

    async def _learn(self, lesson: Lesson) -> None:
        matter = await self._read(lesson)
        if matter is None:
            await self._db.write(partial(junk.drop, lesson=lesson))
            return
        origin = origin_of(matter.proven) if matter.proven is not None else ""
        step = partial(
            junk.learn, lesson=lesson, tokens=matter.tokens, domain=origin, today=junk.day(self._clock())
        )
        more = True
        while more:
            more = await self._db.write(step)
            await asyncio.sleep(_PAUSE_SECONDS if more else 0)
        if matter.proven is not None and lesson.wanted is Kind.JUNK:
            disown = partial(correspondents.disown, account_id=lesson.account_id, address=matter.proven)
            await self._db.write(disown)

    async def _read(self, lesson: Lesson) -> _Matter | None:
        """What the message holds; None where there is nothing to learn: it is gone, enormous, or cannot be read."""
        found = await self._db.read(partial(junk.material, lesson=lesson), quick=True)
        if found is None:
            return None
        blob_id, prefix = found
        try:
            content = await self._blobs.load(blob_id)
            if content.size > LOOKED_AT:
                return None
            return await asyncio.to_thread(_open, content, partial(_matter, prefix))
        except StoreFault as fault:
            if fault.fault is Fault.BUSY:
                raise
            self._observer.failed("learning from a message", fault)
            return None

    async def _tidy(self) -> None:
        """Forgets what is rare and old of vocabularies that are too large, and now and then the lessons of the past."""
        while (account_id := await self._db.read(junk.crowded)) is not None:
            stale = await self._db.read(partial(junk.stale, account_id=account_id))
            for start in range(0, len(stale), junk.PIECE):
                piece = stale[start : start + junk.PIECE]
                await self._db.write(partial(junk.forget_tokens, account_id=account_id, tokens=piece))
                await asyncio.sleep(_PAUSE_SECONDS)
        now = self._clock()
        if not 0 <= now - self._swept < _SWEEP:
            await self._db.write(junk.sweep)
            self._swept = now


def _open(content: Content, view: Callable[[Octets], _Matter]) -> _Matter:
    with content.open() as octets:
        return view(octets)


def _matter(prefix: bytes, octets: Octets) -> _Matter:
    message = Message.parse(octets)
    try:
        wrote = author(message.header)
    except AuthorError:
        return _Matter(lexicon(message), None)
    return _Matter(lexicon(message), wrote if _passed(prefix) else None)


def _passed(prefix: bytes) -> bool:
    """Whether DMARC passed for the author when the message came in; the prefix is ours alone."""
    field = scan_header(prefix).get("authentication-results")
    if field is None:
        return False
    try:
        results = parse_results(field.value).results
    except AuthenticationResultsError:
        return False
    return any((found.method, found.result) == ("dmarc", "pass") for found in results)
