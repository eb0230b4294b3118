"""Messages in mailboxes: adding, reading, flags, copying, removing (functions on `tx`).

A *message row* holds what was found out once at delivery, a *placement* puts it into a mailbox under a UID with flags;
copying adds a placement only. Each change of an account takes the next `modseq`. New messages need no entry in the log
of changes, since UIDs grow with `modseq`; changed flags and removals are one log entry for each operation, whose UIDs
are kept as ranges.

UIDs are given as `Uids`: inclusive ranges, rising and apart, as `wire.imap.sequence` makes them; those that do
not exist are passed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.mail.flags import Flag
from posthouse.mail.instant import Instant
from posthouse.store.database import Row, Transaction

Uids = Sequence[tuple[int, int]]
EVERY: Uids = ((1, 0xFFFFFFFF),)
"""Every message of the mailbox."""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """What is filed about a message; the same value serves several recipients except for `prefix` and its sizes.

    `prefix` is what we put in front of the blob (Return-Path, Received, …); `size` is RFC822.SIZE: prefix and body;
    `header_size` the octets of the header with its empty line, the prefix included. `received_at` is INTERNALDATE.
    `envelope` and `bodystructure` (extended) are as IMAP sends them. `flags` is a bitmask of `Flag` and of the bits
    that `keywords.bits` gave out. The texts are decoded, for search, threads and lists.
    """

    blob_id: int
    prefix: bytes
    size: int
    header_size: int
    received_at: Instant
    sent_at: Instant | None
    envelope: bytes
    bodystructure: bytes
    flags: int = 0
    message_id: str = ""
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    subject: str = ""
    base_subject: str = ""
    header_from: str = ""
    header_to: str = ""
    header_cc: str = ""
    header_bcc: str = ""
    has_attachment: bool = False
    preview: str = ""


@dataclass(frozen=True, slots=True)
class Added:
    """Where a message went."""

    uid: int
    modseq: int
    uidvalidity: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A placement's flags after a change; `flags` as in `NewMessage`."""

    uid: int
    flags: int
    modseq: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened in a mailbox since a modseq: `changed` by rising UID (new messages are among them).

    `expunged` as ranges; None where the log does not reach back so far: compare with `snapshot` then.
    `modseq` is what to ask with next time, `uidnext` and `messages` the mailbox's own now.
    """

    changed: tuple[Changed, ...]
    expunged: Uids | None
    modseq: int
    uidnext: int
    messages: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """UIDs (rising), flags and modseqs of a whole mailbox, index by index."""

    uids: list[int]
    flags: list[int]
    modseqs: list[int]


@dataclass(frozen=True, slots=True)
class Moved:
    """A copy or move: `source` UIDs became `target` UIDs in order (COPYUID), in a mailbox with `uidvalidity`."""

    uidvalidity: int
    source: tuple[int, ...]
    target: tuple[int, ...]


def add(tx: Transaction, account_id: int, mailbox_id: int, message_key: int, message: NewMessage) -> Added:
    """Files a message; `message_key` is a fresh one from `Ids`; its blob is put by the same transaction.

    Quota is counted but not enforced here (RCPT and APPEND ask before). `MailboxError` NONEXISTENT.
    """
    raise NotImplementedError


def snapshot(tx: Transaction, account_id: int, mailbox_id: int) -> Snapshot:
    """UIDs and flags of all messages."""
    raise NotImplementedError


def changes(tx: Transaction, account_id: int, mailbox_id: int, since: int) -> Changes:
    """What happened after modseq `since`; costs as much as happened, however large the mailbox is."""
    raise NotImplementedError


def fetch(tx: Transaction, account_id: int, mailbox_id: int, uids: Uids, columns: Sequence[str]) -> list[Row]:
    """The columns asked for of each message, by rising UID, in one query for each range.

    Columns: uid flags modseq size received_at message_key | blob_id prefix header_size sent_at envelope bodystructure
    message_id in_reply_to references subject base_subject header_from header_to header_cc header_bcc has_attachment
    preview | digest octets. Those before the first bar are the cheapest. `references` are separated by spaces;
    `octets` is the body without prefix, None for a large one (`Blobs.read`), and its digest is then to be checked by
    `blobs.checked`. ValueError for another name.
    """
    raise NotImplementedError


def store_flags(
    tx: Transaction,
    account_id: int,
    mailbox_id: int,
    uids: Uids,
    *,
    add: int = 0,
    remove: int = 0,
    replace: int | None = None,
    unchanged_since: int | None = None,
) -> list[Changed]:
    """Adds, removes or replaces flags; gives those that really changed. All take one modseq.

    With `unchanged_since` those with a higher modseq are passed over (RFC 7162 §3.1.3).
    """
    raise NotImplementedError


def copy(tx: Transaction, account_id: int, mailbox_id: int, uids: Uids, target_id: int) -> Moved:
    """Copies to another mailbox (or the same), flags and INTERNALDATE kept. `MailboxError` NONEXISTENT, OVERQUOTA."""
    raise NotImplementedError


def move(tx: Transaction, account_id: int, mailbox_id: int, uids: Uids, target_id: int) -> Moved:
    """Moves to another mailbox; at no time is a message in both or neither (RFC 6851). `MailboxError` NONEXISTENT."""
    raise NotImplementedError


def expunge(
    tx: Transaction, account_id: int, mailbox_id: int, uids: Uids = EVERY, *, flagged: int = Flag.DELETED
) -> list[int]:
    """Removes those of `uids` that have all of the `flagged` bits (0: whatever their flags); gives their UIDs."""
    raise NotImplementedError


def locate(tx: Transaction, account_id: int, message_id: str) -> list[tuple[int, int]]:
    """(mailbox_id, uid) of the account's messages with that Message-ID (no brackets), newest first, at most 100."""
    raise NotImplementedError
