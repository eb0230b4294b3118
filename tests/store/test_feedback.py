"""Reports of others: mails wait for one reader, a report is kept once, and nobody fills the disk with them."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from posthouse.mail.instant import DAY, HOUR, MINUTE
from posthouse.store import feedback
from posthouse.store.blobs import put
from posthouse.store.database import Transaction
from posthouse.store.feedback import Arrival, Day, Fate, Kind, Line, ReceivedReport, Span
from store.rooms import NOON, Rooms

LINE = Line(10, True, False, "none", "192.0.2.1", "a.example", "a.example pass", "b.example pass", "")
EVER = Span(0)


def report(rooms: Rooms, **changes: Any) -> ReceivedReport:
    plain = ReceivedReport(
        rooms.id(), 1, Kind.AGGREGATE, "a.example", NOON - DAY, NOON - 1, True, 10, 10, 0, "reporter.example",
        "Reporter Inc.", "id-1", "{}",
    )  # fmt: skip
    return replace(plain, **changes)


def keep(rooms: Rooms, *lines: Line, **changes: Any) -> Fate:
    return rooms.do(partial(feedback.keep, report=report(rooms, **changes), lines=lines))


# --- waiting to be read ---------------------------------------------------------------------------------


def arrive(rooms: Rooms, journey_id: int, octets: bytes = b"From: a@b.test\r\n\r\n", dated: int | None = None) -> int:
    content = rooms.content(octets)
    arrival = Arrival(journey_id, 0, True, 0, "reporter.example", "dmarc@a.example")

    def unit(tx: Transaction) -> int:
        blob_id = put(tx, content, dated)
        feedback.arrive(tx, arrival, dated, content.digest, rooms.now)
        return blob_id

    return rooms.do(unit)


def claim(rooms: Rooms, at: int = NOON) -> Arrival | None:
    return rooms.do(partial(feedback.claim, now=at, lease=MINUTE))


def test_an_arrival_refers_to_the_body_that_was_stored(rooms: Rooms) -> None:
    first = arrive(rooms, 1, dated=NOON)
    # The same octets again: the body that was there first counts.
    assert arrive(rooms, 2, dated=NOON) == first
    assert claim(rooms) == Arrival(1, first, True, 1, "reporter.example", "dmarc@a.example")
    assert claim(rooms) == Arrival(2, first, True, 1, "reporter.example", "dmarc@a.example")


def test_one_reader_has_it_until_its_lease_ends(rooms: Rooms) -> None:
    arrive(rooms, 1)
    arrival = claim(rooms)
    assert arrival is not None
    assert claim(rooms) is None
    assert not rooms.see(partial(feedback.waits, now=NOON + MINUTE - 1))
    assert rooms.see(partial(feedback.waits, now=NOON + MINUTE))
    again = claim(rooms, NOON + MINUTE)
    assert again is not None
    assert again.tries == 2
    assert rooms.do(partial(feedback.dismiss, arrival=again))
    assert not rooms.do(partial(feedback.dismiss, arrival=arrival))
    assert not rooms.see(partial(feedback.waits, now=NOON + DAY))


# --- what is kept ---------------------------------------------------------------------------------------


def test_a_report_is_kept_with_its_lines(rooms: Rooms) -> None:
    kept = report(rooms)
    assert rooms.do(partial(feedback.keep, report=kept, lines=[LINE])) is Fate.KEPT
    assert rooms.see(partial(feedback.reports, span=EVER, kind=Kind.AGGREGATE)) == [kept]
    assert rooms.see(partial(feedback.reports, span=EVER, kind=Kind.TLS)) == []
    assert rooms.see(partial(feedback.sources, span=EVER)) == [LINE]


def test_a_report_that_comes_twice_is_kept_once(rooms: Rooms) -> None:
    assert keep(rooms, LINE) is Fate.KEPT
    assert keep(rooms, LINE) is Fate.KNOWN
    assert keep(rooms, LINE, reporter="other.example") is Fate.KEPT
    assert keep(rooms, LINE, domain="b.example") is Fate.KEPT
    assert keep(rooms, LINE, kind=Kind.TLS) is Fate.KEPT
    assert keep(rooms, LINE, report_id="id-2") is Fate.KEPT
    assert len(rooms.see(partial(feedback.reports, span=EVER, kind=Kind.AGGREGATE))) == 4


def test_of_a_report_that_is_too_long_the_busiest_sources_stay(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "REPORT_OCTETS", 1000)
    lines = [LINE._replace(messages=number, source_ip=f"192.0.2.{number}") for number in range(1, 11)]
    assert keep(rooms, *lines, messages=55) is Fate.KEPT
    kept = rooms.see(partial(feedback.sources, span=EVER))
    assert [line.messages for line in kept] == [10, 9, 8]
    (told,) = rooms.see(partial(feedback.reports, span=EVER, kind=Kind.AGGREGATE))
    assert told.left_out == 55 - 27


def test_one_reporter_has_a_share_of_a_day(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "REPORTER_OCTETS", 1200)
    monkeypatch.setattr(feedback, "DAY_OCTETS", 1900)
    assert [keep(rooms, report_id=str(number)) for number in range(3)] == [Fate.KEPT, Fate.KEPT, Fate.TOO_MUCH]
    assert keep(rooms, reporter="second.example") is Fate.KEPT
    assert keep(rooms, reporter="third.example") is Fate.TOO_MUCH
    rooms.now += DAY + 1000
    assert keep(rooms, reporter="third.example") is Fate.KEPT


def test_who_only_claims_to_be_a_reporter_takes_no_room_from_who_is(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback, "DAY_OCTETS", 3_000)
    for number in range(3):
        keep(rooms, LINE, LINE, LINE, report_id=f"forged-{number}", reporter=f"r{number}.example", proven=False)
    assert keep(rooms, LINE, report_id="forged", proven=False) is Fate.TOO_MUCH
    assert keep(rooms, LINE) is Fate.KEPT


def test_nor_a_name_that_a_report_goes_by(rooms: Rooms) -> None:
    assert keep(rooms, LINE, LINE._replace(source_ip="192.0.2.2"), proven=False) is Fate.KEPT
    assert keep(rooms, LINE, proven=False) is Fate.KNOWN
    assert keep(rooms, LINE._replace(messages=3), messages=3) is Fate.KEPT
    # The true one stands in the place of the forged one.
    everything = Span(0, proven=False)
    assert [line.messages for line in rooms.see(partial(feedback.sources, span=everything))] == [3]
    (kept,) = rooms.see(partial(feedback.reports, span=everything, kind=Kind.AGGREGATE))
    assert kept.proven
    assert keep(rooms, LINE) is Fate.KNOWN
    assert keep(rooms, LINE, proven=False) is Fate.KNOWN


def test_what_is_old_is_forgotten_a_part_at_a_time(rooms: Rooms) -> None:
    for number in range(3):
        keep(rooms, LINE, report_id=str(number))
    rooms.now += HOUR
    keep(rooms, LINE._replace(messages=1))
    rooms.do(partial(feedback.remember_names, found=[("192.0.2.1", "mx.a.example")], now=NOON))
    forget = partial(feedback.sweep, before=NOON + HOUR, names_before=NOON + 1, limit=2)
    assert [rooms.do(forget), rooms.do(forget), rooms.do(forget)] == [2, 1, 0]
    assert [line.messages for line in rooms.see(partial(feedback.sources, span=EVER))] == [1]
    assert rooms.see(partial(feedback.names, ips=["192.0.2.1"], since=0)) == {}


# --- summed up ------------------------------------------------------------------------------------------


def test_lines_are_added_up_over_reports(rooms: Rooms) -> None:
    keep(rooms, LINE, LINE._replace(aligned_dkim=False, messages=3), LINE._replace(reasons="forwarded", messages=2))
    keep(rooms, LINE, report_id="id-2")
    found = rooms.see(partial(feedback.sources, span=EVER))
    assert [(line.messages, line.aligned_dkim, line.reasons) for line in found] == [
        (20, True, ""), (3, False, ""), (2, True, "forwarded"),
    ]  # fmt: skip


def test_a_span_is_of_time_of_domains_and_of_proof(rooms: Rooms) -> None:
    keep(rooms, LINE)
    keep(rooms, LINE, domain="sub.a.example")
    keep(rooms, LINE, domain="nota.example")
    keep(rooms, LINE, report_id="forged", proven=False)
    keep(rooms, LINE, report_id="old", begin=NOON - 9 * DAY)

    def told(span: Span) -> list[str]:
        found = rooms.see(partial(feedback.reports, span=span, kind=Kind.AGGREGATE))
        assert sum(each.messages for each in found) == sum(
            line.messages for line in rooms.see(partial(feedback.sources, span=span))
        )
        return sorted(f"{each.domain} {each.report_id}" for each in found)

    week = NOON - 7 * DAY
    assert told(Span(week)) == ["a.example id-1", "nota.example id-1", "sub.a.example id-1"]
    assert told(Span(week, "a.example")) == ["a.example id-1", "sub.a.example id-1"]
    assert told(Span(week, "a.example", proven=False)) == ["a.example forged", "a.example id-1", "sub.a.example id-1"]
    assert told(Span(0, "a.example")) == ["a.example id-1", "a.example old", "sub.a.example id-1"]


def test_days_show_how_much_passed(rooms: Rooms) -> None:
    day = NOON // DAY
    for begin, messages, passed in ((day - 2, 10, 9), (day - 2, 5, 5), (day, 3, 0)):
        keep(rooms, report_id=str(rooms.id()), begin=begin * DAY, messages=messages, passed=passed)
    keep(rooms, domain="b.example", begin=day * DAY, messages=1, passed=1)
    assert rooms.see(partial(feedback.days, span=EVER)) == [
        Day("a.example", day - 2, 15, 14), Day("a.example", day, 3, 0), Day("b.example", day, 1, 1),
    ]  # fmt: skip


def test_names_of_sources_are_remembered_for_a_while(rooms: Rooms) -> None:
    rooms.do(partial(feedback.remember_names, found=[("192.0.2.1", "old.test"), ("192.0.2.2", "")], now=NOON))
    rooms.do(partial(feedback.remember_names, found=[("192.0.2.1", "new.test")], now=NOON + DAY))
    ips = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert rooms.see(partial(feedback.names, ips=ips, since=NOON)) == {"192.0.2.1": "new.test", "192.0.2.2": ""}
    assert rooms.see(partial(feedback.names, ips=ips, since=NOON + 1)) == {"192.0.2.1": "new.test"}
