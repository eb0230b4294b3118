"""Two clients say whatever comes to mind, for long; a small model knows what has to be true of every answer."""

import random
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from posthouse.serve.log import Logger
from serve.imap_rooms import LETTER, Client, rooms
from serve.loops import run

SETS = ("1", "*", "1:*", "2:4", "3,1", "4:2,*", "1:4294967295", "7", "*:2")
FLAGS = ("\\Seen", "\\Deleted", "\\Flagged \\Answered", "$Label", "", "\\Draft $Label other")
ITEMS = (
    "FLAGS", "FAST", "ALL", "FULL", "(UID FLAGS)", "BODY[]", "(BODY.PEEK[1] BODY.PEEK[HEADER.FIELDS (Subject)])",
    "(RFC822.SIZE ENVELOPE)", "BODY.PEEK[TEXT]<2.4>", "RFC822.HEADER", "(BODYSTRUCTURE BODY[9])",
)  # fmt: skip
KEYS = (
    "ALL", "SEEN", "NOT DELETED", "OR FLAGGED BODY noon", "SUBJECT lunch", "KEYWORD $label", "2:3", "UID 1:5",
    "SENTON 1-Mar-2025", "TEXT bob NOT BODY noon", "RECENT", "HEADER X-Y \"\"", "LARGER 10 SMALLER 10000",
)  # fmt: skip
MAILBOXES = ("INBOX", "Archive", "Work", "Work/Deep", "nowhere")
# What may be said to a session; {…} is filled in.
COMMANDS = (
    "NOOP", "CHECK", "{uid}FETCH {set} {items}", "{uid}FETCH {set} {items}", "{uid}FETCH {set} {items}",
    "{uid}STORE {set} {sign}FLAGS{silent} ({flags})", "{uid}STORE {set} {sign}FLAGS{silent} ({flags})",
    "{uid}COPY {set} {mailbox}", "{uid}MOVE {set} {mailbox}", "EXPUNGE", "UID EXPUNGE {set}", "{uid}SEARCH {key}",
    "{uid}SEARCH {key} {key}", "APPEND {mailbox} ({flags}) {{7+}}\r\na: b\r\n\r", "SELECT {mailbox}",
    "EXAMINE {mailbox}", "SELECT INBOX", "SELECT INBOX", "CREATE {mailbox}", "DELETE {mailbox}",
    "RENAME {mailbox} {mailbox}", "STATUS {mailbox} (MESSAGES UNSEEN RECENT UIDNEXT)", 'LIST "" *', 'LSUB "" %',
    "SUBSCRIBE {mailbox}", "UNSELECT", "CLOSE", "IDLE\r\nDONE",
)  # fmt: skip


class Model:
    """What one client knows of the mailbox it has selected."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.count = 0
        self.uids: dict[int, int] = {}  # sequence number → UID, as far as it was told

    def hear(self, line: str, verb: str) -> None:
        exists = re.match(r"\* (\d+) EXISTS$", line)
        if exists:
            assert int(exists[1]) >= self.count or verb in ("SELECT", "EXAMINE"), "EXISTS never counts down"
            self.count = int(exists[1])
        expunged = re.match(r"\* (\d+) EXPUNGE$", line)
        if expunged:
            number = int(expunged[1])
            assert verb not in ("FETCH", "STORE", "SEARCH"), "numbers change under a command that uses them"
            assert 1 <= number <= self.count
            self.count -= 1
            self.uids = {n - (n > number): uid for n, uid in self.uids.items() if n != number}
        fetched = re.match(r"\* (\d+) FETCH \((.*)", line, re.DOTALL)
        if fetched:
            number = int(fetched[1])
            assert 1 <= number <= self.count
            uid = re.search(r"(?<![A-Z\]])UID (\d+)", fetched[2])
            if uid:
                assert self.uids.setdefault(number, int(uid[1])) == int(uid[1]), "a number has another UID now"
        found = re.match(r"\* SEARCH(.*)$", line)
        if found and verb == "SEARCH":
            assert all(1 <= int(number) <= self.count for number in found[1].split())

    async def say(self, command: str) -> str:
        verb = command.split()[0]
        if verb in ("SELECT", "EXAMINE"):
            self.count, self.uids = 0, {}
        lines = await self.client.say(command)
        for line in lines[:-1]:
            self.hear(line, verb)
        return lines[-1]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_said_the_numbers_hold_and_no_session_breaks(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)

    def spoken() -> str:
        return dice.choice(COMMANDS).format(
            uid=dice.choice(("", "UID ")), set=dice.choice(SETS), items=dice.choice(ITEMS), flags=dice.choice(FLAGS),
            sign=dice.choice(("", "+", "-")), silent=dice.choice(("", ".SILENT")), key=dice.choice(KEYS),
            mailbox=dice.choice(MAILBOXES),
        )  # fmt: skip

    async def main() -> None:
        async with rooms(tmp_path) as house:
            failures: list[dict[str, Any]] = []

            def note(event: str, **facts: Any) -> None:
                failures.append({"event": event, **facts})

            log = SimpleNamespace(info=lambda *_, **__: None, debug=lambda *_, **__: None, warning=note, error=note)
            house.post = replace(house.post, log=cast(Logger, log))
            await house.deliver_all([LETTER] * 6)
            models = [Model(await house.connect().enter()) for _ in range(2)]
            for model in models:
                await model.say("SELECT INBOX")
            for turn in range(150):
                number = dice.randrange(2)
                if models[number].client.transport.closed:
                    models[number] = Model(await house.connect().enter())
                if turn % 9 == 0:
                    await house.deliver()
                try:
                    answer = await models[number].say(spoken())
                except EOFError:
                    continue  # the mailbox was deleted under it
                assert answer.startswith(("OK", "NO", "BAD"))
                assert not failures
            truth: dict[str, list[str]] = {}
            for model in models:
                client = model.client
                if not client.transport.closed and (await model.say("SELECT INBOX")).startswith("OK"):
                    truth[str(len(truth))] = await client.say("FETCH 1:* (UID FLAGS)")
            assert all(len(lines) == len(next(iter(truth.values()))) for lines in truth.values())

    run(main(), "uvloop", seconds=90)
