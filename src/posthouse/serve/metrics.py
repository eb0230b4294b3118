"""What is counted: one registry per house, read by Prometheus at /metrics.

Names: `posthouse_…_total` for counters, `…_seconds` for times. Counting takes a lock: once per event, never per octet.

Where several processes serve together, each keeps its own counts, and whichever of them is asked answers for all: every
process writes a snapshot into `run/` of the data folder each few seconds, and the answer is one's own counts and the
others' snapshots, told apart by the label `process`. Prometheus sums over it; a process that starts anew is a reset of
its own series alone. (prometheus-client's own mode for this is switched on by the environment of the whole program,
which two houses in one program could not share.)
"""

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

# When each series began, as a series of its own: as many again, and nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library annotates most, not this

SNAPSHOT_SECONDS = 5.0
STALE_SECONDS = 60.0  # a process that wrote nothing for so long is gone
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The counters of one house in one process; `registry` is its own, never the global one."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.connections = Counter("posthouse_connections", "Connections accepted", ["service"], registry=registry)
        self.refused = Counter(
            "posthouse_connections_refused",
            "Connections refused (address) and rests of accepting (exhausted)",
            ["service", "why"],
            registry=registry,
        )
        self.open = Gauge("posthouse_connections_open", "Connections open now", ["service"], registry=registry)
        self.logins = Counter("posthouse_logins", "Logins tried", ["service", "result"], registry=registry)
        self.accepted = Counter("posthouse_messages_accepted", "Messages accepted", ["service"], registry=registry)
        self.rejected = Counter(
            "posthouse_messages_rejected", "Messages or recipients refused", ["service", "code"], registry=registry
        )
        self.checks = Counter(
            "posthouse_checks", "What checks of mail from outside found", ["method", "result"], registry=registry
        )
        self.decisions = Counter(
            "posthouse_decisions", "What was decided about messages", ["action", "rule"], registry=registry
        )
        self.accept_seconds = Histogram(
            "posthouse_accept_seconds", "From end of data to reply", ["service"], registry=registry, buckets=_FAST
        )
        self.attempts = Counter("posthouse_relay_attempts", "Relay attempts", ["outcome"], registry=registry)
        self.dns = Counter("posthouse_dns_questions", "DNS questions asked", ["type", "result"], registry=registry)
        self.queue = Gauge("posthouse_queue_deliveries", "Deliveries in the queue", ["state"], registry=registry)

    def text(self) -> bytes:
        """Everything counted here, in Prometheus' text format."""
        return generate_latest(self.registry)


class SharedMetrics:
    """The counts of all processes of one server. `folder` is theirs alone; `process` counts from 0."""

    def __init__(self, metrics: Metrics, folder: Path, process: int) -> None:
        self._metrics = metrics
        self._folder = folder
        self._process = process

    def save(self) -> None:
        """Write this process's snapshot for the others. OSError where that cannot be done."""
        path = self._folder / f"{self._process}.metrics"
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(self._metrics.text())
        fresh.replace(path)

    def text(self) -> bytes:
        """Everything counted by all processes. Reads files: call it in a thread."""
        return generate_latest(self._merged())

    def connections(self) -> int:
        """How many are open now, in all processes. Reads files, too."""
        found = [family for family in self._merged().collect() if family.name == "posthouse_connections_open"]
        return int(sum(sample.value for family in found for sample in family.samples))

    def _merged(self) -> CollectorRegistry:
        texts = [(str(self._process), self._metrics.text().decode())]
        oldest = time.time() - STALE_SECONDS
        for path in sorted(self._folder.glob("*.metrics")):
            try:
                if path.stem != str(self._process) and path.stat().st_mtime > oldest:
                    texts.append((path.stem, path.read_text("utf-8")))
            except OSError:
                continue  # it is just being replaced
        merged = CollectorRegistry()
        merged.register(_Merged(texts))
        return merged


class _Merged(Collector):
    """Families of several processes, each sample with its label; every family once, as the format wants it."""

    def __init__(self, texts: Sequence[tuple[str, str]]) -> None:
        self._texts = texts

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for process, text in self._texts:
            for family in text_string_to_metric_families(text):
                merged = families.get(family.name)
                if merged is None:
                    merged = families[family.name] = Metric(family.name, family.documentation, family.type)
                for sample in family.samples:
                    merged.samples.append(sample._replace(labels={**sample.labels, "process": process}))
        return families.values()
