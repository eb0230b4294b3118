"""What is counted for aggregate reports of ours: rows added up, days claimed by one, and bounds for the hostile."""

from dataclasses import replace
from functools import partial

import pytest

from posthouse.checks.reports import AggregateCounter, PolicyPublished, ReportRow
from posthouse.mail.instant import DAY, HOUR, MINUTE
from posthouse.store import reports
from posthouse.store.database import Transaction
from posthouse.store.reports import Gathered, Period, SentReport
from store.rooms import NOON, Rooms

TODAY = NOON // DAY
DUE = (TODAY + 1) * DAY + HOUR
POLICY = PolicyPublished("a.example", "reject")
RUA = ("mailto:agg@a.example",)
ROW = ReportRow("192.0.2.1", "none", "pass", "fail", "a.example")
LEASE = 10 * MINUTE


def count(
    rooms: Rooms,
    row: ReportRow = ROW,
    policy: PolicyPublished = POLICY,
    rua: tuple[str, ...] = RUA,
    day: int = TODAY,
    due: int = DUE,
) -> None:
    rooms.do(partial(reports.count, counter=AggregateCounter(policy, row, rua), day=day, due=due))


def claim(rooms: Rooms, at: int, owner: str = "one") -> Period | None:
    return rooms.do(partial(reports.claim, now=at, owner=owner, lease=LEASE))


def claimed(rooms: Rooms, at: int = DUE, owner: str = "one") -> Period:
    period = claim(rooms, at, owner)
    assert period is not None
    return period


def rows_left(rooms: Rooms) -> list[int]:
    def unit(tx: Transaction) -> list[int]:
        tables = ("report_periods", "report_policies", "report_lines")
        return [tx.all(f"SELECT COUNT(*) FROM {table}")[0][0] for table in tables]

    return rooms.see(unit)


def test_equal_messages_are_one_row(rooms: Rooms) -> None:
    other = replace(ROW, source_ip="2001:db8::1", dkim="fail")
    for row in (ROW, ROW, other, ROW):
        count(rooms, row)
    (gathered,) = rooms.see(partial(reports.gathered, period=claimed(rooms)))
    assert gathered == Gathered(POLICY, RUA, gathered.rows)
    assert sorted(gathered.rows, key=lambda row: row.count) == [replace(other, count=1), replace(ROW, count=3)]


def test_each_policy_of_a_day_has_a_report_of_its_own(rooms: Rooms) -> None:
    changed = replace(POLICY, p="none")
    elsewhere = ("mailto:agg@b.example",)
    count(rooms)
    count(rooms, policy=changed)
    count(rooms, rua=elsewhere)
    count(rooms)
    found = rooms.see(partial(reports.gathered, period=claimed(rooms)))
    assert [(each.policy, each.rua, sum(row.count for row in each.rows)) for each in found] == [
        (POLICY, RUA, 2), (changed, RUA, 1), (POLICY, elsewhere, 1),
    ]  # fmt: skip


def test_days_and_domains_are_apart(rooms: Rooms) -> None:
    count(rooms)
    count(rooms, day=TODAY + 1, due=DUE + DAY)
    count(rooms, policy=replace(POLICY, domain="b.example"), due=DUE + 1)
    first, second, third = (claimed(rooms, DUE + 2 * DAY) for _ in range(3))
    assert [(each.day - TODAY, each.domain) for each in (first, second, third)] == [
        (0, "a.example"), (0, "b.example"), (1, "a.example"),
    ]  # fmt: skip
    assert rooms.do(partial(reports.finish, period=first))
    assert rows_left(rooms) == [2, 2, 2]


def test_nothing_is_claimed_before_it_is_due(rooms: Rooms) -> None:
    count(rooms)
    assert claim(rooms, DUE - 1) is None
    assert claim(rooms, DUE) == Period(TODAY, "a.example", 0, 1, "one", DUE + LEASE)


def test_of_two_processes_one_has_it(rooms: Rooms) -> None:
    count(rooms)
    claimed(rooms, owner="one")
    assert claim(rooms, DUE + LEASE - 1, "two") is None


