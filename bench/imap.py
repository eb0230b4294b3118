"""IMAP clients: one that counts, and a crowd that idles."""

import asyncio
import imaplib
import ssl


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def count_messages(port: int, name: str, password: str) -> int:
    """How many messages INBOX holds."""
    with imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=_trusting(), timeout=60) as client:
        client.login(name, password)
        _, answers = client.status("INBOX", "(MESSAGES)")
        answer = answers[0]
        assert isinstance(answer, bytes)
        return int(answer.rpartition(b"MESSAGES ")[2].rstrip(b")"))


class IdleCrowd:
    """Many connections over TLS, each logged in, INBOX selected, in IDLE."""

    def __init__(self, port: int, names: list[str], password: str, connections: int) -> None:
        self._port, self._names, self._password, self._connections = port, names, password, connections
        self._writers: list[asyncio.StreamWriter] = []
        self._context = _trusting()

    async def gather(self) -> None:
        """Opens them all, twenty at a time; returns when every one idles."""
        turn = asyncio.Semaphore(20)

        async def one(index: int) -> None:
            async with turn:
                await self._open(self._names[index % len(self._names)])

        async with asyncio.TaskGroup() as group:
            for index in range(self._connections):
                group.create_task(one(index))

    async def _open(self, name: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context, limit=4096)
        self._writers.append(writer)
        await self._answer(reader, b"*")
        for tag, command in (("a", f'LOGIN "{name}" "{self._password}"'), ("b", "SELECT INBOX")):
            writer.write(f"{tag} {command}\r\n".encode())
            await self._answer(reader, f"{tag} OK".encode())
        writer.write(b"c IDLE\r\n")
        await self._answer(reader, b"+")

    async def _answer(self, reader: asyncio.StreamReader, wanted: bytes) -> None:
        while line := await asyncio.wait_for(reader.readline(), 120):
            if line.startswith(wanted):
                return
            if not line.startswith(b"* "):
                raise ConnectionError(line.decode(errors="replace").strip())
        raise ConnectionError("the server closed the connection")

    async def leave(self) -> None:
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)
