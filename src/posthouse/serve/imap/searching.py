"""SEARCH (RFC 3501 §6.4.4): what the store knows is asked there, what only the octets know is read.

The criteria become a condition of the store. Where some of them need the messages themselves (BODY, TEXT, a header
field that is not kept), the others narrow down the candidates first; those are read once, in a thread, each looked
through for all texts wanted; then sets of UIDs are combined as the criteria say.
"""

import asyncio
import re
from dataclasses import dataclass, field

from posthouse.mail.instant import DAY
from posthouse.serve.imap import bodies
from posthouse.serve.imap.scanning import Scan
from posthouse.serve.imap.selected import Selected
from posthouse.serve.imap.session import Answer, Session
from posthouse.store import keywords, messages
from posthouse.store import search as store
from posthouse.store.database import Transaction
from posthouse.store.messages import Uids
from posthouse.store.search import Condition
from posthouse.wire.imap import commands, search
from posthouse.wire.imap.dates import sent_day
from posthouse.wire.imap.faults import Refusal
from posthouse.wire.imap.search import Compare, Key, Place, Text
from posthouse.wire.imap.sequence import MAXIMUM, gather

# Octets of messages that one SEARCH may look through, for each text once.
SCAN_OCTETS = 4 * 1024**3
# Results with more numbers are written in a thread.
LARGE = 10_000
# Sets of numbers with more ranges than this are no condition for the store.
MAX_RANGES = 100

_COLUMNS = {
    Place.BCC: "header_bcc",
    Place.CC: "header_cc",
    Place.FROM: "header_from",
    Place.SUBJECT: "subject",
    Place.TO: "header_to",
}
# Fields whose text is kept, and those of which the bare identifiers are.
_FIELDS = {"bcc": "header_bcc", "cc": "header_cc", "from": "header_from", "subject": "subject", "to": "header_to"}
_IDENTIFIERS = {"message-id": "message_id", "in-reply-to": "in_reply_to", "references": "references"}


async def search_messages(session: Session, command: commands.Search) -> Answer:
    """Tells the numbers of the messages that match, rising."""
    view = session.view
    found = await _find(session, view, command.key) if view.uids else []
    if len(found) > LARGE:
        session.tell(await asyncio.to_thread(_line, view, found, command.uid))
    else:
        session.tell(_line(view, found, command.uid))
    return Answer("Done")


def _line(view: Selected, found: list[int], uid: bool) -> bytes:
    """The untagged response. A message that came after the last EXISTS has no number yet."""
    numbers = found
    if not uid:
        numbers = []
        index = 0
        for each in found:
            number = view.number(each, index)
            if number:
                numbers.append(number)
                index = number
    return b"* SEARCH" + b"".join([b" %d" % number for number in numbers]) + b"\r\n"


async def _find(session: Session, view: Selected, key: Key) -> list[int]:
    """The UIDs that match, rising."""
    account_id, mailbox_id = session.account_id, view.mailbox_id
    facts = await session.read(lambda tx: _Facts.gather(tx, account_id, mailbox_id, view, key))
    if not facts.rest:
        return facts.candidates
    candidates = set(facts.candidates)
    if facts.texts and candidates:
        facts.sets.update(await _scan(session, view, facts.candidates, facts.texts))
    for part in facts.rest:
        candidates &= facts.matching(part, candidates)
    return sorted(candidates)


