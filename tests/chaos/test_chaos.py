"""Everything that may go wrong, at random and under load, for some minutes: `make chaos` (THREATS, faults).

Clients note what they were promised outside of the house, synced, before they count it (`whole.oracle`). After each
fault the server is started again and asked for all of it: nothing lost, nothing torn, nothing doubled, and what was
removed stays away. `CHAOS_SEED` repeats the choices of a run, though never its timing.
"""

import os
import random
import shutil
import smtplib
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.rounds import SEED, Rounds
from cli.program import spawn
from whole.disks import FLUSHED, LOGFLUSH, NOLOGFLUSH, ext4, tmpfs
from whole.oracle import NO_DNS, Oracle, Sender, digests, queued, readers, strangers, tidiers, writers
from whole.server import YOU, NotReady, Server, kill_all

CLOCK = Path(__file__).parent / "clock"
SENDERS = (strangers, strangers, strangers, writers, readers, tidiers)
ONE_PROCESS = "\n[run]\nprocesses = 1\n"
YEARS = 365 * 86_400

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module", autouse=True)
def _seed() -> None:
    print(f"\nCHAOS_SEED={SEED}", end="")


def verdict(server: Server, oracle: Oracle) -> str:
    """A fresh start, and every promise looked up."""
    with server.running() as process:
        oracle.examine(server)
        server.stop(process)
    kinds = Counter(kind for kind, _ in oracle.promised)
    kept = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    return f"kept {kept}; ready again in {server.seconds:.1f} s"


def test_kill_9_at_random(tmp_path: Path) -> None:
    server, oracle = Server(tmp_path, more=NO_DNS), Oracle(tmp_path / "promises")
    for chance in (rounds := Rounds("kill -9", 0.25)):
        with server.running() as process, oracle.pouring(server, chance.randrange(10**9), SENDERS):
            oracle.wait_for(chance.randrange(1, 60))
            time.sleep(chance.random() * 0.2)
            kill_all(process)
        rounds.tell(verdict(server, oracle))


def traced(chance: random.Random, calls: str, what: str, first: int, last: int) -> tuple[str, ...]:
    """A command line under which one of these calls, of one thread, comes out as `what`."""
    when = chance.randrange(first, last)
    inject = f"inject={calls}:{what}:when={when}"
    return ("strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={calls}", "-e", inject)


@pytest.fixture
def strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("NO FAULTS IN SYSTEM CALLS: strace is not installed")
    done = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True)
    if done.returncode:
        pytest.skip("NO FAULTS IN SYSTEM CALLS: strace may not trace here")


@pytest.mark.usefixtures("strace")
def test_kill_9_at_a_write_or_a_sync(tmp_path: Path) -> None:
    server, oracle = Server(tmp_path, more=NO_DNS), Oracle(tmp_path / "promises")
    for chance in (rounds := Rounds("kill -9 at a call", 0.2)):
        calls = chance.choice(("pwrite64", "write", "fdatasync", "fsync", "rename", "unlink", "ftruncate"))
        server.prefix = traced(chance, calls, "signal=KILL", 1, 400 if "write" in calls else 40)
        try:
            with server.running(), oracle.pouring(server, chance.randrange(10**9), SENDERS):
                until_enough(oracle, 80, 8.0)
        except NotReady:
            pass  # it was the start that was hit
        server.prefix = ()
        rounds.tell(f"{' '.join(calls.split(','))}: {verdict(server, oracle)}")


def until_enough(oracle: Oracle, more: int, seconds: float) -> None:
    """So many more promises, or so much time."""
    wanted, until = len(oracle.promised) + more, time.monotonic() + seconds
    while len(oracle.promised) < wanted and time.monotonic() < until:
        time.sleep(0.02)


@pytest.mark.usefixtures("strace")
def test_a_sync_that_fails(tmp_path: Path) -> None:
    """One failed sync: nothing that hangs on it is promised, and nothing more is taken until somebody has looked."""
    server, oracle = Server(tmp_path, more=NO_DNS + ONE_PROCESS), Oracle(tmp_path / "promises")
    for chance in (rounds := Rounds("fsync: EIO", 0.15)):
        server.prefix = traced(chance, "fdatasync,fsync", "error=EIO", 4, 60)
        refused = 0
        try:
            with server.running():
                with oracle.pouring(server, chance.randrange(10**9), SENDERS[:4]):
                    until_enough(oracle, 400, 10.0)
                    fresh = list(replies(server, oracle, chance, 5))
                if any(code != 250 for code in fresh):
                    # Once it has said so, it stays with that.
                    assert all(400 <= code < 500 for code in fresh[fresh.index(next(c for c in fresh if c != 250)) :])
                    refused = len(fresh)
        except NotReady:
            pass
        server.prefix = ()
        rounds.tell(f"then refused {refused}; {verdict(server, oracle)}")


