"""What each command may look like, and what is refused: sets, dates, sections, search keys (RFC 3501 §9)."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.flags import MAX_KEYWORDS, Flag
from posthouse.mail.instant import SECOND
from posthouse.wire.imap import commands, dates, responses, search, sequence
from posthouse.wire.imap.commands import Change, StatusItem
from posthouse.wire.imap.faults import Malformed, Refusal
from posthouse.wire.imap.scanner import Scanner
from posthouse.wire.imap.search import Compare, Place
from posthouse.wire.imap.sections import MAX_SECTIONS, Attribute, Items, Piece
from posthouse.wire.imap.sequence import STAR, SequenceSet
from posthouse.wire.imap.table import ROWS


def read(line: str | bytes) -> commands.Command:
    """A command's arguments, as the engine reads them."""
    octets = line.encode() if isinstance(line, str) else line
    name = next(name for name in sorted(ROWS, key=len, reverse=True) if octets.upper().startswith(name))
    scanner = Scanner(octets, len(name))
    command = ROWS[name].read(scanner)
    scanner.end()
    return command


def numbers(text: str) -> SequenceSet:
    return SequenceSet.parse(text.encode())


def day(year: int, month: int, number: int) -> int:
    return datetime(year, month, number, tzinfo=UTC).toordinal() - dates.EPOCH_DAY


FLAGS = Items((Attribute.FLAGS,))

GOOD: list[tuple[str | bytes, commands.Command]] = [
    ("CAPABILITY", commands.Capability()),
    ("noop", commands.Noop()),
    ("LOGIN alice secret", commands.Login("alice", "secret")),
    (b'LOGIN "al\\"ice" {6}\r\nse"cr\\', commands.Login('al"ice', 'se"cr\\')),
    (b'LOGIN {3+}\r\n\xc3\xa9x ""', commands.Login("éx", "")),
    ("LOGIN a] b", commands.Login("a]", "b")),
    ("AUTHENTICATE plain", commands.Authenticate("PLAIN", None)),
    ("AUTHENTICATE PLAIN =", commands.Authenticate("PLAIN", b"")),
    ("AUTHENTICATE PLAIN AGEAYg==", commands.Authenticate("PLAIN", b"\0a\0b")),
    ("ID NIL", commands.Identify(())),
    ("ID ()", commands.Identify(())),
    ('ID ("name" "x" "os" NIL)', commands.Identify((("name", "x"), ("os", "")))),
    ("ENABLE condstore X", commands.Enable(("CONDSTORE", "X"))),
    ("SELECT inbox", commands.Select("INBOX", read_only=False)),
    ('EXAMINE "a b"', commands.Select("a b", read_only=True)),
    (b"CREATE {5}\r\na b/c", commands.Create("a b/c")),
    ("DELETE Entw&APw-rfe", commands.Delete("Entwürfe")),
    ('RENAME a "b"', commands.Rename("a", "b")),
    ("SUBSCRIBE #news", commands.Subscribe("#news", subscribed=True)),
    ("UNSUBSCRIBE a", commands.Subscribe("a", subscribed=False)),
    ('LIST "" %', commands.ListMailboxes("", "%", subscribed=False)),
    ('LIST a/ "*b c"', commands.ListMailboxes("a/", "*b c", subscribed=False)),
    ('LSUB "" inbox*', commands.ListMailboxes("", "inbox*", subscribed=True)),
    (
        "STATUS a (messages UIDNEXT unseen)",
        commands.Status("a", (StatusItem.MESSAGES, StatusItem.UIDNEXT, StatusItem.UNSEEN)),
    ),
    ("NAMESPACE", commands.Namespace()),
    ("UID EXPUNGE 1:*", commands.Expunge(numbers("1:*"))),
    ("EXPUNGE", commands.Expunge(None)),
    ("CLOSE", commands.Close(expunge=True)),
    ("UNSELECT", commands.Close(expunge=False)),
    ("FETCH 1 flags", commands.Fetch(numbers("1"), FLAGS, uid=False)),
    ("UID FETCH 1:* (FLAGS)", commands.Fetch(numbers("1:*"), FLAGS, uid=True)),
    ("FETCH 1 (FLAGS FLAGS)", commands.Fetch(numbers("1"), FLAGS, uid=False)),
    (
        "FETCH 1 fast",
        commands.Fetch(numbers("1"), Items((Attribute.FLAGS, Attribute.INTERNALDATE, Attribute.SIZE)), uid=False),
    ),
    (
        "STORE 1,2 +FLAGS.SILENT (\\Deleted $Old)",
        commands.Store(numbers("1,2"), Change.ADD, True, Flag.DELETED, ("$Old",), uid=False),
    ),
    (
        "UID STORE 4 flags \\seen \\FLAGGED x X",
        commands.Store(numbers("4"), Change.REPLACE, False, Flag.SEEN | Flag.FLAGGED, ("x",), uid=True),
    ),
    ("STORE 4 -FLAGS ()", commands.Store(numbers("4"), Change.REMOVE, False, Flag(0), (), uid=False)),
    # \Recent is the server's: it is no error to send it along, and it changes nothing.
    ("STORE 4 FLAGS (\\Recent)", commands.Store(numbers("4"), Change.REPLACE, False, Flag(0), (), uid=False)),
    ('COPY 2:4 "a"', commands.Copy(numbers("2:4"), "a", uid=False)),
    ("UID MOVE 7 Trash", commands.Move(numbers("7"), "Trash", uid=True)),
    ("SEARCH ALL", commands.Search(search.All(), uid=False)),
]


