"""APPEND: a client files a message (RFC 3501 §6.3.11, RFC 4315 §3)."""

import asyncio

from posthouse.route import filing
from posthouse.serve.imap.session import Answer, Session
from posthouse.store import blobs, keywords, mailboxes, messages
from posthouse.store.blobs import INLINE_LIMIT, Content, Spool
from posthouse.store.database import StoreFault, Transaction
from posthouse.store.mailboxes import MailboxError
from posthouse.store.messages import Added, NewMessage
from posthouse.wire.imap import commands
from posthouse.wire.imap.engine import AppendChunk, AppendEnd
from posthouse.wire.imap.faults import Malformed, Refusal


async def append(session: Session, command: commands.Append) -> Answer:
    """Asks mailbox and quota before the message is sent, takes it in pieces, files it in one commit.

    A client that is lost before the last octet has stored nothing; after it, the message is filed all the same, once.
    """
    if not command.size:
        raise Refusal("A message has at least one octet", "CANNOT")
    account_id = session.account_id
    await session.read(lambda tx: _target(tx, account_id, command), quick=True)
    spool = session.post.blobs.spool()
    try:
        await _receive(session, spool)
        session.filing = True
        added = await _file(session, command, await spool.finish())
    finally:
        session.filing = False
        spool.discard()
    return Answer("Appended", f"APPENDUID {added.uidvalidity} {added.uid}")


def _target(tx: Transaction, account_id: int, command: commands.Append) -> int:
    """The mailbox to file into, which has room. Raises Refusal."""
    mailbox = mailboxes.find(tx, account_id, command.mailbox)
    if mailbox is None:
        # RFC 3501 §6.3.11: the client may make it and try again.
        raise Refusal("There is no such mailbox", "TRYCREATE")
    quota = mailboxes.quota(tx, account_id)
    if quota.limit is not None and quota.used + command.size > quota.limit:
        raise MailboxError("OVERQUOTA", "There is no room left")
    return mailbox.mailbox_id


async def _receive(session: Session, spool: Spool) -> None:
    """Takes the message as it comes. Raises Malformed where it must not be kept."""
    session.engine.proceed()
    while True:
        event = await session.line.event()
        if isinstance(event, AppendChunk):
            spool.write(event.octets)
            event = None  # its octets are not kept while the next ones are waited for
        elif isinstance(event, AppendEnd):
            break
        else:
            raise ConnectionAbortedError("the client left in the middle of a message")
    if event.flaw:
        raise Malformed(event.flaw)


async def _file(session: Session, command: commands.Append, content: Content) -> Added:
    try:
        return await _enter(session, command, content)
    except (Refusal, MailboxError):
        await session.post.blobs.discard(content)
        raise
    except StoreFault as fault:
        # Of any other fault it is not known whether the commit happened: a body that nothing refers to is swept.
        if fault.full:
            await session.post.blobs.discard(content)
        raise


async def _enter(session: Session, command: commands.Append, content: Content) -> Added:
    post = session.post
    account_id, now = session.account_id, post.clock()
    if content.size > INLINE_LIMIT:
        message = await asyncio.to_thread(_read, content, now)
    else:
        message = _read(content, now)
    if command.internal_date is not None:
        message = message._replace(received_at=command.internal_date)
    message_key = post.ids.next(now)

    def unit(tx: Transaction) -> Added:
        mailbox_id = _target(tx, account_id, command)
        blob_id = blobs.put(tx, content, message.sent_at)
        flags = int(command.flags)
        if command.keywords:
            flags |= keywords.claim(tx, account_id, command.keywords)
        letter = filing.file_as(message, b"", flags)._replace(blob_id=blob_id)
        return messages.add(tx, account_id, mailbox_id, message_key, letter)

    return await session.change(unit, octets=content.size)


def _read(content: Content, now: int) -> NewMessage:
    with content.open() as octets:
        return filing.read(octets, content, now).message
