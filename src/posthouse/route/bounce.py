"""Delivery status notifications: who wants which, and how they read (RFC 3461, RFC 3464, RFC 6522, RFC 6533).

A notification is made of `Notice`s, one for each recipient it tells about, and of the `Original` they are about. It
has three parts: plain words for a person, fields for a program, and the header of the message or, where it failed and
is small, all of it. Everything here is a pure function; `route.acceptance` brings the result on its way inside the
commit that records what it tells, so that a crash neither loses it nor says it twice.

    unwanted by NOTIFY, or the message came from <>      nobody is told (RFC 3461 §5.2)
    failed, delayed                                      unless NOTIFY speaks against it
    delivered, relayed, expanded                         only where NOTIFY=SUCCESS asked for it
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from posthouse.mail.address import Address
from posthouse.mail.compose import Body, Multipart, compose, format_mailbox, text_body
from posthouse.mail.envelope import Body as Transport
from posthouse.mail.envelope import Envelope, Notify, RcptTo, Ret
from posthouse.mail.instant import Instant, rfc5322_date
from posthouse.mail.reply import Reply

# THREATS: a notification quotes no more than this of what it is about, in octets.
QUOTE_OCTETS = 50 * 1024
# What a remote server said is quoted this far, in characters, so that no line needs an encoding (RFC 5322 §2.1.1).
_REPLY_CHARACTERS = 900


class Action(StrEnum):
    """What became of a recipient, in the words of RFC 3464 §2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class Notice:
    """What is to be told about one recipient.

    `reply` is what `host` said, or what we say where `host` is empty. `tries_end` is set for DELAYED: when we give
    up. `expired`: it FAILED only because that time has come.
    """

    rcpt: RcptTo
    action: Action
    reply: Reply
    at: Instant
    host: str = ""
    ip: str = ""
    tries_end: Instant | None = None
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Original:
    """The message a notification is about. `quote` is its beginning, trace fields included: all of it where
    `size`, the octets it has in all, is no more than `QUOTE_OCTETS`, else at least that many octets.
    """

    envelope: Envelope
    queue_id: str
    message_id: str
    subject: str
    arrived: Instant
    quote: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Report:
    """A finished notification: its own envelope (from `<>`) and octets."""

    envelope: Envelope
    octets: bytes
    message_id: str


def wanted(rcpt: RcptTo, action: Action) -> bool:
    """Whether the sender asked, or did not ask not, to be told of this (RFC 3461 §5.2). The null sender is the
    caller's to mind."""
    if action is Action.FAILED:
        return rcpt.notify is None or Notify.FAILURE in rcpt.notify
    if action is Action.DELAYED:
        return rcpt.notify is None or Notify.DELAY in rcpt.notify
    return rcpt.notify is not None and Notify.SUCCESS in rcpt.notify


def without_success(rcpt: RcptTo) -> Notify | None:
    """NOTIFY for what a group expands to, once the group itself was reported (RFC 3461 §5.2.7.3 c)."""
    if rcpt.notify is None:
        return None
    return rcpt.notify & ~Notify.SUCCESS or Notify.NEVER


def write_report(
    original: Original, mail_from: Address, notices: Sequence[Notice], *, hostname: str, now: Instant, report_id: str
) -> Report:
    """One notification to `mail_from` about all `notices`, at least one.

    `report_id` is unique to it (its own queue id): Message-ID and boundary are made from it.
    """
    # What needs SMTPUTF8 on its way back may fail on that very way: only an author who cannot be reached without it.
    utf8 = not mail_from.is_ascii
    message_id = f"{report_id}.dsn@{hostname}"
    fields = [
        ("From", format_mailbox("Mail delivery", f"postmaster@{hostname}")),
        ("To", format_mailbox("", str(mail_from))),
        ("Subject", _subject(notices)),
        ("Date", rfc5322_date(now)),
        ("Message-ID", f"<{message_id}>"),
        # RFC 3834 §5.1
        ("Auto-Submitted", "auto-replied"),
    ]
    if _MESSAGE_ID.fullmatch(original.message_id):
        fields.append(("References", f"<{original.message_id}>"))
    body = Multipart(
        "report",
        (
            # Encoded, UTF-8 passes everywhere; a person is told the very subject and address that were written.
            text_body(_story(original, notices, hostname)),
            Body(
                _plain(_status(original, notices, hostname, utf8), utf8).encode(),
                "message/global-delivery-status" if utf8 else "message/delivery-status",
                description="Delivery report",
            ),
            _quotation(original, notices),
        ),
        {"report-type": "delivery-status"},
    )
    octets = compose(fields, body, boundary=f"{report_id}.{hostname}", smtputf8=utf8)
    transport = Transport.SEVEN_BIT if octets.isascii() else Transport.EIGHT_BIT_MIME
    # RFC 3461 §6.1: from the null reverse-path, and never a notification about a notification.
    envelope = Envelope(None, (RcptTo(mail_from, notify=Notify.NEVER),), transport, smtputf8=utf8)
    return Report(envelope, octets, message_id)


