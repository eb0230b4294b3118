"""What each IMAP command does to the store and says: mailboxes, messages, searches, bodies (RFC 3501 §6)."""

import asyncio
from array import array
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.mail.instant import DAY
from posthouse.serve.imap import bodies, fetching, scanning
from posthouse.serve.imap.conversation import HANDLERS
from posthouse.serve.imap.selected import Selected
from posthouse.store import directory
from posthouse.store.database import Fault, StoreFault
from posthouse.store.hints import account_topic
from posthouse.store.messages import Changed, Changes
from posthouse.wire.imap import commands
from posthouse.wire.imap.faults import Malformed
from posthouse.wire.imap.sequence import SequenceSet
from posthouse.wire.imap.table import ROWS
from serve.imap_rooms import LETTER, PREFIX, Rooms, rooms
from serve.loops import run

NESTED = b"""\
From: "Carol" <carol@far.test>
To: alice@posthouse.test, "Team: a" <team@posthouse.test>
Cc: =?utf-8?q?J=C3=BCrgen?= <j@far.test>
Bcc: secret@posthouse.test
Subject: =?utf-8?b?w5xiZXJzaWNodA==?= of it all
Date: Tue, 31 Dec 2024 23:30:00 -0800
Message-ID: <nested.1@far.test>
In-Reply-To: <lunch@far.test>
References: <first@far.test> <lunch@far.test>
X-Spam: no
X-Empty:
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe, der Schl=FCssel liegt unter der Matte=
 vor der T=FCr
--b
Content-Type: message/rfc822

Subject: inner letter
From: dave@far.test

inside
--b
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64

bm90IHRleHQ=
--b--
""".replace(b"\n", b"\r\n")


def tried(main: Callable[[Rooms], Coroutine[object, object, None]], folder: Path, **options: int) -> None:
    async def inside() -> None:
        async with rooms(folder, **options) as house:
            await main(house)

    run(inside(), "uvloop")


def test_every_command_that_the_engine_leaves_to_the_door_has_somebody_who_does_it() -> None:
    answered_by_the_engine = {commands.Capability, commands.Logout, commands.Enable}
    known = {command for command in commands.Command.__args__ if command not in answered_by_the_engine}
    assert set(HANDLERS) == known
    assert len(ROWS) > len(HANDLERS)


# --- mailboxes ---------------------------------------------------------------------------------------------


def names(lines: list[str]) -> list[str]:
    return [line.rpartition(' "/" ')[2].strip('"') for line in lines[:-1]]


def test_list_and_its_wildcards(tmp_path: Path) -> None:
    async def main(house: Rooms) -> None:
        client = await house.connect().enter()
        for name in ("Work/2025/May", '"a b"', "Entw&APw-rfe", "R&-D"):
            assert (await client.say(f"CREATE {name}"))[-1] == "OK Created"
        await client.say("DELETE Work/2025")
        everything = await client.say('LIST "" *')
        assert everything[0] == '* LIST (\\HasNoChildren) "/" "INBOX"'
        assert '* LIST (\\HasNoChildren \\Drafts) "/" "Drafts"' in everything
        assert '* LIST (\\HasChildren) "/" "Work"' in everything
        assert '* LIST (\\Noselect \\HasChildren) "/" "Work/2025"' in everything
        assert '* LIST (\\HasNoChildren) "/" "Work/2025/May"' in everything
        assert names(everything)[-6:] == ["R&-D", "Sent", "Trash", "Work", "Work/2025", "Work/2025/May", "a b"][-6:]
        assert names(await client.say('LIST "" %/%')) == ["Work/2025"]
        assert names(await client.say("LIST Work/ %")) == ["Work/2025"]
        assert names(await client.say('LIST "" "Work/*"')) == ["Work/2025", "Work/2025/May"]
        assert names(await client.say('LIST "" "Entw&APw-*"')) == ["Entw&APw-rfe"]
        assert names(await client.say('LIST "" inbox')) == ["INBOX"]
        assert names(await client.say('LIST "" nothing')) == []
        assert (await client.say('LIST "" ""'))[0] == '* LIST (\\Noselect) "/" ""'
        assert (await client.say("NAMESPACE"))[0] == '* NAMESPACE (("" "/")) NIL NIL'
        assert (await client.say("SELECT Work/2025"))[-1].startswith("NO [NONEXISTENT]")

    tried(main, tmp_path)