@dataclass(slots=True)
class _Facts:
    """What one transaction finds out about a search.

    `candidates` match all that the store could be asked at once; `rest` are the keys that are left. `sets` holds, by
    the identity of a key within `rest`, the candidates it matches; `texts` are the keys still to be looked for.
    """

    candidates: list[int]
    rest: list[Key]
    sets: dict[int, set[int]] = field(default_factory=dict)
    texts: dict[int, Text] = field(default_factory=dict)

    @classmethod
    def gather(cls, tx: Transaction, account_id: int, mailbox_id: int, view: Selected, key: Key) -> "_Facts":
        """One reading of the store. Raises Malformed for a sequence number that is not there."""
        asker = _Asker(tx, account_id, mailbox_id, view)
        keys = key.keys if isinstance(key, search.And) else (key,)
        conditions = [(each, asker.condition(each)) for each in keys]
        known = [condition for _, condition in conditions if condition is not None]
        asker.base = store.All((store.InUids(((1, view.uids[-1]),)), *known))
        facts = cls(asker.ask(store.Every()), [each for each, condition in conditions if condition is None])
        if facts.candidates:
            for each in facts.rest:
                facts._prepare(asker, each)
        return facts

    def _prepare(self, asker: "_Asker", key: Key) -> None:
        """Fills `sets` and `texts` for a key and all below it."""
        condition = asker.condition(key)
        match key:
            case _ if condition is not None:
                self.sets[id(key)] = set(asker.ask(condition))
            case search.And(keys) | search.Or(keys):
                for each in keys:
                    self._prepare(asker, each)
            case search.Not(inner):
                self._prepare(asker, inner)
            case search.Numbers():
                slices = asker.view.slices(key.numbers, uid=key.uid)
                self.sets[id(key)] = {uid for start, end in slices for uid in asker.view.uids[start:end]}
            case search.Sent():
                self.sets[id(key)] = asker.sent(key)
            case Text():
                self.texts[id(key)] = key
            case _:
                pass  # the store answers every other key

    def matching(self, key: Key, universe: set[int]) -> set[int]:
        """Those of `universe` that a key matches."""
        known = self.sets.get(id(key))
        if known is not None:
            return known & universe
        match key:
            case search.And(keys):
                for each in keys:
                    universe = self.matching(each, universe)
                return universe
            case search.Or(keys):
                found: set[int] = set()
                for each in keys:
                    found |= self.matching(each, universe - found)
                return found
            case search.Not(inner):
                return universe - self.matching(inner, universe)
            case _:
                return set()


class _Asker:
    """Puts keys to the store, within one transaction. `base` narrows every question."""

    __slots__ = ("_account_id", "_mailbox_id", "_tx", "base", "view")

    def __init__(self, tx: Transaction, account_id: int, mailbox_id: int, view: Selected) -> None:
        self._tx = tx
        self._account_id = account_id
        self._mailbox_id = mailbox_id
        self.view = view
        self.base: Condition = store.Every()

    def ask(self, condition: Condition) -> list[int]:
        """The UIDs that match, rising."""
        try:
            return store.search(self._tx, self._account_id, self._mailbox_id, store.All((self.base, condition)))
        except ValueError:
            # Too many terms for one query: no person's question (RFC 5530 §3).
            raise Refusal("The search is too long", "LIMIT") from None

    def condition(self, key: Key) -> Condition | None:
        """The key as the store asks it; None where it cannot answer."""
        match key:
            case search.All():
                return store.Every()
            case search.And(keys) | search.Or(keys):
                parts = [self.condition(each) for each in keys]
                known = tuple(part for part in parts if part is not None)
                if len(known) < len(parts):
                    return None
                return store.All(known) if isinstance(key, search.And) else store.Either(known)
            case search.Not(inner):
                negated = self.condition(inner)
                return None if negated is None else store.Not(negated)
            case search.Flagged(flag, present):
                return store.HasFlags(flag) if present else store.LacksFlags(flag)
            case search.Keyword(name, present):
                bit = keywords.bits(self._tx, self._account_id, (name,))
                if not bit:
                    return store.Either(()) if present else store.Every()
                return store.HasFlags(bit) if present else store.LacksFlags(bit)
            case search.Recent(present):
                recent = store.InUids(((self.view.recent_from, MAXIMUM),))
                return recent if present else store.Not(recent)
            case search.Received(compare, day):
                return _received(compare, day)
            case search.Size(compare, octets):
                return store.Size(above=octets) if compare is Compare.ABOVE else store.Size(below=octets)
            case search.Numbers(numbers, uid):
                if len(numbers.ranges) > MAX_RANGES:
                    return None
                return store.InUids(self.view.ranges(self.view.slices(numbers, uid=uid)))
            case search.Text():
                return _contains(key)
            case search.Sent():
                return None

    def sent(self, key: search.Sent) -> set[int]:
        """The Date field by the day written there, whatever its zone: within a day of the limit it is looked at."""
        day = key.day
        found: set[int] = set()
        if key.compare is Compare.BELOW:
            found.update(self.ask(store.Sent(before=(day - 1) * DAY)))
        elif key.compare is Compare.NOT_BELOW:
            found.update(self.ask(store.Sent(since=(day + 1) * DAY)))
        doubtful = self.ask(store.Sent(since=(day - 1) * DAY, before=(day + 2) * DAY))
        for start in range(0, len(doubtful), 1000):
            uids: Uids = gather(doubtful[start : start + 1000])
            rows = messages.fetch(self._tx, self._account_id, self._mailbox_id, uids, ("uid", "envelope"))
            found.difference_update(doubtful[start : start + 1000])
            found.update(uid for uid, envelope in rows if _was_sent(envelope, key))
        return found


