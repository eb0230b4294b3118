"""Whom an account writes to and hears from: who is familiar, and who is forgotten."""


import pytest

from posthouse.mail.address import Address
from posthouse.mail.instant import DAY, HOUR, MINUTE, Instant
from posthouse.store import correspondents, directory, learners
from store.rooms import NOON, Rooms

CAROL = Address("Carol", "far.test")


class Desk:
    """An account that writes and hears."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self.account_id = rooms.settle_in()

    def note(self, address: Address = CAROL, name: str = "", now: Instant = NOON, *, wrote: bool = False) -> bool:
        return self.rooms.do(
            lambda tx: correspondents.note(tx, self.account_id, address, name, now, wrote=wrote)
        )

    def familiar(self) -> list[str]:
        found = self.rooms.see(lambda tx: correspondents.familiar(tx, self.account_id, 100))
        return [str(each.address) for each in found]

    def known(self, address: Address = CAROL) -> correspondents.Correspondent | None:
        return self.rooms.see(lambda tx: correspondents.find(tx, self.account_id, address))

    def learner(self) -> learners.Learner:
        return self.rooms.see(lambda tx: learners.find(tx, self.account_id))


@pytest.fixture
def desk(rooms: Rooms) -> Desk:
    return Desk(rooms)


def test_whom_one_writes_to_is_familiar_at_once(desk: Desk) -> None:
    assert desk.note(name="Carol", wrote=True)
    assert desk.familiar() == ["Carol@far.test"]
    assert desk.known() == (CAROL, "Carol", NOON, NOON, 1, 0)
    assert desk.known(Address("CAROL", "far.test")) == desk.known()


def test_who_writes_is_familiar_after_some_letters_over_a_week(desk: Desk) -> None:
    assert not desk.note()
    assert not desk.note(now=NOON + DAY)
    assert not desk.note(now=NOON + 7 * DAY - 1)
    assert desk.familiar() == []
    assert desk.note(now=NOON + 7 * DAY + HOUR)
    assert desk.familiar() == ["Carol@far.test"]


def test_many_letters_in_an_hour_are_one(desk: Desk) -> None:
    for minute in range(0, 60, 5):
        desk.note(now=NOON + minute * MINUTE)
    assert desk.known() == (CAROL, "", NOON, NOON, 0, 1)
    desk.note(now=NOON + 60 * MINUTE)
    assert desk.known() == (CAROL, "", NOON, NOON + HOUR, 0, 2)


def test_a_name_is_the_latest_that_its_owner_gave_himself(desk: Desk) -> None:
    desk.note(name="my dear Carol", wrote=True)
    desk.note(name="Carol Jones", now=NOON + HOUR)
    desk.note(name="that Carol", now=NOON + 2 * HOUR, wrote=True)
    desk.note(name="", now=NOON + 3 * HOUR)
    known = desk.known()
    assert known is not None
    assert known.name == "Carol Jones"


def test_names_hold_no_control_characters_and_end_somewhere(desk: Desk) -> None:
    desk.note(name="a\r\nb" + "x" * 1_000, wrote=True)
    known = desk.known()
    assert known is not None
    assert known.name == "a  b" + "x" * 196


def test_copies_are_out_of_date_when_somebody_becomes_familiar_and_not_before(desk: Desk) -> None:
    versions = []
    for wrote, name, now in (
        (False, "Carol", NOON), (False, "Carol", NOON + HOUR), (True, "Carol", NOON + 2 * HOUR),
        (True, "Carol", NOON + 3 * HOUR), (False, "Carol", NOON + 5 * HOUR), (False, "C. Jones", NOON + 7 * HOUR),
    ):  # fmt: skip
        before = desk.learner().version
        changed = desk.note(name=name, now=now, wrote=wrote)
        versions.append((changed, desk.learner().version - before))
    assert versions == [(False, 0), (False, 0), (True, 1), (False, 0), (False, 0), (True, 1)]


def test_an_account_forgets_the_oldest_first_those_it_never_wrote_to(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(correspondents, "CORRESPONDENTS", 20)
    monkeypatch.setattr(correspondents, "_FORGOTTEN", 5)
    desk.note(CAROL, wrote=True, now=NOON - DAY)
    for number in range(60):
        desk.note(Address(f"flood{number}", "flood.test"), now=NOON + number)
    count = desk.learner().correspondents
    assert 15 <= count <= 20
    rows = desk.rooms.see(lambda tx: correspondents.latest(tx, desk.account_id, 100))
    assert len(rows) == count
    assert desk.familiar() == ["Carol@far.test"]
    assert str(rows[0].address) == "flood59@flood.test"
    assert desk.known(Address("flood0", "flood.test")) is None


def test_who_sent_junk_is_disowned_unless_one_writes_to_him(desk: Desk) -> None:
    dave = Address("dave", "far.test")
    desk.note(CAROL)
    desk.note(dave, wrote=True)
    for address in (CAROL, dave):
        desk.rooms.do(lambda tx, address=address: correspondents.disown(tx, desk.account_id, address))  # type: ignore[misc]
    assert desk.known(CAROL) is None
    assert desk.known(dave) is not None
    assert desk.learner().correspondents == 1


def test_nothing_is_noted_for_an_account_that_is_gone(desk: Desk) -> None:
    desk.note(wrote=True)
    desk.rooms.do(lambda tx: directory.remove_account(tx, desk.account_id))
    assert not desk.note(wrote=True)
    assert desk.known() is None
    assert desk.learner() == learners.Learner()