def test_who_was_too_slow_sends_nothing(rooms: Rooms) -> None:
    count(rooms)
    slow = claimed(rooms, owner="one")
    quick = claimed(rooms, DUE + LEASE, "two")
    assert quick.tries == 2
    assert not rooms.do(partial(reports.finish, period=slow))
    rooms.do(partial(reports.postpone, period=slow, due=DUE + DAY))
    assert rows_left(rooms) == [1, 1, 1]
    assert rooms.do(partial(reports.finish, period=quick))
    assert rows_left(rooms) == [0, 0, 0]


def test_a_postponed_day_comes_again_with_its_tries(rooms: Rooms) -> None:
    count(rooms)
    rooms.do(partial(reports.postpone, period=claimed(rooms), due=DUE + HOUR))
    assert claim(rooms, DUE + HOUR - 1) is None
    assert claimed(rooms, DUE + HOUR).tries == 2


def test_a_message_that_comes_when_all_was_sent_opens_the_day_again(rooms: Rooms) -> None:
    count(rooms)
    rooms.do(partial(reports.finish, period=claimed(rooms)))
    count(rooms)
    assert [row.count for row in rooms.see(partial(reports.gathered, period=claimed(rooms)))[0].rows] == [1]


def test_beyond_the_bounds_messages_are_only_counted(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "LINES", 3)
    for number in range(5):
        count(rooms, replace(ROW, source_ip=f"192.0.2.{number}"))
    # A row that is there goes on counting.
    count(rooms, replace(ROW, source_ip="192.0.2.0"))
    period = claimed(rooms)
    assert period.left_out == 2
    (gathered,) = rooms.see(partial(reports.gathered, period=period))
    assert sorted(row.count for row in gathered.rows) == [1, 1, 2]


def test_policies_that_change_all_the_time_are_bounded(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "POLICIES", 2)
    for number in range(4):
        count(rooms, rua=(f"mailto:{number}@a.example",))
    period = claimed(rooms)
    assert period.left_out == 2
    assert len(rooms.see(partial(reports.gathered, period=period))) == 2


def test_domains_of_a_day_are_bounded(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "DOMAINS", 2)
    for number in range(4):
        count(rooms, policy=replace(POLICY, domain=f"{number}.example"))
    count(rooms, policy=replace(POLICY, domain="0.example"))
    count(rooms, policy=replace(POLICY, domain="9.example"), day=TODAY + 1)
    assert rows_left(rooms) == [3, 3, 3]


def sent(rooms: Rooms, kind: str = "aggregate", domain: str = "a.example", begin: int = TODAY * DAY) -> SentReport:
    to = ("agg@a.example", "b@b.test")
    report = SentReport(rooms.id(), kind, domain, "id@mx.test", begin, begin + DAY, 7, to, "")
    rooms.do(partial(reports.remember, sent=report))
    return report


def test_what_was_sent_is_told_newest_first(rooms: Rooms) -> None:
    first = sent(rooms)
    rooms.now += HOUR
    second = sent(rooms, domain="b.example")
    assert rooms.see(partial(reports.sent_reports, since=NOON)) == [second, first]
    assert rooms.see(partial(reports.sent_reports, since=NOON, domain="a.example")) == [first]
    assert rooms.see(partial(reports.sent_reports, since=NOON + 1000)) == [second]
    assert second.at == NOON + HOUR


def test_reports_are_numbered_within_their_day_and_limited_by_the_hour(rooms: Rooms) -> None:
    sent(rooms)
    sent(rooms, begin=(TODAY - 1) * DAY)
    sent(rooms, kind="failure")
    rooms.now += HOUR
    sent(rooms, kind="failure")
    sent(rooms, kind="failure", domain="b.example")
    assert rooms.see(partial(reports.sent_about, domain="a.example", begin=TODAY * DAY)) == 1
    since = partial(reports.sent_since, kind="failure")
    assert rooms.see(partial(since, domain="a.example", since=NOON)) == 2
    assert rooms.see(partial(since, domain="a.example", since=NOON + HOUR)) == 1
    assert rooms.see(partial(since, domain="", since=NOON)) == 3


def test_what_is_old_is_forgotten(rooms: Rooms) -> None:
    count(rooms, day=TODAY - 8, due=DUE - 9 * DAY)
    count(rooms)
    sent(rooms)
    rooms.now += DAY
    sent(rooms)
    assert rooms.do(partial(reports.sweep, day=TODAY - 7, before=NOON + HOUR)) == 2
    assert rows_left(rooms) == [1, 1, 1]
    assert len(rooms.see(partial(reports.sent_reports, since=0))) == 1