def _received(compare: Compare, day: int) -> Condition:
    since, before = day * DAY, (day + 1) * DAY
    match compare:
        case Compare.BELOW:
            return store.Received(before=since)
        case Compare.NOT_BELOW:
            return store.Received(since=since)
        case _:
            return store.Received(since=since, before=before)


def _contains(key: Text) -> Condition | None:
    if not key.text:
        # Only whether the field is there is asked, which an empty column does not tell.
        return None
    if key.place is Place.FIELD:
        column = _FIELDS.get(key.field)
        if column is not None:
            return store.Contains(column, key.text)
        identifier = key.text.strip("<> ")
        column = _IDENTIFIERS.get(key.field)
        if column is not None and identifier and not any(c in identifier for c in "<> "):
            return store.Contains(column, identifier)
        return None
    column = _COLUMNS.get(key.place)
    return None if column is None else store.Contains(column, key.text)


# The date stands first in an ENVELOPE.
_DATE = re.compile(rb'\((?:"([^"]*)"|\{([0-9]+)\}\r\n)')


def _was_sent(envelope: bytes, key: search.Sent) -> bool:
    found = _DATE.match(envelope)
    if found is None:
        return False
    date = found[1] if found[1] is not None else envelope[found.end() : found.end() + int(found[2])]
    day = sent_day(date)
    if day is None:
        return False
    match key.compare:
        case Compare.BELOW:
            return day < key.day
        case Compare.NOT_BELOW:
            return day >= key.day
        case _:
            return day == key.day


async def _scan(
    session: Session, view: Selected, candidates: list[int], texts: dict[int, Text]
) -> dict[int, set[int]]:
    """Reads the candidates, each once, and gives for each text the UIDs it is found in."""
    account_id, mailbox_id = session.account_id, view.mailbox_id
    uids = gather(candidates)
    rows = await session.read(lambda tx: messages.fetch(tx, account_id, mailbox_id, uids, ("uid", "size")))
    if sum(row[1] for row in rows) * len(texts) > SCAN_OCTETS:
        # RFC 5530 §3.
        raise Refusal("Too many messages would have to be read; narrow the search down", "LIMIT")
    scan = Scan(texts.values())
    hits: dict[int, set[int]] = {identity: set() for identity in texts}
    for group in bodies.groups(rows, 1):
        found = await bodies.load(session, mailbox_id, [row[0] for row in group])
        # Given back after each group, so that several searches take turns.
        async with session.post.scans:
            matched = await _look(session, scan, found)
        for uid, there in matched.items():
            for identity, text in texts.items():
                if text in there:
                    hits[identity].add(uid)
    return hits


async def _look(session: Session, scan: Scan, found: dict[int, bodies.Body]) -> dict[int, set[Text]]:
    """Which texts are in which of the messages."""
    small = {uid: body for uid, body in found.items() if body.octets is not None}

    def look() -> dict[int, set[Text]]:
        return {
            uid: scan.found(body.prefix, body.header_end, body.octets)
            for uid, body in small.items()
            if body.octets is not None
        }

    matched = await asyncio.to_thread(look)
    for uid in found.keys() - small.keys():
        body = found[uid]
        content = await session.post.blobs.load(body.blob_id)
        with content.open() as octets:
            matched[uid] = await asyncio.to_thread(scan.found, body.prefix, body.header_end, octets)
    return matched
