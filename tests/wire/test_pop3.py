"""The POP3 engine: dialogues, states, cuts, and what a hostile client may try (RFC 1939, 2449, 2595, 5034)."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.pop3 import (
    BAD_COMMANDS,
    LINE,
    Auth,
    AuthResponse,
    Event,
    Maildrop,
    Pass,
    Quit,
    Retrieve,
    ServerEngine,
    StartTls,
)

LETTER = b"Subject: one\r\nX: y\r\n\r\nfirst\r\n.dot\r\n..two\r\nlast\r\n"
DROP = Maildrop((120, 200, 300), ("7.1", "7.2", "7.5"))


def session(*, tls: bool = True) -> ServerEngine:
    engine = ServerEngine("mx.example.org", "Posthouse-1", tls_available=True, tls_active=tls)
    engine.mechanisms = ("PLAIN", "SCRAM-SHA-256")
    assert engine.take().startswith(b"+OK mx.example.org")
    return engine


def serve(engine: ServerEngine, event: Event) -> None:
    """A small door: one account, one letter."""
    match event:
        case Pass("alice", "open sesame"):
            engine.opened(DROP)
        case Pass():
            engine.err("no", "AUTH")
        case Auth(_, None):
            engine.challenge(b"")
        case Auth() | AuthResponse(octets=bytes()):
            engine.opened(DROP)
        case AuthResponse():
            engine.err("given up")
        case StartTls():
            engine.tls_started()
        case Retrieve():
            for at in range(0, len(LETTER), 7):
                if not engine.text(LETTER[at : at + 7]):
                    break
            engine.text_end()
        case Quit():
            engine.ok("goodbye")


def talk(engine: ServerEngine, octets: bytes, seen: list[Event] | None = None) -> bytes:
    engine.feed(octets)
    out = b""
    while True:
        event = engine.next_event()
        if event is not None:
            if seen is not None:
                seen.append(event)
            serve(engine, event)
        elif piece := engine.take():
            out += piece
        else:
            return out


def logged_in() -> ServerEngine:
    engine = session()
    assert talk(engine, b"USER alice\r\nPASS open sesame\r\n") == b"+OK now the password\r\n+OK 3 messages\r\n"
    return engine


def test_a_password_may_hold_spaces() -> None:
    seen: list[Event] = []
    talk(session(), b"user alice\r\npass a  b \r\n", seen)
    assert seen == [Pass("alice", "a  b ")]


def test_no_login_before_tls() -> None:
    engine = session(tls=False)
    for line in (b"USER alice\r\n", b"AUTH PLAIN\r\n", b"AUTH PLAIN AGEAYg==\r\n"):
        assert talk(engine, line).startswith(b"-ERR")
    listing = talk(engine, b"CAPA\r\n")
    assert b"USER" not in listing
    assert b"SASL" not in listing
    assert b"\r\nSTLS\r\n" in listing


def test_capabilities_under_tls_name_what_is_possible() -> None:
    lines = talk(session(), b"CAPA\r\n").split(b"\r\n")
    assert lines[-2] == b"."
    assert {b"USER", b"SASL PLAIN SCRAM-SHA-256", b"UIDL", b"TOP", b"RESP-CODES", b"PIPELINING"} <= set(lines)
    assert b"STLS" not in lines


def test_listing_and_marking() -> None:
    engine = logged_in()
    assert talk(engine, b"STAT\r\n") == b"+OK 3 620\r\n"
    assert talk(engine, b"DELE 2\r\n").startswith(b"+OK")
    assert talk(engine, b"DELE 2\r\n").startswith(b"-ERR")
    assert talk(engine, b"STAT\r\n") == b"+OK 2 420\r\n"
    assert talk(engine, b"LIST\r\n") == b"+OK 2 messages\r\n1 120\r\n3 300\r\n.\r\n"
    assert talk(engine, b"LIST 3\r\n") == b"+OK 3 300\r\n"
    assert talk(engine, b"UIDL 3\r\n") == b"+OK 3 7.5\r\n"
    assert talk(engine, b"UIDL\r\n") == b"+OK 2 messages\r\n1 7.1\r\n3 7.5\r\n.\r\n"
    assert talk(engine, b"RETR 2\r\n").startswith(b"-ERR")
    assert talk(engine, b"RSET\r\nSTAT\r\n").endswith(b"+OK 3 620\r\n")


@pytest.mark.parametrize("number", [b"0", b"4", b"-1", b"x", b"9" * 4000, b"1 ", "\u0661".encode()])
def test_a_message_that_is_not_there_is_an_error(number: bytes) -> None:
    assert talk(logged_in(), b"RETR " + number + b"\r\n").startswith(b"-ERR")


def test_retr_stuffs_dots() -> None:
    want = b"+OK message follows\r\n" + LETTER.replace(b"\n.", b"\n..") + b".\r\n"
    assert talk(logged_in(), b"RETR 1\r\n") == want


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        (b"0", b""),
        (b"1", b"first\r\n"),
        (b"2", b"first\r\n..dot\r\n"),
        (b"99", b"first\r\n..dot\r\n...two\r\nlast\r\n"),
    ],
)
def test_top_gives_the_header_and_so_many_lines(lines: bytes, body: bytes) -> None:
    want = b"+OK message follows\r\nSubject: one\r\nX: y\r\n\r\n" + body + b".\r\n"
    assert talk(logged_in(), b"TOP 1 " + lines + b"\r\n") == want


def test_quit_names_what_was_marked_and_closes() -> None:
    engine = logged_in()
    seen: list[Event] = []
    talk(engine, b"DELE 3\r\nDELE 1\r\nQUIT\r\nSTAT\r\n", seen)
    assert seen == [Quit((1, 3))]
    assert engine.closed


def test_quit_before_login_removes_nothing() -> None:
    engine = session()
    seen: list[Event] = []
    assert talk(engine, b"QUIT\r\n", seen) == b"+OK goodbye\r\n"
    assert seen == []
    assert engine.closed


def test_auth_with_and_without_an_initial_response() -> None:
    seen: list[Event] = []
    assert talk(session(), b"AUTH PLAIN AGEAYg==\r\n", seen) == b"+OK 3 messages\r\n"
    assert talk(session(), b"AUTH PLAIN =\r\n", seen) == b"+OK 3 messages\r\n"
    assert talk(session(), b"AUTH plain\r\nAGEAYg==\r\n", seen) == b"+ \r\n+OK 3 messages\r\n"
    assert seen == [
        Auth("PLAIN", b"\0a\0b"),
        Auth("PLAIN", b""),
        Auth("PLAIN", None),
        AuthResponse(b"\0a\0b"),
    ]


@pytest.mark.parametrize("response", [b"AGE", b"=AAA", b"AAA=BBB", b"AA AA", b"\xff\xfe", b"AAAA\0"])
def test_broken_base64_ends_the_exchange(response: bytes) -> None:
    engine = session()
    assert talk(engine, b"AUTH PLAIN\r\n" + response + b"\r\n").startswith(b"+ \r\n-ERR")
    assert talk(engine, b"NOOP\r\n").startswith(b"-ERR")


def test_auth_can_be_given_up() -> None:
    engine = session()
    assert talk(engine, b"AUTH PLAIN\r\n*\r\n") == b"+ \r\n-ERR given up\r\n"
    assert talk(engine, b"USER alice\r\n").startswith(b"+OK")


def test_octets_behind_stls_are_never_commands() -> None:
    # CVE-2021-38371 and kin: what came in plaintext must not be read as if it came under TLS.
    engine = session(tls=False)
    seen: list[Event] = []
    assert talk(engine, b"STLS\r\nUSER alice\r\nPASS open sesame\r\n", seen).startswith(b"-ERR")
    assert seen == []
    assert engine.closed


def test_octets_between_stls_and_the_handshake_are_forgotten() -> None:
    engine = session(tls=False)
    engine.feed(b"STLS\r\n")
    assert engine.next_event() == StartTls()
    engine.feed(b"USER mallory\r\n")
    engine.tls_started()
    assert engine.next_event() is None
    assert talk(engine, b"PASS x\r\n").endswith(b"-ERR USER comes first\r\n")


def test_stls_under_tls_is_refused() -> None:
    assert talk(session(), b"STLS\r\n").startswith(b"-ERR")


@pytest.mark.parametrize(
    "line",
    [b"", b"FOO", b"STAT 1", b"DELE", b"TOP 1", b"TOP 1 x", b"LIST 1 2", b"APOP a b", b"PASS x", b"STAT\0", b"\xff"],
)
def test_bad_commands_are_answered_and_the_session_goes_on(line: bytes) -> None:
    engine = logged_in()
    assert talk(engine, line + b"\r\n").startswith(b"-ERR")
    assert talk(engine, b"NOOP\r\n") == b"+OK\r\n"


def test_what_a_command_takes_is_said_in_plain_words() -> None:
    engine = logged_in()
    assert talk(engine, b"NOOP now\r\n") == b"-ERR NOOP takes no arguments\r\n"
    assert talk(engine, b"RETR\r\n") == b"-ERR RETR takes 1 argument\r\n"
    assert talk(engine, b"TOP 1\r\n") == b"-ERR TOP takes 2 arguments\r\n"


def test_a_long_line_is_passed_over() -> None:
    engine = logged_in()
    assert talk(engine, b"X" * (3 * LINE) + b"\r\n").startswith(b"-ERR")
    assert talk(engine, b"NOOP\r\n") == b"+OK\r\n"


def test_a_flight_of_listings_does_not_pile_up() -> None:
    engine = logged_in()
    engine.feed(b"UIDL\r\n" * 1_000)
    answers = []
    while engine.unread:
        assert engine.next_event() is None
        answers.append(engine.take())
    assert b"".join(answers).count(b"+OK 3 messages\r\n") == 1_000
    assert max(map(len, answers)) < 1_000


def test_too_many_errors_end_the_session() -> None:
    engine = logged_in()
    assert talk(engine, b"FOO\r\n" * BAD_COMMANDS + b"STAT\r\n").count(b"\r\n") == BAD_COMMANDS
    assert engine.closed


DIALOGUES: list[tuple[bytes, Callable[[], ServerEngine]]] = [
    (b"CAPA\r\nUSER alice\r\nPASS open sesame\r\nSTAT\r\nTOP 1 2\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n", session),
    (b"AUTH PLAIN\r\n*\r\nAUTH PLAIN AGEAYg==\r\nUIDL\r\nLIST 9\r\nFOO\r\nRSET\r\nQUIT\r\n", session),
]


@pytest.mark.parametrize(("octets", "start"), DIALOGUES)
def test_cut_anywhere_the_dialogue_is_the_same(octets: bytes, start: Callable[[], ServerEngine]) -> None:
    whole_events: list[Event] = []
    whole = talk(start(), octets, whole_events)
    for at in range(1, len(octets)):
        engine, events = start(), list[Event]()
        out = talk(engine, octets[:at], events) + talk(engine, octets[at:], events)
        assert (out, events) == (whole, whole_events)


@given(st.lists(st.binary(max_size=12)))
def test_no_octets_make_it_fail(pieces: list[bytes]) -> None:
    for engine in (session(), session(tls=False), logged_in()):
        for piece in (b"TOP 1 1\r\n", *pieces, b"\r\n"):
            out = talk(engine, piece)
            assert b"Traceback" not in out


@given(st.binary(max_size=80), st.integers(1, 9), st.none() | st.integers(0, 4))
def test_a_text_is_the_same_however_it_is_cut(octets: bytes, size: int, lines: int | None) -> None:
    command = b"RETR 1\r\n" if lines is None else b"TOP 1 %d\r\n" % lines

    def read(pieces: list[bytes]) -> bytes:
        engine = logged_in()
        engine.feed(command)
        assert isinstance(engine.next_event(), Retrieve)
        for piece in pieces:
            if not engine.text(piece):
                break
        engine.text_end()
        return engine.take()

    whole = read([octets])
    assert read([octets[at : at + size] for at in range(0, len(octets), size)]) == whole
    assert whole.endswith(b"\r\n.\r\n")
    assert whole.count(b"\r\n.\r\n") == 1
