"""Names that do not answer: how long mail is put off for them.

    late = await outages.is_late(case, domain)       whether the domain has not answered for half a day already
    outages.noting(case, domain)                     the unit that writes down that it did not answer now
    outages.ending(findings)                         the unit that forgets it, where the domain answers again, or None

Mail whose author's policy cannot be asked for is put off, since the answer would decide (`dmarc-unknown`). A domain
whose name servers are broken for good must not lose its mail for that: what comes after half a day is judged without
the answer. The memory is that of the greylist, one row for a domain; after two days it begins anew. It also begins anew
once mail of the domain passes with every name answered, lest two short faults hours apart count for one that lasts. Who
noted a domain looks for that himself: so of all other mail no question is put to the store.
"""

from functools import partial
from typing import Final

from posthouse.mail.instant import HOUR
from posthouse.route.authentication import Findings
from posthouse.route.case import Case
from posthouse.route.refusal import Unit
from posthouse.store import greylist
from posthouse.store.database import Database, StoreFault
from posthouse.store.greylist import Attempt

# Longer than most faults, shorter than the patience of nearly every queue.
WAIT: Final = 12 * HOUR
# Domains that this process noted; of more it forgets that it did, and their two days go by.
_NOTED_MOST: Final = 10_000


class Outages:
    """The memory of one house."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._noted: set[str] = set()

    async def is_late(self, case: Case, domain: str) -> bool:
        """Never raises: where the store cannot be asked, there is time enough."""
        key = Attempt.of_domain(domain)
        try:
            since = await self._db.read(partial(greylist.waiting_since, attempt=key, now=case.now), quick=True)
        except StoreFault:
            return False
        return since is not None and case.now - since >= WAIT

    def noting(self, case: Case, domain: str) -> Unit:
        """Written with the refusal."""
        if len(self._noted) >= _NOTED_MOST:
            self._noted.clear()
        self._noted.add(domain)
        return partial(greylist.put_off, attempt=Attempt.of_domain(domain), now=case.now)

    def ending(self, findings: Findings) -> Unit | None:
        """Written with whatever becomes of the message. A failure of DMARC tells nothing: anybody can bring one."""
        found, domain = findings.dmarc, findings.author.domain
        if domain not in self._noted or found is None or found.result not in ("pass", "none"):
            return None
        if any(identifier.might_speak for identifier in found.identifiers):
            return None
        self._noted.discard(domain)
        return partial(greylist.forget, attempt=Attempt.of_domain(domain))