def test_subscriptions_outlive_their_mailboxes(tmp_path: Path) -> None:
    async def main(house: Rooms) -> None:
        client = await house.connect().enter()
        await client.say("CREATE a/b/c")
        assert names(await client.say('LSUB "" "a*"')) == []
        await client.say("SUBSCRIBE a/b/c")
        await client.say("SUBSCRIBE nowhere")
        assert names(await client.say('LSUB "" *')) == [
            "Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash", "a/b/c", "nowhere",
        ]  # fmt: skip
        # RFC 3501 §6.3.9: foo matches %, foo/bar is subscribed to.
        assert '* LSUB (\\Noselect) "/" "a"' in await client.say('LSUB "" %')
        await client.say("DELETE a/b/c")
        assert names(await client.say('LSUB "" a/*')) == ["a/b/c"]
        assert (await client.say("UNSUBSCRIBE a/b/c"))[-1] == "OK Done"
        assert (await client.say("UNSUBSCRIBE a/b/c"))[-1] == "OK Done"
        assert names(await client.say('LSUB "" a/*')) == []

    tried(main, tmp_path)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("CREATE INBOX", "NO [ALREADYEXISTS]"),
        ("CREATE inBox", "NO [ALREADYEXISTS]"),
        ("CREATE Sent", "NO [ALREADYEXISTS]"),
        ("CREATE new/", "OK"),
        ("CREATE a//b", "NO [CANNOT]"),
        ("CREATE /a", "NO [CANNOT]"),
        ('CREATE ""', "NO [CANNOT]"),
        ("CREATE " + "x" * 300, "NO ["),
        ("CREATE &AAA-", "NO [CANNOT]"),
        ("CREATE &AOk", "NO [CANNOT]"),
        ("DELETE INBOX", "NO [CANNOT]"),
        ("DELETE nowhere", "NO [NONEXISTENT]"),
        ("RENAME nowhere b", "NO [NONEXISTENT]"),
        ("RENAME Sent Drafts", "NO [ALREADYEXISTS]"),
        ("RENAME Sent INBOX", "NO [ALREADYEXISTS]"),
        ("RENAME Sent Sent/a", "NO [CANNOT]"),
        ("RENAME Sent Post", "OK"),
        ("STATUS nowhere (MESSAGES)", "NO [NONEXISTENT]"),
        ("SELECT nowhere", "NO [NONEXISTENT]"),
        ("EXAMINE ../../etc/passwd", "NO [NONEXISTENT]"),
        ("CREATE ../x", "NO [CANNOT]"),
    ],
)
def test_mailboxes_that_can_and_cannot_be(command: str, answer: str, tmp_path: Path) -> None:
    async def main(house: Rooms) -> None:
        client = await house.connect().enter()
        assert (await client.say(command))[-1].startswith(answer)
        assert (await client.say("NOOP"))[-1] == "OK Done"

    tried(main, tmp_path)


def test_renaming_takes_what_lies_below_along_and_inbox_gives_its_messages(tmp_path: Path) -> None:
    async def main(house: Rooms) -> None:
        client = await house.connect().enter()
        await client.say("CREATE a/b/c")
        await client.say("APPEND a/b {1+}\r\nx")
        assert (await client.say("RENAME a z/y"))[-1] == "OK Renamed"
        assert names(await client.say('LIST "" "z*"')) == ["z", "z/y", "z/y/b", "z/y/b/c"]
        assert (await client.say("STATUS z/y/b (MESSAGES)"))[0].endswith("(MESSAGES 1)")
        await house.deliver_all([LETTER] * 2)
        await client.say("CREATE INBOX/below")
        assert (await client.say("RENAME INBOX old"))[-1] == "OK Renamed"
        assert (await client.say("STATUS old (MESSAGES)"))[0].endswith("(MESSAGES 2)")
        assert (await client.say("STATUS INBOX (MESSAGES)"))[0].endswith("(MESSAGES 0)")
        assert names(await client.say('LIST "" INBOX*')) == ["INBOX", "INBOX/below"]

    tried(main, tmp_path)


