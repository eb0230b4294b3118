"""The commands that manage a server, on a fresh one: quickstart, domains, accounts, aliases, sending, queue, traces."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from cli.program import call
from cli.server import YOU, Server
from posthouse.config import load
from posthouse.mail.delivery import Attempt, Outcome, State
from posthouse.mail.instant import HOUR
from posthouse.mail.journey import Stamp, Step
from posthouse.mail.reply import Reply
from posthouse.store import ids, journeys, queue
from posthouse.store.database import Transaction


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "server")


# --- quickstart -----------------------------------------------------------------------------------------


def test_quickstart_makes_all_that_a_server_needs(server: Server) -> None:
    assert server.made.code == 0, server.made.err
    made = server.made.json
    config = load(server.settings)
    assert config.hostname == made["hostname"] == "mx.example.org"
    assert config.data_dir == server.folder / "data"
    assert config.data_dir.stat().st_mode & 0o077 == 0
    assert server.password_is(YOU, made["password"])
    assert server.good("domain", "list", "--json").json["domains"] == [
        {"domain": "example.org", "accounts": 1, "aliases": 0}
    ]
    assert f"serve --config {server.settings}" in made["unit"]
    assert "Type=notify" in made["unit"]
    records = {(record["name"], record["type"]): record["data"] for record in made["records"]}
    assert records["example.org", "MX"] == "10 mx.example.org."
    assert records["mx.example.org", "A"] is None
    assert records["_imaps._tcp.example.org", "SRV"] == "0 1 993 mx.example.org."


def test_quickstart_for_people_is_a_page_to_follow(tmp_path: Path) -> None:
    done = call("quickstart", "jörg@bücher.example", "--dir", tmp_path)
    assert done.code == 0, done.err
    password = re.search(r"password\s+(\S+)", done.out)
    assert password
    assert re.search(r"^ *xn--bcher-kva\.example\. +3600 IN MX +10 mx\.xn--bcher-kva\.example\.$", done.out, re.M)
    # What only the admin knows is commented out, so that nothing wrong gets published.
    assert not re.search(r"^ *mx\S+ +3600 IN A ", done.out, re.M)
    tomllib.loads((tmp_path / "posthouse.toml").read_text())


def test_quickstart_changes_nothing_that_is_there(server: Server) -> None:
    before = server.settings.read_bytes()
    again = call("quickstart", "other@example.net", "--dir", server.folder)
    assert (again.code, again.err.count("\n")) == (1, 1)
    assert server.settings.read_bytes() == before
    server.settings.unlink()
    again = call("quickstart", "other@example.net", "--dir", server.folder)
    assert again.code == 1
    assert not server.settings.exists()


def test_quickstart_needs_a_domain(tmp_path: Path) -> None:
    assert call("quickstart", "you@[192.0.2.1]", "--dir", tmp_path).code == 2
    assert call("quickstart", YOU, "--dir", tmp_path, "--hostname", "no host").code == 2


# --- domains --------------------------------------------------------------------------------------------


def test_domains_come_and_go(server: Server) -> None:
    assert server.good("domain", "add", "Bücher.Example", "--json").json == {"domain": "xn--bcher-kva.example"}
    assert "xn--bcher-kva.example" in server.good("domain", "list").out
    assert "there" in server.refused("domain", "add", "bücher.example")
    server.good("domain", "remove", "bücher.example")
    assert "xn--bcher-kva.example" not in server.good("domain", "list").out
    assert "account" in server.refused("domain", "remove", "example.org")
    assert server("domain", "add", "no domain").code == 2


def test_the_zone_can_be_read_back(server: Server) -> None:
    from posthouse.lab.zone import Zone

    zone = Zone.parse(server.good("domain", "dns", "example.org").out, "example.org")
    assert "MX 10 mx.example.org." in zone.text()
    assert '"v=spf1 mx -all"' in zone.text()


# --- accounts -------------------------------------------------------------------------------------------


def test_an_account_gets_a_password_made_here_typed_or_piped(server: Server) -> None:
    made = server.good("account", "add", "ann@example.org", "--json").json
    assert server.password_is("ann@example.org", made["password"])
    piped = server.good("account", "add", "ben@example.org", "--password-stdin", stdin=b"correct horse\n")
    assert "correct horse" not in piped.out
    assert server.password_is("ben@example.org", "correct horse")
    new = server.good("account", "passwd", "ben@example.org", "--generate", "--json").json["password"]
    assert server.password_is("ben@example.org", new)
    assert not server.password_is("ben@example.org", "correct horse")
    assert len({made["password"], new}) == 2
    assert server.refused("account", "passwd", "ben@example.org", "--password-stdin")


def test_accounts_are_listed_with_what_they_hold(server: Server) -> None:
    assert "control characters" in server.refused("account", "add", "ann@example.org", "--name", "Ann \x1b[31m")
    server.good("account", "add", "ann@example.org", "--name", "Ann B", "--quota", "5GiB", "--generate")
    found = server.good("account", "list", "--json").json["accounts"]
    assert [account["address"] for account in found] == ["ann@example.org", YOU]
    assert found[0]["quota"] == 5 * 2**30
    listed = server.good("account", "list").out
    assert "Ann B" in listed
    assert "5.4 GB" in listed


def test_an_account_is_changed_in_all_that_is_given_together(server: Server) -> None:
    changed = server.good("account", "set", YOU, "--name", "Ann Ä", "--quota", "5GiB", "--suspend", "--json").json
    assert changed["name"] == "Ann Ä"
    assert changed["quota"] == 5 * 2**30
    assert changed["suspended"] is True
    assert server.good("account", "list", "--json").json["accounts"] == [changed]
    assert "suspended" in server("send", "--from", YOU, "--to", YOU, stdin=b"x").err
    told = server.good("account", "set", YOU, "--no-quota", "--resume").out
    assert told == f"{YOU} (Ann Ä): 0 B, no quota.\n"
    changed |= {"quota": None, "suspended": False}
    assert server.good("account", "list", "--json").json["accounts"] == [changed]
    assert server.good("account", "set", YOU, "--name", "", "--json").json == changed | {"name": ""}
    server.good("send", "--from", YOU, "--to", YOU, stdin=b"x")
    assert server.good("account", "set", YOU, "--quota", "0", "--json").json["octets"] > 0
    assert "452 4.2.2" in server("send", "--from", YOU, "--to", YOU, stdin=b"x").err


def test_changes_that_contradict_or_cannot_be_change_nothing(server: Server) -> None:
    for options in ([], ["--quota", "1", "--no-quota"], ["--suspend", "--resume"], ["--quota", "much"]):
        assert server("account", "set", YOU, *options).code == 2
    assert "no account" in server.refused("account", "set", "nobody@example.org", "--suspend")
    assert "control characters" in server.refused("account", "set", YOU, "--quota", "9", "--name", "Ann\r\nBcc: x")
    (account,) = server.good("account", "list", "--json").json["accounts"]
    assert (account["name"], account["quota"], account["suspended"]) == ("", None, False)


def test_accounts_that_cannot_be_are_refused_before_a_password_is_asked_for(server: Server) -> None:
    assert "posthouse domain add" in server.refused("account", "add", "ann@elsewhere.example")
    assert "already" in server.refused("account", "add", YOU)
    assert "no account" in server.refused("account", "passwd", "nobody@example.org", "--generate")
    assert server("account", "add", "a@example.org", "--generate", "--password-stdin").code == 2
    assert server("account", "add", "a@example.org", "--quota", "much").code == 2


def test_an_account_goes_only_when_that_is_meant(server: Server) -> None:
    assert "--yes" in server.refused("account", "remove", YOU)
    server.good("account", "remove", YOU, "--yes")
    assert server.good("account", "list", "--json").json == {"accounts": []}
    assert server.good("account", "list").err == "No account yet: posthouse account add ADDRESS\n"


# --- aliases --------------------------------------------------------------------------------------------


def test_aliases_come_and_go(server: Server) -> None:
    server.good("alias", "add", "team@example.org", YOU, "ben@elsewhere.example")
    server.good("alias", "add", "@example.org", YOU)
    found = server.good("alias", "list", "--json").json["aliases"]
    assert {alias["alias"]: alias["targets"] for alias in found} == {
        "@example.org": [YOU], "team@example.org": [YOU, "ben@elsewhere.example"]
    }
    server.good("alias", "remove", "team@example.org", YOU)
    assert "ben@elsewhere.example" in server.good("alias", "list").out
    server.good("alias", "remove", "team@example.org")
    server.good("alias", "remove", "@example.org")
    assert server.good("alias", "list", "--json").json == {"aliases": []}
    assert server.refused("alias", "remove", "team@example.org")
    assert server.refused("alias", "add", "x@elsewhere.example", YOU)
    assert server("alias", "add", "team", YOU).code == 2


def test_an_alias_that_leads_back_to_itself_is_one_clear_line(server: Server) -> None:
    server.good("alias", "add", "a@example.org", "b@example.org")
    for name, target in (("x@example.org", "x@example.org"), ("b@example.org", "a@example.org")):
        assert f"mail for {name} would go round in a circle: " in server.refused("alias", "add", name, target)
    assert len(server.good("alias", "list", "--json").json["aliases"]) == 1


# --- sending, the queue, journeys -----------------------------------------------------------------------


def test_a_message_sent_on_the_server_can_be_traced(server: Server) -> None:
    sent = server.good(
        "send", "--from", f"Me <{YOU}>", "--to", YOU, "--cc", "Ann <ann@elsewhere.example>", "--subject", "Grüße",
        "--json", stdin="Hällo\n".encode(),
    ).json
    assert sent["recipients"] == [YOU, "ann@elsewhere.example"]
    story = server.good("trace", sent["id"], "--json").json
    assert [stamp["step"] for stamp in story["stamps"]][-1] == "accepted"
    assert {"delivered", "queued"} <= {stamp["step"] for stamp in story["stamps"]}
    for identifier in (story["message_id"], f"<{story['message_id'].strip('<>')}>"):
        assert server.good("trace", identifier, "--json").json == story
    assert server.good("trace", "--json").json == story
    told = server.good("trace", sent["id"]).out
    assert f"put into INBOX of {YOU}" in told
    assert "queued for <ann@elsewhere.example>" in told
    assert sent["id"] in server.good("trace", "--list").out
    assert "no message is known" in server.refused("trace", "0000000000000")
    assert "no message is known" in server.refused("trace", "none@example.org")


def test_the_queue_is_shown_and_changed(server: Server) -> None:
    to = "ann@elsewhere.example"
    first, second = (
        server.good("send", "--from", YOU, "--to", to, "--json", stdin=b"x").json["id"] for _ in range(2)
    )
    listed = server.good("queue", "list", "--json").json["messages"]
    assert [message["id"] for message in listed] == [first, second]
    assert listed[0]["deliveries"][0]["state"] == "waiting"
    assert f"<{to}>" in server.good("queue", "list").out
    assert server.good("queue", "hold", first, second, "--json").json == {"held": 2}
    assert server.good("queue", "show", first, "--json").json["deliveries"][0]["state"] == "held"
    assert "held" in server.good("queue", "show", first).out
    assert server.good("queue", "release", first, "--json").json == {"released": 1}
    for whom in (["--all"], ["--domain", "elsewhere.example"], [first]):
        server.postpone()
        assert "next try in 59 min" in server.good("queue", "list").out
        assert server.good("queue", "retry", *whom, "--json").json == {"retried": 1}
    assert "Nothing was waiting" in server.good("queue", "retry", first).out
    assert server("queue", "retry").code == 2
    server.good("queue", "drop", first, second)
    assert server.good("queue", "list").err == "The queue is empty.\n"
    assert "posthouse trace" in server.refused("queue", "show", first)
    steps = [stamp["step"] for stamp in server.good("trace", first, "--json").json["stamps"]]
    assert steps[-3:] == ["held", "released", "dropped"]
    told = server.good("trace", first).out
    assert "kept back from <ann@elsewhere.example> by the admin" in told
    assert "released to <ann@elsewhere.example> by the admin" in told
    assert "took <ann@elsewhere.example> out of the queue" in told


def test_every_try_names_its_recipient_though_he_is_done_with(server: Server) -> None:
    ann, ben = "ann@elsewhere.example", "ben@elsewhere.example"
    one = server.good("send", "--from", YOU, "--to", ann, "--to", ben, "--json", stdin=b"x").json["id"]

    def end_the_first(tx: Transaction) -> str:
        (claim,) = queue.claim(tx, 2**60, "test", 1, 1)
        gone = claim.deliveries[0]
        attempt = Attempt(0, Outcome.PERMANENT, "mx.elsewhere.example", "192.0.2.1", "", Reply(550, "5.1.1", "No"))
        assert queue.settle(tx, replace(gone, state=State.FAILED), attempt).taken
        return str(gone.rcpt.address)

    gone = server.write(end_the_first)
    shown = server.good("queue", "show", one, "--json").json
    assert [each["address"] for each in shown["attempts"]] == [gone]
    assert [each["address"] for each in shown["deliveries"]] == [ann if gone == ben else ben]
    assert f"<{gone}>   mx.elsewhere.example" in server.good("queue", "show", one).out


def test_dropping_is_all_or_nothing(server: Server) -> None:
    one = server.good("send", "--from", YOU, "--to", "ann@elsewhere.example", "--json", stdin=b"x").json["id"]
    server.refused("queue", "drop", one, "0000000000000")
    assert len(server.good("queue", "list", "--json").json["messages"]) == 1


def test_a_line_of_the_list_names_a_few_recipients(server: Server) -> None:
    to = [option for number in range(9) for option in ("--to", f"r{number}@elsewhere.example")]
    server.good("send", "--from", YOU, *to, stdin=b"x")
    listed = server.good("trace", "--list").out
    assert "<r0@elsewhere.example>, <r1@elsewhere.example>, <r2@elsewhere.example>, 6 more" in listed
    assert "9 waiting" in listed
    assert "r3@" not in listed


def test_the_list_tells_when_a_message_came_and_not_when_its_connection_did(server: Server) -> None:
    at = 1_750_000_000_000_000

    def begin(tx: Transaction) -> None:
        journeys.begin(tx, ids.at(at), "1@far.test", [Stamp(at - HOUR, Step.CONNECTED), Stamp(at, Step.ACCEPTED)])

    server.write(begin)
    assert "2025-06-15T15:06:40Z" in server.good("trace", "--list").out


def test_a_message_goes_to_all_or_to_none(server: Server) -> None:
    error = server("send", "--from", YOU, "--to", YOU, "--to", "nobody@example.org", stdin=b"x")
    assert error.code == 1
    assert "<nobody@example.org>: 550 5.1.1" in error.err
    assert server.good("trace", "--list").out == ""


def test_only_what_belongs_to_an_account_is_written(server: Server) -> None:
    assert server("send", "--from", "ann@elsewhere.example", "--to", YOU, stdin=b"x").code == 1
    server.good("alias", "add", "info@example.org", YOU)
    server.good("send", "--from", "info@example.org", "--to", YOU, stdin=b"x")


@pytest.mark.parametrize("subject", ["two\nlines", "a\x00b"])
def test_a_subject_cannot_bring_fields_of_its_own(server: Server, subject: str) -> None:
    done = server("send", "--from", YOU, "--to", YOU, "--subject", subject, stdin=b"x")
    assert done.code == 1
    assert done.err.count("\n") == 1


def test_files_are_attached(server: Server, tmp_path: Path) -> None:
    (tmp_path / "plan ü.pdf").write_bytes(bytes(range(256)))
    server.good("send", "--from", YOU, "--to", YOU, "--attach", str(tmp_path / "plan ü.pdf"), stdin=b"see there\n")
    assert server("send", "--from", YOU, "--to", YOU, "--attach", str(tmp_path / "none"), stdin=b"x").code == 2
