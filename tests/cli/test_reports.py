"""`posthouse reports`: what others tell of our domains, as tables that fit and as JSON; what we sent."""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cli.server import Server
from posthouse.cli.reportviews import bars
from posthouse.mail.instant import DAY
from posthouse.store import feedback, reports
from posthouse.store.database import Transaction
from posthouse.store.feedback import Fate, Kind, Line, ReceivedReport
from posthouse.store.ids import Ids
from posthouse.store.reports import SentReport

NOW = time.time_ns() // 1000
TODAY = NOW // DAY * DAY
IDS = Ids(7)
GOOD = Line(90, True, True, "none", "192.0.2.1", "example.org", "example.org pass", "example.org pass", "")
FORWARDED = Line(8, False, False, "none", "192.0.2.99", "example.org", "lists.test pass, example.org fail",
                 "lists.test pass", "mailing_list")  # fmt: skip
SPOOFED = Line(2, False, False, "reject", "203.0.113.9", "example.org", "", "evil.test fail", "")
NAMES = [("192.0.2.1", "mx.example.org"), ("192.0.2.99", "out.lists.test"), ("203.0.113.9", "")]


def report(kind: Kind = Kind.AGGREGATE, **changes: Any) -> ReceivedReport:
    plain: dict[str, Any] = {
        "report_key": IDS.next(NOW), "journey_id": 1, "kind": kind, "domain": "example.org", "begin": TODAY - DAY,
        "end": TODAY - 1, "proven": True, "messages": 100, "passed": 90, "left_out": 0, "reporter": "far.test",
        "organization": "Far Inc.", "report_id": f"id-{IDS.next(NOW)}", "facts": "{}",
    }  # fmt: skip
    return ReceivedReport(**{**plain, **changes})


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.fixture
def keep(server: Server) -> Callable[..., None]:
    def keep(*lines: Line, **changes: Any) -> None:
        fate = server.write(partial(feedback.keep, report=report(**changes), lines=lines))
        assert fate is Fate.KEPT

    server.write(lambda tx: feedback.remember_names(tx, NAMES, NOW))
    return keep


def test_without_a_report_it_says_so(server: Server) -> None:
    assert server.good("reports").out.startswith("Nobody has reported about any domain of yours since 2")
    assert "about example.org since" in server.good("reports", "example.org").out
    assert server.good("reports", "sent").err == "No report was sent in that time.\n"
    assert server.refused("reports", "far.test") == (
        "posthouse: far.test is no domain of yours, and nobody reports about it\n"
    )


def test_the_summary_tells_who_sends_and_what_fails(server: Server, keep: Callable[..., None]) -> None:
    keep(GOOD, FORWARDED, SPOOFED)
    keep(GOOD, begin=TODAY - 2 * DAY, messages=90)
    out = server.good("reports").out
    assert "190 messages, 94.7 % passed DMARC." in out
    assert "Reported by Far Inc. (2)." in out
    lines = [line.split() for line in out.splitlines()]
    assert ["example.org", "1", "180", "100", "%", "100", "%", "100", "%"] in lines
    assert ["lists.test", "1", "8", "0", "%", "0", "%", "0", "%"] in lines
    assert ["lists.test", "8", "example.org", "lists.test", "(dkim,", "spf)", "taken"] in lines
    assert ["203.0.113.0/24", "2", "example.org", "nobody", "refused"] in lines
    assert max(map(len, out.splitlines())) <= 80


def test_a_domain_is_told_with_those_below_it(server: Server, keep: Callable[..., None]) -> None:
    server.good("domain", "add", "example.net")
    keep(GOOD)
    keep(GOOD, domain="news.example.org", messages=10, passed=10)
    keep(GOOD, domain="example.net", messages=7, passed=7)
    found = server.good("reports", "example.org", "--json").json
    assert (found["domain"], found["messages"]) == ("example.org", 110)
    assert [each["domain"] for each in found["domains"]] == ["example.org", "news.example.org"]
    out = server.good("reports").out
    rows = {words[0]: words[1] for line in out.splitlines() if len(words := line.split()) > 1}
    assert (rows["example.net"], rows["news.example.org"]) == ("7", "10")
    assert max(map(len, out.splitlines())) <= 80


