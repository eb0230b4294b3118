"""Who is here: domains, accounts, aliases, and where an address leads (functions on `tx`).

Look-ups use `Address.key` and the domain. An alias is an address or `@domain` (catch-all) with one or more targets,
local or remote; a group is an alias with several. `user+tag@domain` leads to `user@domain` unless the full form is
itself an account or alias.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from posthouse.mail.address import Address, AddressError
from posthouse.mail.instant import Instant
from posthouse.store import correspondents, credentials, junk, learners, mailboxes
from posthouse.store.database import Row, Transaction

SEPARATOR = "+"
"""Between the local part proper and the tag, unless configured otherwise."""
DEPTH_LIMIT = 20
"""Most aliases one after another on the way to an account."""
TARGET_LIMIT = 1_000
"""Most targets of an alias, and of an address in the end."""


class DirectoryError(ValueError):
    """A change that cannot be made; the text is a sentence for the admin."""


class Account(NamedTuple):
    """One who can log in. `quota` in octets, None without limit; `octets` is what the mailboxes hold now.

    A suspended account cannot log in, submit or go on reading; its mail is still received.
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


class Target(NamedTuple):
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


@dataclass(frozen=True, slots=True)
class Owned:
    """The addresses of one account; `in` also answers for tagged forms and catch-all domains."""

    addresses: tuple[Address, ...]
    domains: tuple[str, ...]
    separator: str
    _keys: frozenset[tuple[str, str]] = field(repr=False)
    _others: frozenset[tuple[str, str]] = field(repr=False)

    def __contains__(self, address: Address) -> bool:
        key, domain = address.key, address.domain
        if (key, domain) in self._keys:
            return True
        base = _base(key, self.separator)
        # An address with a tag, or of a catch-all domain, may be somebody else's own.
        if (key, domain) in self._others or (base, domain) in self._others:
            return False
        return (base, domain) in self._keys or domain in self.domains


_ACCOUNT_COLUMNS = "account_id, local_part, domain, name, quota, octets, suspended, created"
_ACCOUNT = f"SELECT {_ACCOUNT_COLUMNS} FROM accounts WHERE account_id = $1"  # noqa: S608
_BY_ADDRESS = f"SELECT {_ACCOUNT_COLUMNS} FROM accounts WHERE domain = $1 AND local_key = $2"  # noqa: S608
_NEIGHBOURS = "SELECT local_part, domain, name FROM accounts WHERE domain = $1 ORDER BY account_id LIMIT $2"
_ACCOUNTS = f"SELECT {_ACCOUNT_COLUMNS} FROM accounts ORDER BY domain, local_key"  # noqa: S608
_FIRST_ACCOUNT = f"{_ACCOUNT.replace('account_id = $1', 'domain = $1')} ORDER BY account_id LIMIT 1"
_ADD_ACCOUNT = (
    "INSERT INTO accounts (account_id, modseq, octets, logged, logged_from, last_mailbox, last_uidvalidity, quota,"
    " suspended, domain, local_key, local_part, name, created) VALUES ($1, 1, 0, 0, 0, 0, 0, $2, 0, $3, $4, $5, $6, $7)"
)
_SUSPEND = "UPDATE accounts SET suspended = $2, modseq = modseq + 1 WHERE account_id = $1"

_LOCAL = "SELECT 1 FROM domains WHERE domain = $1"
_DOMAINS = "SELECT domain FROM domains ORDER BY created, domain"
_INHABITED = "SELECT 1 FROM accounts WHERE domain = $1 LIMIT 1"

