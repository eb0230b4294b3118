"""The protocol engines: however the octets are cut, the events are the same, and only `ProtocolError` escapes.

Each conversation is held three times: in one piece, cut at places that follow from the octets, and octet by octet. TLS
is refused in these, since what may follow it depends on where the cut is; the targets that end in `-tls` begin it, and
see only that nothing breaks and nothing from before is run.
"""

import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any, Protocol

from fuzz.target import Shape, Target, named
from posthouse.mail.address import Address
from posthouse.mail.envelope import Body, Envelope, RcptTo
from posthouse.mail.peer import Role
from posthouse.mail.reply import Reply
from posthouse.wire import pop3, sasl
from posthouse.wire.buffer import ProtocolError
from posthouse.wire.imap import commands
from posthouse.wire.imap import engine as imap
from posthouse.wire.imap.table import ROWS
from posthouse.wire.smtp import events as smtp
from posthouse.wire.smtp.client import ClientEngine, ClientSettings
from posthouse.wire.smtp.server import ServerEngine, Settings
from posthouse.wire.smtp.table import VERBS

OCTET_BY_OCTET = 600
"""Up to so many octets a conversation is also held octet by octet."""

Transcript = list[object]


class Engine(Protocol):
    def feed(self, octets: bytes) -> None: ...
    def next_event(self) -> Any: ...
    def take(self) -> bytes: ...


React = Callable[[Any, Any, Transcript], None]


def held(engine: Engine, pieces: Iterable[bytes], react: React) -> tuple[Transcript, bytes]:
    """What happened and what was said, as a door would drive it."""
    told: Transcript = []
    said = b""
    for piece in (b"", *pieces):
        engine.feed(piece)
        while True:
            while (event := engine.next_event()) is not None:
                react(engine, event, told)
            more = engine.take()
            if not more:
                break
            said += more
    _spoilt(told)
    return told, said


def cuts(octets: bytes) -> Iterable[Sequence[bytes]]:
    """The ways to send them."""
    yield [octets]
    chance = random.Random(sha256(octets).digest())
    edges = sorted({0, len(octets), *(chance.randint(0, len(octets)) for _ in range(8))})
    yield [octets[a:b] for a, b in itertools.pairwise(edges)]
    if len(octets) <= OCTET_BY_OCTET:
        yield [octets[i : i + 1] for i in range(len(octets))]


def conversation(make: Callable[[], Engine], react: React) -> Callable[[bytes], Shape]:
    """A target's `run` for an engine to which every cut is the same."""

    def run(octets: bytes) -> Shape:
        first, *others = [held(make(), pieces, react) for pieces in cuts(octets)]
        for other in others:
            assert other == first, f"cut differently it came to\n{other}\ninstead of\n{first}"
        return _shape(*first)

    return run


def _shape(told: Transcript, said: bytes) -> Shape:
    """Which kinds of events followed upon which, and which answers there were."""
    kinds = [type(each).__name__ for each in told]
    return sorted(set(itertools.pairwise(kinds))), sorted({line[:4] for line in said.split(b"\r\n")})


def _note(told: Transcript, octets: bytes) -> None:
    """The pieces of a body are compared as one."""
    if told and isinstance(told[-1], bytearray):
        told[-1] += octets
    else:
        told.append(bytearray(octets))


def _spoilt(told: Transcript) -> None:
    """How much of a body was given that is refused, or never ends, depends on where its flaw was seen."""
    if told and isinstance(told[-1], bytearray):
        told.pop()


# --- SMTP, as the server --------------------------------------------------------------------------------