@pytest.mark.parametrize(("line", "command"), GOOD)
def test_commands_and_what_they_mean(line: str | bytes, command: commands.Command) -> None:
    assert read(line) == command


@pytest.mark.parametrize(
    "line",
    [
        "NOOP ",
        "NOOP x",
        "LOGIN",
        "LOGIN alice",
        "LOGIN  alice secret",
        "LOGIN alice secret ",
        "LOGIN al(ice secret",
        'LOGIN "alice secret',
        'LOGIN "a\\b" c',
        b"LOGIN {9}\r\nalice secret",
        b"LOGIN {2}\r\na\0 b",
        b"LOGIN \xff b",
        b'LOGIN "\xff" b',
        "LOGIN a\tb c",
        "AUTHENTICATE",
        "AUTHENTICATE PLAIN A",
        "AUTHENTICATE PLAIN AA==AA",
        "AUTHENTICATE PLAIN *",
        "ID",
        'ID ("name")',
        'ID ("' + "n" * 31 + '" "x")',
        "ID (" + " ".join(['"a" "b"'] * 31) + ")",
        "ENABLE",
        "ENABLE ",
        "SELECT",
        "SELECT a b",
        "SELECT a%",
        "STATUS a ()",
        "STATUS a (MESSAGES SIZES)",
        "STATUS a (MESSAGES  UNSEEN)",
        "RENAME a",
        'LIST ""',
        "FETCH 0 FLAGS",
        "FETCH 1: FLAGS",
        "FETCH 1,,2 FLAGS",
        "FETCH 1:2:3 FLAGS",
        "FETCH 4294967296 FLAGS",
        "FETCH 99999999999999999999 FLAGS",
        "FETCH -1 FLAGS",
        "FETCH 1 ()",
        "FETCH 1 (FAST)",
        "FETCH 1 FLAG",
        "FETCH 1 BODY[",
        "FETCH 1 BODY[]<0>",
        "FETCH 1 BODY[]<0.0>",
        "FETCH 1 BODY[MIME]",
        "FETCH 1 BODY[0]",
        "FETCH 1 BODY[1.]",
        "FETCH 1 BODY[1.2.HEADERS]",
        "FETCH 1 BODY[HEADER.FIELDS]",
        "FETCH 1 BODY[HEADER.FIELDS ()]",
        "FETCH 1 BODY.PEEK",
        "FETCH 1 BINARY[]",
        "FETCH 1 BODY[" + "1." * 100 + "1]",
        "FETCH 1 (" + " ".join(f"BODY[{n}]" for n in range(1, MAX_SECTIONS + 2)) + ")",
        "STORE 1 FLAGS",
        "STORE 1 FLAGS (\\Foo)",
        "STORE 1 FLAGS (a b",
        "STORE 1 ~FLAGS a",
        "STORE 1 FLAGSx a",
        "COPY 1",
        "UID EXPUNGE",
        "SEARCH",
        "SEARCH ",
        "SEARCH FOO",
        "SEARCH ()",
        "SEARCH (ALL",
        "SEARCH ALL)",
        "SEARCH NOT",
        "SEARCH OR ALL",
        "SEARCH SUBJECT",
        "SEARCH BEFORE 31-Feb-2020",
        "SEARCH BEFORE 1-Foo-2020",
        "SEARCH BEFORE 1-Jan-0000",
        'SEARCH BEFORE "1-Jan-2020',
        "SEARCH LARGER x",
        "SEARCH HEADER Subject",
        "SEARCH CHARSET",
        "SEARCH CHARSET UTF-8",
        b"SEARCH CHARSET UTF-8 SUBJECT \xff",
        b'SEARCH CHARSET UTF-8 SUBJECT "\xff"',
        "SEARCH " + "NOT " * 200 + "ALL",
        "SEARCH " + "(" * 200 + "ALL" + ")" * 200,
        "SEARCH " + "OR (" * 60 + "ALL" + ") ALL" * 60,
        "SEARCH " + " ".join(["ALL"] * 1001),
        "APPEND a",
        "APPEND a x",
        "APPEND a (\\Seen)",
        b'APPEND a "1-Jan-2020 00:00:00 +0000" {1}\r\n',  # the day has two characters
        b'APPEND a "32-Jan-2020 00:00:00 +0000" {1}\r\n',
        b'APPEND a "01-Jan-2020 24:00:00 +0000" {1}\r\n',
        b'APPEND a "01-Jan-2020 00:00:00 +00:00" {1}\r\n',
    ],
)
def test_what_is_no_command_is_malformed(line: str | bytes) -> None:
    with pytest.raises(Malformed) as fault:
        read(line)
    assert str(fault.value).isascii()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("SELECT &AOk", "CANNOT"),
        ("SELECT R&D", "CANNOT"),
        ("SEARCH CHARSET KOI8-R ALL", "BADCHARSET (US-ASCII UTF-8)"),
        ("STORE 1 FLAGS (" + "k" * 101 + ")", "LIMIT"),
        ("STORE 1 FLAGS (" + " ".join(f"k{n}" for n in range(MAX_KEYWORDS + 1)) + ")", "LIMIT"),
    ],
)
def test_what_can_be_read_but_not_done_is_refused(line: str, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        read(line)
    assert refused.value.code == code


# --- sets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "last", "expected"),
    [
        ("2,4:7,9,12:*", 15, [(2, 2), (4, 7), (9, 9), (12, 15)]),
        ("*:4,5:7", 10, [(4, 10)]),
        ("4:2", 10, [(2, 4)]),
        ("3291:*", 7, [(7, 3291)]),
        ("*", 7, [(7, 7)]),
        ("*:*", 7, [(7, 7)]),
        ("1:4294967295", 3, [(1, 4294967295)]),
        ("5,5,4,3,9", 10, [(3, 5), (9, 9)]),
        ("1:10,2:3,12", 12, [(1, 10), (12, 12)]),
    ],
)
def test_sets_are_rising_and_apart(text: str, last: int, expected: list[tuple[int, int]]) -> None:
    assert numbers(text).resolve(last) == expected


