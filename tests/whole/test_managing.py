"""Commands on a server that runs: it sees every change at once, and is submitted to like any other."""

import asyncio
import imaplib
import smtplib
from pathlib import Path

import pytest

from cli.program import Outcome, spawn
from posthouse.lab.zone import Fault
from whole.internet import ALICE, BOB, CAROL, Internet, in_internet, letter, octets, until


class Admin:
    """Commands for the host of posthouse.test in a running internet."""

    def __init__(self, folder: Path) -> None:
        self.settings = folder / "posthouse.toml"

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Outcome:
        return spawn(*arguments, "--config", self.settings, stdin=stdin)

    def good(self, *arguments: str, stdin: bytes = b"") -> Outcome:
        done = self(*arguments, stdin=stdin)
        assert done.code == 0, done.err
        return done


def may_log_in(net: Internet, address: str, password: str) -> bool:
    with imaplib.IMAP4_SSL("localhost", net.ports["imaps"], ssl_context=net.trust, timeout=20) as client:
        try:
            client.login(address, password)
        except imaplib.IMAP4.error:
            return False
        return True


def taken(net: Internet, rcpt: str) -> int:
    with smtplib.SMTP("localhost", net.ports["smtp"], timeout=20) as client:
        client.ehlo("stranger.test")
        client.mail("stranger@elsewhere.test")
        return client.rcpt(rcpt)[0]


def play(folder: Path, scene: object) -> None:
    """Run a blocking scene of (net, admin) beside the internet."""
    async def whole(net: Internet) -> None:
        await asyncio.to_thread(scene, net, Admin(folder))  # type: ignore[arg-type]

    in_internet(folder, whole)


def test_accounts_and_aliases_count_from_the_moment_they_are_made(tmp_path: Path) -> None:
    def scene(net: Internet, admin: Admin) -> None:
        assert taken(net, "dora@posthouse.test") == 550
        first = admin.good("account", "add", "dora@posthouse.test", "--json").json["password"]
        assert taken(net, "dora@posthouse.test") == 250
        assert may_log_in(net, "dora@posthouse.test", first)
        second = admin.good("account", "passwd", "dora@posthouse.test", "--generate", "--json").json["password"]
        # The old password was remembered by the door-keeper; it is worth nothing all the same.
        assert not may_log_in(net, "dora@posthouse.test", first)
        assert may_log_in(net, "dora@posthouse.test", second)
        admin.good("account", "remove", "dora@posthouse.test", "--yes")
        assert not may_log_in(net, "dora@posthouse.test", second)
        # Who was there a moment ago may still be promised, but gets nothing.
        until(lambda: taken(net, "dora@posthouse.test"), lambda code: code == 550)
        admin.good("alias", "add", "dora@posthouse.test", BOB)
        assert taken(net, "dora@posthouse.test") == 250
        assert taken(net, "x@new.test") == 550
        admin.good("domain", "add", "new.test")
        admin.good("alias", "add", "@new.test", ALICE)
        assert taken(net, "x@new.test") == 250

    play(tmp_path, scene)


def test_a_mail_program_that_waits_is_told_of_mail_from_the_command_line(tmp_path: Path) -> None:
    def scene(net: Internet, admin: Admin) -> None:
        client = net.imap(BOB)
        client.select("INBOX")
        client.send(b"x IDLE\r\n")
        assert client.readline().startswith(b"+")
        admin.good("send", "--from", ALICE, "--to", BOB, stdin=b"ring\n")
        assert b"1 EXISTS" in client.readline()
        client.send(b"DONE\r\n")
        assert until(client.readline, lambda line: line.startswith(b"x")).startswith(b"x OK")
        client.shutdown()

    play(tmp_path, scene)


@pytest.mark.parametrize("service", ["submission", "submissions"])
def test_send_over_the_network_logs_in_over_tls(tmp_path: Path, service: str) -> None:
    def scene(net: Internet, admin: Admin) -> None:
        scheme = "smtps://" if service == "submissions" else ""
        server = f"{scheme}localhost:{net.ports[service]}"
        order = ("send", "--server", server, "--from", f"Alice <{ALICE}>", "--to", CAROL, "--subject", "Über uns")
        trusting = ("--ca", str(tmp_path / "ca.pem"))
        env = {"POSTHOUSE_PASSWORD": net.passwords[ALICE]}
        done = spawn(*order, *trusting, "--json", stdin="Grüße\n".encode(), env=env)
        assert done.code == 0, done.err
        assert len(done.json["id"]) == 13
        (got,) = net.wait_for(CAROL)
        assert b"Subject: =?" in got
        told = admin.good("trace", done.json["id"]).out
        assert f"{ALICE} logged in with SCRAM-SHA-256" in told
        assert "mx.far.test took it" in told

        for arguments, password, words in (
            (order, net.passwords[ALICE], "certificate"),
            ((*order, *trusting), "wrong", "535 5.7.8"),
            ((*order, *trusting, "--to", "nobody@posthouse.test"), net.passwords[ALICE], "550 5.1.1"),
        ):
            refused = spawn(*arguments, stdin=b"x", env={"POSTHOUSE_PASSWORD": password})
            assert refused.code != 0
            assert words in refused.err
            assert refused.err.count("\n") == 1
        # Nobody got what one recipient was refused for.
        assert len(net.inbox(CAROL)) == 1

    play(tmp_path, scene)


def test_mail_that_is_held_goes_when_it_is_released(tmp_path: Path) -> None:
    def scene(net: Internet, admin: Admin) -> None:
        net.demo.names.fault("far.test", Fault.SERVFAIL)
        net.send(ALICE, [CAROL], octets(letter(ALICE, CAROL, "Later")))
        (message,) = until(
            lambda: admin.good("queue", "list", "--json").json["messages"],
            lambda found: bool(found and found[0]["deliveries"][0]["failures"]),
        )
        identifier = message["id"]
        assert "DNS" in admin.good("queue", "show", identifier).out
        admin.good("queue", "hold", identifier)
        net.demo.names.fault("far.test", None)
        assert admin.good("queue", "retry", "--all", "--json").json == {"retried": 0}
        admin.good("queue", "release", identifier)
        net.wait_for(CAROL)
        assert until(lambda: admin.good("queue", "list", "--json").json["messages"], lambda found: not found) == []

    play(tmp_path, scene)