def _smtp(engine: ServerEngine, event: smtp.ServerEvent, told: Transcript) -> None:
    if isinstance(event, smtp.BodyChunk):
        assert event.octets, "an empty piece"
        _note(told, event.octets)
        return
    if isinstance(event, smtp.Reset) or (isinstance(event, smtp.BodyEnd) and event.flaw is not None):
        _spoilt(told)
    told.append(event)
    match event:
        case smtp.Reset():
            return
        case smtp.Mail(envelope) if envelope.mail_from is not None and envelope.mail_from.local_part == "no":
            engine.answer(Reply(550, "5.7.1", "Not you"))
        case smtp.Rcpt(rcpt) if rcpt.address.local_part == "no":
            engine.answer(Reply(550, "5.1.1", "Nobody"))
        case smtp.BodyEnd(_, size, flaw):
            body = told[-2] if len(told) > 1 and isinstance(told[-2], bytearray) else b""
            assert flaw is not None or size == len(body), "a body of another size than was given"
            engine.answer(Reply(250, "2.0.0", "Taken"))
        case smtp.StartTls():
            engine.answer(Reply(454, "4.7.0", "Not now"))
        case smtp.Auth(_, None):
            engine.challenge(b"")
        case smtp.Auth(_, initial):
            engine.answer(Reply(235 if initial == b"yes" else 535, "2.7.0", "So it is"))
        case smtp.AuthResponse(octets):
            engine.answer(Reply(235 if octets == b"yes" else 535, "2.7.0", "So it is"))
        case _:
            engine.answer(Reply(250, "2.0.0", "OK"))


def _smtp_server(**settings: Any) -> Callable[[], ServerEngine]:
    def make() -> ServerEngine:
        engine = ServerEngine(Settings("mx.posthouse.test", **settings))
        engine.greet()
        return engine

    return make


def _smtp_tls(octets: bytes) -> Shape:
    """STARTTLS is taken: what came in the clear is never run behind it."""
    engine = _smtp_server(starttls=True)()

    def react(engine: ServerEngine, event: smtp.ServerEvent, told: Transcript) -> None:
        if not isinstance(event, smtp.StartTls):
            _smtp(engine, event, told)
            return
        engine.answer(Reply(220, "2.0.0", "Go ahead"))
        told.append(event)
        engine.feed(b"MAIL FROM:<injected@r.test>\r\n")
        engine.start_tls_done()
        assert engine.closed, "what came in the clear is kept"

    return _shape(*held(engine, [octets], react))


# --- SMTP, as the client --------------------------------------------------------------------------------

_LETTER = Envelope(
    Address.parse("a@posthouse.test"),
    (RcptTo(Address.parse("b@far.test")), RcptTo(Address.parse("c@far.test"))),
    Body.SEVEN_BIT,
)


def _smtp_client(octets: bytes) -> Shape:
    first, *others = [_relayed(pieces) for pieces in cuts(octets)]
    for other in others:
        assert other == first, f"cut differently it came to\n{other}\ninstead of\n{first}"
    return first


def _relayed(pieces: Iterable[bytes]) -> list[str]:
    """What a server's words come to when two letters are given to it."""
    engine = ClientEngine(ClientSettings("us.test"))
    told: list[str] = []
    letters = 0
    try:
        for piece in pieces:
            engine.feed(piece)
            while True:
                event = engine.next_event()
                if event is None:
                    out = engine.take()
                    assert b"\r" not in out.replace(b"\r\n", b"") and b"\n" not in out.replace(b"\r\n", b"")
                    if not out:
                        break
                    continue
                told.append(_heard(event))
                match event:
                    case smtp.Greeted(reply) if reply.is_positive:
                        engine.hello()
                    case smtp.BodyWanted():
                        engine.body(b"Subject: x\r\n\r\n.dot\n", last=True)
                    case smtp.Ready(reply) if not reply.is_positive:
                        engine.quit()
                    case smtp.Ready() | smtp.Settled() if letters < 2 and not engine.closed:
                        letters += 1
                        engine.transact(_LETTER, 19)
    except ProtocolError as error:
        told.append(str(error)[:40])
        engine.lost("nonsense")
        while (event := engine.next_event()) is not None:
            told.append(_heard(event))
    return told


def _heard(event: smtp.ClientEvent) -> str:
    if isinstance(event, smtp.Settled):
        assert len(event.replies) == len(_LETTER.rcpt_to)
        return f"Settled {[reply.code for reply in event.replies]} {event.in_doubt} {event.unasked}"
    reply = getattr(event, "reply", None)
    return f"{type(event).__name__} {reply.code if reply is not None else ''}"


# --- IMAP -----------------------------------------------------------------------------------------------


