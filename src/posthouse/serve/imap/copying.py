"""COPY and MOVE (RFC 3501 §6.4.7, RFC 6851, RFC 4315 §3)."""

from posthouse.serve.imap.selected import Selected, Slices
from posthouse.serve.imap.session import Answer, Session
from posthouse.store import mailboxes, messages
from posthouse.store.database import Transaction
from posthouse.store.junk import LESSONS
from posthouse.store.messages import Moved
from posthouse.wire.imap import commands
from posthouse.wire.imap.faults import Refusal
from posthouse.wire.imap.sequence import gather, render

# Ours: a copy is one transaction, all or nothing, and everybody else's mail waits for it.
MAX_MESSAGES = 100_000


async def copy(session: Session, command: commands.Copy) -> Answer:
    """Copies all or nothing."""
    view = session.view
    slices = view.slices(command.numbers, uid=command.uid)
    moved = await _transfer(session, view, slices, command)
    return Answer("Copied", _copyuid(moved)) if moved and moved.source else Answer("Nothing to copy")


async def move(session: Session, command: commands.Move) -> Answer:
    """Moves all or nothing; COPYUID comes before the EXPUNGE lines (RFC 6851 §4.3)."""
    view = session.writable
    slices = view.slices(command.numbers, uid=command.uid)
    moved = await _transfer(session, view, slices, command)
    if not moved or not moved.source:
        return Answer("Nothing to move")
    session.tell(f"* OK [{_copyuid(moved)}] Moved\r\n".encode("ascii"))
    return Answer("Done")


async def _transfer(
    session: Session, view: Selected, slices: Slices, command: commands.Copy | commands.Move
) -> Moved | None:
    account_id, mailbox_id, uids = session.account_id, view.mailbox_id, view.ranges(slices)
    count = sum(end - start for start, end in slices)
    if count > MAX_MESSAGES:
        raise Refusal(f"At most {MAX_MESSAGES} messages at once", "LIMIT")
    transfer = messages.move if isinstance(command, commands.Move) else messages.copy

    def unit(tx: Transaction) -> Moved | None:
        target = mailboxes.find(tx, account_id, command.mailbox)
        if target is None:
            # RFC 3501 §6.4.7: the client may make it and try again.
            raise Refusal("There is no such mailbox", "TRYCREATE")
        if not uids:
            return None
        moved = transfer(tx, account_id, mailbox_id, uids, target.mailbox_id)
        if not command.uid and len(moved.source) < count:
            # RFC 2180 §4.4.1: another session removed some of them; by number, the client means all or none.
            raise Refusal("Some of these messages were removed meanwhile", "EXPUNGEISSUED")
        return moved

    moved = await session.change(unit)
    if moved is not None and moved.taught:
        session.post.hints.publish(LESSONS)
    return moved


def _copyuid(moved: Moved) -> str:
    source, target = (render(gather(uids)).decode("ascii") for uids in (moved.source, moved.target))
    return f"COPYUID {moved.uidvalidity} {source} {target}"
