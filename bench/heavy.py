"""Many large messages at once: `python -m bench.heavy PORT RCPT_TO MESSAGES OCTETS`.

A program of its own, so that its work does not disturb whoever watches the server. Every connection waits with its
354 until all have one; then all bodies flow side by side. It prints a JSON object with the seconds and the replies.
"""

import asyncio
import json
import sys
import time
from collections import Counter

_LINE = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcd\r\n"
_CHUNK = _LINE * 3000


class Sender:
    """One connection with one message."""

    def __init__(self, number: int, rcpt_to: str, octets: int) -> None:
        self._number, self._rcpt_to, self._octets = number, rcpt_to, octets

    async def prepare(self, port: int) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        await self._reply("220")
        for command, code in (
            ("EHLO load.src.test", "250"),
            ("MAIL FROM:<a@src.test>", "250"),
            (f"RCPT TO:<{self._rcpt_to}>", "250"),
            ("DATA", "354"),
        ):
            self._writer.write(f"{command}\r\n".encode())
            await self._reply(code)

    async def send(self) -> str:
        """The reply to the message, in one line."""
        header = (
            f"From: a@src.test\r\nTo: {self._rcpt_to}\r\nSubject: large {self._number}\r\n"
            f"Message-ID: <{time.time_ns()}.{self._number}@src.test>\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\n"
        )
        self._writer.write(header.encode())
        for _ in range(self._octets // len(_CHUNK)):
            self._writer.write(_CHUNK)
            await self._writer.drain()
        self._writer.write(b".\r\n")
        reply = await self._reply("")
        self._writer.write(b"QUIT\r\n")
        self._writer.close()
        return reply

    async def _reply(self, code: str) -> str:
        while line := (await asyncio.wait_for(self._reader.readline(), 600)).decode():
            if not line.startswith(code):
                raise ConnectionError(line.strip())
            if line[3:4] != "-":
                return line.strip()
        raise ConnectionError("the server closed the connection")


async def send_all(port: int, rcpt_to: str, messages: int, octets: int) -> dict[str, object]:
    senders = [Sender(number, rcpt_to, octets) for number in range(messages)]
    await asyncio.gather(*(sender.prepare(port) for sender in senders))
    begun = time.monotonic()
    replies = await asyncio.gather(*(sender.send() for sender in senders))
    return {"seconds": time.monotonic() - begun, "replies": Counter(reply[:3] for reply in replies)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(send_all(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))))