def test_json_has_everything(server: Server, keep: Callable[..., None]) -> None:
    keep(GOOD, SPOOFED, facts=json.dumps({"policy": {"p": "reject"}, "errors": []}))
    found = server.good("reports", "--json", "--days", "3").json
    assert (found["messages"], found["passed"], len(found["days"])) == (100, 90, 3)
    assert found["days"][-2]["messages"] == 100
    (ours, spoofer) = found["sources"]
    assert (ours["name"], ours["addresses"]) == ("example.org", [{"ip": "192.0.2.1", "name": "mx.example.org"}])
    assert (spoofer["named"], spoofer["failed"], spoofer["lines"][0]["spf"]) == (False, {"reject": 2}, "evil.test fail")
    (told,) = found["reports"]
    assert (told["organization"], told["policy"], told["proven"]) == ("Far Inc.", {"p": "reject"}, True)


def test_what_nobody_vouches_for_counts_only_when_asked_for(server: Server, keep: Callable[..., None]) -> None:
    keep(GOOD)
    keep(GOOD, proven=False, messages=1000, passed=1000)
    out = server.good("reports").out
    assert "100 messages, 90.0 % passed DMARC" in out
    assert "1 more report may be forged: nothing proves who sent it. --all counts it." in out
    assert server.good("reports", "--json").json["unproven"] == 1
    assert server.good("reports", "--all", "--json").json["messages"] == 1100
    assert "forged" not in server.good("reports", "--all").out


def test_old_reports_are_left_out(server: Server, keep: Callable[..., None]) -> None:
    keep(GOOD, begin=TODAY - 10 * DAY)
    assert "Nobody has reported" in server.good("reports", "--days", "7").out
    assert "100 messages" in server.good("reports", "--days", "11").out


def test_failures_and_tls_are_told_with_them(server: Server, keep: Callable[..., None]) -> None:
    facts = {"source_ip": "203.0.113.9", "header_from": "Boss <b@example.org>", "subject": "pay \x1b[31mnow\u202e"}
    keep(kind=Kind.FAILURE, facts=json.dumps(facts))
    policies = [{"failures": [{"kind": "certificate-expired", "sessions": 3}]}]
    keep(kind=Kind.TLS, messages=10, passed=7, facts=json.dumps({"policies": policies}))
    out = server.good("reports").out
    assert "Single messages that failed, the latest of 1:" in out
    assert "203.0.113.9" in out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "with TLS as you ask for it: 70.0 % of 10." in out
    assert ["certificate-expired", "3"] in [line.split() for line in out.splitlines()]


def test_names_are_asked_for_unless_told_otherwise(server: Server, keep: Callable[..., None]) -> None:
    keep(GOOD._replace(source_ip="198.51.100.7"))
    settings = server.settings
    # Nobody listens there: what cannot be asked for is shown by its network, and asked for again next time.
    settings.write_text(settings.read_text() + '\n[dns]\nservers = ["127.0.0.1:9"]\n')
    for options in ((), ("--offline",)):
        (source,) = server.good("reports", "--json", *options).json["sources"]
        assert source["name"] == "198.51.100.0/24"
    assert server.write(lambda tx: feedback.names(tx, ["198.51.100.7"], 0)) == {}


def test_what_was_sent_is_told(server: Server) -> None:
    def unit(tx: Transaction) -> None:
        for kind, domain, to, note in (
            ("aggregate", "far.test", ("dmarc@far.test",), ""), ("failure", "shop.test", ("abuse@shop.test",), ""),
            ("aggregate", "shop.test", (), "victim.test does not say that it wants reports about shop.test"),
        ):  # fmt: skip
            begin, end = TODAY - DAY, TODAY - 1
            reports.remember(tx, SentReport(IDS.next(NOW), kind, domain, "id@example.org", begin, end, 5, to, note))

    server.write(unit)
    found = server.good("reports", "sent", "--json").json["sent"]
    assert [(each["kind"], each["domain"]) for each in found] == [
        ("aggregate", "shop.test"), ("failure", "shop.test"), ("aggregate", "far.test"),
    ]  # fmt: skip
    assert found[2]["to"] == ["dmarc@far.test"]
    out = server.good("reports", "sent", "far.test").out
    assert "dmarc@far.test" in out
    assert "shop.test" not in out
    assert "victim.test does not say" in server.good("reports", "sent").out


def test_bars_are_as_high_as_what_they_count() -> None:
    assert bars([0, 1, 50, 100]) == " ▂▅█"
    assert bars([]) == ""
    assert bars([0, 0]) == "  "
