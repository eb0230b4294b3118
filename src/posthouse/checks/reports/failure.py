"""Reading failure reports: one message in a domain's name that did not pass, told of at once (RFC 9991, RFC 6591).

    read_failure(message)       a FailureReport, or ReportError with a sentence

They come as multipart/report with a message/feedback-report part (RFC 5965) and what is left of the message itself.
Exim's filter sends plain text instead, which is read as well. All of it is the sender's word: `From` in the reported
message is what somebody forged, perhaps.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address

from posthouse.checks.reports.archive import ReportError
from posthouse.mail.authentication_results import AuthenticationResultsError, Result, parse_results
from posthouse.mail.dates import parse_date
from posthouse.mail.headers import Header, scan_header
from posthouse.mail.instant import Instant
from posthouse.mail.message import Message, Part
from posthouse.mail.words import one_line

# What is beyond is not read: fields about the report, and the header of the message reported.
FIELDS_OCTETS = 64_000
REPEATED = 50
_TEXT_CHARACTERS = 500
_LARGEST_COUNT = 0xFFFFFFFF

_find_method = re.compile(r"[A-Za-z0-9-]+").findall
_EXIM_SAYS = "has failed the published DMARC policy for your domain"
_find_exim = re.compile(
    r"^[ \t]*(Sender Domain|Sender IP Address|Received date|SPF Alignment|DKIM Alignment):(.*)$", re.MULTILINE
).findall
_find_exim_header = re.compile(r"^-{4,} This is a copy of the headers[^\n]*\n\s*", re.MULTILINE).search


@dataclass(frozen=True, slots=True)
class FailureReport:
    """One report; "" and None where it does not tell.

    `auth_failure` is "dmarc", "spf", "signature", "bodyhash", "revoked" or "adsp"; `failed` names the mechanisms that
    had no aligned identity ("dkim", "spf"). `header_from`, `subject` and `message_id` are those of the message that
    was reported; `results` is what the reporter says to have found.
    """

    auth_failure: str
    reported_domain: str
    source_ip: str
    arrival: Instant | None
    mail_from: str
    rcpt_to: tuple[str, ...]
    failed: tuple[str, ...]
    delivery_result: str
    results: tuple[Result, ...]
    dkim_domain: str
    dkim_selector: str
    dkim_identity: str
    spf_records: tuple[str, ...]
    incidents: int
    generator: str
    header_from: str
    subject: str
    message_id: str


def feedback_part(parts: list[Part]) -> Part | None:
    """The part that makes a message a feedback report."""
    return next((part for part in parts if part.content_type == ("message", "feedback-report")), None)


def read_failure(parts: list[Part]) -> FailureReport:
    """The report in the parts of a message, of which one is a message/feedback-report. Raises ReportError."""
    part = feedback_part(parts)
    if part is None:
        raise ReportError("The message has no feedback report in it")
    fields = scan_header(part.decoded(FIELDS_OCTETS).lstrip(b"\r\n") + b"\r\n\r\n")
    kind = _text(fields, "feedback-type").lower()
    if kind != "auth-failure":
        raise ReportError(f"The feedback report is about {kind[:40]!a}, not about authentication")
    original = _original(parts)
    return FailureReport(
        auth_failure=_word(fields, "auth-failure"),
        reported_domain=_text(fields, "reported-domain").lower().removesuffix("."),
        source_ip=_ip(_text(fields, "source-ip")),
        arrival=_arrival(fields),
        mail_from=_text(fields, "original-mail-from"),
        rcpt_to=_texts(fields, "original-rcpt-to"),
        failed=_failed(fields),
        delivery_result=_word(fields, "delivery-result"),
        results=_results(fields),
        dkim_domain=_text(fields, "dkim-domain").lower(),
        dkim_selector=_text(fields, "dkim-selector"),
        dkim_identity=_text(fields, "dkim-identity"),
        spf_records=_texts(fields, "spf-dns"),
        incidents=_incidents(fields),
        generator=_text(fields, "user-agent"),
        header_from=_text(original, "from"),
        subject=_text(original, "subject"),
        message_id=_text(original, "message-id"),
    )


def read_exim(text: str) -> FailureReport | None:
    """The report in the plain text that Exim sends; None for any other text."""
    if _EXIM_SAYS not in text:
        return None
    told: dict[str, str] = {name: one_line(value).strip()[:_TEXT_CHARACTERS] for name, value in _find_exim(text)}
    if "Sender Domain" not in told:
        return None
    copy = _find_exim_header(text)
    original = scan_header(text[copy.end() : copy.end() + FIELDS_OCTETS].encode("utf-8", "replace") if copy else b"")
    date = parse_date(told.get("Received date", "").encode("ascii", "replace"))
    aligned = {"spf": told.get("SPF Alignment", ""), "dkim": told.get("DKIM Alignment", "")}
    return FailureReport(
        auth_failure="dmarc",
        reported_domain=told["Sender Domain"].lower(),
        source_ip=_ip(told.get("Sender IP Address", "")),
        arrival=date.at if date is not None else None,
        mail_from="",
        rcpt_to=(),
        failed=tuple(name for name, word in sorted(aligned.items()) if word.lower() == "no"),
        delivery_result="",
        results=_results(original),
        dkim_domain="",
        dkim_selector="",
        dkim_identity="",
        spf_records=(),
        incidents=1,
        generator="Exim",
        header_from=_text(original, "from"),
        subject=_text(original, "subject"),
        message_id=_text(original, "message-id"),
    )


def _original(parts: list[Part]) -> Header:
    """The header of the message that was reported; an empty one where it is missing."""
    for part in parts:
        if part.message is not None:
            return part.message.header
        if part.content_type == ("text", "rfc822-headers"):
            return scan_header(part.decoded(FIELDS_OCTETS) + b"\r\n\r\n")
        if part.content_type == ("message", "rfc822"):
            return Message.parse(part.decoded(FIELDS_OCTETS)).header
    return scan_header(b"")


def _text(fields: Header, name: str) -> str:
    return fields.text(name).strip()[:_TEXT_CHARACTERS]


def _texts(fields: Header, name: str) -> tuple[str, ...]:
    return tuple(field.text.strip()[:_TEXT_CHARACTERS] for field in fields.all(name)[:REPEATED])


def _word(fields: Header, name: str) -> str:
    """The first word of a field, without a comment behind it."""
    words = _text(fields, name).lower().split(None, 1)
    return words[0].rstrip(";") if words else ""


def _ip(text: str) -> str:
    """The address without brackets, tag and comment; "" for what is none."""
    word = text.split(None, 1)[0].strip("[]") if text else ""
    try:
        return str(ip_address(word[5:] if word[:5].lower() == "ipv6:" else word.partition("%")[0]))
    except ValueError:
        return ""


def _arrival(fields: Header) -> Instant | None:
    # RFC 5965 §3.2: the historic name means the same.
    field = fields.get("arrival-date") or fields.get("received-date")
    date = parse_date(field.unfolded) if field is not None else None
    return date.at if date is not None else None


def _failed(fields: Header) -> tuple[str, ...]:
    words = [word.lower() for word in _find_method(_text(fields, "identity-alignment"))]
    return tuple(name for name in ("dkim", "spf") if name in words)


def _incidents(fields: Header) -> int:
    word = _text(fields, "incidents")
    return min(int(word), _LARGEST_COUNT) if word.isascii() and word.isdigit() and len(word) < 12 else 1


def _results(fields: Header) -> tuple[Result, ...]:
    results: list[Result] = []
    for field in fields.all("authentication-results")[:REPEATED]:
        try:
            results.extend(parse_results(field.value).results)
        except AuthenticationResultsError:
            continue
    return tuple(results)
