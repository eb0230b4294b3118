"""Lessons about junk: which moves are lessons, how they are learnt, unlearnt and forgotten."""

import asyncio
from collections.abc import Sequence

import pytest

from posthouse.checks.bayes import Corpus, Count
from posthouse.mail.flags import Flag
from posthouse.store import directory, junk, learners, mailboxes, messages
from posthouse.store.junk import Kind, Lesson
from posthouse.store.mailboxes import SpecialUse
from posthouse.store.messages import EVERY
from store.rooms import NOON, Rooms

TODAY = junk.day(NOON)


class School:
    """An account, its mailboxes by name, and the lessons that it leaves behind."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self.account_id = rooms.settle_in()
        found = rooms.see(lambda tx: mailboxes.list_mailboxes(tx, self.account_id))
        self.ids = {mailbox.name: mailbox.mailbox_id for mailbox in found}

    def deliver(self, mailbox: str = "INBOX", flags: int = 0) -> int:
        """The UID of a new message."""
        return self.rooms.deliver(self.ids[mailbox], flags=flags).uid

    def key(self, mailbox: str, uid: int) -> int:
        rows = self.rooms.see(
            lambda tx: messages.fetch(tx, self.account_id, self.ids[mailbox], ((uid, uid),), ["message_key"])
        )
        return int(rows[0][0])

    def move(self, source: str, target: str, act: object = messages.move) -> messages.Moved:
        return self.rooms.do(
            lambda tx: act(tx, self.account_id, self.ids[source], EVERY, self.ids[target])  # type: ignore[operator]
        )

    def say(self, key: int, kind: Kind) -> None:
        self.rooms.do(lambda tx: junk.say(tx, self.account_id, [key], kind))

    def waiting(self) -> list[tuple[int, Kind]]:
        return [(key, kind) for _, key, kind in self.rooms.see(lambda tx: junk.waiting(tx, 1_000))]

    def learn(self, key: int, tokens: Sequence[str], domain: str = "", today: int = TODAY) -> int:
        """Learns a lesson to its end; in how many pieces."""
        lesson = Lesson(self.account_id, key, Kind.UNKNOWN)
        pieces = 1
        while self.rooms.do(lambda tx: junk.learn(tx, lesson, tokens, domain, today)):
            pieces += 1
        return pieces

    def counts(self, *tokens: str) -> dict[str, tuple[int, int]]:
        found = self.rooms.see(lambda tx: junk.counts(tx, self.account_id, tokens))
        return {token: tuple(count) for token, count in found.items()}

    def corpus(self) -> Corpus:
        return self.rooms.see(lambda tx: junk.corpus(tx, self.account_id))

    def learner(self) -> learners.Learner:
        return self.rooms.see(lambda tx: learners.find(tx, self.account_id))


@pytest.fixture
def school(rooms: Rooms) -> School:
    return School(rooms)


@pytest.mark.parametrize("act", [messages.move, messages.copy])
@pytest.mark.parametrize(
    ("source", "target", "kind"),
    [
        ("INBOX", "Junk", Kind.JUNK), ("Archive", "Junk", Kind.JUNK), ("Junk", "INBOX", Kind.GOOD),
        ("Junk", "Archive", Kind.GOOD), ("Junk", "Trash", None), ("INBOX", "Trash", None), ("INBOX", "Archive", None),
        ("Junk", "Junk", None),
    ],
)  # fmt: skip
def test_what_is_moved_or_copied_into_junk_or_out_of_it_is_a_lesson(
    school: School, act: object, source: str, target: str, kind: Kind | None
) -> None:
    uid = school.deliver(source)
    key = school.key(source, uid)
    moved = school.move(source, target, act)
    assert school.waiting() == ([(key, kind)] if kind is not None else [])
    assert moved.taught is (kind is not None)


def test_only_the_newest_of_a_large_move_are_lessons(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(junk, "LESSONS_AT_ONCE", 3)
    for _ in range(5):
        school.deliver()
    keys = [school.key("INBOX", uid) for uid in range(1, 6)]
    school.move("INBOX", "Junk")
    assert [key for key, _ in school.waiting()] == keys[2:]


def test_a_lesson_is_counted_once_for_each_token(school: School) -> None:
    key = school.key("INBOX", school.deliver())
    school.say(key, Kind.JUNK)
    assert school.learn(key, ["offer", "pills"], "spam.test") == 1
    assert school.counts("offer", "pills", "lunch") == {"offer": (1, 0), "pills": (1, 0)}
    assert school.corpus() == (1, 0)
    assert school.learner().tokens == 2
    assert school.rooms.see(lambda tx: junk.origin(tx, school.account_id, "spam.test")) == Count(1, 0)
    assert school.waiting() == []


def test_the_same_message_moved_and_marked_is_learnt_once(school: School) -> None:
    key = school.key("INBOX", school.deliver())
    for _ in range(3):
        school.say(key, Kind.JUNK)
        school.learn(key, ["offer"])
    assert school.counts("offer") == {"offer": (1, 0)}
    assert school.corpus() == (1, 0)


def test_who_thinks_better_of_it_takes_back_what_was_learnt(school: School) -> None:
    key, other = (school.key("INBOX", school.deliver()) for _ in range(2))
    school.say(other, Kind.JUNK)
    school.learn(other, ["offer"], "shop.test")
    school.say(key, Kind.JUNK)
    school.learn(key, ["lunch", "offer"], "shop.test")
    school.say(key, Kind.GOOD)
    assert school.waiting() == [(key, Kind.GOOD)]
    school.learn(key, ["lunch", "offer"], "shop.test")
    assert school.counts("lunch", "offer") == {"lunch": (0, 1), "offer": (1, 1)}
    assert school.corpus() == (1, 1)
    assert school.rooms.see(lambda tx: junk.origin(tx, school.account_id, "shop.test")) == Count(1, 1)


def test_a_long_message_is_learnt_in_pieces_and_taken_up_where_it_was_left(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(junk, "PIECE", 10)
    tokens = [f"token{number:02}" for number in range(25)]
    key = school.key("INBOX", school.deliver())
    school.say(key, Kind.JUNK)
    lesson = Lesson(school.account_id, key, Kind.JUNK)
    assert school.rooms.do(lambda tx: junk.learn(tx, lesson, tokens, "", TODAY))
    assert len(school.counts(*tokens)) == 10
    assert school.corpus() == (0, 0)
    # The process dies here; the next one begins where it was.
    assert school.waiting() == [(key, Kind.JUNK)]
    assert school.learn(key, tokens) == 2
    assert set(school.counts(*tokens).values()) == {(1, 0)}
    assert (school.corpus(), school.learner().tokens) == ((1, 0), 25)


@pytest.mark.parametrize("said", [Kind.GOOD, Kind.JUNK])
def test_whoever_changes_his_mind_while_it_is_learnt_is_heard(
    school: School, said: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(junk, "PIECE", 2)
    tokens = ["a", "b", "c", "d", "e"]
    key = school.key("INBOX", school.deliver())
    school.say(key, Kind.JUNK)
    if said is Kind.JUNK:
        school.learn(key, tokens)
        school.say(key, Kind.GOOD)
    lesson = Lesson(school.account_id, key, Kind.JUNK)
    school.rooms.do(lambda tx: junk.learn(tx, lesson, tokens, "", TODAY))
    school.say(key, said)
    assert school.waiting() == [(key, said)]
    school.learn(key, tokens)
    wanted = (0, 1) if said is Kind.GOOD else (1, 0)
    assert set(school.counts(*tokens).values()) == {wanted}
    assert school.corpus() == wanted
    assert school.waiting() == []


def test_two_that_learn_the_same_lesson_count_it_once(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(junk, "PIECE", 3)
    tokens = [f"token{number}" for number in range(9)]
    key = school.key("INBOX", school.deliver())
    school.say(key, Kind.JUNK)
    lesson = Lesson(school.account_id, key, Kind.JUNK)

    async def pupil() -> None:
        while await school.rooms.database.write(lambda tx: junk.learn(tx, lesson, tokens, "spam.test", TODAY)):
            await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(pupil(), pupil())

    school.rooms.run(both())
    assert set(school.counts(*tokens).values()) == {(1, 0)}
    assert school.corpus() == (1, 0)
    assert school.rooms.see(lambda tx: junk.origin(tx, school.account_id, "spam.test")) == Count(1, 0)


def test_a_lesson_without_its_message_is_dropped_and_swept(school: School) -> None:
    keys = [school.key("INBOX", school.deliver()) for _ in range(2)]
    school.move("INBOX", "Junk")
    school.learn(keys[0], ["offer"])
    lesson = Lesson(school.account_id, keys[1], Kind.JUNK)
    assert school.rooms.see(lambda tx: junk.material(tx, lesson)) is not None
    school.rooms.do(lambda tx: messages.expunge(tx, school.account_id, school.ids["Junk"], EVERY, flagged=0))
    assert school.rooms.see(lambda tx: junk.material(tx, lesson)) is None
    school.rooms.do(lambda tx: junk.drop(tx, lesson))
    school.rooms.do(junk.sweep)
    assert school.rooms.see(lambda tx: tx.all("SELECT * FROM junk_lessons")) == []
    assert school.corpus() == (1, 0)


def test_as_much_read_mail_that_was_kept_is_good_as_there_is_junk(school: School) -> None:
    for _ in range(3):
        school.deliver("Junk")
    for flags in (Flag.SEEN, 0, Flag.SEEN | Flag.DELETED, Flag.SEEN | Flag.ANSWERED, Flag.SEEN):
        school.deliver("INBOX", int(flags))
    school.deliver("Archive", int(Flag.SEEN))
    school.deliver("Trash", int(Flag.SEEN))
    inbox = [school.key("INBOX", uid) for uid in range(1, 6)]
    for uid in range(1, 5):
        if uid <= 3:
            key = school.key("Junk", uid)
            school.say(key, Kind.JUNK)
            school.learn(key, ["offer"])
    kept = school.rooms.do(lambda tx: junk.say_kept(tx, school.account_id))
    assert kept == 3
    assert school.waiting() == sorted([(inbox[4], Kind.KEPT), (inbox[3], Kind.KEPT), (inbox[0], Kind.KEPT)])
    for key, _ in school.waiting():
        school.learn(key, ["lunch"])
    assert school.corpus() == (3, 3)
    assert school.rooms.do(lambda tx: junk.say_kept(tx, school.account_id)) == 0


def test_who_sent_what_was_merely_read_and_kept_is_spoken_for_by_nobody(school: School) -> None:
    def origin() -> Count:
        return school.rooms.see(lambda tx: junk.origin(tx, school.account_id, "shop.test"))

    spam = school.key("Junk", school.deliver("Junk"))
    kept = school.key("INBOX", school.deliver("INBOX", int(Flag.SEEN)))
    school.say(spam, Kind.JUNK)
    school.learn(spam, ["offer"], "shop.test")
    assert school.rooms.do(lambda tx: junk.say_kept(tx, school.account_id)) == 1
    school.learn(kept, ["lunch"], "shop.test")
    assert (origin(), school.counts("lunch"), school.corpus()) == (Count(1, 0), {"lunch": (0, 1)}, (1, 1))
    # What the account says of it counts; and what it does not say any more is taken back.
    for kind, said, words in (
        (Kind.GOOD, Count(1, 1), (0, 1)), (Kind.JUNK, Count(2, 0), (1, 0)), (Kind.KEPT, Count(1, 0), (0, 1)),
    ):  # fmt: skip
        school.say(kept, kind)
        school.learn(kept, ["lunch"], "shop.test")
        assert (origin(), school.counts("lunch")) == (said, {"lunch": words})
        assert school.corpus() == (1 + words[0], words[1])


def test_what_was_read_is_looked_for_in_the_archive_after_the_inbox(school: School) -> None:
    for mailbox in ("Archive", "Archive", "INBOX"):
        school.deliver(mailbox, int(Flag.SEEN))
    school.rooms.do(lambda tx: learners.change(tx, school.account_id, junk=2))
    assert school.rooms.do(lambda tx: junk.say_kept(tx, school.account_id)) == 2
    chosen = {key for key, _ in school.waiting()}
    assert chosen == {school.key("INBOX", 1), school.key("Archive", 2)}


def test_what_the_account_has_called_anything_is_not_called_good_for_having_been_read(school: School) -> None:
    keys = [school.key("INBOX", school.deliver("INBOX", int(Flag.SEEN))) for _ in range(2)]
    for key, kind in zip(keys, (Kind.JUNK, Kind.GOOD), strict=True):
        school.say(key, kind)
        school.learn(key, ["offer"])
    school.rooms.do(lambda tx: learners.change(tx, school.account_id, junk=5))
    assert school.rooms.do(lambda tx: junk.say_kept(tx, school.account_id)) == 0
    assert school.waiting() == []


def test_rare_and_old_tokens_are_forgotten_first(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(junk, "VOCABULARY", 5)
    monkeypatch.setattr(junk, "_FORGOTTEN", 3)
    lessons = [
        (["often", "old"], TODAY - 400), (["often"], TODAY - 390), (["often"], TODAY - 380), (["twice"], TODAY - 50),
        (["twice"], TODAY - 40), (["rare"], TODAY - 30), (["new"], TODAY), (["newest"], TODAY),
    ]  # fmt: skip
    for tokens, today in lessons:
        key = school.key("INBOX", school.deliver())
        school.say(key, Kind.JUNK)
        school.learn(key, tokens, today=today)
    assert school.rooms.see(junk.crowded) == school.account_id
    stale = school.rooms.see(lambda tx: junk.stale(tx, school.account_id))
    assert stale == ["often", "old", "rare"]
    school.rooms.do(lambda tx: junk.forget_tokens(tx, school.account_id, stale))
    assert school.rooms.see(junk.crowded) is None
    assert school.learner().tokens == 3
    assert set(school.counts("often", "old", "rare", "twice", "new", "newest")) == {"twice", "new", "newest"}


def test_what_was_forgotten_cannot_be_taken_back_below_nothing(school: School) -> None:
    key = school.key("INBOX", school.deliver())
    school.say(key, Kind.JUNK)
    school.learn(key, ["lunch", "offer"])
    school.rooms.do(lambda tx: junk.forget_tokens(tx, school.account_id, ["offer"]))
    school.say(key, Kind.GOOD)
    school.learn(key, ["lunch", "offer"])
    assert school.counts("lunch", "offer") == {"lunch": (0, 1), "offer": (0, 1)}
    assert school.learner().tokens == 2


def test_an_account_remembers_so_many_origins(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(junk, "ORIGINS", 10)
    for number in range(30):
        key = school.key("INBOX", school.deliver())
        school.say(key, Kind.JUNK)
        school.learn(key, ["offer"], f"spam{number}.test", TODAY + number)
    left = school.rooms.see(lambda tx: junk.origins(tx, school.account_id, 100))
    assert len(left) <= 10
    assert "spam29.test" in {word.text for word in left}
    assert "spam0.test" not in {word.text for word in left}


def test_the_strongest_words_are_those_that_say_most(school: School) -> None:
    for kind, tokens in (
        (Kind.JUNK, ["offer", "pills", "the"]), (Kind.JUNK, ["offer", "the"]), (Kind.GOOD, ["lunch", "the"]),
        (Kind.GOOD, ["lunch", "the"]),
    ):  # fmt: skip
        key = school.key("INBOX", school.deliver())
        school.say(key, kind)
        school.learn(key, tokens)
    for_junk, for_good = school.rooms.see(lambda tx: junk.strongest(tx, school.account_id, 5))
    assert for_junk == [("offer", (2, 0)), ("pills", (1, 0))]
    assert for_good == [("lunch", (0, 2))]


def test_forgetting_leaves_an_account_as_if_it_were_new(school: School) -> None:
    key = school.key("INBOX", school.deliver())
    school.move("INBOX", "Junk")
    school.learn(key, ["offer"], "spam.test")
    version = school.learner().version
    school.rooms.do(lambda tx: junk.forget(tx, school.account_id))
    assert school.learner()._replace(version=0) == learners.Learner()
    assert school.learner().version > version
    tables = ("junk_tokens", "junk_origins", "junk_lessons")
    assert [school.rooms.see(lambda tx, t=table: tx.all(f"SELECT * FROM {t}")) for table in tables] == [[], [], []]  # type: ignore[misc]
    school.say(key, Kind.JUNK)
    school.learn(key, ["offer"])
    assert school.corpus() == (1, 0)


def test_what_an_account_learnt_goes_with_it(school: School) -> None:
    key = school.key("INBOX", school.deliver())
    school.say(key, Kind.JUNK)
    school.learn(key, ["offer"], "spam.test")
    school.rooms.do(lambda tx: directory.remove_account(tx, school.account_id))
    for table in ("junk_tokens", "junk_origins", "junk_lessons", "learners"):
        assert school.rooms.see(lambda tx, t=table: tx.all(f"SELECT * FROM {t}")) == []  # type: ignore[misc]


def test_a_renamed_junk_mailbox_is_still_the_one(school: School) -> None:
    school.rooms.do(lambda tx: mailboxes.rename(tx, school.account_id, "Junk", "Spam", NOON))
    uid = school.deliver()
    key = school.key("INBOX", uid)
    school.move("INBOX", "Junk")
    special = school.rooms.see(lambda tx: mailboxes.special(tx, school.account_id, SpecialUse.JUNK))
    assert special is not None
    assert special.name == "Spam"
    assert school.waiting() == [(key, Kind.JUNK)]