def test_a_mailbox_made_again_has_another_uidvalidity(tmp_path: Path) -> None:
    async def main(house: Rooms) -> None:
        client = await house.connect().enter()
        seen = set()
        for _ in range(3):
            await client.say("CREATE again")
            seen.add((await client.say("STATUS again (UIDVALIDITY)"))[0])
            await client.say("DELETE again")
        assert len(seen) == 3

    tried(main, tmp_path)


# --- APPEND ------------------------------------------------------------------------------------------------


def test_append_with_flags_and_date(tmp_path: Path) -> None:
    async def main(house: Rooms) -> None:
        client = await house.connect().enter("Sent")
        command = b'APPEND Sent (\\Seen $Forwarded) " 1-Feb-2020 12:00:00 +0100" {%d+}\r\n' % len(LETTER) + LETTER
        lines = await client.say(command)
        assert lines[-1].startswith("OK [APPENDUID ")
        assert lines[-1].endswith(" 1] Appended")
        assert "* 1 EXISTS" in lines
        lines = await client.say("FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
        assert lines[0] == (
            '* 1 FETCH (FLAGS (\\Seen \\Recent $Forwarded) INTERNALDATE "01-Feb-2020 11:00:00 +0000"'
            f" RFC822.SIZE {len(LETTER)} BODY[] {{{len(LETTER)}}}\r\n{LETTER.decode()})"
        )

    tried(main, tmp_path)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("APPEND nowhere {5}", "NO [TRYCREATE]"),
        ("APPEND nowhere {5+}\r\nhello", "NO [TRYCREATE]"),
        ("APPEND INBOX {0}", "NO [CANNOT]"),
        ("APPEND INBOX {0+}\r\n", "NO [CANNOT]"),
        ("APPEND INBOX {10001}", "NO [TOOBIG]"),
        ("APPEND INBOX {6000}", "NO [OVERQUOTA]"),
        ("APPEND INBOX {6000+}\r\n" + "x" * 6000, "NO [OVERQUOTA]"),
        ("APPEND INBOX {3+}\r\na\0b", "BAD"),
        ("APPEND INBOX (\\Foo) {3}", "BAD"),
        ("APPEND INBOX {5+}\r\nhello", "OK [APPENDUID"),
    ],
)
def test_append_that_can_and_cannot_be(command: str, answer: str, tmp_path: Path) -> None:
    async def main(house: Rooms) -> None:
        client = await house.connect().enter()
        assert (await client.say(command))[-1].startswith(answer)
        count = int(answer.startswith("OK"))
        assert (await client.say("STATUS INBOX (MESSAGES)"))[0].endswith(f"(MESSAGES {count})")
        # Nothing that was refused is left lying about.
        assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []

    tried(main, tmp_path, quota=5000, append_limit=10_000)


def test_an_append_is_waited_for_with_a_continuation_and_may_trickle_in(tmp_path: Path) -> None:
    async def main(house: Rooms) -> None:
        client = await house.connect().enter()
        client.send(b"x APPEND INBOX {9}\r\n")
        assert await client.line() == "+ OK"
        for octet in b"a: b\r\n\r\nc":
            client.send(bytes((octet,)))
            await asyncio.sleep(0)
        client.send(b"\r\n")
        assert (await client.line()).startswith("x OK [APPENDUID")

    tried(main, tmp_path)


