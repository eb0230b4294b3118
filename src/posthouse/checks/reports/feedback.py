"""Reading aggregate reports: XML as RFC 9990 and RFC 7489 want it, and as generators write it.

    read_feedback(octets)      an AggregateReport, or ReportError with a sentence

The document is not kept: it is read element by element, and only what a report has is looked at, wherever extensions
stand. A document type is refused, so that there are no entities; depth, texts and rows are bounded. Forms that are
met: no namespace or another, a wrapper around `feedback`, results in capitals, octets that are no UTF-8, texts between
elements. A row that makes no sense is passed over and told in `flaws`.
"""

import re
from ipaddress import ip_address
from xml.parsers import expat

from posthouse.checks.reports.aggregate import (
    DISPOSITIONS,
    DKIM_RESULTS,
    SPF_RESULTS,
    AggregateReport,
    Aligned,
    Disposition,
    DkimResult,
    PolicyPublished,
    Reason,
    ReportRow,
    SpfResult,
)
from posthouse.checks.reports.archive import REPORT_OCTETS, ReportError
from posthouse.mail import charsets
from posthouse.mail.address import AddressError, parse_domain
from posthouse.mail.instant import SECOND, Instant
from posthouse.mail.words import one_line

# Bounds of a document: elements inside each other, rows, results and reasons of a row, remarks.
DEPTH = 20
ROWS = 100_000
RESULTS = 100
FLAWS = 20
_TEXT_CHARACTERS = 1000
_NAME_CHARACTERS = 255
_LAST_SECOND = 253_402_300_799
_LARGEST_COUNT = 1 << 53

_find_encoding = re.compile(rb"<\?xml[^>]{0,80}?encoding\s{0,9}=\s{0,9}[\"']([A-Za-z0-9._:-]{1,40})").match
_is_word = re.compile(r"[a-z][a-z0-9_-]{0,31}").fullmatch
_find_seconds = re.compile(r"(\d{1,12})(?:\.\d*)?").fullmatch

# Where the leaves stand that a report has; what repeats within a record is a group of leaves.
_ERROR = "report_metadata/error"
_DOCUMENT = frozenset((
    "report_metadata/org_name", "report_metadata/email", "report_metadata/extra_contact_info",
    "report_metadata/report_id", "report_metadata/date_range/begin", "report_metadata/date_range/end",
    _ERROR, "report_metadata/generator", "policy_published/domain", "policy_published/p",
    "policy_published/sp", "policy_published/np", "policy_published/adkim", "policy_published/aspf",
    "policy_published/fo", "policy_published/testing", "policy_published/discovery_method",
))
_ROW = frozenset((
    "record/row/source_ip", "record/row/count", "record/row/policy_evaluated/disposition",
    "record/row/policy_evaluated/dkim", "record/row/policy_evaluated/spf", "record/identifiers/header_from",
    "record/identifiers/envelope_from", "record/identifiers/envelope_to",
))
_REASON, _DKIM, _SPF = "record/row/policy_evaluated/reason", "record/auth_results/dkim", "record/auth_results/spf"
_GROUPS = frozenset((_REASON, _DKIM, _SPF))
_IN_GROUP = frozenset((
    f"{_REASON}/type", f"{_REASON}/comment",
    f"{_DKIM}/domain", f"{_DKIM}/selector", f"{_DKIM}/result", f"{_DKIM}/human_result",
    f"{_SPF}/domain", f"{_SPF}/scope", f"{_SPF}/result", f"{_SPF}/human_result",
))
_LEAVES = _DOCUMENT | _ROW | _IN_GROUP
# Words that were never results, or of old drafts, and that generators use.
_OLD_WORDS = {"hardfail": "fail", "unknown": "permerror", "error": "temperror"}

Group = dict[str, str]


class _Done(Exception):
    """The end of the feedback element: what follows does not matter."""


