"""Signed, relayed, sent on, sealed, and the way back: three real hosts, and dkimpy to judge what they really sent."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import dkim
import dns.rdatatype
import pytest

from posthouse.lab.zone import absolute
from posthouse.mail.authentication_results import AuthenticationResults, parse_results
from posthouse.mail.journey import Step
from posthouse.mail.message import Message
from posthouse.store import signing
from posthouse.store.mailboxes import SpecialUse
from posthouse.store.signing import KeyState
from whole.relays import Host, relays

FAR, OURS, THIRD = "far.test", "posthouse.test", "third.test"
INFO = "info@posthouse.test"

Hosts = dict[str, Host]


def letter(author: str, subject: str = "Lunch", body: str = "At noon?\r\n") -> bytes:
    return (
        f"From: The author <{author}>\r\nTo: info@posthouse.test\r\nSubject: {subject}\r\n"
        f"Message-ID: <{subject.lower()}@x.test>\r\n\r\n{body}"
    ).encode()


def play(folder: Path, scene: Callable[[Hosts], Awaitable[None]], *domains: str, **options: str) -> None:
    async def within() -> None:
        async with relays(folder, *(domains or (FAR, OURS, THIRD)), **options) as hosts:
            await scene(hosts)

    asyncio.run(within())


def lookup(hosts: Hosts) -> Callable[..., bytes | None]:
    """The DNS as dkimpy asks for it."""

    def txt(name: bytes, timeout: int = 5) -> bytes | None:
        text = name.decode().rstrip(".")
        host = next((host for domain, host in hosts.items() if text.endswith(domain)), None)
        rrsets = host.zone.find(absolute(text), dns.rdatatype.TXT)[1] if host is not None else ()
        return b"".join(rrsets[0][0].strings) if rrsets else None

    return txt


def judged(octets: bytes, hosts: Hosts) -> list[bool]:
    """What dkimpy says of each signature, from the top."""
    count = len(Message.parse(octets).header.all("dkim-signature"))
    found = dkim.DKIM(octets)
    return [found.verify(number, dnsfunc=lookup(hosts)) for number in range(count)]


def results(octets: bytes, host: str) -> AuthenticationResults:
    """What the host has written about the message."""
    found = [parse_results(field.value) for field in Message.parse(octets).header.all("authentication-results")]
    (ours,) = [each for each in found if each.authserv_id == f"mx.{host}"]
    return ours


def word(found: AuthenticationResults, method: str) -> str:
    return "".join(result.result for result in found.of(method)[:1])


def test_what_an_account_sends_is_believed_by_the_next_host(tmp_path: Path) -> None:
    async def scene(hosts: Hosts) -> None:
        far, ours = hosts[FAR], hosts[OURS]
        await far.submit(["user@posthouse.test"], letter("user@far.test"))
        (got,) = await ours.until(1)
        found = results(got, OURS)
        assert [result.result for result in found.of("dkim")] == ["pass", "pass"]
        assert word(found, "dmarc") == "pass"
        assert judged(got, hosts) == [True, True]

    play(tmp_path, scene, FAR, OURS)


@pytest.mark.parametrize(
    "body",
    [
        ".\r\n..dots at the start\r\n.\r\n", "no end of line", "", "\r\n\r\n\r\n",
        "trailing spaces  \t \r\n\r\n \r\n", "ü and ß as they come\r\n", "x" * 990 + "\r\n", "a line\r\n" * 60_000,
    ],
    ids=["dots", "no-end", "empty", "empty-lines", "spaces", "eight-bit", "long-line", "large"],
)
def test_the_signature_survives_whatever_the_body_looks_like(tmp_path: Path, body: str) -> None:
    async def scene(hosts: Hosts) -> None:
        far, ours = hosts[FAR], hosts[OURS]
        options = {} if body.isascii() else {"mail_options": ["BODY=8BITMIME"]}
        await far.submit(["user@posthouse.test"], letter("user@far.test", body=body), **options)
        (got,) = await ours.until(1)
        assert [result.result for result in results(got, OURS).of("dkim")] == ["pass", "pass"]
        assert judged(got, hosts) == [True, True]

    play(tmp_path, scene, FAR, OURS)


def test_dmarc_passes_by_the_signature_alone(tmp_path: Path) -> None:
    async def scene(hosts: Hosts) -> None:
        far, ours = hosts[FAR], hosts[OURS]
        far.zone.remove(FAR, "TXT")
        far.zone.add(FAR, "TXT", "v=spf1 ip4:192.0.2.1 -all")
        await far.submit(["user@posthouse.test"], letter("user@far.test"))
        (got,) = await ours.until(1)
        found = results(got, OURS)
        assert (word(found, "spf"), word(found, "dkim"), word(found, "dmarc")) == ("fail", "pass", "pass")

    play(tmp_path, scene, FAR, OURS)


def test_what_is_sent_on_passes_everything_at_the_third_host(tmp_path: Path) -> None:
    async def scene(hosts: Hosts) -> None:
        far, ours, third = hosts[FAR], hosts[OURS], hosts[THIRD]
        # Nobody but a host that is not there may send for far.test, so that its own reverse-path fails everywhere.
        far.zone.remove(FAR, "TXT")
        far.zone.add(FAR, "TXT", "v=spf1 ip4:192.0.2.1 -all")
        await ours.alias(INFO, "user@third.test")
        await far.submit([INFO], letter("user@far.test"))
        (got,) = await third.until(1)
        found = results(got, THIRD)
        assert (word(found, "spf"), word(found, "dkim"), word(found, "dmarc")) == ("pass", "pass", "pass")
        assert found.of("spf")[0].value("smtp", "mailfrom") == OURS
        assert word(found, "arc") == "pass"
        # Signed by the author's domain with both keys, and not by us.
        assert {result.value("header", "d") for result in found.of("dkim")} == {FAR}
        assert judged(got, hosts) == [True, True]
        status, sets, reason = dkim.arc_verify(got, dnsfunc=lookup(hosts))
        assert (status, len(sets)) == (b"pass", 1), reason
        assert b"\r\nReturn-Path: " not in got
        assert got.startswith(b"Return-Path: <SRS0=")
        await ours.quiet()
        journey = await ours.journey("lunch@x.test")
        steps = [stamp.step for stamp in journey.stamps]
        assert [step for step in steps if step in (Step.REWRITTEN, Step.SEALED, Step.QUEUED, Step.RELAYED)] == [
            Step.REWRITTEN, Step.SEALED, Step.QUEUED, Step.RELAYED,
        ]

    play(tmp_path, scene)


def test_two_forwarders_in_a_row_make_a_chain_of_two(tmp_path: Path) -> None:
    async def scene(hosts: Hosts) -> None:
        far, ours, third, fourth = hosts[FAR], hosts[OURS], hosts[THIRD], hosts["fourth.test"]
        await ours.alias(INFO, "info@third.test")
        await third.alias("info@third.test", "user@fourth.test")
        await far.submit([INFO], letter("user@far.test"))
        (got,) = await fourth.until(1)
        assert got.startswith(b"Return-Path: <SRS1=")
        found = results(got, "fourth.test")
        assert (word(found, "spf"), word(found, "dmarc"), word(found, "arc")) == ("pass", "pass", "pass")
        status, sets, reason = dkim.arc_verify(got, dnsfunc=lookup(hosts))
        assert (status, len(sets)) == (b"pass", 2), reason

    play(tmp_path, scene, FAR, OURS, THIRD, "fourth.test")


def test_what_cannot_be_delivered_in_the_end_comes_home_over_both_forwarders(tmp_path: Path) -> None:
    async def scene(hosts: Hosts) -> None:
        far, ours, third, fourth = hosts[FAR], hosts[OURS], hosts[THIRD], hosts["fourth.test"]
        await ours.alias(INFO, "info@third.test")
        # The last host takes the message and finds out later, so that it is the one who tells.
        await third.alias("info@third.test", "late@fourth.test")
        await fourth.alias("late@fourth.test", "nobody@far.test")
        await far.submit([INFO], letter("user@far.test"))
        (got,) = await far.until(1)
        header = Message.parse(got).header
        assert header.text("subject") == "Your message could not be delivered"
        assert b"Final-Recipient: rfc822; nobody@far.test\r\n" in got
        assert got.startswith(b"Return-Path: <>\r\n")
        # It is a notice of fourth.test, signed there, and each who sent it on has sealed it.
        assert judged(got, hosts) == [True, True]
        found = results(got, FAR)
        assert word(found, "dmarc") == "pass"
        assert word(found, "arc") == "pass"
        for host in hosts.values():
            await host.quiet()
        # One notice, and none about the notice.
        assert len(await far.mailbox()) == 1
        assert await far.mailbox(SpecialUse.JUNK) == []

    play(tmp_path, scene, FAR, OURS, THIRD, "fourth.test")


def test_a_receipt_that_was_asked_for_finds_the_author(tmp_path: Path) -> None:
    async def scene(hosts: Hosts) -> None:
        far, ours, third = hosts[FAR], hosts[OURS], hosts[THIRD]
        await ours.alias(INFO, "user@third.test")
        far_options = {"rcpt_options": ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;info@posthouse.test"]}
        await far.submit([INFO], letter("user@far.test"), **far_options)
        await third.until(1)
        (got,) = await far.until(1)
        assert b"Action: delivered\r\n" in got
        assert b"Original-Recipient: rfc822;info@posthouse.test\r\n" in got
        assert word(results(got, FAR), "dmarc") == "pass"

    play(tmp_path, scene)


def test_a_group_reaches_people_here_and_there_unchanged(tmp_path: Path) -> None:
    async def scene(hosts: Hosts) -> None:
        far, ours = hosts[FAR], hosts[OURS]
        await ours.alias("team@posthouse.test", "user@posthouse.test", "user@third.test", "user@far.test")
        await far.submit(["team@posthouse.test"], letter("user@far.test"))
        for host in hosts.values():
            (got,) = await host.until(1)
            assert judged(got, hosts) == [True, True]
            assert b"From: The author <user@far.test>\r\n" in got

    play(tmp_path, scene)


def test_a_group_speaks_in_its_own_name_where_its_authors_would_be_refused(tmp_path: Path) -> None:
    async def scene(hosts: Hosts) -> None:
        far, ours, third = hosts[FAR], hosts[OURS], hosts[THIRD]
        # A domain that signs nothing and asks for refusal: its own hosts are all that proves its mail.
        await far.house.database.write(lambda tx: signing.forget(tx, FAR, far.house.clock()))
        await ours.alias("team@posthouse.test", "user@posthouse.test", "user@third.test")
        await far.submit(["team@posthouse.test"], letter("user@far.test"))
        (here,) = await ours.until(1)
        assert b"\r\nFrom: The author <user@far.test>\r\n" in here
        (there,) = await third.until(1)
        assert b"\r\nFrom: The author via team <team@posthouse.test>\r\n" in there
        assert b"\r\nReply-To: The author <user@far.test>\r\n" in there
        assert judged(there, hosts) == [True, True]
        assert word(results(there, THIRD), "dmarc") == "pass"
        assert dkim.arc_verify(there, dnsfunc=lookup(hosts))[0] == b"pass"
        # The same by an alias for one person goes on as it is; a host that does not trust our seals refuses it.
        await ours.alias(INFO, "user@third.test")
        await far.submit([INFO], letter("user@far.test", "Alone"))
        (told,) = await far.until(1)
        assert b"Refused by the DMARC policy of far.test" in told
        assert await third.mailbox(SpecialUse.JUNK) == []

    play(tmp_path, scene)


def test_nobody_gets_mail_through_by_a_forged_address(tmp_path: Path) -> None:
    async def scene(hosts: Hosts) -> None:
        far, ours, third = hosts[FAR], hosts[OURS], hosts[THIRD]
        await ours.alias(INFO, "user@third.test")
        await far.submit([INFO], letter("user@far.test"))
        (got,) = await third.until(1)
        path = got[len("Return-Path: <") : got.index(b">")].decode()
        note = letter("postmaster@stranger.test", "Bounce")
        code, words = await ours.bring("", path.replace("user", "other"), note)
        assert (code, "made here" in words) == (550, True)
        assert (await ours.bring("user@third.test", path, note))[0] == 550
        assert (await ours.bring("", path, note))[0] == 250
        (home,) = await far.until(1)
        assert b"Subject: Bounce\r\n" in home

    play(tmp_path, scene)


def test_our_name_is_not_lent_to_spoofers(tmp_path: Path) -> None:
    async def scene(hosts: Hosts) -> None:
        ours, third = hosts[OURS], hosts[THIRD]
        ours.zone.remove(OURS, "TXT")
        ours.zone.add(OURS, "TXT", "v=spf1 ip4:192.0.2.1 -all")
        await ours.alias(INFO, "user@third.test")
        for author in ("boss@posthouse.test", "boss@mx.posthouse.test"):
            for mail_from in ("", "user@posthouse.test", "user@stranger.test"):
                assert (await ours.bring(mail_from, INFO, letter(author)))[0] == 550
        assert (await ours.bring("user@stranger.test", INFO, letter("user@stranger.test")))[0] == 250
        await ours.quiet()
        assert len(await third.mailbox() + await third.mailbox(SpecialUse.JUNK)) == 1

    play(tmp_path, scene, OURS, THIRD, policy="p=none")


def test_keys_are_replaced_while_mail_flows(tmp_path: Path) -> None:
    async def scene(hosts: Hosts) -> None:
        far, ours = hosts[FAR], hosts[OURS]
        await far.submit(["user@posthouse.test"], letter("user@far.test", "One"))
        now = far.house.clock()
        old = {key.selector for key in await far.house.database.read(lambda tx: signing.keys(tx, FAR))}
        made = await asyncio.to_thread(signing.generate, FAR, now, old)
        await far.house.database.write(lambda tx: signing.add(tx, made, KeyState.PUBLISHED, now))
        await far.submit(["user@posthouse.test"], letter("user@far.test", "Two"))
        for key in made:
            far.zone.add(key.dns_name, "TXT", key.dns_record())
        await far.house.database.write(lambda tx: signing.switch(tx, FAR, now))
        await far.submit(["user@posthouse.test"], letter("user@far.test", "Three"))
        selectors = []
        for got in await ours.until(3):
            found = results(got, OURS).of("dkim")
            assert {result.result for result in found} == {"pass"}
            selectors.append({result.value("header", "s") for result in found})
        assert selectors == [old, old, {key.selector for key in made}]

    play(tmp_path, scene, FAR, OURS)


def test_mail_of_a_domain_without_keys_leaves_all_the_same(tmp_path: Path) -> None:
    async def scene(hosts: Hosts) -> None:
        far, ours = hosts[FAR], hosts[OURS]
        await far.house.database.write(lambda tx: signing.forget(tx, FAR, far.house.clock()))
        await far.submit(["user@posthouse.test"], letter("user@far.test"))
        (got,) = await ours.until(1)
        found = results(got, OURS)
        assert (word(found, "dkim"), word(found, "spf"), word(found, "dmarc")) == ("none", "pass", "pass")

    play(tmp_path, scene, FAR, OURS)