def test_a_large_message_goes_to_a_file_and_comes_back_in_pieces_as_the_client_reads(tmp_path: Path) -> None:
    letter = LETTER + b"".join(b"%07d: a line of a large message, which goes on and on\r\n" % n for n in range(60_000))

    async def main(house: Rooms) -> None:
        client = await house.connect().enter("INBOX")
        client.send(b"x APPEND INBOX {%d+}\r\n" % len(letter))
        for at in range(0, len(letter), 100_000):
            client.send(letter[at : at + 100_000])
            await asyncio.sleep(0)
        client.send(b"\r\n")
        while not (line := await client.line()).startswith("x "):
            pass
        assert line.startswith("x OK")
        assert len([path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]) == 1
        transport = client.transport
        transport.most = 0
        transport.held = True
        before = len(transport.written)
        client.send(b"y FETCH 1 BODY.PEEK[]\r\n")
        await asyncio.sleep(0.1)
        # The client reads nothing, so no more than a piece is on its way.
        assert 0 < len(transport.written) - before <= bodies.PIECE + 200
        transport.release()
        line = await client.line()
        assert line == f"* 1 FETCH (BODY[] {{{len(letter)}}}\r\n{letter.decode()})"
        assert transport.most <= bodies.PIECE + 200
        assert (await client.line()) == "y OK Done"
        half = await client.say("FETCH 1 (BODY.PEEK[1]<2000000.20> BODY.PEEK[HEADER.FIELDS (Subject)])")
        body = letter[letter.index(b"\r\n\r\n") + 4 :]
        assert f"BODY[1]<2000000> {{20}}\r\n{body[2_000_000:2_000_020].decode()}" in half[0]
        assert "Subject: Lunch\r\n\r\n" in half[0]
        assert (await client.say("SEARCH BODY 0059999:"))[0] == "* SEARCH 1"

    tried(main, tmp_path)


# --- FETCH -------------------------------------------------------------------------------------------------


def section(letter: bytes, start: bytes, end: bytes) -> bytes:
    at = letter.index(start)
    return letter[at : letter.index(end, at)]


SECTIONS: list[tuple[str, bytes | None]] = [
    ("BODY.PEEK[]", PREFIX + NESTED),
    ("RFC822", PREFIX + NESTED),
    ("BODY.PEEK[HEADER]", PREFIX + NESTED[: NESTED.index(b"\r\n\r\n") + 4]),
    ("RFC822.HEADER", PREFIX + NESTED[: NESTED.index(b"\r\n\r\n") + 4]),
    ("BODY.PEEK[TEXT]", NESTED[NESTED.index(b"\r\n\r\n") + 4 :]),
    ("RFC822.TEXT", NESTED[NESTED.index(b"\r\n\r\n") + 4 :]),
    ("BODY.PEEK[1]", section(NESTED, b"Gr=FC", b"\r\n--b")),
    ("BODY.PEEK[1.MIME]", section(NESTED, b"Content-Type: text/plain", b"Gr=FC")),
    ("BODY.PEEK[2]", section(NESTED, b"Subject: inner", b"\r\n--b")),
    ("BODY.PEEK[2.HEADER]", section(NESTED, b"Subject: inner", b"inside")),
    ("BODY.PEEK[2.HEADER.FIELDS (FROM)]", b"From: dave@far.test\r\n\r\n"),
    ("BODY.PEEK[2.1]", b"inside"),
    ("BODY.PEEK[2.TEXT]", b"inside"),
    ("BODY.PEEK[3]<2.4>", b"90IH"),
    ("BODY.PEEK[3]<200.4>", b""),
    ("BODY.PEEK[HEADER.FIELDS (return-path X-SPAM)]", b"Return-Path: <bob@far.test>\r\nX-Spam: no\r\n\r\n"),
    ("BODY.PEEK[]<60.16>", (PREFIX + NESTED)[60:76]),
    ("BODY.PEEK[4]", None),
    ("BODY.PEEK[1.HEADER]", None),
]


def test_sections(tmp_path: Path) -> None:
    async def main(house: Rooms) -> None:
        await house.deliver(NESTED)
        client = await house.connect().enter("INBOX")
        for item, expected in SECTIONS:
            line = (await client.say(f"FETCH 1 ({item})"))[0].encode("latin-1")
            end = b"] NIL)" if expected is None else b" {%d}\r\n%b)" % (len(expected), expected)
            assert line.endswith(end), item

    tried(main, tmp_path)