def read_feedback(octets: bytes) -> AggregateReport:
    """The report in an XML document. Raises ReportError."""
    if len(octets) > REPORT_OCTETS:
        raise ReportError(f"The report is larger than {REPORT_OCTETS:,} octets")
    document = _Document()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = document.start
    parser.EndElementHandler = document.end
    parser.CharacterDataHandler = document.text
    parser.StartDoctypeDeclHandler = document.doctype
    try:
        parser.Parse(_decoded(octets), True)
    except _Done:
        return document.report()
    except expat.ExpatError as error:
        words = expat.ErrorString(error.code)
        raise ReportError(f"The XML is malformed in line {error.lineno:,}: {words}") from None
    raise ReportError("The XML is no DMARC report: it has no feedback element")


_WHITE = " \t\r\n"


def _decoded(octets: bytes) -> str:
    """The document as text, whatever octets stand in it."""
    # Some generators write a blank line first, which XML does not allow in front of its declaration.
    octets = octets.lstrip(_WHITE.encode())
    if octets.startswith((b"\xff\xfe", b"\xfe\xff")):
        return octets.decode("utf-16", "replace").lstrip(_WHITE)
    try:
        return octets.decode("utf-8-sig").lstrip(_WHITE)
    except UnicodeDecodeError:
        declared = _find_encoding(octets)
        label = declared[1].decode("ascii").lower() if declared else "utf-8"
        return octets.decode("utf-8", "replace") if label in ("utf-8", "utf8") else charsets.decode(octets, label)


class _Document:
    """What the parser tells, gathered. `_paths` are those of the elements that are open, within `feedback`."""

    __slots__ = ("_errors", "_fields", "_flaws", "_group", "_groups", "_inside", "_paths", "_row", "_rows", "_texts")

    def __init__(self) -> None:
        self._inside = False
        self._paths: list[str] = []
        self._texts: list[str] = []
        self._fields: Group = {}
        self._errors: list[str] = []
        self._row: Group = {}
        self._groups: dict[str, list[Group]] = {}
        self._group: Group = {}
        self._rows: list[ReportRow] = []
        self._flaws: list[str] = []

    def doctype(self, *_: object) -> None:
        raise ReportError("The XML declares a document type, which is not accepted")

    def start(self, tag: str, _: object) -> None:
        name = tag.rpartition(":")[2]
        self._texts.clear()
        if not self._inside:
            self._inside = name == "feedback"
            return
        path = f"{self._paths[-1]}/{name}" if self._paths else name
        self._paths.append(path)
        if len(self._paths) > DEPTH:
            raise ReportError(f"The XML has more than {DEPTH} levels")
        if path == "record":
            self._row, self._groups = {}, {}
        elif path in _GROUPS:
            self._group = {}
            found = self._groups.setdefault(path, [])
            if len(found) < RESULTS:
                found.append(self._group)

    def text(self, text: str) -> None:
        if self._inside and len(self._texts) < _TEXT_CHARACTERS:
            self._texts.append(text[:_TEXT_CHARACTERS])

    def end(self, _: str) -> None:
        if not self._inside:
            return
        if not self._paths:
            raise _Done
        path = self._paths.pop()
        if path == "record":
            self._finish_row()
        elif path in _LEAVES:
            self._keep(path, one_line("".join(self._texts)[:_TEXT_CHARACTERS]).strip())
        self._texts.clear()

    def _keep(self, path: str, text: str) -> None:
        """Of several elements in one place the first counts."""
        if path in _IN_GROUP:
            self._group.setdefault(path.rpartition("/")[2], text)
        elif path in _ROW:
            self._row.setdefault(path, text)
        elif path != _ERROR:
            self._fields.setdefault(path, text)
        elif text and len(self._errors) < FLAWS:
            self._errors.append(text)

    def _finish_row(self) -> None:
        if len(self._rows) >= ROWS:
            raise ReportError(f"The report has more than {ROWS:,} records")
        row = _row(self._row, self._groups)
        if isinstance(row, ReportRow):
            self._rows.append(row)
        elif len(self._flaws) < FLAWS:
            self._flaws.append(row)

    def report(self) -> AggregateReport:
        fields = self._fields
        if self._flaws and not self._rows:
            raise ReportError(f"The report has no record that could be read: {self._flaws[0]}")
        begin = _instant(fields.get("report_metadata/date_range/begin", ""))
        end = _instant(fields.get("report_metadata/date_range/end", ""))
        if end < begin:
            raise ReportError("The report ends before it begins")
        return AggregateReport(
            org_name=_short(fields, "report_metadata/org_name"),
            email=_short(fields, "report_metadata/email"),
            report_id=_short(fields, "report_metadata/report_id"),
            begin=begin,
            end=end,
            policy=_policy(fields),
            rows=tuple(self._rows),
            extra_contact_info=_short(fields, "report_metadata/extra_contact_info"),
            errors=tuple(self._errors),
            generator=_short(fields, "report_metadata/generator"),
            flaws=tuple(self._flaws),
        )


