"""The `Dns` port: the questions that mail asks, and the only three ways in which they are answered.

Names are given without a trailing dot; IDNA is the caller's affair (A-labels only). Answers are values; a
time-out, a SERVFAIL or a lame server raises `DnsFault` and is never taken for "no such name".
"""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class DnsFault(Exception):
    """No answer could be had now (time-out, SERVFAIL, lame or malformed): a temporary error, RFC 8601 temperror."""


@dataclass(frozen=True, slots=True)
class Mx:
    """One MX record; `exchange` is lower-case without the trailing dot, and empty for the null MX (RFC 7505)."""

    preference: int
    exchange: str


@dataclass(frozen=True, slots=True)
class Tlsa:
    """One TLSA record (RFC 6698 §2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """Records in the order received. Empty with `exists` True: no data of that type; `exists` False: NXDOMAIN.

    `secure` only where DNSSEC was validated by ourselves or by a resolver configured as trusted; `ttl` in seconds.
    """

    records: tuple[T, ...]
    exists: bool = True
    secure: bool = False
    ttl: int = 0


class Dns(Protocol):
    """Everything the house asks of the DNS. Each may raise `DnsFault`."""

    async def a(self, name: str) -> Answer[str]: ...
    async def aaaa(self, name: str) -> Answer[str]: ...
    async def mx(self, name: str) -> Answer[Mx]: ...
    async def txt(self, name: str) -> Answer[bytes]: ...
    async def ptr(self, ip: str) -> Answer[str]: ...
    async def tlsa(self, name: str) -> Answer[Tlsa]: ...
