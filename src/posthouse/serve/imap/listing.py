"""CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, LIST, LSUB, NAMESPACE (RFC 3501 §6.3, RFC 2342, 3348, 6154)."""

from collections.abc import Iterable

from posthouse.serve.imap.session import Answer, Session
from posthouse.store import mailboxes
from posthouse.store.database import Transaction
from posthouse.store.mailboxes import INBOX, SEPARATOR, Mailbox, SpecialUse
from posthouse.wire.imap import commands, responses
from posthouse.wire.imap.patterns import Pattern

_USES = {
    SpecialUse.DRAFTS: b"\\Drafts",
    SpecialUse.SENT: b"\\Sent",
    SpecialUse.ARCHIVE: b"\\Archive",
    SpecialUse.JUNK: b"\\Junk",
    SpecialUse.TRASH: b"\\Trash",
}


async def create(session: Session, command: commands.Create) -> Answer:
    """CREATE, with all superior levels that are missing."""
    account_id, now = session.account_id, session.post.clock()
    await session.change(lambda tx: mailboxes.create(tx, account_id, command.mailbox, now))
    return Answer("Created")


async def delete(session: Session, command: commands.Delete) -> Answer:
    """DELETE; inferior names stay. The mailbox that is selected is left first."""
    account_id, view = session.account_id, session.selected

    def unit(tx: Transaction) -> int | None:
        mailbox = mailboxes.find(tx, account_id, command.mailbox)
        mailboxes.delete(tx, account_id, command.mailbox)
        return mailbox.mailbox_id if mailbox else None

    deleted = await session.change(unit)
    if view is not None and view.mailbox_id == deleted:
        session.selected = None
    return Answer("Deleted")


async def rename(session: Session, command: commands.Rename) -> Answer:
    """RENAME with all inferior names; from INBOX its messages move (RFC 3501 §6.3.5)."""
    account_id, now = session.account_id, session.post.clock()
    new_name = command.new_name.removesuffix(SEPARATOR)
    await session.change(lambda tx: mailboxes.rename(tx, account_id, command.mailbox, new_name, now))
    return Answer("Renamed")


async def subscribe(session: Session, command: commands.Subscribe) -> Answer:
    """SUBSCRIBE and UNSUBSCRIBE; the name need not exist (RFC 3501 §6.3.6)."""
    account_id = session.account_id
    name = command.mailbox.removesuffix(SEPARATOR)
    act = mailboxes.subscribe if command.subscribed else mailboxes.unsubscribe
    await session.change(lambda tx: act(tx, account_id, name))
    return Answer("Done")


async def namespace(session: Session, command: commands.Namespace) -> Answer:
    """NAMESPACE: everything is the user's own, from the root (RFC 2342 §5)."""
    session.tell(b'* NAMESPACE (("" "/")) NIL NIL\r\n')
    return Answer("Done")


async def list_mailboxes(session: Session, command: commands.ListMailboxes) -> Answer:
    """LIST and LSUB."""
    account_id = session.account_id
    if not command.pattern and not command.subscribed:
        # RFC 3501 §6.3.8: an empty pattern asks for the separator and the root.
        session.tell(responses.listing(b"LIST", (b"\\Noselect",), ""))
        return Answer("Done")
    lines = await session.read(lambda tx: _lines(tx, account_id, command))
    session.tell(b"".join(lines))
    return Answer("Done")


def _lines(tx: Transaction, account_id: int, command: commands.ListMailboxes) -> list[bytes]:
    """The answers, made where the names are read: 10,000 of them take a while to match."""
    pattern = Pattern(command.reference + command.pattern)
    if command.subscribed:
        return _subscribed(mailboxes.subscriptions(tx, account_id), pattern)
    return _listed(mailboxes.list_mailboxes(tx, account_id), pattern)


def _listed(found: list[Mailbox], pattern: Pattern) -> list[bytes]:
    known = {mailbox.name: mailbox.special_use for mailbox in found}
    parents = _superiors(known)
    names = sorted(known.keys() | parents, key=lambda name: (name != INBOX, name))
    lines = []
    for name in names:
        if not pattern.matches(name):
            continue
        attributes = [b"\\HasChildren" if name in parents else b"\\HasNoChildren"]
        if name not in known:
            # Deleted, but for what lies below it (RFC 3501 §6.3.4).
            attributes.insert(0, b"\\Noselect")
        elif (use := _USES.get(known[name])) is not None:
            attributes.append(use)
        lines.append(responses.listing(b"LIST", attributes, name))
    return lines


def _subscribed(names: list[str], pattern: Pattern) -> list[bytes]:
    found: dict[str, tuple[bytes, ...]] = {name: () for name in names if pattern.matches(name)}
    # RFC 3501 §6.3.9: a superior that is not subscribed to shows as \Noselect where only it matches (by "%").
    for name in names:
        if name not in found:
            for superior in _superiors((name,)):
                if superior not in found and pattern.matches(superior):
                    found[superior] = (b"\\Noselect",)
    return [responses.listing(b"LSUB", attributes, name) for name, attributes in sorted(found.items())]


def _superiors(names: Iterable[str]) -> set[str]:
    """All names that lie above one of `names`."""
    found = set()
    for name in names:
        at = name.rfind(SEPARATOR)
        while at > 0 and (superior := name[:at]) not in found:
            found.add(superior)
            at = name.rfind(SEPARATOR, 0, at)
    return found