def test_batches_give_what_one_by_one_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(house: Rooms) -> None:
        await house.deliver_all([LETTER.replace(b"Lunch", b"Lunch %d" % n) for n in range(23)])
        client = await house.connect().enter("INBOX")
        for uid in (3, 4, 9):
            await client.say(f"UID STORE {uid} +FLAGS.SILENT (\\Deleted)")
        await client.say("EXPUNGE")
        await house.deliver(NESTED)
        await client.say("NOOP")
        items = "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE)"
        whole = await client.say(f"FETCH 1:* {items}")
        assert len(whole) == 22
        assert [line for n in range(1, 22) for line in (await client.say(f"FETCH {n} {items}"))[:-1]] == whole[:-1]
        bodies_whole = await client.say("UID FETCH 1:9,5:* (BODY.PEEK[] BODY.PEEK[1])")
        for size in (1, 2, 7):
            for name in ("SMALL_BATCH", "BATCH", "BODY_BATCH"):
                monkeypatch.setattr(fetching, name, size)
            monkeypatch.setattr(bodies, "GROUP_OCTETS", 500)
            assert await client.say(f"FETCH 1:3,2:*,* {items}") == whole
            assert await client.say("UID FETCH 1:* (BODY.PEEK[] BODY.PEEK[1])") == bodies_whole

    tried(main, tmp_path)


# --- SEARCH ------------------------------------------------------------------------------------------------

# Message 1 is LETTER (flagged, old), 2 is NESTED, 3 has no Date and no text part.
BARE = b"From: Eve <eve@far.test>\r\nSubject: bare\r\nContent-Type: image/png\r\n\r\nAt noon?\r\n"


SEARCHES = [
    ("ALL", "1 2 3"),
    ("FLAGGED", "1"),
    ("UNFLAGGED", "2 3"),
    ("NOT FLAGGED", "2 3"),
    ("OR FLAGGED 3", "1 3"),
    ("1:2 NOT 1", "2"),
    ("UID 2:*", "2 3"),
    ("*", "3"),
    ("(1:2) (2:3)", "2"),
    ("BEFORE 1-Mar-2025", "1"),
    ("ON 28-Feb-2025", "1"),
    ("SINCE 1-Mar-2025", "2 3"),
    ("SENTON 1-Mar-2025", "1"),
    ("SENTON 31-Dec-2024", "2"),  # as written there, in whatever zone
    ("SENTON 1-Jan-2025", ""),
    ("SENTBEFORE 1-Jan-2025", "2"),
    ("SENTSINCE 1-Jan-2025", "1"),
    ("SENTSINCE 31-Dec-2024", "1 2"),
    ("NOT SENTSINCE 1-Jan-2025", "2 3"),
    ("LARGER 500", "2"),
    ("SMALLER 170", "3"),
    ("FROM bob", "1"),
    ("FROM CAROL@far", "2"),
    ("TO team", "2"),
    ("CC jürgen", "2"),
    ('CC "JÜRGEN"', "2"),
    ("BCC secret", "2"),
    ("SUBJECT lunch", "1"),
    ("SUBJECT übersicht", "2"),
    ('SUBJECT "OF IT"', "2"),
    ('HEADER Message-ID "<nested.1@far.test>"', "2"),
    ("HEADER message-id nested", "2"),
    ("HEADER References first@far", "2"),
    ("HEADER In-Reply-To <lunch@far.test>", "2"),
    ("HEADER X-Spam no", "2"),
    ("HEADER X-Spam yes", ""),
    ('HEADER X-Spam ""', "2"),
    ('HEADER X-Empty ""', "2"),
    ('HEADER Date ""', "1 2"),
    ("HEADER Return-Path bob", "1 2 3"),
    ("BODY noon", "1"),
    ("BODY grüße", "2"),
    ("BODY MATTE", "2"),
    ('BODY "Matte vor der Tür"', "2"),
    ("BODY inside", "2"),
    ("BODY inner", "2"),  # the header of a message inside is body
    ('BODY "not text"', ""),
    ("BODY bm90IHRleHQ", ""),
    ("BODY carol", ""),
    ("TEXT carol", "2"),
    ("TEXT Übersicht", "2"),
    ("TEXT noon", "1"),
    ("NOT BODY noon", "2 3"),
    ("OR BODY noon SUBJECT bare", "1 3"),
    ("OR (BODY noon FLAGGED) (BODY matte SEEN)", "1"),
    ("NOT (OR BODY noon BODY matte)", "3"),
    ("BODY noon BODY matte", ""),
    ("TEXT e NOT TEXT carol", "1 3"),
    ("OR NOT BODY noon SENTON 1-Mar-2025", "1 2 3"),
    ("RECENT", "1 2 3"),
    ("NEW", "1 2 3"),
    ("OLD", ""),
    ("CHARSET UTF-8 SUBJECT ÜBERSICHT", "2"),
    ("UID 1," + ",".join(str(n) for n in range(4, 500, 3)), "1"),
    ("NOT UID 1," + ",".join(str(n) for n in range(4, 500, 3)), "2 3"),
]


