"""Aggregate reports of ours: as the standard wants them, and as this house reads them back."""

import gzip
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.checks.reports import writing
from posthouse.checks.reports.aggregate import (
    AggregateReport,
    DkimResult,
    PolicyPublished,
    Reason,
    ReportRow,
    SpfResult,
)
from posthouse.checks.reports.archive import EXPANSION, ReportError, unpack
from posthouse.checks.reports.feedback import read_feedback
from posthouse.checks.reports.reading import read
from posthouse.checks.reports.writing import (
    batches,
    compress,
    file_name,
    mail_aggregate,
    report_id,
    write_aggregate,
)
from posthouse.mail.address import Address
from posthouse.mail.instant import DAY, SECOND
from posthouse.mail.message import Message

BEGIN = 1_740_787_200 * SECOND
SUBMITTER = "mail.posthouse.test"
AUTHOR = Address("dmarc", "posthouse.test")
TO = [Address("agg", "a.example")]
SPACE = "{urn:ietf:params:xml:ns:dmarc-2.0}"

ROW = ReportRow(
    source_ip="192.0.2.1",
    disposition="quarantine",
    dkim="fail",
    spf="pass",
    header_from="news.a.example",
    envelope_from="b.example",
    reasons=(Reason("mailing_list", "a list & more"), Reason("other")),
    dkim_results=(DkimResult("a.example", "s1", "pass"), DkimResult("b.example", "s2", "fail", "no <key>")),
    spf_results=(SpfResult("b.example", "mfrom", "softfail"),),
    count=7,
)


def report(**changes: object) -> AggregateReport:
    known = AggregateReport(
        org_name="Posthouse Test",
        email="dmarc@posthouse.test",
        report_id=report_id("a.example", BEGIN, SUBMITTER),
        begin=BEGIN,
        end=BEGIN + DAY - SECOND,
        policy=PolicyPublished("a.example", "reject", "none", "quarantine", "s", "r", "0", True, "treewalk"),
        rows=(ROW,),
        extra_contact_info="nobody",
        errors=("p=x is no policy", "two records"),
        generator="Posthouse",
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def test_what_is_written_reads_back() -> None:
    written = report()
    back = read_feedback(write_aggregate(written))
    assert back == replace(written, errors=("p=x is no policy; two records",))


def test_the_elements_stand_in_the_order_of_the_schema() -> None:
    root = ElementTree.fromstring(write_aggregate(report()))
    assert root.tag == f"{SPACE}feedback"
    names = {element.tag: [child.tag.removeprefix(SPACE) for child in element] for element in root.iter()}
    assert names[f"{SPACE}feedback"] == ["version", "report_metadata", "policy_published", "record"]
    assert names[f"{SPACE}record"] == ["row", "identifiers", "auth_results"]
    assert names[f"{SPACE}policy_evaluated"] == ["disposition", "dkim", "spf", "reason", "reason"]
    assert names[f"{SPACE}auth_results"] == ["dkim", "dkim", "spf"]
    assert root.findtext(f"{SPACE}version") == "1.0"
    assert [e.text for e in root.iter(f"{SPACE}scope")] == ["mfrom"]
    assert [e.text for e in root.iter(f"{SPACE}begin")] == ["1740787200"]
    assert [e.text for e in root.iter(f"{SPACE}end")] == ["1740873599"]


def test_what_need_not_be_told_is_left_out_and_the_null_reverse_path_is_empty() -> None:
    row = ReportRow("192.0.2.1", "none", "fail", "fail", "a.example")
    policy = PolicyPublished("a.example", "none")
    octets = write_aggregate(report(rows=(row,), policy=policy, errors=(), extra_contact_info="", generator=""))
    root = ElementTree.fromstring(octets)
    names = {element.tag.removeprefix(SPACE) for element in root.iter()}
    assert not names & {"error", "generator", "extra_contact_info", "sp", "np", "fo", "reason", "envelope_to"}
    assert root.find(f".//{SPACE}envelope_from").text is None  # type: ignore[union-attr]
    assert read_feedback(octets).rows == (row,)


def test_a_reason_that_is_no_word_of_the_schema_is_another() -> None:
    row = replace(ROW, reasons=(Reason("forwarded", "so it seems"),))
    assert read_feedback(write_aggregate(report(rows=(row,)))).rows[0].reasons == (Reason("other", "so it seems"),)


text = st.text(max_size=40)


@given(text, text, text)
def test_no_text_breaks_out_of_its_element(name: str, comment: str, domain: str) -> None:
    row = replace(ROW, reasons=(Reason("other", comment),), header_from=domain)
    octets = write_aggregate(report(org_name=name, errors=(comment,), rows=(row, ROW)))
    back = read_feedback(octets)
    assert [found.count for found in back.rows] == [7, 7]
    assert back.rows[1] == ROW
    assert back.policy == report().policy


def test_a_report_without_rows_or_beyond_all_bounds_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReportError, match="without a row"):
        write_aggregate(report(rows=()))
    with pytest.raises(ReportError, match="disposition"):
        write_aggregate(report(rows=(replace(ROW, disposition="gone"),)))  # type: ignore[arg-type]
    monkeypatch.setattr(writing, "REPORT_OCTETS", 1000)
    with pytest.raises(ReportError, match="larger than 1,000 octets"):
        write_aggregate(report())


