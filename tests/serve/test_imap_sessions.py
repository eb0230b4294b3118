"""IMAP sessions against the real store: who sees what and when (RFC 3501 §5.2, §7.4.1, RFC 2177, 2180, 3691, 4315)."""

import asyncio
from pathlib import Path

import pytest

from posthouse.serve.imap import waiting
from posthouse.store import mailboxes
from serve.imap_rooms import LETTER, Rooms, rooms
from serve.loops import run

# Each begins with three messages in INBOX, seen by nobody, and with its clients in INBOX.
DIALOGUES = {
    "what another session adds shows with any command": """
        1> a1 FETCH 1 UID
        1< * 1 FETCH (UID 1)
        1< a1 OK Done
        2> b1 APPEND INBOX {5+}\\nhello
        2< * 4 EXISTS
        2< * 1 RECENT
        2< b1 OK [APPENDUID … 4] Appended
        1> a2 FETCH 1 UID
        1< * 1 FETCH (UID 1)
        1< * 4 EXISTS
        1< * …RECENT
        1< a2 OK Done
        1> a3 NOOP
        1< a3 OK Done
    """,
    "no EXPUNGE is told with a command that goes by numbers": """
        2> b1 STORE 1,3 +FLAGS.SILENT (\\Deleted)
        2< b1 OK Done
        2> b2 EXPUNGE
        2< * 3 EXPUNGE
        2< * 1 EXPUNGE
        2< b2 OK Done
        1> a1 FETCH 1:3 UID
        1< * 2 FETCH (UID 2)
        1< a1 NO [EXPUNGEISSUED] …
        1> a2 SEARCH ALL
        1< * SEARCH 2
        1< a2 OK Done
        1> a3 STORE 1:3 +FLAGS (\\Flagged)
        1< * 2 FETCH (UID 2 FLAGS (\\Flagged…))
        1< a3 NO [EXPUNGEISSUED] …
        1> a4 UID FETCH 1:* UID
        1< * 2 FETCH (UID 2)
        1< * 3 EXPUNGE
        1< * 1 EXPUNGE
        1< a4 OK Done
        1> a5 FETCH 1:* UID
        1< * 1 FETCH (UID 2)
        1< a5 OK Done
        2> b3 NOOP
        2< * 1 FETCH (UID 2 FLAGS (\\Flagged…))
        2< b3 OK Done
    """,
    "pipelined commands by number mean the numbers they were sent with": """
        2> b1 UID STORE 1 +FLAGS.SILENT \\Deleted
        2< b1 OK Done
        2> b2 UID EXPUNGE 1
        2< * 1 EXPUNGE
        2< b2 OK Done
        1> a1 FETCH 2 UID\\na2 FETCH 3 UID\\na3 NOOP\\na4 FETCH 1 UID
        1< * 2 FETCH (UID 2)
        1< a1 OK Done
        1< * 3 FETCH (UID 3)
        1< a2 OK Done
        1< * 1 EXPUNGE
        1< a3 OK Done
        1< * 1 FETCH (UID 2)
        1< a4 OK Done
    """,
    "COPY and MOVE by number are all or nothing": """
        2> b1 STORE 1 +FLAGS.SILENT \\Deleted
        2< b1 OK Done
        2> b2 EXPUNGE
        2< * 1 EXPUNGE
        2< b2 OK Done
        1> a1 COPY 1:2 Archive
        1< * 1 EXPUNGE
        1< a1 NO [EXPUNGEISSUED] …
        1> a2 STATUS Archive (MESSAGES)
        1< * STATUS "Archive" (MESSAGES 0)
        1< a2 OK Done
        1> a3 UID COPY 1:2 Archive
        1< a3 OK [COPYUID … 2 1] Copied
        1> a4 UID COPY 77 Archive
        1< a4 OK Nothing to copy
        1> a5 UID MOVE 77 Archive
        1< a5 OK Nothing to move
    """,
    "MOVE tells where the messages went, then that they are gone": """
        1> a1 MOVE 1:2 Archive
        1< * OK [COPYUID … 1:2 1:2] Moved
        1< * 2 EXPUNGE
        1< * 1 EXPUNGE
        1< a1 OK Done
        1> a2 UID MOVE 3 INBOX
        1< * OK [COPYUID … 3 4] Moved
        1< * 2 EXISTS
        1< * …RECENT
        1< * 1 EXPUNGE
        1< a2 OK Done
        2> b1 NOOP
        2< * 4 EXISTS
        2< * …RECENT
        2< * 3 EXPUNGE
        2< * 2 EXPUNGE
        2< * 1 EXPUNGE
        2< b1 OK Done
    """,
    "flags that another session changed are told, one's own only where asked for": """
        1> a1 STORE 1 +FLAGS (\\Seen)
        1< * 1 FETCH (UID 1 FLAGS (\\Seen…))
        1< a1 OK Done
        1> a2 STORE 1:2 +FLAGS.SILENT (\\Answered)
        1< a2 OK Done
        2> b1 NOOP
        2< * 1 FETCH (UID 1 FLAGS (\\Answered \\Seen…))
        2< * 2 FETCH (UID 2 FLAGS (\\Answered…))
        2< b1 OK Done
        2> b2 UID STORE 1 FLAGS (\\Draft)
        2< * 1 FETCH (UID 1 FLAGS (\\Draft…))
        2< b2 OK Done
        1> a3 STORE 2 -FLAGS.SILENT (\\Answered)
        1< * 1 FETCH (UID 1 FLAGS (\\Draft…))
        1< a3 OK Done
        1> a4 NOOP
        1< a4 OK Done
        1> a5 STORE 3 +FLAGS ()
        1< * 3 FETCH (UID 3 FLAGS (…))
        1< a5 OK Done
    """,
    "reading a body marks it as seen and says so": """
        1> a1 FETCH 1 (UID BODY.PEEK[TEXT])
        1< * 1 FETCH (UID 1 BODY[TEXT] {10}\\nAt noon?\\n)
        1< a1 OK Done
        1> a2 FETCH 1 BODY[TEXT]<0.2>
        1< * 1 FETCH (FLAGS (\\Seen…) BODY[TEXT]<0> {2}\\nAt)
        1< a2 OK Done
        1> a3 FETCH 1 BODY[TEXT]<0.2>
        1< * 1 FETCH (BODY[TEXT]<0> {2}\\nAt)
        1< a3 OK Done
        1> a4 FETCH 2 (FLAGS RFC822.TEXT)
        1< * 2 FETCH (FLAGS (\\Seen…) RFC822.TEXT {10}\\nAt noon?\\n)
        1< a4 OK Done
        2> b1 NOOP
        2< * 1 FETCH (UID 1 FLAGS (\\Seen…))
        2< * 2 FETCH (UID 2 FLAGS (\\Seen…))
        2< b1 OK Done
    """,
    "EXAMINE changes nothing": """
        1> a1 EXAMINE INBOX
        1< * FLAGS …
        1< * OK [PERMANENTFLAGS ()] …
        1< * 3 EXISTS
        1< * 0 RECENT
        1< * OK [UNSEEN 1] …
        1< * OK [UIDVALIDITY …
        1< * OK [UIDNEXT 4] …
        1< a1 OK [READ-ONLY] …
        1> a2 FETCH 1 BODY[TEXT]
        1< * 1 FETCH (BODY[TEXT] {10}\\nAt noon?\\n)
        1< a2 OK Done
        1> a3 STORE 1 +FLAGS \\Deleted
        1< a3 NO …
        1> a4 EXPUNGE
        1< a4 NO …
        1> a5 MOVE 1 Archive
        1< a5 NO …
        1> a6 COPY 1 Archive
        1< a6 OK [COPYUID …] Copied
        2> b1 STORE 2 +FLAGS.SILENT \\Deleted
        2< b1 OK Done
        1> a7 CLOSE
        1< a7 OK Closed
        2> b2 NOOP
        2< b2 OK Done
    """,
    "CLOSE removes what is marked, UNSELECT does not": """
        1> a1 STORE 1 +FLAGS.SILENT \\Deleted
        1< a1 OK Done
        1> a2 UNSELECT
        1< a2 OK Closed
        1> a3 FETCH 1 UID
        1< a3 BAD …
        1> a4 STATUS INBOX (MESSAGES)
        1< * STATUS "INBOX" (MESSAGES 3)
        1< a4 OK Done
        2> b1 CLOSE
        2< b1 OK Closed
        1> a5 STATUS inbox (MESSAGES)
        1< * STATUS "INBOX" (MESSAGES 2)
        1< a5 OK Done
    """,
    "UID EXPUNGE removes no more than it is told": """
        1> a1 STORE 1:3 +FLAGS.SILENT \\Deleted
        1< a1 OK Done
        1> a2 UID EXPUNGE 2:2,9
        1< * 2 EXPUNGE
        1< a2 OK Done
        1> a3 EXPUNGE
        1< * 2 EXPUNGE
        1< * 1 EXPUNGE
        1< a3 OK Done
        1> a4 UID EXPUNGE 1:*
        1< a4 OK Done
        1> a5 EXPUNGE
        1< a5 OK Done
    """,
    "IDLE tells what happens as it happens": """
        1> a1 IDLE
        1< + idling
        2> b1 STORE 2 +FLAGS.SILENT (\\Deleted $Later)
        2< * FLAGS (… $Later)
        2< * OK [PERMANENTFLAGS (… $Later \\*)] …
        2< b1 OK Done
        1< * FLAGS (… $Later)
        1< * OK [PERMANENTFLAGS (… $Later \\*)] …
        1< * 2 FETCH (UID 2 FLAGS (\\Deleted… $Later))
        2> b2 EXPUNGE
        2< * 2 EXPUNGE
        2< b2 OK Done
        1< * 2 EXPUNGE
        2> b3 APPEND INBOX {1+}\\nx
        2< * 3 EXISTS
        2< * …RECENT
        2< b3 OK …
        1< * 3 EXISTS
        1< * …RECENT
        1! nothing
        1> DONE
        1< a1 OK Done
        2> b4 STORE 1 +FLAGS.SILENT \\Seen
        2< b4 OK Done
        1! nothing
        1> a2 NOOP
        1< * 1 FETCH (UID 1 FLAGS (\\Seen…))
        1< a2 OK Done
    """,
    "numbers that are not there": """
        1> a1 FETCH 4 UID
        1< a1 BAD No such message
        1> a2 FETCH 1:4294967295 UID
        1< a2 BAD No such message
        1> a3 UID FETCH 4:4294967295 UID
        1< a3 OK Done
        1> a4 UID FETCH 4:* UID
        1< * 3 FETCH (UID 3)
        1< a4 OK Done
        1> a5 UID FETCH 1:4294967295 UID
        1< * 1 FETCH (UID 1)
        1< * 2 FETCH (UID 2)
        1< * 3 FETCH (UID 3)
        1< a5 OK Done
        1> a6 SELECT Drafts\\na7 FETCH 1:* UID\\na8 UID FETCH 1:* UID\\na9 UID SEARCH *\\nb1 FETCH * UID
        1< * FLAGS …
        1< * OK …
        1< * 0 EXISTS
        1< * 0 RECENT
        1< * OK …
        1< * OK …
        1< a6 OK …
        1< a7 BAD No such message
        1< a8 OK Done
        1< * SEARCH
        1< a9 OK Done
        1< b1 BAD No such message
    """,
    "a mailbox that another session deletes": """
        1> a1 CREATE Gone
        1< a1 OK Created
        1> a2 SELECT Gone
        1< * …
        1< * …
        1< * …
        1< * …
        1< * …
        1< * …
        1< a2 OK …
        2> b1 DELETE Gone
        2< b1 OK Deleted
        1> a3 NOOP
        1< * BYE The mailbox was deleted
    """,
    "the selected mailbox may be deleted by oneself": """
        1> a1 CREATE Gone\\na2 SELECT Gone\\na3 DELETE Gone\\na4 FETCH 1 UID\\na5 NOOP
        1< a1 OK Created
        1< * …
        1< * …
        1< * …
        1< * …
        1< * …
        1< * …
        1< a2 OK …
        1< a3 OK Deleted
        1< a4 BAD …
        1< a5 OK Done
    """,
    "a SELECT that fails leaves nothing selected": """
        1> a1 SELECT Nowhere
        1< a1 NO [NONEXISTENT] There is no such mailbox
        1> a2 FETCH 1 UID
        1< a2 BAD …
        1> a3 SELECT &AOk
        1< a3 NO [CANNOT] …
    """,
    "keywords are one, whatever their case": """
        1> a1 STORE 1 +FLAGS.SILENT ($Junk)
        1< * FLAGS (… $Junk)
        1< * OK [PERMANENTFLAGS (… $Junk \\*)] …
        1< a1 OK Done
        1> a2 STORE 2 +FLAGS ($JUNK)
        1< * 2 FETCH (UID 2 FLAGS (… $Junk))
        1< a2 OK Done
        1> a3 SEARCH KEYWORD $jUNK
        1< * SEARCH 1 2
        1< a3 OK Done
        1> a4 SEARCH UNKEYWORD $junk KEYWORD nobody
        1< * SEARCH
        1< a4 OK Done
        1> a5 SEARCH UNKEYWORD nobody UNKEYWORD $junk
        1< * SEARCH 3
        1< a5 OK Done
        1> a6 STORE 1 -FLAGS ($Junk unknown)
        1< * 1 FETCH (UID 1 FLAGS (\\Recent))
        1< a6 OK Done
    """,
    "what was not announced is not there yet": """
        2> b1 APPEND INBOX (\\Deleted) {5+}\\nhello
        2< * 4 EXISTS
        2< * 1 RECENT
        2< b1 OK …
        1> a1 UID FETCH 4:* UID
        1< * 3 FETCH (UID 3)
        1< * 4 EXISTS
        1< * …RECENT
        1< a1 OK Done
        2> b2 APPEND INBOX (\\Deleted) {5+}\\nhello
        2< * 5 EXISTS
        2< * 2 RECENT
        2< b2 OK …
        1> a2 EXPUNGE
        1< * 5 EXISTS
        1< * …RECENT
        1< * 4 EXPUNGE
        1< a2 OK Done
        2> b3 APPEND INBOX (\\Seen) {5+}\\nhello
        2< * 6 EXISTS
        2< * 3 RECENT
        2< * 4 EXPUNGE
        2< b3 OK …
        1> a3 UID SEARCH SEEN
        1< * SEARCH
        1< * 5 EXISTS
        1< * …RECENT
        1< a3 OK Done
    """,
    "CHECK and a word nobody knows": """
        1> a1 CHECK
        1< a1 OK Done
        1> a2 XYZZY
        1< a2 BAD No such command
        1> a3 LOGIN alice secret
        1< a3 BAD LOGIN is not for this state
        1> a4 LOGOUT
        1< * BYE Goodbye
        1< a4 OK Done
    """,
}


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogues(name: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with rooms(tmp_path) as house:
            await house.deliver_all([LETTER] * 3)
            await house.play(DIALOGUES[name])

    run(main(), "uvloop")


async def status(house: Rooms, items: str, mailbox: str = "INBOX") -> str:
    client = await house.connect().enter()
    line = (await client.say(f"STATUS {mailbox} ({items})"))[0]
    await client.leave()
    return line.partition("(")[2].rstrip(")")


# --- \Recent -----------------------------------------------------------------------------------------------


def test_recent_is_who_selects_first(tmp_path: Path) -> None:
    async def main() -> None:
        async with rooms(tmp_path) as house:
            await house.deliver_all([LETTER] * 2)
            assert await status(house, "RECENT") == "RECENT 2"
            reader = await house.connect().enter()
            assert "* 2 RECENT" in await reader.say("EXAMINE INBOX")
            first = await house.connect().enter()
            assert "* 2 RECENT" in await first.say("SELECT INBOX")
            assert (await first.say("SEARCH RECENT"))[0] == "* SEARCH 1 2"
            assert (await first.say("SEARCH NEW"))[0] == "* SEARCH 1 2"
            assert (await first.say("FETCH 1 FLAGS"))[0] == "* 1 FETCH (FLAGS (\\Recent))"
            assert await status(house, "RECENT") == "RECENT 0"
            second = await house.connect().enter()
            assert "* 0 RECENT" in await second.say("SELECT INBOX")
            assert (await second.say("SEARCH OLD"))[0] == "* SEARCH 1 2"
            # What arrives while it is open is recent; who leaves takes it along.
            await house.deliver()
            assert "* 3 RECENT" in await first.say("NOOP")
            assert await status(house, "RECENT") == "RECENT 1"
            await first.say("UNSELECT")
            assert await status(house, "RECENT") == "RECENT 0"

    run(main(), "uvloop")


def test_who_logs_out_takes_what_was_recent_along(tmp_path: Path) -> None:
    async def main() -> None:
        async with rooms(tmp_path) as house:
            client = await house.connect().enter("INBOX")
            await house.deliver()
            assert "* 1 RECENT" in await client.say("NOOP")
            await client.say("LOGOUT")
            await asyncio.sleep(0.05)
            assert await status(house, "RECENT") == "RECENT 0"

    run(main(), "uvloop")


# --- races -------------------------------------------------------------------------------------------------


def test_two_sessions_that_race_agree_in_the_end(tmp_path: Path) -> None:
    """Sixteen rounds of commands at once; whatever order they take, both know the same mailbox afterwards."""

    async def main() -> None:
        async with rooms(tmp_path) as house:
            await house.deliver_all([LETTER] * 40)
            clients = [await house.connect().enter("INBOX") for _ in range(2)]
            known = [Known(40), Known(40)]

            async def act(number: int, command: str) -> None:
                for line in (await clients[number].say(command))[:-1]:
                    known[number].hear(line)

            for turn in range(16):
                flag = "\\Deleted" if turn % 3 else "\\Flagged"
                first, second = (
                    f"UID STORE {turn + 1}:{turn + 3} +FLAGS ({flag})",
                    ("EXPUNGE", "APPEND INBOX {3+}\r\nabc", f"UID STORE {turn}:* -FLAGS (\\Deleted)", "NOOP")[turn % 4],
                )
                await asyncio.gather(act(0, first), act(1, second))
                await asyncio.gather(act(1, "UID FETCH 1:5 FLAGS"), act(0, "FETCH 1:2 FLAGS"))
            for number in (0, 1):
                await act(number, "NOOP")
            truth = await (await house.connect().enter("INBOX")).say("FETCH 1:* (UID FLAGS)")
            for number in (0, 1):
                assert known[number].count == len(truth) - 1
                assert await clients[number].say("UID SEARCH ALL") == await clients[1 - number].say("UID SEARCH ALL")

    run(main(), "uvloop")


class Known:
    """What a client knows: how many messages there are."""

    def __init__(self, count: int) -> None:
        self.count = count

    def hear(self, line: str) -> None:
        words = line.split()
        if words[2:] == ["EXISTS"] or words[-1] == "EXISTS":
            assert int(words[1]) >= self.count
            self.count = int(words[1])
        elif words[-1] == "EXPUNGE":
            assert 1 <= int(words[1]) <= self.count
            self.count -= 1
        elif "FETCH" in words[:3]:
            assert 1 <= int(words[1]) <= self.count


def test_a_hint_that_is_lost_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.05)

    async def main() -> None:
        async with rooms(tmp_path) as house:
            client = await house.connect().enter("INBOX")
            client.send(b"x IDLE\r\n")
            assert await client.line() == "+ idling"
            house.post.hints._subscribers.clear()
            await house.deliver()
            assert await client.line() == "* 1 EXISTS"

    run(main(), "uvloop")


