"""What does not show in rates: memory under large messages, memory of idle clients, and whether cost stays flat."""

import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys

from bench.filler import fill
from bench.imap import IdleCrowd
from bench.load import source
from bench.processes import PeakResident, cpu_seconds, proportional
from bench.servers import MAILBOX, PASSWORD, BenchError, PostfixDovecot, Posthouse, Server, settle
from bench.table import Result, Spread

MB = 1024 * 1024
LARGE = 25_000_000
ACCOUNTS = 10
EARLY = 100
LETTERS = 20


def large_messages(server: Posthouse, messages: int) -> Result:
    """The peak of resident memory while that many messages of 25 MB come in at once."""
    if shutil.disk_usage(server.config.parent).free < 3 * messages * LARGE:
        raise BenchError(f"{messages} messages of 25 MB need {3 * messages * LARGE // MB} MB of disk")
    settle(server)
    with PeakResident(server.roots()) as memory:
        done = subprocess.run(
            [sys.executable, "-m", "bench.heavy", str(server.smtp), MAILBOX, str(messages), str(LARGE)],
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise BenchError(f"large messages: {done.stderr.strip().splitlines()[-1]}")
    replies = json.loads(done.stdout)["replies"]
    if replies != {"250": messages}:
        raise BenchError(f"large messages were answered {replies}")
    peak = memory.peak / MB
    return Result(
        f"{messages} messages of 25 MB at once, peak resident",
        "MB",
        Spread.of([peak]),
        None,
        promise="< 300 MB",
        kept=peak < 300,
    )


def idle(ours: Posthouse | None, theirs: PostfixDovecot | None, connections: int) -> Result:
    """Memory of each connection that idles over TLS, shared pages counted once."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    names = [f"idle{number}@perf.test" for number in range(ACCOUNTS)]
    if ours is not None:
        for name in names:
            ours.add_account(name)
    costs = []
    for server in (ours, theirs):
        costs.append(_idle_cost(server, names, connections) if server is not None else None)
    our_cost, their_cost = costs
    return Result(
        f"idle IMAP connection with TLS, of {connections}",
        "KB",
        our_cost,
        their_cost,
        ratio=our_cost.middle / their_cost.middle if our_cost and their_cost else None,
        promise="< 50 KB",
        kept=our_cost.middle < 50 if our_cost else None,
    )


def _idle_cost(server: Server, names: list[str], connections: int) -> Spread:
    for name in names:
        source(server.smtp, name, messages=LETTERS, sessions=1, size=4096, kept=True)
    settle(server)
    return Spread.of([asyncio.run(_crowd_memory(server, names, connections)) / 1024 / connections])


async def _crowd_memory(server: Server, names: list[str], connections: int) -> int:
    """What a crowd that idles adds to the memory of a server that has some idle clients already.

    What the first bring with them, in each process of the server (modules, caches, processes), is not theirs alone.
    """
    early, crowd = (IdleCrowd(server.imaps, names, PASSWORD, count) for count in (EARLY, connections))
    try:
        await early.gather()
        await asyncio.sleep(2)
        before = proportional(server.roots())
        await crowd.gather()
        await asyncio.sleep(2)
        return proportional(server.roots()) - before
    finally:
        await early.leave()
        await crowd.leave()


def flat(server: Posthouse, held: int, runs: int, share: int) -> Result:
    """Delivery into a mailbox that holds many messages, beside delivery into an empty one."""
    full, empty = "full@perf.test", "empty@perf.test"
    for name in (full, empty):
        server.add_account(name)
    settle(server)
    server.stop()
    fill(server.config, full, held)
    server.launch()
    costs: dict[str, list[float]] = {full: [], empty: []}
    used: dict[str, list[float]] = {full: [], empty: []}
    messages = 3_000 // share
    for name in (full, empty):
        source(server.smtp, name, messages=1_000, sessions=50, size=4096, kept=True)
    # The difference looked for is small: many short runs, each as often before as after its counterpart.
    for turn in range(4 * runs):
        for name in (full, empty) if turn % 2 else (empty, full):
            settle(server)
            os.sync()
            before = cpu_seconds(server.roots())
            seconds = source(server.smtp, name, messages=messages, sessions=50, size=4096, kept=True)
            costs[name].append(seconds * 1000 / messages)
            settle(server)
            used[name].append((cpu_seconds(server.roots()) - before) * 1000 / messages)
    into_full, into_empty = Spread.of(costs[full]), Spread.of(costs[empty])
    ratio = into_full.middle / into_empty.middle
    return Result(
        f"delivery into a mailbox of {held:,} messages; beside it into an empty one",
        "ms",
        into_full,
        into_empty,
        Spread.of(used[full]),
        Spread.of(used[empty]),
        ratio,
        "≤ 1.2 ×",
        ratio <= 1.2,
    )
