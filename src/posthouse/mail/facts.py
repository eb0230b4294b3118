"""What lists, searches and threads need to know of a message, found once, at delivery.

    facts(Message.parse(octets)).subject

Every value is one line of text without control characters, and bounded: it goes into tables, logs and pages as it is.
"""

import re
from typing import NamedTuple

from posthouse.mail import charsets
from posthouse.mail.address import Address
from posthouse.mail.bodies import bodies
from posthouse.mail.dates import parse_date
from posthouse.mail.headers import Header
from posthouse.mail.instant import Instant
from posthouse.mail.mailboxes import Mailbox
from posthouse.mail.message import Message
from posthouse.mail.preview import preview
from posthouse.mail.tokens import unfold
from posthouse.mail.words import decode_words, one_line

# RFC 5322 §2.1.1 gives a line 998; a subject has a few of them, an identifier none.
SUBJECT_CHARACTERS = 2_000
IDENTIFIER_CHARACTERS = 998
REFERENCES = 200
# So much of a field is looked at to find them.
_SUBJECT_OCTETS = 8 * SUBJECT_CHARACTERS
_IDENTIFIERS_OCTETS = 100_000

_find_identifiers = re.compile(rb"<([^<>]+)>").findall
_spaces = re.compile(r"[ \t]{2,}|\t").sub
# RFC 5256 §5, case-insensitive like all ABNF. None of them gives back what it took, so each step costs its length.
_BLOB = r"\[[^\[\]]*+\][ \t]*+"
_match_leader = re.compile(rf"(?:{_BLOB})*+(?:re|fwd?)[ \t]*+(?:{_BLOB})?+:|[ \t]++", re.IGNORECASE).match
_match_blob = re.compile(_BLOB).match
_may_have_leader = re.compile(r"[\[ \t]|re|fw", re.IGNORECASE).match


class Facts(NamedTuple):
    """`message_id`, `in_reply_to` and `references` are without angle brackets, "" or empty where absent.

    `base_subject` is that of RFC 5256 §2.1, casefolded; `sent_at` the Date field; `header_from` and `display_name` the
    first mailbox of From, tolerantly read (see `author` for the strict answer); `references` the last 200;
    `preview` the first 200 characters of the text.
    """

    message_id: str
    subject: str
    base_subject: str
    sent_at: Instant | None
    header_from: Address | None
    display_name: str
    in_reply_to: str
    references: tuple[str, ...]
    has_attachment: bool
    preview: str


def facts(message: Message) -> Facts:
    """Never raises, whatever the octets."""
    header = message.header
    field = header.get("subject")
    subject = decode_words(unfold(field.value[:_SUBJECT_OCTETS]))[:SUBJECT_CHARACTERS] if field is not None else ""
    field = header.get("date")
    date = parse_date(field.value) if field is not None else None
    mailbox = _first(header)
    parts = bodies(message.root)
    return Facts(
        message_id=_identifier(header, "message-id"),
        subject=subject,
        base_subject=base_subject(subject),
        sent_at=date.at if date is not None else None,
        header_from=mailbox.address if mailbox is not None else None,
        display_name=mailbox.display_name[:SUBJECT_CHARACTERS] if mailbox is not None else "",
        in_reply_to=_identifier(header, "in-reply-to"),
        references=_identifiers(header, "references")[-REFERENCES:],
        has_attachment=bool(parts.attachments) and parts.has_attachment,
        preview=preview(parts),
    )


def base_subject(subject: str) -> str:
    """The subject without `Re:`, `Fwd:`, `[list]` and the like (RFC 5256 §2.1), casefolded: what threads share."""
    text = _spaces(" ", subject) if "  " in subject or "\t" in subject else subject
    while True:
        text = _without_trailers(text)
        text = _without_leaders(text)
        # (6) what a forwarding program put around the whole.
        if text[:5].lower() == "[fwd:" and text.endswith("]"):
            text = text[5:-1]
            continue
        return text.casefold()


def _without_trailers(text: str) -> str:
    # (2)
    while True:
        text = text.rstrip(" \t")
        if text[-5:].lower() != "(fwd)":
            return text
        text = text[:-5]


def _without_leaders(text: str) -> str:
    # (3), (4) and (5)
    at = 0
    while _may_have_leader(text, at):
        match = _match_leader(text, at)
        if match is None:
            match = _match_blob(text, at)
            if match is None or match.end() == len(text):
                break
        at = match.end()
    return text[at:]


def _first(header: Header) -> Mailbox | None:
    for entry in header.addresses("from"):
        if isinstance(entry, Mailbox):
            return entry
        if entry.members:
            return entry.members[0]
    return None


def _identifier(header: Header, name: str) -> str:
    found = _identifiers(header, name)
    return found[0] if found else ""


def _identifiers(header: Header, name: str) -> tuple[str, ...]:
    """Identifiers in angle brackets (RFC 5322 §3.6.4), or the words where there are no brackets."""
    field = header.get(name)
    if field is None:
        return ()
    octets = unfold(field.value[-_IDENTIFIERS_OCTETS:])
    found = _find_identifiers(octets) or octets.split()
    return tuple(one_line(charsets.decode(identifier))[:IDENTIFIER_CHARACTERS] for identifier in found)
