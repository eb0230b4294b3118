"""A DNS server for the names of the lab: datagrams and streams on one port of a loopback address.

    server = await serve_names(names, "127.0.0.1", 2053)
    ... server.port ...
    await server.stop()

Real DNS on real sockets, so that the house's own resolver is exercised as it will be in the world: it asks over
UDP, asks again over TCP when an answer was cut, waits in vain when silence was ordered.
"""

import asyncio
from contextlib import suppress
from typing import cast

from posthouse.lab.zone import Names

# How long a TCP client may stay silent, and how long an ordered silence keeps its connection.
IDLE_SECONDS = 30.0
# A free port has to be free for datagrams and for streams alike: the second bind may find it taken.
PORT_TRIES = 20


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, names: Names) -> None:
        self._names = names
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not a subclass of DatagramTransport on every loop, but always one by its methods.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._names.answer(data, datagram=True)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)


class NameServer:
    """The running server; `port` is the one that was bound."""

    def __init__(
        self, host: str, port: int, datagrams: asyncio.DatagramTransport, streams: asyncio.Server,
        connections: set[asyncio.Task[None]],
    ) -> None:
        self.host = host
        self.port = port
        self._datagrams = datagrams
        self._streams = streams
        self._connections = connections

    async def stop(self) -> None:
        """Close the sockets and every connection."""
        self._datagrams.close()
        self._streams.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._streams.wait_closed()


async def serve_names(names: Names, host: str = "127.0.0.1", port: int = 0) -> NameServer:
    """Start a server; port 0 takes a free one. OSError where the port is taken."""
    loop = asyncio.get_running_loop()
    connections: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await _converse(names, reader, writer)
        finally:
            connections.discard(task)

    for attempt in range(PORT_TRIES):
        streams = await asyncio.start_server(converse, host, port)
        bound: int = streams.sockets[0].getsockname()[1]
        try:
            datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(names), local_addr=(host, bound))
        except OSError:
            streams.close()
            await streams.wait_closed()
            if port or attempt == PORT_TRIES - 1:
                raise
            continue
        return NameServer(host, bound, datagrams, streams, connections)
    raise AssertionError("unreachable: the last try returns or raises")


async def _converse(names: Names, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Messages with their length in front (RFC 1035 §4.2.2), one after another, until the client leaves."""
    with suppress(OSError, EOFError, asyncio.CancelledError):
        while True:
            async with asyncio.timeout(IDLE_SECONDS):
                length = int.from_bytes(await reader.readexactly(2), "big")
                question = await reader.readexactly(length)
                answer = names.answer(question, datagram=False)
                if answer is not None:
                    writer.write(len(answer).to_bytes(2, "big") + answer)
                    await writer.drain()
    writer.close()