def test_search(tmp_path: Path) -> None:
    async def main(house: Rooms) -> None:
        await house.deliver(LETTER, flags=4, at=1_741_000_000_000_000 - 3 * DAY)
        await house.deliver(NESTED)
        await house.deliver(BARE)
        client = await house.connect().enter("INBOX")
        for key, found in SEARCHES:
            words = key
            for text in ("jürgen", "übersicht", "grüße", "Übersicht", "ÜBERSICHT"):
                words = words.replace(f" {text}", f" {{{len(text.encode())}+}}\r\n{text}")
            lines = await client.say(f"SEARCH {words}")
            assert lines == [f"* SEARCH {found}".strip(), "OK Done"], key
            assert (await client.say(f"UID SEARCH {words}"))[0] == lines[0], key

    tried(main, tmp_path)


def test_a_search_for_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(house: Rooms) -> None:
        await house.deliver_all([LETTER] * 3)
        client = await house.connect().enter("INBOX")
        assert (await client.say("SEARCH " + " ".join(["SUBJECT a"] * 600)))[-1].startswith("NO [LIMIT]")
        assert (await client.say("SEARCH CHARSET KOI8-R ALL"))[-1].startswith("NO [BADCHARSET (US-ASCII UTF-8)]")
        assert (await client.say("SEARCH 4"))[-1].startswith("BAD")
        monkeypatch.setattr("posthouse.serve.imap.searching.SCAN_OCTETS", 2 * len(LETTER))
        assert (await client.say("SEARCH BODY x"))[-1].startswith("NO [LIMIT]")
        assert (await client.say("SEARCH 1 BODY noon")) == ["* SEARCH 1", "OK Done"]
        many = " ".join(f"BODY {n}" for n in range(3))
        assert (await client.say(f"SEARCH 1 {many}"))[-1].startswith("NO [LIMIT]")

    tried(main, tmp_path)


def test_texts_are_compared_whatever_their_case_and_composition() -> None:
    assert scanning.fold("STRASSE") == scanning.fold("straße")
    assert scanning.fold("e\u0301") == scanning.fold("É")


# --- numbers -----------------------------------------------------------------------------------------------


def large(count: int) -> Selected:
    view = Selected(1, 1, read_only=False)
    view.uids = array("I", range(1, 2 * count, 2))
    view.uidnext = 2 * count
    view.recent_from = 2 * count
    return view


