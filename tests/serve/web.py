"""A web of one host on loopback, that says what a test wants, octet by octet; and names that lead there."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from posthouse.checks.zonefile import Records, ZoneDns
from posthouse.lab.authority import Authority
from posthouse.serve.fetch import Fetcher, Network
from posthouse.serve.tls import verified

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

# What is said to a request: octets, or somebody who writes them.
Says = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def found(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    head = "".join(f"{each}\r\n" for each in (f"Content-Length: {len(body)}", *fields))
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def moved(location: str, status: str = "302 Found") -> bytes:
    return found(b"", f"Location: {location}", status=status)


@dataclass
class Web:
    """`says` by path, `asked` is the heads of the requests. `secure` and `plain` are ports."""

    ca: Path
    says: dict[str, Says] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    secure: int = 0
    plain: int = 0

    def fetcher(self, records: Records, allowed: tuple[Network, ...] = LOOPBACK, redirects: int = 3) -> Fetcher:
        ports = {443: self.secure, 80: self.plain}
        return Fetcher(ZoneDns(records), verified(self.ca), redirects=redirects, allowed=allowed, ports=ports)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head)
            says = self.says.get(head.split()[1], found(b"", status="404 Not Found"))
            if isinstance(says, bytes):
                writer.write(says)
                await writer.drain()
            else:
                await says(writer)
        except (OSError, EOFError, asyncio.CancelledError):
            # Whoever asked has left, or the test is over.
            pass
        finally:
            writer.close()


@asynccontextmanager
async def open_web(folder: Path, says: Mapping[str, Says], *names: str) -> AsyncIterator[Web]:
    """With a certificate for `names`, of a new authority."""
    authority = Authority.open(folder)
    files = authority.issue(folder / "web", names=names or ["a.example"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    web = Web(authority.path, dict(says))
    secure = await asyncio.start_server(web.serve, "127.0.0.1", 0, ssl=context)
    plain = await asyncio.start_server(web.serve, "127.0.0.1", 0)
    web.secure, web.plain = (each.sockets[0].getsockname()[1] for each in (secure, plain))
    try:
        yield web
    finally:
        for each in (secure, plain):
            each.close()
