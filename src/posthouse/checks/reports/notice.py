"""Failure reports written: telling a domain of one message in its name that did not pass (RFC 9991, RFC 6591).

    kind = wanted(incident, header)
    if kind: octets = write_failure(incident, header, kind, submitter="mail.posthouse.test", author=…, to=…, now=…,
                                    report_id=…, secret=…)

These tell a stranger about somebody's mail, so they are sent only where that was switched on, and say little unless
told otherwise: of the message they hold a few fields of its header, without subject, recipients, display names and
local parts, and never its body. A local part becomes a token, the same for the same one (RFC 6590), so that the owner
can see that two reports are about one sender. How many may be sent in an hour is for the sender of them to limit.
"""

from base64 import b32encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import digest
from typing import Literal

from posthouse.checks.dkim.signature import Signature
from posthouse.checks.dmarc import Dmarc
from posthouse.checks.evidence import ANSWER_CHARACTERS
from posthouse.checks.spf.evaluation import Spf
from posthouse.mail.address import Address
from posthouse.mail.authentication_results import Property, Result, format_results
from posthouse.mail.compose import Body, Multipart, compose, format_field, text_body
from posthouse.mail.headers import Field, Header, Octets
from posthouse.mail.instant import Instant, rfc5322_date
from posthouse.mail.mailboxes import mailboxes, parse_address_list
from posthouse.mail.tokens import unfold

Kind = Literal["dmarc", "signature", "spf", ""]
Delivery = Literal["delivered", "spam", "policy", "reject", "other"]

# Of the header of the message no more is told.
HEADER_OCTETS = 64_000

# What a redacted report keeps of a header: enough to find the message and to see what broke.
_KEPT = frozenset(("from", "date", "message-id", "mime-version", "dkim-signature"))
# RFC 6376 §3.5, without z=, which holds copies of fields. Tags of others tell of recipients.
_TAGS = frozenset((b"v", b"a", b"b", b"bh", b"c", b"d", b"h", b"i", b"l", b"q", b"s", b"t", b"x"))
_TOKEN_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class Incident:
    """One message that came in: what was found, from where and when, and what was done with it."""

    found: Dmarc
    spf: Spf | None
    signatures: Sequence[Signature]
    ip: str
    mail_from: Address | None
    arrival: Instant
    delivery: Delivery


def wanted(incident: Incident, header: Header) -> Kind:
    """Which failure the domain wants to be told of (RFC 9989 §4.7 fo), "" for none.

    Reports and other automatic mail are never told of, lest two machines write to each other for ever.
    """
    found = incident.found
    if not found.ruf or found.record is None or found.result not in ("pass", "fail") or _is_automatic(header):
        return ""
    options = found.record.fo
    if ("1" in options and not (found.aligned_spf and found.aligned_dkim)) or (
        "0" in options and found.result == "fail"
    ):
        return "dmarc"
    if "d" in options and _failed(incident) is not None:
        return "signature"
    if "s" in options and incident.spf is not None and incident.spf.result in ("fail", "softfail"):
        return "spf"
    return ""


def write_failure(
    incident: Incident,
    octets: Octets,
    header: Header,
    kind: Kind,
    *,
    submitter: str,
    author: Address,
    to: Sequence[Address],
    now: Instant,
    report_id: str,
    secret: bytes,
    generator: str = "Posthouse",
    redact: bool = True,
) -> bytes:
    """The whole mail about the message whose `header` stands in `octets`.

    `submitter` is our domain name, `report_id` a token for Message-ID and boundary, `secret` the key of the tokens for
    local parts. Without `redact` the whole header is told (up to HEADER_OCTETS) and addresses as they are.
    """
    redaction = _Redaction(secret) if redact else None
    domain = incident.found.author_domain
    text = (
        f"A message in the name of {domain} came to {submitter} from {incident.ip}\n"
        f"on {rfc5322_date(incident.arrival)}, and was not authenticated:\n\n"
        f"{incident.found.verdict.reason}.\n\n"
        f"The record at _dmarc.{incident.found.policy_domain} asks to be told so (ruf)."
        f"{' What could tell of people was left out.' if redact else ''}\n"
    )
    subject = f"Failure report about mail in the name of {domain} from {incident.ip}"
    if not redact:
        # RFC 5965 §2 f
        subject = "FW: " + "".join(c if c.isprintable() else " " for c in header.text("subject")[:200])
    fields = [
        ("From", str(author)),
        ("To", ", ".join(map(str, to))),
        ("Subject", subject),
        ("Date", rfc5322_date(now)),
        ("Message-ID", f"<{report_id}@{submitter}>"),
        ("Auto-Submitted", "auto-generated"),
    ]
    about = Body(_about(incident, kind, submitter, generator, redaction), "message/feedback-report")
    original = Body(_original(octets, header, redaction), "text/rfc822-headers")
    parts = [text_body(text), about, original]
    return compose(fields, Multipart("report", parts, {"report-type": "feedback-report"}), boundary=report_id)