def test_a_set_is_never_spread_out() -> None:
    assert numbers("1:4294967295").ranges == ((1, 4294967295),)
    assert numbers("*").ranges == ((STAR, STAR),)
    wide = numbers(",".join(["1:4294967295", "*:1"] * 5000))
    assert wide.resolve(500_000) == [(1, 4294967295)]


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30) | st.none()), min_size=1, max_size=12))
def test_a_set_holds_what_its_ranges_hold(ranges: list[tuple[int, int | None]]) -> None:
    text = ",".join(f"{low}" if high is None else f"{low}:{high}" for low, high in ranges)
    expected = {n for low, high in ranges for n in range(min(low, high or low), max(low, high or low) + 1)}
    resolved = numbers(text).resolve(30)
    assert {n for low, high in resolved for n in range(low, high + 1)} == expected
    assert sequence.gather(sorted(expected)) == resolved
    assert numbers(sequence.render(resolved).decode()).resolve(30) == resolved


# --- dates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("17-Jul-1996 02:44:25 -0700", datetime(1996, 7, 17, 9, 44, 25, tzinfo=UTC)),
        (" 1-Jan-2020 00:00:00 +0530", datetime(2019, 12, 31, 18, 30, tzinfo=UTC)),
        ("01-jan-1960 00:00:00 +0000", datetime(1960, 1, 1, tzinfo=UTC)),
        ("31-Dec-9999 23:59:59 -1200", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("01-Jan-0001 00:00:00 +1200", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_internal_dates(text: str, moment: datetime) -> None:
    at = dates.date_time(text.encode())
    assert at == int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * SECOND
    assert dates.date_time(dates.internal_date(at).strip(b'"')) == at


def test_an_instant_beyond_all_dates_can_still_be_written() -> None:
    assert dates.internal_date(2**63) == b'"31-Dec-9999 23:59:59 +0000"'
    assert dates.internal_date(-(2**63)) == b'"01-Jan-0001 00:00:00 +0000"'


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"Sat, 1 Mar 2025 23:30:00 -0800", day(2025, 3, 1)),
        (b"1 March 2025 00:00", day(2025, 3, 1)),
        (b" Sat , 01  Mar  25 10:00 +0100", day(2025, 3, 1)),
        (b"Sat, 01-Mar-99 10:00 GMT", day(1999, 3, 1)),
        (b"Sat, 01 Mar 125 10:00 GMT", day(2025, 3, 1)),
        (b"31 Feb 2025", None),
        (b"yesterday", None),
        (b"", None),
    ],
)
def test_the_day_a_message_names(field: bytes, expected: int | None) -> None:
    assert dates.sent_day(field) == expected


