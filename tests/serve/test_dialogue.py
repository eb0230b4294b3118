"""What every door has in common: whoever talks without pause leaves others their turn."""

import asyncio
from typing import cast

import pytest

from posthouse.serve.dialogue import TURN, Dialogue
from posthouse.serve.listener import Visit
from posthouse.serve.log import silent
from posthouse.serve.tls import Keyring
from serve.loops import on_both_loops, run

EVENTS = 20 * TURN


class Talkative:
    """An engine to which a client has said a lot at once; `answered` by itself, or each thing an event."""

    def __init__(self, *, answered: bool) -> None:
        self.unread = EVENTS
        self.patience = 60.0
        self._answered = answered
        self._out = b""

    @property
    def closed(self) -> bool:
        return not self.unread

    def feed(self, octets: bytes) -> None: ...

    def next_event(self) -> str | None:
        if not self.unread:
            return None
        self.unread -= 1
        self._out += b"x"
        return None if self._answered else "said"

    def take(self) -> bytes:
        out, self._out = self._out, b""
        return out


class Sink(asyncio.Transport):
    """Takes everything at once."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None: ...


class Listening(Dialogue[str]):
    """A door that has nothing to do for what it hears."""

    async def converse(self) -> None:
        while await self.event() is not None:
            pass


@pytest.mark.parametrize("answered", [False, True], ids=["events", "answered by the engine"])
@on_both_loops
def test_a_flood_of_commands_leaves_others_their_turn(loop: str, answered: bool) -> None:
    async def main() -> None:
        engine, sink = Talkative(answered=answered), Sink()
        listening = Listening(Visit("smtp", "192.0.2.1", 1, "192.0.2.1"), engine, cast(Keyring, None), silent())
        turns = 0
        listening.connection_made(sink)
        while not engine.closed:
            await asyncio.sleep(0)
            turns += 1
        assert turns >= EVENTS // TURN - 1
        assert len(sink.written) >= EVENTS // TURN - 1, "what was said is sent meanwhile"

    run(main(), loop)