def _imap(engine: imap.ServerEngine, event: imap.Event, told: Transcript) -> None:
    if isinstance(event, imap.AppendChunk):
        _note(told, event.octets)
        return
    if isinstance(event, imap.AppendEnd) and event.flaw:
        _spoilt(told)
    told.append(event)
    match event:
        case imap.Request(_, commands.Authenticate(_, None) | commands.Append() | commands.Idle()):
            engine.proceed()
        case imap.Request(_, commands.StartTls()):
            engine.complete(imap.Status.NO, "Not now")
        case imap.Request(_, command):
            engine.untagged(b"* OK %b\r\n" % type(command).__name__.encode())
            engine.complete(imap.Status.OK, "Done")
        case imap.AuthResponse(octets):
            engine.complete(imap.Status.OK if octets else imap.Status.NO, "So it is")
        case imap.AppendEnd(flaw) | imap.Done(flaw):
            engine.complete(imap.Status.BAD if flaw else imap.Status.OK, flaw or "Done")


def _imap_server(login: bool) -> Callable[[], imap.ServerEngine]:
    def make() -> imap.ServerEngine:
        engine = imap.ServerEngine(imap.Settings(tls=True, mechanisms=("PLAIN",), append_limit=5_000))
        engine.greet("mx.posthouse.test")
        if login:
            held(engine, [b"l LOGIN a b\r\ns SELECT INBOX\r\n"], _imap)
        return engine

    return make


# --- POP3 -----------------------------------------------------------------------------------------------

_DROP = pop3.Maildrop((120, 200, 300), ("7.1", "7.2", "7.5"))
_TEXT = b"Subject: one\r\nX: y\r\n\r\nfirst\r\n.dot\r\n..two\r\nlast\r\n"


def _pop3(engine: pop3.ServerEngine, event: pop3.Event, told: Transcript) -> None:
    told.append(event)
    match event:
        case pop3.Pass("no"):
            engine.err("no", "AUTH")
        case pop3.Pass() | pop3.AuthResponse(octets=bytes()):
            engine.opened(_DROP)
        case pop3.AuthResponse():
            engine.err("given up")
        case pop3.Auth(_, None):
            engine.challenge(b"")
        case pop3.Auth():
            engine.opened(_DROP)
        case pop3.Retrieve():
            for at in range(0, len(_TEXT), 7):
                if not engine.text(_TEXT[at : at + 7]):
                    break
            engine.text_end()
        case pop3.Quit():
            engine.ok("goodbye")
        case pop3.StartTls():
            raise AssertionError("STLS is not on offer where TLS is active")


def _pop3_server(login: bool) -> Callable[[], pop3.ServerEngine]:
    def make() -> pop3.ServerEngine:
        engine = pop3.ServerEngine("mx.example.org", "Posthouse-1", tls_available=True, tls_active=True)
        engine.mechanisms = ("PLAIN", "SCRAM-SHA-256")
        if login:
            held(engine, [b"USER a\r\nPASS b\r\n"], _pop3)
        return engine

    return make


# --- SASL -----------------------------------------------------------------------------------------------

_KEYS = sasl.derive("secret", b"0123456789abcdef", 1)


def _sasl_server(octets: bytes) -> Shape:
    """The first line names the mechanism, the others are the client's responses."""
    name, *responses = octets.split(b"\n")
    try:
        mechanism = sasl.start(name.decode("latin-1"), nonce=b"fyko+d2lbbFgONRv9qkxdawL")
    except sasl.SaslError:
        return "unknown"
    shape: list[str] = []
    for response in (None, *responses) if not responses or not responses[0] else responses:
        step = mechanism.step(response)
        if isinstance(step, sasl.NeedKeys):
            shape.append("NeedKeys")
            step = mechanism.keys(_KEYS)
        shape.append(type(step).__name__)
        if not isinstance(step, sasl.Challenge):
            break
    return shape


def _sasl_client(octets: bytes) -> Shape:
    """The first line is what the server offers, the others are its challenges."""
    offered, *challenges = octets.split(b"\n")
    try:
        mechanism = sasl.choose(
            offered.decode("latin-1").split(), "user", "secret", nonce=b"rOprNGfwEbeRWgbNEkqO", tls=True
        )
        answers = [len(mechanism.respond(challenge)) for challenge in challenges]
    except sasl.SaslError as error:
        return str(error)[:40]
    return mechanism.name, answers, mechanism.verified


# --- all of them ----------------------------------------------------------------------------------------

