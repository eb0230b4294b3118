"""The benchmark is run seldom; what of it can rot unseen is looked at here."""

import os
import subprocess
import sys
import time
from pathlib import Path

from bench.processes import PeakResident, cpu_seconds, proportional, tree
from bench.table import Spread, compare
from bench.workloads import Sample, Workload, accept
from posthouse.config import parse

TEMPLATE = Path(__file__).resolve().parents[2] / "bench" / "peers" / "posthouse.toml"


def test_the_settings_of_the_benchmark_are_settings(tmp_path: Path) -> None:
    text = TEMPLATE.read_text("utf-8").replace("@DIR@", str(tmp_path)).replace("@PROCESSES@", "1")
    text = text.replace("@HOST@", "127.0.0.1").replace("@SETTINGS@", "")
    for port in ("SMTP", "IMAPS", "HTTP", "SINK"):
        text = text.replace(f"@{port}@", "2525")
    config = parse(text, folder=tmp_path)
    assert config.relay.routes["sink.test"].port == 2525


def test_cpu_time_counts_children_that_have_ended() -> None:
    busy = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    before = cpu_seconds([os.getpid()])
    subprocess.run([sys.executable, "-c", busy], check=True)
    assert cpu_seconds([os.getpid()]) - before >= 0.25


def test_memory_counts_the_whole_tree() -> None:
    hold = "x = bytearray(b'1') * 50_000_000; input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE) as child:
        end = time.monotonic() + 20
        with PeakResident([os.getpid()], gap=0.01) as memory:
            while proportional([child.pid]) < 50_000_000 and time.monotonic() < end:
                time.sleep(0.01)
            time.sleep(0.05)
        assert child.pid in tree(os.getpid())
        child.communicate(b"\n")
    assert memory.peak > 50_000_000


def test_ratios_are_of_medians_and_show_whether_the_promise_is_kept() -> None:
    work = Workload("accept", "accept", accept, 1, 1, target=5)
    result = compare(work, [Sample(100, 1), Sample(900, 2), Sample(500, 3)], [Sample(100, 4)] * 3)
    assert result.ratio == 5
    assert result.kept is True
    assert result.ours is not None
    assert result.ours.show() == "500 [100-900]"
    assert Spread.of([3.0]).show(".1f") == "3.0"
