"""What a message itself records of its envelope, and what others wrote down about it."""

import pytest

from checks.story.letters import OURS, known, message, received
from posthouse.checks.story import Given, find, hops
from posthouse.checks.story.recorded import recorded
from posthouse.mail.address import Address

DATE = "Sat, 01 Mar 2025 18:15:30 +0000"
ENTRY = received("mx.example.org (mx.example.org [192.0.2.1])", f"{OURS} (Postfix)", DATE).replace(
    "; Sat", " for <bob@posthouse.test>; Sat"
)
LOWER = received("laptop ([198.51.100.7])", "mx.example.org", DATE)


def test_the_last_host_wrote_down_envelope_and_client() -> None:
    found = known("Return-Path: <alice@example.org>", ENTRY, LOWER)
    assert (found.ip, found.helo) == ("192.0.2.1", "mx.example.org")
    assert found.mail_from == Address("alice", "example.org")
    assert found.return_path == "<alice@example.org>"
    assert found.rcpt_to == (Address("bob", "posthouse.test"),)
    assert found.sources == {
        "ip": "Received 1", "helo": "Received 1", "mail_from": "Return-Path", "rcpt_to": "Received 1",
        "at": "Received 1",
    }  # fmt: skip


def test_what_is_given_goes_before_what_is_recorded() -> None:
    carol = Address("carol", "far.test")
    given = Given(ip="203.0.113.7", helo="far.test", mail_from="<>", rcpt_to=(carol,), at=1)
    found = known("Return-Path: <alice@example.org>", ENTRY, given=given)
    assert (found.ip, found.helo, found.mail_from, found.has_mail_from) == ("203.0.113.7", "far.test", None, True)
    assert (found.rcpt_to, found.at) == ((carol,), 1)
    assert set(found.sources.values()) == {"given"}


def test_the_null_reverse_path_is_known_and_a_missing_one_is_not() -> None:
    assert known("Return-Path: <>").return_path == "<>"
    assert known("Subject: x").return_path == ""
    assert not known("Subject: x").has_mail_from


def test_the_line_of_an_mbox_names_the_sender() -> None:
    found = known("Subject: x", given=Given(from_line="alice@example.org"))
    assert (found.return_path, found.sources["mail_from"]) == ("<alice@example.org>", "From line")
    assert known("Subject: x", given=Given(from_line="MAILER-DAEMON")).return_path == "<>"


def test_a_path_that_is_none_is_passed_over() -> None:
    found = known("Return-Path: <@route:alice@example.org>", given=Given(from_line="carol@far.test"))
    assert found.return_path == "<carol@far.test>"


@pytest.mark.parametrize("path", ["<@a.example:alice@example.org>", "<a@b(c).example>", "<alice>", "<a@b..example>"])
def test_a_given_path_that_is_none_is_kept_with_its_flaw(path: str) -> None:
    found = known("Subject: x", given=Given(mail_from=path))
    assert found.flaw
    assert found.has_mail_from
    assert found.mail_from is not None
    assert path.endswith(f"{found.mail_from.domain}>")


def test_a_filter_above_the_entry_may_have_noted_the_client() -> None:
    spf = 'Received-SPF: pass (ok) client-ip=192.0.2.77; envelope-from="alice@example.org"; helo=mx.example.org'
    found = known(spf, received("mx.example.org", OURS, DATE))
    assert found.ip == "192.0.2.77"
    assert found.return_path == "<alice@example.org>"
    assert found.sources["ip"] == "Received-SPF"


def test_what_the_sender_may_have_written_of_the_envelope_is_not_taken_for_it() -> None:
    spf = "Received-SPF: pass client-ip=192.0.2.77; envelope-from=ceo@victim.example"
    found = known(received("mx.example.org", OURS, DATE), spf, "Return-Path: <ceo@victim.example>")
    assert (found.ip, found.return_path) == ("", "")
    # Nor is it where it came over the wire just now, from that address.
    found = known("Return-Path: <ceo@victim.example>", "Subject: x", given=Given(ip="192.0.2.1"))
    assert (found.ip, found.return_path) == ("192.0.2.1", "")


@pytest.mark.parametrize(
    "above",
    [
        [ENTRY.replace(" for ", " (envelope-from <crook@evil.example>) for ")],
        [f"Authentication-Results: {OURS}; spf=pass smtp.mailfrom=crook@evil.example", ENTRY],
    ],
)
def test_what_our_hosts_noted_of_the_sender_goes_before_his_own_return_path(above: list[str]) -> None:
    found = known(*above, "Return-Path: <ceo@victim.example>", LOWER)
    assert found.return_path == "<crook@evil.example>"


@pytest.mark.parametrize(
    "entry",
    [
        received("x (envelope-from <ceo@victim.example>) (u [192.0.2.1])", OURS, DATE),
        received("x ([192.0.2.1])", f"{OURS} (envelope-from <a@b.test>) (envelope-from <ceo@victim.example>)", DATE),
    ],
)
def test_a_sender_in_a_comment_that_the_client_may_have_written_is_not_believed(entry: str) -> None:
    assert not known(entry).has_mail_from


def notes(*fields: str, hosts: tuple[str, ...] = ()) -> list[tuple[str, bool, list[str]]]:
    header = message(*fields).header
    return [
        (note.by, note.believed, [f"{result.method}={result.result}" for result in note.results])
        for note in recorded(header, find(hops(header), hosts))
    ]


def test_results_are_believed_above_what_came_from_outside() -> None:
    found = notes(
        f"Authentication-Results: {OURS}; spf=pass smtp.mailfrom=example.org; dkim=none", ENTRY,
        f"Authentication-Results: {OURS}; dmarc=pass header.from=bank.example", LOWER,
    )  # fmt: skip
    assert found == [(OURS, False, ["dmarc=pass"]), (OURS, True, ["spf=pass", "dkim=none"])]


def test_nothing_is_believed_where_no_host_is_ours() -> None:
    assert notes(f"Authentication-Results: {OURS}; dmarc=pass") == [(OURS, False, ["dmarc=pass"])]


def test_seals_that_were_not_checked_are_not_believed() -> None:
    assert notes("ARC-Authentication-Results: i=1; a.example; spf=pass", ENTRY) == [("a.example", False, ["spf=pass"])]


def test_fields_that_cannot_be_read_say_so() -> None:
    header = message('Authentication-Results: "x', "Received-SPF: 7", "ARC-Authentication-Results: x").header
    assert all(note.flaw for note in recorded(header, find(())))
