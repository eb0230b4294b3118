"""The selected mailbox as the client knows it: sequence numbers ↔ UIDs, and what has to be told when.

The client's numbers change only when it is told so: messages that others removed stay in the view (as *gone*) until
an EXPUNGE may be sent, new ones join it when EXISTS says so. Nothing else is kept of the messages: 500,000 of them
cost 2 MB.

\\Recent (RFC 3501 §2.3.2): a session that selects for writing takes what nobody was told of before, and everything
that arrives while it has the mailbox open; other sessions open at that time see the latter as recent, too, since it
cannot be told who saw it first. EXAMINE takes nothing.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from posthouse.mail.flags import Flag
from posthouse.store.messages import Changed, Changes, Uids
from posthouse.wire.imap import responses
from posthouse.wire.imap.faults import Malformed
from posthouse.wire.imap.sequence import SequenceSet

# Index ranges into the view: from, to before; rising and apart.
Slices = list[tuple[int, int]]
SYSTEM_BITS = int(Flag.SEEN | Flag.ANSWERED | Flag.FLAGGED | Flag.DELETED | Flag.DRAFT)


class FlagNames(dict[int, bytes]):
    """Flag numbers → `(\\Seen $Forwarded)`, each rendered once; made anew when the account's keywords change."""

    __slots__ = ("keywords", "recent")

    def __init__(self, keywords: dict[int, str], *, recent: bool = False) -> None:
        super().__init__()
        self.keywords = keywords
        self.recent = recent

    def __missing__(self, flags: int) -> bytes:
        names = [name for bit, name in self.keywords.items() if flags & bit]
        rendered = self[flags] = responses.flag_list(flags, names, recent=self.recent)
        return rendered


