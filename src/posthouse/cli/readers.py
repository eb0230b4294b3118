"""A message with the eyes of the accounts it is for: whom they know, and what they have called junk.

    readers = Readers(office)
    insight = await readers.look(case, findings, ruling)
    insight.knowledge, insight.opinion              of the first account among the recipients; None where there is none

Nothing is noted down: to explain a message is not to receive it.
"""

from typing import NamedTuple

from posthouse import wiring
from posthouse.cli.office import Office, now
from posthouse.route.acceptance import Acceptance
from posthouse.route.acquaintance import Acquaintances, Knowledge
from posthouse.route.authentication import Findings
from posthouse.route.case import Case
from posthouse.route.opinion import NO_OPINION, Opinion
from posthouse.route.policy import Ruling
from posthouse.route.suspicion import Suspicion
from posthouse.store.blobs import Blobs
from posthouse.store.database import StoreFault


class Insight(NamedTuple):
    """`knowledge` is what the account knows, `opinion` what it makes of the message."""

    knowledge: Knowledge | None = None
    opinion: Opinion = NO_OPINION


class Readers:
    """The accounts of the server whose data the office has."""

    def __init__(self, office: Office) -> None:
        config = office.config
        blobs = Blobs(config.blobs_folder, office.database, office.ids, now)
        acceptance = Acceptance(office.database, blobs, office.ids, office.hints, now, config.hostname)
        settings = wiring.discernment(config)
        self._acquaintances = Acquaintances(office.database, office.hints, config.hostname, settings.protected)
        self._suspicion = Suspicion(acceptance, self._acquaintances) if settings.suspicion else None

    async def look(self, case: Case, findings: Findings, ruling: Ruling) -> Insight:
        """Never raises."""
        if self._suspicion is None:
            return Insight()
        try:
            # Of today, whenever the message came: what an account knows is kept for a moment only.
            known = await self._acquaintances.of(case.envelope, now())
        except StoreFault:
            return Insight()
        if not known:
            return Insight()
        opinions = await self._suspicion.opinions(case, findings, ruling)
        return Insight(known[0], opinions.get(known[0].account_id, NO_OPINION))

    def close(self) -> None:
        """Listens to no hints any more."""
        self._acquaintances.close()
