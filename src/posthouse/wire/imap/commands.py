"""The commands of IMAP as values, and how their arguments are read (RFC 3501 §6 and extensions).

A reader is called with the scanner right behind the command's name; that nothing follows the last argument is
checked by the engine. Mailbox names are Unicode in NFC, flags are bits and keywords, dates are instants.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from dataclasses import dataclass
from enum import Enum, StrEnum

from posthouse.mail.flags import Flag
from posthouse.mail.instant import Instant
from posthouse.wire.imap import scanner as scan
from posthouse.wire.imap import sections
from posthouse.wire.imap.faults import Malformed
from posthouse.wire.imap.scanner import Scanner
from posthouse.wire.imap.search import Key, criteria
from posthouse.wire.imap.sequence import SequenceSet


@dataclass(frozen=True, slots=True)
class Capability:
    """Answered by the engine."""


@dataclass(frozen=True, slots=True)
class Noop:
    """Show what changed."""


@dataclass(frozen=True, slots=True)
class Logout:
    """Answered by the engine."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """Answer OK, swap the transport, then tell the engine."""


@dataclass(frozen=True, slots=True)
class Authenticate:
    """A SASL exchange; `initial` is decoded, None where absent, empty for `=` (RFC 4959)."""

    mechanism: str
    initial: bytes | None


@dataclass(frozen=True, slots=True)
class Login:
    """A name and a password in the clear."""

    userid: str
    password: str


@dataclass(frozen=True, slots=True)
class Identify:
    """ID: what the client says of itself (RFC 2971)."""

    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Enable:
    """Answered by the engine (RFC 5161)."""

    keywords: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT, or EXAMINE where `read_only`."""

    mailbox: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Create:
    """Make a mailbox; a trailing separator is still there."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a mailbox."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Rename:
    """Give a mailbox another name."""

    mailbox: str
    new_name: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """SUBSCRIBE, or UNSUBSCRIBE where not `subscribed`."""

    mailbox: str
    subscribed: bool


@dataclass(frozen=True, slots=True)
class ListMailboxes:
    """LIST, or LSUB where `subscribed`. `reference` and `pattern` are as given, apart."""

    reference: str
    pattern: str
    subscribed: bool


@dataclass(frozen=True, slots=True)
class Namespace:
    """Which namespaces there are (RFC 2342)."""


class StatusItem(StrEnum):
    """What STATUS can tell."""

    MESSAGES = "MESSAGES"
    RECENT = "RECENT"
    UIDNEXT = "UIDNEXT"
    UIDVALIDITY = "UIDVALIDITY"
    UNSEEN = "UNSEEN"


@dataclass(frozen=True, slots=True)
class Status:
    """Facts about a mailbox that need not be selected."""

    mailbox: str
    items: tuple[StatusItem, ...]


@dataclass(frozen=True, slots=True)
class Append:
    """A message for a mailbox; its `size` octets follow as events once the engine is told to proceed."""

    mailbox: str
    flags: Flag
    keywords: tuple[str, ...]
    internal_date: Instant | None
    size: int


@dataclass(frozen=True, slots=True)
class Idle:
    """Wait and tell (RFC 2177)."""


@dataclass(frozen=True, slots=True)
class Check:
    """A checkpoint: nothing to do where every reply is durable already."""


@dataclass(frozen=True, slots=True)
class Close:
    """Leave the mailbox; CLOSE removes what is marked deleted, UNSELECT does not (RFC 3691)."""

    expunge: bool


@dataclass(frozen=True, slots=True)
class Expunge:
    """Remove what is marked deleted; within `uids` only, where given (RFC 4315)."""

    uids: SequenceSet | None


@dataclass(frozen=True, slots=True)
class Search:
    """Find messages; the answer is in unique identifiers where `uid`."""

    key: Key
    uid: bool


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read messages."""

    numbers: SequenceSet
    items: sections.Items
    uid: bool


class Change(Enum):
    """What STORE does with the flags named."""

    REPLACE = b""
    ADD = b"+"
    REMOVE = b"-"


