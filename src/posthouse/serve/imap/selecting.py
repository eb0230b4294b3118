"""SELECT, EXAMINE, CLOSE, UNSELECT, STATUS (RFC 3501 §6.3.1, §6.3.2, §6.3.10, §6.4.2, RFC 3691)."""

from array import array
from dataclasses import dataclass

from posthouse.mail.flags import Flag
from posthouse.serve.imap.selected import Selected
from posthouse.serve.imap.session import Answer, Session
from posthouse.store import directory, keywords, mailboxes, messages, search
from posthouse.store.database import Transaction
from posthouse.store.mailboxes import Mailbox, MailboxError
from posthouse.wire.imap import commands, responses
from posthouse.wire.imap.commands import StatusItem
from posthouse.wire.imap.engine import Status


@dataclass(frozen=True, slots=True)
class _Opened:
    """All that SELECT tells, of one moment. `unseen` is the first UID that is not seen, 0 for none."""

    mailbox: Mailbox
    uids: "array[int]"
    unseen: int
    account_modseq: int
    keywords: dict[int, str]


def _existing(tx: Transaction, account_id: int, name: str) -> Mailbox:
    mailbox = mailboxes.find(tx, account_id, name)
    if mailbox is None:
        raise MailboxError("NONEXISTENT", "There is no such mailbox")
    return mailbox


def _first_unseen(tx: Transaction, mailbox: Mailbox) -> int:
    if not mailbox.unseen:
        return 0
    unseen = search.search(tx, mailbox.account_id, mailbox.mailbox_id, search.LacksFlags(Flag.SEEN), limit=1)
    return unseen[0] if unseen else 0


def _uids(tx: Transaction, mailbox: Mailbox) -> "array[int]":
    if mailbox.messages == mailbox.uidnext - 1:
        # Nothing was ever removed: no need to look.
        return array("I", range(1, mailbox.uidnext))
    return array("I", search.search(tx, mailbox.account_id, mailbox.mailbox_id, search.Every()))


async def select(session: Session, command: commands.Select) -> Answer:
    """Opens a mailbox; the one open before is left even where this fails."""
    await session.leave()
    account_id = session.account_id

    def unit(tx: Transaction) -> _Opened | None:
        if not directory.is_open(tx, account_id):
            return None
        mailbox = _existing(tx, account_id, command.mailbox)
        return _Opened(
            mailbox,
            _uids(tx, mailbox),
            _first_unseen(tx, mailbox),
            mailboxes.modseq(tx, account_id),
            keywords.names(tx, account_id),
        )

    opened = await session.read(unit)
    if opened is None:
        session.expel()
        return Answer("", status=Status.NO)
    mailbox = opened.mailbox
    view = Selected(mailbox.mailbox_id, mailbox.uidvalidity, read_only=command.read_only)
    view.uids = opened.uids
    view.uidnext = mailbox.uidnext
    view.modseq = mailbox.modseq
    view.account_modseq = opened.account_modseq
    view.recent_from = mailbox.recent_from
    view.name_keywords(opened.keywords)
    if not command.read_only and mailbox.recent_from < mailbox.uidnext:
        view.recent_from = await session.post.database.write(
            lambda tx: mailboxes.take_recent(tx, account_id, mailbox.mailbox_id)
        )
    session.selected = view
    session.tell(view.flags_lines())
    lines = [b"* %d EXISTS\r\n* %d RECENT\r\n" % (len(view.uids), view.recent)]
    number = view.number(opened.unseen) if opened.unseen else 0
    if number:
        lines.append(b"* OK [UNSEEN %d] The first one not seen\r\n" % number)
    lines.append(b"* OK [UIDVALIDITY %d] UIDs are valid\r\n" % view.uidvalidity)
    lines.append(b"* OK [UIDNEXT %d] The next UID\r\n" % view.uidnext)
    session.tell(b"".join(lines))
    return Answer("Open for reading", "READ-ONLY") if command.read_only else Answer("Open", "READ-WRITE")


async def close(session: Session, command: commands.Close) -> Answer:
    """CLOSE removes what is marked deleted, and says nothing of it; UNSELECT removes nothing."""
    view = session.view
    if command.expunge and not view.read_only and view.uids and await session.has_deleted(view):
        known = ((1, view.uids[-1]),)
        account_id, mailbox_id = session.account_id, view.mailbox_id
        await session.change(lambda tx: messages.expunge(tx, account_id, mailbox_id, known, flagged=Flag.DELETED))
    await session.leave()
    return Answer("Closed")


async def status(session: Session, command: commands.Status) -> Answer:
    """STATUS; as cheap for a mailbox of 500,000 messages as for an empty one."""
    account_id = session.account_id

    def unit(tx: Transaction) -> tuple[Mailbox, int]:
        mailbox = _existing(tx, account_id, command.mailbox)
        recent = 0
        if StatusItem.RECENT in command.items and mailbox.recent_from < mailbox.uidnext:
            fresh = ((mailbox.recent_from, mailbox.uidnext),)
            recent = len(messages.fetch(tx, account_id, mailbox.mailbox_id, fresh, ("uid",)))
        return mailbox, recent

    mailbox, recent = await session.read(unit)
    numbers = {
        StatusItem.MESSAGES: mailbox.messages,
        StatusItem.RECENT: recent,
        StatusItem.UIDNEXT: mailbox.uidnext,
        StatusItem.UIDVALIDITY: mailbox.uidvalidity,
        StatusItem.UNSEEN: mailbox.unseen,
    }
    facts = b" ".join([b"%b %d" % (item.value.encode("ascii"), numbers[item]) for item in command.items])
    session.tell(b"* STATUS %b (%b)\r\n" % (responses.mailbox(command.mailbox), facts))
    return Answer("Done")
