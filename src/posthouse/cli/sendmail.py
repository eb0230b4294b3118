"""`posthouse sendmail`: what programs on a server call as /usr/sbin/sendmail, with its options and exit codes.

A message on standard input is submitted straight to the server's store, for the account that owns the sender: -f,
else the From field, else the caller's name at our first domain. Names without a domain mean our first domain as
well, so `alias add root@example.org you@example.org` is all that cron's mail needs. Either all recipients get the
message or (one was refused, say) none does, and the exit code of sysexits.h tells why.
"""

import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from posthouse.cli.letterbox import (
    EX_CONFIG,
    EX_DATAERR,
    EX_NOPERM,
    EX_TEMPFAIL,
    EX_USAGE,
    Receipt,
    post,
    writer,
)
from posthouse.cli.office import NotAllowed, Office, now, work
from posthouse.cli.terminal import Complaint, Function, config_option, json_option, show
from posthouse.config import ConfigError
from posthouse.mail.address import Address, AddressError
from posthouse.mail.compose import ComposeError, format_field, format_mailbox
from posthouse.mail.envelope import Body, Envelope, Notify, RcptTo, Ret
from posthouse.mail.headers import Header
from posthouse.mail.mailboxes import Mailbox, mailboxes, parse_address_list
from posthouse.mail.message import Message
from posthouse.store import directory, queue
from posthouse.store.database import StoreFault
from posthouse.store.hints import QUEUE, RETRY
from posthouse.wire.smtp import syntax

NOTIFY = {"never": Notify.NEVER, "success": Notify.SUCCESS, "failure": Notify.FAILURE, "delay": Notify.DELAY}
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_begins_header = re.compile(rb"From |" + _FIELD.pattern).match
_header_end = re.compile(rb"\r?\n\r?\n").split
_has_cr = re.compile(rb"\r(?!\n)").search


@dataclass(frozen=True, slots=True)
class Order:
    """What the options say about a message."""

    recipients: tuple[str, ...]
    from_header: bool
    mail_from: str | None
    full_name: str
    notify: Notify | None
    ret: Ret | None
    envid: str | None