def test_a_mailbox_deleted_under_an_idle_client_ends_the_session(tmp_path: Path) -> None:
    async def main() -> None:
        async with rooms(tmp_path) as house:
            idle, other = await house.connect().enter(), await house.connect().enter()
            await other.say("CREATE Gone")
            await idle.say("SELECT Gone")
            idle.send(b"x IDLE\r\n")
            assert await idle.line() == "+ idling"
            await other.say("DELETE Gone")
            assert await idle.line() == "* BYE The mailbox was deleted"
            with pytest.raises(EOFError):
                await idle.line()

    run(main(), "uvloop")


def test_idle_without_a_mailbox_waits(tmp_path: Path) -> None:
    async def main() -> None:
        async with rooms(tmp_path) as house:
            client = await house.connect().enter()
            client.send(b"x IDLE\r\n")
            assert await client.line() == "+ idling"
            await house.deliver()
            client.send(b"DONE\r\n")
            assert await client.line() == "x OK Done"

    run(main(), "uvloop")


def test_changes_older_than_the_log_are_found_all_the_same(tmp_path: Path) -> None:
    async def main() -> None:
        async with rooms(tmp_path) as house:
            await house.deliver_all([LETTER] * 5)
            slow = await house.connect().enter("INBOX")
            quick = await house.connect().enter("INBOX")
            await quick.say("UID STORE 2,4 +FLAGS (\\Deleted)")
            await quick.say("UID EXPUNGE 2,4")
            await quick.say("STORE 1 +FLAGS (\\Answered)")

            def forget(tx: mailboxes.Transaction) -> None:
                tx.execute("DELETE FROM changes WHERE account_id = $1", house.account_id)
                tx.execute("UPDATE accounts SET logged_from = modseq WHERE account_id = $1", house.account_id)

            await house.database.write(forget)
            lines = await slow.say("NOOP")
            assert lines[-3:] == ["* 4 EXPUNGE", "* 2 EXPUNGE", "OK Done"]
            assert "* 1 FETCH (UID 1 FLAGS (\\Answered \\Recent))" in lines

    run(main(), "uvloop")
