"""Who is here: domains, accounts, aliases, and where an address leads (functions on `tx`).

Look-ups use `Address.key` and the domain. An alias is an address or `@domain` (catch-all) with one or more targets,
local or remote; a group is an alias with several. `user+tag@domain` leads to `user@domain` unless the full form is
itself an account or alias.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.mail.address import Address
from posthouse.mail.instant import Instant
from posthouse.store.database import Transaction

SEPARATOR = "+"
"""Between the local part proper and the tag, unless configured otherwise."""


class DirectoryError(ValueError):
    """A change that cannot be made; the text is a sentence for the admin."""


@dataclass(frozen=True, slots=True)
class Account:
    """One who can log in. `quota` in octets, None without limit; `octets` is what the mailboxes hold now.

    A suspended account cannot log in or submit; its mail is still received.
    """

    account_id: int
    address: Address
    name: str
    quota: int | None
    octets: int
    suspended: bool
    created: Instant


@dataclass(frozen=True, slots=True)
class Alias:
    """`name` is `"info@example.org"` or `"@example.org"`; `targets` in the order given."""

    name: str
    targets: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """One account that gets the message. `detail` is the tag after the separator, None without one."""

    account_id: int
    address: Address
    detail: str | None


@dataclass(frozen=True, slots=True)
class Local:
    """The address is ours. Each account and remote address occurs once; either tuple may be empty, not both.

    `chain` explains the way, one line a step: `"info@a.test → alice@a.test, bob@b.test"`.
    """

    accounts: tuple[Target, ...]
    remote: tuple[Address, ...]
    chain: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """The domain is ours, the address is not (550 5.1.1); `chain` tells where it ended."""

    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotOurs:
    """The domain is not ours: to be relayed, or refused."""


@dataclass(frozen=True, slots=True)
class Full:
    """The address is ours, but the mailbox of `address` has no room (452 4.2.2). One full member holds up a group."""

    address: Address


Resolution = Local | Unknown | NotOurs | Full


def resolve(tx: Transaction, address: Address, *, size: int = 0, separator: str = SEPARATOR) -> Resolution:
    """Where mail for `address` goes; `size` in octets is what is about to be added. At most 20 levels, 1,000 targets.

    `Address("postmaster", "")` (the bare postmaster of RFC 5321 §4.1.1.3) stands for the first domain's postmaster.
    `postmaster` and `abuse` of a local domain without account or alias lead to the first account (RFC 5321 §4.5.1).
    """
    raise NotImplementedError


def owned(tx: Transaction, account_id: int, *, separator: str = SEPARATOR) -> "Owned":
    """The addresses the account may write as: its own, tagged forms of it, aliases that lead to it."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Owned:
    """The addresses of one account; `in` also answers for tagged forms and catch-all domains."""

    addresses: tuple[Address, ...]
    domains: tuple[str, ...]
    separator: str

    def __contains__(self, address: Address) -> bool:
        raise NotImplementedError


def add_domain(tx: Transaction, domain: str, now: Instant) -> None:
    """`domain` lower case, A-labels. `DirectoryError` when it is there already or is no domain name."""
    raise NotImplementedError


def remove_domain(tx: Transaction, domain: str) -> None:
    """`DirectoryError` when it is not there or still has accounts; its aliases go with it."""
    raise NotImplementedError


def domains(tx: Transaction) -> list[str]:
    """All local domains, oldest first."""
    raise NotImplementedError


def is_local(tx: Transaction, domain: str) -> bool:
    """Whether the domain (lower case, A-labels) is ours."""
    raise NotImplementedError


def add_account(
    tx: Transaction, account_id: int, address: Address, now: Instant, *, name: str = "", quota: int | None = None
) -> Account:
    """Makes an account with its mailboxes; `account_id` from `Ids`. No password yet: see `credentials.save`.

    `DirectoryError` when the domain is not ours or the address is taken by an account or alias.
    """
    raise NotImplementedError


def remove_account(tx: Transaction, account_id: int) -> None:
    """Removes the account, its password, mailboxes and messages. Aliases that name it stay and lead nowhere."""
    raise NotImplementedError


def account(tx: Transaction, account_id: int) -> Account | None:
    """The account with that id."""
    raise NotImplementedError


def find_account(tx: Transaction, address: Address) -> Account | None:
    """The account with exactly that address (by key; no aliases, no tags): who logs in."""
    raise NotImplementedError


def accounts(tx: Transaction) -> list[Account]:
    """All accounts, by domain and name."""
    raise NotImplementedError


def set_suspended(tx: Transaction, account_id: int, suspended: bool) -> None:
    """Locks the account out, or lets it in again."""
    raise NotImplementedError


def set_quota(tx: Transaction, account_id: int, quota: int | None) -> None:
    """`quota` in octets; None lifts the limit. What is stored stays, even beyond it."""
    raise NotImplementedError


def add_alias(tx: Transaction, name: str, targets: Sequence[Address]) -> Alias:
    """Adds targets to an alias, making it when new. `name` as in `Alias`.

    `DirectoryError`: the name's domain is not ours, the name is an account's, no target, or a name that is no address.
    """
    raise NotImplementedError


def remove_alias(tx: Transaction, name: str, targets: Sequence[Address] = ()) -> None:
    """Takes targets from the alias, or (none given) the whole; `DirectoryError` when it is not there."""
    raise NotImplementedError


def aliases(tx: Transaction) -> list[Alias]:
    """All aliases, by domain and name."""
    raise NotImplementedError