class SendmailCommand(click.Command):
    """Like sendmail, options it does not know are no reason to lose a message; wrong usage exits with 64."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.find_root().meta["usage_exit"] = EX_USAGE
        return super().parse_args(ctx, args)


def _ignored(*letters: str) -> Callable[[Function], Function]:
    """Options that sendmail takes with a value and that change nothing here."""
    return click.option(
        *[f"-{letter}" for letter in letters], "ignored_values", multiple=True, hidden=True, expose_value=False
    )


@click.command("sendmail", cls=SendmailCommand)
@click.argument("recipients", nargs=-1, metavar="[RECIPIENT]...")
@click.option("-t", "from_header", is_flag=True, help="Also take recipients from To, Cc and Bcc.")
@click.option("-i", "ignore_dots", is_flag=True, help="A line with a single dot does not end the message.")
@click.option("-f", "-r", "mail_from", metavar="ADDRESS", help="The sender: where notices about the message go.")
@click.option("-F", "full_name", default="", metavar="NAME", help="Name in From, where the message has no From.")
@click.option("-N", "notify", metavar="WHEN", help="Notices wanted: never, or success,failure,delay.")
@click.option("-R", "ret", type=click.Choice(["full", "hdrs"], case_sensitive=False), help="What notices give back.")
@click.option("-V", "envid", metavar="ID", help="Envelope id that notices repeat.")
@click.option("-b", "mode", default="m", metavar="MODE", help="m: take a message; p: list the queue; i: do nothing.")
@click.option("-o", "options", multiple=True, metavar="OPTION", help="-oi is -i; others are ignored.")
@click.option("-q", "run_queue", is_flag=False, flag_value="", metavar="[TIME]", help="Try everything queued now.")
@_ignored("A", "B", "C", "L", "O", "X", "d", "e", "h", "p")
@click.option("-G", "-U", "-m", "-n", "-v", "ignored_flags", is_flag=True, hidden=True, expose_value=False)
@config_option
@json_option
def sendmail_command(
    recipients: tuple[str, ...], from_header: bool, ignore_dots: bool, mail_from: str | None, full_name: str,
    notify: str | None, ret: str | None, envid: str | None, mode: str, options: tuple[str, ...],
    run_queue: str | None, config_path: Path | None, as_json: bool,
) -> None:
    """Submit the message on standard input, as sendmail does. Link this program as /usr/sbin/sendmail and it is
    sendmail; mailq likewise.

    \b
    posthouse sendmail -t < message.eml
    printf 'Subject: Hello\\n\\nHello\\n' | posthouse sendmail -f you@example.org friend@example.com
    """
    if mode == "i":
        show({}, as_json, lambda: None)
        return
    if mode == "p":
        _list_queue(config_path, as_json)
        return
    if mode != "m":
        raise click.UsageError(f"-b{mode} is not supported")
    if run_queue is not None:
        _run_queue(config_path, as_json)
        return
    order = Order(
        recipients, from_header, mail_from, full_name, _notify(notify), Ret(ret.upper()) if ret else None,
        _envid(envid),
    )  # fmt: skip
    if not recipients and not from_header:
        raise click.UsageError("no recipients: name some, or say -t")

    async def task(office: Office) -> Receipt:
        octets = _read(office.config.limits.message_size, ignore_dots or "i" in options)
        return await _submit(office, order, octets)

    receipt = _at_work(config_path, task)
    data = {"id": receipt.queue_id, "reply": str(receipt.reply), "recipients": list(receipt.recipients)}
    # sendmail is silent when all went well.
    show(data, as_json, lambda: None)


def _at_work(config_path: Path | None, task: Callable[[Office], Awaitable[Receipt]]) -> Receipt:
    """As `work`, with sendmail's exit codes for what hinders any command."""
    try:
        return work(config_path, task)
    except NotAllowed as error:
        raise Complaint(str(error), EX_NOPERM) from None
    except ConfigError as error:
        raise Complaint(str(error), EX_CONFIG) from None
    except (StoreFault, OSError) as error:
        raise Complaint(str(error), EX_TEMPFAIL) from None


def _notify(text: str | None) -> Notify | None:
    if text is None:
        return None
    words = [word.strip().lower() for word in text.split(",")]
    if any(word not in NOTIFY for word in words) or ("never" in words and len(words) > 1):
        raise click.UsageError(f"-N {text}: say never, or some of success,failure,delay")
    found = Notify(0)
    for word in words:
        found |= NOTIFY[word]
    return found


def _envid(text: str | None) -> str | None:
    """The envelope id, if it can stand in a command and in a notice's header."""
    if text is None:
        return None
    try:
        return syntax.envid(syntax.encode_xtext(text))
    except (ValueError, syntax.Refusal):
        raise click.UsageError("-V: an envelope id is up to 100 printable ASCII characters") from None


def _read(limit: int, ignore_dots: bool) -> bytes:
    """The message on standard input with CRLF line ends, up to its end or (unless -i) to a line with one dot."""
    raw = sys.stdin.buffer.read(limit + 1)
    if len(raw) > limit:
        raise Complaint(f"the message is larger than {limit} octets", EX_DATAERR)
    if b"\0" in raw:
        raise Complaint("the message holds a NUL", EX_DATAERR)
    if _begins_header(raw) and _has_cr(_header_end(raw, maxsplit=1)[0]):
        # Taken for the end of a line, it would let whoever chose a subject write fields. In the text it is harmless.
        raise Complaint("the header holds a CR without LF", EX_DATAERR)
    lines = _LINE_END.split(raw)
    if not ignore_dots and b"." in lines:
        lines = [*lines[: lines.index(b".")], b""]
    if lines and lines[0].startswith(b"From "):
        # As mbox files begin a message; it is no header field.
        del lines[0]
    if lines and lines[0] and not _FIELD.match(lines[0]):
        lines.insert(0, b"")
    if lines[-1:] != [b""]:
        lines.append(b"")
    return b"\r\n".join(lines)


