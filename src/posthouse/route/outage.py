"""Names that do not answer: how long mail is put off for them.

    late = await outages.is_late(case, domain)       whether the domain has not answered for half a day already
    outages.noting(case, domain)                     the unit that writes down that it did not answer now

Mail whose author's policy cannot be asked for is put off, since the answer would decide (`dmarc-unknown`). A domain
whose name servers are broken for good must not lose its mail for that: what comes after half a day is judged without
the answer. The memory is that of the greylist, one row for a domain; after two days it begins anew.
"""

from functools import partial
from typing import Final

from posthouse.mail.instant import HOUR
from posthouse.route.case import Case
from posthouse.route.refusal import Unit
from posthouse.store import greylist
from posthouse.store.database import Database, StoreFault
from posthouse.store.greylist import Attempt

# Longer than most faults, shorter than the patience of nearly every queue.
WAIT: Final = 12 * HOUR


class Outages:
    """The memory of one house."""

    def __init__(self, db: Database) -> None:
        self._db = db

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
        return partial(greylist.put_off, attempt=Attempt.of_domain(domain), now=case.now)
