"""Log lines: one for each event, whatever a client said in it, and views of the journey."""

import io
import json
from typing import Any

import pytest

from posthouse.mail.journey import Stamp, Step
from posthouse.serve.log import LONGEST_TEXT, escaped, logger, silent, summary
from posthouse.serve.metrics import Metrics, SharedMetrics
from posthouse.serve.recorder import Recorder

HOSTILE = "EHLO\r\n{\"event\": \"accepted\"}\x1b[2J\x1b]0;x\x07\x00\x7f\x85\u2028\u202e\ud800"


def written(format: Any, **facts: Any) -> str:
    file = io.StringIO()
    logger(format, file=file).info("greeted", **facts)
    return file.getvalue()


@pytest.mark.parametrize("format", ["json", "console"])
def test_one_event_is_one_line_of_harmless_characters(format: str) -> None:
    line = written(format, helo=HOSTILE, names=[HOSTILE], octets=HOSTILE.encode("utf-8", "replace"))
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert line[:-1].isprintable()
    line.encode("utf-8")


def test_json_says_what_was_meant() -> None:
    told = json.loads(written("json", helo=HOSTILE, size=4096, tls=None, flag=True))
    assert told["event"] == "greeted"
    assert told["level"] == "info"
    assert told["helo"] == HOSTILE
    assert (told["size"], told["tls"], told["flag"]) == (4096, None, True)
    assert list(told)[:3] == ["at", "level", "event"]


def test_console_is_for_people() -> None:
    line = written("console", helo="mx.example.org", reply="250 Ok", nothing=None)
    assert line[8:] == ' info    greeted helo=mx.example.org reply="250 Ok"\n'


def test_what_is_long_is_cut() -> None:
    told = json.loads(written("json", helo="x" * 100_000, names=["y"] * 1_000, octets=b"z" * 100_000))
    assert len(told["helo"]) == LONGEST_TEXT + 1
    assert len(told["names"]) == 20
    assert len(told["octets"]) == LONGEST_TEXT + 1


def test_levels_below_the_least_are_not_written() -> None:
    file = io.StringIO()
    log = logger("json", "warning", file)
    log.info("no")
    log.warning("yes")
    assert [json.loads(line)["event"] for line in file.getvalue().splitlines()] == ["yes"]
    silent().error("nothing")


def test_an_exception_is_a_line_and_no_traceback() -> None:
    file = io.StringIO()
    try:
        raise ValueError("line one\nline two")
    except ValueError as error:
        logger("json", file=file).error("failed", exc_info=error)
    told = json.loads(file.getvalue())
    assert told["error"] == "ValueError: line one\nline two"
    assert told["where"][0].startswith("test_log.py:")
    assert file.getvalue().count("\n") == 1


def test_a_log_that_cannot_be_written_stops_nobody() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    logger("json", file=Full()).error("lost")


def test_two_loggers_share_nothing() -> None:
    one, two = io.StringIO(), io.StringIO()
    first, second = logger("json", file=one).bind(house="a"), logger("console", "error", two)
    first.info("x")
    second.info("y")
    assert json.loads(one.getvalue())["house"] == "a"
    assert two.getvalue() == ""


def test_escaping_leaves_letters_alone() -> None:
    assert escaped("Grüße, 世界") == "Grüße, 世界"
    assert escaped("a\tb") == "a\\tb"


JOURNEY = (
    Stamp(1, Step.CONNECTED, {"ip": "192.0.2.1", "port": 9, "service": "smtp"}),
    Stamp(2, Step.HELLO, {"verb": "EHLO", "name": "first"}),
    Stamp(3, Step.HELLO, {"verb": "EHLO", "name": "mx.far.test"}),
    Stamp(4, Step.ENVELOPE, {"mail_from": "carol@far.test", "size": 3}),
    Stamp(5, Step.RECEIVED, {"size": 4096, "message_id": "x@y", "subject": "private"}),
    Stamp(6, Step.DELIVERED, {"account": "a", "mailbox": "INBOX", "uid": 1}),
    Stamp(6, Step.DELIVERED, {"account": "b", "mailbox": "INBOX", "uid": 1}),
    Stamp(7, Step.QUEUED, {"address": "z@z"}),
    Stamp(8, Step.ACCEPTED, {"reply": "250 2.0.0 Ok"}),
)


