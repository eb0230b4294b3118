"""What a message gives away about whoever wrote it."""

from checks.story.letters import message, received
from posthouse.checks.story import hops
from posthouse.checks.story.leaks import LEAKS, leaks

DATE = "Sat, 01 Mar 2025 18:15:30 +0000"
OUTER = received("mx.example.org (mx.example.org [192.0.2.1])", "mx.posthouse.test", DATE)
PRIVATE = "192.168." + "7.8"


def found(*fields: str) -> set[tuple[str, str, str]]:
    header = message(*fields).header
    return {tuple(leak) for leak in leaks(header, hops(header))}


def test_the_client_of_the_first_hop_is_told_with_its_field() -> None:
    told = found(OUTER, received("laptop.example.net ([198.51.100.7])", "mx.example.org", DATE, "ESMTPSA"))
    assert ("client address", "198.51.100.7", "Received 2") in told
    assert ("client name", "laptop.example.net", "Received 2") in told


def test_a_server_that_brought_it_is_no_client_of_somebody() -> None:
    assert not found(OUTER)


def test_whoever_logged_in_is_a_client_on_the_only_hop_too() -> None:
    told = found(received("laptop.example.net ([198.51.100.7])", "mx.example.org", DATE, "ESMTPSA"))
    assert ("client address", "198.51.100.7", "Received 1") in told


def test_addresses_and_names_of_the_house_are_told() -> None:
    told = found(OUTER, received(f"DESK-42 ([{PRIVATE}])", "exchange.corp", DATE))
    assert {("private address", PRIVATE, "Received 2"), ("host name", "DESK-42", "Received 2"),
            ("host name", "exchange.corp", "Received 2")} <= told


def test_programs_are_told() -> None:
    told = found("X-Mailer: Kooky Mail 3.1", "User-Agent: Mutt/2.2", OUTER.replace("by mx.posthouse.test",
                 "by mx.posthouse.test (Exim 4.96)"))
    assert ("software", "Kooky Mail 3.1", "X-Mailer") in told
    assert ("software", "Mutt/2.2", "User-Agent") in told
    assert ("server software", "Exim 4.96", "Received 1") in told


def test_addresses_in_fields_of_providers_are_told() -> None:
    told = found("X-Originating-IP: [198.51.100.9]", f"X-Client-IP: {PRIVATE}", "X-Real-IP: none")
    assert ("client address", "198.51.100.9", "X-Originating-IP") in told
    assert ("private address", PRIVATE, "X-Client-IP") in told
    assert len(told) == 2


def test_logins_and_users_are_told() -> None:
    told = found(
        "X-Authenticated-Sender: alice",
        "Received: by mx.example.org (Postfix, from userid 1000) id A; " + DATE,
        "Received: from x.example (x [192.0.2.3]) (Authenticated sender: bob@example.org) by mx.example.org; " + DATE,
    )
    assert ("login name", "alice", "X-Authenticated-Sender") in told
    assert ("user number", "1000", "Received 1") in told
    assert ("login name", "bob@example.org", "Received 2") in told


def test_the_time_zone_and_the_machine_of_the_writer_are_told() -> None:
    told = found("Date: Sat, 01 Mar 2025 18:15:30 +0530", "Message-ID: <1@macbook.local>")
    assert ("time zone", "+0530", "Date") in told
    assert ("host name", "macbook.local", "Message-ID") in told


def test_utc_says_nothing_about_where_one_is() -> None:
    assert not found(f"Date: {DATE}", "Message-ID: <1@example.org>")


def test_blind_copies_that_are_to_be_seen_are_told() -> None:
    assert ("blind copies", "carol@far.test", "Bcc") in found("Bcc: carol@far.test")


def test_leaks_are_told_once_and_not_without_end() -> None:
    assert len(found(*["X-Mailer: a"] * 50)) == 1
    header = message(*(f"X-Mailer: {number}" for number in range(3 * LEAKS))).header
    assert len(leaks(header, ())) == LEAKS