_TARGETS = (
    "SELECT target_local_part, target_domain FROM aliases WHERE domain = $1 AND local_key = $2 ORDER BY position"
)
_ALIASES = (
    "SELECT local_part, domain, target_local_part, target_domain FROM aliases ORDER BY domain, local_key, position"
)
_LEADING_TO = (
    "SELECT DISTINCT local_part, domain, local_key FROM aliases WHERE target_domain = $1 AND"
    " (target_key = $2 OR target_key >= $3 AND target_key < $4)"
)
_LAST_POSITION = "SELECT COALESCE(MAX(position), 0) FROM aliases WHERE domain = $1 AND local_key = $2"
_ADD_TARGET = (
    "INSERT INTO aliases (domain, local_key, position, local_part, target_domain, target_key, target_local_part)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7)"
)
_REMOVE_ALIAS = "DELETE FROM aliases WHERE domain = $1 AND local_key = $2"
_REMOVE_TARGET = f"{_REMOVE_ALIAS} AND target_domain = $3 AND target_key = $4"
_KEYS = (
    "SELECT local_key FROM accounts WHERE domain = $1 AND local_key >= $2 AND local_key < $3"
    " UNION SELECT local_key FROM aliases WHERE domain = $1 AND local_key >= $2 AND local_key < $3"
)
_LAST = "\U0010ffff"


def resolve(
    tx: Transaction, address: Address, *, size: int = 0, separator: str = SEPARATOR, hostname: str = ""
) -> Resolution:
    """Where mail for `address` goes; `size` in octets is what is about to be added. At most 20 levels, 1,000 targets.

    `Address("postmaster", "")` (the bare postmaster of RFC 5321 §4.1.1.3) stands for the first domain's postmaster;
    so does postmaster of `hostname`, our own name, in which our notices are written, where that is no local domain.
    `postmaster` and `abuse` of a local domain without account or alias lead to the first account (RFC 5321 §4.5.1).
    """
    if not address.domain:
        row = tx.one(_DOMAINS + " LIMIT 1")
        if row is None:
            return Unknown(("there is no local domain",))
        address = Address(address.local_part, row[0])
    row = tx.one(_BY_ADDRESS, address.domain, address.key)
    if row is not None:
        account = _account(row)
        if account.quota is None or account.octets + size <= account.quota:
            return Local((Target(account.account_id, account.address, None),), (), ())
        return Full(account.address)
    walk = _Walk(tx, separator, size)
    if not walk.visit(address, 0):
        if hostname and address.domain == hostname and address.key == "postmaster":
            return resolve(tx, Address(address.local_part, ""), size=size, separator=separator)
        return NotOurs()
    if walk.full is not None:
        return Full(walk.full)
    if not walk.targets and not walk.remote:
        return Unknown(tuple(walk.chain))
    return Local(tuple(walk.targets.values()), tuple(walk.remote.values()), tuple(walk.chain))


class _Walk:
    """One way through the aliases: what was seen, and where it led."""

    def __init__(self, tx: Transaction, separator: str, size: int) -> None:
        self._tx = tx
        self._separator = separator
        self._size = size
        self._seen: set[tuple[str, str]] = set()
        self._way: list[Address] = []  # from where it began to where it is
        self.circle: tuple[Address, ...] = ()
        """A way that came back to itself, if there was one: its first address again at its end."""
        self.targets: dict[int, Target] = {}
        self.remote: dict[tuple[str, str], Address] = {}
        self.chain: list[str] = []
        self.full: Address | None = None

    def visit(self, address: Address, depth: int) -> bool:
        """Follows one address; False when its domain is not ours."""
        key, domain = address.key, address.domain
        if (key, domain) in self._seen:
            self._close(key, domain)
            return True
        self._seen.add((key, domain))
        row = self._tx.one(_BY_ADDRESS, domain, key)
        if row is not None:
            self._arrive(row, None)
            return True
        if self._follow(address, self._tx.all(_TARGETS, domain, key), depth):
            return True
        base = _base(key, self._separator)
        if base != key:
            detail = address.local_part.partition(self._separator)[2]
            row = self._tx.one(_BY_ADDRESS, domain, base)
            if row is not None:
                self._arrive(row, detail)
                return True
            if self._follow(address, self._tx.all(_TARGETS, domain, base), depth):
                return True
        if self._tx.one(_LOCAL, domain) is None:
            return False
        # What asks for routing (`u%r`, `r!u`, `u@r`) is no name that somebody may have meant to be caught.
        caught = [] if address.carries_routing else self._tx.all(_TARGETS, domain, "")
        if not self._follow(address, caught, depth):
            self._duty(address, key)
        return True

    def _close(self, key: str, domain: str) -> None:
        """Where the address is on the way that led to it, that is a circle."""
        for start, address in enumerate(self._way):
            if address.domain == domain and address.key == key:
                self.circle = self.circle or (*self._way[start:], address)

    def _arrive(self, row: Row, detail: str | None) -> None:
        account = _account(row)
        if account.quota is not None and account.octets + self._size > account.quota:
            self.full = self.full or account.address
        if account.account_id not in self.targets:
            self.targets[account.account_id] = Target(account.account_id, account.address, detail)

    def _follow(self, address: Address, rows: list[Row], depth: int) -> bool:
        if not rows:
            return False
        targets = [Address(*row) for row in rows]
        self.chain.append(f"{address} → {', '.join([str(target) for target in targets])}")
        if depth >= DEPTH_LIMIT:
            self.chain.append(f"more than {DEPTH_LIMIT} aliases one after another")
            return True
        self._way.append(address)
        for target in targets:
            if len(self.targets) + len(self.remote) >= TARGET_LIMIT:
                self.chain.append(f"more than {TARGET_LIMIT} targets")
                break
            if not self.visit(target, depth + 1):
                self.remote.setdefault((target.key, target.domain), target)
        self._way.pop()
        return True

    def _duty(self, address: Address, key: str) -> None:
        """Nobody has the address. RFC 5321 §4.5.1, RFC 2142 §4: postmaster and abuse reach somebody all the same."""
        row = self._tx.one(_FIRST_ACCOUNT, address.domain) if key in ("postmaster", "abuse") else None
        if row is None:
            self.chain.append(f"{address}: nobody has this address")
        else:
            self.chain.append(f"{address} → {_account(row).address} (the domain's first account)")
            self._arrive(row, None)


