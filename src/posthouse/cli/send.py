"""`posthouse send`: compose a message and submit it, on the server itself or to any submission server."""

import mimetypes
import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from posthouse.cli.letterbox import Receipt, post, writer
from posthouse.cli.office import Office, now, work
from posthouse.cli.terminal import Complaint, config_option, json_option, program, show
from posthouse.mail import compose
from posthouse.mail.address import Address
from posthouse.mail.envelope import Body, Envelope, RcptTo
from posthouse.mail.instant import rfc5322_date
from posthouse.mail.mailboxes import Mailbox, mailboxes, parse_address_list

PASSWORD = "POSTHOUSE_PASSWORD"


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be sent, as the options gave it."""

    author: Mailbox
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    bcc: tuple[Mailbox, ...]
    subject: str
    attachments: tuple[Path, ...]


class MailboxType(click.ParamType[Mailbox]):
    """`carol@far.test` or `Carol <carol@far.test>`."""

    name = "mailbox"

    def convert(self, value: str | Mailbox, param: click.Parameter | None, ctx: click.Context | None) -> Mailbox:
        if isinstance(value, Mailbox):
            return value
        if not value.isprintable():
            self.fail("an address holds no control characters", param, ctx)
        found = mailboxes(parse_address_list(value.encode("utf-8", "surrogateescape")))
        if len(found) != 1 or found[0].address is None:
            self.fail(f"{value!r} is not one mail address", param, ctx)
        return found[0]


MAILBOX = MailboxType()


@click.command("send")
@click.option("--from", "author", type=MAILBOX, required=True, metavar="ADDRESS", help="Who writes.")
@click.option("--to", "to", type=MAILBOX, multiple=True, metavar="ADDRESS", help="Who gets it; may be repeated.")
@click.option("--cc", type=MAILBOX, multiple=True, metavar="ADDRESS", help="Who gets a copy.")
@click.option("--bcc", type=MAILBOX, multiple=True, metavar="ADDRESS", help="Who gets it unknown to the others.")
@click.option("--subject", default="", metavar="TEXT")
@click.option(
    "--attach", "attachments", multiple=True, metavar="FILE", help="Add a file; may be repeated.",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
)
@click.option(
    "--server", metavar="HOST[:PORT]",
    help="Submit there over TLS instead: at once on port 465, else by STARTTLS, or at once where nothing is said; "
    "smtps://HOST:PORT and smtp://HOST:PORT say which.",
)
@click.option("--login", metavar="NAME", help="Name to log in with at --server; without it the address of --from.")
@click.option("--ca", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
              help="Authority to trust at --server besides the system's.")
@config_option
@json_option
def send_command(
    author: Mailbox, to: tuple[Mailbox, ...], cc: tuple[Mailbox, ...], bcc: tuple[Mailbox, ...], subject: str,
    attachments: tuple[Path, ...], server: str | None, login: str | None, ca: Path | None,
    config_path: Path | None, as_json: bool,
) -> None:
    """Compose a message from the options and the text on standard input, and submit it.

    On the server, whoever may open its data needs no password. With --server it goes over the network to any
    submission server; the password is taken from $POSTHOUSE_PASSWORD, else asked for.

    \b
    echo "See you at ten." | posthouse send --from you@example.org --to ann@example.com --subject Tomorrow
    posthouse send --from you@example.org --to ann@example.com --attach plan.pdf \\
        --server mx.example.org < letter.txt
    """
    draft = Draft(author, to, cc, bcc, subject, attachments)
    rcpts = [mailbox.address for mailbox in (*to, *cc, *bcc) if mailbox.address is not None]
    if not rcpts:
        raise click.UsageError("nobody to send it to: --to, --cc or --bcc")
    text = _text()
    octets = _compose(draft, text)
    assert author.address is not None
    utf8 = not all(address.is_ascii for address in (author.address, *rcpts))
    envelope = Envelope(
        author.address, tuple(RcptTo(address) for address in dict.fromkeys(rcpts)), Body.SEVEN_BIT, utf8
    )
    try:
        if server is not None:
            from posthouse.cli.submission import Place, submit

            name = login or str(author.address)
            receipt = submit(Place.parse(server), ca, name, _password(name), envelope, octets)
        else:
            receipt = work(config_path, lambda office: _post(office, envelope, octets))
    except Complaint as trouble:
        # The codes of sysexits.h are for sendmail's callers; here an error is 1, as with every other command.
        raise Complaint(str(trouble)) from None
    _report(receipt, server is None, config_path, as_json)


async def _post(office: Office, envelope: Envelope, octets: bytes) -> Receipt:
    assert envelope.mail_from is not None
    return await post(office, await writer(office, envelope.mail_from), envelope, octets)


def _report(receipt: Receipt, local: bool, config_path: Path | None, as_json: bool) -> None:
    data = {"id": receipt.queue_id, "reply": str(receipt.reply), "recipients": list(receipt.recipients)}

    def human() -> None:
        print(f"Accepted for {', '.join(receipt.recipients)}: {receipt.reply}")
        if receipt.queue_id and local:
            settings = f" --config {config_path}" if config_path is not None else ""
            print(f"Its journey: {program()} trace{settings} {receipt.queue_id}")

    show(data, as_json, human)


def _text() -> str:
    if sys.stdin.isatty():
        print("The text, then Ctrl-D:", file=sys.stderr)
    raw = sys.stdin.buffer.read()
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Complaint("standard input is not UTF-8 text; a finished message goes to posthouse sendmail") from None


def _password(login: str) -> str:
    if password := os.environ.get(PASSWORD):
        return password
    try:
        # Standard input holds the text, so the terminal itself is asked.
        import getpass

        with open("/dev/tty"):
            return getpass.getpass(f"Password of {login}: ")
    except OSError:
        raise Complaint(f"no password: set ${PASSWORD}, there is no terminal to ask at") from None


def _compose(draft: Draft, text: str) -> bytes:
    assert draft.author.address is not None
    fields = [
        ("Date", rfc5322_date(now())),
        ("From", _listed([draft.author])),
        ("To", _listed(draft.to)),
        ("Cc", _listed(draft.cc)),
        ("Subject", draft.subject),
        ("Message-ID", f"<{secrets.token_hex(12)}@{draft.author.address.domain}>"),
    ]
    body: compose.Body | compose.Multipart = compose.text_body(text)
    if draft.attachments:
        body = compose.Multipart("mixed", [body, *map(_attachment, draft.attachments)])
    utf8 = not all(
        mailbox.address is None or mailbox.address.is_ascii for mailbox in (draft.author, *draft.to, *draft.cc)
    )
    try:
        return compose.compose(
            [(name, value) for name, value in fields if value], body, boundary=secrets.token_hex(12), smtputf8=utf8
        )
    except compose.ComposeError as error:
        raise Complaint(str(error)) from None


def _listed(found: tuple[Mailbox, ...] | list[Mailbox]) -> str:
    return ", ".join(compose.format_mailbox(mailbox.display_name, _written(mailbox.address)) for mailbox in found)


def _written(address: Address | None) -> str:
    return str(address)


def _attachment(path: Path) -> compose.Body:
    kind, encoding = mimetypes.guess_type(path.name)
    # A compressed file is none of the type inside it.
    return compose.Body(
        path.read_bytes(), kind if kind and not encoding else "application/octet-stream", filename=path.name
    )
