"""Greylisting: a stranger whom nobody vouches for is asked to come again, once (RFC 6647).

    answer = await greylisting.ask(case)
    answer.ruling           Defer with 451 4.7.1, or None where it may come in
    answer.unit             what has to be written in either case, or None

The policy says who is a stranger (`Ruling.stranger`); the memory is `store.greylist`. Whoever is known is written down
once a day, in the transaction of the message's acceptance.
"""

from functools import partial
from typing import Final, NamedTuple

from posthouse.mail.instant import MINUTE
from posthouse.mail.reply import Reply
from posthouse.mail.verdict import Defer
from posthouse.route.case import Case
from posthouse.route.refusal import Unit
from posthouse.store import greylist
from posthouse.store.database import Database, StoreFault
from posthouse.store.greylist import Attempt, State

_MINUTES: Final = greylist.PATIENCE // MINUTE
# RFC 6647 §5, RFC 3463: X.7.1, delivery is not authorized (yet).
COME_AGAIN: Final = Reply(451, "4.7.1", f"Nobody vouches for this message yet, please try again in {_MINUTES} minutes")
_REASONS: Final = {
    State.FRESH: f"nobody vouches for it, and its sender is not known here; asked to come again in {_MINUTES} minutes",
    State.EARLY: f"nobody vouches for it, and its sender came again before {_MINUTES} minutes were over",
}


class Answer(NamedTuple):
    """What greylisting says of a stranger."""

    decision: Defer | None
    unit: Unit | None


class Greylisting:
    """The memory of one house, asked. It needs the envelope with its recipients."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ask(self, case: Case) -> Answer:
        """Never raises: a store that cannot be asked makes nobody wait."""
        envelope, peer = case.envelope, case.peer
        attempt = Attempt.of(peer.ip, peer.helo, envelope.mail_from, envelope.rcpt_to[0].address)
        try:
            state = await self._db.read(partial(greylist.look, attempt=attempt, now=case.now), quick=True)
        except StoreFault:
            return Answer(None, None)
        if state in _REASONS:
            unit = partial(greylist.put_off, attempt=attempt, now=case.now)
            return Answer(Defer("greylist", _REASONS[state], COME_AGAIN), unit)
        if state is State.TOUCHED:
            return Answer(None, None)
        return Answer(None, partial(greylist.let_in, attempt=attempt, now=case.now))
