"""What is counted: one registry per house, read by Prometheus at /metrics.

Names: `posthouse_…_total` for counters, `…_seconds` for times. A door counts at most once per command flight.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """The counters of one house; `registry` is its own, never the global one."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.connections = Counter(
            "posthouse_connections", "Connections accepted", ["service"], registry=registry
        )
        self.refused = Counter(
            "posthouse_connections_refused", "Connections refused at once", ["service", "why"], registry=registry
        )
        self.open = Gauge("posthouse_connections_open", "Connections open now", ["service"], registry=registry)
        self.logins = Counter("posthouse_logins", "Logins tried", ["service", "result"], registry=registry)
        self.accepted = Counter("posthouse_messages_accepted", "Messages accepted", ["service"], registry=registry)
        self.rejected = Counter(
            "posthouse_messages_rejected", "Messages or recipients refused", ["service", "code"], registry=registry
        )
        self.accept_seconds = Histogram(
            "posthouse_accept_seconds", "Time from end of data to reply", ["service"], registry=registry
        )
        self.attempts = Counter("posthouse_relay_attempts", "Relay attempts", ["outcome"], registry=registry)
        self.dns = Counter("posthouse_dns_questions", "DNS questions", ["type", "result"], registry=registry)
