"""Hints between processes whose folder has a path that is too long for the address of a socket."""

import asyncio
import os
from pathlib import Path

import pytest

from posthouse.store.hints import Hints


@pytest.mark.parametrize("name", ["h", "h" * 200])
def test_hints_are_heard_however_long_the_path_of_the_folder_is(tmp_path: Path, name: str) -> None:
    async def scene() -> None:
        descriptors = len(os.listdir("/proc/self/fd"))
        here, there = Hints(tmp_path / name), Hints(tmp_path / name)
        heard = asyncio.Event()
        there.subscribe("queue", heard.set)
        await there.start()
        await here.start()
        here.publish("queue")
        async with asyncio.timeout(10):
            await heard.wait()
        await here.close()
        await there.close()
        assert list((tmp_path / name).iterdir()) == []
        assert len(os.listdir("/proc/self/fd")) == descriptors

    asyncio.run(scene())