def owned(tx: Transaction, account_id: int, *, separator: str = SEPARATOR) -> Owned:
    """The addresses the account may write as: its own, tagged forms of it, aliases that lead to it.

    None where it is suspended or gone.
    """
    found = account(tx, account_id)
    if found is None or found.suspended:
        return Owned((), (), separator, frozenset(), frozenset())
    addresses = {(found.address.key, found.address.domain): found.address}
    domains: list[str] = []
    waiting = [found.address]
    while waiting and len(addresses) < TARGET_LIMIT:
        target = waiting.pop()
        low, high = _tagged(target.key, separator)
        for local_part, domain, key in tx.all(_LEADING_TO, target.domain, target.key, low, high):
            if not key:
                if domain not in domains:
                    domains.append(domain)
            elif (key, domain) not in addresses:
                addresses[key, domain] = alias = Address(local_part, domain)
                waiting.append(alias)
    keys = frozenset(addresses)
    others = {(key, domain) for domain in domains for key in _keys(tx, domain, "", _LAST)}
    for key, domain in keys:
        others.update((other, domain) for other in _keys(tx, domain, *_tagged(key, separator)))
    return Owned(tuple(addresses.values()), tuple(domains), separator, keys, frozenset(others - keys))


def add_domain(tx: Transaction, domain: str, now: Instant) -> None:
    """`domain` lower case, A-labels. `DirectoryError` when it is there already or is no domain name."""
    try:
        if domain.startswith("[") or Address.parse(f"postmaster@{domain}").domain != domain:
            raise DirectoryError(f"{domain} is no domain name in lower case and ASCII")
    except AddressError as error:
        raise DirectoryError(f"{domain} is no domain name: {error}") from None
    if not tx.execute("INSERT INTO domains (domain, created) VALUES ($1, $2) ON CONFLICT DO NOTHING", domain, now):
        raise DirectoryError(f"the domain {domain} is there already")


def remove_domain(tx: Transaction, domain: str) -> None:
    """`DirectoryError` when it is not there or still has accounts; its aliases go with it."""
    if tx.one(_INHABITED, domain) is not None:
        raise DirectoryError(f"the domain {domain} still has accounts: remove them first")
    if not tx.execute("DELETE FROM domains WHERE domain = $1", domain):
        raise DirectoryError(f"there is no domain {domain}")
    tx.execute("DELETE FROM aliases WHERE domain = $1", domain)


def domains(tx: Transaction) -> list[str]:
    """All local domains, oldest first."""
    return [row[0] for row in tx.all(_DOMAINS)]


