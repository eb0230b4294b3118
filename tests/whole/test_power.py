"""The power fails while mail pours into a running server: nothing that it acknowledged is lost (THREATS, faults)."""

from pathlib import Path

import pytest

from whole.disks import FLUSHED, LOGFLUSH, NOLOGFLUSH, ext4
from whole.oracle import NO_DNS, Oracle, readers, strangers, writers
from whole.server import Server

PROMISES_BEFORE_CUT = 50


@pytest.mark.root
@pytest.mark.slow
def test_what_was_acknowledged_survives_power_cuts_whole_and_once(tmp_path: Path) -> None:
    with ext4(tmp_path / "server" / "data") as disk:
        server = Server(tmp_path / "server", more=NO_DNS)
        oracle = Oracle(tmp_path / "promises")
        for seed, flushed in enumerate((NOLOGFLUSH, LOGFLUSH, FLUSHED)):
            with server.running():
                oracle.examine(server)
                # The senders end by themselves: without a disk nobody is promised anything more.
                with oracle.pouring(server, seed, (strangers, strangers, writers, readers)):
                    oracle.wait_for(PROMISES_BEFORE_CUT)
                    oracle.doubt()
                    disk.cut(flushed)
            disk.restore()
        with server.running() as process:
            oracle.examine(server)
            server.stop(process)
        assert {kind for kind, _ in oracle.promised} == {"inbox", "queue"}
