"""Aggregate reports of others: read as they are written, refused where they are dangerous or say nothing."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.checks.reports import feedback
from posthouse.checks.reports.aggregate import DkimResult, PolicyPublished, Reason, SpfResult
from posthouse.checks.reports.archive import ReportError
from posthouse.checks.reports.feedback import DEPTH, read_feedback
from posthouse.mail.instant import SECOND

METADATA = (
    "<report_metadata><org_name>Other</org_name><email>r@other.test</email><report_id>1</report_id>"
    "<date_range><begin>1700000000</begin><end>1700086399</end></date_range></report_metadata>"
)
POLICY = "<policy_published><domain>a.example</domain><p>reject</p></policy_published>"
RECORD = (
    "<record><row><source_ip>192.0.2.1</source_ip><count>3</count><policy_evaluated><disposition>none</disposition>"
    "<dkim>pass</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>a.example</header_from>"
    "</identifiers><auth_results></auth_results></record>"
)


def document(records: str = RECORD, *, metadata: str = METADATA, policy: str = POLICY, head: str = "") -> bytes:
    return f"{head}<feedback>{metadata}{policy}{records}</feedback>".encode()


def refused(octets: bytes) -> str:
    with pytest.raises(ReportError) as error:
        read_feedback(octets)
    assert str(error.value).isascii()
    assert str(error.value).isprintable()
    return str(error.value)


@pytest.mark.parametrize("white", [b"\n", b"\r\n \t", b"\xef\xbb\xbf\n", "\ufeff\n".encode("utf-16-le")])
def test_blank_lines_in_front_do_not_matter(white: bytes) -> None:
    octets = document(head='<?xml version="1.0"?>')
    wide = white.startswith(b"\xff\xfe")
    assert read_feedback(white + (octets.decode().encode("utf-16-le") if wide else octets)).rows


def test_a_report_is_read_in_full() -> None:
    report = read_feedback(
        b"""<?xml version="1.0" encoding="UTF-8"?>
<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0" xmlns:x="urn:x">
  <version>1.0</version>
  <report_metadata>
    <org_name>Other &amp; Sons</org_name><email>r@other.test</email><extra_contact_info>none</extra_contact_info>
    <report_id>17@other.test</report_id><date_range><begin>1700000000</begin><end>1700086399</end></date_range>
    <error>one</error><error>two</error><generator>Mill 1.0</generator>
  </report_metadata>
  <policy_published>
    <domain>A.Example</domain><discovery_method>treewalk</discovery_method><p>reject</p><sp>none</sp><np>quarantine</np>
    <fo>1:d</fo><adkim>s</adkim><aspf>r</aspf><testing>y</testing>
  </policy_published>
  <extension><x:record><x:row><x:source_ip>203.0.113.1</x:source_ip></x:row></x:record></extension>
  <record>
    <row>
      <source_ip>2001:DB8::1</source_ip><count>12</count>
      <policy_evaluated>
        <disposition>quarantine</disposition><dkim>fail</dkim><spf>pass</spf>
        <reason><type>mailing_list</type><comment>list</comment></reason><reason><type>other</type></reason>
      </policy_evaluated>
    </row>
    <identifiers>
      <header_from>News.A.Example</header_from><envelope_from>b.example</envelope_from><envelope_to>c.example</envelope_to>
    </identifiers>
    <auth_results>
      <dkim><domain>d.example</domain><selector>s1</selector><result>pass</result><human_result>good</human_result></dkim>
      <dkim><domain>e.example</domain><selector>s2</selector><result>fail</result></dkim>
      <spf><domain>b.example</domain><scope>mfrom</scope><result>softfail</result></spf>
    </auth_results>
    <x:arc><x:spf><x:domain>x.example</x:domain></x:spf></x:arc>
  </record>
