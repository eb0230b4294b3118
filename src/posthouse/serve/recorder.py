"""Turns what happened to messages into log lines and counts: the house's `Observer`.

One line for each acceptance, for each refusal of what had come in whole, and for each try of the relay, made from the
stamps of the journey. Nothing is told here that the journey does not hold.
"""

import logging
from collections.abc import Sequence

from prometheus_client import Counter

from posthouse.mail.journey import Fact, Stamp, Step
from posthouse.serve.log import Logger, summary
from posthouse.serve.metrics import Metrics

_TRIES = {Step.RELAYED, Step.ATTEMPT}
_ENDS = {Step.FAILED, Step.EXPIRED, Step.BOUNCED}


class Recorder:
    """Keeps `posthouse.route.observer.Observer`."""

    def __init__(self, log: Logger, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics
        self._accepted = metrics.accepted.labels
        self._tells = log.is_enabled_for(logging.INFO)
        # A counter is found by its labels, which takes longer than counting.
        self._children: dict[tuple[Fact, Fact], Counter] = {}

    def happened(self, event: str, queue_id: str, stamps: Sequence[Stamp]) -> None:
        if event == "accepted":
            self._accepted(_service(stamps)).inc()
            self._count(stamps)
            if self._tells:
                self._log.info(event, id=queue_id, **summary(stamps))
            return
        if event == "refused":
            self._count(stamps)
            if self._tells:
                self._log.info(event, id=queue_id, **summary(stamps))
            return
        for stamp in stamps:
            if stamp.step in _TRIES:
                self._metrics.attempts.labels(stamp.facts.get("outcome")).inc()
                self._log.info(event, id=queue_id, **stamp.facts)
            elif stamp.step in _ENDS:
                self._log.info(stamp.step.value, id=queue_id, **stamp.facts)

    def _count(self, stamps: Sequence[Stamp]) -> None:
        """What the checks found and what was decided, in numbers."""
        for stamp in stamps:
            if stamp.step is Step.VERDICT:
                counter, names = self._metrics.checks, (stamp.facts["method"], stamp.facts["result"])
            elif stamp.step is Step.DECISION:
                counter, names = self._metrics.decisions, (stamp.facts["action"], stamp.facts["rule"])
            else:
                continue
            child = self._children.get(names)
            if child is None:
                child = self._children[names] = counter.labels(*names)
            child.inc()

    def failed(self, doing: str, error: BaseException) -> None:
        self._log.error("failed", doing=doing, exc_info=error)


def _service(stamps: Sequence[Stamp]) -> object:
    """The service that the message came in by; what was made here came in by none."""
    return stamps[0].facts.get("service", "local") if stamps else "local"
