"""Names of mailboxes, special uses, counters, subscriptions."""

import pytest

from posthouse.mail.address import Address
from posthouse.mail.flags import Flag
from posthouse.mail.instant import SECOND
from posthouse.store import mailboxes, messages
from posthouse.store.mailboxes import INBOX, Mailbox, MailboxError, Quota, SpecialUse
from store.rooms import NOON, Rooms


@pytest.fixture
def home(rooms: Rooms) -> Rooms:
    rooms.settle_in()
    return rooms


def create(rooms: Rooms, name: str, use: SpecialUse = SpecialUse.NONE) -> Mailbox:
    return rooms.do(lambda tx: mailboxes.create(tx, rooms.account_id, name, rooms.now, use))


def rename(rooms: Rooms, old: str, new: str) -> Mailbox:
    return rooms.do(lambda tx: mailboxes.rename(tx, rooms.account_id, old, new, rooms.now))


def find(rooms: Rooms, name: str) -> Mailbox | None:
    return rooms.see(lambda tx: mailboxes.find(tx, rooms.account_id, name))


def names(rooms: Rooms) -> list[str]:
    return [each.name for each in rooms.see(lambda tx: mailboxes.list_mailboxes(tx, rooms.account_id))]


def refused(rooms: Rooms, code: str, attempt: object) -> None:
    before = rooms.see(lambda tx: mailboxes.list_mailboxes(tx, rooms.account_id))
    with pytest.raises(MailboxError) as caught:
        attempt()  # type: ignore[operator]
    assert caught.value.code == code
    assert rooms.see(lambda tx: mailboxes.list_mailboxes(tx, rooms.account_id)) == before


def test_an_account_comes_with_its_special_mailboxes(home: Rooms) -> None:
    found = home.see(lambda tx: mailboxes.list_mailboxes(tx, home.account_id))
    assert [(each.name, each.special_use) for each in found] == [
        ("INBOX", "inbox"), ("Archive", "archive"), ("Drafts", "drafts"), ("Junk", "junk"), ("Sent", "sent"),
        ("Trash", "trash"),
    ]  # fmt: skip
    assert all(each.subscribed and each.messages == 0 and each.uidnext == 1 for each in found)
    assert len({each.uidvalidity for each in found}) == 6
    for use in SpecialUse:
        special = home.see(lambda tx, use=use: mailboxes.special(tx, home.account_id, use))  # type: ignore[misc]
        assert (special is None) == (use is SpecialUse.NONE)


@pytest.mark.parametrize("name", ["INBOX", "inbox", "InBox"])
def test_inbox_has_no_case(home: Rooms, name: str) -> None:
    found = find(home, name)
    assert found is not None
    assert found.name == INBOX
    refused(home, "ALREADYEXISTS", lambda: create(home, name))
    made = create(home, f"{name}/Sub")
    assert made.name == "INBOX/Sub"


def test_case_counts_elsewhere(home: Rooms) -> None:
    create(home, "Work")
    create(home, "work")
    assert find(home, "WORK") is None


def test_composed_and_decomposed_letters_are_one_name(home: Rooms) -> None:
    create(home, "Café")
    assert find(home, "Café") is not None


def test_superior_levels_are_made(home: Rooms) -> None:
    create(home, "a/b/c/")
    assert names(home)[-3:] == ["a", "a/b", "a/b/c"]
    create(home, "a/b/d")
    assert names(home)[-1] == "a/b/d"


@pytest.mark.parametrize(
    "name", ["", "/", "a//b", "/a", "a/../b", ".", "..", "a/.", "x\0y", "a\nb", "50%", "a*", "é" * 128, "\ud800"]
)
def test_impossible_names_are_refused(home: Rooms, name: str) -> None:
    refused(home, "CANNOT", lambda: create(home, name))
    refused(home, "CANNOT", lambda: rename(home, "Trash", name))
    refused(home, "CANNOT", lambda: home.do(lambda tx: mailboxes.subscribe(tx, home.account_id, name)))


def test_a_special_use_is_given_once(home: Rooms) -> None:
    refused(home, "CANNOT", lambda: create(home, "Bin", SpecialUse.TRASH))
    home.do(lambda tx: mailboxes.delete(tx, home.account_id, "Trash"))
    assert create(home, "Bin", SpecialUse.TRASH).special_use is SpecialUse.TRASH


