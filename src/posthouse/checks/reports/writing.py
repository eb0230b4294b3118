"""Aggregate reports written: the XML, its gzip, and the mail that carries it (RFC 9990).

    report = AggregateReport(org_name=…, report_id=report_id("a.example", begin, "mail.posthouse.test"), rows=…, …)
    octets = mail_aggregate(report, "mail.posthouse.test", author, [Address.parse("dmarc@a.example")], now)

What is written can be read within the bounds that this house sets others (`archive`). A sender has to see to it that
the mail is aligned with its author, so that nobody has to doubt the report.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from posthouse.checks.reports.aggregate import DISPOSITIONS, OVERRIDES, AggregateReport, PolicyPublished, ReportRow
from posthouse.checks.reports.archive import EXPANSION, REPORT_OCTETS, ReportError
from posthouse.mail.address import Address
from posthouse.mail.compose import Body, Multipart, compose, text_body
from posthouse.mail.instant import SECOND, Instant, rfc3339, rfc5322_date

NAMESPACE = "urn:ietf:params:xml:ns:dmarc-2.0"
# What one report holds at most: rows, and octets of them.
ROWS = 10_000
BATCH_OCTETS = 10_000_000

# What XML 1.0 cannot hold (§2.2).
_unfit = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]").sub
_is_unique = re.compile(r"[A-Za-z0-9]+").fullmatch
_is_report_id = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:[.@][A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*").fullmatch

Tree = tuple[str, "str | Sequence[Tree]"]


def report_id(policy_domain: str, begin: Instant, submitter: str, number: int = 0) -> str:
    """An id that is unique among our reports about that domain; `number` tells reports of one period apart."""
    return f"{begin // SECOND}{f'.{number}' if number else ''}-{policy_domain}@{submitter}"


def batches(rows: Sequence[ReportRow]) -> Iterator[tuple[ReportRow, ...]]:
    """The rows, as many as one report may hold at a time; those that tell of most messages first."""
    batch: list[ReportRow] = []
    room = BATCH_OCTETS
    for row in sorted(rows, key=lambda row: -row.count):
        size = len(_record(row).encode())
        if batch and (len(batch) == ROWS or size > room):
            yield tuple(batch)
            batch, room = [], BATCH_OCTETS
        batch.append(row)
        room -= size
    if batch:
        yield tuple(batch)


def write_aggregate(report: AggregateReport) -> bytes:
    """The XML document. Raises ReportError where it has no row, or would be larger than anybody should take."""
    if not report.rows:
        raise ReportError("A report without a row says nothing")
    pieces = ['<?xml version="1.0" encoding="UTF-8"?>\n', f'<feedback xmlns="{NAMESPACE}">\n']
    _render(("version", "1.0"), pieces, 1)
    _render(("report_metadata", _metadata(report)), pieces, 1)
    _render(("policy_published", _policy(report.policy)), pieces, 1)
    pieces.extend(map(_record, report.rows))
    pieces.append("</feedback>\n")
    octets = "".join(pieces).encode()
    if len(octets) > REPORT_OCTETS:
        raise ReportError(f"The report would be larger than {REPORT_OCTETS:,} octets")
    return octets


def compress(octets: bytes) -> bytes:
    """gzip (RFC 1952), the same for the same octets, and never denser than what is taken here (`EXPANSION`)."""
    packed = _gzip(octets, zlib.Z_DEFAULT_STRATEGY)
    # Rows that are much alike would look like a bomb; without the search for repetitions they do not.
    return packed if len(octets) <= EXPANSION * len(packed) else _gzip(octets, zlib.Z_HUFFMAN_ONLY)


def file_name(report: AggregateReport, submitter: str, unique_id: str = "") -> str:
    """The name of the attachment; `unique_id` of letters and digits tells reports of one period apart."""
    if unique_id and _is_unique(unique_id) is None:
        raise ReportError("The unique id has to be letters and digits")
    parts = [submitter, report.policy.domain, str(report.begin // SECOND), str(report.end // SECOND)]
    return "!".join([*parts, unique_id] if unique_id else parts) + ".xml.gz"


def mail_aggregate(
    report: AggregateReport, submitter: str, author: Address, to: Sequence[Address], now: Instant, unique_id: str = ""
) -> bytes:
    """The whole mail. `submitter` is our domain name in Subject and file name, `author` stands in From.

    Raises ReportError as `write_aggregate` does, and for a report id that could not stand in Subject.
    """
    if _is_report_id(report.report_id) is None:
        raise ReportError("The report id has to be a dot-atom, or two with an @ between them")
    name = file_name(report, submitter, unique_id)
    domain = report.policy.domain
    text = (
        f"This is a DMARC aggregate report by {submitter} about mail that claims to come from {domain},\n"
        f"from {rfc3339(report.begin)} to {rfc3339(report.end)}: {report.messages:,} messages.\n\n"
        f"The record at _dmarc.{domain} asks for it (rua). The report itself is attached: {name}\n"
    )
    fields = [
        ("From", str(author)),
        ("To", ", ".join(map(str, to))),
        # RFC 9990, dmarc-subject.
        ("Subject", f"Report Domain: {domain} Submitter: {submitter} Report-ID: <{report.report_id}>"),
        ("Date", rfc5322_date(now)),
        ("Message-ID", _message_id(report, submitter)),
        ("Auto-Submitted", "auto-generated"),
    ]
    attachment = Body(compress(write_aggregate(report)), "application/gzip", filename=name)
    boundary = re.sub(r"[^A-Za-z0-9.-]", "-", report.report_id)[:50]
    return compose(fields, Multipart("mixed", [text_body(text), attachment]), boundary=f"report-{boundary}")


def _message_id(report: AggregateReport, submitter: str) -> str:
    """The report's own id, where it has the form of one: whoever gets it twice sees that (RFC 9990, "Email")."""
    return f"<{report.report_id}>" if "@" in report.report_id else f"<{report.report_id}@{submitter}>"


