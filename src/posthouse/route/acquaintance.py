"""What single accounts know, kept at hand: whom they may be deceived with, and how much they have called junk.

    for knowledge in await acquaintances.of(envelope, now): …     the accounts that a message goes to
    knowledge.lookalike("examp1e.com"), knowledge.circle          what `checks.lookalike` and `checks.impostor` want
    unit = knowledge.hears(author, "Carol", now)                  None where that was noted a moment ago
    unit = written(account_id, rcpt_to, header, now)              whom an account writes to, from a submission

An account knows its correspondents (`store.correspondents`), and with everybody else of its domain a household: our own
domains, the names that the settings protect, and the people who have accounts in its domain, unless there are so many
that they are strangers to each other. The people of other domains are nobody's affair.

Everything is a copy of what is in the store, within bounds: hints say when one is out of date, and each is looked at
again after `LOOK`. An account that is new, or knows nobody, costs a look into a dict.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

from posthouse.checks import lookalike
from posthouse.checks.impostor import Acquaintance, Circle
from posthouse.checks.lookalike import Index, Kin, Known, Lookalike
from posthouse.mail.address import Address
from posthouse.mail.envelope import Envelope, RcptTo
from posthouse.mail.headers import Header
from posthouse.mail.instant import MINUTE, SECOND, Instant
from posthouse.mail.mailboxes import mailboxes
from posthouse.store import correspondents, directory, learners
from posthouse.store.correspondents import Correspondent
from posthouse.store.database import Database, Transaction
from posthouse.store.directory import Local
from posthouse.store.hints import Hints
from posthouse.store.learners import Learner, learnt_topic

Unit = Callable[[Transaction], None]

LOOK: Final = 30 * SECOND
"""So long a copy of what an account knows is believed without a hint."""
ACCOUNTS: Final = 100
"""Of a message for more accounts than this, the others have no opinion."""

# People of an account that others are compared with, the latest; accounts at hand, and people of all of them together.
_FAMILIAR: Final = 500
_ACCOUNTS_KEPT: Final = 10_000
_PEOPLE_KEPT: Final = 20_000
_ADDRESSES_KEPT: Final = 10_000
# People of one domain who may all know each other, and domains of ours.
_PEOPLE: Final = 500
_DOMAINS: Final = 10_000
_HOUSEHOLDS_KEPT: Final = 200
# Each name takes some fifty microseconds to lay out; more than these in a thread.
_FEW: Final = 20
_HOUSEHOLD_LASTS: Final = 5 * MINUTE
_LOOKALIKES_KEPT: Final = 5_000
# Whom an account was heard to hear from, so that each is written down once an hour.
_HEARD_KEPT: Final = 20_000
# A message for more people than this is no correspondence.
_WRITTEN: Final = 50

_NOBODY: Final = Index()


class Household:
    """What all accounts of a domain have in common. `named`: it has people or brands by whose names one may deceive."""

    __slots__ = ("_looked", "circle", "index", "loaded", "made_of", "named")

    def __init__(self, domains: list[str], people: list[Acquaintance], protected: Sequence[Known]) -> None:
        known = [*(Known(domain, Kin.OWN) for domain in domains), *protected]
        self.made_of = (domains, people)
        self.index = Index(known)
        self.circle = Circle(people, known, index=self.index)
        self.named = any(person.display_name for person in people) or any(entry.name for entry in protected)
        self.loaded: Instant = 0
        self._looked: dict[str, Lookalike] = {}

    def lookalike(self, domain: str) -> Lookalike:
        """Compares with what all accounts know; the same few domains write again and again."""
        found = self._looked.get(domain)
        if found is None:
            if len(self._looked) >= _LOOKALIKES_KEPT:
                self._looked.clear()
            found = self._looked[domain] = lookalike.check(domain, self.index)
        return found


class Knowledge:
    """What one account knows. `people` counts those whom it is familiar with."""

    __slots__ = ("_index", "account_id", "circle", "household", "learner", "looked", "people")

    def __init__(
        self, account_id: int, learner: Learner, household: Household, familiar: Sequence[Correspondent]
    ) -> None:
        self.account_id = account_id
        self.learner = learner
        self.household = household
        self.people = len(familiar)
        self.looked: Instant = 0
        if not familiar:
            self._index, self.circle = _NOBODY, household.circle
            return
        self._index = Index(Known(person.address.domain) for person in familiar)
        people = (Acquaintance(each.name, each.address) for each in familiar)
        self.circle = Circle(people, beside=household.circle, index=self._index)

    @property
    def named(self) -> bool:
        """Whether there is anybody by whose name the account may be deceived."""
        return self.people > 0 or self.household.named

    def lookalike(self, domain: str) -> Lookalike:
        """Compares the domain with all that the account knows."""
        if not self.people:
            return self.household.lookalike(domain)
        return lookalike.check(domain, self.household.index, self._index)


class _Way(NamedTuple):
    """Which accounts an address leads to, and when that was asked."""

    at: Instant
    accounts: tuple[tuple[int, str], ...]


class Acquaintances:
    """The knowledge of the accounts of one house. `protected` are the names of the settings."""

    def __init__(self, db: Database, hints: Hints, hostname: str, protected: Iterable[Known] = ()) -> None:
        self._db = db
        self._hints = hints
        self._hostname = hostname
        self._protected = tuple(protected)
        self._ways: dict[Address, _Way] = {}
        self._known: dict[int, Knowledge] = {}
        self._unsubscribe: dict[int, Callable[[], None]] = {}
        self._people = 0
        self._households: dict[str, Household] = {}
        self._heard: dict[tuple[int, Address], Instant] = {}

    async def of(self, envelope: Envelope, now: Instant) -> list[Knowledge]:
        """What the accounts know that the recipients lead to, each once, at most `ACCOUNTS`. May raise StoreFault."""
        ways = [self._ways.get(rcpt.address) for rcpt in envelope.rcpt_to]
        if any(way is None or not 0 <= now - way.at < LOOK for way in ways):
            ways = await self._find_ways(envelope.rcpt_to, now)
        accounts = dict(pair for way in ways if way is not None for pair in way.accounts)
        chosen = list(accounts.items())[:ACCOUNTS]
        found = [self._known.get(account_id) for account_id, _ in chosen]
        if any(knowledge is None or not self._fresh(knowledge, now) for knowledge in found):
            await self._refresh(chosen, now)
            found = [self._known.get(account_id) for account_id, _ in chosen]
        return [knowledge for knowledge in found if knowledge is not None]

    def hears(self, knowledge: Knowledge, author: Address, name: str, now: Instant) -> Unit | None:
        """What notes that the account heard from somebody whose name is proved; None where that is known."""
        key = (knowledge.account_id, author)
        if 0 <= now - self._heard.get(key, 0) < correspondents.OCCASION:
            return None
        if len(self._heard) >= _HEARD_KEPT:
            self._heard.clear()
        self._heard[key] = now
        return partial(_note, account_id=knowledge.account_id, people=((author, name),), now=now, wrote=False)

    def close(self) -> None:
        """Listens to no hints any more."""
        for unsubscribe in self._unsubscribe.values():
            unsubscribe()
        self._unsubscribe.clear()

    def _fresh(self, knowledge: Knowledge, now: Instant) -> bool:
        return 0 <= now - knowledge.looked < LOOK and 0 <= now - knowledge.household.loaded < _HOUSEHOLD_LASTS

    async def _find_ways(self, rcpts: Sequence[RcptTo], now: Instant) -> list[_Way | None]:
        addresses = [rcpt.address for rcpt in rcpts]
        few = len(addresses) <= 10
        found = await self._db.read(partial(_ways, addresses=addresses, hostname=self._hostname, now=now), quick=few)
        if len(self._ways) + len(found) > _ADDRESSES_KEPT:
            self._ways.clear()
        # Of a message for thousands the first are the ones that are looked at.
        self._ways.update(zip(addresses[:ACCOUNTS], found[:ACCOUNTS], strict=True))
        return list(found)

    async def _refresh(self, accounts: Sequence[tuple[int, str]], now: Instant) -> None:
        """Looks whether what is at hand still holds, and brings what does not."""
        ids = [account_id for account_id, _ in accounts]
        numbers = await self._db.read(partial(_numbers, ids=ids), quick=len(ids) <= 10)
        domains = dict.fromkeys(domain for _, domain in accounts)
        households = {domain: await self._household(domain, now) for domain in domains}
        for account_id, domain in accounts:
            learner, household = numbers[account_id], households[domain]
            knowledge = self._known.get(account_id)
            if (
                knowledge is None
                or knowledge.learner.version != learner.version
                or knowledge.household is not household
            ):
                familiar: list[Correspondent] = []
                if learner.correspondents:
                    load = partial(correspondents.familiar, account_id=account_id, limit=_FAMILIAR)
                    familiar = await self._db.read(load)
                knowledge = await _made(account_id, learner, household, familiar)
                self._keep(knowledge)
            knowledge.learner = learner
            knowledge.looked = now

    async def _household(self, domain: str, now: Instant) -> Household:
        household = self._households.get(domain)
        if household is not None and 0 <= now - household.loaded < _HOUSEHOLD_LASTS:
            return household
        domains, people = await self._db.read(partial(_neighbours, domain=domain))
        if household is None or household.made_of != (domains, people):
            make = partial(Household, domains, people, self._protected)
            household = make() if len(domains) + len(people) <= _FEW else await asyncio.to_thread(make)
        household.loaded = now
        if len(self._households) >= _HOUSEHOLDS_KEPT:
            self._households.clear()
        self._households[domain] = household
        return household

    def _keep(self, knowledge: Knowledge) -> None:
        account_id = knowledge.account_id
        self._drop(account_id)
        self._known[account_id] = knowledge
        self._people += knowledge.people
        self._unsubscribe[account_id] = self._hints.subscribe(
            learnt_topic(account_id), partial(self._look_again, account_id)
        )
        while len(self._known) > _ACCOUNTS_KEPT or (self._people > _PEOPLE_KEPT and len(self._known) > 1):
            self._drop(next(iter(self._known)))

    def _drop(self, account_id: int) -> None:
        knowledge = self._known.pop(account_id, None)
        if knowledge is not None:
            self._people -= knowledge.people
            self._unsubscribe.pop(account_id)()

    def _look_again(self, account_id: int) -> None:
        knowledge = self._known.get(account_id)
        if knowledge is not None:
            knowledge.looked = 0


def written(account_id: int, rcpt_to: Sequence[RcptTo], header: Header, now: Instant) -> Unit | None:
    """What notes whom an account wrote to, with the names that it gives them in To and Cc; None for mass mail."""
    addresses = dict.fromkeys(rcpt.address for rcpt in rcpt_to)
    if not addresses or len(addresses) > _WRITTEN:
        return None
    named = mailboxes((*header.addresses("to"), *header.addresses("cc"))[:_WRITTEN])
    names = {(each.address.key, each.address.domain): each.display_name for each in named if each.address is not None}
    people = tuple((address, names.get((address.key, address.domain), "")) for address in addresses)
    return partial(_note, account_id=account_id, people=people, now=now, wrote=True)


def _note(
    tx: Transaction, account_id: int, people: Sequence[tuple[Address, str]], now: Instant, wrote: bool
) -> None:
    for address, name in people:
        correspondents.note(tx, account_id, address, name, now, wrote=wrote)


async def _made(
    account_id: int, learner: Learner, household: Household, familiar: Sequence[Correspondent]
) -> Knowledge:
    make = partial(Knowledge, account_id, learner, household, familiar)
    return make() if len(familiar) <= _FEW else await asyncio.to_thread(make)


def _ways(tx: Transaction, addresses: Sequence[Address], hostname: str, now: Instant) -> list[_Way]:
    return [_Way(now, _accounts(tx, address, hostname)) for address in addresses]


def _accounts(tx: Transaction, address: Address, hostname: str) -> tuple[tuple[int, str], ...]:
    resolution = directory.resolve(tx, address, hostname=hostname)
    if not isinstance(resolution, Local):
        return ()
    return tuple((target.account_id, target.address.domain) for target in resolution.accounts[:ACCOUNTS])


def _numbers(tx: Transaction, ids: Sequence[int]) -> dict[int, Learner]:
    return {account_id: learners.find(tx, account_id) for account_id in ids}


def _neighbours(tx: Transaction, domain: str) -> tuple[list[str], list[Acquaintance]]:
    people = [Acquaintance(name, address, own=True) for address, name in directory.neighbours(tx, domain, _PEOPLE + 1)]
    return directory.domains(tx)[:_DOMAINS], people if len(people) <= _PEOPLE else []
