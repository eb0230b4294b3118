"""One running server: everything built from a `Config` inside the current event loop, and nothing shared with another.

    async with House(config) as house:            # start() … stop()
        house.ports["smtp"]                       # the port really bound, also where the settings say 0
        await house.reload()                      # certificates again

Two houses in one process (the demo has two, and so do tests) share nothing but code.
"""

from collections.abc import Mapping
from socket import socket
from types import TracebackType
from typing import Self

from posthouse.config import Config
from posthouse.mail.instant import Clock
from posthouse.serve.log import Logger


class House:
    """A server. After `start` these are there: `database`, `blobs`, `ids`, `hints`, `dns`, `login`, `metrics`, `log`,
    `keyring`, `reception` and `submission` (the desks), `relay`."""

    ports: dict[str, int]

    def __init__(
        self,
        config: Config,
        *,
        sockets: Mapping[str, list[socket]] | None = None,
        log: Logger | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`sockets`: already bound and listening, by service, given by the supervisor; else bound by `start`."""
        self.config = config

    async def start(self) -> None:
        """Open the store, bind and listen. Errors are raised and leave nothing open behind them."""

    async def stop(self, grace: float | None = None) -> None:
        """Accept no more, let transactions end for `grace` seconds (default: run.grace), give leases back, close."""

    async def reload(self, config: Config | None = None) -> None:
        """Certificates are read again; of `config` those settings are taken that need no new socket or process."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
