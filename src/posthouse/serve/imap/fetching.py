"""FETCH (RFC 3501 §6.4.5): whole ranges in one query, answered from octets that were made at delivery.

Messages are read in batches; each batch is sent before the next is read, and a client that is slow is waited for in
between, so that what is in memory does not grow with what was asked for.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

from posthouse.mail.flags import Flag
from posthouse.serve.imap import bodies
from posthouse.serve.imap.selected import FlagNames, Selected, Slices
from posthouse.serve.imap.session import Answer, Session
from posthouse.store import keywords, messages
from posthouse.store.database import Row, Transaction
from posthouse.store.messages import Changed
from posthouse.wire.imap import commands, skeleton
from posthouse.wire.imap.dates import internal_date
from posthouse.wire.imap.faults import Refusal
from posthouse.wire.imap.sections import Attribute, Items
from posthouse.wire.imap.sequence import MAXIMUM, gather

# Messages read at once: small rows, rows with structures, and rows whose bodies are read next.
SMALL_BATCH = 5000
BATCH = 1000
BODY_BATCH = 200

_COLUMNS = {
    Attribute.UID: "uid",
    Attribute.FLAGS: "flags",
    Attribute.INTERNALDATE: "received_at",
    Attribute.SIZE: "size",
    Attribute.ENVELOPE: "envelope",
    Attribute.BODY: "bodystructure",
    Attribute.BODYSTRUCTURE: "bodystructure",
}
_LARGE = frozenset((Attribute.ENVELOPE, Attribute.BODY, Attribute.BODYSTRUCTURE))
# How a column becomes octets, where it is not inserted as it is.
_RENDERED: dict[Attribute, Callable[[Any], bytes]] = {
    Attribute.INTERNALDATE: internal_date,
    Attribute.BODY: skeleton.body,
}


async def fetch(session: Session, command: commands.Fetch) -> Answer:
    """Sends what was asked for of each message; what is not there any more is passed over."""
    view = session.view
    slices = view.slices(command.numbers, uid=command.uid)
    items = command.items
    attributes = items.attributes
    if command.uid and Attribute.UID not in attributes:
        # RFC 3501 §6.4.8: the answers to UID FETCH carry the UID, asked for or not.
        attributes = (Attribute.UID, *attributes)
    plan = _Plan(attributes, items)
    told = 0
    for batch in view.batches(slices, plan.batch_size):
        rows = await _rows(session, view, batch, plan)
        told += len(rows)
        if items.sections:
            told -= await _tell_bodies(session, view, plan, rows)
        else:
            session.tell(plan.lines(view, rows))
        await session.flush()
    if not command.uid and told < sum(end - start for start, end in slices):
        # RFC 2180 §4.1.2: another session removed some, and this one may be told only later (RFC 5530 §3).
        raise Refusal("Some of these messages were removed meanwhile", "EXPUNGEISSUED")
    return Answer("Done")


class _Plan:
    """What one FETCH reads and how a row becomes a line. Rows begin with uid and flags."""

    __slots__ = ("_getters", "_template", "attributes", "batch_size", "columns", "items", "marks_seen")

    def __init__(self, attributes: Sequence[Attribute], items: Items) -> None:
        self.attributes = attributes
        self.items = items
        self.marks_seen = items.sets_seen
        self.columns = list(dict.fromkeys(("uid", "flags", *(_COLUMNS[attribute] for attribute in attributes))))
        self.batch_size = BODY_BATCH if items.sections else BATCH if _LARGE.intersection(attributes) else SMALL_BATCH
        if items.sections and "size" not in self.columns:
            self.columns.append("size")
        numbers = (Attribute.UID, Attribute.SIZE)
        self._template = b" ".join(
            attribute.value + (b" %d" if attribute in numbers else b" %b") for attribute in attributes
        )
        self._getters = [
            (self.columns.index(_COLUMNS[attribute]), attribute is Attribute.FLAGS, _RENDERED.get(attribute))
            for attribute in attributes
        ]

    def facts(self, row: Row, names: FlagNames) -> bytes:
        """The attributes of one message, without parentheses."""
        return self._template % tuple(
            [
                names[row[at]] if is_flags else row[at] if render is None else render(row[at])
                for at, is_flags, render in self._getters
            ]
        )

    def lines(self, view: Selected, rows: list[Row]) -> bytes:
        """The responses for a batch of rows."""
        template = b"* %d FETCH (" + self._template + b")\r\n"
        getters, uids, recent_from = self._getters, view.uids, view.recent_from
        names, fresh = view.flag_names(0), view.flag_names(MAXIMUM)
        lines = []
        index = 0
        for row in rows:
            uid = row[0]
            if uids[index] != uid:
                index = bisect_left(uids, uid, index)
            index += 1
            if uid >= recent_from:
                names = fresh
            values = [
                names[row[at]] if is_flags else row[at] if render is None else render(row[at])
                for at, is_flags, render in getters
            ]
            lines.append(template % (index, *values))
        return b"".join(lines)


async def _rows(session: Session, view: Selected, batch: Slices, plan: _Plan) -> list[Row]:
    """The rows of a batch, and the account's keywords of the same moment, by which their flags are written."""
    account_id, mailbox_id, uids = session.account_id, view.mailbox_id, view.ranges(batch)
    columns = plan.columns

    def unit(tx: Transaction) -> tuple[list[Row], dict[int, str]]:
        return messages.fetch(tx, account_id, mailbox_id, uids, columns), keywords.names(tx, account_id)

    quick = sum(end - start for start, end in batch) <= 10
    rows, names = await session.read(unit, quick=quick)
    if view.name_keywords(names):
        session.tell(view.flags_lines())
    return rows


async def _tell_bodies(session: Session, view: Selected, plan: _Plan, rows: list[Row]) -> int:
    """Sends rows with sections of their bodies; gives how many are gone meanwhile."""
    now_seen = await _mark_seen(session, view, rows) if plan.marks_seen and not view.read_only else {}
    gone = number = unsent = 0
    for group in bodies.groups(rows, plan.columns.index("size")):
        found = await bodies.load(session, view.mailbox_id, [row[0] for row in group])
        for row in group:
            body = found.get(row[0])
            if body is None:
                gone += 1
                continue
            uid = row[0]
            number = view.number(uid, number)
            names = view.flag_names(uid)
            if uid in now_seen:
                row = (uid, now_seen[uid], *row[2:])
            facts = plan.facts(row, names)
            if uid in now_seen and Attribute.FLAGS not in plan.attributes:
                # RFC 3501 §6.4.5: the implicit \\Seen is told as part of this response.
                facts += b" FLAGS " + names[now_seen[uid]] if facts else b"FLAGS " + names[now_seen[uid]]
            session.tell(b"* %d FETCH (%b" % (number, facts))
            await bodies.tell(session, body, plan.items.sections, first=not facts)
            session.tell(b")\r\n")
            unsent += body.size
            if unsent > bodies.PIECE:
                await session.flush()
                unsent = 0
    return gone


async def _mark_seen(session: Session, view: Selected, rows: list[Row]) -> dict[int, int]:
    """Sets \\Seen where it was not; gives the new flags by UID."""
    unseen = [row[0] for row in rows if not row[1] & Flag.SEEN]
    if not unseen:
        return {}
    account_id, mailbox_id, uids = session.account_id, view.mailbox_id, gather(unseen)

    def unit(tx: Transaction) -> list[Changed]:
        return messages.store_flags(tx, account_id, mailbox_id, uids, add=Flag.SEEN)

    changed = await session.change(unit)
    view.own.update({change.modseq for change in changed})
    return {change.uid: change.flags for change in changed}
