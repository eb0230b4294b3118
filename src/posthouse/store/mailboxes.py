"""The mailboxes (folders) of an account: names, special uses, counters (functions on `tx`; messages: `messages`).

Names are Unicode with `/` between levels; "INBOX" in any case is `INBOX`, the wire's modified UTF-7 is decoded by the
caller. Counters are kept in the mailbox's row: a delivery writes that row anyway for its UID, and STATUS then costs
the same for an empty mailbox and for one of 500,000 messages.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from unicodedata import normalize

from posthouse.mail.instant import SECOND, Instant
from posthouse.store import ledger, placements
from posthouse.store.database import Row, Transaction
from posthouse.store.ledger import MailboxError

__all__ = [
    "INBOX", "MAILBOX_LIMIT", "NAME_LIMIT", "SEPARATOR", "Mailbox", "MailboxError", "Quota", "SpecialUse", "create",
    "create_account_mailboxes", "delete", "find", "get", "list_mailboxes", "modseq", "quota", "remove_all", "rename",
    "special", "subscribe", "subscriptions", "take_recent", "unsubscribe",
]  # fmt: skip

INBOX = "INBOX"
SEPARATOR = "/"
NAME_LIMIT = 255
"""Longest name of a mailbox in octets of UTF-8, all levels together."""
MAILBOX_LIMIT = 10_000
"""Most mailboxes of an account, and most subscriptions."""


class SpecialUse(StrEnum):
    """What a mailbox is for (RFC 6154 §2). The value is stored; empty for none."""

    NONE = ""
    INBOX = "inbox"
    DRAFTS = "drafts"
    SENT = "sent"
    ARCHIVE = "archive"
    JUNK = "junk"
    TRASH = "trash"


class Mailbox(NamedTuple):
    """One mailbox as it stands. `modseq` is the highest of its messages and removals; `octets` the sum of sizes.

    `recent_from` is the first UID no session has been told about as \\Recent (see `take_recent`).
    """

    account_id: int
    mailbox_id: int
    name: str
    special_use: SpecialUse
    uidvalidity: int
    uidnext: int
    modseq: int
    subscribed: bool
    messages: int
    unseen: int
    deleted: int
    octets: int
    recent_from: int


@dataclass(frozen=True, slots=True)
class Quota:
    """Octets used, and the limit (None: none), of an account."""

    used: int
    limit: int | None


_SELECT = (
    "SELECT m.account_id, m.mailbox_id, m.name, m.special_use, m.uidvalidity, m.uidnext, m.modseq,"
    " EXISTS (SELECT 1 FROM subscriptions s WHERE s.account_id = m.account_id AND s.name = m.name),"
    " m.messages, m.unseen, m.deleted, m.octets, m.recent_from FROM mailboxes m WHERE m.account_id = $1"
)
_LIST = f"{_SELECT} ORDER BY m.special_use <> 'inbox', m.name"
_BY_NAME = f"{_SELECT} AND m.name = $2"
_BY_ID = f"{_SELECT} AND m.mailbox_id = $2"
_BY_USE = f"{_SELECT} AND m.special_use = $2 ORDER BY m.mailbox_id LIMIT 1"
_INFERIOR = f"{_SELECT} AND m.name >= $2 AND m.name < $3"

_NEXT = (
    "UPDATE accounts SET modseq = modseq + 1, last_mailbox = last_mailbox + 1,"
    " last_uidvalidity = CASE WHEN last_uidvalidity >= $2 THEN last_uidvalidity + 1 ELSE $2 END"
    " WHERE account_id = $1 RETURNING last_mailbox, last_uidvalidity, modseq"
)
_CREATE = (
    "INSERT INTO mailboxes (account_id, mailbox_id, uidnext, modseq, messages, unseen, deleted, octets, recent_from,"
    " uidvalidity, special_use, name) VALUES ($1, $2, 1, $3, 0, 0, 0, 0, 1, $4, $5, $6)"
)
_COUNT = "SELECT COUNT(*) FROM mailboxes WHERE account_id = $1"
_RENAME = "UPDATE mailboxes SET name = $3, modseq = $4 WHERE account_id = $1 AND mailbox_id = $2"
_DELETE = "DELETE FROM mailboxes WHERE account_id = $1 AND mailbox_id = $2"
_FORGET = "DELETE FROM changes WHERE account_id = $1 AND mailbox_id = $2"

_SUBSCRIBE = "INSERT INTO subscriptions (account_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_UNSUBSCRIBE = "DELETE FROM subscriptions WHERE account_id = $1 AND name = $2"
_SUBSCRIPTIONS = "SELECT name FROM subscriptions WHERE account_id = $1 ORDER BY name"
_COUNT_SUBSCRIPTIONS = "SELECT COUNT(*) FROM subscriptions WHERE account_id = $1"

_RECENT = "SELECT recent_from, uidnext FROM mailboxes WHERE account_id = $1 AND mailbox_id = $2"
_TAKE_RECENT = "UPDATE mailboxes SET recent_from = uidnext WHERE account_id = $1 AND mailbox_id = $2"
_QUOTA = "SELECT octets, quota FROM accounts WHERE account_id = $1"
_MODSEQ = "SELECT modseq FROM accounts WHERE account_id = $1"

_USES = {use.value: use for use in SpecialUse}
_STANDARD = (
    (INBOX, SpecialUse.INBOX),
    ("Drafts", SpecialUse.DRAFTS),
    ("Sent", SpecialUse.SENT),
    ("Archive", SpecialUse.ARCHIVE),
    ("Junk", SpecialUse.JUNK),
    ("Trash", SpecialUse.TRASH),
)


def create_account_mailboxes(tx: Transaction, account_id: int, now: Instant) -> None:
    """Makes INBOX, Drafts, Sent, Archive, Junk and Trash, subscribed; `directory.add_account` calls it."""
    for name, use in _STANDARD:
        _make(tx, account_id, name, use, now)
        tx.execute(_SUBSCRIBE, account_id, name)


def list_mailboxes(tx: Transaction, account_id: int) -> list[Mailbox]:
    """All, INBOX first, then by name."""
    return [_mailbox(row) for row in tx.all(_LIST, account_id)]


def find(tx: Transaction, account_id: int, name: str) -> Mailbox | None:
    """By name; case counts except for INBOX."""
    row = tx.one(_BY_NAME, account_id, _normal(name))
    return None if row is None else _mailbox(row)


def get(tx: Transaction, account_id: int, mailbox_id: int) -> Mailbox | None:
    """By id; None once it is deleted."""
    row = tx.one(_BY_ID, account_id, mailbox_id)
    return None if row is None else _mailbox(row)


def special(tx: Transaction, account_id: int, use: SpecialUse) -> Mailbox | None:
    """The mailbox for that use, whatever its name is now."""
    row = tx.one(_BY_USE, account_id, use.value)
    return None if row is None else _mailbox(row)


def create(
    tx: Transaction, account_id: int, name: str, now: Instant, special_use: SpecialUse = SpecialUse.NONE
) -> Mailbox:
    """Makes a mailbox, not subscribed, with missing superior levels (RFC 3501 §6.3.3); a trailing `/` is cut.

    One that is made anew by its standard name is again for what it was, where no other mailbox is.
    `MailboxError`: ALREADYEXISTS, CANNOT (a name that cannot be, a special use that is taken), LIMIT.
    """
    name = _checked(name)
    if find(tx, account_id, name) is not None:
        raise MailboxError("ALREADYEXISTS", "there is such a mailbox already")
    usual = dict(_STANDARD).get(name, SpecialUse.NONE)
    if special_use is SpecialUse.NONE and usual is not SpecialUse.NONE and special(tx, account_id, usual) is None:
        special_use = usual
    if special_use is not SpecialUse.NONE and special(tx, account_id, special_use) is not None:
        raise MailboxError("CANNOT", "another mailbox has that special use")
    _make_superior(tx, account_id, name, now)
    return _make(tx, account_id, name, special_use, now)


def rename(tx: Transaction, account_id: int, name: str, new_name: str, now: Instant) -> Mailbox:
    """Renames with all inferior names; from INBOX its messages move to a new mailbox (RFC 3501 §6.3.5).

    `MailboxError`: NONEXISTENT, ALREADYEXISTS, CANNOT, LIMIT.
    """
    mailbox = find(tx, account_id, name)
    inferior = _inferior(tx, account_id, _normal(name))
    if mailbox is None and not inferior:
        raise MailboxError("NONEXISTENT", "there is no such mailbox")
    new_name = _checked(new_name)
    if find(tx, account_id, new_name) is not None:
        raise MailboxError("ALREADYEXISTS", "there is a mailbox of the new name already")
    if mailbox is not None and mailbox.name == INBOX:
        # RFC 3501 §6.3.5: all its messages go to a new mailbox; inferior names of INBOX are not touched.
        _make_superior(tx, account_id, new_name, now)
        made = _make(tx, account_id, new_name, SpecialUse.NONE, now)
        if mailbox.messages:
            placements.move(tx, account_id, mailbox.mailbox_id, placements.EVERY, made.mailbox_id)
        return _existing(tx, account_id, made.mailbox_id)
    old_name = _normal(name)
    if new_name.startswith(old_name + SEPARATOR):
        raise MailboxError("CANNOT", "a mailbox cannot become inferior to itself")
    affected = [] if mailbox is None else [mailbox]
    for each in affected + inferior:
        _checked(new_name + each.name[len(old_name) :])
    _make_superior(tx, account_id, new_name, now)
    change = ledger.advance(tx, account_id)
    for each in affected + inferior:
        moved_name = new_name + each.name[len(old_name) :]
        if find(tx, account_id, moved_name) is not None:
            raise MailboxError("ALREADYEXISTS", f"there is a mailbox {moved_name} already")
        tx.execute(_RENAME, account_id, each.mailbox_id, moved_name, change)
    # A superior name that was only implied exists from now on.
    return _existing(tx, account_id, mailbox.mailbox_id) if mailbox else _make(
        tx, account_id, new_name, SpecialUse.NONE, now
    )


def delete(tx: Transaction, account_id: int, name: str) -> None:
    """Deletes the mailbox with its messages; inferior names stay. INBOX cannot be deleted.

    `MailboxError`: NONEXISTENT, CANNOT.
    """
    mailbox = find(tx, account_id, name)
    if mailbox is None:
        raise MailboxError("NONEXISTENT", "there is no such mailbox")
    if mailbox.name == INBOX:
        raise MailboxError("CANNOT", "INBOX cannot be deleted")
    # An empty mailbox leaves no other trace, and sessions that have it open must learn of its end.
    ledger.advance(tx, account_id)
    _remove(tx, account_id, mailbox)


def remove_all(tx: Transaction, account_id: int) -> None:
    """Deletes all mailboxes with their messages, subscriptions and keywords, for an account that goes."""
    for mailbox in list_mailboxes(tx, account_id):
        _remove(tx, account_id, mailbox)
    tx.execute("DELETE FROM subscriptions WHERE account_id = $1", account_id)
    tx.execute("DELETE FROM keywords WHERE account_id = $1", account_id)
    tx.execute("DELETE FROM changes WHERE account_id = $1", account_id)


def subscribe(tx: Transaction, account_id: int, name: str) -> None:
    """Subscribes to a name, which need not exist (RFC 3501 §6.3.6). `MailboxError` CANNOT, LIMIT."""
    name = _checked(name)
    row = tx.one(_COUNT_SUBSCRIPTIONS, account_id)
    if row is not None and row[0] >= MAILBOX_LIMIT:
        raise MailboxError("LIMIT", f"an account has at most {MAILBOX_LIMIT} subscriptions")
    tx.execute(_SUBSCRIBE, account_id, name)


def unsubscribe(tx: Transaction, account_id: int, name: str) -> None:
    """Ends a subscription; none is fine, too."""
    tx.execute(_UNSUBSCRIBE, account_id, _normal(name))


def subscriptions(tx: Transaction, account_id: int) -> list[str]:
    """All names subscribed to, also those of mailboxes that are gone, by name."""
    return [row[0] for row in tx.all(_SUBSCRIPTIONS, account_id)]


def take_recent(tx: Transaction, account_id: int, mailbox_id: int) -> int:
    """The first UID that is \\Recent for the session that selects now; what comes before it is so no more.

    Needs a write transaction; EXAMINE reads `Mailbox.recent_from` instead (RFC 3501 §2.3.2). `MailboxError`
    NONEXISTENT.
    """
    row = tx.one(_RECENT, account_id, mailbox_id)
    if row is None:
        raise placements.nonexistent()
    recent_from, uidnext = row
    if recent_from != uidnext:
        tx.execute(_TAKE_RECENT, account_id, mailbox_id)
    first: int = recent_from
    return first


def quota(tx: Transaction, account_id: int) -> Quota:
    """What the account holds and may hold. `MailboxError` NONEXISTENT."""
    row = tx.one(_QUOTA, account_id)
    if row is None:
        raise MailboxError("NONEXISTENT", "there is no such account")
    return Quota(row[0], row[1])


def modseq(tx: Transaction, account_id: int) -> int:
    """The account's highest modification sequence: unequal to one seen before when anything has changed."""
    row = tx.one(_MODSEQ, account_id)
    return 0 if row is None else row[0]


