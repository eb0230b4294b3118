"""The server's engine: what it says, what it announces, what it refuses, and that cutting octets changes nothing."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.envelope import Body, Notify, Ret
from posthouse.mail.peer import Role
from posthouse.mail.reply import Reply
from posthouse.wire.buffer import ProtocolError
from posthouse.wire.smtp.events import (
    Auth,
    AuthResponse,
    BodyChunk,
    BodyEnd,
    BodyStart,
    Hello,
    Mail,
    Rcpt,
    Reset,
    ServerEvent,
    StartTls,
)
from posthouse.wire.smtp.extensions import EXTENSIONS, MAIL_PARAMETERS, RCPT_PARAMETERS
from posthouse.wire.smtp.server import ServerEngine, Settings
from posthouse.wire.smtp.session import Session
from posthouse.wire.smtp.table import VERBS
from wire.dialogue import SETTINGS, Dialogue, every_octet, start, talk, willing

HELLO = b"EHLO client.test\r\n"
MAIL = b"MAIL FROM:<a@client.test>\r\n"
RCPT = b"RCPT TO:<b@posthouse.test>\r\n"
SUBMISSION = Settings(
    "mx.posthouse.test", role=Role.SUBMISSION, starttls=True, mechanisms=("SCRAM-SHA-256", "PLAIN", "LOGIN"),
    max_bad_commands=1000,
)  # fmt: skip


def secure(settings: Settings = SUBMISSION) -> Dialogue:
    """Behind STARTTLS, nothing said yet."""
    dialogue = start(settings)
    dialogue.say(HELLO)
    assert dialogue.say(b"STARTTLS\r\n").startswith(b"250 ")
    dialogue.engine.start_tls_done()
    return dialogue


def announced(dialogue: Dialogue) -> dict[str, str]:
    lines = [line[4:] for line in dialogue.say(HELLO).decode().splitlines()]
    return dict(([*line.split(" ", 1), ""])[:2] for line in lines[1:])


# --- cutting ------------------------------------------------------------------------------------------

# Without STARTTLS: there a cut is what tells an honest client from an injected command; see below.
PIECES = [
    HELLO, b"HELO client.test\r\n", MAIL, b"mail from:<> size=10 body=8bitmime\r\n", RCPT, b"RCPT TO:<no@x.test>\r\n",
    b"DATA\r\n", b"text\r\n", b"..dot\r\n", b".\r\n", b"b\xe9\r\n", b"BDAT 4\r\n", b"BDAT 6 LAST\r\n", b"BDAT 0\r\n",
    b"RSET\r\n", b"NOOP\r\n", b"QUIT\r\n", b"\n", b"\r", b"\0", b"x" * 40, b"VRFY x\r\n", b"HELP\r\n",
    b"GET / HTTP/1.1\r\n",
]  # fmt: skip
SMALL = Settings("mx.posthouse.test", starttls=True, max_size=40, line_limit=60, max_bad_commands=6)


@given(st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join), st.lists(st.integers(0, 700), max_size=10))
def test_the_events_are_the_same_however_the_octets_are_cut(flight: bytes, cuts: list[int]) -> None:
    whole = talk(flight, [], SMALL)
    eager = talk(flight, cuts, SMALL, at_once=True)
    for other in (talk(flight, cuts, SMALL), talk(flight, every_octet(flight), SMALL), eager):
        assert other.events == whole.events
        assert other.out == whole.out
        assert other.taken == whole.taken
        assert other.engine.closed == whole.engine.closed


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_arbitrary_octets_raise_nothing(octets: bytes, cuts: list[int]) -> None:
    for prefix in (b"", HELLO + MAIL, HELLO + MAIL + RCPT, HELLO + MAIL + RCPT + b"DATA\r\n"):
        dialogue = talk(prefix + octets, cuts, SMALL)
        assert not dialogue.taken or b"DATA" in prefix


def test_the_engine_waits_for_each_answer() -> None:
    engine = ServerEngine(SETTINGS)
    engine.greet()
    engine.feed(HELLO + MAIL + RCPT + b"NOOP\r\n")
    assert isinstance(engine.next_event(), Hello)
    assert engine.next_event() is None
    engine.answer(Reply(250, "", ""))
    assert isinstance(engine.next_event(), Mail)
    assert engine.next_event() is None
    engine.take()
    engine.answer(Reply(451, "4.3.0", "Later"))
    # RCPT is out of order after a refused MAIL, and NOOP is answered last.
    assert engine.next_event() is None
    assert [line[:3] for line in engine.take().splitlines()] == [b"451", b"503", b"250"]
    with pytest.raises(ProtocolError):
        engine.answer(Reply(250, "", ""))


# --- greeting and hello -------------------------------------------------------------------------------


def test_the_greeting_names_the_host() -> None:
    assert start().out.startswith(b"220 mx.posthouse.test ESMTP")


def test_a_negative_greeting_ends_it() -> None:
    engine = ServerEngine(SETTINGS)
    engine.feed(HELLO)
    assert engine.unread == len(HELLO)
    engine.greet(Reply(421, "4.3.2", "Go away"))
    assert engine.take() == b"421 4.3.2 Go away\r\n"
    assert engine.closed
    assert engine.next_event() is None


def test_after_554_nothing_is_run_and_quit_is_waited_for() -> None:
    """RFC 5321 §3.1."""
    for verb in VERBS.values():
        engine = ServerEngine(SETTINGS)
        engine.greet(Reply(554, "", "Go away"))
        assert engine.take() == b"554 Go away\r\n"
        argument = {"MAIL": " FROM:<>", "RCPT": " TO:<a@posthouse.test>", "BDAT": " 4 LAST"}.get(verb.name, " x")
        engine.feed(verb.name.encode() + (b"" if verb.name == "QUIT" else argument.encode()) + b"\r\nQUIT")
        assert engine.next_event() is None
        assert engine.take().startswith(b"221 " if verb.name == "QUIT" else b"50")
        # Whatever it was, and whatever was behind it, MAIL is no nearer.
        engine.feed(b"\r\nRSET\r\nEHLO client.test\r\nMAIL FROM:<>\r\nQUIT\r\n")
        assert engine.next_event() is None
        assert engine.closed
        out = engine.take()
        assert out.endswith(b"Goodbye\r\n") or verb.name == "QUIT"
        assert b"250" not in out


def test_after_554_even_noise_comes_to_an_end() -> None:
    engine = ServerEngine(Settings("mx.posthouse.test"))
    engine.feed(HELLO + MAIL + RCPT + b"DATA\r\nSubject: buy\r\n\r\n.\r\n" * 10)
    engine.greet(Reply(554, "", "Go away"))
    said = b""
    while out := engine.take():
        said += out
        assert engine.next_event() is None
    assert engine.closed
    assert said.count(b"\r\n") == 1 + 20 + 1


def test_ehlo_lists_what_is_offered() -> None:
    assert announced(start()) == {
        "PIPELINING": "", "SIZE": "52428800", "8BITMIME": "", "SMTPUTF8": "", "ENHANCEDSTATUSCODES": "",
        "CHUNKING": "", "DSN": "", "STARTTLS": "",
    }  # fmt: skip
    assert announced(secure()).get("AUTH") == "SCRAM-SHA-256 PLAIN LOGIN"


def test_auth_is_announced_to_submission_under_tls_only() -> None:
    assert "AUTH" not in announced(start(SUBMISSION))
    assert "AUTH" not in announced(secure(SETTINGS))
    implicit = Settings("mx", role=Role.SUBMISSION, tls=True, mechanisms=("PLAIN",))
    assert announced(start(implicit))["AUTH"] == "PLAIN"
    assert "STARTTLS" not in announced(start(implicit))


def test_helo_gives_one_line_and_no_extension() -> None:
    dialogue = start()
    assert dialogue.say(b"HELO client.test\r\n") == b"250 mx.posthouse.test OK\r\n"
    assert dialogue.say(b"MAIL FROM:<a@b.test> SIZE=5\r\n").startswith(b"555 5.5.4 ")
    assert dialogue.say(b"STARTTLS\r\n").startswith(b"503 ")
    assert dialogue.say(MAIL).startswith(b"250 ")


def test_every_row_of_the_tables_is_announced_somewhere() -> None:
    rows = {verb.extension for verb in VERBS.values()} | {row.extension for row in MAIL_PARAMETERS.values()}
    rows |= {row.extension for row in RCPT_PARAMETERS.values()}
    assert rows - {None} <= set(EXTENSIONS)


@pytest.mark.parametrize("settings", [SETTINGS, SUBMISSION, Settings("mx", tls=True), Settings("mx")])
def test_what_is_not_announced_is_not_accepted(settings: Settings) -> None:
    keywords = announced(start(settings))
    session = Session(settings)
    for extension in EXTENSIONS:
        assert (extension.keyword in keywords) is (extension.hindrance(session) is None)
    refused = start(settings)
    refused.say(HELLO)
    if "STARTTLS" not in keywords:
        assert refused.say(b"STARTTLS\r\n")[:3] in (b"502", b"503")
    if "AUTH" not in keywords:
        assert refused.say(b"AUTH PLAIN AGEAYg==\r\n")[:3] in (b"502", b"538")
        assert not any(isinstance(event, Auth) for event in refused.events)


@pytest.mark.parametrize("name", [b"client.test", b"[192.0.2.1]", b"[IPv6:2001:db8::1]", b"odd_name", b"localhost"])
def test_names_that_clients_give_are_taken(name: bytes) -> None:
    dialogue = start()
    assert dialogue.say(b"EHLO " + name + b"\r\n").startswith(b"250-")
    assert dialogue.events == [Hello("EHLO", name.decode())]


@pytest.mark.parametrize(
    "name", [b"", b"a(b", b'a"b', b"a;b", b"a b", b"a,b", b"a\\b", b"<a>", b"\xc3\xa9", b"x" * 256]
)
def test_names_that_would_spoil_a_header_are_refused(name: bytes) -> None:
    dialogue = start()
    assert dialogue.say(b"EHLO " + name + b"\r\n")[:3] in (b"500", b"501")
    assert dialogue.say(MAIL).startswith(b"503 ")


def test_a_refused_hello_leaves_everything_as_it_was() -> None:
    dialogue = start(policy=lambda event: Reply(550, "5.7.1", "No") if event == Hello("EHLO", "bad") else GO)
    dialogue.say(HELLO + MAIL + RCPT)
    assert dialogue.say(b"EHLO bad\r\n").startswith(b"550 ")
    assert dialogue.engine.in_transaction
    assert Reset() not in dialogue.events
    dialogue.say(HELLO)
    assert not dialogue.engine.in_transaction
    assert Reset() in dialogue.events


GO = Reply(250, "2.0.0", "OK")

# --- MAIL and RCPT ------------------------------------------------------------------------------------


def envelope_of(line: bytes) -> object:
    dialogue = start()
    dialogue.say(HELLO)
    dialogue.say(line)
    event = dialogue.events[-1]
    return event.envelope if isinstance(event, Mail) else dialogue.codes[-1]


def test_the_parameters_of_mail_reach_the_envelope() -> None:
    envelope = envelope_of(
        b"MAIL FROM:<a@client.test> SIZE=1000 BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=QQ+2B314+20x\r\n"
    )
    assert envelope.size == 1000
    assert envelope.body is Body.EIGHT_BIT_MIME
    assert envelope.smtputf8 is True
    assert envelope.ret is Ret.HDRS
    assert envelope.envid == "QQ+314 x"
    assert envelope.rcpt_to == ()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"MAIL FROM:<a@b.test> FOO=bar\r\n", b"555 5.5.4 "),
        (b"MAIL FROM:<a@b.test> AUTH=<>\r\n", b"555 5.5.4 "),
        (b"MAIL FROM:<a@b.test> NOTIFY=NEVER\r\n", b"555 5.5.4 "),
        (b"MAIL FROM:<a@b.test> SIZE=\r\n", b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> SIZE=1x\r\n", b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> SIZE=999999999999999999999\r\n", b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> SIZE=52428801\r\n", b"552 5.3.4 "),
        (b"MAIL FROM:<a@b.test> SIZE=1 size=1\r\n", b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> BODY=BINARYMIME\r\n", b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> SMTPUTF8=yes\r\n", b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> RET=ALL\r\n", b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> ENVID=a+0Ab\r\n", b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> ENVID=a+b\r\n", b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test> ENVID=" + b"x" * 101 + b"\r\n", b"501 5.5.4 "),
        (b"MAIL FROM:a@b.test\r\n", b"501 5.5.4 "),
        (b"MAIL TO:<a@b.test>\r\n", b"501 5.5.4 "),
        (b"MAIL\r\n", b"501 5.5.4 "),
        (b"MAIL FROM:<a@b.test>SIZE=1\r\n", b"501 5.5.4 "),
        (b"MAIL FROM:<a b@c.test>\r\n", b"501 5.5.4 "),
        (b"MAIL FROM:<a@>\r\n", b"501 5.1.7 "),
        (b"MAIL FROM:<postmaster>\r\n", b"501 5.1.7 "),
        (b"MAIL FROM:<@r.test:a@b.test>\r\n", b"501 5.1.7 "),
        (b"MAIL FROM:<\xc3\xa9@b.test>\r\n", b"550 5.6.7 "),
        (b"MAIL FROM:<\xff@b.test> SMTPUTF8\r\n", b"500 5.5.2 "),
    ],
)
def test_a_mail_that_cannot_be_taken(line: bytes, code: bytes) -> None:
    dialogue = start()
    dialogue.say(HELLO)
    assert dialogue.say(line).startswith(code)
    assert dialogue.kinds == [Hello]
    assert dialogue.say(MAIL).startswith(b"250 ")


def test_a_space_behind_the_colon_is_forgiven() -> None:
    assert str(envelope_of(b"mail from: <a@b.test>\r\n").mail_from) == "a@b.test"


def test_the_parameters_of_rcpt_reach_the_recipient() -> None:
    dialogue = start()
    dialogue.say(HELLO + MAIL)
    dialogue.say(b"RCPT TO:<b@c.test> NOTIFY=success,Delay ORCPT=RFC822;x+2By+40z\r\n")
    event = dialogue.events[-1]
    assert isinstance(event, Rcpt)
    assert event.rcpt.notify == Notify.SUCCESS | Notify.DELAY
    assert event.rcpt.orcpt == "rfc822;x+y@z"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"RCPT TO:<b@c.test> NOTIFY=NEVER,DELAY\r\n", b"501 5.5.4 "),
        (b"RCPT TO:<b@c.test> NOTIFY=\r\n", b"501 5.5.4 "),
        (b"RCPT TO:<b@c.test> NOTIFY=SOON\r\n", b"501 5.5.4 "),
        (b"RCPT TO:<b@c.test> ORCPT=rfc822;a+0D+0Ab\r\n", b"501 5.5.4 "),
        (b"RCPT TO:<b@c.test> ORCPT=rfc822;a+00b\r\n", b"501 5.5.4 "),
        (b"RCPT TO:<b@c.test> ORCPT=rfc822;a+E9b\r\n", b"501 5.5.4 "),
        (b"RCPT TO:<b@c.test> ORCPT=rfc822;a+4\r\n", b"501 5.5.4 "),
        (b"RCPT TO:<b@c.test> ORCPT=rfc822;a+4a\r\n", b"501 5.5.4 "),
        (b"RCPT TO:<b@c.test> ORCPT=utf-8;a\\x{0A}b\r\n", b"501 5.5.4 "),
        (b"RCPT TO:<b@c.test> ORCPT=utf-8;a\\x{D800}b\r\n", b"501 5.5.4 "),
        (b"RCPT TO:<b@c.test> ORCPT=utf-8;a\\x{110000}b\r\n", b"501 5.5.4 "),
        (b"RCPT TO:<b@c.test> ORCPT=utf-8;a\\b\r\n", b"501 5.5.4 "),
        (b"RCPT TO:<b@c.test> ORCPT=rfc822\r\n", b"501 5.5.4 "),
        (b"RCPT TO:<b@c.test> ORCPT=a b;c\r\n", b"501 5.5.4 "),
        (b"RCPT TO:<b@c.test> ORCPT=rfc822;" + b"x" * 500 + b"\r\n", b"501 5.5.4 "),
        (b"RCPT TO:<b@c.test> SIZE=1\r\n", b"555 5.5.4 "),
        (b"RCPT TO:<>\r\n", b"501 5.1.3 "),
        (b"RCPT TO:<b@c.test\r\n", b"501 5.5.4 "),
        (b"RCPT TO:<\xc3\xa9@b.test>\r\n", b"553 5.6.7 "),
        (b"RCPT TO:<b@c.test> ORCPT=utf-8;\xc3\xa9@b\r\n", b"553 5.6.7 "),
        (b"RCPT TO:<b@c.test.>\r\n", b"501 5.1.3 "),
        (b"RCPT TO:<b\0@c.test>\r\n", b"500 5.5.2 "),
    ],
)
def test_a_rcpt_that_cannot_be_taken(line: bytes, code: bytes) -> None:
    dialogue = start()
    dialogue.say(HELLO + MAIL)
    assert dialogue.say(line).startswith(code)
    assert dialogue.kinds == [Hello, Mail]


def test_international_addresses_need_and_get_smtputf8() -> None:
    dialogue = start()
    dialogue.say(HELLO)
    dialogue.say("MAIL FROM:<jörg@bücher.example> SMTPUTF8\r\n".encode())
    dialogue.say("RCPT TO:<δοκιμή@posthouse.test> ORCPT=utf-8;δ\\x{3B5}\\x{2B}@x\r\n".encode())
    mail, rcpt = dialogue.events[1:]
    assert isinstance(mail, Mail)
    assert isinstance(rcpt, Rcpt)
    assert str(mail.envelope.mail_from) == "jörg@xn--bcher-kva.example"
    assert rcpt.rcpt.address.local_part == "δοκιμή"
    assert rcpt.rcpt.orcpt == "utf-8;δε+@x"


def test_postmaster_needs_no_domain() -> None:
    dialogue = start()
    dialogue.say(HELLO + MAIL)
    assert dialogue.say(b"RCPT TO:<PostMaster>\r\n").startswith(b"250 ")


# A recipient that asks us to relay, as a peer could write it: r.test is elsewhere, posthouse.test is ours.
RELAY_FORMS = [
    b"<@posthouse.test:u@r.test>", b"<@[127.0.0.1]:u@r.test>", b"<u@r.test@posthouse.test>", b"<u@r.test@[127.0.0.1]>",
    b"<u@r.test.>", b"<u@r.test\xe3\x80\x82posthouse.test>", b'<"u@r.test">', b'<"u%r.test">',
]  # fmt: skip


@pytest.mark.parametrize("mail", [b"<>", b"<x@r.test>", b"<x@posthouse.test>", b"<x@[192.0.2.1]>"])
@pytest.mark.parametrize("form", RELAY_FORMS)
def test_forms_of_relaying_that_are_no_addresses_are_refused(form: bytes, mail: bytes) -> None:
    dialogue = start()
    dialogue.say(HELLO + b"MAIL FROM:" + mail + b"\r\n")
    assert dialogue.say(b"RCPT TO:" + form + b"\r\n")[:1] == b"5"
    assert dialogue.kinds == [Hello, Mail]


def test_more_recipients_than_allowed_are_put_off() -> None:
    dialogue = start(Settings("mx", max_recipients=3))
    dialogue.say(HELLO + MAIL + RCPT * 3)
    assert dialogue.say(RCPT).startswith(b"452 4.5.3 ")
    assert len(dialogue.engine.envelope.rcpt_to) == 3
    dialogue.say(b"DATA\r\nx\r\n.\r\n")
    assert len(dialogue.taken) == 1


def test_who_tries_names_until_one_fits_is_stopped() -> None:
    dialogue = start(Settings("mx", max_refused_recipients=3))
    wrong = b"RCPT TO:<no@posthouse.test>\r\n"
    dialogue.say(HELLO)
    for _ in range(2):
        # A message that was taken wipes the slate.
        dialogue.say(MAIL + wrong * 3 + RCPT + b"DATA\r\n.\r\n")
    assert len(dialogue.taken) == 2
    for _ in range(3):
        assert dialogue.say(MAIL + wrong + b"RSET\r\n").endswith(b"250 2.0.0 OK\r\n")
    assert dialogue.say(MAIL + wrong).endswith(b"421 4.7.0 Too many recipients refused, closing the connection\r\n")
    assert dialogue.engine.closed


# --- bodies -------------------------------------------------------------------------------------------


def test_dots_are_taken_off_and_octets_kept() -> None:
    content = bytes(range(1, 10)) + b"\x0b\x0c" + bytes(range(14, 256))
    dialogue = talk(HELLO + MAIL + RCPT + b"DATA\r\n..a\r\n...\r\n" + content + b"\r\n.\r\n")
    [(envelope, body)] = dialogue.taken
    assert body == b".a\r\n..\r\n" + content + b"\r\n"
    assert envelope.body is Body.EIGHT_BIT_MIME


def test_an_empty_body_is_a_message() -> None:
    assert talk(HELLO + MAIL + RCPT + b"DATA\r\n.\r\n").taken[0][1] == b""
    assert talk(HELLO + MAIL + RCPT + b"BDAT 0 LAST\r\n").taken[0][1] == b""


@given(st.lists(st.sampled_from([b".", b"\r\n", b"a", b"\r\n.", b"..", b"xyz"]), max_size=20).map(b"".join), st.data())
def test_any_clean_body_comes_out_as_it_went_in(content: bytes, data: st.DataObject) -> None:
    if content:
        content += b"\r\n"
    stuffed = b"".join(b"." * line.startswith(b".") + line for line in content.splitlines(keepends=True))
    flight = HELLO + MAIL + RCPT + b"DATA\r\n" + stuffed + b".\r\nNOOP\r\n"
    cuts = data.draw(st.lists(st.integers(0, len(flight)), max_size=8))
    dialogue = talk(flight, cuts)
    assert [body for _, body in dialogue.taken] == [content]
    assert dialogue.codes[-1] == 250


@pytest.mark.parametrize("sizes", [(10,), (3, 0, 7), (1,) * 10])
def test_chunks_make_one_message(sizes: tuple[int, ...]) -> None:
    content, at, flight = b"line1\r\nab.", 0, HELLO + MAIL + RCPT
    for number, size in enumerate(sizes):
        last = b" LAST" if number == len(sizes) - 1 else b""
        flight += b"BDAT %d%b\r\n%b" % (size, last, content[at : at + size])
        at += size
    for cuts in ((), every_octet(flight)):
        for at_once in (False, True):
            dialogue = talk(flight, cuts, at_once=at_once)
            assert dialogue.taken[0][1] == content
            assert dialogue.codes == [250] * (3 + len(sizes))


@pytest.mark.parametrize("command", [b"DATA\r\n", b"BDAT 9\r\n"])
def test_a_body_can_be_taken_without_an_event_and_nothing_else_can(command: bytes) -> None:
    dialogue = start()
    engine = dialogue.engine
    assert engine.next_chunk() is None
    engine.feed(HELLO + MAIL + RCPT + command + b"abc")
    for _ in range(4):
        assert engine.next_chunk() is None, "somebody has to be asked first"
        event = engine.next_event()
        assert event is not None
        assert engine.next_chunk() is None
        engine.answer(willing(event))
    assert (engine.next_chunk(), engine.next_chunk()) == (b"abc", b"")
    engine.feed(b"def\r\n.\r\nNOOP\r\n")
    taken = b""
    while chunk := engine.next_chunk():
        taken += chunk
    assert chunk is None, "what comes next is no body"
    assert taken in (b"def\r\n", b"def\r\n.")


def test_rset_between_chunks_throws_them_away() -> None:
    first = HELLO + MAIL + RCPT + b"BDAT 3\r\nabcRSET\r\nBDAT 3 LAST\r\nabc"
    dialogue = talk(first + MAIL + RCPT + b"BDAT 1 LAST\r\nx")
    assert dialogue.codes == [250, 250, 250, 250, 250, 503, 250, 250, 250]
    assert Reset() in dialogue.events
    assert [body for _, body in dialogue.taken] == [b"x"]


def test_data_and_mail_are_out_of_order_among_chunks() -> None:
    dialogue = talk(HELLO + MAIL + RCPT + b"BDAT 1\r\na")
    for line in (b"DATA\r\n", MAIL, RCPT):
        assert dialogue.say(line).startswith(b"503 ")
    dialogue.say(b"BDAT 1 LAST\r\nb")
    assert dialogue.taken[0][1] == b"ab"


def test_chunks_behind_a_failed_one_are_read_and_refused() -> None:
    flight = HELLO + MAIL + RCPT + b"BDAT 4\r\na\nb\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nRSET\r\nNOOP\r\n"
    dialogue = talk(flight)
    assert dialogue.codes == [250, 250, 250, 550, 503, 503, 250]
    assert dialogue.taken == []
    assert not dialogue.engine.closed


def test_a_chunk_that_the_door_does_not_want_is_read_first() -> None:
    def policy(event: ServerEvent) -> Reply:
        return Reply(451, "4.3.0", "Later") if isinstance(event, BodyStart) else Reply(250, "", "OK")

    dialogue = talk(HELLO + MAIL + RCPT + b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", policy=policy)
    assert dialogue.codes == [250, 250, 250, 451, 250]
    dialogue = talk(HELLO + MAIL + RCPT + b"DATA\r\nNOOP\r\n", policy=policy)
    assert dialogue.codes == [250, 250, 250, 451, 250]
    assert not dialogue.engine.in_transaction


def test_a_chunk_beyond_the_size_is_refused_once_it_is_read() -> None:
    dialogue = talk(HELLO + MAIL + RCPT + b"BDAT 50\r\n" + b"x" * 50 + b"NOOP\r\n", settings=SMALL)
    assert dialogue.codes == [250, 250, 250, 552, 250]


def test_who_never_ends_is_cut_off() -> None:
    endless = Settings("mx", max_size=100, endless_size=1000)
    dialogue = talk(HELLO + MAIL + RCPT + b"DATA\r\n" + b"x" * 2000, settings=endless)
    assert dialogue.engine.closed
    assert dialogue.codes[-1] == 552
    dialogue = talk(HELLO + MAIL + RCPT + b"BDAT 1001\r\n", settings=endless)
    assert dialogue.engine.closed
    assert dialogue.codes[-1] == 552


def test_any_number_of_tiny_chunks_use_constant_memory() -> None:
    engine = ServerEngine(Settings("mx", max_size=10**9))
    engine.greet()
    engine.feed(HELLO + MAIL + RCPT + b"BDAT 1\r\nx")
    go = Reply(250, "", "OK")

    def drain() -> None:
        said = True
        while said:
            while (event := engine.next_event()) is not None:
                if not isinstance(event, BodyChunk):
                    engine.answer(go)
            said = bool(engine.take())

    drain()
    flight = b"BDAT 1\r\nx" * 1000
    tracemalloc.start()
    engine.feed(flight)
    drain()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(29):
        engine.feed(flight)
        drain()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 4096
    engine.feed(b"BDAT 0 LAST\r\n")
    end = engine.next_event()
    assert isinstance(end, BodyEnd)
    assert end.size == 30_001


# --- STARTTLS -----------------------------------------------------------------------------------------


def test_octets_behind_starttls_are_never_run() -> None:
    injected = MAIL + RCPT + b"DATA\r\nevil\r\n.\r\n"
    flight = HELLO + b"STARTTLS\r\n" + injected
    for cut in range(len(HELLO), len(flight)):
        dialogue = talk(flight, [cut])
        assert not {Mail, Rcpt, BodyStart} & set(dialogue.kinds)
        # In one flight with what follows, it is not even begun.
        assert cut != len(HELLO) or StartTls not in dialogue.kinds
        if not dialogue.engine.closed:
            with pytest.raises(ProtocolError):
                dialogue.engine.answer(GO)
            dialogue.engine.start_tls_done()
        assert dialogue.engine.closed
        assert dialogue.say(b"NOOP\r\n") == b""


def test_octets_that_come_before_starttls_is_answered_are_never_run() -> None:
    engine = ServerEngine(SETTINGS)
    engine.greet()
    engine.feed(HELLO)
    engine.next_event()
    engine.answer(GO)
    engine.feed(b"STARTTLS\r\n")
    assert isinstance(engine.next_event(), StartTls)
    engine.feed(MAIL)
    engine.take()
    engine.answer(Reply(220, "2.0.0", "Go ahead"))
    assert engine.next_event() is None
    assert engine.closed
    assert engine.take().startswith(b"554 ")


def test_starttls_forgets_everything() -> None:
    dialogue = start()
    dialogue.say(HELLO + MAIL + RCPT)
    dialogue.say(b"STARTTLS\r\n")
    dialogue.engine.start_tls_done()
    assert not dialogue.engine.in_transaction
    assert dialogue.say(RCPT).startswith(b"503 ")
    assert dialogue.say(MAIL).startswith(b"503 ")
    assert "STARTTLS" not in announced(dialogue)
    assert dialogue.say(b"STARTTLS\r\n").startswith(b"503 ")


def test_a_refused_starttls_goes_on_in_the_clear() -> None:
    dialogue = start(policy=lambda e: Reply(454, "4.7.0", "Not now") if isinstance(e, StartTls) else GO)
    dialogue.say(HELLO)
    assert dialogue.say(b"STARTTLS\r\n").startswith(b"454 ")
    assert dialogue.say(MAIL).startswith(b"250 ")
    with pytest.raises(ProtocolError):
        dialogue.engine.start_tls_done()


def test_nothing_is_said_in_the_clear_once_the_handshake_is_agreed_on() -> None:
    dialogue = start()
    dialogue.say(HELLO + b"STARTTLS\r\n")
    dialogue.engine.hang_up(Reply(421, "4.3.2", "Going down"))
    assert dialogue.engine.take() == b""


# --- AUTH ---------------------------------------------------------------------------------------------


def judge(event: ServerEvent) -> Reply:
    if isinstance(event, Auth | AuthResponse):
        right = b"\0alice\0secret" in (getattr(event, "initial", None), getattr(event, "octets", None))
        return Reply(235, "2.7.0", "Welcome") if right else Reply(535, "5.7.8", "No")
    return GO


def test_login_comes_after_tls_and_before_mail() -> None:
    dialogue = start(SUBMISSION)
    dialogue.say(HELLO)
    assert dialogue.say(b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n").startswith(b"538 5.7.11 ")
    assert dialogue.say(MAIL).startswith(b"530 5.7.0 ")
    dialogue = secure()
    dialogue.policy = judge
    assert dialogue.say(b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n").startswith(b"503 ")
    dialogue.say(HELLO)
    assert dialogue.say(MAIL).startswith(b"530 5.7.0 ")
    assert dialogue.say(b"AUTH PLAIN AGFsaWNlAHdyb25n\r\n").startswith(b"535 ")
    assert dialogue.say(MAIL).startswith(b"530 5.7.0 ")
    assert dialogue.say(b"auth plain AGFsaWNlAHNlY3JldA==\r\n").startswith(b"235 ")
    assert dialogue.say(b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n").startswith(b"503 ")
    assert dialogue.say(b"MAIL FROM:<a@b.test> AUTH=e+3Dmc2@b.test\r\n").startswith(b"250 ")


def test_login_within_a_transaction_is_out_of_order() -> None:
    dialogue = secure()
    dialogue.policy = judge
    dialogue.say(HELLO + b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n" + MAIL)
    assert dialogue.say(b"AUTH PLAIN x\r\n").startswith(b"503 ")


def challenged() -> Dialogue:
    dialogue = secure()
    dialogue.say(HELLO)
    dialogue.engine.feed(b"AUTH LOGIN\r\n")
    assert dialogue.engine.next_event() == Auth("LOGIN", None)
    dialogue.engine.challenge(b"Username:")
    assert dialogue.engine.take() == b"334 VXNlcm5hbWU6\r\n"
    return dialogue


@pytest.mark.parametrize(
    ("line", "event", "code"),
    [
        (b"YWxpY2U=\r\n", b"alice", b"535 "),
        (b"\r\n", b"", b"535 "),
        (b"*\r\n", None, b"501 5.7.0 "),
        (b"YWxpY2U\r\n", None, b"501 5.5.2 "),
        (b"YWxp=Y2U=\r\n", None, b"501 5.5.2 "),
        (b"=AAA\r\n", None, b"501 5.5.2 "),
        (b"YWxp Y2U=\r\n", None, b"501 5.5.2 "),
        (b"\0\r\n", None, b"500 5.5.6 "),
        (b"A" * 12287 + b"\r\n", None, b"500 5.5.6 "),
    ],
)
def test_a_response_is_decoded_or_refused(line: bytes, event: bytes | None, code: bytes) -> None:
    for cuts in (1, len(line)):
        dialogue = challenged()
        for at in range(0, len(line), cuts):
            dialogue.engine.feed(line[at : at + cuts])
            if at + cuts < len(line) and (found := dialogue.engine.next_event()) is not None:
                break
        else:
            found = dialogue.engine.next_event()
        assert isinstance(found, AuthResponse)
        assert found.octets == event
        dialogue.engine.answer(Reply(235, "2.7.0", "Welcome") if event is None else Reply(535, "5.7.8", "No"))
        assert dialogue.engine.take().startswith(code)


def test_a_long_initial_response_fits_and_a_longer_one_does_not() -> None:
    dialogue = secure()
    dialogue.policy = judge
    dialogue.say(HELLO)
    assert dialogue.say(b"AUTH PLAIN " + b"AAAA" * 2000 + b"\r\n").startswith(b"535 ")
    assert dialogue.say(b"AUTH PLAIN " + b"AAAA" * 4000 + b"\r\n").startswith(b"500 ")
    assert dialogue.say(b"AUTH PLAIN =\r\n").startswith(b"535 ")
    assert dialogue.events[-1] == Auth("PLAIN", b"")
    assert dialogue.say(b"AUTH PLAIN ===\r\n").startswith(b"501 5.5.2 ")
    assert dialogue.say(b"AUTH CRAM-MD5\r\n").startswith(b"504 5.5.4 ")


def test_too_many_failed_logins_end_the_connection() -> None:
    dialogue = secure()
    dialogue.policy = judge
    dialogue.say(HELLO)
    for _ in range(4):
        assert dialogue.say(b"AUTH PLAIN =\r\n").startswith(b"535 ")
    assert b"\r\n421 4.7.0 " in dialogue.say(b"AUTH PLAIN =\r\n")
    assert dialogue.engine.closed


# --- lines --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [b"NOOP " + b"x" * 2042, b"NOOP\nQUIT", b"NOOP\rQUIT", b"NO\0OP", b"NOOP \x1b[2J", b"NOOP\tx", b"NOOP \xff",
     b"NOOP \xc3\xa9", b""],
)  # fmt: skip
def test_a_spoilt_line_is_answered_once(line: bytes) -> None:
    flight = HELLO + line + b"\r\nNOOP\r\n"
    for cuts in ((), every_octet(flight)):
        dialogue = talk(flight, cuts)
        assert dialogue.codes == [250, 500, 250]
        assert b"\r\n500 5.5." in dialogue.out


def test_the_longest_line_is_taken() -> None:
    assert talk(HELLO + b"NOOP " + b"x" * 2041 + b"\r\n").codes == [250, 250]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"DATA now\r\n", b"503 "), (b"RSET now\r\n", b"501 "), (b"QUIT now\r\n", b"501 "), (b"VRFY\r\n", b"501 "),
        (b"VRFY root\r\n", b"252 "), (b"EXPN staff\r\n", b"502 "), (b"HELP\r\n", b"214-"), (b"noop  \r\n", b"250 "),
        (b"XYZZY\r\n", b"500 "), (b"RSET \r\n", b"250 "), (b" NOOP\r\n", b"500 "),
    ],
)  # fmt: skip
def test_commands_that_the_engine_answers_itself(line: bytes, code: bytes) -> None:
    dialogue = start()
    dialogue.say(HELLO)
    assert dialogue.say(line).startswith(code)
    assert dialogue.kinds == [Hello]


def test_help_names_the_commands_that_are_to_be_had_here_and_now() -> None:
    dialogue = start()
    dialogue.say(HELLO)
    before = dialogue.say(b"HELP\r\n")
    assert b" VRFY" in before
    assert b"AUTH" not in before


def test_quit_says_goodbye_and_reads_no_more() -> None:
    dialogue = talk(HELLO + b"QUIT\r\nNOOP\r\n")
    assert dialogue.codes == [250, 221]
    assert dialogue.engine.closed


def test_twenty_bad_commands_are_borne() -> None:
    dialogue = start(Settings("mx"))
    dialogue.say(HELLO)
    for _ in range(20):
        assert dialogue.say(b"XYZZY\r\n").startswith(b"500 ")
    assert dialogue.say(b"XYZZY\r\n").startswith(b"421 4.7.0 ")
    assert dialogue.engine.closed


def test_a_message_taken_wipes_the_slate() -> None:
    dialogue = start(Settings("mx", max_bad_commands=1))
    dialogue.say(HELLO + b"XYZZY\r\n" + MAIL + RCPT + b"DATA\r\n.\r\n")
    assert dialogue.say(b"XYZZY\r\n").startswith(b"500 ")
    assert dialogue.say(b"XYZZY\r\n").startswith(b"421 ")


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.1\r\n", b"get /\n", b"POST /x HTTP/1.0\r\nHost: x\r\n", b"CONNECT a:25 HTTP/1.1\r\n",
             b"\x16\x03\x01\x02\0\x01\0\0\xfc\x03\x03\r\n"]
)  # fmt: skip
def test_browsers_and_tls_are_hung_up_on_without_a_word(line: bytes) -> None:
    for prefix in (b"", HELLO):
        for cuts in ((), every_octet(prefix + line)):
            dialogue = talk(prefix + line + HELLO, cuts)
            assert dialogue.engine.closed
            assert dialogue.codes == [250] * (prefix != b"")


def test_a_last_word_ends_it() -> None:
    dialogue = start()
    dialogue.say(HELLO + MAIL)
    dialogue.engine.hang_up(Reply(421, "4.3.2", "Going down"))
    assert dialogue.say(b"NOOP\r\n") == b"421 4.3.2 Going down\r\n"
    assert dialogue.engine.closed


def test_patience_depends_on_what_is_awaited() -> None:
    dialogue = start()
    assert dialogue.engine.patience == 30
    dialogue.say(HELLO)
    assert dialogue.engine.patience == 300
    dialogue.say(MAIL + RCPT + b"DATA\r\n")
    assert dialogue.engine.patience == 180
    dialogue.say(b".\r\n")
    assert dialogue.engine.patience == 300


def test_control_characters_in_an_answer_do_not_reach_the_wire() -> None:
    dialogue = start(policy=lambda event: Reply(550, "5.0.0", "a\rb\x00c\n250 d"))
    assert dialogue.say(HELLO) == b"550-5.0.0 a?b?c\r\n550 5.0.0 250 d\r\n"


def test_replies_are_made_a_few_at_a_time() -> None:
    """Six octets for thirteen, or for many more: what a client does not read is not made beforehand."""
    engine = ServerEngine(SETTINGS)
    engine.feed(b"NOOP\r\n" * 10_000)
    replies = 0
    while True:
        assert engine.next_event() is None
        out = engine.take()
        assert len(out) <= 300 * len(b"250 2.0.0 OK\r\n")
        replies += out.count(b"250 ")
        if not out:
            break
    assert replies == 10_000
    assert engine.unread == 0
