"""Calls a mail host as any server would, as far as STARTTLS, and says what came of it; no mail is sent.

    call = await probe("mx.example.org", "192.0.2.1", 25, helo="mx.posthouse.test", context=tls.verified())
    call.offers_tls, call.tls, call.distrust

The certificate is verified by its name and the roots of `context`. Where that fails, the host is called once more
without verification, to see what it shows. Every answer has an end in octets and in time.
"""

import asyncio
import os
import ssl
from dataclasses import replace
from typing import Final

from posthouse.checks.survey.encryption import Call
from posthouse.serve import tls

CONNECT_SECONDS: Final = 8.0
ANSWER_SECONDS: Final = 15.0
# RFC 5321 §4.5.3.1.5: a line of a reply has up to 512 octets; the lines of one reply have no bound but ours.
_LINE_OCTETS: Final = 2_048
_LINES: Final = 100
_GREETING: Final = 200


class _NoServer(Exception):
    """What is there does not answer as a mail server does. The text is a sentence."""


async def probe(host: str, ip: str, port: int, *, helo: str, context: ssl.SSLContext) -> Call:
    """Never raises. `context` verifies; `helo` is our own name."""
    call = await _call(host, ip, port, helo, context)
    if call.distrust:
        seen = await _call(host, ip, port, helo, tls.opportunistic())
        call = replace(seen, distrust=call.distrust)
    return call


async def _call(host: str, ip: str, port: int, helo: str, context: ssl.SSLContext) -> Call:
    call = Call(host, ip)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(ip, port, limit=_LINE_OCTETS)
    except TimeoutError:
        return replace(call, trouble=f"no answer within {CONNECT_SECONDS:.0f} seconds")
    except OSError as error:
        return replace(call, trouble=os.strerror(error.errno) if error.errno else str(error))
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await _converse(call, reader, writer, helo, context)
    except TimeoutError:
        return replace(call, trouble=f"it did not finish within {ANSWER_SECONDS:.0f} seconds")
    except _NoServer as error:
        return replace(call, trouble=str(error))
    except (OSError, EOFError, ValueError) as error:
        return replace(call, trouble=f"the connection broke: {error}")
    finally:
        writer.transport.abort()


async def _converse(
    call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, helo: str, context: ssl.SSLContext
) -> Call:
    talk = _Talk(reader, writer)
    code, lines = await talk.reply()
    if code != 220:
        raise _NoServer(f"it answered {code} {lines[0]}")
    call = replace(call, greeting=lines[0][:_GREETING])
    code, lines = await talk.say(f"EHLO {helo}")
    if not any(line.strip().upper() == "STARTTLS" for line in lines) or code != 250:
        return call
    call = replace(call, offers_tls=True)
    code, lines = await talk.say("STARTTLS")
    if code != 220:
        return replace(call, broken=f"it answered {code} {lines[0]}")
    if talk.has_more:
        # RFC 3207 §4.2: nothing from before the handshake is to be relied on; an honest host sends nothing more.
        return replace(call, broken="it, or somebody in between, sent more behind its answer to STARTTLS")
    try:
        await writer.start_tls(context, server_hostname=call.host, ssl_handshake_timeout=ANSWER_SECONDS)
    except ssl.SSLCertVerificationError as error:
        return replace(call, distrust=error.verify_message or str(error))
    except ssl.SSLError as error:
        return replace(call, broken=error.reason or str(error))
    except (OSError, TimeoutError) as error:
        return replace(call, broken=str(error) or "the connection broke")
    return _seen(call, writer)


def _seen(call: Call, writer: asyncio.StreamWriter) -> Call:
    """What the host showed in the handshake."""
    connection = writer.get_extra_info("ssl_object")
    facts = tls.facts(writer.transport)
    certificate = connection.getpeercert(True) or b""
    # From Python 3.13 on; until then only the host's own certificate is to be had.
    whole = getattr(connection, "get_unverified_chain", None)
    chain = tuple(bytes(each) for each in whole()) if whole is not None else (certificate,)
    said = f"{facts.version} {facts.cipher}" if facts is not None else ""
    return replace(call, tls=said, certificate=certificate, chain=chain)


class _Talk:
    """The lines of a conversation; what was read and belongs to no line yet is at hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._held = b""

    @property
    def has_more(self) -> bool:
        """Whether the host has said more than was asked for."""
        return bool(self._held)

    async def say(self, command: str) -> tuple[int, list[str]]:
        """The reply to a command."""
        self._writer.write(f"{command}\r\n".encode("ascii", "replace"))
        return await self.reply()

    async def reply(self) -> tuple[int, list[str]]:
        """The code and the words of one reply (RFC 5321 §4.2)."""
        words: list[str] = []
        for _ in range(_LINES):
            line = await self._line()
            if not line[:3].isdecimal() or line[3:4] not in ("", " ", "-"):
                raise _NoServer("it does not speak SMTP")
            words.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), words
        raise _NoServer("its answer has no end")

    async def _line(self) -> str:
        while b"\n" not in self._held:
            if len(self._held) > _LINE_OCTETS:
                raise _NoServer("its lines have no end")
            octets = await self._reader.read(_LINE_OCTETS)
            if not octets:
                raise _NoServer("it left without a word" if not self._held else "it left in the midst of an answer")
            self._held += octets
        line, _, self._held = self._held.partition(b"\n")
        return line.decode("ascii", "replace").rstrip("\r")
