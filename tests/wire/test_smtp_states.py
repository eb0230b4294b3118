"""The order of commands against a model of RFC 5321 that knows nothing of the engine, exhaustively and at random."""

import itertools
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.envelope import Envelope
from posthouse.wire.smtp.server import Settings
from wire.dialogue import Dialogue, start

SETTINGS = Settings("mx.posthouse.test", max_recipients=2, max_size=60, max_bad_commands=1000)


@dataclass(frozen=True)
class Model:
    """What a client may have reached. `hello`: "", "HELO" or "EHLO"."""

    hello: str = ""
    mail: bool = False
    rcpts: int = 0
    chunks: bytes | None = None
    taken: tuple[tuple[int, bytes], ...] = ()

    def idle(self) -> "Model":
        return replace(self, mail=False, rcpts=0, chunks=None)

    def delivered(self, body: bytes) -> "Model":
        return replace(self.idle(), taken=(*self.taken, (self.rcpts, body)))


BODY = b"body\r\n"
CHUNK = b"12345678901234567890\r\n"
HUGE = b"x" * 58 + b"\r\n"


def expect(model: Model, word: str) -> tuple[int, Model]:
    """The code of the (last) reply, and what follows."""
    if word in ("EHLO", "HELO"):
        return 250, replace(model.idle(), hello=word)
    if word == "NOOP":
        return 250, model
    if word == "RSET":
        return 250, model.idle()
    if word == "NONSENSE":
        return 500, model
    if word.startswith("BDAT"):
        return expect_chunk(model, word)
    if word.startswith("MAIL"):
        if not model.hello or model.mail:
            return 503, model
        if word == "MAIL SIZE" and model.hello == "HELO":
            return 555, model
        if word == "MAIL SIZE":
            return 552, model
        return (550, model) if word == "MAIL no" else (250, replace(model, mail=True))
    if not model.mail or model.chunks is not None:
        return 503, model
    if word.startswith("RCPT"):
        if model.rcpts == 2:
            return 452, model
        return (550, model) if word == "RCPT no" else (250, replace(model, rcpts=model.rcpts + 1))
    if not model.rcpts:
        return 554, model
    if word == "DATA":
        return 250, model.delivered(BODY)
    assert word in ("DATA huge", "DATA dirty")
    return (552 if word == "DATA huge" else 550), model.idle()


def expect_chunk(model: Model, word: str) -> tuple[int, Model]:
    if not model.rcpts or model.hello != "EHLO":
        return 503, model.idle()
    whole = (model.chunks or b"") + (b"" if word == "BDAT 0 LAST" else CHUNK)
    if word == "BDAT dirty":
        return 550, model.idle()
    if len(whole) > SETTINGS.max_size:
        return 552, model.idle()
    if word.endswith("LAST"):
        return 250, model.delivered(whole)
    return 250, replace(model, chunks=whole)


LINES = {
    "EHLO": b"EHLO client.test\r\n",
    "HELO": b"HELO client.test\r\n",
    "NOOP": b"NOOP\r\n",
    "RSET": b"RSET\r\n",
    "NONSENSE": b"XYZZY\r\n",
    "MAIL": b"MAIL FROM:<a@client.test>\r\n",
    "MAIL no": b"MAIL FROM:<no@client.test>\r\n",
    "MAIL SIZE": b"MAIL FROM:<a@client.test> SIZE=61\r\n",
    "RCPT": b"RCPT TO:<b@posthouse.test>\r\n",
    "RCPT no": b"RCPT TO:<no@posthouse.test>\r\n",
    "DATA": b"DATA\r\n",
    "DATA huge": b"DATA\r\n",
    "DATA dirty": b"DATA\r\n",
    "BDAT": b"BDAT %d\r\n" % len(CHUNK) + CHUNK,
    "BDAT LAST": b"BDAT %d LAST\r\n" % len(CHUNK) + CHUNK,
    "BDAT 0 LAST": b"BDAT 0 LAST\r\n",
    "BDAT dirty": b"BDAT 4\r\na\rb\n",
}
BODIES = {"DATA": BODY, "DATA huge": HUGE + b"x\r\n", "DATA dirty": b"a\nb\r\n"}
WORDS = sorted(LINES)


def send(dialogue: Dialogue, word: str) -> int:
    """Send a command, its body where it is asked for; the code of the last reply."""
    said = dialogue.say(LINES[word])
    if said.startswith(b"354 "):
        said = dialogue.say(BODIES[word] + b".\r\n")
    replies = said.decode().splitlines()
    assert all(line[3] == "-" for line in replies[:-1]), f"more than one reply to {word}"
    return int(replies[-1][:3])


def walk(words: tuple[str, ...]) -> None:
    dialogue = start(SETTINGS)
    model = Model()
    for number, word in enumerate(words):
        code, model = expect(model, word)
        assert send(dialogue, word) == code, words[: number + 1]
        assert dialogue.engine.in_transaction is model.mail, words[: number + 1]
        if model.mail:
            envelope: Envelope = dialogue.engine.envelope
            assert len(envelope.rcpt_to) == model.rcpts
    assert [(len(envelope.rcpt_to), body) for envelope, body in dialogue.taken] == list(model.taken)


def test_every_sequence_of_three_commands_after_nothing() -> None:
    for words in itertools.product(WORDS, repeat=3):
        walk(words)


def test_every_sequence_of_four_commands_after_ehlo() -> None:
    """Of those words that are not the same in every state."""
    telling = [word for word in WORDS if word not in ("NOOP", "NONSENSE", "HELO", "MAIL no", "MAIL SIZE")]
    for words in itertools.product(telling, repeat=4):
        walk(("EHLO", *words))


def test_every_sequence_of_three_commands_within_a_transaction() -> None:
    for words in itertools.product(WORDS, repeat=3):
        walk(("EHLO", "MAIL", "RCPT", *words))


@given(st.lists(st.sampled_from(WORDS), min_size=5, max_size=30).map(tuple))
def test_long_sequences_at_random(words: tuple[str, ...]) -> None:
    walk(words)


@given(st.lists(st.sampled_from(["MAIL", "RCPT", "RCPT", "DATA", "BDAT", "BDAT LAST", "RSET"]), max_size=40).map(tuple))
def test_long_sequences_that_lead_somewhere(words: tuple[str, ...]) -> None:
    walk(("EHLO", *words))
