"""Telling from its header alone that a mail carries a report: cheap enough to be asked about every mail.

    is_report(header)       True for what asks to be read as a DMARC or TLS report, whether it is one or not
"""

import re

from posthouse.mail.headers import Header

# RFC 9990, dmarc-subject; prefixes are put in front of it by lists and filters.
_find_subject = re.compile(rb"\bReport\s+Domain\s*:.{1,255}\bSubmitter\s*:", re.IGNORECASE | re.DOTALL).search
# RFC 6522 §3, RFC 8460 §6.4. The parameters are few and short where a program wrote them.
_is_carrier = re.compile(
    rb"\s*(?:multipart/report\b.{0,500}\breport-type\s*=\s*\"?(?:feedback-report|tlsrpt)\b"
    rb"|application/(?:tlsrpt\+(?:gzip|json)|gzip|x-gzip|zip|x-zip-compressed)\b)",
    re.IGNORECASE | re.DOTALL,
).match
# Of each field no more is looked at.
_FIELD_OCTETS = 1000


def is_report(header: Header) -> bool:
    """By Subject, media type, or the fields of RFC 8460 §5.3."""
    if header.get("tls-report-domain") is not None:
        return True
    subject = header.get("subject")
    if subject is not None and _find_subject(subject.value[:_FIELD_OCTETS]):
        return True
    content_type = header.get("content-type")
    return content_type is not None and _is_carrier(content_type.value[:_FIELD_OCTETS]) is not None