_MESSAGE_ID = re.compile(r"[!-;=?-~]{1,500}@[!-;=?-~]{1,250}")

_SUBJECTS = {
    Action.FAILED: "Your message could not be delivered",
    Action.DELAYED: "Your message is delayed, we keep trying",
    Action.DELIVERED: "Your message was delivered",
    Action.RELAYED: "Your message was passed on",
    Action.EXPANDED: "Your message was passed on to a group",
}

_OPENINGS = {
    Action.FAILED: "could not be delivered to the following address. We have given up on it.",
    Action.DELAYED: "has not yet been delivered to the following address. You need not do anything, we keep trying.",
    Action.DELIVERED: "was put into the mailbox of the following address, as you asked to be told.",
    Action.RELAYED: (
        "was passed on for the following address to a server that does not report deliveries.\n"
        "This is the last you will hear of it unless something goes wrong."
    ),
    Action.EXPANDED: "was sent to all members of the following group, as you asked to be told.",
}

# What an enhanced code means for the author, by its subject and detail (RFC 3463 §3, RFC 7505 §6).
_MEANINGS = {
    "1.1": "There is no such mailbox there. Please look for a typing mistake in the address.",
    "1.2": "There is no such mail domain. Please look for a typing mistake behind the @.",
    "1.3": "That server does not take this for a valid address.",
    "1.6": "The owner of this address has moved and left no new address.",
    "1.10": "This domain does not take any mail.",
    "2.1": "The mailbox is switched off.",
    "2.2": "The mailbox is full.",
    "2.3": "The message is too large for this mailbox.",
    "3.4": "The message is too large for that server.",
    "4.1": "The server of this address could not be reached.",
    "4.2": "The connection to the server of this address broke.",
    "4.3": "The DNS did not tell where mail for this domain has to go.",
    "4.4": "There is no way to a mail server of this domain.",
    "4.6": "The message went in circles between servers.",
    "4.7": "The server of this address could not be reached for too long.",
    "6.3": "That server does not take a message with characters of this kind.",
    "6.7": "That server does not take internationalised addresses.",
    "7.1": "That server refused the message by its rules.",
}


def _subject(notices: Sequence[Notice]) -> str:
    actions = {notice.action for notice in notices}
    for action, words in _SUBJECTS.items():
        if action in actions:
            return words
    raise ValueError("a report needs a notice")


def _story(original: Original, notices: Sequence[Notice], hostname: str) -> str:
    """What a person reads."""
    lines = [f"This is the mail server {hostname}."]
    for action, opening in _OPENINGS.items():
        told = [notice for notice in notices if notice.action is action]
        if told:
            if len(told) > 1:
                opening = opening.replace("address.", "addresses.").replace("given up on it", "given up on them")
            lines += ["", f"Your message {opening}"]
        for notice in told:
            lines += ["", f"  <{notice.rcpt.address}>", *_reason(notice)]
    lines += ["", f"The message arrived here on {rfc5322_date(original.arrived)}."]
    if original.subject:
        lines.append(f"Its subject: {_cut(original.subject, 200)}")
    lines.append(f"To ask about it, name the queue id {original.queue_id}.")
    return "\n".join(lines) + "\n"


def _reason(notice: Notice) -> list[str]:
    lines = []
    if notice.action in (Action.FAILED, Action.DELAYED):
        meaning = _MEANINGS.get(notice.reply.enhanced.partition(".")[2])
        if meaning:
            lines.append(f"    {meaning}")
    if notice.expired:
        lines.append("    We have tried again and again until the time for it ran out. The last time:")
    if notice.action is not Action.EXPANDED:
        where = f"In conversation with {notice.host}" + (f" [{notice.ip}]" if notice.ip else "")
        lines.append(f"    {where if notice.host else 'Here'}: {_cut(str(notice.reply), _REPLY_CHARACTERS)}")
    if notice.tries_end is not None:
        lines.append(f"    We go on trying until {rfc5322_date(notice.tries_end)}.")
    return lines