# --- sections ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "label", "part", "piece", "fields", "count", "peek"),
    [
        ("BODY[]", "BODY[]", (), Piece.WHOLE, "", None, False),
        ("body.peek[]", "BODY[]", (), Piece.WHOLE, "", None, True),
        ("BODY[text]", "BODY[TEXT]", (), Piece.TEXT, "", None, False),
        ("BODY.PEEK[1.2]<3.4>", "BODY[1.2]<3>", (1, 2), Piece.WHOLE, "", 4, True),
        ("BODY[1.mime]", "BODY[1.MIME]", (1,), Piece.MIME, "", None, False),
        ("BODY[4.1.HEADER]", "BODY[4.1.HEADER]", (4, 1), Piece.HEADER, "", None, False),
        (
            'BODY.PEEK[HEADER.FIELDS (From "To x")]',
            'BODY[HEADER.FIELDS (From "To x")]', (), Piece.FIELDS, "from,to x", None, True,
        ),
        (
            "BODY[2.HEADER.FIELDS.NOT (A)]",
            "BODY[2.HEADER.FIELDS.NOT (A)]", (2,), Piece.FIELDS_NOT, "a", None, False,
        ),
        ("RFC822", "RFC822", (), Piece.WHOLE, "", None, False),
        ("RFC822.HEADER", "RFC822.HEADER", (), Piece.HEADER, "", None, True),
        ("RFC822.TEXT", "RFC822.TEXT", (), Piece.TEXT, "", None, False),
    ],
)  # fmt: skip
def test_sections(
    text: str, label: str, part: tuple[int, ...], piece: Piece, fields: str, count: int | None, peek: bool
) -> None:
    command = read(f"FETCH 1 ({text} UID)")
    assert isinstance(command, commands.Fetch)
    assert command.items.attributes == (Attribute.UID,)
    (section,) = command.items.sections
    assert section.label == label.encode()
    assert section.part == part
    assert section.piece is piece
    assert ",".join(sorted(name.decode() for name in section.fields)) == fields
    assert section.count == count
    assert section.peek is peek
    assert command.items.sets_seen is not peek


def test_one_section_asked_for_twice_is_sent_once_and_marks_as_seen() -> None:
    command = read("FETCH 1 (BODY.PEEK[] BODY[] BODY.PEEK[])")
    assert isinstance(command, commands.Fetch)
    assert len(command.items.sections) == 1
    assert command.items.sets_seen


# --- search ------------------------------------------------------------------------------------------------