async def _submit(office: Office, order: Order, octets: bytes) -> Receipt:
    names = await office.database.read(directory.domains)
    if not names:
        raise Complaint("no domain is ours yet: posthouse domain add DOMAIN", EX_CONFIG)
    origin = names[0]
    header = Message.parse(octets).header
    caller = Address(office.caller, origin)
    written = _written_by(header, origin)
    sender = _qualified(order.mail_from, origin) if order.mail_from is not None else written or caller
    octets = _with_author(octets, header, order, written or sender or caller)
    # One argument may name several: cron hands on MAILTO="a, b" as it stands.
    found = [_qualified(each.raw, origin) for text in order.recipients for each in _listed(text)]
    if order.from_header:
        found += _addressed(header, origin)
    rcpts = tuple(RcptTo(address, notify=order.notify) for address in dict.fromkeys(found) if address is not None)
    if not rcpts:
        raise Complaint("the message names no recipient", EX_DATAERR)
    account = await writer(office, sender or written or caller)
    eight_bit = not octets.isascii()
    utf8 = not octets[: header.end].isascii() or not all(rcpt.address.is_ascii for rcpt in rcpts)
    envelope = Envelope(
        sender, rcpts, Body.EIGHT_BIT_MIME if eight_bit else Body.SEVEN_BIT, utf8, order.ret, order.envid
    )
    return await post(office, account, envelope, octets)


def _qualified(text: str, origin: str) -> Address | None:
    """An address as typed or as it stands in a header, our first domain added where there is none; None for `<>`."""
    text = text.strip()
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    if not text:
        return None
    try:
        return Address.parse(text if "@" in text else f"{text}@{origin}")
    except AddressError as error:
        raise Complaint(f"{text!r} is no mail address: {error}", EX_DATAERR) from None


def _listed(text: str) -> Sequence[Mailbox]:
    return mailboxes(parse_address_list(text.encode("utf-8", "surrogateescape")))


def _in_field(header: Header, name: str) -> list[Mailbox]:
    return list(mailboxes(header.addresses(name)))


def _written_by(header: Header, origin: str) -> Address | None:
    found = _in_field(header, "from")
    return _qualified(found[0].raw, origin) if len(found) == 1 and found[0].raw else None


def _addressed(header: Header, origin: str) -> list[Address | None]:
    """The recipients that the header names; those of a resent message are in its Resent- fields (RFC 5322 §3.6.6)."""
    resent = any(field.key.startswith("resent-") for field in header.fields)
    names = ("resent-to", "resent-cc", "resent-bcc") if resent else ("to", "cc", "bcc")
    return [_qualified(mailbox.raw, origin) for name in names for mailbox in _in_field(header, name) if mailbox.raw]


def _with_author(octets: bytes, header: Header, order: Order, author: Address) -> bytes:
    """The message with a From field that has a whole address: added where it is missing, else completed."""
    field = header.get("from")
    if field is not None:
        found = _in_field(header, "from")
        if len(found) != 1 or found[0].address is not None or "@" in found[0].raw:
            # As it should be, or beyond our guessing: then the desk says what is wrong with it.
            return octets
    try:
        name = order.full_name or (_in_field(header, "from")[0].display_name if field is not None else "")
        line = format_field("From", format_mailbox(name, str(author)), smtputf8=not author.is_ascii).encode()
    except ComposeError as error:
        raise Complaint(f"-F {order.full_name!r}: {error}", EX_DATAERR) from None
    if field is not None:
        return octets[: field.start] + line + octets[field.end :]
    return line + octets


def _list_queue(config_path: Path | None, as_json: bool) -> None:
    from posthouse.cli.queue import list_command

    assert list_command.callback is not None
    list_command.callback(config_path=config_path, as_json=as_json)


def _run_queue(config_path: Path | None, as_json: bool) -> None:
    async def task(office: Office) -> int:
        count = await office.database.write(lambda tx: queue.retry(tx, now()))
        office.hints.publish(RETRY)
        office.hints.publish(QUEUE)
        return count

    count = work(config_path, task)
    show({"retried": count}, as_json, lambda: None)