_HELLO = b"EHLO client.test\r\n"
_FLIGHT = _HELLO + b"MAIL FROM:<a@far.test> SIZE=30\r\nRCPT TO:<b@posthouse.test>\r\n"
_SMTP_SEEDS = (
    _FLIGHT + b"DATA\r\nSubject: x\r\n\r\nhello\r\n..dot\r\n.\r\nQUIT\r\n",
    _FLIGHT + b"BDAT 14\r\nSubject: x\r\n\r\nBDAT 7 LAST\r\nhello\r\nRSET\r\nNOOP\r\n",
    (
        b"HELO client.test\r\nMAIL FROM:<>\r\nRCPT TO:<no@x.test>\r\nRCPT TO:<postmaster>\r\nDATA\r\n"
        b".\r\nVRFY a\r\nHELP\r\n"
    ),
    _HELLO
    + "MAIL FROM:<jörg@bücher.test> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=<>\r\n".encode()
    + b"RCPT TO:<b@x.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;c+2Bx@y.test\r\nDATA\r\n\xc3\xa9\r\n.\r\n",
    _HELLO + b"STARTTLS\r\n" + _FLIGHT,
    _HELLO + b"AUTH PLAIN eWVz\r\nAUTH LOGIN\r\neWVz\r\nAUTH PLAIN =\r\n*\r\n" + _FLIGHT,
    _FLIGHT + b"DATA\r\nx\n.\r\ny\r\n.\n\r\n.\r.\r\n\0\r\n.\r\n",
)
_SMTP_WORDS = (
    *(verb.encode() + b" " for verb in VERBS),
    b"\r\n.\r\n",
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r\n.\n",
    b".\r\n",
    b"..",
    b"<a@b.test>",
    b"<>",
    b" SIZE=",
    b" BODY=BINARYMIME",
    b" LAST\r\n",
    b"BDAT 0 LAST\r\n",
    b"FROM:",
    b"TO:",
    b"+3D",
    b"xtext",
)
_REPLIES = (
    (
        b"220 far.test\r\n250-far.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 "
        b"DSN\r\n250 ok\r\n250 ok\r\n"
        b"550 5.1.1 no\r\n354 go\r\n250 2.0.0 taken\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"
        b"451 4.3.0 later\r\n221 bye\r\n"
    ),
    b"220-far\r\n220 test\r\n502 no\r\n250 far\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n",
    b"554 go away\r\n",
    b"421 4.3.2 closing\r\n",
    b"220 x\r\n250 x\r\n421 bye\r\n",
)
_IMAP_SEEDS = (
    (
        b'a LOGIN "us\\"er" {3}\r\nabc\r\nb SELECT INBOX\r\nc FETCH 1:* (FLAGS BODY.PEEK[1.2.HEADER.FIELDS'
        b" (Subject)]<0.9>)\r\n"
    ),
    b"a AUTHENTICATE PLAIN\r\nAGEAYg==\r\nb IDLE\r\nDONE\r\nc LOGOUT\r\n",
    b'a APPEND INBOX (\\Seen $Work) " 1-Feb-2020 12:00:00 +0100" {5+}\r\nhello\r\nb APPEND x {3}\r\nabc\r\nc NOOP\r\n',
    b"a SEARCH CHARSET UTF-8 OR (NOT SEEN) (SINCE 1-Jan-2020 SUBJECT {2+}\r\nhi UID 1:9,*) LARGER 5\r\n",
    b'a UID STORE 1:5,7 +FLAGS.SILENT (\\Deleted \\Flagged)\r\nb UID EXPUNGE 1:9\r\nc MOVE 1:3 "&AOk-/x"\r\n',
    (
        b'a LIST "" (INBOX %* "a b")\r\nb LSUB "" *\r\nc STATUS x (MESSAGES UIDNEXT)\r\nd RENAME '
        b'a b\r\ne ID ("name" NIL)\r\n'
    ),
    b"a ENABLE CONDSTORE\r\nb STARTTLS\r\nc UNSELECT\r\nd CAPABILITY\r\ne CREATE {4}\r\na/&-\r\n",
)
_IMAP_WORDS = (
    *(row.name.encode() + b" " for row in ROWS.values()),
    b"{3}\r\n",
    b"{3+}\r\n",
    b"{99999999999}\r\n",
    b"{0+}\r\n",
    b"BODY[",
    b"BODY.PEEK[",
    b"]<",
    b"1:*",
    b"1,2:4,*",
    b"NIL",
    b"\\Seen",
    b"NOT ",
    b"OR ",
    b"KEYWORD ",
    b"HEADER ",
    b"(((((",
    b"&AOk-",
    b"DONE\r\n",
    b" ALL",
    b"x NOOP\r\n",
)
_POP3_SEEDS = (
    b"CAPA\r\nUSER a\r\nPASS b c\r\nSTAT\r\nLIST\r\nUIDL 2\r\nTOP 1 3\r\nRETR 2\r\nDELE 1\r\nRSET\r\nNOOP\r\nQUIT\r\n",
    b"AUTH PLAIN\r\nAGEAYg==\r\nLIST 1\r\n",
    b"STLS\r\nAUTH SCRAM-SHA-256 biws\r\n*\r\n",
    b"PASS no\r\nUSER \r\n",
)
_POP3_WORDS = (
    b"USER ",
    b"PASS ",
    b"RETR ",
    b"TOP ",
    b"LIST",
    b"UIDL",
    b"DELE ",
    b"AUTH ",
    b"STLS\r\n",
    b"QUIT\r\n",
    b"\r\n",
)
_SASL_SEEDS = (
    b"PLAIN\n\0user\0secret",
    b"PLAIN\n\n\0user\0secret",
    b"LOGIN\n\nuser\nsecret",
    b"SCRAM-SHA-256\nn,,n=user,r=rOprNGfwEbeRWgbNEkqO\nc=biws,r=rOprNGfwEbeRWgbNEkqOfyko+d2lbbFgONRv9qkxdawL,p=AAAA",
    b"SCRAM-SHA-256\nn,a=adm=2Cin,n=us=3Der,r=x\n",
    b"SCRAM-SHA-256-PLUS\np=tls-exporter,,n=user,r=x\n",
)
_SASL_CLIENT_SEEDS = (
    b"SCRAM-SHA-256 PLAIN\n\nr=rOprNGfwEbeRWgbNEkqOfyko,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=1\nv=AAAA",
    b"PLAIN\n",
    b"LOGIN\nVXNlcg\nUGFzcw",
)
_SASL_WORDS = (
    b"n,,",
    b"y,,",
    b"p=tls-exporter,,",
    b"n=",
    b"r=",
    b"c=biws",
    b"p=",
    b"i=4096",
    b"s=",
    b"v=",
    b"m=x",
    b"=2C",
    b"\n",
    b"\0",
)