def test_half_a_million_messages_cost_two_megabytes_and_a_set_no_more_than_its_ranges() -> None:
    view = large(500_000)
    assert view.uids.itemsize * len(view.uids) <= 2_000_000
    everything = SequenceSet.parse(b"1:4294967295")
    assert view.slices(everything, uid=True) == [(0, 500_000)]
    with pytest.raises(Malformed):
        view.slices(everything, uid=False)
    assert view.slices(SequenceSet.parse(b"500000,*,1:2"), uid=False) == [(0, 2), (499_999, 500_000)]
    assert view.slices(SequenceSet.parse(b"2:2,4,999999:4294967295"), uid=True) == [(499_999, 500_000)]
    assert view.ranges([(0, 500_000)]) == [(1, 999_999)]
    assert len(list(view.batches([(0, 500_000)], 1000))) == 500
    view.gone.update(range(1, 1_000_000, 4))
    lines = view.expunge()
    assert lines.count(b"EXPUNGE\r\n") == 250_000
    assert lines.startswith(b"* 499999 EXPUNGE\r\n* 499997 EXPUNGE\r\n")
    assert len(view.uids) == 250_000
    assert view.number(999_999) == 250_000


@given(
    st.lists(st.integers(1, 60), unique=True, max_size=30).map(sorted),
    st.lists(st.tuples(st.integers(1, 70), st.integers(1, 70)), min_size=1, max_size=6),
    st.integers(1, 7),
)
def test_uids_are_found_in_the_view(uids: list[int], ranges: list[tuple[int, int]], size: int) -> None:
    view = Selected(1, 1, read_only=False)
    view.uids = array("I", uids)
    numbers = SequenceSet.parse(",".join(f"{low}:{high}" for low, high in ranges).encode())
    expected = [uid for uid in uids if any(min(pair) <= uid <= max(pair) for pair in ranges)]
    slices = view.slices(numbers, uid=True)
    assert [uid for start, end in slices for uid in uids[start:end]] == expected
    batches = list(view.batches(slices, size))
    assert [uid for batch in batches for start, end in batch for uid in uids[start:end]] == expected
    assert all(sum(end - start for start, end in batch) <= size for batch in batches)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(1, 30), max_size=4, unique=True).map(sorted),  # removed
            st.integers(0, 3),  # arrived
            st.booleans(),  # may EXPUNGE be told?
        ),
        max_size=10,
    )
)
def test_what_a_client_is_told_makes_its_view(steps: list[tuple[list[int], int, bool]]) -> None:
    """A client that follows EXISTS and EXPUNGE has the server's numbers; what was not told it still has."""
    view = Selected(1, 1, read_only=False)
    view.name_keywords({})
    told: list[int] = []  # the client's messages, by UID, as it can know them
    there: list[int] = []
    uidnext = 1
    for modseq, (removed, arrived, may_tell) in enumerate(steps, 1):
        gone = [uid for uid in removed if uid in there]
        new = list(range(uidnext, uidnext + arrived))
        uidnext += arrived
        there = [uid for uid in there if uid not in gone] + new
        changes = Changes(tuple(Changed(uid, 0, modseq) for uid in new), (), modseq, uidnext, len(there))
        appeared, foreign = view.apply(changes, [(uid, uid) for uid in gone])
        assert appeared == new
        assert foreign == []
        told += new
        if may_tell:
            for line in view.expunge().split(b"\r\n")[:-1]:
                del told[int(line.split()[1]) - 1]
            assert told == there
        assert list(view.uids) == told
    view.expunge()
    assert list(view.uids) == there


# --- faults ------------------------------------------------------------------------------------------------


def test_a_store_that_fails_is_a_plain_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(house: Rooms) -> None:
        await house.deliver()
        client = await house.connect().enter("INBOX")

        async def fail(unit: object, **_: object) -> None:
            raise StoreFault(Fault.FULL, "the disk is full, and this is a sentence for the log")

        with monkeypatch.context() as patch:
            patch.setattr(type(house.database), "write", lambda self, unit, **_: fail(unit))
            large = "APPEND INBOX {400000+}\r\n" + "x" * 400_000
            for command in ("STORE 1 +FLAGS \\Seen", "CREATE x", "APPEND INBOX {1+}\r\nx", large, "FETCH 1 BODY[]"):
                answer = (await client.say(command))[-1]
                assert answer.startswith("NO [UNAVAILABLE]")
                assert "log" not in answer
        assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []
        assert (await client.say("NOOP"))[-1] == "OK Done"
        assert (await client.say("STORE 1 +FLAGS \\Seen"))[-1] == "OK Done"

    tried(main, tmp_path)