</feedback>"""
    )
    assert (report.org_name, report.email, report.extra_contact_info) == ("Other & Sons", "r@other.test", "none")
    assert (report.report_id, report.generator, report.errors) == ("17@other.test", "Mill 1.0", ("one", "two"))
    assert (report.begin, report.end) == (1_700_000_000 * SECOND, 1_700_086_399 * SECOND)
    assert report.policy == PolicyPublished(
        "a.example", "reject", "none", "quarantine", "s", "r", "1:d", True, "treewalk"
    )
    assert len(report.rows) == 1
    row = report.rows[0]
    assert (row.source_ip, row.count, row.disposition, row.dkim, row.spf) == (
        "2001:db8::1", 12, "quarantine", "fail", "pass",
    )
    assert row.reasons == (Reason("mailing_list", "list"), Reason("other"))
    assert (row.header_from, row.envelope_from, row.envelope_to) == ("news.a.example", "b.example", "c.example")
    assert row.dkim_results == (DkimResult("d.example", "s1", "pass", "good"), DkimResult("e.example", "s2", "fail"))
    assert row.spf_results == (SpfResult("b.example", "mfrom", "softfail"),)
    assert report.messages == 12
    assert report.flaws == ()


# --- forms that are met -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "octets",
    [
        document(),
        document(head='<?xml version="1.0"?>\n<!-- made by hand -->\n'),
        b"\xef\xbb\xbf" + document(),
        document(head='<?xml version="1.0"?><xs:schema xmlns:xs="x">'),
        document().replace(b"<feedback>", b'<feedback xmlns="http://dmarc.org/dmarc-xml/0.1">'),
        document().replace(b"<feedback>", b"<ns2:feedback>").replace(b"</feedback>", b"</ns2:feedback>"),
        document() + b"\n<junk",
        document(head='<?xml version="1.0" encoding="UTF-16"?>').decode().encode("utf-16"),
        document(head='<?xml version="1.0" encoding="iso-8859-1"?>').replace(b"Other", b"\xd6ther"),
        document().replace(b"Other", b"\xd6ther"),
        document().replace(b"<p>reject</p>", b"<p>reject</p>11"),
        document().replace(b"1700000000", b"1700000000.5"),
        document().replace(b"reject", b"Reject").replace(b"pass", b"Pass"),
    ],
)
def test_odd_forms_are_read_as_they_are_meant(octets: bytes) -> None:
    report = read_feedback(octets)
    assert report.policy.p == "reject"
    assert [(row.source_ip, row.count, row.dkim) for row in report.rows] == [("192.0.2.1", 3, "pass")]


@pytest.mark.parametrize(
    ("result", "read"), [("Pass", "pass"), ("hardfail", "fail"), ("unknown", "permerror"), ("<b/>", ""), ("x", "")]
)
def test_words_that_are_no_results_are_mended_or_left_out(result: str, read: str) -> None:
    record = RECORD.replace(
        "<auth_results>", f"<auth_results><spf><domain>b.example</domain><result>{result}</result></spf>"
    )
    assert read_feedback(document(record)).rows[0].spf_results == (SpfResult("b.example", "", read),)


def test_an_empty_reason_is_none() -> None:
    empty = "<reason><type></type><comment></comment></reason>"
    record = RECORD.replace("</policy_evaluated>", f"{empty}</policy_evaluated>")
    assert read_feedback(document(record)).rows[0].reasons == ()


def test_a_report_without_records_says_that_nothing_came() -> None:
    assert read_feedback(document("")).rows == ()


@pytest.mark.parametrize(
    ("old", "new", "flaw"),
    [
        ("192.0.2.1", "192.0.2.999", "A record is about 192.0.2.999, which is no IP address"),
        ("192.0.2.1", "", "A record is about nothing, which is no IP address"),
        ("<count>3", "<count>-3", "A record counts -3 messages, which is no number"),
        ("<count>3", "<count>1e3", "A record counts 1e3 messages, which is no number"),
        ("<count>3", "<count>\u0663", "A record counts \\u0663 messages, which is no number"),
        ("<count>3", "<count>" + "9" * 40, "A record counts " + "9" * 40 + " messages, which is no number"),
    ],
)
def test_a_record_that_makes_no_sense_is_passed_over_and_told(old: str, new: str, flaw: str) -> None:
    bad = RECORD.replace(old, new)
    report = read_feedback(document(bad + RECORD))
    assert len(report.rows) == 1
    assert report.flaws == (flaw,)
    assert refused(document(bad)) == f"The report has no record that could be read: {flaw}"


def test_texts_are_one_line_and_short() -> None:
    octets = document().replace(b"Other", b"Ot\nher&#10;&#133;" + b"x" * 5000)
    name = read_feedback(octets).org_name
    assert name.startswith("Ot her")
    assert len(name) <= 255
    assert name.isprintable()


def test_the_zone_of_an_address_is_not_kept() -> None:
    record = RECORD.replace("192.0.2.1", "fe80::1%&lt;b&gt;")
    assert read_feedback(document(record)).rows[0].source_ip == "fe80::1"


# --- refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "malformed"),
        (b"hello", "malformed"),
        (b"<html><body/></html>", "no feedback element"),
        (b"<feedback>", "malformed"),
        (document()[:-5], "malformed"),
        (document().replace(b"Other", b"Ot\0her"), "malformed in line 1"),
        (document().replace(b"Other", b"<Ot<her"), "malformed in line 1"),
        (document(metadata=""), "which time it is about"),
        (document().replace(b"1700000000", b"yesterday"), "which time it is about"),
        (document().replace(b"1700000000", b"9" * 12), "which time it is about"),
        (document().replace(b"1700000000", b"1800000000"), "ends before it begins"),
        (document(policy=""), "which domain it is about"),
        (document().replace(b"<domain>a.example", b"<domain>a b"), "which domain it is about"),
    ],
)
def test_what_says_nothing_is_refused_with_a_reason(octets: bytes, words: str) -> None:
    assert words in refused(octets)


@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE feedback>",
        '<!DOCTYPE feedback SYSTEM "http://evil.example/x.dtd">',
        '<!DOCTYPE feedback [<!ENTITY a "b">]>',
        '<!DOCTYPE feedback [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE l [<!ENTITY l "l"><!ENTITY m "&l;&l;&l;"><!ENTITY n "&m;&m;&m;">]>',
        '<!DOCTYPE feedback [<!ENTITY % a SYSTEM "http://evil.example/x"> %a;]>',
    ],
)
def test_a_document_type_is_refused_before_anything_in_it_counts(doctype: str) -> None:
    octets = document(head=doctype).replace(b"Other", b"&a;&n;")
    assert refused(octets) == "The XML declares a document type, which is not accepted"


def test_an_entity_without_a_document_type_is_malformed() -> None:
    assert "undefined entity" in refused(document().replace(b"Other", b"&a;"))


def test_depth_is_bounded() -> None:
    assert refused(b"<feedback>" + b"<a>" * 5_000_000) == f"The XML has more than {DEPTH} levels"
    wrapped = b"<x>" * 100_000 + document()
    assert read_feedback(wrapped).rows


def test_the_number_of_records_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "ROWS", 10)
    assert len(read_feedback(document(RECORD * 10)).rows) == 10
    assert refused(document(RECORD * 11)) == "The report has more than 10 records"


def test_results_and_reasons_of_a_record_are_bounded() -> None:
    record = RECORD.replace("<auth_results>", "<auth_results>" + "<dkim><domain>b.example</domain></dkim>" * 5000)
    record = record.replace("</policy_evaluated>", "<reason><type>other</type></reason>" * 5000 + "</policy_evaluated>")
    row = read_feedback(document(record)).rows[0]
    assert len(row.dkim_results) == feedback.RESULTS
    assert len(row.reasons) == feedback.RESULTS


def test_remarks_are_bounded() -> None:
    bad = RECORD.replace("192.0.2.1", "x")
    metadata = METADATA.replace("</email>", "</email>" + "<error>e</error>" * 5000)
    report = read_feedback(document(bad * 500 + RECORD, metadata=metadata))
    assert len(report.flaws) == len(report.errors) == feedback.FLAWS


@pytest.mark.parametrize(
    "piece", ["<a/>", "<record/>", "&lt;", "<!-- -->", "<a b='c'/>", "<?p?>", "<error>x</error>", " "]
)
def test_reading_is_linear(piece: str) -> None:
    with suppress(ReportError):
        read_feedback(document(piece * (1_000_000 // len(piece))))


def test_an_element_with_very_many_attributes_is_read_in_time() -> None:
    attributes = " ".join(f"a{n}='x'" for n in range(200_000))
    with suppress(ReportError):
        read_feedback(document(f"<record {attributes}/>"))


@given(st.binary(max_size=400))
def test_any_octets_are_read_or_refused(octets: bytes) -> None:
    with suppress(ReportError):
        read_feedback(octets)
    with suppress(ReportError):
        read_feedback(document().replace(b"Other", octets))


@given(st.integers(0, 700), st.binary(max_size=20))
def test_damage_anywhere_is_read_or_refused(at: int, noise: bytes) -> None:
    octets = document()
    with suppress(ReportError):
        read_feedback(octets[:at] + noise + octets[at + len(noise) :])
