"""`python -m bench`: runs the workloads, prints the table, writes bench/results/latest.json."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from bench import footprint, machine
from bench.checked import Outside, examined
from bench.inquiries import inquiries
from bench.load import Sink
from bench.servers import BenchError, PostfixDovecot, Posthouse, Server, free_port
from bench.table import Result, compare, print_table
from bench.workloads import Sample, Workload, side_by_side

RESULTS = Path(__file__).parent / "results" / "latest.json"
GROUPS = ("accept", "mailbox", "relay", "memory", "idle", "flat", "inquiries", "checked")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Posthouse side by side with Postfix and Dovecot.")
    parser.add_argument("--quick", action="store_true", help="one run with a fifth of the messages")
    parser.add_argument("--runs", type=int, default=0, metavar="N", help="runs of each workload (3)")
    parser.add_argument("--only", default=",".join(GROUPS), help=f"some of {','.join(GROUPS)}")
    parser.add_argument("--side", choices=("both", "ours", "theirs"), default="both", help="which servers to run")
    parser.add_argument("--processes", type=int, default=0, help="processes of Posthouse (its default)")
    parser.add_argument("--folder", type=Path, help="where the servers keep their data (a new one in /var/tmp)")
    parser.add_argument("--keep", action="store_true", help="leave that folder for a look afterwards")
    return parser.parse_args()


def _measure(work: Workload, ours: Server | None, theirs: Server | None, runs: int, share: int) -> Result:
    """The servers in turn, so that a slow minute of the machine strikes both."""
    samples: dict[bool, list[Sample]] = {True: [], False: []}
    for _ in range(runs):
        for mine, server in ((True, ours), (False, theirs)):
            if server is not None:
                messages = max(200, (work.ours if mine else work.theirs) // share)
                samples[mine].append(work.measure(server, work, messages))
                print(f"  {work.title}: {server.name} {samples[mine][-1].rate:,.0f}/s", file=sys.stderr, flush=True)
    return compare(work, samples[True], samples[False])


def _run(arguments: argparse.Namespace, folder: Path) -> list[Result]:
    wanted = set(arguments.only.split(","))
    if unknown := wanted - set(GROUPS):
        raise BenchError(f"no such group: {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    runs = arguments.runs or (1 if arguments.quick else 3)
    share = 5 if arguments.quick else 1
    results = []
    with ExitStack() as stack:
        sink = stack.enter_context(Sink(folder))
        ours = Posthouse(folder, sink.port, arguments.processes) if arguments.side != "theirs" else None
        theirs = PostfixDovecot(folder, sink.port) if arguments.side != "ours" else None
        for server in (ours, theirs):
            if server is not None:
                stack.callback(server.stop)
                server.start()
        for work in side_by_side(sink):
            if work.group in wanted:
                results.append(_measure(work, ours, theirs, runs, share))
        if "idle" in wanted:
            results.append(footprint.idle(ours, theirs, 200 if arguments.quick else 1000))
        if ours is not None and "memory" in wanted:
            results.append(footprint.large_messages(ours, 40 if arguments.quick else 200))
        if ours is not None and "flat" in wanted:
            results.append(footprint.flat(ours, 50_000 if arguments.quick else 500_000, runs, share))
    if "inquiries" in wanted:
        results += inquiries(runs)
    if "checked" in wanted:
        results += _checked(arguments, folder / "outside", runs, share)
    return results


def _checked(arguments: argparse.Namespace, folder: Path, runs: int, share: int) -> list[Result]:
    folder.mkdir()
    results = []
    with ExitStack() as stack:
        outside = stack.enter_context(Outside(folder))
        nowhere = free_port()  # nothing is relayed here
        ours = outside.posthouse(folder, nowhere, arguments.processes) if arguments.side != "theirs" else None
        theirs = outside.postfix(folder, nowhere) if arguments.side != "ours" else None
        for server in (ours, theirs):
            if server is not None:
                stack.callback(server.stop)
                server.start()
        for work in examined(outside):
            results.append(_measure(work, ours, theirs, runs, share))
    return results


def main() -> int:
    # Ended by SIGTERM, the servers are still stopped and their data removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = _arguments()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="posthouse-bench-", dir="/var/tmp"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # Postfix and Dovecot work under their own accounts
    facts = machine.describe(folder)
    begun = time.monotonic()
    try:
        results = _run(arguments, folder)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        if arguments.keep:
            print(f"data and logs: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print_table(facts, results)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps(
            {
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "seconds": round(time.monotonic() - begun),
                "machine": facts,
                "results": [asdict(result) for result in results],
            },
            indent=2,
        )
        + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
