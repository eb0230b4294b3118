"""Messages in mailboxes: filed, fetched, flagged, copied, moved, removed, and what a session hears of it."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from posthouse.mail.flags import Flag
from posthouse.store import directory, keywords, ledger, mailboxes, messages
from posthouse.store.mailboxes import MailboxError
from posthouse.store.messages import EVERY, Added, Changed, Uids
from store.rooms import Rooms

SEEN, FLAGGED, DELETED = int(Flag.SEEN), int(Flag.FLAGGED), int(Flag.DELETED)


@pytest.fixture
def home(rooms: Rooms) -> Rooms:
    rooms.settle_in()
    return rooms


def fetch(rooms: Rooms, *columns: str, uids: Uids = EVERY, mailbox_id: int = 1) -> list[tuple[object, ...]]:
    return rooms.see(lambda tx: messages.fetch(tx, rooms.account_id, mailbox_id, uids, columns))


def store(rooms: Rooms, uids: Uids = EVERY, **change: int) -> list[Changed]:
    return rooms.do(lambda tx: messages.store_flags(tx, rooms.account_id, 1, uids, **change))


def test_what_was_filed_is_fetched(home: Rooms) -> None:
    body = b"Subject: hi\r\n\r\nthere\r\n"
    filed = {
        "flags": SEEN | 64, "received_at": 5, "sent_at": 4, "header_size": 30, "prefix": b"P: q\r\n",
        "envelope": b"(e)", "bodystructure": b"(b)", "message_id": "m@x", "in_reply_to": "r@x", "subject": "Größe",
        "base_subject": "grösse", "header_from": "A <a@x>", "header_to": "b@x", "header_cc": "c@x", "header_bcc": "d@x",
        "preview": "there",
    }  # fmt: skip
    added = home.deliver(octets=body, size=99, has_attachment=True, references=("p@x", "q@x"), **filed)
    assert added.uid == 1
    expected = {**filed, "uid": 1, "modseq": added.modseq, "size": 99, "octets": body, "references": "p@x q@x"}
    columns = list(expected)
    assert fetch(home, *columns) == [tuple(expected[name] for name in columns)]
    assert fetch(home, "has_attachment", "sent_at") == [(1, 4)]
    ((digest, blob_id),) = fetch(home, "digest", "blob_id")
    assert home.run(home.blobs.load(blob_id)).digest == digest  # type: ignore[arg-type]


def test_text_that_is_no_text_is_stored_all_the_same(home: Rooms) -> None:
    home.deliver(subject="half \ud83d pair", header_from="\udcff", message_id="nul\0inside")
    assert fetch(home, "subject", "header_from", "message_id") == [("half ? pair", "?", "nul\0inside")]


@pytest.mark.parametrize(
    ("uids", "expected"),
    [
        (EVERY, [1, 2, 3, 5, 6, 7, 8, 9]),
        (((1, 1),), [1]),
        (((4, 4),), []),
        (((3, 5),), [3, 5]),
        (((1, 2), (5, 5), (8, 4_000_000_000)), [1, 2, 5, 8, 9]),
        (((1, 1), (3, 3), (9, 9)), [1, 3, 9]),
        (((10, 4_294_967_295),), []),
        ((), []),
    ],
)
def test_ranges_name_what_exists(home: Rooms, uids: Uids, expected: list[int]) -> None:
    for _ in range(9):
        home.deliver()
    home.do(lambda tx: messages.expunge(tx, home.account_id, 1, ((4, 4),), flagged=0))
    assert [row[0] for row in fetch(home, "uid", uids=uids)] == expected
    assert [row[0] for row in fetch(home, "uid", "envelope", "octets", uids=uids)] == expected


def test_an_unknown_column_is_refused(home: Rooms) -> None:
    with pytest.raises(ValueError, match="no column 'octets; DROP'"):
        fetch(home, "uid", "octets; DROP")


def test_filing_into_a_mailbox_that_is_gone_stores_nothing(home: Rooms) -> None:
    with pytest.raises(MailboxError) as caught:
        home.deliver(99)
    assert caught.value.code == "NONEXISTENT"
    assert home.see(lambda tx: tx.one("SELECT COUNT(*) FROM blobs")) == (0,)
    assert home.see(lambda tx: mailboxes.quota(tx, home.account_id)).used == 0


def test_flags_are_added_removed_and_replaced(home: Rooms) -> None:
    for flags in (0, SEEN, SEEN | FLAGGED):
        home.deliver(flags=flags)
    changed = store(home, add=SEEN)
    assert [(each.uid, each.flags) for each in changed] == [(1, SEEN)]
    assert store(home, add=SEEN) == []
    changed = store(home, remove=FLAGGED | DELETED)
    assert [(each.uid, each.flags) for each in changed] == [(3, SEEN)]
    changed = store(home, ((2, 3),), replace=DELETED)
    assert [(each.uid, each.flags) for each in changed] == [(2, DELETED), (3, DELETED)]
    assert len({each.modseq for each in changed}) == 1
    assert fetch(home, "flags") == [(SEEN,), (DELETED,), (DELETED,)]
    inbox = home.see(lambda tx: mailboxes.find(tx, home.account_id, "INBOX"))
    assert inbox is not None
    assert (inbox.unseen, inbox.deleted) == (2, 2)


def test_what_changed_meanwhile_is_passed_over(home: Rooms) -> None:
    """RFC 7162 §3.1.3: UNCHANGEDSINCE."""
    first, second = home.deliver(), home.deliver()
    assert [each.uid for each in store(home, add=SEEN, unchanged_since=first.modseq)] == [first.uid]
    assert [each.uid for each in store(home, add=FLAGGED, unchanged_since=second.modseq)] == [second.uid]


def test_copies_share_the_message(home: Rooms) -> None:
    home.deliver(flags=SEEN, received_at=77)
    home.deliver()
    moved = home.do(lambda tx: messages.copy(tx, home.account_id, 1, EVERY, 3))
    assert (moved.source, moved.target) == ((1, 2), (1, 2))
    assert fetch(home, "flags", "received_at", mailbox_id=3)[0] == (SEEN, 77)
    assert home.see(lambda tx: tx.one("SELECT COUNT(*), SUM(placements) FROM messages")) == (2, 4)
    home.do(lambda tx: messages.expunge(tx, home.account_id, 1, flagged=0))
    assert home.see(lambda tx: tx.one("SELECT COUNT(*), SUM(placements) FROM messages")) == (2, 2)
    assert home.see(lambda tx: tx.all("SELECT * FROM loose_blobs")) == []


def test_a_copy_within_the_mailbox_is_another_message_there(home: Rooms) -> None:
    home.deliver()
    home.do(lambda tx: messages.copy(tx, home.account_id, 1, EVERY, 1))
    assert [row[0] for row in fetch(home, "uid")] == [1, 2]
    # Both placements of one message go at once.
    assert home.do(lambda tx: messages.expunge(tx, home.account_id, 1, flagged=0)) == [1, 2]
    assert home.see(lambda tx: tx.one("SELECT COUNT(*) FROM messages")) == (0,)
    assert home.see(lambda tx: tx.one("SELECT COUNT(*) FROM loose_blobs")) == (1,)


def test_copies_count_against_the_quota(home: Rooms) -> None:
    home.deliver(size=600)
    home.do(lambda tx: directory.set_quota(tx, home.account_id, 1_000))
    with pytest.raises(MailboxError) as caught:
        home.do(lambda tx: messages.copy(tx, home.account_id, 1, EVERY, 3))
    assert caught.value.code == "OVERQUOTA"
    assert home.see(lambda tx: mailboxes.quota(tx, home.account_id)).used == 600
    home.do(lambda tx: messages.move(tx, home.account_id, 1, EVERY, 3))
    assert home.see(lambda tx: mailboxes.quota(tx, home.account_id)).used == 600


@pytest.mark.parametrize("act", [messages.copy, messages.move])
def test_a_target_that_is_gone_leaves_all_as_it_was(home: Rooms, act: object) -> None:
    home.deliver()
    before = home.see(lambda tx: mailboxes.list_mailboxes(tx, home.account_id))
    with pytest.raises(MailboxError) as caught:
        home.do(lambda tx: act(tx, home.account_id, 1, EVERY, 99))  # type: ignore[operator]
    assert caught.value.code == "NONEXISTENT"
    assert home.see(lambda tx: mailboxes.list_mailboxes(tx, home.account_id)) == before
    assert [row[0] for row in fetch(home, "uid")] == [1]


def test_only_the_deleted_are_expunged(home: Rooms) -> None:
    for flags in (0, DELETED, SEEN | DELETED, DELETED):
        home.deliver(flags=flags)
    assert home.do(lambda tx: messages.expunge(tx, home.account_id, 1, ((1, 3),))) == [2, 3]
    assert home.do(lambda tx: messages.expunge(tx, home.account_id, 1)) == [4]
    assert home.do(lambda tx: messages.expunge(tx, home.account_id, 1)) == []
    assert [row[0] for row in fetch(home, "uid")] == [1]


def test_a_session_that_slept_too_long_is_told_to_compare(home: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "LOG_LIMIT", 10)
    monkeypatch.setattr(ledger, "_TRIM_EVERY", 4)
    since = home.deliver().modseq
    home.deliver()
    for turn in range(20):
        store(home, ((1, 1),), **({"remove": SEEN} if turn % 2 else {"add": SEEN}))
    count = home.see(lambda tx: tx.one("SELECT COUNT(*) FROM changes"))
    assert count is not None
    assert 10 <= count[0] < 20
    late = home.see(lambda tx: messages.changes(tx, home.account_id, 1, since))
    assert late.expunged is None
    assert [each.uid for each in late.changed] == [1, 2]
    recent = home.see(lambda tx: messages.changes(tx, home.account_id, 1, late.modseq - 2))
    assert recent.expunged == ()
    assert [each.uid for each in recent.changed] == [1]


def test_many_gaps_are_kept_as_one_range_and_told_rightly(home: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_ENTRY_OCTETS", 10)
    for number in range(20):
        home.deliver(flags=DELETED if number % 3 == 0 else 0)
    since = home.see(lambda tx: mailboxes.modseq(tx, home.account_id))
    gone = home.do(lambda tx: messages.expunge(tx, home.account_id, 1))
    store(home, tuple((uid, uid) for uid in range(2, 20, 3)), add=SEEN)
    found = home.see(lambda tx: messages.changes(tx, home.account_id, 1, since))
    assert found.expunged is not None
    assert [uid for low, high in found.expunged for uid in range(low, high + 1)] == gone
    assert [each.uid for each in found.changed] == list(range(2, 20, 3))


def test_changes_in_a_mailbox_that_is_gone(home: Rooms) -> None:
    with pytest.raises(MailboxError):
        home.see(lambda tx: messages.changes(tx, home.account_id, 99, 0))


def test_keywords_get_bits_of_the_account(home: Rooms) -> None:
    one = home.do(lambda tx: keywords.claim(tx, home.account_id, ["$Forwarded", "Work"]))
    two = home.do(lambda tx: keywords.claim(tx, home.account_id, ["WORK", "$Junk"]))
    assert home.see(lambda tx: keywords.names(tx, home.account_id)) == {32: "$Forwarded", 64: "Work", 128: "$Junk"}
    assert (one, two) == (32 | 64, 64 | 128)
    assert home.see(lambda tx: keywords.bits(tx, home.account_id, ["work", "unknown"])) == 64


def test_keywords_nobody_uses_make_room_for_new_ones(home: Rooms) -> None:
    all_of_them = [f"k{number}" for number in range(keywords.KEYWORD_LIMIT)]
    mask = home.do(lambda tx: keywords.claim(tx, home.account_id, all_of_them))
    assert mask == (1 << 63) - 32
    home.deliver(flags=mask & ~(1 << 40))
    new = home.do(lambda tx: keywords.claim(tx, home.account_id, ["new", "k0"]))
    assert new == 1 << 40 | 32
    with pytest.raises(MailboxError) as caught:
        home.do(lambda tx: keywords.claim(tx, home.account_id, ["newer", "newest"]))
    assert caught.value.code == "LIMIT"
    assert fetch(home, "flags") == [(mask & ~(1 << 40),)]


@settings(max_examples=15, stateful_step_count=25, suppress_health_check=list(HealthCheck), deadline=None)
class Folders(RuleBasedStateMachine):
    """Two mailboxes against a model, and a session that follows one of them by `changes` alone."""

    boxes = st.sampled_from([1, 3])
    uid_sets = st.lists(st.integers(1, 14), max_size=6).map(lambda uids: tuple(ledger.gather(sorted(set(uids)))))
    some_flags = st.sampled_from([0, SEEN, DELETED, SEEN | DELETED, FLAGGED, 1 << 62])

    @initialize()
    def settle_in(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.rooms = Rooms("sqlite", Path(self.folder.name))
        self.rooms.settle_in()
        self.model: dict[int, dict[int, list[int]]] = {1: {}, 3: {}}  # mailbox → uid → [key, flags, size]
        self.next = {1: 1, 3: 1}
        self.view: dict[int, int] = {}  # the session's picture of the inbox
        self.heard = 0

    def teardown(self) -> None:
        self.rooms.close()
        self.folder.cleanup()

    def there(self, mailbox: int, uids: Uids) -> list[int]:
        return [uid for uid in sorted(self.model[mailbox]) if any(low <= uid <= high for low, high in uids)]

    @rule(mailbox=boxes, flags=some_flags, size=st.integers(1, 500))
    def deliver(self, mailbox: int, flags: int, size: int) -> None:
        added: Added = self.rooms.deliver(mailbox, flags=flags, size=size)
        assert added.uid == self.next[mailbox]
        ((key,),) = fetch(self.rooms, "message_key", uids=((added.uid, added.uid),), mailbox_id=mailbox)
        self.model[mailbox][added.uid] = [key, flags, size]  # type: ignore[list-item]
        self.next[mailbox] += 1

    @rule(uids=uid_sets | st.just(EVERY), mask=some_flags, how=st.sampled_from(["add", "remove", "replace"]))
    def flag(self, uids: Uids, mask: int, how: str) -> None:
        changed = store(self.rooms, uids, **{how: mask})
        expected = []
        for uid in self.there(1, uids):
            was = self.model[1][uid][1]
            now = was | mask if how == "add" else was & ~mask if how == "remove" else mask
            if now != was:
                self.model[1][uid][1] = now
                expected.append((uid, now))
        assert [(each.uid, each.flags) for each in changed] == expected

    @rule(uids=uid_sets | st.just(EVERY), ends=st.tuples(boxes, boxes), keep=st.booleans())
    def transfer(self, uids: Uids, ends: tuple[int, int], keep: bool) -> None:
        act = messages.copy if keep else messages.move
        source, target = ends
        expected = self.there(source, uids)
        if len(self.model[target]) + len(expected) > 60:
            return
        moved = self.rooms.do(lambda tx: act(tx, self.rooms.account_id, source, uids, target))
        assert list(moved.source) == expected
        for uid, new in zip(moved.source, moved.target, strict=True):
            assert new == self.next[target]
            self.next[target] += 1
            row = self.model[source][uid]
            self.model[target][new] = list(row)
            if not keep:
                del self.model[source][uid]

    @rule(uids=uid_sets | st.just(EVERY), mailbox=boxes, mask=st.sampled_from([0, DELETED]))
    def expunge(self, uids: Uids, mailbox: int, mask: int) -> None:
        gone = self.rooms.do(lambda tx: messages.expunge(tx, self.rooms.account_id, mailbox, uids, flagged=mask))
        expected = [uid for uid in self.there(mailbox, uids) if self.model[mailbox][uid][1] & mask == mask]
        assert gone == expected
        for uid in expected:
            del self.model[mailbox][uid]

    @rule()
    def listen(self) -> None:
        found = self.rooms.see(lambda tx: messages.changes(tx, self.rooms.account_id, 1, self.heard))
        assert found.expunged is not None
        for low, high in found.expunged:
            for uid in range(low, high + 1):
                self.view.pop(uid, None)
        for uid, flags, modseq in found.changed:
            assert modseq > self.heard
            self.view[uid] = flags
        self.heard = found.modseq
        assert self.view == {uid: row[1] for uid, row in self.model[1].items()}
        assert (found.uidnext, found.messages) == (self.next[1], len(self.view))

    @invariant()
    def books_are_right(self) -> None:
        if not hasattr(self, "model"):
            return
        account_id = self.rooms.account_id
        for mailbox_id, rows in self.model.items():
            box, shot = self.rooms.see(
                lambda tx, m=mailbox_id: (mailboxes.get(tx, account_id, m), messages.snapshot(tx, account_id, m))  # type: ignore[misc]
            )
            assert box is not None
            assert box.messages == len(rows)
            assert box.unseen == sum(not row[1] & SEEN for row in rows.values())
            assert box.deleted == sum(bool(row[1] & DELETED) for row in rows.values())
            assert box.octets == sum(row[2] for row in rows.values())
            assert box.uidnext == self.next[mailbox_id]
            assert dict(zip(shot.uids, shot.flags, strict=True)) == {uid: row[1] for uid, row in rows.items()}
            assert shot.uids == sorted(rows)
            assert all(modseq <= box.modseq for modseq in shot.modseqs)
        every = [row for rows in self.model.values() for row in rows.values()]
        assert self.rooms.see(lambda tx: mailboxes.quota(tx, account_id)).used == sum(row[2] for row in every)
        stored = dict(self.rooms.see(lambda tx: tx.all("SELECT message_key, placements FROM messages")))
        keys = [row[0] for row in every]
        assert stored == {key: keys.count(key) for key in keys}
        blobs = {row[0] for row in self.rooms.see(lambda tx: tx.all("SELECT blob_id FROM blobs"))}
        loose = {row[0] for row in self.rooms.see(lambda tx: tx.all("SELECT blob_id FROM loose_blobs"))}
        used = {row[0] for row in self.rooms.see(lambda tx: tx.all("SELECT blob_id FROM messages"))}
        assert blobs == loose | used


TestFolders = Folders.TestCase
