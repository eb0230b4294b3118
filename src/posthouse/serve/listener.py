"""Where connections come in: sockets, accepting, and how many one address may hold before it logs in.

A door is a function `door(visit) -> Conversation`: it makes the asyncio.Protocol that talks on one connection. The
`Visit` it is given knows who came and to which service; the door tells it two things only: `visit.logged_in()`
after a login, which frees the address's place, and `visit.over()` in `connection_lost`.

    def door(visit: Visit) -> Conversation:
        return SmtpConversation(visit, …)

`drain()` asks a conversation to come to an end (finish the transaction, then 421 or BYE and close); the listener
calls it for everybody when the house stops, and aborts who is still there when the grace is over.
"""

import asyncio
import ssl
from collections.abc import Callable
from socket import socket
from typing import Protocol

from posthouse.mail.peer import Role


class Conversation(Protocol):
    """What a door makes for one connection: an asyncio.Protocol that can also be asked to leave."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...

    def drain(self) -> None:
        """Finish what is under way, say goodbye (421, BYE) and close; further calls change nothing."""
        ...


Door = Callable[["Visit"], Conversation]


class Visit:
    """One connection, from accept to `over`. `ip` has no brackets and IPv4-mapped IPv6 is unmapped."""

    __slots__ = ("_census", "_places", "ip", "over_called", "port", "service")

    service: str
    ip: str
    port: int

    def logged_in(self) -> None:
        """The client is known now: its place in the count of its address is free again. Once is enough."""

    def over(self) -> None:
        """The connection is gone; to be called from `connection_lost`. Once is enough."""


class Census:
    """Counts the connections before login: of each IPv4 address, of each IPv6 /64, and all of the process."""

    def __init__(self, per_address: int = 10, per_network: int = 20, total: int = 20_000) -> None: ...


class Listener:
    """One service: its listening sockets and the conversations on them."""

    def __init__(
        self,
        service: str,
        sockets: list[socket],
        door: Door,
        census: Census,
        *,
        tls: Callable[[], ssl.SSLContext] | None = None,
        refusal: bytes = b"",
    ) -> None: ...

    @property
    def port(self) -> int:
        """The port of the first socket."""
        raise NotImplementedError

    def start(self) -> None: ...

    def stop(self) -> None:
        """Accept no more; conversations go on."""

    async def drain(self, grace: float) -> None:
        """Ask every conversation to leave, and abort the rest after `grace` seconds."""
