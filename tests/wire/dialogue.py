"""Talks to the server's engine as a door would: every event answered at once, every chunk kept."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from posthouse.mail.envelope import Envelope
from posthouse.mail.reply import Reply
from posthouse.wire.smtp.events import (
    BodyChunk,
    BodyEnd,
    BodyStart,
    Mail,
    Rcpt,
    Reset,
    ServerEvent,
)
from posthouse.wire.smtp.server import ServerEngine, Settings

SETTINGS = Settings("mx.posthouse.test", starttls=True, max_bad_commands=1000)
GO = {Mail: Reply(250, "2.1.0", "OK"), Rcpt: Reply(250, "2.1.5", "OK"), BodyEnd: Reply(250, "2.0.0", "Taken")}


def willing(event: ServerEvent) -> Reply:
    """Takes everything but addresses whose local part is `no`."""
    if isinstance(event, Mail) and event.envelope.mail_from and event.envelope.mail_from.local_part == "no":
        return Reply(550, "5.7.1", "Not you")
    if isinstance(event, Rcpt) and event.rcpt.address.local_part == "no":
        return Reply(550, "5.1.1", "No such mailbox")
    return GO.get(type(event), Reply(250, "2.0.0", "OK"))


@dataclass
class Dialogue:
    """What came of it. `taken` are the messages that were accepted; `events` has no chunks.

    `at_once`: bodies are taken before anything else is asked for, as a door does whose task has not had its turn yet.
    """

    engine: ServerEngine
    policy: Callable[[ServerEvent], Reply] = willing
    at_once: bool = False
    out: bytes = b""
    events: list[ServerEvent] = field(default_factory=list)
    taken: list[tuple[Envelope, bytes]] = field(default_factory=list)
    _body: list[bytes] | None = None

    def say(self, octets: bytes) -> bytes:
        """Feed one segment; what the engine says to it."""
        self.engine.feed(octets)
        while self.at_once and (chunk := self.engine.next_chunk()):
            self._take(BodyChunk(chunk))
        said = b""
        while True:
            while (event := self.engine.next_event()) is not None:
                self._take(event)
            more = self.engine.take()
            if not more:
                self.out += said
                return said
            said += more

    def _take(self, event: ServerEvent) -> None:
        if isinstance(event, BodyChunk):
            assert self._body is not None, "a chunk outside a body"
            assert event.octets, "an empty chunk"
            self._body.append(event.octets)
            return
        self.events.append(event)
        if isinstance(event, Reset):
            self._body = None
            return
        if isinstance(event, BodyStart):
            self._body = []
        reply = self.policy(event)
        if isinstance(event, BodyEnd):
            assert self._body is not None, "an end without a start"
            if event.flaw is None:
                assert sum(map(len, self._body)) == event.size
                if reply.is_positive:
                    self.taken.append((event.envelope, b"".join(self._body)))
            self._body = None
        self.engine.answer(reply)

    @property
    def codes(self) -> list[int]:
        """The code of each reply, in order, the greeting left out."""
        lines = self.out.decode().split("\r\n")
        assert lines.pop() == "", "a reply that does not end with CRLF"
        return [int(line[:3]) for line in lines if line[3] == " "][1:]

    @property
    def kinds(self) -> list[type]:
        return [type(event) for event in self.events]


def start(settings: Settings = SETTINGS, policy: Callable[[ServerEvent], Reply] = willing) -> Dialogue:
    engine = ServerEngine(settings)
    engine.greet()
    dialogue = Dialogue(engine, policy)
    dialogue.out = engine.take()
    return dialogue


def talk(
    flight: bytes,
    cuts: Iterable[int] = (),
    settings: Settings = SETTINGS,
    policy: Callable[[ServerEvent], Reply] = willing,
    *,
    at_once: bool = False,
) -> Dialogue:
    """A whole conversation sent at once, cut at the given offsets."""
    dialogue = start(settings, policy)
    dialogue.at_once = at_once
    for segment in segments(flight, cuts):
        dialogue.say(segment)
    return dialogue


def segments(octets: bytes, cuts: Iterable[int]) -> Sequence[bytes]:
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(octets)}), len(octets)]
    return [octets[a:b] for a, b in itertools.pairwise(edges)]


def every_octet(octets: bytes) -> range:
    """Cuts that send one octet at a time."""
    return range(1, len(octets))