def _mailbox(row: Row) -> Mailbox:
    account_id, mailbox_id, name, use, uidvalidity, uidnext, highest, subscribed, *counts = row
    return Mailbox(
        account_id, mailbox_id, name, _USES[use], uidvalidity, uidnext, highest, bool(subscribed), *counts
    )


def _existing(tx: Transaction, account_id: int, mailbox_id: int) -> Mailbox:
    mailbox = get(tx, account_id, mailbox_id)
    if mailbox is None:
        raise placements.nonexistent()
    return mailbox


def _make(tx: Transaction, account_id: int, name: str, use: SpecialUse, now: Instant) -> Mailbox:
    count = tx.one(_COUNT, account_id)
    if count is not None and count[0] >= MAILBOX_LIMIT:
        raise MailboxError("LIMIT", f"an account has at most {MAILBOX_LIMIT} mailboxes")
    # RFC 3501 §2.3.1.1: UIDVALIDITY must be greater for each mailbox that takes up a name again. 32 bits of seconds
    # last until 2106.
    row = tx.one(_NEXT, account_id, now // SECOND)
    if row is None:
        raise MailboxError("NONEXISTENT", "there is no such account")
    mailbox_id, uidvalidity, change = row
    tx.execute(_CREATE, account_id, mailbox_id, change, uidvalidity, use.value, name)
    return _existing(tx, account_id, mailbox_id)


def _make_superior(tx: Transaction, account_id: int, name: str, now: Instant) -> None:
    position = name.find(SEPARATOR)
    while position > 0:
        superior = name[:position]
        if find(tx, account_id, superior) is None:
            _make(tx, account_id, superior, SpecialUse.NONE, now)
        position = name.find(SEPARATOR, position + 1)


def _remove(tx: Transaction, account_id: int, mailbox: Mailbox) -> None:
    placements.expunge(tx, account_id, mailbox.mailbox_id, flagged=0)
    tx.execute(_FORGET, account_id, mailbox.mailbox_id)
    tx.execute(_DELETE, account_id, mailbox.mailbox_id)


def _inferior(tx: Transaction, account_id: int, name: str) -> list[Mailbox]:
    # Names that begin with "name/" lie between it and "name0", the character after the separator.
    low, high = name + SEPARATOR, name + chr(ord(SEPARATOR) + 1)
    return [_mailbox(row) for row in tx.all(_INFERIOR, account_id, low, high)]


def _normal(name: str) -> str:
    """One spelling for look-ups: NFC, INBOX and its inferior names in capitals where the first level is INBOX."""
    if not name.isascii():
        name = normalize("NFC", name)
    head, separator, rest = name.partition(SEPARATOR)
    return INBOX + separator + rest if head.upper() == INBOX else name


def _checked(name: str) -> str:
    """The name for a new mailbox. `MailboxError` CANNOT."""
    name = _normal(name.removesuffix(SEPARATOR))
    if not name or len(name.encode("utf-8", "surrogatepass")) > NAME_LIMIT:
        raise MailboxError("CANNOT", f"a mailbox name has 1 to {NAME_LIMIT} octets")
    if not name.isprintable():
        raise MailboxError("CANNOT", "a mailbox name has no control characters")
    if any(not level or level in (".", "..") for level in name.split(SEPARATOR)):
        raise MailboxError("CANNOT", "a mailbox name has no empty levels, nor . or ..")
    # RFC 3501 §6.3.8: % and * are wildcards of LIST.
    if "%" in name or "*" in name:
        raise MailboxError("CANNOT", "a mailbox name has neither % nor *")
    return name
