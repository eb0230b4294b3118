"""The IMAP engine as a whole: dialogues however they are cut, states, TLS, bounds, and what a hostile client tries."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.buffer import ProtocolError
from posthouse.wire.imap import commands, engine
from posthouse.wire.imap.engine import (
    AppendChunk,
    AppendEnd,
    AuthResponse,
    Done,
    Event,
    Request,
    ServerEngine,
    Settings,
    Status,
)
from posthouse.wire.imap.table import FEATURES, ROWS, State, capabilities

TLS = Settings(tls=True, mechanisms=("PLAIN", "SCRAM-SHA-256"), append_limit=1000)
CLEAR = Settings(starttls=True, mechanisms=("PLAIN",), append_limit=1000)


class Door:
    """A small door: everything succeeds; the mailbox `none` does not exist; octets of APPEND are collected."""

    def __init__(self, settings: Settings = TLS) -> None:
        self.engine = ServerEngine(settings)
        self.events: list[Event] = []
        self.appended: list[bytes] = []
        self._message = b""

    def hear(self, octets: bytes) -> bytes:
        """What the client reads after it has sent this."""
        self.engine.feed(octets)
        heard = b""
        while True:
            while (event := self.engine.next_event()) is not None:
                self._serve(event)
            out = self.engine.take()
            heard += out
            if not out or not self.engine.unread:
                return heard

    def _serve(self, event: Event) -> None:
        if not isinstance(event, AppendChunk):
            self.events.append(event)
        match event:
            case Request(_, commands.Append(mailbox="none")) | Request(_, commands.Select(mailbox="none")):
                self.engine.complete(Status.NO, "no such mailbox", "TRYCREATE")
            case Request(_, commands.Append() | commands.Idle()):
                self._message = b""
                self.engine.proceed()
            case Request(_, commands.Authenticate(initial=None)):
                self.engine.proceed(b"challenge")
            case AppendChunk(octets):
                self._message += octets
            case AppendEnd(flaw) | Done(flaw) if flaw:
                self.engine.complete(Status.BAD, flaw)
            case AppendEnd():
                self.appended.append(self._message)
                self.engine.complete(Status.OK, "appended", "APPENDUID 1 2")
            case AuthResponse(None):
                self.engine.complete(Status.BAD, "given up")
            case Request(row, _):
                self.engine.untagged(b"* " + row.name.encode() + b"\r\n")
                self.engine.complete(Status.OK, "done")
            case _:
                self.engine.complete(Status.OK, "done")


def known(*, selected: bool = False) -> Door:
    """A door behind which somebody is logged in."""
    door = Door()
    door.hear(b"in LOGIN a b\r\n")
    if selected:
        door.hear(b"sel SELECT INBOX\r\n")
    door.events.clear()
    return door


def lines(octets: bytes) -> list[str]:
    return octets.decode().split("\r\n")[:-1]


# --- dialogues ---------------------------------------------------------------------------------------------

DIALOGUES = {
    "login by literals": (
        [b"a LOGIN {5}\r\nalice {3+}\r\nabc\r\nb NOOP\r\n"],
        "+ OK|* LOGIN|a OK [CAPABILITY …|* NOOP|b OK done",
    ),
    "pipelined": (
        [b"a LOGIN a b\r\nb SELECT INBOX\r\nc FETCH 1 FLAGS\r\nd NOOP\r\ne LOGOUT\r\n"],
        "* LOGIN|a OK…|* SELECT|b OK done|* FETCH|c OK done|* NOOP|d OK done|* BYE Goodbye|e OK Done",
    ),
    "nothing is read behind LOGOUT": ([b"a LOGOUT\r\nb NOOP\r\n"], "* BYE Goodbye|a OK Done"),
    "authenticate": (
        [b"a AUTHENTICATE PLAIN\r\nAGEAYg==\r\nb SELECT x\r\n"],
        "+ Y2hhbGxlbmdl|a OK…|* SELECT|b OK done",
    ),
    "authenticate with an initial response": ([b"a authenticate plain AGEAYg==\r\n"], "* AUTHENTICATE|a OK…"),
    "authenticate given up": ([b"a AUTHENTICATE PLAIN\r\n*\r\nb NOOP\r\n"], "+ Y2hhbGxlbmdl|a BAD…|* NOOP|b OK done"),
    "authenticate without base64": ([b"a AUTHENTICATE PLAIN\r\n?\r\nb NOOP\r\n"], "+ …|a BAD…|* NOOP|b OK done"),
    "append": (
        [b"a LOGIN a b\r\nb APPEND x (\\Seen) {5}\r\nhello\r\nc APPEND x {3+}\r\nabc\r\n"],
        "* LOGIN|a OK…|+ OK|b OK [APPENDUID 1 2] appended|c OK [APPENDUID 1 2] appended",
    ),
    "append refused, and the client does not send it": (
        [b"a LOGIN a b\r\nb APPEND none {5}\r\n", b"c NOOP\r\n"],
        "* LOGIN|a OK…|b NO [TRYCREATE] …|* NOOP|c OK done",
    ),
    "append refused, and it comes all the same": (
        [b"a LOGIN a b\r\nb APPEND none {13+}\r\nx DELETE y\r\n \r\nc NOOP\r\n"],
        "* LOGIN|a OK…|b NO [TRYCREATE] …|* NOOP|c OK done",
    ),
    "append with the name as a literal": (
        [b"a LOGIN a b\r\nb APPEND {1}\r\nx {5}\r\nhello\r\n"],
        "* LOGIN|a OK…|+ OK|+ OK|b OK…",
    ),
    "append with something behind the message": (
        [b"a LOGIN a b\r\nb APPEND x {5+}\r\nhello x\r\nc NOOP\r\n"],
        "* LOGIN|a OK…|b BAD Unexpected…|* NOOP|c OK done",
    ),
    "append of two messages, which is not offered": (
        [b"a LOGIN a b\r\nb APPEND x {5+}\r\nhello {12+}\r\nx DELETE y\r\n\r\nc NOOP\r\n"],
        "* LOGIN|a OK…|b BAD Unexpected…|* NOOP|c OK done",
    ),
    "append with a NUL": ([b"a LOGIN a b\r\nb APPEND x {3+}\r\na\0b\r\n"], "* LOGIN|a OK…|b BAD…NUL…"),
    "idle": (
        [b"a LOGIN a b\r\nb IDLE\r\ndone\r\nc NOOP\r\n"],
        "* LOGIN|a OK…|+ idling|b OK done|* NOOP|c OK done",
    ),
    "idle ended by something else": (
        [b"a LOGIN a b\r\nb IDLE\r\nc DELETE x\r\nd NOOP\r\n"],
        "* LOGIN|a OK…|+ idling|b BAD DONE expected|* NOOP|d OK done",
    ),
    "no tag": ([b"\r\n", b" NOOP\r\n", b"+ NOOP\r\n"], "* BAD A tag…|* BAD A tag…|* BAD A tag…"),
    "no such command": ([b"a\r\n", b"a FOO\r\n", b"a UID\r\n", b"a UID NOOP\r\n"], "a BAD…|a BAD…|a BAD…|a BAD…"),
    "a literal that belongs to no command": (
        [b"a FOO {3+}\r\nabc\r\nb NOOP {3+}\r\nx y\r\nc LOGIN {1}\r\na {1}\r\nb\r\nd NOOP\r\n"],
        "a BAD No such…|b BAD Un…|+ OK|+ OK|* LOGIN|c OK…|* NOOP|d OK done",
    ),
}  # fmt: skip


def matches(found: list[str], expected: str) -> bool:
    """Whether the lines are as expected; `…` stands for anything."""
    wanted = ["".join(".*" if c == "…" else re.escape(c) for c in line) for line in expected.split("|")]
    return len(found) == len(wanted) and all(map(re.fullmatch, wanted, found))


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogues(name: str) -> None:
    flights, expected = DIALOGUES[name]
    door = Door()
    found = lines(b"".join(map(door.hear, flights)))
    assert matches(found, expected), found


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogues_are_the_same_however_they_are_cut(name: str) -> None:
    octets = b"".join(DIALOGUES[name][0])
    whole = Door()
    expected = whole.hear(octets)
    for at in range(len(octets) + 1):
        door = Door()
        assert door.hear(octets[:at]) + door.hear(octets[at:]) == expected
        assert door.events == whole.events
        assert door.appended == whole.appended
    single = Door()
    assert b"".join([single.hear(octets[at : at + 1]) for at in range(len(octets))]) == expected


@given(
    st.lists(
        st.sampled_from([
            b"a NOOP\r\n", b"a ", b"LOGIN ", b"{3}\r\n", b"{3+}\r\n", b"{9999999999+}\r\n", b"abc", b'"', b"(", b")",
            b"\r\n", b"\n", b"\r", b"\0", b"b SELECT INBOX\r\n", b"c FETCH 1:* (", b"BODY[", b"]", b"FLAGS", b" ",
            b"d SEARCH ", b"NOT ", b"OR ", b"e APPEND x ", b"f IDLE\r\n", b"DONE\r\n", b"g LOGIN a b\r\n", b"\xff",
            b"h AUTHENTICATE PLAIN\r\n", b"AGEAYg==\r\n", b"UID ", b"1:*,", b"&AOk-", b"STARTTLS\r\n", b"k LOGOUT\r\n",
        ]) | st.binary(max_size=8),
        max_size=40,
    ),
    st.booleans(),
)  # fmt: skip
def test_nothing_a_client_sends_raises_and_every_line_is_whole(pieces: list[bytes], encrypted: bool) -> None:
    octets = b"".join(pieces)
    door = Door(TLS if encrypted else CLEAR)
    out = b"".join([door.hear(piece) for piece in pieces])
    whole = Door(TLS if encrypted else CLEAR)
    # STARTTLS alone looks at what came in the same flight.
    if b"STARTTLS" not in octets:
        assert whole.hear(octets) == out
    assert out == b"" or out.endswith(b"\r\n")


# --- states ------------------------------------------------------------------------------------------------

_ARGUMENTS = {
    "AUTHENTICATE": " PLAIN =", "LOGIN": " a b", "ID": " NIL", "ENABLE": " X", "SELECT": " a", "EXAMINE": " a",
    "CREATE": " a", "DELETE": " a", "RENAME": " a b", "SUBSCRIBE": " a", "UNSUBSCRIBE": " a", "LIST": ' "" *',
    "LSUB": ' "" *', "STATUS": " a (MESSAGES)", "APPEND": " a {1+}\r\nx", "IDLE": "\r\nDONE", "UID EXPUNGE": " 1",
    "SEARCH": " ALL", "UID SEARCH": " ALL", "FETCH": " 1 FLAGS", "UID FETCH": " 1 FLAGS", "STORE": " 1 FLAGS ()",
    "UID STORE": " 1 FLAGS ()", "COPY": " 1 a", "UID COPY": " 1 a", "MOVE": " 1 a", "UID MOVE": " 1 a",
}  # fmt: skip


def in_state(state: State, settings: Settings = TLS) -> Door:
    if state is State.NOT_AUTHENTICATED:
        return Door(settings)
    return known(selected=state is State.SELECTED)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_a_command_is_taken_in_its_states_only(row: engine.Row, state: State) -> None:
    door = in_state(state, CLEAR if row.name == "STARTTLS" else TLS)
    command = f"t {row.name}{_ARGUMENTS.get(row.name, '')}\r\n".encode()
    out = door.hear(command)
    if state in row.states:
        assert b"t OK" in out
        after = row.on_ok or state
    else:
        assert b"t BAD" in out
        after = state
    assert door.engine.state is after


@pytest.mark.parametrize("verb", [b"SELECT", b"EXAMINE"])
def test_a_select_that_fails_leaves_nothing_selected(verb: bytes) -> None:
    door = known(selected=True)
    assert b"x NO" in door.hear(b"x " + verb + b" none\r\n")
    assert door.engine.state is State.AUTHENTICATED
    assert b"y BAD" in door.hear(b"y FETCH 1 FLAGS\r\n")


def test_a_select_that_is_malformed_leaves_the_mailbox_selected() -> None:
    door = known(selected=True)
    assert b"x BAD" in door.hear(b"x SELECT (\r\n")
    assert door.engine.state is State.SELECTED


# --- what is announced -------------------------------------------------------------------------------------


def announced(door: Door) -> list[str]:
    first = lines(door.hear(b"c CAPABILITY\r\n"))[0].split()
    assert first[:2] == ["*", "CAPABILITY"]
    return first[2:]


def test_what_is_announced_depends_on_tls() -> None:
    clear = announced(Door(CLEAR))
    assert "STARTTLS" in clear
    assert "LOGINDISABLED" in clear
    assert not [word for word in clear if word.startswith("AUTH=")]
    encrypted = announced(Door(TLS))
    assert "STARTTLS" not in encrypted
    assert "LOGINDISABLED" not in encrypted
    assert [word for word in encrypted if word.startswith("AUTH=")] == ["AUTH=PLAIN", "AUTH=SCRAM-SHA-256"]


def test_without_a_certificate_neither_tls_nor_login_is_offered() -> None:
    bare = Door(Settings())
    words = announced(bare)
    assert "STARTTLS" not in words
    assert "LOGINDISABLED" in words
    assert b"x BAD" in bare.hear(b"x STARTTLS\r\n")


def test_what_is_announced_after_login_is_what_may_be_used_then() -> None:
    words = announced(known())
    assert words == [
        "IMAP4rev1", "ID", "ENABLE", "NAMESPACE", "IDLE", "UNSELECT", "UIDPLUS", "MOVE", "LITERAL+", "CHILDREN",
        "SPECIAL-USE",
    ]  # fmt: skip
    login = Door()
    login.engine.greet("mx.example.org")
    greeting = login.engine.take()
    assert greeting.startswith(b"* OK [CAPABILITY IMAP4rev1 ")
    assert b"SASL-IR" in greeting
    assert f"a OK [CAPABILITY {' '.join(words)}] done".encode() in login.hear(b"a LOGIN a b\r\n")


def test_every_row_has_a_capability_and_it_is_announced_where_the_row_may_be_used() -> None:
    for row in ROWS.values():
        for state in State:
            tls = row.under_tls is not False
            words = capabilities(state, tls=tls, starttls=True, mechanisms=())
            assert row.capability in words or state not in row.states
    assert len({feature.capability for feature in FEATURES}) == len(FEATURES)


def test_only_what_is_known_can_be_enabled() -> None:
    door = known()
    assert lines(door.hear(b"e ENABLE CONDSTORE X-FOO\r\n")) == ["* ENABLED", "e OK Done"]
    assert door.engine.enabled == frozenset()


# --- TLS ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [b"x LOGIN alice secret\r\n", b"x AUTHENTICATE PLAIN AGEAYg==\r\n", b"x AUTHENTICATE PLAIN\r\n"],
)
def test_no_password_is_taken_without_tls(command: bytes) -> None:
    door = Door(CLEAR)
    assert door.hear(command).startswith(b"x NO [PRIVACYREQUIRED]")
    assert door.events == []


def test_a_password_as_a_literal_is_refused_before_it_is_sent() -> None:
    door = Door(CLEAR)
    assert door.hear(b"x LOGIN {5}\r\n").startswith(b"x NO [PRIVACYREQUIRED]")
    assert b"y OK" in door.hear(b"y NOOP\r\n")


def start_tls(door: Door, octets: bytes) -> bytes:
    door.engine.feed(octets)
    event = door.engine.next_event()
    if isinstance(event, Request):
        door.engine.complete(Status.OK, "begin")
    return door.engine.take()


def test_what_stands_behind_starttls_is_never_read_as_a_command() -> None:
    door = Door(CLEAR)
    assert start_tls(door, b"a STARTTLS\r\nb NOOP\r\n").startswith(b"* BYE")
    assert door.engine.closed
    door = Door(CLEAR)
    assert start_tls(door, b"a STARTTLS\r\n") == b"a OK begin\r\n"
    # A second flight that comes in the clear before the transport is swapped.
    assert door.hear(b"b NOOP\r\nc LOG") == b""
    door.engine.tls_started(TLS)
    assert door.hear(b"d NOOP\r\n").endswith(b"d OK done\r\n")
    assert all(isinstance(event, Request) and event.row.name == "NOOP" for event in door.events)


def test_starttls_once_is_enough() -> None:
    door = Door(CLEAR)
    start_tls(door, b"a STARTTLS\r\n")
    door.engine.tls_started(TLS)
    assert door.hear(b"b STARTTLS\r\n").startswith(b"b BAD")
    assert "AUTH=PLAIN" in announced(door)


# --- bounds ------------------------------------------------------------------------------------------------


def test_a_strangers_line_is_bounded() -> None:
    door = Door()
    assert b"x OK" in door.hear(b"x LOGIN a " + b"b" * (engine.STRANGER_LINE - 12) + b"\r\n")
    door = Door()
    out = door.hear(b"x LOGIN a " + b"b" * (engine.STRANGER_LINE - 11) + b"\r\n")
    assert out == b"* BYE The line is too long\r\n"
    endless = Door()
    assert endless.hear(b"x" * (engine.STRANGER_LINE + 1)).startswith(b"* BYE")


def test_a_strangers_literal_is_bounded_before_it_is_buffered() -> None:
    door = Door()
    size = engine.STRANGER_LITERAL
    assert door.hear(b"x LOGIN {%d}\r\n" % size) == b"+ OK\r\n"
    door = Door()
    assert door.hear(b"x LOGIN {%d}\r\n" % (size + 1)).startswith(b"x BAD")
    assert b"y OK" in door.hear(b"y NOOP\r\n")
    door = Door()
    out = door.hear(b"x LOGIN {%d+}\r\n" % (size + 1))
    assert out.startswith(b"x BAD")
    assert out.endswith(b"* BYE The literal is too long\r\n")
    assert door.engine.closed


def test_a_strangers_command_is_bounded_as_a_whole() -> None:
    door = Door()
    literal = b"{%d+}\r\n" % engine.STRANGER_LITERAL + b"x" * engine.STRANGER_LITERAL
    out = door.hear(b"x LOGIN " + b" ".join([literal] * 5) + b"\r\n")
    assert out == b"* BYE The command is too long\r\n"
    line = b"x" * (engine.STRANGER_LINE - 100) + b" {0+}\r\n"
    assert Door().hear(b"x LOGIN " + line * 3).endswith(b"* BYE The command is too long\r\n")


def test_a_known_clients_command_is_bounded_too() -> None:
    door = known()
    uids = b",".join(b"%d" % n for n in range(1, 9001))
    assert len(uids) < engine.LINE
    door.hear(b"sel SELECT INBOX\r\n")
    assert b"x OK" in door.hear(b"x UID FETCH " + uids + b" FLAGS\r\n")
    assert b"y BAD" in door.hear(b"y CREATE {%d}\r\n" % (engine.COMMAND + 1))
    assert door.hear(b"z CREATE {%d+}\r\n" % (engine.COMMAND - 5) + b"x" * engine.COMMAND).startswith(b"* BYE")


@pytest.mark.parametrize("announcement", [b"{4294967296}", b"{99999999999999999999+}", b"{4294967296+}"])
def test_a_literal_beyond_all_numbers_ends_the_session(announcement: bytes) -> None:
    assert known().hear(b"x APPEND a " + announcement + b"\r\nx DELETE y\r\n").startswith(b"* BYE")


def test_many_small_literals_are_bounded() -> None:
    out = known(selected=True).hear(b"x SEARCH " + b"{0+}\r\n " * 1001 + b"\r\n")
    assert out == b"* BYE The command is too long\r\n"


def test_many_small_literals_of_a_refused_command_are_bounded() -> None:
    assert Door(Settings()).hear(b"a LOGIN " + b"{0+}\r\n " * 2000).endswith(b"* BYE The command is too long\r\n")


@pytest.mark.parametrize("command", [b"a CAPABILITY\r\n", b"a LOGIN b c\r\n"])
def test_the_answers_to_a_flood_do_not_pile_up(command: bytes) -> None:
    flooded = ServerEngine(Settings())
    flooded.feed(command * 10_000)
    assert flooded.next_event() is None
    assert flooded.take().count(b"\r\na ") <= engine.FLIGHT
    assert flooded.unread > 9000 * len(command), "the rest waits until that is sent"


def test_a_message_beyond_the_limit_is_refused_before_it_is_sent() -> None:
    door = known()
    assert door.hear(b"x APPEND a {1001}\r\n").startswith(b"x NO [TOOBIG]")
    assert door.hear(b"y APPEND a {1001+}\r\n" + b"z DELETE a\r\n" * 84).startswith(b"y NO [TOOBIG]")
    assert door.events == []
    assert door.engine.unread == 0


def test_a_message_comes_in_pieces_and_is_not_kept_by_the_engine() -> None:
    door = Door(Settings(tls=True, append_limit=10**9))
    door.hear(b"a LOGIN a b\r\nx APPEND a {1000000+}\r\n")
    for _ in range(10):
        door.engine.feed(b"x" * 100_000)
        while (event := door.engine.next_event()) is not None:
            assert isinstance(event, AppendChunk)
            assert len(event.octets) <= 65_536
        assert door.engine.unread == 0
    assert door.hear(b"\r\n").startswith(b"x OK")


@pytest.mark.parametrize("line", [b"x NOOP\n", b"x NO\rOP\r\n", b"x NO\0OP\r\n", b"x LOGIN {3+}\n", b"\n"])
def test_a_spoilt_line_ends_the_session_with_a_word(line: bytes) -> None:
    door = known()
    out = door.hear(line + b"abc\r\ny NOOP\r\n")
    assert out.startswith(b"* BYE A line holds")
    assert out.count(b"\r\n") == 1
    assert door.events == []


def test_who_makes_nothing_but_mistakes_is_sent_away() -> None:
    door = Door()
    out = door.hear(b"x FOO\r\n" * (engine.BAD_COMMANDS + 5))
    assert out.count(b"x BAD") == engine.BAD_COMMANDS
    assert out.endswith(b"* BYE Too many bad commands\r\n")
    assert door.engine.closed


def test_mistakes_are_forgiven_after_login_and_not_before() -> None:
    door = known()
    for _ in range(3):
        assert b"BYE" not in door.hear(b"x FOO\r\n" * (engine.BAD_COMMANDS - 1) + b"y NOOP\r\n")
    stranger = Door()
    stranger.hear(b"x FOO\r\n" * (engine.BAD_COMMANDS - 1) + b"y NOOP\r\n")
    assert b"BYE" in stranger.hear(b"x FOO\r\n")


def test_patience_grows_with_login() -> None:
    assert Door().engine.patience == 60
    assert known().engine.patience >= 30 * 60


# --- order -------------------------------------------------------------------------------------------------


def test_the_engine_waits_for_its_answer() -> None:
    session = ServerEngine(TLS)
    session.feed(b"a NOOP\r\nb NOOP\r\nc FOO\r\n")
    assert isinstance(session.next_event(), Request)
    assert session.next_event() is None
    assert session.take() == b""
    session.complete(Status.OK, "one")
    assert session.take() == b"a OK one\r\n"
    assert isinstance(session.next_event(), Request)
    session.complete(Status.NO, "two", "LIMIT")
    assert session.next_event() is None
    assert lines(session.take()) == ["b NO [LIMIT] two", "c BAD No such command"]


def test_only_some_commands_proceed() -> None:
    session = ServerEngine(TLS)
    session.feed(b"a NOOP\r\n")
    session.next_event()
    with pytest.raises(ProtocolError):
        session.proceed()


def test_a_message_that_cannot_be_kept_may_be_refused_while_it_comes() -> None:
    session = ServerEngine(Settings(tls=True))
    session.feed(b"a LOGIN a b\r\nb APPEND x {10+}\r\nx DEL")
    session.next_event()
    session.complete(Status.OK, "in")
    session.next_event()
    session.proceed()
    assert session.next_event() == AppendChunk(b"x DEL")
    session.complete(Status.NO, "the disk is full")
    session.feed(b"ETE y\r\n\r\nc NOOP\r\n")
    event = session.next_event()
    assert isinstance(event, Request)
    assert event.row.name == "NOOP"


def test_what_cannot_be_told_by_number_is_data_of_the_table() -> None:
    # RFC 3501 §7.4.1: no EXPUNGE during FETCH, STORE, SEARCH; during their UID forms it may be sent.
    assert {row.name for row in ROWS.values() if row.by_number} == {"FETCH", "STORE", "SEARCH"}