@dataclass(frozen=True, slots=True)
class Store:
    """Change flags; `silent` wants no word about it."""

    numbers: SequenceSet
    change: Change
    silent: bool
    flags: Flag
    keywords: tuple[str, ...]
    uid: bool


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy messages."""

    numbers: SequenceSet
    mailbox: str
    uid: bool


@dataclass(frozen=True, slots=True)
class Move:
    """Move messages (RFC 6851)."""

    numbers: SequenceSet
    mailbox: str
    uid: bool


Command = (
    Capability | Noop | Logout | StartTls | Authenticate | Login | Identify | Enable | Select | Create | Delete
    | Rename | Subscribe | ListMailboxes | Namespace | Status | Append | Idle | Check | Close | Expunge | Search
    | Fetch | Store | Copy | Move
)  # fmt: skip

# RFC 2971 §3.3.
MAX_ID_FIELDS = 30
MAX_ID_NAME = 30
MAX_ID_VALUE = 1024


def authenticate(scanner: Scanner) -> Authenticate:
    """AUTHENTICATE SP auth-type [SP initial-response]."""
    scanner.space()
    mechanism = scanner.atom().decode("ascii").upper()
    if scanner.at == len(scanner.octets):
        return Authenticate(mechanism, None)
    scanner.space()
    octets = scanner.word(_BASE64, "an initial response")
    # RFC 4959 §3: "=" is a response that is there and empty.
    initial = b"" if octets == b"=" else response(octets)
    if initial is None:
        raise Malformed("the initial response is not base64")
    return Authenticate(mechanism, initial)


_BASE64 = re.compile(rb"=|[A-Za-z0-9+/]+=*")


def response(line: bytes) -> bytes | None:
    """A SASL response decoded; None where the client gives up with `*`, or where it is not base64."""
    try:
        return a2b_base64(line, strict_mode=True)
    except Base64Error:
        return None


def login(scanner: Scanner) -> Login:
    """LOGIN SP userid SP password."""
    scanner.space()
    userid = scanner.astring()
    scanner.space()
    try:
        return Login(userid.decode("utf-8"), scanner.astring().decode("utf-8"))
    except UnicodeDecodeError:
        raise Malformed("name or password is not UTF-8") from None


def identify(scanner: Scanner) -> Identify:
    """ID SP (NIL or a list of names and values)."""
    scanner.space()
    if scanner.accept(b"NIL"):
        return Identify(())
    scanner.expect(b"(", "a list")
    fields: list[tuple[str, str]] = []
    while not scanner.accept(b")"):
        if fields:
            scanner.space()
        name = scanner.string()
        scanner.space()
        value = scanner.nstring() or b""
        if len(name) > MAX_ID_NAME or len(value) > MAX_ID_VALUE or len(fields) == MAX_ID_FIELDS:
            raise Malformed("ID says too much")
        fields.append((name.decode("utf-8", "replace"), value.decode("utf-8", "replace")))
    return Identify(tuple(fields))


def enable(scanner: Scanner) -> Enable:
    """ENABLE 1*(SP capability)."""
    keywords: list[str] = []
    while not keywords or scanner.at < len(scanner.octets):
        scanner.space()
        keywords.append(scanner.atom().decode("ascii").upper())
    return Enable(tuple(keywords))


def select(scanner: Scanner) -> Select:
    """SELECT SP mailbox."""
    scanner.space()
    return Select(scanner.mailbox(), read_only=False)


def examine(scanner: Scanner) -> Select:
    """EXAMINE SP mailbox."""
    scanner.space()
    return Select(scanner.mailbox(), read_only=True)


def create(scanner: Scanner) -> Create:
    """CREATE SP mailbox."""
    scanner.space()
    return Create(scanner.mailbox())


def delete(scanner: Scanner) -> Delete:
    """DELETE SP mailbox."""
    scanner.space()
    return Delete(scanner.mailbox())


def rename(scanner: Scanner) -> Rename:
    """RENAME SP mailbox SP mailbox."""
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    return Rename(mailbox, scanner.mailbox())


def subscribe(scanner: Scanner) -> Subscribe:
    """SUBSCRIBE SP mailbox."""
    scanner.space()
    return Subscribe(scanner.mailbox(), subscribed=True)


def unsubscribe(scanner: Scanner) -> Subscribe:
    """UNSUBSCRIBE SP mailbox."""
    scanner.space()
    return Subscribe(scanner.mailbox(), subscribed=False)


def list_mailboxes(scanner: Scanner) -> ListMailboxes:
    """LIST SP mailbox SP list-mailbox."""
    return _listing(scanner, subscribed=False)


def lsub(scanner: Scanner) -> ListMailboxes:
    """LSUB SP mailbox SP list-mailbox."""
    return _listing(scanner, subscribed=True)


def _listing(scanner: Scanner, *, subscribed: bool) -> ListMailboxes:
    scanner.space()
    reference = scanner.mailbox()
    scanner.space()
    return ListMailboxes(reference, scanner.list_mailbox(), subscribed)


def status(scanner: Scanner) -> Status:
    """STATUS SP mailbox SP list of items."""
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    scanner.expect(b"(", "a list of items")
    items: dict[StatusItem, None] = {}
    while not items or not scanner.accept(b")"):
        if items:
            scanner.space()
        try:
            items[StatusItem(scanner.atom().decode("ascii").upper())] = None
        except ValueError:
            raise Malformed("no such STATUS item") from None
    return Status(mailbox, tuple(items))


_ANNOUNCED = re.compile(rb"\{([0-9]{1,10})\+?\}\r\n")


def append(scanner: Scanner) -> Append:
    """APPEND SP mailbox [SP flag-list] [SP date-time] SP, up to the announcement of the message.

    Raises Incomplete where the literal announced is not the message but the mailbox name.
    """
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    flags, keywords = scan.NO_FLAGS
    internal_date = None
    if scanner.octets[scanner.at : scanner.at + 1] == b"(":
        flags, keywords = scan.flags(scanner)
        scanner.space()
    if scanner.octets[scanner.at : scanner.at + 1] == b'"':
        internal_date = scan.date_time(scanner)
        scanner.space()
    found = _ANNOUNCED.fullmatch(scanner.octets, scanner.at)
    if found is None:
        raise Malformed("a message as a literal expected")
    scanner.at = found.end()
    return Append(mailbox, flags, keywords, internal_date, int(found[1]))


def uid_expunge(scanner: Scanner) -> Expunge:
    """UID EXPUNGE SP sequence-set."""
    scanner.space()
    return Expunge(scanner.sequence_set())


def search(scanner: Scanner, *, uid: bool = False) -> Search:
    """SEARCH [SP CHARSET SP astring] 1*(SP search-key)."""
    scanner.space()
    return Search(criteria(scanner), uid)


def fetch(scanner: Scanner, *, uid: bool = False) -> Fetch:
    """FETCH SP sequence-set SP items."""
    scanner.space()
    numbers = scanner.sequence_set()
    scanner.space()
    return Fetch(numbers, sections.items(scanner), uid)


_STORE_ITEM = re.compile(rb"([+-]?)FLAGS(\.SILENT)?", re.IGNORECASE)


def store(scanner: Scanner, *, uid: bool = False) -> Store:
    """STORE SP sequence-set SP [+ or -]FLAGS[.SILENT] SP flags."""
    scanner.space()
    numbers = scanner.sequence_set()
    scanner.space()
    found = _STORE_ITEM.match(scanner.octets, scanner.at)
    if found is None:
        raise Malformed("FLAGS expected")
    scanner.at = found.end()
    scanner.space()
    flags, keywords = scan.flags(scanner, bare=True)
    return Store(numbers, Change(found[1]), found[2] is not None, flags, keywords, uid)


def copy(scanner: Scanner, *, uid: bool = False) -> Copy:
    """COPY SP sequence-set SP mailbox."""
    scanner.space()
    numbers = scanner.sequence_set()
    scanner.space()
    return Copy(numbers, scanner.mailbox(), uid)


def move(scanner: Scanner, *, uid: bool = False) -> Move:
    """MOVE SP sequence-set SP mailbox."""
    scanner.space()
    numbers = scanner.sequence_set()
    scanner.space()
    return Move(numbers, scanner.mailbox(), uid)
