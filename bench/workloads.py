"""What is measured: each workload gives one sample of one server."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.load import Sink, source
from bench.processes import cpu_seconds
from bench.servers import ACCEPTED, MAILBOX, RELAYED, BenchError, Server, settle

KB = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: messages a second, and milliseconds of the server's own CPU for each message."""

    rate: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Workload:
    """A named way to load a server. `ours` and `theirs` are how many messages make a run of some seconds."""

    group: str
    title: str
    measure: Callable[[Server, "Workload", int], Sample]
    ours: int
    theirs: int
    target: float = 0
    """What Posthouse promises, as a multiple of the peer's rate."""
    sessions: int = 50
    size: int = 4 * KB
    kept: bool = True
    sink: Sink | None = None

    def send(self, server: Server, purpose: str, messages: int) -> float:
        return source(
            server.smtp,
            server.rcpt_to(purpose),
            messages=messages,
            sessions=self.sessions,
            size=self.size,
            kept=self.kept,
        )


def _at_rest(server: Server) -> float:
    """CPU seconds so far, once nothing is under way any more and the disk has been given what it is owed."""
    settle(server)
    os.sync()
    return cpu_seconds(server.roots())


def accept(server: Server, work: Workload, messages: int) -> Sample:
    """Until the last 250; what is done for the messages after it counts as CPU time only."""
    before = _at_rest(server)
    seconds = work.send(server, ACCEPTED, messages)
    settle(server)
    return Sample(messages / seconds, (cpu_seconds(server.roots()) - before) * 1000 / messages)


def to_mailbox(server: Server, work: Workload, messages: int) -> Sample:
    """Until every message lies in the mailbox."""
    before = _at_rest(server)
    held = server.delivered()
    begun = time.monotonic()
    work.send(server, MAILBOX, messages)
    while True:
        # The look itself may take longer than the deliveries did, so the time before it counts.
        seconds = time.monotonic() - begun
        if not server.waiting():
            break
        time.sleep(0.02)
    settle(server)
    used = cpu_seconds(server.roots()) - before
    if (arrived := server.delivered() - held) != messages:
        raise BenchError(f"{server.name}: {arrived} of {messages} messages arrived in the mailbox")
    return Sample(messages / seconds, used * 1000 / messages)


def relay(server: Server, work: Workload, messages: int) -> Sample:
    """Until the sink has every message."""
    assert work.sink is not None
    before = _at_rest(server)
    held = work.sink.received()
    begun = time.monotonic()
    work.send(server, RELAYED, messages)
    while (arrived := work.sink.received() - held) < messages:
        if time.monotonic() - begun > 600:
            raise BenchError(f"{server.name}: {arrived} of {messages} messages reached the sink")
        time.sleep(0.01)
    seconds = time.monotonic() - begun
    settle(server)
    if (arrived := work.sink.received() - held) != messages:
        raise BenchError(f"{server.name}: {arrived} copies of {messages} messages reached the sink")
    return Sample(messages / seconds, (cpu_seconds(server.roots()) - before) * 1000 / messages)


def side_by_side(sink: Sink) -> list[Workload]:
    """The workloads that both sides are put through."""
    return [
        Workload("accept", "accept 4 KB, 1 kept connection", accept, 6_000, 3_000, 1.5, sessions=1),
        Workload("accept", "accept 4 KB, 10 kept connections", accept, 20_000, 5_000, sessions=10),
        Workload("accept", "accept 4 KB, 50 kept connections", accept, 20_000, 5_000, 5),
        Workload("accept", "accept 4 KB, 50 at once, a new connection each", accept, 10_000, 3_000, kept=False),
        Workload("accept", "accept 64 KB, 50 kept connections", accept, 5_000, 2_500, size=64 * KB),
        Workload("mailbox", "to the mailbox 4 KB, 10 kept connections", to_mailbox, 15_000, 1_500, 10, sessions=10),
        Workload("mailbox", "to the mailbox 4 KB, 50 kept connections", to_mailbox, 15_000, 1_500, 10),
        Workload("relay", "relay 4 KB to a sink, 10 kept connections", relay, 4_000, 2_000, 2, sessions=10, sink=sink),
    ]
