"""Replacing the keys that sign a domain's mail, a step at a time, as often as it takes (RFC 6376 §3.1, §6.1.2).

    publish    new keys are made; their records have to be published
    switch     they are seen in the DNS: from now on they sign, and the old ones are retired
    withdraw   nothing signed with the old ones is under way any more: their records may be taken out

Between these steps there is waiting, for the DNS and for mail under way; `advance` looks which step is due, and takes
it or says what it waits for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from posthouse.cli.office import Office, now
from posthouse.cli.records import Record, key_records, zone_line
from posthouse.cli.terminal import Complaint
from posthouse.mail.dns import Dns, DnsFault
from posthouse.mail.instant import DAY, Instant, rfc3339
from posthouse.serve.resolver import Resolver
from posthouse.store import signing
from posthouse.store.database import Transaction
from posthouse.store.signing import KeyState, StoredKey

# Beyond the time that mail waits in our queue, it waits in those of forwarders, and is read late.
LATE = 3 * DAY

_OVERTAKEN = "the keys of {} were changed at the same time, by another call; nothing was done, call again"
KEYLESS = "{} cannot have keys: it is no name below which others could ask for them"


class Step(StrEnum):
    """What was done, or is waited for."""

    PUBLISHED = "published"
    UNSEEN = "unseen"
    SWITCHED = "switched"
    RETIRED = "retired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of a call. `records` are those that the step is about: to be published, or taken out; `unseen` are
    sentences about those that were looked for; `due` is when the next step may be taken."""

    step: Step
    records: Sequence[Record]
    unseen: Sequence[str] = ()
    due: Instant | None = None
    selectors: Sequence[str] = field(default=())

    @property
    def waits(self) -> bool:
        """Whether nothing was done, since it is too early."""
        return self.step in (Step.UNSEEN, Step.RETIRED)

    def facts(self) -> dict[str, object]:
        """For JSON."""
        return {
            "step": self.step.value,
            "selectors": list(self.selectors),
            "records": [record.facts() for record in self.records],
            "unseen": list(self.unseen),
            "due": None if self.due is None else rfc3339(self.due),
        }


async def advance(office: Office, domain: str, *, force: bool) -> Turn:
    """Takes the step that is due for a domain of ours. With `force` nothing is waited for."""
    keys = await office.database.read(lambda tx: signing.keys(tx, domain))
    by_state = {state: [key for key in keys if key.state is state] for state in KeyState}
    if by_state[KeyState.PUBLISHED]:
        return await _switch(office, domain, by_state[KeyState.PUBLISHED], force)
    if by_state[KeyState.RETIRED]:
        return await _withdraw(office, domain, by_state[KeyState.RETIRED], force)
    return await _publish(office, domain, keys)


async def _publish(office: Office, domain: str, known: Sequence[StoredKey]) -> Turn:
    at = now()
    made = signing.generate(domain, at, [key.selector for key in known])
    if not made:
        raise Complaint(KEYLESS.format(domain))

    def unit(tx: Transaction) -> list[StoredKey]:
        # Somebody else may have called meanwhile: then theirs are the keys to be published.
        if signing.keys(tx, domain) == known:
            signing.add(tx, made, KeyState.PUBLISHED, at)
        return [key for key in signing.keys(tx, domain) if key.state is KeyState.PUBLISHED]

    published = await office.database.write(unit)
    if not published:
        raise Complaint(_OVERTAKEN.format(domain))
    return _turn(Step.PUBLISHED, published)


async def _switch(office: Office, domain: str, published: Sequence[StoredKey], force: bool) -> Turn:
    settings = office.config.dns
    if not force:
        resolver = Resolver(
            [(server.host, server.port) for server in settings.servers], timeout=settings.timeout.seconds
        )
        try:
            unseen = [words for key in published if (words := await look(resolver, key))]
        finally:
            await resolver.close()
        if unseen:
            return _turn(Step.UNSEEN, published, unseen=unseen)
    at = now()

    wanted = {key.selector for key in published}

    def unit(tx: Transaction) -> bool:
        # What another call has published meanwhile was not looked for. If it switched, that is well.
        if {key.selector for key in signing.keys(tx, domain) if key.state is KeyState.PUBLISHED} == wanted:
            signing.switch(tx, domain, at)
        return wanted <= {key.selector for key in signing.active(tx, domain)}

    if not await office.database.write(unit):
        raise Complaint(_OVERTAKEN.format(domain))
    return _turn(Step.SWITCHED, published, due=at + office.config.queue.expire + LATE)


async def _withdraw(office: Office, domain: str, retired: Sequence[StoredKey], force: bool) -> Turn:
    at = now()
    due = max(key.retired or 0 for key in retired) + office.config.queue.expire + LATE
    if at < due and not force:
        return _turn(Step.RETIRED, retired, due=due)
    await office.database.write(lambda tx: signing.withdraw(tx, domain, at, at))
    return _turn(Step.WITHDRAWN, retired)


async def look(dns: Dns, key: StoredKey) -> str:
    """Why the record of the key cannot be relied on yet, or ""."""
    try:
        answer = await dns.txt(key.dns_name)
    except DnsFault as fault:
        return f"{key.dns_name}: the DNS gave no answer ({fault})"
    if not answer.records:
        return f"{key.dns_name}: there is no TXT record yet"
    found = [record.decode("utf-8", "replace") for record in answer.records]
    # RFC 6376 §3.6.2.2: more than one record, and nobody knows which one counts.
    if len(found) > 1 or "".join(found[0].split()) != "".join(key.record.split()):
        return f"{key.dns_name}: there is another TXT record than the one to be published"
    return ""


def _turn(step: Step, keys: Sequence[StoredKey], *, unseen: Sequence[str] = (), due: Instant | None = None) -> Turn:
    return Turn(step, key_records(keys), unseen, due, [key.selector for key in keys])


def words(domain: str, turn: Turn) -> str:
    """What a person reads: what was done, the records it is about, and what is next."""
    names = ", ".join(turn.selectors)
    lines = "".join(f"{zone_line(record)}\n" for record in turn.records)
    again = f"posthouse domain rotate-dkim {domain}"
    until = "" if turn.due is None else rfc3339(turn.due)
    if turn.step is Step.PUBLISHED:
        return (
            f"Step 1 of 3: new keys are made ({names}); mail is still signed with the old ones.\n"
            f"Publish these records now:\n\n{lines}\n"
            f"Then call {again} again: it looks whether they are there, and switches.\n"
        )
    if turn.step is Step.UNSEEN:
        told = "".join(f"  {sentence}\n" for sentence in turn.unseen)
        return f"Not yet: the new keys are not in the DNS as they have to be.\n{told}\nTo be published:\n\n{lines}"
    if turn.step is Step.SWITCHED:
        return (
            f"Step 2 of 3: mail of {domain} is signed with {names} from now on.\n"
            "Leave the records of the old keys where they are, for mail that is still under way.\n"
            f"From {until} on, call {again} again: it tells which records may go.\n"
        )
    if turn.step is Step.RETIRED:
        return f"Not yet: mail signed with {names} may be under way until {until}. Leave the records where they are.\n"
    return f"Step 3 of 3: {names} are needed no more. Take these records out of the DNS:\n\n{lines}"
