"""Everything of one house that looks at a message with the eyes of its readers, put together.

    discernment = Discernment(acceptance, resolver, fetch, settings, observer)
    Inspection(…, suspicion=discernment.suspicion, indicators=discernment.indicators)      what reception asks
    discernment.work(first)                what goes on for ever, by name; `first`: in the first of several processes
    discernment.close()

`suspicion` forms opinions, `acquaintance` knows what they rest on, `training` learns from what readers do, and
`indicators` looks for logos.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from posthouse.checks.lookalike import Known
from posthouse.mail.fetch import Fetch
from posthouse.route.acceptance import Acceptance
from posthouse.route.acquaintance import Acquaintances
from posthouse.route.indicators import Indicators, Resolver
from posthouse.route.observer import Observer
from posthouse.route.suspicion import Suspicion
from posthouse.route.training import Training


@dataclass(frozen=True, slots=True)
class DiscernmentSettings:
    """`protected` are names that all are compared with; `roots` those who are trusted to vouch for logos."""

    suspicion: bool = True
    protected: tuple[Known, ...] = ()
    bimi: bool = False
    roots: tuple[x509.Certificate, ...] = ()


_USUAL: Final = DiscernmentSettings()


class Discernment:
    """The parts by name; those that are switched off are None. What accounts call junk is learnt in any case."""

    def __init__(
        self,
        acceptance: Acceptance,
        resolver: Resolver,
        fetch: Fetch,
        observer: Observer,
        settings: DiscernmentSettings = _USUAL,
    ) -> None:
        db, hints, clock = acceptance.db, acceptance.hints, acceptance.clock
        self._acquaintances = Acquaintances(db, hints, acceptance.hostname, settings.protected)
        self.training = Training(db, acceptance.blobs, hints, clock, observer)
        self.suspicion: Suspicion | None = None
        if settings.suspicion:
            self.suspicion = Suspicion(acceptance, self._acquaintances)
        self.indicators: Indicators | None = None
        if settings.bimi:
            self.indicators = Indicators(db, resolver, fetch, clock, observer, settings.roots)

    def work(self, first: bool) -> dict[str, Callable[[], Awaitable[None]]]:
        """What goes on for ever, by name; lessons are learnt by the `first` process alone."""
        work: dict[str, Callable[[], Awaitable[None]]] = {}
        if first:
            work["lessons"] = self.training.run
        if self.indicators is not None:
            work["logos"] = self.indicators.run
        return work

    def close(self) -> None:
        """Listens to no hints any more."""
        self._acquaintances.close()
