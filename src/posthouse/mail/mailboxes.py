"""Address lists in header fields (RFC 5322 §3.4): tolerant reading for display, ENVELOPE and search."""

from typing import NamedTuple

from posthouse.mail.address import Address


class Mailbox(NamedTuple):
    """One mailbox of a list.

    `display_name` is decoded and printable; a trailing comment stands in for a missing one. `address` is None where
    what stands there is no valid address. `raw` is the address as it stood, without comments and white space.
    `phrase` is the display name as it stood (quotes and comments taken off, encoded words left), for ENVELOPE.
    """

    display_name: str
    address: Address | None
    raw: str
    phrase: bytes = b""


class Group(NamedTuple):
    """A named group: `undisclosed-recipients:;`."""

    display_name: str
    members: tuple[Mailbox, ...]
    phrase: bytes = b""


def parse_address_list(value: bytes) -> tuple[Mailbox | Group, ...]:
    """Every mailbox and group in a field value; never raises, linear. For who wrote a mail see `author`."""
    raise NotImplementedError


def mailboxes(entries: tuple[Mailbox | Group, ...]) -> tuple[Mailbox, ...]:
    """All mailboxes of a list, those of groups included."""
    raise NotImplementedError
