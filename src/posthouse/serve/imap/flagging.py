"""STORE, EXPUNGE, UID EXPUNGE (RFC 3501 §6.4.3, §6.4.6, RFC 4315 §2.1)."""

from functools import partial

from posthouse.mail.flags import Flag
from posthouse.serve.imap.selected import Selected, Slices
from posthouse.serve.imap.session import Answer, Session
from posthouse.store import junk, keywords, messages
from posthouse.store.database import Row, Transaction
from posthouse.store.messages import Changed, Uids
from posthouse.wire.imap import commands
from posthouse.wire.imap.commands import Change
from posthouse.wire.imap.faults import Refusal

# Messages changed by one transaction: others' mail goes on in between.
BATCH = 20_000

_VERDICTS = {"$junk": junk.Kind.JUNK, "$notjunk": junk.Kind.GOOD}


async def store(session: Session, command: commands.Store) -> Answer:
    """Changes flags; what they are now is told, unless the client wants silence."""
    view = session.writable
    slices = view.slices(command.numbers, uid=command.uid)
    missing = 0
    for batch in view.batches(slices, BATCH):
        missing += sum(end - start for start, end in batch) - await _store_batch(session, view, batch, command)
    if missing and not command.uid and not command.silent:
        # RFC 2180 §4.2.2, §4.2.3: another session removed some, and this one may be told only later.
        raise Refusal("Some of these messages were removed meanwhile", "EXPUNGEISSUED")
    return Answer("Done")


async def _store_batch(session: Session, view: Selected, batch: Slices, command: commands.Store) -> int:
    """Gives how many of the messages are still there, as far as that is known."""
    account_id, mailbox_id, uids = session.account_id, view.mailbox_id, view.ranges(batch)

    def unit(tx: Transaction) -> tuple[list[Changed], list[Row], dict[int, str]]:
        changed = _store(tx, account_id, mailbox_id, uids, command)
        if command.silent:
            return changed, [], {}
        rows = messages.fetch(tx, account_id, mailbox_id, uids, ("uid", "flags", "modseq"))
        return changed, rows, keywords.names(tx, account_id)

    changed, rows, names = await session.change(unit)
    if changed and _meant(command) is not None:
        session.post.hints.publish(junk.LESSONS)
    view.own.update({change.modseq for change in changed})
    if not command.silent:
        if view.name_keywords(names):
            session.tell(view.flags_lines())
        session.tell(view.flag_changes([Changed(*row) for row in rows]))
        await session.flush()
    return len(rows)


def _store(
    tx: Transaction, account_id: int, mailbox_id: int, uids: Uids, command: commands.Store
) -> list[Changed]:
    bits = int(command.flags)
    if command.keywords:
        find = keywords.bits if command.change is Change.REMOVE else keywords.claim
        bits |= find(tx, account_id, command.keywords)
    changed = messages.store_flags(tx, account_id, mailbox_id, uids, **_operation(command.change, bits))
    meant = _meant(command)
    if meant is not None and changed:
        junk.marked(tx, account_id, mailbox_id, [change.uid for change in changed], meant)
    return changed


def _operation(change: Change, bits: int) -> dict[str, int]:
    match change:
        case Change.ADD:
            return {"add": bits}
        case Change.REMOVE:
            return {"remove": bits}
        case Change.REPLACE:
            return {"replace": bits}


def _meant(command: commands.Store) -> junk.Kind | None:
    """What the reader says of the messages, if he gives them one of the registered keywords for it."""
    if command.change is Change.REMOVE:
        return None
    meant = {_VERDICTS[keyword.lower()] for keyword in command.keywords if keyword.lower() in _VERDICTS}
    return meant.pop() if len(meant) == 1 else None


async def expunge(session: Session, command: commands.Expunge) -> Answer:
    """Removes what is marked deleted; the EXPUNGE lines come with whatever else changed."""
    view = session.writable
    account_id, mailbox_id = session.account_id, view.mailbox_id
    if command.uids is not None:
        slices = view.slices(command.uids, uid=True)
    else:
        slices = [(0, len(view.uids))] if view.uids else []
    if not slices or not await session.has_deleted(view):
        return Answer("Done")
    for batch in view.batches(slices, BATCH):
        uids = view.ranges(batch)
        await session.change(partial(_expunge, account_id=account_id, mailbox_id=mailbox_id, uids=uids))
    return Answer("Done")


def _expunge(tx: Transaction, account_id: int, mailbox_id: int, uids: Uids) -> list[int]:
    return messages.expunge(tx, account_id, mailbox_id, uids, flagged=Flag.DELETED)