def test_a_mailbox_made_anew_by_its_standard_name_is_for_the_same_again(home: Rooms) -> None:
    home.do(lambda tx: mailboxes.delete(tx, home.account_id, "Junk"))
    assert create(home, "Junk").special_use is SpecialUse.JUNK
    rename(home, "Trash", "Bin")
    assert create(home, "Trash").special_use is SpecialUse.NONE


def test_there_are_only_so_many_mailboxes(home: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailboxes, "MAILBOX_LIMIT", 8)
    create(home, "a/b")
    refused(home, "LIMIT", lambda: create(home, "c"))
    home.do(lambda tx: mailboxes.subscribe(tx, home.account_id, "c"))
    home.do(lambda tx: mailboxes.subscribe(tx, home.account_id, "d"))
    refused(home, "LIMIT", lambda: home.do(lambda tx: mailboxes.subscribe(tx, home.account_id, "e")))


def test_a_name_taken_up_again_gets_a_greater_uidvalidity(home: Rooms) -> None:
    """RFC 3501 §2.3.1.1, also when the clock steps back."""
    seen = 0
    for step in (0, SECOND, -5 * SECOND, -10_000 * SECOND, 3 * SECOND):
        home.now = NOON + step
        made = create(home, "Again")
        assert made.uidvalidity > seen
        seen = made.uidvalidity
        home.do(lambda tx: mailboxes.delete(tx, home.account_id, "Again"))
    assert seen < 1 << 32


def test_renaming_takes_inferior_names_along(home: Rooms) -> None:
    made = create(home, "old/sub/deep")
    create(home, "older")
    home.deliver(made.mailbox_id)
    renamed = rename(home, "old", "new/place")
    assert names(home)[6 - len(names(home)) :] == ["new", "new/place", "new/place/sub", "new/place/sub/deep", "older"]
    deep = find(home, "new/place/sub/deep")
    assert deep is not None
    assert (deep.mailbox_id, deep.messages, deep.uidvalidity) == (made.mailbox_id, 1, made.uidvalidity)
    assert renamed.name == "new/place"


def test_renaming_what_cannot_be(home: Rooms) -> None:
    create(home, "a/b")
    create(home, "c/b")
    refused(home, "NONEXISTENT", lambda: rename(home, "none", "other"))
    refused(home, "ALREADYEXISTS", lambda: rename(home, "a", "c"))
    refused(home, "ALREADYEXISTS", lambda: rename(home, "a", "inbox"))
    refused(home, "CANNOT", lambda: rename(home, "a", "a/b/c"))
    refused(home, "CANNOT", lambda: rename(home, "a", "x" * 254))


def test_renaming_onto_inferior_names_that_are_there(home: Rooms) -> None:
    create(home, "a/b")
    create(home, "c/b")
    home.do(lambda tx: mailboxes.delete(tx, home.account_id, "c"))
    refused(home, "ALREADYEXISTS", lambda: rename(home, "a", "c"))


def test_a_level_that_is_only_implied_can_be_renamed(home: Rooms) -> None:
    create(home, "a/b")
    home.do(lambda tx: mailboxes.delete(tx, home.account_id, "a"))
    assert rename(home, "a", "z").name == "z"
    assert find(home, "z/b") is not None
    assert find(home, "a/b") is None


def test_renaming_inbox_moves_its_messages(home: Rooms) -> None:
    """RFC 3501 §6.3.5: to a new mailbox; INBOX stays, empty; its inferior names are not touched."""
    create(home, "INBOX/Sub")
    home.deliver(flags=Flag.SEEN)
    home.deliver()
    made = rename(home, "inbox", "Old mail")
    assert (made.messages, made.unseen, made.special_use) == (2, 1, SpecialUse.NONE)
    inbox = find(home, "INBOX")
    assert inbox is not None
    assert (inbox.messages, inbox.unseen, inbox.octets, inbox.uidnext) == (0, 0, 0, 3)
    assert find(home, "INBOX/Sub") is not None
    home.deliver()
    assert rename(home, "INBOX", "Older/mail").messages == 1


