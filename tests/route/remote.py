"""Somebody else's mail server on loopback, that does as its script says and remembers what it was told."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

LOSE = "lose"      # close without a word
RESET = "reset"    # RST
HANG = "hang"      # say nothing more, and stay


@dataclass
class Mail:
    """One message the server took."""

    mail_from: str
    rcpt_to: list[str]
    octets: bytes
    tls: bool
    connection: int


@dataclass
class Remote:
    """`on` maps a command's verb (or "GREETING", "END" for the end of data) to what is done then, instead of saying
    yes: a reply, LOSE, RESET, HANG, or a function of the command's text that gives one of these or None."""

    on: dict[str, str | Callable[[str], str | None]] = field(default_factory=dict)
    capabilities: list[str] = field(default_factory=lambda: ["PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE"])
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    behind_starttls: bytes = b""
    port: int = 0
    mails: list[Mail] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    callers: list[str] = field(default_factory=list)
    open_now: int = 0
    most_at_once: int = 0

    def say(self, verb: str, text: str, yes: str) -> str:
        answer = self.on.get(verb)
        if callable(answer):
            answer = answer(text)
        return yes if answer is None else answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.callers.append(writer.get_extra_info("peername")[0])
        self.open_now += 1
        self.most_at_once = max(self.most_at_once, self.open_now)
        try:
            await _Session(self, reader, writer, self.connections).run()
        except (ConnectionError, RuntimeError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self.open_now -= 1
            writer.close()


class _Session:
    def __init__(
        self, remote: Remote, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self.remote = remote
        self.reader = reader
        self.writer = writer
        self.number = number
        self.encrypted = remote.implicit_tls
        self.begun = False
        self.mail_from = ""
        self.rcpt_to: list[str] = []

    async def run(self) -> None:
        if not await self.answer(self.remote.say("GREETING", "", "220 far.test at your service")):
            return
        verbs: dict[str, Callable[[str], Awaitable[bool]]] = {
            "EHLO": self.ehlo, "MAIL": self.mail, "RCPT": self.rcpt, "DATA": self.data,
            "STARTTLS": self.starttls, "QUIT": self.quit, "RSET": self.rset,
        }
        while True:
            line = await self.reader.readline()
            if not line.endswith(b"\r\n"):
                return
            text = line[:-2].decode()
            self.remote.commands.append(text)
            verb = text.split(" ")[0].upper()
            handle = verbs.get(verb)
            if handle is None:
                if not await self.answer(self.remote.say(verb, text, "250 2.0.0 ok")):
                    return
            elif not await handle(text):
                return

    async def answer(self, reply: str) -> bool:
        """Whether the connection goes on."""
        if reply == LOSE:
            return False
        if reply == RESET:
            raw = self.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
            return False
        if reply == HANG:
            await self.reader.read()
            return False
        self.writer.write(reply.encode() + b"\r\n")
        await self.writer.drain()
        return not reply.startswith("421")

    async def ehlo(self, text: str) -> bool:
        offered = list(self.remote.capabilities)
        if self.remote.tls and not self.encrypted:
            offered.append("STARTTLS")
        lines = ["far.test", *offered]
        reply = "\r\n".join(f"250{'-' if i < len(lines) - 1 else ' '}{line}" for i, line in enumerate(lines))
        return await self.answer(self.remote.say("EHLO", text, reply))

    async def mail(self, text: str) -> bool:
        reply = self.remote.say("MAIL", text, "250 2.1.0 ok")
        self.begun = reply.startswith("2")
        self.mail_from, self.rcpt_to = text[10:].split(">")[0].lstrip("<"), []
        return await self.answer(reply)

    async def rcpt(self, text: str) -> bool:
        address = text[8:].split(">")[0].lstrip("<")
        reply = self.remote.say("RCPT", text, "250 2.1.5 ok") if self.begun else "503 5.5.1 no MAIL"
        if reply.startswith("2"):
            self.rcpt_to.append(address)
        return await self.answer(reply)

    async def data(self, text: str) -> bool:
        reply = self.remote.say("DATA", text, "354 go on" if self.rcpt_to else "554 5.5.1 nobody")
        if not await self.answer(reply):
            return False
        if not reply.startswith("354"):
            return True
        lines = []
        while (line := await self.reader.readline()) != b".\r\n":
            if not line:
                return False
            lines.append(line[1:] if line.startswith(b".") else line)
        reply = self.remote.say("END", "", "250 2.0.0 taken")
        if reply.startswith("2") or reply in (LOSE, RESET):
            octets = b"".join(lines)
            self.remote.mails.append(Mail(self.mail_from, self.rcpt_to, octets, self.encrypted, self.number))
        return await self.answer(reply)

    async def starttls(self, text: str) -> bool:
        reply = self.remote.say("STARTTLS", text, "220 2.0.0 go on")
        self.writer.write(reply.encode() + b"\r\n" + self.remote.behind_starttls)
        await self.writer.drain()
        if reply.startswith("220"):
            assert self.remote.tls is not None
            await self.writer.start_tls(self.remote.tls)
            self.encrypted = True
        return True

    async def rset(self, text: str) -> bool:
        self.rcpt_to = []
        return await self.answer(self.remote.say("RSET", text, "250 2.0.0 ok"))

    async def quit(self, text: str) -> bool:
        await self.answer("221 2.0.0 bye")
        return False


@contextlib.asynccontextmanager
async def listening(remote: Remote, ip: str = "127.0.0.1") -> AsyncIterator[Remote]:
    server = await asyncio.start_server(
        remote.serve, ip, remote.port, limit=1 << 20, ssl=remote.tls if remote.implicit_tls else None
    )
    remote.port = server.sockets[0].getsockname()[1]
    try:
        yield remote
    finally:
        server.close()
