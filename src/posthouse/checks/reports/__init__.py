"""DMARC reports, both ways (RFC 9990, RFC 9991): reading those of others, counting and writing our own.

`archive`, `feedback`, `failure`, `tls` and `reading` read; `collection` counts what comes in as rows of `aggregate`,
`destinations` asks who may have reports, `writing` and `notice` write them.
"""

from posthouse.checks.reports.aggregate import (
    AggregateCounter,
    AggregateReport,
    DkimResult,
    PolicyPublished,
    Reason,
    ReportRow,
    SpfResult,
)
from posthouse.checks.reports.archive import ReportError
from posthouse.checks.reports.collection import observe
from posthouse.checks.reports.destinations import Permission, permit
from posthouse.checks.reports.failure import FailureReport
from posthouse.checks.reports.notice import Incident, wanted, write_failure
from posthouse.checks.reports.reading import Report, read
from posthouse.checks.reports.tls import TlsReport
from posthouse.checks.reports.writing import batches, file_name, mail_aggregate, report_id, write_aggregate

__all__ = [
    "AggregateCounter", "AggregateReport", "DkimResult", "FailureReport", "Incident", "Permission", "PolicyPublished",
    "Reason", "Report", "ReportError", "ReportRow", "SpfResult", "TlsReport", "batches", "file_name", "mail_aggregate",
    "observe", "permit", "read", "report_id", "wanted", "write_aggregate", "write_failure",
]