def _about(
    incident: Incident, kind: Kind, submitter: str, generator: str, redaction: "_Redaction | None"
) -> bytes:
    """The fields of message/feedback-report (RFC 5965 §3, RFC 6591 §3, RFC 9991 "Reporting Format Update")."""
    found = incident.found
    missing = [name for name, spoke in (("dkim", found.aligned_dkim), ("spf", found.aligned_spf)) if not spoke]
    fields = [
        ("Feedback-Type", "auth-failure"),
        ("User-Agent", generator),
        ("Version", "1"),
        ("Auth-Failure", kind or "dmarc"),
        ("Identity-Alignment", ", ".join(missing) or "none"),
        *_signature_fields(incident, redaction),
        *_spf_fields(incident),
        ("Original-Mail-From", _path(incident.mail_from, redaction)),
        ("Arrival-Date", rfc5322_date(incident.arrival)),
        ("Reporting-MTA", f"dns; {submitter}"),
        ("Source-IP", f"IPv6:{incident.ip}" if ":" in incident.ip else incident.ip),
        ("Reported-Domain", found.author_domain),
        ("Delivery-Result", incident.delivery),
    ]
    lines = "".join(format_field(name, value) for name, value in fields)
    return lines.encode() + format_results(submitter, [_result(incident, kind)])


def _result(incident: Incident, kind: Kind) -> Result:
    """The one result that the report is about (RFC 6591 §3.1)."""
    found = incident.found
    failed = _failed(incident)
    if kind == "signature" and failed is not None:
        named = (Property("header", "d", failed.domain), Property("header", "s", failed.selector))
        return Result("dkim", failed.result, properties=named)
    if kind == "spf" and incident.spf is not None:
        place = "mailfrom" if incident.spf.scope == "mailfrom" else "helo"
        return Result("spf", incident.spf.result, properties=(Property("smtp", place, incident.spf.domain),))
    properties = (Property("header", "from", found.author_domain), Property("policy", "dmarc", found.policy))
    return Result("dmarc", found.result, properties=properties)


def _failed(incident: Incident) -> Signature | None:
    """The signature that failed: one of the author's own domain, if any did."""
    failed = [found for found in incident.signatures if found.result != "pass" and found.domain and found.selector]
    own = incident.found.author_domain
    return next((found for found in failed if found.domain == own), failed[0] if failed else None)


def _signature_fields(incident: Incident, redaction: "_Redaction | None") -> list[tuple[str, str]]:
    failed = _failed(incident)
    if failed is None:
        return []
    local_part, _, domain = failed.identity.rpartition("@")
    if redaction is not None and local_part:
        local_part = redaction.token(local_part)
    identity = f"{local_part}@{domain}" if local_part.isascii() and local_part.isprintable() else f"@{domain}"
    fields = [("DKIM-Domain", failed.domain), ("DKIM-Selector", failed.selector)]
    return [*fields, ("DKIM-Identity", identity)] if domain.isascii() and domain.isprintable() else fields


def _spf_fields(incident: Incident) -> list[tuple[str, str]]:
    """SPF-DNS, once for every record that was used (RFC 6591 §4)."""
    spf = incident.spf
    if spf is None or spf.result == "pass":
        return []
    fields: list[tuple[str, str]] = []
    for evidence in spf.verdict.evidence:
        kind, _, name = evidence.question.partition(" ")
        for answer in evidence.answer:
            # Evidence of full length may be cut short.
            if kind == "TXT" and answer.lower().startswith("v=spf1") and len(answer) < ANSWER_CHARACTERS:
                quoted = answer.replace("\\", "\\\\").replace('"', '\\"')
                fields.append(("SPF-DNS", f'txt : {name} : "{quoted}"'))
    return fields


def _path(address: Address | None, redaction: "_Redaction | None") -> str:
    if address is None:
        return "<>"
    if redaction is None and address.is_ascii:
        return f"<{address}>"
    local_part = redaction.token(address.local_part) if redaction is not None else "redacted"
    return f"<{local_part}@{address.domain}>"


def _original(octets: Octets, header: Header, redaction: "_Redaction | None") -> bytes:
    """What is told of the header of the message."""
    if redaction is None:
        return octets[: min(header.end, HEADER_OCTETS)]
    lines = [redaction.field(field) for field in header.fields if field.key in _KEPT]
    return b"".join(lines)[:HEADER_OCTETS]


def _is_automatic(header: Header) -> bool:
    submitted = header.text("auto-submitted").partition(";")[0].strip().lower()
    content_type = header.text("content-type").partition(";")[0].strip().lower()
    return submitted not in ("", "no") or content_type == "multipart/report"


class _Redaction:
    """Takes out of fields what tells of people."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def token(self, local_part: str) -> str:
        """The same for the same local part, and nobody without the secret can tell for which (RFC 6590 §3)."""
        octets = digest(self._secret, local_part.lower().encode("utf-8", "replace"), sha256)
        return b32encode(octets).decode("ascii").lower()[:_TOKEN_CHARACTERS]

    def field(self, field: Field) -> bytes:
        """A field of the header without local parts, display names and copies of other fields."""
        value = unfold(field.value)
        if field.key == "from":
            addresses = [mailbox.address for mailbox in mailboxes(parse_address_list(field.value))]
            named = [f"<{self.token(a.local_part)}@{a.domain}>" for a in addresses if a is not None]
            value = ", ".join(named).encode()
        elif field.key == "dkim-signature":
            value = b";\r\n\t".join(self._tags(value))
        return field.name.encode() + b": " + value + b"\r\n"

    def _tags(self, value: bytes) -> Iterator[bytes]:
        """The tags of a signature that tell of nobody; of i= the domain, with a token for the local part."""
        for tag in value.split(b";"):
            name, equals, told = tag.partition(b"=")
            if not equals or name.strip() not in _TAGS:
                continue
            if name.strip() == b"i":
                local_part, _, domain = told.strip().rpartition(b"@")
                hidden = self.token(local_part.decode("utf-8", "replace")).encode() if local_part else b""
                tag = b"i=" + hidden + b"@" + domain
            yield tag.strip()
