"""The courier against servers of every temper: greylisting, hanging, lying, vanishing, and with TLS good and bad."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import uvloop

from posthouse.mail.address import Address
from posthouse.mail.delivery import Outcome
from posthouse.mail.envelope import Body, Envelope, Notify, RcptTo, Ret
from posthouse.route.courier import Handover, Parcel
from posthouse.route.exchanges import Host, SmarthostLogin, TlsRule
from posthouse.serve import tls
from posthouse.serve.relay import CourierSettings, SmtpCourier
from posthouse.store.blobs import Content
from posthouse.wire.smtp.client import ClientSettings
from route.remote import HANG, LOSE, RESET, Remote, listening

BODY = b"From: <a@posthouse.test>\r\nSubject: hello\r\n\r\n.dot\r\nbody\r\n"
PREFIX = b"Received: from a by b\r\n"


def content(octets: bytes = BODY) -> Content:
    return Content(1, sha256(octets).digest(), len(octets), octets, None)


def parcel(octets: bytes = BODY, **envelope: object) -> Parcel:
    given = Envelope(Address.parse("a@posthouse.test"))
    return Parcel(replace(given, **envelope), PREFIX, content(octets))  # type: ignore[arg-type]


def rcpts(*names: str) -> list[RcptTo]:
    return [RcptTo(Address.parse(f"{name}@far.test")) for name in names or ("carol",)]


def host(remote: Remote, *ips: str, **settings: object) -> Host:
    return Host("mx.far.test", ips or ("127.0.0.1",), remote.port, **settings)  # type: ignore[arg-type]


@asynccontextmanager
async def courier(
    trust: ssl.SSLContext | None = None, patience: float = 5.0, **settings: Any
) -> AsyncIterator[SmtpCourier]:
    engine = ClientSettings("us.test", *[patience] * 6)
    made = SmtpCourier(CourierSettings(engine, **settings), lambda: 1_700_000_000_000_000, trust)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Awaitable[None]], None]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def runner(work: Awaitable[None]) -> None:
        async def within() -> None:
            async with asyncio.timeout(30):
                await work

        with asyncio.Runner(loop_factory=factory) as loop:
            loop.run(within())

    return runner


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "mx.pem"
    path.write_bytes(tls.self_made("mx.far.test"))
    return path


@pytest.fixture
def encrypting(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trust(certificate: Path) -> ssl.SSLContext:
    # A certificate that signs itself is no authority; it is trusted as the leaf that it is.
    context = tls.verified(certificate)
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return context


Run = Callable[[Awaitable[None]], None]


async def one(remote: Remote, given: Parcel | None = None, *names: str, **settings: object) -> Handover:
    async with listening(remote), courier() as ours:
        return await ours.deliver(host(remote, **settings), given or parcel(), rcpts(*names))


def outcomes(handover: Handover) -> list[tuple[Outcome, int]]:
    return [(attempt.outcome, attempt.reply.code) for attempt in handover.attempts]


def test_a_message_arrives_octet_by_octet_with_its_prefix(run: Run) -> None:
    async def work() -> None:
        remote = Remote()
        handover = await one(remote)
        assert outcomes(handover) == [(Outcome.DELIVERED, 250)]
        assert (handover.reached, handover.final, handover.dsn) == (True, False, True)
        (mail,) = remote.mails
        assert (mail.mail_from, mail.rcpt_to, mail.octets) == ("a@posthouse.test", ["carol@far.test"], PREFIX + BODY)
        (attempt,) = handover.attempts
        assert (attempt.host, attempt.ip, attempt.reply.text) == ("mx.far.test", "127.0.0.1", "taken")

    run(work())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.1 is the only address of loopback")
def test_mail_leaves_from_the_address_that_the_settings_name(run: Run) -> None:
    async def work() -> None:
        remote = Remote()
        for sources in (("2001:db8::25", "127.0.0.25"), ("2001:db8::25",)):
            async with listening(remote), courier(sources=sources) as ours:
                assert (await ours.deliver(host(remote), parcel(), rcpts())).reached
        assert remote.callers == ["127.0.0.25", "127.0.0.1"]

    run(work())


def test_a_large_body_is_streamed_from_its_file(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        octets = b"Subject: large\r\n\r\n" + b"x" * 76 + b"\r\n" * 1
        octets += (b"y" * 76 + b"\r\n") * 50_000
        path = tmp_path / "blob"
        path.write_bytes(octets)
        remote = Remote()
        large = Parcel(
            Envelope(None), PREFIX, Content(2, sha256(octets).digest(), len(octets), None, path)
        )
        handover = await one(remote, large)
        assert outcomes(handover) == [(Outcome.DELIVERED, 250)]
        assert remote.mails[0].octets == PREFIX + octets

    run(work())


def test_a_body_that_cannot_be_read_is_never_ended(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        remote = Remote()
        lost = Parcel(Envelope(None), PREFIX, Content(2, b"", 1000, None, tmp_path / "gone"))
        handover = await one(remote, lost)
        assert outcomes(handover) == [(Outcome.TRANSIENT, 451)]
        assert not handover.final
        assert remote.mails == []

    run(work())


def test_each_recipient_gets_its_own_reply(run: Run) -> None:
    async def work() -> None:
        said = {"u": "550 5.1.1 no", "g": "451 4.7.1 greylisted", "f": "452 4.2.2 full"}
        remote = Remote({"RCPT": lambda text: said.get(text[9])})
        handover = await one(remote, None, "carol", "u", "g", "dave", "f")
        assert outcomes(handover) == [
            (Outcome.DELIVERED, 250), (Outcome.PERMANENT, 550), (Outcome.TRANSIENT, 451), (Outcome.DELIVERED, 250),
            (Outcome.TRANSIENT, 452),
        ]
        assert remote.mails[0].rcpt_to == ["carol@far.test", "dave@far.test"]

    run(work())


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(
    ("verb", "reply", "outcome"),
    [
        ("MAIL", "451 4.3.0 later", Outcome.TRANSIENT),
        ("MAIL", "550 5.7.1 never", Outcome.PERMANENT),
        ("RCPT", "450 4.2.0 greylisted", Outcome.TRANSIENT),
        ("RCPT", "550 5.1.1 unknown", Outcome.PERMANENT),
        ("DATA", "451 4.3.0 later", Outcome.TRANSIENT),
        ("DATA", "554 5.3.0 never", Outcome.PERMANENT),
        ("END", "451 4.3.0 later", Outcome.TRANSIENT),
        ("END", "554 5.7.1 spam", Outcome.PERMANENT),
        ("MAIL", "421 4.3.2 closing", Outcome.TRANSIENT),
        ("RCPT", "421 4.3.2 closing", Outcome.TRANSIENT),
        ("END", "421 4.3.2 closing", Outcome.TRANSIENT),
    ],
)
def test_a_refusal_at_any_step_is_the_recipients_result(
    run: Run, pipelining: bool, verb: str, reply: str, outcome: Outcome
) -> None:
    async def work() -> None:
        remote = Remote({verb: reply})
        if not pipelining:
            remote.capabilities.remove("PIPELINING")
        handover = await one(remote)
        assert [(a.outcome, str(a.reply)) for a in handover.attempts] == [(outcome, reply)]
        assert handover.reached
        assert not handover.final
        assert remote.mails == []

    run(work())


@pytest.mark.parametrize("how", [LOSE, RESET])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
def test_a_connection_lost_before_the_body_may_be_tried_elsewhere(run: Run, verb: str, how: str) -> None:
    async def work() -> None:
        handover = await one(Remote({verb: how}))
        assert outcomes(handover) == [(Outcome.TRANSIENT, 451)]
        assert not handover.final

    run(work())


@pytest.mark.parametrize("how", [LOSE, RESET])
def test_a_lost_final_reply_is_transient_noted_and_final(run: Run, how: str) -> None:
    async def work() -> None:
        remote = Remote({"END": how})
        handover = await one(remote)
        assert outcomes(handover) == [(Outcome.TRANSIENT, 451)]
        assert handover.final
        assert "may have been taken" in handover.attempts[0].reply.text
        assert len(remote.mails) == 1

    run(work())


@pytest.mark.parametrize(("verb", "final"), [("EHLO", False), ("RCPT", False), ("DATA", False), ("END", True)])
def test_a_server_that_hangs_is_left_when_patience_ends(run: Run, verb: str, final: bool) -> None:
    async def work() -> None:
        remote = Remote({verb: HANG})
        async with listening(remote), courier(patience=0.1) as ours:
            handover = await ours.deliver(host(remote), parcel(), rcpts())
        assert outcomes(handover) == [(Outcome.TRANSIENT, 451)]
        assert handover.reached is (verb != "EHLO")
        assert handover.final is final

    run(work())


def test_a_server_that_dribbles_wins_no_time(run: Run) -> None:
    ended: list[str] = []

    async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for octet in b"220-" + b"x" * 100:
                writer.write(bytes([octet]))
                await writer.drain()
                await asyncio.sleep(0.02)
            ended.append("all said")
        except (ConnectionError, RuntimeError):  # the latter is uvloop's for a transport that was closed
            ended.append("cut off")
        finally:
            writer.close()

    async def work() -> None:
        server = await asyncio.start_server(dribble, "127.0.0.1", 0)
        remote = Remote(port=server.sockets[0].getsockname()[1])
        async with courier(patience=0.2) as ours:
            handover = await ours.deliver(host(remote), parcel(), rcpts())
            while not ended:
                await asyncio.sleep(0.01)
        server.close()
        assert not handover.reached
        assert ended == ["cut off"]

    run(work())


def test_nonsense_from_the_server_is_transient(run: Run) -> None:
    async def work() -> None:
        for verb in ("GREETING", "EHLO", "MAIL", "END"):
            handover = await one(Remote({verb: "hello sailor"}))
            assert outcomes(handover) == [(Outcome.TRANSIENT, 451)]

    run(work())


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [("554 5.7.1 not you", Outcome.TRANSIENT), ("421 later", Outcome.TRANSIENT), ("521 no mail", Outcome.PERMANENT)],
)
def test_a_host_that_does_not_greet_was_not_reached(run: Run, reply: str, outcome: Outcome) -> None:
    async def work() -> None:
        handover = await one(Remote({"GREETING": reply}))
        assert not handover.reached
        assert [(a.outcome, str(a.reply)) for a in handover.attempts] == [(outcome, reply)]

    run(work())


def test_the_next_address_is_tried_when_one_cannot_be_reached(run: Run) -> None:
    async def work() -> None:
        remote = Remote()
        async with listening(remote, "127.0.0.3"), courier() as ours:
            handover = await ours.deliver(host(remote, "127.0.0.2", "127.0.0.3"), parcel(), rcpts())
        assert outcomes(handover) == [(Outcome.DELIVERED, 250)]
        assert handover.attempts[0].ip == "127.0.0.3"

    run(work())


def test_a_host_without_a_listening_port_was_not_reached(run: Run) -> None:
    async def work() -> None:
        async with listening(Remote()) as remote:
            port = remote.port
        async with courier() as ours:
            gone = Host("mx.far.test", ("127.0.0.1", "127.0.0.2"), port)
            handover = await ours.deliver(gone, parcel(), rcpts("carol", "dave"))
        assert not handover.reached
        assert outcomes(handover) == [(Outcome.TRANSIENT, 451)] * 2
        assert "cannot be reached" in handover.attempts[0].reply.text

    run(work())


# --- connections kept -----------------------------------------------------------------------------------


def test_several_messages_use_one_connection(run: Run) -> None:
    async def work() -> None:
        remote = Remote()
        async with listening(remote), courier() as ours:
            for _ in range(5):
                assert (await ours.deliver(host(remote), parcel(), rcpts())).reached
        assert remote.connections == 1
        assert len(remote.mails) == 5

    run(work())


def test_a_refused_transaction_leaves_the_connection_usable(run: Run) -> None:
    async def work() -> None:
        remote = Remote({"RCPT": lambda text: "550 5.1.1 no" if "nobody" in text else None})
        async with listening(remote), courier() as ours:
            first = await ours.deliver(host(remote), parcel(), rcpts("nobody"))
            second = await ours.deliver(host(remote), parcel(), rcpts())
        assert [outcomes(first), outcomes(second)] == [[(Outcome.PERMANENT, 550)], [(Outcome.DELIVERED, 250)]]
        assert remote.connections == 1
        assert remote.mails[0].rcpt_to == ["carol@far.test"]

    run(work())


def test_a_connection_is_used_only_so_often(run: Run) -> None:
    async def work() -> None:
        remote = Remote()
        async with listening(remote), courier(transactions=2) as ours:
            for _ in range(5):
                await ours.deliver(host(remote), parcel(), rcpts())
        assert [mail.connection for mail in remote.mails] == [1, 1, 2, 2, 3]

    run(work())


def test_an_idle_connection_is_left_politely(run: Run) -> None:
    async def work() -> None:
        remote = Remote()
        async with listening(remote), courier(idle=0.05) as ours:
            await ours.deliver(host(remote), parcel(), rcpts())
            while remote.open_now:
                await asyncio.sleep(0.01)
            assert remote.commands[-1] == "QUIT"
            await ours.deliver(host(remote), parcel(), rcpts())
        assert remote.connections == 2

    run(work())


@pytest.mark.parametrize("how", [LOSE, RESET, "421 4.4.2 timeout"])
def test_a_connection_that_died_while_put_aside_says_nothing_about_the_host(run: Run, how: str) -> None:
    async def work() -> None:
        seen: list[str] = []

        def second_only(text: str) -> str | None:
            seen.append(text)
            return how if len(seen) == 2 else None

        remote = Remote({"MAIL": second_only})
        async with listening(remote), courier() as ours:
            for _ in range(2):
                handover = await ours.deliver(host(remote), parcel(), rcpts())
                assert outcomes(handover) == [(Outcome.DELIVERED, 250)]
        assert [mail.connection for mail in remote.mails] == [1, 2]

    run(work())


def test_a_lost_final_reply_on_a_kept_connection_is_not_sent_again(run: Run) -> None:
    async def work() -> None:
        ends: list[str] = []

        def second_only(text: str) -> str | None:
            ends.append(text)
            return LOSE if len(ends) == 2 else None

        remote = Remote({"END": second_only})
        async with listening(remote), courier() as ours:
            await ours.deliver(host(remote), parcel(), rcpts())
            handover = await ours.deliver(host(remote), parcel(), rcpts())
        assert handover.final
        assert len(remote.mails) == 2

    run(work())


def test_a_courier_that_is_stopped_leaves_no_connection(run: Run) -> None:
    async def work() -> None:
        remote = Remote({"END": HANG})
        async with listening(remote), courier() as ours:
            task = asyncio.create_task(ours.deliver(host(remote), parcel(), rcpts()))
            while not remote.open_now or "DATA" not in remote.commands:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while remote.open_now:
                await asyncio.sleep(0.01)
        assert remote.mails == []

    run(work())


# --- what the server offers -----------------------------------------------------------------------------


def test_what_the_message_needs_and_the_server_lacks_is_permanent(run: Run) -> None:
    async def work() -> None:
        for lacking, given, code in (
            ("8BITMIME", parcel(body=Body.EIGHT_BIT_MIME), "5.6.3"),
            ("SMTPUTF8", parcel(smtputf8=True), "5.6.7"),
        ):
            remote = Remote()
            remote.capabilities.remove(lacking)
            handover = await one(remote, given)
            assert [(a.outcome, a.reply.enhanced) for a in handover.attempts] == [(Outcome.PERMANENT, code)]
            assert handover.unfit
            assert remote.commands == ["EHLO us.test", "QUIT"]
            assert not (await one(Remote(), given)).unfit
        remote = Remote()
        remote.capabilities[-1] = "SIZE 10"
        handover = await one(remote)
        assert [(a.outcome, a.reply.enhanced) for a in handover.attempts] == [(Outcome.PERMANENT, "5.3.4")]
        assert handover.unfit

    run(work())


def test_dsn_parameters_go_to_servers_that_keep_them_only(run: Run) -> None:
    async def work() -> None:
        asked = [RcptTo(Address.parse("c@far.test"), "rfc822;c+x@far.test", Notify.SUCCESS | Notify.FAILURE)]
        given = parcel(ret=Ret.HDRS, envid="id=1")
        for keeps in (True, False):
            remote = Remote()
            if not keeps:
                remote.capabilities.remove("DSN")
            async with listening(remote), courier() as ours:
                handover = await ours.deliver(host(remote), given, asked)
            assert handover.dsn is keeps
            said = " ".join(remote.commands)
            for words in ("RET=HDRS", "ENVID=id+3D1", "NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;c+2Bx@far.test"):
                assert (words in said) is keeps

    run(work())


def test_a_server_without_ehlo_gets_helo(run: Run) -> None:
    async def work() -> None:
        remote = Remote({"EHLO": "500 what?"})
        handover = await one(remote)
        assert outcomes(handover) == [(Outcome.DELIVERED, 250)]
        assert "HELO us.test" in remote.commands

    run(work())


# --- TLS ------------------------------------------------------------------------------------------------


def test_starttls_is_used_where_offered_whatever_the_certificate(run: Run, encrypting: ssl.SSLContext) -> None:
    async def work() -> None:
        remote = Remote(tls=encrypting)
        handover = await one(remote)
        assert remote.mails[0].tls
        assert handover.attempts[0].tls.startswith("TLSv1.3 ")
        assert remote.commands.count("EHLO us.test") == 2
        assert (await one(remote, tls=TlsRule.NEVER)).attempts[0].tls == ""

    run(work())


def test_a_failed_handshake_is_followed_by_one_plain_try(run: Run) -> None:
    async def work() -> None:
        nothing_in_common = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        remote = Remote(tls=nothing_in_common)  # without a certificate, no handshake ends well
        handover = await one(remote)
        assert outcomes(handover) == [(Outcome.DELIVERED, 250)]
        assert not remote.mails[0].tls
        assert remote.connections == 2

    run(work())


def test_a_server_that_takes_starttls_back_gets_the_mail_plain(run: Run, encrypting: ssl.SSLContext) -> None:
    async def work() -> None:
        remote = Remote({"STARTTLS": "454 4.7.0 not now"}, tls=encrypting)
        handover = await one(remote)
        assert outcomes(handover) == [(Outcome.DELIVERED, 250)]
        assert remote.connections == 1
        handover = await one(remote, tls=TlsRule.REQUIRED)
        assert not handover.reached

    run(work())


def test_octets_behind_starttls_are_never_read_as_replies(run: Run, encrypting: ssl.SSLContext) -> None:
    async def work() -> None:
        injected = b"250 injected\r\n" * 6
        remote = Remote(tls=encrypting, behind_starttls=injected)
        handover = await one(remote, tls=TlsRule.REQUIRED)
        assert not handover.reached
        assert remote.mails == []
        # Without a demand for TLS, the mail goes plain on another connection, and no injected reply counts for it.
        handover = await one(remote)
        assert [str(a.reply) for a in handover.attempts] == ["250 2.0.0 taken"]
        assert [mail.connection for mail in remote.mails] == [remote.connections]

    run(work())


def test_required_tls_takes_a_right_certificate_and_no_other(
    run: Run, encrypting: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    async def work() -> None:
        remote = Remote(tls=encrypting)
        async with listening(remote), courier(trust) as ours:
            good = await ours.deliver(host(remote, tls=TlsRule.REQUIRED), parcel(), rcpts())
            wrong_name = replace(host(remote, tls=TlsRule.REQUIRED), name="other.test")
            bad = await ours.deliver(wrong_name, parcel(), rcpts())
        assert outcomes(good) == [(Outcome.DELIVERED, 250)]
        assert not bad.reached
        assert bad.attempts[0].reply.enhanced == "4.7.5"
        unknown = await one(remote, tls=TlsRule.REQUIRED)
        assert not unknown.reached
        plain = await one(Remote(), tls=TlsRule.REQUIRED)
        assert plain.attempts[0].reply.enhanced == "4.7.4"
        assert len(remote.mails) == 1

    run(work())


def test_a_login_is_never_shown_to_an_unproven_server(
    run: Run, encrypting: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    async def work() -> None:
        login = SmarthostLogin("us", "a secret")
        for rule in TlsRule:
            for encryption in (None, encrypting):
                remote = Remote(tls=encryption)
                remote.capabilities.append("AUTH PLAIN LOGIN")
                handover = await one(remote, tls=rule, login=login)
                assert not handover.reached
                assert not [command for command in remote.commands if command.startswith("AUTH")]
                assert remote.mails == []
        remote = Remote({"AUTH": "235 2.7.0 welcome"}, tls=encrypting)
        remote.capabilities.append("AUTH PLAIN LOGIN")
        async with listening(remote), courier(trust) as ours:
            handover = await ours.deliver(host(remote, login=login), parcel(), rcpts())
        assert outcomes(handover) == [(Outcome.DELIVERED, 250)]
        assert remote.mails[0].tls
        remote = Remote({"AUTH": "535 5.7.8 wrong"}, tls=encrypting)
        remote.capabilities.append("AUTH PLAIN LOGIN")
        async with listening(remote), courier(trust) as ours:
            handover = await ours.deliver(host(remote, login=login), parcel(), rcpts())
        assert not handover.reached
        assert outcomes(handover) == [(Outcome.TRANSIENT, 451)]

    run(work())


def test_implicit_tls_needs_no_starttls(run: Run, encrypting: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    async def work() -> None:
        remote = Remote(tls=encrypting, implicit_tls=True)
        async with listening(remote), courier(trust) as ours:
            where = host(remote, tls=TlsRule.REQUIRED, implicit_tls=True)
            handover = await ours.deliver(where, parcel(), rcpts())
            assert outcomes(handover) == [(Outcome.DELIVERED, 250)]
            assert not (await ours.deliver(replace(where, name="other.test"), parcel(), rcpts())).reached
        assert remote.mails[0].tls
        assert "STARTTLS" not in remote.commands

    run(work())
