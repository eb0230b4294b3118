"""What is left of a connection when it is over: nothing that would wait for the garbage collector."""

import asyncio
import gc
import ssl
import weakref
from pathlib import Path
from typing import Any

import pytest

from posthouse.config import Config, Dns, Endpoint, Listen
from posthouse.house import IMPLICIT_TLS, House
from posthouse.serve.log import silent
from serve.loops import run


@pytest.mark.parametrize("ending", ["close", "abort"])
@pytest.mark.parametrize("service", ["smtp", "submissions", "imap", "imaps", "pop3s"])
def test_an_ended_connection_leaves_nothing_to_the_collector(service: str, ending: str, tmp_path: Path) -> None:
    config = Config(
        hostname="mx.example.org",
        data_dir=tmp_path / "data",
        listen=Listen(**dict.fromkeys(Listen.__struct_fields__, (Endpoint("127.0.0.1", 0),))),
        dns=Dns(servers=(Endpoint("127.0.0.1", 9),)),
    )

    async def main() -> None:
        async with House(config, log=silent()) as house:
            trusting = ssl.create_default_context(cafile=tmp_path / "data" / "self-made.pem")
            secure: dict[str, Any] = {"ssl": trusting, "server_hostname": "mx.example.org"}
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", house.ports[service], **(secure if service in IMPLICIT_TLS else {})
            )
            await reader.readline()
            listener = next(each for each in house.listeners if each.service == service)
            kept = [weakref.ref(visit.conversation) for visit in listener._present]
            assert len(kept) == 1
            gc.collect()
            gc.disable()
            try:
                getattr(writer.transport, ending)()
                async with asyncio.timeout(5):
                    while kept[0]() is not None:
                        await asyncio.sleep(0.001)
            finally:
                gc.enable()

    run(main(), "uvloop")
