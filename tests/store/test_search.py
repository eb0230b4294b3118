"""Conditions become one query, and find what they should."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.mail.flags import Flag
from posthouse.store import search
from posthouse.store.search import (
    All,
    Condition,
    Contains,
    Either,
    Every,
    HasFlags,
    InUids,
    LacksFlags,
    ModseqFrom,
    Not,
    Received,
    Sent,
    Size,
)
from store.rooms import NOON, Rooms

SEEN, FLAGGED = int(Flag.SEEN), int(Flag.FLAGGED)
FLAGS = (0, SEEN, SEEN | FLAGGED, FLAGGED)


@pytest.fixture
def full(rooms: Rooms) -> Rooms:
    rooms.settle_in()
    letters = [
        (0, "Hello", NOON),
        (SEEN, "Größe zählt", None),
        (SEEN | FLAGGED, "hello again", NOON + 100),
        (FLAGGED, "", NOON - 1),
    ]
    for number, (flags, subject, sent_at) in enumerate(letters, 1):
        rooms.deliver(
            flags=flags, subject=subject, sent_at=sent_at, received_at=NOON + number, size=number * 100,
            header_from=f"Writer {number} <w{number}@far.test>", message_id=f"{number}@far.test",
            references=("a@far.test", f"r{number}@far.test"), header_to="Team <team@near.test>",
        )  # fmt: skip
    rooms.deliver(3, subject="Hello in another mailbox")
    return rooms


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Every(), [1, 2, 3, 4]),
        (All(()), [1, 2, 3, 4]),
        (Either(()), []),
        (InUids(((2, 3), (9, 4_294_967_295))), [2, 3]),
        (InUids(((1, 1), (4, 4))), [1, 4]),
        (InUids(()), []),
        (HasFlags(SEEN), [2, 3]),
        (HasFlags(SEEN | FLAGGED), [3]),
        (LacksFlags(SEEN), [1, 4]),
        (LacksFlags(SEEN | FLAGGED), [1]),
        (Size(above=200), [3, 4]),
        (Size(below=200), [1]),
        (Size(above=100, below=400), [2, 3]),
        (Size(), [1, 2, 3, 4]),
        (Received(since=NOON + 2), [2, 3, 4]),
        (Received(before=NOON + 2), [1]),
        (Received(since=NOON + 2, before=NOON + 4), [2, 3]),
        (Sent(since=NOON), [1, 3]),
        (Sent(before=NOON), [4]),
        (Not(Sent(since=NOON)), [2, 4]),
        (Contains("subject", "HELLO"), [1, 3]),
        (Contains("subject", "grösse"), [2]),
        (Contains("subject", "GRÖSSE Z"), [2]),
        (Contains("subject", ""), [1, 2, 3, 4]),
        (Contains("subject", "%"), []),
        (Contains("header_from", "w3@"), [3]),
        (Contains("header_to", "team"), [1, 2, 3, 4]),
        (Contains("header_cc", "team"), []),
        (Contains("message_id", "2@far.test"), [2]),
        (Contains("references", "R4@"), [4]),
        (Not(Contains("subject", "hello")), [2, 4]),
        (Either((HasFlags(FLAGGED), Contains("subject", "größe"))), [2, 3, 4]),
        (All((HasFlags(FLAGGED), Not(Either((Contains("subject", "again"), InUids(((1, 1),))))))), [4]),
        (Not(Not(HasFlags(SEEN))), [2, 3]),
        (ModseqFrom(10), [3, 4]),
    ],
)
def test_conditions_find_what_they_say(full: Rooms, condition: Condition, expected: list[int]) -> None:
    assert full.see(lambda tx: search.search(tx, full.account_id, 1, condition)) == expected


def test_text_from_outside_is_never_sql(full: Rooms) -> None:
    for needle in ("' OR 1=1 --", "$1", "?1", '"', "\\", "\0"):
        assert full.see(lambda tx, n=needle: search.search(tx, full.account_id, 1, Contains("subject", n))) == []  # type: ignore[misc]
    with pytest.raises(ValueError, match="no text"):
        full.see(lambda tx: search.search(tx, full.account_id, 1, Contains("subject) OR (1", "x")))


def test_nesting_and_size_are_bounded(full: Rooms) -> None:
    deep: Condition = HasFlags(SEEN)
    for turn in range(search.DEPTH_LIMIT + 1):
        deep = (All if turn % 2 else Either)((deep, LacksFlags(SEEN)))
    with pytest.raises(ValueError, match="alternate"):
        full.see(lambda tx: search.search(tx, full.account_id, 1, deep))
    for wide in (
        Either(tuple([HasFlags(SEEN)] * 501)),
        InUids(tuple((number * 10, number * 10 + 6) for number in range(1, 600))),
    ):
        with pytest.raises(ValueError, match="at most"):
            full.see(lambda tx, wide=wide: search.search(tx, full.account_id, 1, wide))  # type: ignore[misc]


def test_the_widest_and_deepest_that_is_allowed_is_answered(full: Rooms) -> None:
    wide = Either(tuple([LacksFlags(SEEN)] * 499))
    assert full.see(lambda tx: search.search(tx, full.account_id, 1, wide)) == [1, 4]
    deep: Condition = HasFlags(SEEN)
    for turn in range(search.DEPTH_LIMIT - 1):
        deep = Not((All if turn % 2 else Either)((Not(deep), LacksFlags(FLAGGED))))
    expected = [uid for uid, flags in enumerate(FLAGS, 1) if matches(deep, flags)]
    # The longest leaf, at the deepest place.
    whole = All((deep, Not(Sent(since=NOON + 10**9, before=NOON + 10**10)), Not(InUids(((9, 12), (20, 29))))))
    assert full.see(lambda tx: search.search(tx, full.account_id, 1, whole)) == expected


def test_like_in_like_may_nest_as_deep_as_it_likes(full: Rooms) -> None:
    """Clients that look for one of many write OR a OR b OR c …"""
    deep: Condition = HasFlags(FLAGGED)
    for number in range(200):
        deep = Either((Contains("subject", f"none {number}"), deep))
    assert full.see(lambda tx: search.search(tx, full.account_id, 1, deep)) == [3, 4]
    for _ in range(51):
        deep = Not(deep)
    assert full.see(lambda tx: search.search(tx, full.account_id, 1, deep)) == [1, 2]


def matches(condition: Condition, flags: int) -> bool:
    match condition:
        case HasFlags(mask=mask):
            return flags & mask == mask
        case LacksFlags(mask=mask):
            return not flags & mask
        case Not(condition=inner):
            return not matches(inner, flags)
        case All(of=conditions):
            return all(matches(each, flags) for each in conditions)
        case Either(of=conditions):
            return any(matches(each, flags) for each in conditions)
    raise AssertionError


leaves = st.sampled_from([HasFlags(SEEN), LacksFlags(FLAGGED), HasFlags(SEEN | FLAGGED), LacksFlags(SEEN)])
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, max_size=3).map(tuple).map(All),
        st.lists(inner, max_size=3).map(tuple).map(Either),
    ),
    max_leaves=20,
)


def test_any_tree_means_what_it_says(full: Rooms) -> None:
    @settings(max_examples=100)
    @given(trees)
    def check(tree: Condition) -> None:
        expected = [uid for uid, flags in enumerate(FLAGS, 1) if matches(tree, flags)]
        assert full.see(lambda tx: search.search(tx, full.account_id, 1, tree)) == expected

    check()


def test_many_single_uids_are_one_condition(full: Rooms) -> None:
    many = InUids(tuple((number, number) for number in range(2, 20_000, 2)))
    assert full.see(lambda tx: search.search(tx, full.account_id, 1, many)) == [2, 4]
