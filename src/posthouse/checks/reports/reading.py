"""Reading whatever arrives at an address for reports: aggregate, failure and TLS reports, in mails or as files.

    report = read(message)          or read(octets): a mail, XML, JSON, gzip or zip
    match report:
        case AggregateReport(): …
        case FailureReport(): …
        case TlsReport(): …

ReportError tells in a sentence why something is none. Everything is taken as hostile: bounded, linear, and nothing in
it is believed to be true.
"""

from collections.abc import Iterator
from itertools import islice

from posthouse.checks.reports.aggregate import AggregateReport
from posthouse.checks.reports.archive import REPORT_OCTETS, ReportError, is_archive, unpack
from posthouse.checks.reports.failure import FailureReport, feedback_part, read_exim, read_failure
from posthouse.checks.reports.feedback import read_feedback
from posthouse.checks.reports.tls import TlsReport, read_tls
from posthouse.mail.message import Message, Part

Report = AggregateReport | FailureReport | TlsReport

# Attachments of one mail that are tried, and octets of a text that could be a report.
ATTACHMENTS = 10
_TEXT_OCTETS = 100_000
_LOOK = 100

_SUBTYPES = frozenset((
    "gzip", "x-gzip", "gzip-compressed", "x-gunzip", "zip", "x-zip", "x-zip-compressed", "xml",
    "tlsrpt+gzip", "tlsrpt+json", "json",
))
_NAMES = (".xml", ".xml.gz", ".gz", ".zip", ".json", ".json.gz")


def read(source: Message | bytes) -> Report:
    """The report in a mail, or in a file that was taken out of one. Raises ReportError."""
    if isinstance(source, bytes):
        if is_archive(source) or _begins_document(source):
            return _read_file(source)
        source = Message.parse(source)
    own = list(_outer(source.root))
    if feedback_part(own) is not None:
        return read_failure(own)
    first: ReportError | None = None
    for part in _candidates(own, source.root):
        octets = part.decoded(REPORT_OCTETS + 1)
        try:
            return _read_file(octets)
        except ReportError as error:
            first = first or error
    if first is not None:
        raise first
    for part in own:
        if part.content_type == ("text", "plain"):
            report = read_exim(part.text(_TEXT_OCTETS))
            if report is not None:
                return report
    raise ReportError("The message has no report in it")


def _read_file(octets: bytes) -> AggregateReport | TlsReport:
    content = unpack(octets)
    if content[:_LOOK].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return read_tls(content)
    return read_feedback(content)


def _begins_document(octets: bytes) -> bool:
    """Whether the octets begin as XML or JSON does; no header of a mail does."""
    head = octets[:_LOOK].removeprefix(b"\xef\xbb\xbf").lstrip()
    return head.startswith((b"<", b"{", b"\xff\xfe<", b"\xfe\xff\0<"))


def _outer(root: Part) -> Iterator[Part]:
    """The parts of a message in their order, without those of messages inside it."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        yield part
        if part.message is None:
            waiting.extend(reversed(part.parts))


def _candidates(own: list[Part], root: Part) -> Iterator[Part]:
    """What may be a report: attachments of the message itself, then those of messages that were forwarded in it."""
    known = {id(part) for part in own}
    everything = [*own, *(part for part in root.walk() if id(part) not in known)]
    yield from islice(filter(_may_be_report, everything), ATTACHMENTS)


def _may_be_report(part: Part) -> bool:
    if part.parts or part.message is not None:
        return False
    if part.content_type[1] in _SUBTYPES or part.filename.lower().endswith(_NAMES):
        return True
    head = part.decoded(_LOOK)
    return is_archive(head) or head.lstrip().startswith((b"<?xml", b"<feedback"))