def test_rows_are_cut_into_reports_that_may_be_sent() -> None:
    rows = [ReportRow(f"2001:db8::{n:x}", "none", "fail", "fail", "a", count=n + 1) for n in range(writing.ROWS + 5)]
    cut = list(batches(rows))
    assert [len(batch) for batch in cut] == [writing.ROWS, 5]
    assert cut[0][0].count == writing.ROWS + 5
    assert {row for batch in cut for row in batch} == set(rows)
    assert list(batches([])) == []


@pytest.mark.parametrize("signatures", [0, 1, 10, 100])
@pytest.mark.parametrize("label", ["x", "x" * 60])
def test_the_largest_rows_are_cut_into_reports_that_may_be_taken(signatures: int, label: str) -> None:
    name = ".".join([label] * 4)
    row = replace(ROW, header_from=name, envelope_from=name, reasons=(Reason("local_policy", label * 4),))
    row = replace(row, dkim_results=(DkimResult(name, name, "permerror"),) * signatures)
    largest = max(batches([row] * 2000), key=len)
    assert len(write_aggregate(report(rows=largest))) < writing.BATCH_OCTETS + 2000


# --- the mail -----------------------------------------------------------------------------------------


def test_the_archive_is_never_denser_than_what_is_taken() -> None:
    octets = write_aggregate(report(rows=tuple(replace(ROW, source_ip=f"192.0.2.{n % 256}") for n in range(5000))))
    assert len(octets) > EXPANSION * len(gzip.compress(octets, 9))
    assert unpack(compress(octets)) == octets
    sparse = write_aggregate(report())
    assert gzip.decompress(compress(sparse)) == sparse
    assert compress(sparse) == compress(sparse)


def test_the_name_of_the_file_says_who_about_whom_and_when() -> None:
    assert file_name(report(), SUBMITTER) == "mail.posthouse.test!a.example!1740787200!1740873599.xml.gz"
    assert file_name(report(), SUBMITTER, "7a").endswith("!1740873599!7a.xml.gz")
    with pytest.raises(ReportError):
        file_name(report(), SUBMITTER, "../x")


def test_the_mail_has_the_form_of_the_standard() -> None:
    octets = mail_aggregate(report(), SUBMITTER, AUTHOR, TO, BEGIN + DAY)
    message = Message.parse(octets)
    subject = message.header.get("subject")
    assert subject is not None
    form = rb"Report\s+Domain:\s+a\.example\s+Submitter:\s+mail\.posthouse\.test\s+Report-ID:\s+<[^<>\s]+>"
    assert re.fullmatch(form, subject.value.strip())
    assert message.header.text("from") == "dmarc@posthouse.test"
    assert message.header.text("to") == "agg@a.example"
    assert message.header.text("auto-submitted") == "auto-generated"
    assert message.header.text("message-id") == "<1740787200-a.example@mail.posthouse.test>"
    text, attachment = message.root.parts
    assert text.content_type == ("text", "plain")
    assert "7 messages" in text.text()
    assert attachment.content_type == ("application", "gzip")
    assert attachment.filename == "mail.posthouse.test!a.example!1740787200!1740873599.xml.gz"
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    assert octets.isascii()


def test_the_mail_reads_back() -> None:
    written = report(errors=())
    assert read(mail_aggregate(written, SUBMITTER, AUTHOR, TO, BEGIN + DAY)) == written


def test_reports_of_one_period_have_ids_of_their_own() -> None:
    ids = {report_id("a.example", BEGIN, SUBMITTER, number) for number in range(5)}
    assert len(ids) == 5
    for number, name in enumerate(sorted(ids)):
        octets = mail_aggregate(report(report_id=name), SUBMITTER, AUTHOR, TO, BEGIN, str(number))
        assert isinstance(read(octets), AggregateReport)


def test_an_id_without_a_right_side_gets_one_in_message_id() -> None:
    octets = mail_aggregate(report(report_id="17"), SUBMITTER, AUTHOR, TO, BEGIN)
    assert Message.parse(octets).header.text("message-id") == "<17@mail.posthouse.test>"


@pytest.mark.parametrize("name", ["", "a b", "a\r\nX: y", "<a@b>", "a..b", "a@", "@"])
def test_an_id_that_could_not_stand_in_the_subject_is_refused(name: str) -> None:
    with pytest.raises(ReportError):
        mail_aggregate(report(report_id=name), SUBMITTER, AUTHOR, TO, BEGIN)