SEEN = search.Flagged(Flag.SEEN, True)
UNSEEN = search.Flagged(Flag.SEEN, False)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("ALL", search.All()),
        ("seen", SEEN),
        ("UNSEEN", UNSEEN),
        ("NEW", search.And((search.Recent(True), UNSEEN))),
        ("OLD", search.Recent(False)),
        ("RECENT", search.Recent(True)),
        ("UNDRAFT", search.Flagged(Flag.DRAFT, False)),
        ("KEYWORD $Junk", search.Keyword("$junk", True)),
        ("UNKEYWORD x", search.Keyword("x", False)),
        ("2:4,*", search.Numbers(numbers("2:4,*"), uid=False)),
        ("UID 7", search.Numbers(numbers("7"), uid=True)),
        ("SEEN 1", search.And((SEEN, search.Numbers(numbers("1"), uid=False)))),
        ("NOT SEEN", search.Not(SEEN)),
        ("OR SEEN UNSEEN", search.Or((SEEN, UNSEEN))),
        ("OR SEEN OR UNSEEN ALL", search.Or((SEEN, UNSEEN, search.All()))),
        ("OR OR SEEN UNSEEN ALL", search.Or((search.Or((SEEN, UNSEEN)), search.All()))),
        ("(SEEN (UNSEEN))", search.And((SEEN, UNSEEN))),
        ("BEFORE 1-Feb-2020", search.Received(Compare.BELOW, day(2020, 2, 1))),
        ('ON "01-Feb-2020"', search.Received(Compare.EQUAL, day(2020, 2, 1))),
        ("SINCE 1-feb-1960", search.Received(Compare.NOT_BELOW, day(1960, 2, 1))),
        ("SENTBEFORE 1-Feb-2020", search.Sent(Compare.BELOW, day(2020, 2, 1))),
        ("SENTON 1-Feb-2020", search.Sent(Compare.EQUAL, day(2020, 2, 1))),
        ("SENTSINCE 1-Feb-2020", search.Sent(Compare.NOT_BELOW, day(2020, 2, 1))),
        ("LARGER 5", search.Size(Compare.ABOVE, 5)),
        ("SMALLER 5", search.Size(Compare.BELOW, 5)),
        ('SUBJECT "a b"', search.Text(Place.SUBJECT, "a b")),
        ("FROM x", search.Text(Place.FROM, "x")),
        ('HEADER X-Spam ""', search.Text(Place.FIELD, "", "x-spam")),
        ("CHARSET us-ascii TEXT x", search.Text(Place.TEXT, "x")),
        ("CHARSET UTF-8 BODY {2}\r\né", search.Text(Place.BODY, "é")),
        ('CHARSET "UTF-8" BODY "é"', search.Text(Place.BODY, "é")),
    ],
)
def test_search_keys(text: str, key: search.Key) -> None:
    assert read(f"SEARCH {text}") == commands.Search(key, uid=False)
    assert read(f"uid search {text}") == commands.Search(key, uid=True)


def test_any_of_many_is_one_level_and_may_be_long() -> None:
    command = read("SEARCH " + "OR SEEN " * 300 + "ALL")
    assert isinstance(command, commands.Search)
    assert isinstance(command.key, search.Or)
    assert len(command.key.keys) == 301


# --- responses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", b'""'),
        (b'a "b" \\', b'"a \\"b\\" \\\\"'),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
        (b"\xc3\xa9", b"{2}\r\n\xc3\xa9"),
        (b"x" * 1001, b"{1001}\r\n" + b"x" * 1001),
    ],
)
def test_strings(octets: bytes, expected: bytes) -> None:
    assert responses.string(octets) == expected
    assert Scanner(expected).string() == octets


@given(st.binary().filter(lambda octets: b"\0" not in octets))
def test_a_string_that_was_written_is_read_again(octets: bytes) -> None:
    for rendered in (responses.string(octets), responses.astring(octets)):
        scanner = Scanner(rendered)
        assert scanner.astring() == octets
        scanner.end()


def test_no_text_of_ours_can_begin_a_line_of_its_own() -> None:
    assert responses.text("a\r\n* BYE b\x00é", "X") == b"[X] a??* BYE b??"
    assert responses.text("") == b"-"


def test_flags_are_written_in_one_order() -> None:
    assert responses.flag_list(0) == b"()"
    assert responses.flag_list(31, ("$a",), recent=True) == (
        b"(\\Answered \\Flagged \\Deleted \\Seen \\Draft \\Recent $a)"
    )
