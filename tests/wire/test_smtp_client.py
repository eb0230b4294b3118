"""The client's engine: what it sends to which server, what each recipient gets, and what it never sends."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.address import Address
from posthouse.mail.envelope import Body, Envelope, Notify, RcptTo, Ret
from posthouse.mail.peer import Role
from posthouse.mail.reply import Reply
from posthouse.wire.buffer import ProtocolError
from posthouse.wire.sasl import choose
from posthouse.wire.smtp.client import ClientEngine, ClientSettings
from posthouse.wire.smtp.events import (
    Auth,
    AuthChallenge,
    AuthResponse,
    BodyWanted,
    Cleared,
    ClientEvent,
    Goodbye,
    Greeted,
    LoggedIn,
    RcptReplied,
    Ready,
    ServerEvent,
    Settled,
    TlsReady,
)
from posthouse.wire.smtp.server import ServerEngine, Settings
from posthouse.wire.smtp.transaction import Step
from wire.dialogue import Dialogue, segments, start, willing

PLAIN_EHLO = b"250 mx.far.test\r\n"
FULL_EHLO = (
    b"250-mx.far.test hello\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n"
    b"250 STARTTLS\r\n"
)


def address(text: str) -> Address:
    return Address.parse(text)


def envelope(*rcpts: str, **fields: object) -> Envelope:
    taken = tuple(RcptTo(address(rcpt)) for rcpt in rcpts or ("b@far.test",))
    return Envelope(address("a@here.test"), taken, **fields)  # type: ignore[arg-type]


def drain(engine: ClientEngine) -> list[ClientEvent]:
    events = []
    while (event := engine.next_event()) is not None:
        events.append(event)
    return events


def hear(engine: ClientEngine, octets: bytes) -> list[ClientEvent]:
    engine.feed(octets)
    return drain(engine)


def ready(ehlo: bytes = FULL_EHLO) -> ClientEngine:
    engine = ClientEngine(ClientSettings("here.test"))
    [greeted] = hear(engine, b"220 mx.far.test\r\n")
    assert isinstance(greeted, Greeted)
    engine.hello()
    assert engine.take() == b"EHLO here.test\r\n"
    [event] = hear(engine, ehlo)
    assert isinstance(event, Ready)
    return engine


# --- a whole conversation with our own server ---------------------------------------------------------


def converse(engine: ClientEngine, dialogue: Dialogue, cuts: list[int]) -> list[ClientEvent]:
    """Carry octets to and fro until both are silent; those for the client cut."""
    events: list[ClientEvent] = []
    said = dialogue.engine.take() if dialogue.out == b"" else b""
    while True:
        for piece in segments(said, cuts):
            events += hear(engine, piece)
        sent = engine.take()
        if not sent:
            return events
        said = dialogue.say(sent)


@given(
    st.lists(st.sampled_from([".", "\r\n", "\r", "\n", "a", "é", "\r\n.", "..", "."]), max_size=20),
    st.lists(st.integers(0, 80), max_size=6),
    st.lists(st.integers(0, 300), max_size=6),
)
def test_any_body_arrives_with_crlf_line_ends(parts: list[str], cuts: list[int], reply_cuts: list[int]) -> None:
    content = "".join(parts).encode()
    dialogue = start()
    engine = ClientEngine(ClientSettings("here.test"))
    hear(engine, dialogue.out)
    engine.hello()
    converse(engine, dialogue, reply_cuts)
    engine.transact(envelope("b@far.test", "no@far.test", body=Body.EIGHT_BIT_MIME), len(content))
    events = converse(engine, dialogue, reply_cuts)
    assert [type(event) for event in events] == [RcptReplied, RcptReplied, BodyWanted]
    for piece in segments(content, cuts):
        engine.body(piece)
    engine.body(b"", last=True)
    [settled] = converse(engine, dialogue, reply_cuts)
    assert isinstance(settled, Settled)
    assert [reply.code for reply in settled.replies] == [250, 550]
    expected = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    if expected and not expected.endswith(b"\r\n"):
        expected += b"\r\n"
    [(taken, body)] = dialogue.taken
    assert body == expected
    assert [str(rcpt.address) for rcpt in taken.rcpt_to] == ["b@far.test"]


def test_several_transactions_on_one_connection() -> None:
    dialogue = start()
    engine = ClientEngine(ClientSettings("here.test"))
    hear(engine, dialogue.out)
    engine.hello()
    converse(engine, dialogue, [])
    for rcpts, code in ((["no@far.test"], 550), (["b@far.test"], 250), (["no@far.test", "b@far.test"], 550)):
        engine.transact(envelope(*rcpts), 6)
        events = converse(engine, dialogue, [])
        if BodyWanted() in events:
            engine.body(b"text\r\n", last=True)
            events = converse(engine, dialogue, [])
        assert isinstance(events[-1], Settled)
        assert events[-1].replies[0].code == code
    engine.reset()
    assert [type(event) for event in converse(engine, dialogue, [])] == [Cleared]
    engine.quit()
    assert [type(event) for event in converse(engine, dialogue, [])] == [Goodbye]
    assert engine.closed
    assert len(dialogue.taken) == 2


# --- what is sent -------------------------------------------------------------------------------------


def test_with_pipelining_a_transaction_is_one_flight() -> None:
    engine = ready()
    engine.transact(envelope("b@far.test", "c@far.test"), 10)
    assert engine.take() == (
        b"MAIL FROM:<a@here.test> SIZE=10\r\nRCPT TO:<b@far.test>\r\nRCPT TO:<c@far.test>\r\nDATA\r\n"
    )


def test_without_pipelining_each_command_waits() -> None:
    engine = ready(PLAIN_EHLO)
    engine.transact(envelope("b@far.test", "c@far.test"), 10)
    for said, sent in (
        (b"", b"MAIL FROM:<a@here.test>\r\n"),
        (b"250 ok\r\n", b"RCPT TO:<b@far.test>\r\n"),
        (b"250 ok\r\n", b"RCPT TO:<c@far.test>\r\n"),
        (b"550 no\r\n", b"DATA\r\n"),
    ):
        hear(engine, said)
        assert engine.take() == sent
    assert hear(engine, b"354 go\r\n") == [BodyWanted()]


def test_dsn_parameters_go_only_where_they_are_offered() -> None:
    rcpt = RcptTo(address("b@far.test"), "rfc822;x y+z=@here.test", Notify.SUCCESS | Notify.FAILURE)
    never = RcptTo(address("c@far.test"), None, Notify.NEVER)
    whole = Envelope(None, (rcpt, never), ret=Ret.HDRS, envid="id+1 =")
    engine = ready()
    engine.transact(whole, 5)
    assert engine.take() == (
        b"MAIL FROM:<> SIZE=5 RET=HDRS ENVID=id+2B1+20+3D\r\n"
        b"RCPT TO:<b@far.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x+20y+2Bz+3D@here.test\r\n"
        b"RCPT TO:<c@far.test> NOTIFY=NEVER\r\nDATA\r\n"
    )
    engine = ready(b"250-mx\r\n250 PIPELINING\r\n")
    engine.transact(whole, 5)
    assert engine.take() == b"MAIL FROM:<>\r\nRCPT TO:<b@far.test>\r\nRCPT TO:<c@far.test>\r\nDATA\r\n"


def test_an_international_message_says_so() -> None:
    engine = ready()
    rcpt = RcptTo(address("δ@bücher.example"), "utf-8;δ+\\@x", None)
    engine.transact(Envelope(address("jörg@here.test"), (rcpt,), body=Body.EIGHT_BIT_MIME), 5)
    sent = engine.take().decode().split("\r\n")
    assert sent[0] == "MAIL FROM:<jörg@here.test> SIZE=5 BODY=8BITMIME SMTPUTF8"
    assert sent[1] == "RCPT TO:<δ@xn--bcher-kva.example> ORCPT=utf-8;δ\\x{2B}\\x{5C}@x"


@pytest.mark.parametrize(
    ("ehlo", "message", "code", "enhanced"),
    [
        (b"250-mx\r\n250 SIZE 9\r\n", envelope(), 552, "5.3.4"),
        (PLAIN_EHLO, envelope(smtputf8=True), 550, "5.6.7"),
        (PLAIN_EHLO, envelope("δ@far.test"), 550, "5.6.7"),
        (PLAIN_EHLO, envelope(body=Body.EIGHT_BIT_MIME), 554, "5.6.3"),
    ],
)
def test_what_the_server_cannot_take_is_not_sent(ehlo: bytes, message: Envelope, code: int, enhanced: str) -> None:
    engine = ready(ehlo)
    engine.transact(message, 10)
    assert engine.take() == b""
    [settled] = drain(engine)
    assert isinstance(settled, Settled)
    assert {(reply.code, reply.enhanced) for reply in settled.replies} == {(code, enhanced)}
    assert settled.unasked
    engine.transact(envelope(), 5)
    assert engine.take().startswith(b"MAIL ")


def test_size_without_a_number_sets_no_limit() -> None:
    for ehlo in (b"250-mx\r\n250 SIZE\r\n", b"250-mx\r\n250 SIZE 0\r\n", b"250-mx\r\n250 SIZE lots\r\n"):
        engine = ready(ehlo)
        assert engine.capabilities.max_size is None
        engine.transact(envelope(), 10**9)
        assert engine.take() == b"MAIL FROM:<a@here.test> SIZE=1000000000\r\n"


def test_no_command_ever_holds_two() -> None:
    engine = ready()
    forged = Envelope(None, (RcptTo(Address("b\r\nRSET", "far.test")),))
    with pytest.raises(ProtocolError):
        engine.transact(forged, 5)
    assert b"\r\nRSET" not in engine.take()


def test_an_old_server_is_greeted_with_helo() -> None:
    engine = ClientEngine(ClientSettings("here.test"))
    hear(engine, b"220 old\r\n")
    engine.hello()
    engine.take()
    assert hear(engine, b"500 what\r\n") == []
    assert engine.take() == b"HELO here.test\r\n"
    assert hear(engine, b"250 hello\r\n") == [Ready(Reply(250, "", "hello"))]
    assert not engine.capabilities.esmtp


def test_a_server_that_wants_nobody_is_not_asked_twice() -> None:
    engine = ClientEngine(ClientSettings("here.test"))
    hear(engine, b"220 busy\r\n")
    engine.hello()
    engine.take()
    [event] = hear(engine, b"554 5.7.1 go away\r\n")
    assert event == Ready(Reply(554, "5.7.1", "go away"))
    assert engine.take() == b""


def test_old_ways_to_announce_login_are_read() -> None:
    assert ready(b"250-mx\r\n250-AUTH=LOGIN PLAIN\r\n250 AUTH x\r\n").capabilities.mechanisms == ("LOGIN", "PLAIN")


# --- what comes back ----------------------------------------------------------------------------------


def settled(engine: ClientEngine, octets: bytes) -> Settled:
    event = hear(engine, octets)[-1]
    assert isinstance(event, Settled)
    return event


def test_a_refused_sender_is_what_every_recipient_gets() -> None:
    engine = ready()
    engine.transact(envelope("b@far.test", "c@far.test"), 5)
    event = settled(engine, b"550 5.7.1 not you\r\n503 5.5.1 order\r\n503 5.5.1 order\r\n503 5.5.1 order\r\n")
    assert [reply.enhanced for reply in event.replies] == ["5.7.1", "5.7.1"]
    engine = ready(PLAIN_EHLO)
    engine.transact(envelope("b@far.test", "c@far.test"), 5)
    engine.take()
    assert [reply.code for reply in settled(engine, b"550 not you\r\n").replies] == [550, 550]
    assert engine.take() == b""


def test_each_recipient_has_its_own_reply() -> None:
    engine = ready()
    engine.transact(envelope("b@far.test", "c@far.test", "d@far.test"), 5)
    events = hear(engine, b"250 ok\r\n250 2.1.5 ok\r\n450 4.2.0 grey\r\n550 5.1.1 who\r\n354 go\r\n")
    assert [event.reply.code for event in events if isinstance(event, RcptReplied)] == [250, 450, 550]
    engine.body(b"x\r\n", last=True)
    event = settled(engine, b"250 2.0.0 queued as 1\r\n")
    assert [str(reply) for reply in event.replies] == ["250 2.0.0 queued as 1", "450 4.2.0 grey", "550 5.1.1 who"]


def test_a_refusal_at_data_or_after_the_message_is_for_those_who_were_taken() -> None:
    for said in (b"250 ok\r\n250 ok\r\n550 who\r\n451 later\r\n", b"250 ok\r\n250 ok\r\n550 who\r\n354 go\r\n"):
        engine = ready()
        engine.transact(envelope("b@far.test", "c@far.test"), 5)
        events = hear(engine, said)
        if BodyWanted() in events:
            engine.body(b"x\r\n", last=True)
            events = hear(engine, b"451 later\r\n")
        assert isinstance(events[-1], Settled)
        assert [reply.code for reply in events[-1].replies] == [451, 550]


def test_data_taken_for_nobody_gets_an_empty_message() -> None:
    engine = ready()
    engine.transact(envelope(), 5)
    engine.take()
    assert BodyWanted() not in hear(engine, b"250 ok\r\n550 who\r\n354 go\r\n")
    assert engine.take() == b".\r\n"
    assert [reply.code for reply in settled(engine, b"250 empty\r\n").replies] == [550]


def test_552_for_too_many_recipients_means_later() -> None:
    engine = ready()
    engine.transact(envelope("b@far.test", "c@far.test", "d@far.test"), 5)
    event = settled(engine, b"250 ok\r\n552 too many\r\n552 5.2.2 full\r\n552 5.5.3 many\r\n554 none\r\n")
    assert [reply.code for reply in event.replies] == [452, 552, 452]


def test_a_transaction_that_went_wrong_is_cleared_before_the_next() -> None:
    engine = ready()
    engine.transact(envelope(), 5)
    settled(engine, b"250 ok\r\n550 who\r\n554 none\r\n")
    engine.take()
    engine.transact(envelope(), 5)
    assert engine.take().startswith(b"RSET\r\nMAIL FROM:")
    hear(engine, b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    engine.body(b"", last=True)
    settled(engine, b"250 ok\r\n")
    engine.take()
    engine.transact(envelope(), 5)
    assert engine.take().startswith(b"MAIL FROM:")


def test_only_a_lost_final_reply_leaves_a_doubt() -> None:
    def lose(said: bytes, *, whole: bool) -> Settled:
        engine = ready()
        engine.transact(envelope("b@far.test", "c@far.test"), 5)
        hear(engine, said)
        if whole:
            engine.body(b"x\r\n", last=True)
        engine.lost("the connection broke")
        [event] = drain(engine)
        assert isinstance(event, Settled)
        assert engine.closed
        return event

    begun = lose(b"250 ok\r\n", whole=False)
    assert begun.in_doubt is False
    assert [(reply.code, reply.enhanced) for reply in begun.replies] == [(451, "4.4.2")] * 2
    asked = lose(b"250 ok\r\n250 ok\r\n550 who\r\n354 go\r\n", whole=False)
    assert asked.in_doubt is False
    assert [reply.code for reply in asked.replies] == [451, 550]
    assert lose(b"250 ok\r\n250 ok\r\n550 who\r\n354 go\r\n", whole=True).in_doubt is True


def test_421_ends_the_transaction_and_the_connection() -> None:
    engine = ready()
    engine.transact(envelope("b@far.test", "c@far.test"), 5)
    event = settled(engine, b"250 ok\r\n250 ok\r\n421 4.3.2 going down\r\n")
    assert [reply.code for reply in event.replies] == [421, 421]
    assert event.in_doubt is False
    assert engine.closed
    idle = ready()
    assert hear(idle, b"421 4.4.2 idle\r\n") == [Goodbye(Reply(421, "4.4.2", "idle"))]
    assert idle.closed


@pytest.mark.parametrize(
    "nonsense",
    [
        b"hello\r\n",
        b"99 x\r\n",
        b"250_ok\r\n",
        b"250-a\r\n251 b\r\n",
        b"250 a\nb\r\n",
        b"250 a\rb\r\n",
        b"250 \0\r\n",
        b"250 " + b"x" * 3000 + b"\r\n",
        b"250-x\r\n" * 200,
        b"354 go\r\n",
        b"600 x\r\n",
        b"\r\n",
    ],
)
def test_nonsense_is_a_protocol_error_and_nothing_else(nonsense: bytes) -> None:
    for at in range(1, min(len(nonsense), 20)):
        engine = ready()
        engine.transact(envelope(), 5)
        with pytest.raises(ProtocolError):
            [hear(engine, piece) for piece in (nonsense[:at], nonsense[at:])]
        engine.lost("nonsense")
        assert isinstance(drain(engine)[-1], Settled)


def test_what_nobody_asked_for_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        hear(ready(), b"250 surprise\r\n")
    engine = ready()
    engine.transact(envelope(), 5)
    with pytest.raises(ProtocolError):
        hear(engine, b"250 ok\r\n250 ok\r\n250 instead of 354\r\n")


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_arbitrary_replies_raise_protocol_errors_only(octets: bytes, cuts: list[int]) -> None:
    engine = ready()
    engine.transact(envelope(), 5)
    try:
        for piece in segments(octets, cuts):
            hear(engine, piece)
    except ProtocolError:
        engine.lost("nonsense")
        assert isinstance(drain(engine)[-1], Settled)


def test_commands_out_of_turn_are_refused() -> None:
    engine = ready()
    with pytest.raises(ProtocolError):
        engine.body(b"x")
    engine.transact(envelope(), 5)
    for out_of_turn in (engine.hello, engine.start_tls, engine.quit, engine.reset):
        with pytest.raises(ProtocolError):
            out_of_turn()
    with pytest.raises(ProtocolError):
        engine.transact(envelope(), 5)


# --- TLS ----------------------------------------------------------------------------------------------


def test_starttls_forgets_what_the_server_said() -> None:
    engine = ready()
    engine.start_tls()
    assert engine.take() == b"STARTTLS\r\n"
    assert hear(engine, b"220 go\r\n") == [TlsReady(Reply(220, "", "go"))]
    engine.start_tls_done()
    assert engine.tls
    assert not engine.capabilities.keywords
    engine.hello()
    assert engine.take() == b"EHLO here.test\r\n"


def test_octets_behind_the_answer_to_starttls_abort() -> None:
    engine = ready()
    engine.start_tls()
    [event] = hear(engine, b"220 go\r\n250-mx\r\n250 AUTH PLAIN\r\n")
    assert isinstance(event, TlsReady)
    assert not event.reply.is_positive
    assert engine.closed
    engine = ready()
    engine.start_tls()
    hear(engine, b"220 go\r\n")
    assert hear(engine, b"250 injected\r\n") == []
    with pytest.raises(ProtocolError):
        engine.start_tls_done()
    assert engine.closed


def test_a_refused_starttls_is_told() -> None:
    engine = ready()
    engine.start_tls()
    engine.take()
    assert hear(engine, b"454 4.7.0 no\r\n") == [TlsReady(Reply(454, "4.7.0", "no"))]
    engine.transact(envelope(), 5)
    assert engine.take().startswith(b"MAIL ")


# --- login --------------------------------------------------------------------------------------------


def test_login_by_plain_goes_in_one_line() -> None:
    engine = ready(b"250-mx\r\n250 AUTH PLAIN LOGIN\r\n")
    engine.login(choose(engine.capabilities.mechanisms, "alice", "secret", nonce=b"x" * 18, tls=True))
    assert engine.take() == b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"
    assert hear(engine, b"235 2.7.0 welcome\r\n") == [LoggedIn(Reply(235, "2.7.0", "welcome"))]
    engine.transact(envelope(), 5)
    assert engine.take() == b"MAIL FROM:<a@here.test> AUTH=<>\r\n"


def test_a_long_initial_response_waits_to_be_asked_for() -> None:
    engine = ready(b"250-mx\r\n250 AUTH PLAIN\r\n")
    engine.login(choose(("PLAIN",), "alice", "x" * 600, nonce=b"x" * 18, tls=True))
    assert engine.take() == b"AUTH PLAIN\r\n"
    assert hear(engine, b"334 \r\n") == []
    assert len(engine.take()) > 800


def test_login_by_login_is_asked_twice() -> None:
    engine = ready()
    mechanism = choose(("LOGIN",), "alice", "secret", nonce=b"x" * 18, tls=True)
    engine.login(mechanism)
    assert engine.take() == b"AUTH LOGIN\r\n"
    for challenge, response in ((b"VXNlcm5hbWU6", b"YWxpY2U=\r\n"), (b"UGFzc3dvcmQ6", b"c2VjcmV0\r\n")):
        [event] = hear(engine, b"334 " + challenge + b"\r\n")
        assert isinstance(event, AuthChallenge)
        engine.respond(mechanism.respond(event.octets))
        assert engine.take() == response
    assert hear(engine, b"535 5.7.8 no\r\n") == [LoggedIn(Reply(535, "5.7.8", "no"))]


def test_a_server_that_does_not_prove_itself_is_left() -> None:
    engine = ready()
    engine.login(choose(("SCRAM-SHA-256",), "alice", "secret", nonce=b"x" * 18, tls=False))
    engine.take()
    [event] = hear(engine, b"235 2.7.0 come in\r\n")
    assert isinstance(event, LoggedIn)
    assert not event.reply.is_positive
    assert engine.closed


def test_a_broken_challenge_is_cancelled() -> None:
    engine = ready()
    engine.login(choose(("LOGIN",), "alice", "secret", nonce=b"x" * 18, tls=True))
    engine.take()
    assert hear(engine, b"334 !!\r\n") == []
    assert engine.take() == b"*\r\n"
    assert hear(engine, b"501 5.7.0 cancelled\r\n") == [LoggedIn(Reply(501, "5.7.0", "cancelled"))]
    engine.login(choose(("LOGIN",), "alice", "secret", nonce=b"x" * 18, tls=True))
    engine.take()
    hear(engine, b"334 VXNlcm5hbWU6\r\n")
    engine.respond(None)
    assert engine.take() == b"*\r\n"


def test_both_engines_log_in_by_plain() -> None:
    def policy(event: ServerEvent) -> Reply:
        if isinstance(event, Auth):
            return Reply(235, "2.7.0", "Welcome") if event.initial == b"\0alice\0secret" else Reply(535, "5.7.8", "No")
        assert not isinstance(event, AuthResponse)
        return willing(event)

    dialogue = start(Settings("mx", role=Role.SUBMISSION, tls=True, mechanisms=("PLAIN",)), policy)
    engine = ClientEngine(ClientSettings("here.test"), tls=True)
    hear(engine, dialogue.out)
    engine.hello()
    converse(engine, dialogue, [])
    engine.login(choose(engine.capabilities.mechanisms, "alice", "secret", nonce=b"x" * 18, tls=engine.tls))
    assert [type(event) for event in converse(engine, dialogue, [])] == [LoggedIn]
    engine.transact(envelope(), 5)
    assert BodyWanted() in converse(engine, dialogue, [])


# --- patience -----------------------------------------------------------------------------------------


def test_patience_depends_on_what_is_awaited() -> None:
    engine = ClientEngine(ClientSettings("here.test"))
    assert engine.patience == 300
    hear(engine, b"220 mx\r\n")
    engine.hello()
    hear(engine, FULL_EHLO)
    engine.transact(envelope(), 5)
    assert engine.patience == 300
    hear(engine, b"250 ok\r\n250 ok\r\n")
    assert engine.patience == 120
    hear(engine, b"354 go\r\n")
    assert engine.patience == 180
    engine.body(b"", last=True)
    assert engine.patience == 600
    hear(engine, b"250 ok\r\n")
    engine.quit()
    assert engine.patience == 5


def test_every_step_knows_what_to_do_with_its_reply() -> None:
    from posthouse.wire.smtp import client

    assert set(client._TAKEN) == set(Step)


def test_the_server_engine_is_what_the_client_talks_to() -> None:
    assert ServerEngine(Settings("mx")).patience == 30