class Selected:
    """One mailbox, selected by one session."""

    __slots__ = (
        "_fresh", "_old", "account_modseq", "gone", "mailbox_id", "modseq", "own", "read_only", "recent_from",
        "uidnext", "uids", "uidvalidity",
    )  # fmt: skip

    def __init__(self, mailbox_id: int, uidvalidity: int, *, read_only: bool) -> None:
        self.mailbox_id = mailbox_id
        self.uidvalidity = uidvalidity
        self.read_only = read_only
        self.uids = array("I")
        self.uidnext = 1
        self.modseq = 0
        self.account_modseq = 0
        self.recent_from = 1
        # UIDs that are gone from the store and not from the view.
        self.gone: set[int] = set()
        # The modseqs of this session's own changes, which it need not be told of.
        self.own: set[int] = set()
        self._old = FlagNames({})
        self._fresh = FlagNames({}, recent=True)

    # --- numbers -----------------------------------------------------------------------------------------

    @property
    def recent(self) -> int:
        """How many messages are \\Recent."""
        return len(self.uids) - bisect_left(self.uids, self.recent_from)

    def slices(self, numbers: SequenceSet, *, uid: bool) -> Slices:
        """Where the numbers are in the view. Raises Malformed for a sequence number that is not there."""
        count = len(self.uids)
        if uid:
            # RFC 3501 §6.4.8: a UID that does not exist is passed over.
            ranges = numbers.resolve(self.uids[-1] if count else self.uidnext)
            found = [(bisect_left(self.uids, low), bisect_right(self.uids, high)) for low, high in ranges]
            return [(start, end) for start, end in found if start < end]
        ranges = numbers.resolve(count)
        if not count or ranges[-1][1] > count:
            raise Malformed("No such message")
        return [(low - 1, high) for low, high in ranges]

    def ranges(self, slices: Iterable[tuple[int, int]]) -> Uids:
        """The UIDs of slices, as the store takes them."""
        uids = self.uids
        return [(uids[start], uids[end - 1]) for start, end in slices]

    def batches(self, slices: Slices, size: int) -> Iterator[Slices]:
        """The same slices in groups of at most `size` messages."""
        batch: Slices = []
        left = size
        for start, end in slices:
            while start < end:
                step = min(end, start + left)
                batch.append((start, step))
                left -= step - start
                start = step
                if not left:
                    yield batch
                    batch, left = [], size
        if batch:
            yield batch

    def number(self, uid: int, least: int = 0) -> int:
        """The sequence number of a UID, 0 where it is not in the view; `least`: it is not below this index."""
        index = bisect_left(self.uids, uid, least)
        return index + 1 if index < len(self.uids) and self.uids[index] == uid else 0

    # --- flags -------------------------------------------------------------------------------------------

    def name_keywords(self, keywords: dict[int, str]) -> bool:
        """Takes the account's keywords as they are now; whether they differ from those known before."""
        if keywords == self._old.keywords:
            return False
        self._old = FlagNames(keywords)
        self._fresh = FlagNames(keywords, recent=True)
        return True

    @property
    def keywords(self) -> dict[int, str]:
        """Bit → keyword."""
        return self._old.keywords

    def flag_names(self, uid: int) -> FlagNames:
        """How the flags of a message are written: with \\Recent or without."""
        return self._fresh if uid >= self.recent_from else self._old

    def flags_lines(self) -> bytes:
        """FLAGS and PERMANENTFLAGS as they are now (RFC 3501 §7.2.6, §7.1)."""
        applicable = responses.flag_list(SYSTEM_BITS, self.keywords.values())
        if self.read_only:
            permanent = b"()"
        else:
            permanent = applicable[:-1] + b" \\*)"
        return b"* FLAGS %b\r\n* OK [PERMANENTFLAGS %b] Flags that last\r\n" % (applicable, permanent)

    # --- what others did ---------------------------------------------------------------------------------

    def apply(self, changes: Changes, expunged: Uids) -> tuple[list[int], list[Changed]]:
        """Takes in what happened: gives the new UIDs, which are in the view now, and foreign changes of flags.

        What was removed is only marked as gone: `expunge` tells it.
        """
        known = self.uidnext
        for start, end in self._slices_of(expunged):
            self.gone.update(self.uids[start:end])
        arrived = [changed.uid for changed in changes.changed if changed.uid >= known]
        self.uids.extend(arrived)
        own = self.own
        foreign = [changed for changed in changes.changed if changed.uid < known and changed.modseq not in own]
        own.clear()
        self.modseq = changes.modseq
        self.uidnext = max(self.uidnext, changes.uidnext)
        return arrived, foreign

    def missing(self, there: Sequence[int]) -> Uids:
        """The UIDs of the view that are not among `there` (rising), where the log of removals was too short."""
        present = set(there)
        return [(uid, uid) for uid in self.uids if uid not in present]

    def expunge(self) -> bytes:
        """Takes what is gone out of the view; gives the EXPUNGE lines, which may be sent now."""
        if not self.gone:
            return b""
        indices = [index for uid in sorted(self.gone) if (index := self.number(uid) - 1) >= 0]
        self.gone.clear()
        kept = array("I")
        at = 0
        for index in indices:
            kept.extend(self.uids[at:index])
            at = index + 1
        kept.extend(self.uids[at:])
        self.uids = kept
        # From the highest down, so that no line moves the numbers of the next.
        return b"".join([b"* %d EXPUNGE\r\n" % (index + 1) for index in reversed(indices)])

    def flag_changes(self, changed: Iterable[Changed]) -> bytes:
        """FETCH lines for changed flags, of those that are still there."""
        lines = []
        number = 0
        for change in changed:
            found = self.number(change.uid, number)
            if found and change.uid not in self.gone:
                number = found - 1
                names = self.flag_names(change.uid)
                lines.append(b"* %d FETCH (UID %d FLAGS %b)\r\n" % (found, change.uid, names[change.flags]))
        return b"".join(lines)

    def _slices_of(self, uids: Uids) -> Slices:
        found = [(bisect_left(self.uids, low), bisect_right(self.uids, high)) for low, high in uids]
        return [(start, end) for start, end in found if start < end]