def is_local(tx: Transaction, domain: str) -> bool:
    """Whether the domain (lower case, A-labels) is ours."""
    return tx.one(_LOCAL, domain) is not None


def add_account(
    tx: Transaction, account_id: int, address: Address, now: Instant, *, name: str = "", quota: int | None = None
) -> Account:
    """Makes an account with its mailboxes; `account_id` from `Ids`. No password yet: see `credentials.save`.

    `DirectoryError` when the domain is not ours, the address is taken by an account or alias, or the name holds
    control characters.
    """
    _require_local(tx, address.domain)
    key = address.key
    _require_name(name)
    if tx.one(_BY_ADDRESS, address.domain, key) is not None:
        raise DirectoryError(f"there is an account {address} already")
    if tx.one(_TARGETS, address.domain, key) is not None:
        raise DirectoryError(f"{address} is an alias already")
    _require_quota(quota)
    tx.execute(_ADD_ACCOUNT, account_id, quota, address.domain, key, address.local_part, name, now)
    mailboxes.create_account_mailboxes(tx, account_id, now)
    return Account(account_id, address, name, quota, 0, False, now)


def remove_account(tx: Transaction, account_id: int) -> None:
    """Removes the account, its password, mailboxes and messages. Aliases that name it stay and lead nowhere.

    `DirectoryError` when it is not there.
    """
    if tx.one(_ACCOUNT, account_id) is None:
        raise DirectoryError("there is no such account")
    mailboxes.remove_all(tx, account_id)
    credentials.remove(tx, account_id)
    for room in (correspondents, junk):
        room.remove_all(tx, account_id)
    learners.remove(tx, account_id)
    tx.execute("DELETE FROM accounts WHERE account_id = $1", account_id)


def account(tx: Transaction, account_id: int) -> Account | None:
    """The account with that id."""
    row = tx.one(_ACCOUNT, account_id)
    return None if row is None else _account(row)


def find_account(tx: Transaction, address: Address) -> Account | None:
    """The account with exactly that address (by key; no aliases, no tags): who logs in."""
    row = tx.one(_BY_ADDRESS, address.domain, address.key)
    return None if row is None else _account(row)


def accounts(tx: Transaction) -> list[Account]:
    """All accounts, by domain and name."""
    return [_account(row) for row in tx.all(_ACCOUNTS)]


def neighbours(tx: Transaction, domain: str, limit: int) -> list[tuple[Address, str]]:
    """Addresses and names of the accounts of one domain, the oldest first."""
    return [(Address(local_part, domain), name) for local_part, domain, name in tx.all(_NEIGHBOURS, domain, limit)]


def is_open(tx: Transaction, account_id: int) -> bool:
    """Whether there is such an account and it is not suspended."""
    found = account(tx, account_id)
    return found is not None and not found.suspended


def set_suspended(tx: Transaction, account_id: int, suspended: bool) -> None:
    """Locks the account out, or lets it in again. `DirectoryError` when it is not there.

    Its modseq moves on, so that sessions that are open look, and see it.
    """
    if not tx.execute(_SUSPEND, account_id, int(suspended)):
        raise DirectoryError("there is no such account")


def set_name(tx: Transaction, account_id: int, name: str) -> None:
    """The name shown to others. `DirectoryError`: as for `add_account`."""
    _require_name(name)
    if not tx.execute("UPDATE accounts SET name = $2 WHERE account_id = $1", account_id, name):
        raise DirectoryError("there is no such account")


def set_quota(tx: Transaction, account_id: int, quota: int | None) -> None:
    """`quota` in octets; None lifts the limit. What is stored stays, even beyond it. `DirectoryError`."""
    _require_quota(quota)
    if not tx.execute("UPDATE accounts SET quota = $2 WHERE account_id = $1", account_id, quota):
        raise DirectoryError("there is no such account")


