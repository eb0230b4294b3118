"""The mailboxes (folders) of an account: names, special uses, counters (functions on `tx`; messages: `messages`).

Names are Unicode with `/` between levels; "INBOX" in any case is `INBOX`, the wire's modified UTF-7 is decoded by the
caller. Counters are kept in the mailbox's row: a delivery writes that row anyway for its UID, and STATUS then costs
the same for an empty mailbox and for one of 500,000 messages.
"""

from dataclasses import dataclass
from enum import StrEnum

from posthouse.mail.instant import Instant
from posthouse.store.database import Transaction

INBOX = "INBOX"
SEPARATOR = "/"
NAME_LIMIT = 255
"""Longest name of a mailbox in octets of UTF-8, all levels together."""
MAILBOX_LIMIT = 10_000
"""Most mailboxes of an account."""


class SpecialUse(StrEnum):
    """What a mailbox is for (RFC 6154 §2). The value is stored; empty for none."""

    NONE = ""
    INBOX = "inbox"
    DRAFTS = "drafts"
    SENT = "sent"
    ARCHIVE = "archive"
    JUNK = "junk"
    TRASH = "trash"


class MailboxError(Exception):
    """What was asked of a mailbox cannot be done; the text is a sentence for the client.

    `code` is the response code of RFC 5530: `NONEXISTENT`, `ALREADYEXISTS`, `CANNOT`, `LIMIT`, `OVERQUOTA`.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class Mailbox:
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


def create_account_mailboxes(tx: Transaction, account_id: int, now: Instant) -> None:
    """Makes INBOX, Drafts, Sent, Archive, Junk and Trash, subscribed; `directory.add_account` calls it."""
    raise NotImplementedError


def list_mailboxes(tx: Transaction, account_id: int) -> list[Mailbox]:
    """All, INBOX first, then by name."""
    raise NotImplementedError


def find(tx: Transaction, account_id: int, name: str) -> Mailbox | None:
    """By name; case counts except for INBOX."""
    raise NotImplementedError


def get(tx: Transaction, account_id: int, mailbox_id: int) -> Mailbox | None:
    """By id; None once it is deleted."""
    raise NotImplementedError


def special(tx: Transaction, account_id: int, use: SpecialUse) -> Mailbox | None:
    """The mailbox for that use, whatever its name is now."""
    raise NotImplementedError


def create(
    tx: Transaction, account_id: int, name: str, now: Instant, special_use: SpecialUse = SpecialUse.NONE
) -> Mailbox:
    """Makes a mailbox, subscribed to nothing, with missing superior levels (RFC 3501 §6.3.3); a trailing `/` is cut.

    `MailboxError`: ALREADYEXISTS, CANNOT (a name that cannot be, a special use that is taken), LIMIT.
    """
    raise NotImplementedError


def rename(tx: Transaction, account_id: int, name: str, new_name: str, now: Instant) -> Mailbox:
    """Renames with all inferior names; from INBOX its messages move to a new mailbox (RFC 3501 §6.3.5).

    `MailboxError`: NONEXISTENT, ALREADYEXISTS, CANNOT.
    """
    raise NotImplementedError


def delete(tx: Transaction, account_id: int, name: str) -> None:
    """Deletes the mailbox with its messages; inferior names stay. INBOX cannot be deleted.

    `MailboxError`: NONEXISTENT, CANNOT.
    """
    raise NotImplementedError


def subscribe(tx: Transaction, account_id: int, name: str) -> None:
    """Subscribes to a name, which need not exist (RFC 3501 §6.3.6)."""
    raise NotImplementedError


def unsubscribe(tx: Transaction, account_id: int, name: str) -> None:
    """Ends a subscription; none is fine, too."""
    raise NotImplementedError


def subscriptions(tx: Transaction, account_id: int) -> list[str]:
    """All names subscribed to, also those of mailboxes that are gone, by name."""
    raise NotImplementedError


def take_recent(tx: Transaction, account_id: int, mailbox_id: int) -> int:
    """The first UID that is \\Recent for the session that selects now; what comes before it is so no more.

    Needs a write transaction; EXAMINE reads `Mailbox.recent_from` instead (RFC 3501 §2.3.2).
    """
    raise NotImplementedError


def quota(tx: Transaction, account_id: int) -> Quota:
    """What the account holds and may hold."""
    raise NotImplementedError


def modseq(tx: Transaction, account_id: int) -> int:
    """The account's highest modification sequence: unequal to one seen before when anything has changed."""
    raise NotImplementedError