TARGETS = named(
    Target("smtp-server", conversation(_smtp_server(), _smtp), _SMTP_SEEDS, _SMTP_WORDS),
    Target(
        "smtp-submission",
        conversation(_smtp_server(role=Role.SUBMISSION, tls=True, mechanisms=("PLAIN", "LOGIN")), _smtp),
        _SMTP_SEEDS,
        _SMTP_WORDS,
    ),
    Target("smtp-tight", conversation(_smtp_server(max_size=20, max_recipients=2), _smtp), _SMTP_SEEDS, _SMTP_WORDS),
    Target("smtp-tls", _smtp_tls, _SMTP_SEEDS, _SMTP_WORDS),
    Target(
        "smtp-client", _smtp_client, _REPLIES, (b"250 ", b"250-", b"354 ", b"421 ", b"550 5.1.1 ", b"SIZE 5", b"\r\n")
    ),
    Target("imap-stranger", conversation(_imap_server(False), _imap), _IMAP_SEEDS, _IMAP_WORDS),
    Target("imap-selected", conversation(_imap_server(True), _imap), _IMAP_SEEDS, _IMAP_WORDS),
    Target("pop3-stranger", conversation(_pop3_server(False), _pop3), _POP3_SEEDS, _POP3_WORDS),
    Target("pop3-maildrop", conversation(_pop3_server(True), _pop3), _POP3_SEEDS, _POP3_WORDS),
    Target("sasl-server", _sasl_server, _SASL_SEEDS, _SASL_WORDS),
    Target("sasl-client", _sasl_client, _SASL_CLIENT_SEEDS, _SASL_WORDS),
)