def _gzip(octets: bytes, strategy: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS, 9, strategy)
    return packer.compress(octets) + packer.flush()


def _metadata(report: AggregateReport) -> list[Tree]:
    period: list[Tree] = [("begin", str(report.begin // SECOND)), ("end", str(report.end // SECOND))]
    return [
        ("org_name", report.org_name),
        ("email", report.email),
        *_optional("extra_contact_info", report.extra_contact_info),
        ("report_id", report.report_id),
        ("date_range", period),
        # One element for all of them: RFC 9990 has at most one.
        *_optional("error", "; ".join(report.errors)),
        *_optional("generator", report.generator),
    ]


def _policy(policy: PolicyPublished) -> list[Tree]:
    return [
        ("domain", policy.domain),
        *_optional("discovery_method", policy.discovery),
        ("p", policy.p),
        *_optional("sp", policy.sp),
        *_optional("np", policy.np),
        *_optional("fo", policy.fo),
        ("adkim", policy.adkim),
        ("aspf", policy.aspf),
        ("testing", "y" if policy.testing else "n"),
    ]


def _record(row: ReportRow) -> str:
    if row.disposition not in DISPOSITIONS:
        raise ReportError("A row has a disposition that a report cannot tell")
    evaluated: list[Tree] = [("disposition", row.disposition), ("dkim", row.dkim), ("spf", row.spf)]
    for kind, comment in row.reasons:
        told: list[Tree] = [("type", kind if kind in OVERRIDES else "other"), *_optional("comment", comment)]
        evaluated.append(("reason", told))
    identifiers: list[Tree] = [
        ("header_from", row.header_from),
        ("envelope_from", row.envelope_from),
        *_optional("envelope_to", row.envelope_to),
    ]
    results: list[Tree] = []
    for domain, selector, result, comment in row.dkim_results:
        signed: list[Tree] = [("domain", domain), ("selector", selector), ("result", result)]
        results.append(("dkim", [*signed, *_optional("human_result", comment)]))
    # RFC 9990: one result of SPF, for MAIL FROM.
    for domain, _, result, comment in row.spf_results[:1]:
        asked: list[Tree] = [("domain", domain), ("scope", "mfrom"), ("result", result)]
        results.append(("spf", [*asked, *_optional("human_result", comment)]))
    counted: list[Tree] = [("source_ip", row.source_ip), ("count", str(row.count)), ("policy_evaluated", evaluated)]
    pieces: list[str] = []
    _render(("record", [("row", counted), ("identifiers", identifiers), ("auth_results", results)]), pieces, 1)
    return "".join(pieces)


def _optional(name: str, text: str) -> list[Tree]:
    return [(name, text)] if text else []


def _render(element: Tree, pieces: list[str], level: int) -> None:
    name, content = element
    indent = "  " * level
    if isinstance(content, str):
        pieces.append(f"{indent}<{name}>{escape(_unfit('?', content))}</{name}>\n")
        return
    pieces.append(f"{indent}<{name}>\n")
    for child in content:
        _render(child, pieces, level + 1)
    pieces.append(f"{indent}</{name}>\n")