def _status(original: Original, notices: Sequence[Notice], hostname: str, utf8: bool) -> str:
    """The fields of message/delivery-status (RFC 3464 §2.2, §2.3)."""
    lines = []
    if original.envelope.envid is not None:
        lines.append(f"Original-Envelope-Id: {_cut(original.envelope.envid, 500)}")
    lines += [
        f"Reporting-MTA: dns; {hostname}",
        f"X-Posthouse-Queue-Id: {original.queue_id}",
        f"Arrival-Date: {rfc5322_date(original.arrived)}",
    ]
    for notice in notices:
        lines.append("")
        if notice.rcpt.orcpt is not None:
            lines.append(f"Original-Recipient: {_original_recipient(notice.rcpt.orcpt, utf8)}")
        lines += [
            f"Final-Recipient: {_typed(notice.rcpt.address, utf8)}",
            f"Action: {notice.action.value}",
            f"Status: {_code(notice)}",
        ]
        if notice.host:
            lines.append(f"Remote-MTA: dns; {notice.host}")
        # RFC 3464 §2.3.6: "smtp" is for what the remote server said, not for what we say about it.
        if notice.reply.heard:
            lines.append(f"Diagnostic-Code: smtp; {_cut(str(notice.reply), _REPLY_CHARACTERS)}")
        elif notice.action in (Action.FAILED, Action.DELAYED):
            lines.append(f"Diagnostic-Code: x-posthouse; {_cut(str(notice.reply), _REPLY_CHARACTERS)}")
        lines.append(f"Last-Attempt-Date: {rfc5322_date(notice.at)}")
        if notice.tries_end is not None:
            lines.append(f"Will-Retry-Until: {rfc5322_date(notice.tries_end)}")
    return "\n".join(lines) + "\n"


def _code(notice: Notice) -> str:
    """A status whose class fits the action (RFC 3464 §2.3.4), the general one where the reply named none."""
    if notice.expired:
        return "5.4.7"
    kind = {Action.FAILED: "5", Action.DELAYED: "4"}.get(notice.action, "2")
    detail = notice.reply.enhanced.partition(".")[2] or "0.0"
    return f"{kind}.{detail}"


def _typed(address: Address, utf8: bool) -> str:
    """An address with its type (RFC 3464 §2.3.2, RFC 6533 §3)."""
    text = str(address)
    if address.is_ascii:
        return f"rfc822; {text}"
    return f"utf-8; {text}" if utf8 else f"utf-8; {_unitext(text)}"


def _unitext(text: str) -> str:
    # RFC 6533 §3: utf-8-addr-xtext
    return "".join(c if "!" <= c <= "~" and c not in "\\+=" else f"\\x{{{ord(c):02X}}}" for c in text)


_EMBEDDED = re.compile(r"\\x\{([0-9A-F]{2,6})\}")


def _original_recipient(orcpt: str, utf8: bool) -> str:
    kind, _, text = orcpt.partition(";")
    text = _cut(text, 500)
    if kind.strip().lower() == "utf-8":
        # RFC 6533 §4.1: up-converted where the part may hold UTF-8, and only there.
        plain = _EMBEDDED.sub(_embedded, text)
        text = plain if utf8 else "".join(c if c <= "~" else _unitext(c) for c in text)
    return f"{_cut(kind, 50)};{text}"


def _embedded(match: re.Match[str]) -> str:
    point = int(match[1], 16)
    # Neither controls nor surrogates nor what is no character: those stay as they were written.
    return chr(point) if 0x20 <= point <= 0x10FFFF and chr(point).isprintable() else match[0]


def _quotation(original: Original, notices: Sequence[Notice]) -> Body:
    """The third part: the whole message only where it failed, is small, and RET did not speak against it."""
    failed = any(notice.action is Action.FAILED for notice in notices)
    whole = failed and original.size <= QUOTE_OCTETS and original.envelope.ret is not Ret.HDRS
    if whole:
        kind = "message/global" if original.envelope.smtputf8 else "message/rfc822"
        return Body(original.quote, kind, description="The message as it came")
    end = original.quote.find(b"\r\n\r\n", 0, QUOTE_OCTETS)
    header = original.quote[: (end if end >= 0 else original.quote.rfind(b"\r\n", 0, QUOTE_OCTETS)) + 2]
    return Body(
        header,
        "message/global-headers" if original.envelope.smtputf8 else "text/rfc822-headers",
        description="The header of the message",
    )


def _cut(text: str, characters: int) -> str:
    """One printable line, at most that long: what came from outside never starts a field or a line of its own."""
    text = text[:characters]
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def _plain(text: str, utf8: bool) -> str:
    return text if utf8 else text.encode("ascii", "replace").decode()