def replies(server: Server, oracle: Oracle, chance: random.Random, count: int) -> Iterator[int]:
    """To so many letters, each on a connection of its own."""
    for _ in range(count):
        digest, octets = oracle.letter(chance, 2_000)
        try:
            with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=30) as client:
                client.sendmail("stranger@elsewhere.test", [YOU], octets)
            oracle.promise("inbox", digest)
            yield 250
        except smtplib.SMTPResponseException as refusal:
            yield refusal.smtp_code
        except smtplib.SMTPRecipientsRefused as refused:
            yield next(iter(refused.recipients.values()))[0]
        except OSError:
            yield 421


@pytest.mark.root
def test_a_disk_that_runs_full(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "server" / "data", 24 * 2**20):
        server, oracle = Server(tmp_path / "server", more=NO_DNS), Oracle(tmp_path / "promises")
        for chance in (rounds := Rounds("disk full", 0.15)):
            oracle.refused = 0
            senders = (patient(strangers), patient(strangers), patient(strangers), patient(writers))
            with server.running() as process, oracle.pouring(server, chance.randrange(10**9), senders):
                until_refused(oracle, 40, 20.0)
                kill_all(process)
            refused, told = oracle.refused, verdict(server, oracle)
            with server.running() as process:
                removed = make_room(server, oracle)
                server.stop(process)
            rounds.tell(f"{refused} put off, {removed} removed; {told}")


def patient(sender: Sender) -> Sender:
    """Goes on when it is told to come later, as a mail server does."""

    def send(oracle: Oracle, server: Server, chance: random.Random) -> None:
        while True:
            try:
                sender(oracle, server, chance)
            except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as refusal:
                code = getattr(refusal, "smtp_code", 0) or next(iter(refusal.recipients.values()))[0]
                if code != 452:
                    raise
                oracle.refused += 1
                time.sleep(0.05)

    return send


def until_refused(oracle: Oracle, more: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while oracle.refused < more and time.monotonic() < until:
        time.sleep(0.02)


def make_room(server: Server, oracle: Oracle) -> int:
    """Half of the inbox, and half of the queue, are removed for good; gives how many messages that were."""
    with server.mailbox(readonly=False) as client:
        _, found = client.uid("SEARCH", "ALL")
        uids = found[0].decode().split()
        half = ",".join(uids[: len(uids) // 2]) or "1"
        before = set(digests(server))
        assert client.uid("STORE", half, "+FLAGS.SILENT", "(\\Deleted)")[0] == "OK"
        assert client.uid("EXPUNGE", half)[0] == "OK"
    left = set(digests(server))
    waiting = [message["id"] for message in queued(server)]
    dropped = waiting[: len(waiting) // 2]
    if dropped:
        assert spawn("queue", "drop", *dropped, "--config", server.settings).code == 0
    oracle.forget(before - left, set(dropped))
    return len(before - left) + len(dropped)


def test_a_clock_that_jumps(tmp_path: Path) -> None:
    """±1 h, ±10 y, in the middle of everything and across restarts: no mass expiry, no retry storm."""
    server, oracle = Server(tmp_path, more=NO_DNS), Oracle(tmp_path / "promises")
    offset = tmp_path / "offset"
    path = os.pathsep.join(filter(None, (str(CLOCK), os.environ.get("PYTHONPATH", ""))))
    server.environment = {"PYTHONPATH": path, "JUMPING_CLOCK": str(offset)}
    starts = 0
    for chance in (rounds := Rounds("clock", 0.15)):
        jumps = [chance.choice((3600, -3600, 10 * YEARS, -10 * YEARS)) for _ in range(3)]
        jump(offset, chance.choice((0, *jumps)))
        with server.running() as process, oracle.pouring(server, chance.randrange(10**9), SENDERS):
            for seconds in (*jumps, 0):
                jump(offset, seconds)
                oracle.wait_for(10)
            kill_all(process)
        jump(offset, 0)
        starts += 2
        told = verdict(server, oracle)
        with server.running() as process:
            failures = [delivery["failures"] for message in queued(server) for delivery in deliveries(message)]
            server.stop(process)
        starts += 1
        # Every jump forward may make mail due once; who tries again and again has lost its sense of time.
        assert max(failures, default=0) <= 4 * starts, failures
        rounds.tell(f"by {', '.join(f'{seconds:+}' for seconds in jumps)} s; {told}")


def jump(offset: Path, seconds: int) -> None:
    fresh = offset.with_suffix(".new")
    fresh.write_text(str(seconds), "ascii")
    fresh.replace(offset)


def deliveries(message: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = message["deliveries"]
    return found


@pytest.mark.root
def test_power_cuts(tmp_path: Path) -> None:
    with ext4(tmp_path / "server" / "data") as disk:
        server, oracle = Server(tmp_path / "server", more=NO_DNS), Oracle(tmp_path / "promises")
        for chance in (rounds := Rounds("power cut", 0.1)):
            flushed = chance.choice((NOLOGFLUSH, NOLOGFLUSH, LOGFLUSH, FLUSHED))
            with server.running(), oracle.pouring(server, chance.randrange(10**9), SENDERS[:5]):
                oracle.wait_for(chance.randrange(1, 60))
                oracle.doubt()
                disk.cut(flushed)
            disk.restore()
            rounds.tell(verdict(server, oracle))