def test_deleting_takes_the_messages_and_leaves_inferior_names(home: Rooms) -> None:
    made = create(home, "a/b")
    above = find(home, "a")
    assert above is not None
    home.deliver(above.mailbox_id)
    home.deliver(made.mailbox_id)
    home.do(lambda tx: mailboxes.delete(tx, home.account_id, "a"))
    assert find(home, "a") is None
    assert home.see(lambda tx: mailboxes.get(tx, home.account_id, above.mailbox_id)) is None
    assert find(home, "a/b") is not None
    assert home.see(lambda tx: mailboxes.quota(tx, home.account_id)).used == made.octets + 42
    refused(home, "NONEXISTENT", lambda: home.do(lambda tx: mailboxes.delete(tx, home.account_id, "a")))
    refused(home, "CANNOT", lambda: home.do(lambda tx: mailboxes.delete(tx, home.account_id, "inbox")))


def test_counters_follow_the_messages(home: Rooms) -> None:
    home.deliver(flags=Flag.SEEN | Flag.DELETED)
    home.deliver(flags=Flag.FLAGGED)
    home.deliver()
    inbox = find(home, INBOX)
    assert inbox is not None
    assert (inbox.messages, inbox.unseen, inbox.deleted, inbox.uidnext, inbox.octets) == (3, 2, 1, 4, 3 * 42)
    assert home.see(lambda tx: mailboxes.modseq(tx, home.account_id)) == inbox.modseq
    assert home.see(lambda tx: mailboxes.quota(tx, home.account_id)) == Quota(3 * 42, None)


def test_recent_messages_are_recent_once(home: Rooms) -> None:
    def take() -> int:
        return home.do(lambda tx: mailboxes.take_recent(tx, home.account_id, 1))

    assert take() == 1
    home.deliver()
    home.deliver()
    inbox = find(home, INBOX)
    assert inbox is not None
    assert inbox.recent_from == 1
    assert [take(), take()] == [1, 3]
    home.deliver()
    assert [take(), take()] == [3, 4]
    refused(home, "NONEXISTENT", lambda: home.do(lambda tx: mailboxes.take_recent(tx, home.account_id, 99)))


def test_subscriptions_outlive_mailboxes(home: Rooms) -> None:
    """RFC 3501 §6.3.6: the server MUST NOT unilaterally remove a name from the list."""
    made = create(home, "Lists")
    assert not made.subscribed
    for name in ("Lists", "Lists", "Gone", "inbox"):
        home.do(lambda tx, name=name: mailboxes.subscribe(tx, home.account_id, name))  # type: ignore[misc]
    home.do(lambda tx: mailboxes.delete(tx, home.account_id, "Lists"))
    found = home.see(lambda tx: mailboxes.subscriptions(tx, home.account_id))
    assert found == ["Archive", "Drafts", "Gone", "INBOX", "Junk", "Lists", "Sent", "Trash"]
    home.do(lambda tx: mailboxes.unsubscribe(tx, home.account_id, "INBOX"))
    home.do(lambda tx: mailboxes.unsubscribe(tx, home.account_id, "never"))
    inbox = find(home, INBOX)
    assert inbox is not None
    assert not inbox.subscribed


def test_accounts_do_not_see_each_other(home: Rooms) -> None:
    create(home, "Mine")
    home.deliver()
    first = home.account_id
    home.settle_in(Address("bob", "posthouse.test"))
    assert find(home, "Mine") is None
    assert home.see(lambda tx: messages.fetch(tx, home.account_id, 1, messages.EVERY, ("uid",))) == []
    home.do(lambda tx: messages.expunge(tx, home.account_id, 1, flagged=0))
    assert len(home.see(lambda tx: messages.fetch(tx, first, 1, messages.EVERY, ("uid",)))) == 1


def test_nobody_has_no_quota(rooms: Rooms) -> None:
    with pytest.raises(MailboxError):
        rooms.see(lambda tx: mailboxes.quota(tx, 5))
    with pytest.raises(MailboxError):
        rooms.do(lambda tx: mailboxes.create(tx, 5, "x", NOON))
    assert rooms.see(lambda tx: mailboxes.modseq(tx, 5)) == 0