def test_the_line_about_a_message_is_made_from_its_stamps() -> None:
    assert summary(JOURNEY) == {
        "ip": "192.0.2.1", "service": "smtp", "helo": "mx.far.test", "mail_from": "carol@far.test", "size": 4096,
        "message_id": "x@y", "reply": "250 2.0.0 Ok", "delivered": 2, "queued": 1,
    }


def test_an_account_that_decides_for_itself_does_not_decide_for_all() -> None:
    decided = Stamp(6, Step.DECISION, {"action": "accept", "rule": "score"})
    own = Stamp(6, Step.DECISION, {"action": "quarantine", "rule": "account", "account": "b@b"})
    told = summary((*JOURNEY[:5], decided, own, *JOURNEY[5:]))
    assert (told["action"], told["rule"], told["own_junk"]) == ("accept", "score", 1)


def test_the_recorder_logs_and_counts_what_happened() -> None:
    file = io.StringIO()
    metrics = Metrics()
    recorder = Recorder(logger("json", file=file), metrics)
    recorder.happened("accepted", "q1", JOURNEY)
    recorder.happened("accepted", "q2", JOURNEY[4:])
    tried = {"address": "z@z", "host": "mx.z", "reply": "451 later", "outcome": "transient"}
    recorder.happened("relay", "q1", [Stamp(9, Step.ATTEMPT, tried), Stamp(9, Step.RETRY, {"address": "z@z"})])
    recorder.happened("relay", "q1", [Stamp(9, Step.FAILED, {"address": "z@z", "reason": "550 no"})])
    recorder.failed("claiming", RuntimeError("x"))
    told = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [(line["event"], line.get("id")) for line in told] == [
        ("accepted", "q1"), ("accepted", "q2"), ("relay", "q1"), ("failed", "q1"), ("failed", None),
    ]
    assert told[2]["host"] == "mx.z"
    value = metrics.registry.get_sample_value
    assert value("posthouse_messages_accepted_total", {"service": "smtp"}) == 1
    assert value("posthouse_messages_accepted_total", {"service": "local"}) == 1
    assert value("posthouse_relay_attempts_total", {"outcome": "transient"}) == 1


def test_one_process_answers_for_all(tmp_path: Any) -> None:
    metrics = [Metrics() for _ in range(3)]
    shared = [SharedMetrics(each, tmp_path, number) for number, each in enumerate(metrics)]
    for number, each in enumerate(metrics):
        each.connections.labels("smtp").inc(number + 1)
        each.open.labels("smtp").inc(number)
        shared[number].save()
    metrics[1].connections.labels("smtp").inc(10)
    (tmp_path / "0.metrics").touch()
    text = shared[1].text().decode()
    assert text.count("# TYPE posthouse_connections_total counter") == 1
    for number, count in enumerate((1.0, 12.0, 3.0)):
        assert f'posthouse_connections_total{{process="{number}",service="smtp"}} {count}' in text
    assert shared[1].connections() == 0 + 1 + 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.metrics", "1.metrics", "2.metrics"]


def test_the_counts_of_a_process_that_is_gone_are_left_out(tmp_path: Any) -> None:
    import os

    one, two = Metrics(), Metrics()
    two.connections.labels("smtp").inc()
    SharedMetrics(two, tmp_path, 1).save()
    os.utime(tmp_path / "1.metrics", (0, 0))
    assert 'process="1"' not in SharedMetrics(one, tmp_path, 0).text().decode()