def add_alias(tx: Transaction, name: str, targets: Sequence[Address]) -> Alias:
    """Adds targets to an alias, making it when new. `name` as in `Alias`.

    `DirectoryError`: the name's domain is not ours, the name is an account's, no target, too many of them, a name that
    is no address, or a target from which mail would come back. (What is removed later may still close a circle: then
    `resolve` ends, and finds nobody.)
    """
    local_part, key, domain = _alias_name(name)
    _require_local(tx, domain)
    if not targets:
        raise DirectoryError("an alias needs a target")
    if key and tx.one(_BY_ADDRESS, domain, key) is not None:
        raise DirectoryError(f"{name} is an account already")
    present = [Address(*row) for row in tx.all(_TARGETS, domain, key)]
    known = {(target.key, target.domain) for target in present}
    row = tx.one(_LAST_POSITION, domain, key)
    position = row[0] if row else 0
    for target in targets:
        if not target.domain or target.domain.startswith("["):
            raise DirectoryError(f"{target} cannot be the target of an alias")
        if (target.key, target.domain) in known:
            continue
        known.add((target.key, target.domain))
        present.append(target)
        position += 1
        tx.execute(
            _ADD_TARGET, domain, key, position, local_part, target.domain, target.key, target.local_part
        )
    if len(present) > TARGET_LIMIT:
        raise DirectoryError(f"an alias has at most {TARGET_LIMIT} targets")
    walk = _Walk(tx, SEPARATOR, 0)
    for target in targets:
        walk.visit(target, 0)
    if walk.circle:
        raise DirectoryError(f"mail for {name} would go round in a circle: {' → '.join(map(str, walk.circle))}")
    return Alias(_alias_text(local_part, domain), tuple(present))


def remove_alias(tx: Transaction, name: str, targets: Sequence[Address] = ()) -> None:
    """Takes targets from the alias, or (none given) the whole; `DirectoryError` when it is not there."""
    _, key, domain = _alias_name(name)
    if not targets:
        if not tx.execute(_REMOVE_ALIAS, domain, key):
            raise DirectoryError(f"there is no alias {name}")
        return
    for target in targets:
        if not tx.execute(_REMOVE_TARGET, domain, key, target.domain, target.key):
            raise DirectoryError(f"{name} does not lead to {target}")


def aliases(tx: Transaction) -> list[Alias]:
    """All aliases, by domain and name."""
    found: dict[str, list[Address]] = {}
    for local_part, domain, target_local_part, target_domain in tx.all(_ALIASES):
        found.setdefault(_alias_text(local_part, domain), []).append(Address(target_local_part, target_domain))
    return [Alias(name, tuple(targets)) for name, targets in found.items()]


def _account(row: Row) -> Account:
    account_id, local_part, domain, name, quota, octets, suspended, created = row
    return Account(account_id, Address(local_part, domain), name, quota, octets, bool(suspended), created)


def _base(key: str, separator: str) -> str:
    """The key without its tag; the key itself where it has none."""
    position = key.find(separator) if separator else -1
    return key[:position] if position > 0 else key


def _tagged(key: str, separator: str) -> tuple[str, str]:
    """Between which keys (the first included) the tagged forms of a key lie."""
    return (key + separator, key + separator + _LAST) if separator else (_LAST, _LAST)


def _keys(tx: Transaction, domain: str, low: str, high: str) -> Iterable[str]:
    """The keys of accounts and aliases of a domain, without the catch-all's."""
    return [row[0] for row in tx.all(_KEYS, domain, low, high) if row[0]]


def _require_local(tx: Transaction, domain: str) -> None:
    if not is_local(tx, domain):
        raise DirectoryError(f"{domain} is not one of our domains: add it first")


def _require_name(name: str) -> None:
    # Names come to stand in header fields and on terminals.
    if not name.isprintable():
        raise DirectoryError("a name holds no line breaks or other control characters")


def _require_quota(quota: int | None) -> None:
    if quota is not None and quota < 0:
        raise DirectoryError("a quota is not negative")


def _alias_name(name: str) -> tuple[str, str, str]:
    """Local part, key and domain of an alias; the first two empty for a catch-all."""
    catch_all = name.startswith("@")
    try:
        address = Address.parse(f"any{name}" if catch_all else name)
    except AddressError as error:
        raise DirectoryError(f"{name} is no address: {error}") from None
    return ("", "", address.domain) if catch_all else (address.local_part, address.key, address.domain)


def _alias_text(local_part: str, domain: str) -> str:
    return str(Address(local_part, domain)) if local_part else f"@{domain}"