def test_a_damaged_body_is_never_served(tmp_path: Path) -> None:
    async def main(house: Rooms) -> None:
        await house.deliver()
        client = await house.connect().enter("INBOX")
        await house.database.write(lambda tx: tx.execute("UPDATE blobs SET octets = $1", LETTER.replace(b"A", b"B")))
        lines = await client.say("FETCH 1 BODY.PEEK[]")
        assert lines == ["NO [UNAVAILABLE] That cannot be done now"]

    tried(main, tmp_path)


def test_an_account_that_is_removed_ends_its_sessions(tmp_path: Path) -> None:
    async def main(house: Rooms) -> None:
        client = await house.connect().enter("INBOX")
        await house.database.write(lambda tx: directory.remove_account(tx, house.account_id))
        client.send(b"x NOOP\r\n")
        assert await client.line() == "* BYE The account is closed"

    tried(main, tmp_path)


def test_an_account_that_is_suspended_ends_its_sessions(tmp_path: Path) -> None:
    async def main(house: Rooms) -> None:
        idle, busy, waiting = house.connect(), house.connect(), house.connect()
        await idle.enter("INBOX")
        await busy.enter("INBOX")
        await waiting.enter()
        idle.send(b"i IDLE\r\n")
        assert (await idle.line()).startswith("+")
        for suspended in (True, False):
            await house.database.write(lambda tx, on=suspended: directory.set_suspended(tx, house.account_id, on))
            house.post.hints.publish(account_topic(house.account_id))
            if suspended:
                busy.send(b"x NOOP\r\n")
                waiting.send(b"x SELECT INBOX\r\n")
                for client in (idle, busy, waiting):
                    assert await client.line() == "* BYE The account is closed"
        client = await house.connect().enter("INBOX")
        assert (await client.say("NOOP"))[-1] == "OK Done"

    tried(main, tmp_path)


@pytest.mark.parametrize(
    "command", ['LIST "" *', "STATUS INBOX (MESSAGES)", "CREATE x", "SUBSCRIBE x", "FETCH 1 BODY[]"]
)
def test_a_closed_account_gets_nothing_more_whatever_it_asks(command: str, tmp_path: Path) -> None:
    async def main(house: Rooms) -> None:
        await house.deliver()
        client = await house.connect().enter("INBOX" if "FETCH" in command else "")
        await house.database.write(lambda tx: directory.set_suspended(tx, house.account_id, True))
        client.send(f"x {command}\r\n".encode())
        assert await client.line() == "* BYE The account is closed"

    tried(main, tmp_path)


def test_large_changes_go_in_steps_and_large_copies_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(house: Rooms) -> None:
        await house.deliver_all([LETTER] * 25)
        client = await house.connect().enter("INBOX")
        monkeypatch.setattr("posthouse.serve.imap.flagging.BATCH", 4)
        monkeypatch.setattr("posthouse.serve.imap.searching.LARGE", 3)
        monkeypatch.setattr("posthouse.serve.imap.copying.MAX_MESSAGES", 10)
        lines = await client.say("STORE 1:* +FLAGS (\\Deleted)")
        assert len([line for line in lines if "FETCH" in line]) == 25
        assert await client.say("NOOP") == ["OK Done"]
        assert (await client.say("SEARCH DELETED 3:7"))[0] == "* SEARCH 3 4 5 6 7"
        assert (await client.say("COPY 1:11 Archive"))[-1].startswith("NO [LIMIT]")
        assert (await client.say("UID COPY 1:10 Archive"))[-1].startswith("OK [COPYUID")
        lines = await client.say("UID EXPUNGE 1:9,12:20")
        assert len(lines) == 19
        assert len(await client.say("EXPUNGE")) == 8

    tried(main, tmp_path)
