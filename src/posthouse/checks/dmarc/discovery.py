"""The DNS tree walk: whose DMARC record counts for a domain, and to which organization it belongs (RFC 9989 §4.10).

    lookups = Lookups(dns)
    found = await lookups.walk("a.mail.example.com")      records from there upwards, the longest name first
    select_organization("a.mail.example.com", found)      "example.com"
    await lookups.organizational_domain("mail.example.com")

A walk asks at most 8 questions, however long the name is, and all walks for one message share their answers.
"""

from collections.abc import Sequence
from typing import NamedTuple

from posthouse.checks.dmarc.record import Record, parse
from posthouse.checks.evidence import asked
from posthouse.mail.dns import Dns, DnsFault
from posthouse.mail.verdict import Evidence

# RFC 9989 §4.10: names with this many labels or more are asked for, then cut to one label less.
LABELS = 8
# So many questions for one message, and so many without an answer: enough for every honest one.
QUESTIONS = 50
FAULTS = 2

_NAME_OCTETS = 253


class Found(NamedTuple):
    """A record and the domain that publishes it."""

    domain: str
    record: Record


class Lookups:
    """The questions about one message: each is asked once, and all are kept as evidence.

    `flaws` are sentences about what was found and could not count. Beyond QUESTIONS or FAULTS every further question
    raises DnsFault without being asked.
    """

    __slots__ = ("_asked", "_dns", "_exists", "_faults", "evidence", "flaws")

    def __init__(self, dns: Dns) -> None:
        self.evidence: list[Evidence] = []
        self.flaws: list[str] = []
        self._dns = dns
        self._asked: dict[str, Record | None] = {}
        self._exists: dict[str, bool] = {}
        self._faults = 0

    async def record(self, domain: str) -> Record | None:
        """The one DMARC record of the domain itself; None where there is none, or more than one. May raise DnsFault."""
        if domain in self._asked:
            return self._asked[domain]
        name = f"_dmarc.{domain}"
        record = None
        if len(name) <= _NAME_OCTETS:
            self._spend()
            try:
                answer = await self._dns.txt(name)
            except DnsFault:
                self._fault("TXT", name)
                raise
            self.evidence.append(asked("TXT", name, [octets.decode("latin-1") for octets in answer.records]))
            records = [record for record in map(parse, answer.records) if record is not None]
            if len(records) > 1:
                # RFC 9989 §4.10 step 2: several are as good as none.
                self.flaws.append(f"{name} has {len(records)} DMARC records, so none of them counts")
            record = records[0] if len(records) == 1 else None
            # RFC 8020: a name exists if there is anything below it.
            if answer.exists:
                self._exists[domain] = True
        self._asked[domain] = record
        return record

    async def exists(self, domain: str) -> bool:
        """Whether the domain exists, with or without records (RFC 9989 §3.2.13). May raise DnsFault."""
        if domain not in self._exists:
            self._spend()
            try:
                answer = await self._dns.a(domain)
            except DnsFault:
                self._fault("A", domain)
                raise
            self.evidence.append(asked("A", domain, answer.records))
            self._exists[domain] = answer.exists
        return self._exists[domain]

    async def walk(self, domain: str) -> tuple[Found, ...]:
        """Every record from the domain upwards, up to the first that says whether it is a public suffix."""
        found: list[Found] = []
        for target in targets(domain):
            record = await self.record(target)
            if record is not None:
                found.append(Found(target, record))
                if record.psd != "u":
                    break
        return tuple(found)

    async def organizational_domain(self, domain: str) -> str:
        """The organizational domain of a domain, by a walk of its own (§4.10.2). May raise DnsFault."""
        return select_organization(domain, await self.walk(domain))

    def _spend(self) -> None:
        if len(self.evidence) >= QUESTIONS or self._faults >= FAULTS:
            raise DnsFault("no more questions are asked about this message")

    def _fault(self, kind: str, name: str) -> None:
        self._faults += 1
        self.evidence.append(asked(kind, name, ["no answer"]))


def targets(domain: str) -> list[str]:
    """The domains that a walk from `domain` asks about, in their order."""
    labels = domain.split(".")
    shorter = labels[1:] if len(labels) < LABELS else labels[1 - LABELS :]
    return [domain, *(".".join(shorter[cut:]) for cut in range(len(shorter)))]


def select_organization(start: str, found: Sequence[Found]) -> str:
    """The organizational domain of `start`, given what its walk found (RFC 9989 §4.10.2)."""
    for domain, record in found:
        if record.psd == "n":
            return domain
        if record.psd == "y" and domain != start:
            # One label below the public suffix.
            below = start[: -len(domain) - 1]
            return f"{below.rpartition('.')[2]}.{domain}"
    return found[-1].domain if found else start
