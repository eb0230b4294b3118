"""The power fails right after a large body was called durable (THREATS, facts: fsync of the file and of its folder)."""

from pathlib import Path

import pytest

from store.rooms import Rooms
from whole.disks import FLUSHED, LOGFLUSH, NOLOGFLUSH, ext4


@pytest.mark.root
@pytest.mark.parametrize("flushed", [NOLOGFLUSH, LOGFLUSH, FLUSHED])
def test_a_body_that_is_complete_is_there_after_a_power_cut(flushed: int, tmp_path: Path) -> None:
    body = bytes(range(256)) * 2_000
    with ext4(tmp_path / "disk", 32 * 2**20) as disk:
        rooms = Rooms("sqlite", disk.path)
        try:
            content = rooms.content(body)
            disk.cut(flushed)
        finally:
            rooms.close()
        disk.restore()
        assert content.path is not None
        assert content.path.read_bytes() == body
