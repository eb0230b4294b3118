"""Notifications on their way: a report of `route.bounce` as a letter, from us to the author of what it is about."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256

from posthouse.mail.address import Address
from posthouse.mail.compose import ComposeError
from posthouse.mail.instant import Instant
from posthouse.mail.journey import Stamp, Step
from posthouse.route.bounce import QUOTE_OCTETS, Notice, Original, write_report
from posthouse.route.filing import read
from posthouse.route.letter import Letter, Notification, Ready, received_facts
from posthouse.route.signing import Signer
from posthouse.store.blobs import Content
from posthouse.store.ids import Ids, to_text
from posthouse.store.signing import StoredKey


def notify(
    original: Original, mail_from: Address, notices: Sequence[Notice], now: Instant, *, ids: Ids, hostname: str
) -> Letter:
    """One notification to `mail_from` about all `notices`, at least one."""
    report_id = ids.next(now)
    write = partial(
        write_report, mail_from=mail_from, notices=notices, hostname=hostname, now=now, report_id=to_text(report_id)
    )
    try:
        report = write(original)
    except ComposeError:
        # Something in the message cannot be quoted. What has to be told is told without it.
        report = write(replace(original, quote=b"", subject="", message_id=""))
    content = Content(ids.next(now), sha256(report.octets).digest(), len(report.octets), report.octets, None)
    reading = read(report.octets, content, now)
    made = Stamp(now, Step.RECEIVED, {**received_facts(content, reading), "about": original.queue_id})
    return Letter(report_id, report.envelope, content, reading, b"", (), (made,), now, relays=True)


async def sign_notification(
    notification: Notification, signer: Signer, keys: Sequence[StoredKey], ready: Ready
) -> Ready:
    """Adds the notification, signed, to what is ready."""
    letter = notification.letter
    signed = await signer.sign(letter.content, keys, letter.now)
    letter = replace(letter, trace=signed.fields, found=(*letter.found, *signed.stamps))
    return replace(ready, notification=Notification(notification.notices, letter))


def original_of(letter: Letter) -> Original:
    """The letter as a notification is about it."""
    size = len(letter.trace) + letter.content.size
    with letter.content.open() as octets:
        quote = letter.trace + octets[:QUOTE_OCTETS]
    message = letter.reading.message
    return Original(
        letter.envelope, to_text(letter.journey_id), message.message_id, message.subject, letter.now, quote, size
    )