def _instant(text: str) -> Instant:
    match = _find_seconds(text)
    if match is None or int(match[1]) > _LAST_SECOND:
        raise ReportError("The report does not say which time it is about")
    return int(match[1]) * SECOND


def _policy(fields: Group) -> PolicyPublished:
    def word(name: str) -> str:
        text = fields.get(f"policy_published/{name}", "").lower()
        return text if _is_word(text) else ""

    try:
        domain = parse_domain(fields.get("policy_published/domain", "").removesuffix("."))
    except AddressError:
        raise ReportError("The report does not say which domain it is about") from None
    return PolicyPublished(
        domain=domain,
        p=word("p") or "none",
        sp=word("sp"),
        np=word("np"),
        adkim=word("adkim") or "r",
        aspf=word("aspf") or "r",
        fo=_short(fields, "policy_published/fo"),
        testing=word("testing") == "y",
        discovery=word("discovery_method"),
    )


def _row(fields: Group, groups: dict[str, list[Group]]) -> ReportRow | str:
    """The row, or a sentence about why there is none."""
    source = fields.get("record/row/source_ip", "")
    try:
        # The zone of an IPv6 address may be any text.
        source_ip = str(ip_address(source.partition("%")[0]))
    except ValueError:
        return f"A record is about {_shown(source)}, which is no IP address"
    number = fields.get("record/row/count", "")
    if not (number.isascii() and number.isdigit()) or len(number) > 16 or int(number) > _LARGEST_COUNT:
        return f"A record counts {_shown(number)} messages, which is no number"
    return ReportRow(
        source_ip=source_ip,
        disposition=_disposition(fields.get("record/row/policy_evaluated/disposition", "")),
        dkim=_aligned(fields.get("record/row/policy_evaluated/dkim", "")),
        spf=_aligned(fields.get("record/row/policy_evaluated/spf", "")),
        header_from=_domain(fields, "record/identifiers/header_from"),
        envelope_from=_domain(fields, "record/identifiers/envelope_from"),
        envelope_to=_domain(fields, "record/identifiers/envelope_to"),
        reasons=tuple(
            Reason(_word(group.get("type", "")), group.get("comment", ""))
            for group in groups.get(_REASON, ())
            if any(group.values())
        ),
        dkim_results=tuple(
            DkimResult(
                _domain(group, "domain"),
                _domain(group, "selector"),
                _result(group.get("result", ""), DKIM_RESULTS),
                group.get("human_result", ""),
            )
            for group in groups.get(_DKIM, ())
        ),
        spf_results=tuple(
            SpfResult(
                _domain(group, "domain"),
                _word(group.get("scope", "")),
                _result(group.get("result", ""), SPF_RESULTS),
                group.get("human_result", ""),
            )
            for group in groups.get(_SPF, ())
        ),
        count=int(number),
    )


def _disposition(text: str) -> Disposition:
    return DISPOSITIONS.get(text.lower(), "none")


def _aligned(text: str) -> Aligned:
    return "pass" if text.lower() == "pass" else "fail"


def _result(text: str, known: frozenset[str]) -> str:
    word = text.lower()
    word = _OLD_WORDS.get(word, word)
    return word if word in known else ""


def _word(text: str) -> str:
    word = text.lower()
    return word if _is_word(word) else ""


def _domain(fields: Group, name: str) -> str:
    return _short(fields, name).lower().removesuffix(".")


def _short(fields: Group, name: str) -> str:
    return fields.get(name, "")[:_NAME_CHARACTERS]


def _shown(text: str) -> str:
    return ascii(text[:60])[1:-1] or "nothing"
