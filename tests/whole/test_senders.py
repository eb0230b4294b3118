"""A running server that asks who sends: real DNS, real connections, real SMTP."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from posthouse.checks.dkim import SigningKey, sign
from posthouse.house import now
from posthouse.lab.zone import Fault
from posthouse.mail.instant import DAY
from posthouse.mail.journey import Step
from posthouse.route import outage
from posthouse.store import greylist
from whole.border import ALICE, BOB, Border, border

KEY = SigningKey.generate("far.test", "s1", "ed25519-sha256")
FAR = "127.0.0.2"
STRANGER = "127.0.0.66"

ZONE = {
    "far.test": {"TXT": "v=spf1 ip4:127.0.0.2 -all", "MX": "10 mx.far.test"},
    "mx.far.test": {"A": FAR},
    "_dmarc.far.test": {"TXT": "v=DMARC1; p=reject"},
    KEY.dns_name: {"TXT": KEY.dns_record()},
    "2.0.0.127.in-addr.arpa": {"PTR": "mx.far.test"},
    "posthouse.test": {"TXT": "v=spf1 ip4:127.0.0.1 -all"},
    "_dmarc.posthouse.test": {"TXT": "v=DMARC1; p=reject"},
}


def letter(author: str, *more: str, body: str = "At noon?") -> bytes:
    lines = [f"From: {author}", f"To: {ALICE}", "Subject: Lunch", "Date: Sun, 15 Jun 2025 15:06:40 +0000",
             "Message-ID: <lunch@far.test>", *more, "", body, ""]
    return "\r\n".join(lines).encode()


def at_the_border(
    folder: Path, scene: Callable[[Border], Awaitable[None]], zone: dict[str, dict[str, str]] = ZONE, more: str = ""
) -> None:
    async def play() -> None:
        async with border(folder, zone, more) as gate:
            await scene(gate)

    asyncio.run(play())


def test_an_honest_letter_passes_every_check_and_says_so(tmp_path: Path) -> None:
    async def scene(gate: Border) -> None:
        octets = letter("Carol <carol@far.test>")
        octets = sign(octets, [KEY], now()) + octets
        code, _ = await gate.bring(FAR, "carol@far.test", [ALICE], octets)
        assert code == 250
        assert await gate.verdicts() == {"iprev": "pass", "spf": "pass", "dkim": "pass", "dmarc": "pass"}
        (filed,) = await gate.mailbox(ALICE)
        prefix = filed.removesuffix(octets).decode()
        assert filed.endswith(octets)
        results = prefix.index("Authentication-Results: mx.posthouse.test;")
        assert results < prefix.index("Received: from mx.far.test")
        for result in ("iprev=pass", "spf=pass smtp.mailfrom=far.test", "dkim=pass header.d=far.test", "dmarc=pass"):
            assert result in prefix
        decided = await gate.decision()
        assert decided.facts["action"] == "accept"

    at_the_border(tmp_path, scene)


def test_a_spoof_is_refused_at_the_end_of_data_and_its_journey_says_why(tmp_path: Path) -> None:
    async def scene(gate: Border) -> None:
        code, words = await gate.bring(STRANGER, BOB, [ALICE], letter(f"Bob <{BOB}>"))
        assert code == 550
        assert words.startswith("5.7.26 ")
        assert "Refused by the DMARC policy of posthouse.test" in words
        assert await gate.mailbox(ALICE) == await gate.junk(ALICE) == []

    at_the_border(tmp_path, scene)


def test_what_checks_find_and_what_is_decided_is_counted(tmp_path: Path) -> None:
    async def scene(gate: Border) -> None:
        await gate.bring(FAR, "carol@far.test", [ALICE], letter("carol@far.test"))
        await gate.bring(STRANGER, BOB, [ALICE], letter(BOB))
        await gate.bring(STRANGER, BOB, [ALICE], letter(BOB))
        value = gate.house.metrics.registry.get_sample_value
        assert value("posthouse_checks_total", {"method": "dmarc", "result": "pass"}) == 1
        assert value("posthouse_checks_total", {"method": "dmarc", "result": "fail"}) == 2
        assert value("posthouse_decisions_total", {"action": "accept", "rule": "score"}) == 1
        assert value("posthouse_decisions_total", {"action": "reject", "rule": "dmarc-reject"}) == 2

    at_the_border(tmp_path, scene)


def test_mail_from_this_machine_is_not_examined(tmp_path: Path) -> None:
    async def scene(gate: Border) -> None:
        code, _ = await gate.bring("127.0.0.1", BOB, [ALICE], letter(BOB))
        assert code == 250
        assert await gate.verdicts() == {}
        decided = await gate.decision()
        assert (decided.facts["action"], decided.facts["rule"]) == ("accept", "trusted")
        assert "127.0.0.0/8" in str(decided.facts["reason"])
        assert not gate.names.asked
        (filed,) = await gate.mailbox(ALICE)
        assert b"Authentication-Results" not in filed

    at_the_border(tmp_path, scene, more="[run]\n")


def test_nothing_is_asked_where_the_checks_are_off(tmp_path: Path) -> None:
    async def scene(gate: Border) -> None:
        code, _ = await gate.bring(STRANGER, BOB, [ALICE], letter(BOB))
        assert code == 250
        assert not gate.names.asked
        decided = await gate.decision()
        assert decided.facts["rule"] == "unexamined"
        assert Step.VERDICT not in [stamp.step for stamp in (await gate.journey()).stamps]

    at_the_border(tmp_path, scene, more="[checks]\nenabled = false\n")


# --- what comes in large, or is deferred ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [200_000, 1_500_000])
def test_a_large_signed_letter_is_verified_beside_the_loop(tmp_path: Path, size: int) -> None:
    async def scene(gate: Border) -> None:
        octets = letter("Carol <carol@far.test>", body="At noon, as ever, by the river.\r\n" * (size // 33))
        octets = sign(octets, [KEY], now()) + octets
        code, _ = await gate.bring(FAR, "carol@far.test", [ALICE], octets)
        assert code == 250
        assert (await gate.verdicts())["dkim"] == "pass"
        altered = octets.replace(b"At noon", b"At four", 1)
        assert (await gate.bring(FAR, "carol@far.test", [ALICE], altered))[0] == 250
        assert (await gate.verdicts())["dkim"] == "fail"
        assert len(await gate.mailbox(ALICE)) == 2

    at_the_border(tmp_path, scene)


def test_a_stranger_whom_nobody_vouches_for_comes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(gate: Border) -> None:
        octets = letter("Dave <dave@plain.test>")
        code, words = await gate.bring(STRANGER, "dave@plain.test", [ALICE], octets, helo="mx.plain.test")
        assert (code, words.split()[0]) == (451, "4.7.1")
        assert (await gate.decision()).facts["rule"] == "greylist"
        assert (await gate.journey()).stamps[-1].step is Step.REFUSED
        assert (await gate.bring(STRANGER, "dave@plain.test", [ALICE], octets, helo="mx.plain.test"))[0] == 451
        monkeypatch.setattr(greylist, "PATIENCE", 0)
        assert (await gate.bring(STRANGER, "dave@plain.test", [ALICE], octets, helo="mx.plain.test"))[0] == 250
        assert len(await gate.mailbox(ALICE)) == 1
        # From now on it is known, with all mail of that domain.
        monkeypatch.setattr(greylist, "PATIENCE", DAY)
        other = letter("Erin <erin@plain.test>")
        assert (await gate.bring("127.0.0.67", "erin@plain.test", [BOB], other, helo="x.test"))[0] == 250

    at_the_border(tmp_path, scene)


def test_nobody_is_asked_to_come_again_by_the_cautious_or_where_that_is_off(tmp_path: Path) -> None:
    for number, more in enumerate(('preset = "cautious"', "greylisting = false")):
        async def scene(gate: Border) -> None:
            assert (await gate.bring(STRANGER, "dave@plain.test", [ALICE], letter("dave@plain.test")))[0] == 250

        at_the_border(
            tmp_path / str(number), scene, more=f"[checks]\ntrusted_networks = []\n[policy]\n{more}\n"
        )


# --- a DNS that does not answer, or answers too much ---------------------------------------------------------------


def hostile(tmp_path: Path, *faults: tuple[str, Fault, str | None], zone: dict[str, dict[str, str]] | None = None,
            octets: bytes | None = None, ip: str = FAR) -> tuple[int, str, dict[str, str]]:
    """What becomes of an honest letter then: code, enhanced code, verdicts."""
    seen: list[tuple[int, str, dict[str, str]]] = []

    async def scene(gate: Border) -> None:
        for name, fault, kind in faults:
            gate.names.fault(name, fault, kind)
        code, words = await gate.bring(ip, "carol@far.test", [ALICE], octets or letter("carol@far.test"))
        seen.append((code, words.split()[0], await gate.verdicts()))

    at_the_border(tmp_path, scene, zone={**ZONE, **(zone or {})})
    return seen[0]


@pytest.mark.parametrize("fault", [Fault.SERVFAIL, Fault.TIMEOUT, Fault.REFUSED])
def test_a_policy_that_cannot_be_asked_for_is_waited_for(tmp_path: Path, fault: Fault) -> None:
    code, enhanced, verdicts = hostile(tmp_path, ("_dmarc.far.test", fault, None))
    assert (code, enhanced) == (451, "4.7.5")
    assert verdicts["dmarc"] == "temperror"


def test_a_domain_that_does_not_answer_for_half_a_day_loses_no_mail_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(gate: Border) -> None:
        gate.names.fault("_dmarc.far.test", Fault.SERVFAIL)
        octets = letter("carol@far.test")
        assert (await gate.bring(FAR, "carol@far.test", [ALICE], octets))[0] == 451
        assert (await gate.bring("127.0.0.3", "carol@far.test", [BOB], octets))[0] == 451
        monkeypatch.setattr(outage, "WAIT", 0)
        code, words = await gate.bring(FAR, "carol@far.test", [ALICE], octets)
        assert code == 250, words
        assert "dmarc-late +2" in str((await gate.decision()).facts["lines"])

    at_the_border(tmp_path, scene)


@pytest.mark.parametrize("fault", [Fault.SERVFAIL, Fault.TIMEOUT])
def test_an_spf_record_that_decides_and_cannot_be_asked_for_is_waited_for(tmp_path: Path, fault: Fault) -> None:
    code, enhanced, verdicts = hostile(tmp_path, ("far.test", fault, "TXT"))
    assert (code, enhanced) == (451, "4.7.5")
    assert (verdicts["spf"], verdicts["dmarc"]) == ("temperror", "temperror")


def test_a_key_that_decides_and_cannot_be_asked_for_is_waited_for(tmp_path: Path) -> None:
    octets = letter("carol@far.test")
    octets = sign(octets, [KEY], now()) + octets
    code, enhanced, verdicts = hostile(tmp_path, (KEY.dns_name, Fault.SERVFAIL, None), octets=octets, ip="127.0.0.3")
    assert (code, enhanced) == (451, "4.7.5")
    assert (verdicts["dkim"], verdicts["dmarc"]) == ("temperror", "temperror")


def test_reverse_names_that_cannot_be_asked_for_decide_nothing(tmp_path: Path) -> None:
    code, _, verdicts = hostile(tmp_path, ("2.0.0.127.in-addr.arpa", Fault.TIMEOUT, None))
    assert code == 250
    assert (verdicts["iprev"], verdicts["dmarc"]) == ("temperror", "pass")


def test_a_list_that_does_not_answer_decides_nothing(tmp_path: Path) -> None:
    async def scene(gate: Border) -> None:
        gate.names.fault("2.0.0.127.bl.test", Fault.SERVFAIL)
        assert (await gate.bring(FAR, "carol@far.test", [ALICE], letter("carol@far.test")))[0] == 250
        assert (await gate.verdicts())["dnsbl"] == "temperror"

    more = '[checks]\ntrusted_networks = []\n[checks.lists]\n"bl.test" = 100\n'
    at_the_border(tmp_path, scene, more=more)


def test_a_listed_host_is_refused_with_the_words_of_the_list(tmp_path: Path) -> None:
    async def scene(gate: Border) -> None:
        code, words = await gate.bring(FAR, "carol@far.test", [ALICE], letter("carol@far.test"))
        assert (code, words.split()[0]) == (550, "5.7.1")
        assert "bl.test (spam was seen)" in words

    more = '[checks]\ntrusted_networks = []\n[checks.lists]\n"bl.test" = 100\n'
    listed = {"2.0.0.127.bl.test": {"A": "127.0.0.2", "TXT": "spam was seen"}}
    at_the_border(tmp_path, scene, zone={**ZONE, **listed}, more=more)


def test_a_domain_that_a_list_of_domains_has_is_refused(tmp_path: Path) -> None:
    async def scene(gate: Border) -> None:
        code, words = await gate.bring(FAR, "carol@far.test", [ALICE], letter("carol@far.test"))
        assert code == 550
        assert "far.test is listed by names.test" in words

    more = '[checks]\ntrusted_networks = []\n[checks.domain_lists]\n"names.test" = 100\n'
    at_the_border(tmp_path, scene, zone={**ZONE, "far.test.names.test": {"A": "127.0.0.2"}}, more=more)


HOSTILE = {
    "an SPF record that includes itself": {"far.test": {"TXT": "v=spf1 include:far.test -all"}},
    "SPF records in a circle": {
        "far.test": {"TXT": "v=spf1 redirect=a.far.test"}, "a.far.test": {"TXT": "v=spf1 redirect=far.test"}},
    "more names than SPF may ask for": {"far.test": {"TXT": "v=spf1 " + "a:{ir}.%s.far.test " * 30 % ((1,) * 30)}},
    "a huge record": {"far.test": {"TXT": "v=spf1 " + "ip4:192.0.2.1 " * 4000 + "-all"}},
    "aliases in a circle": {"far.test": {"CNAME": "b.far.test"}, "b.far.test": {"CNAME": "far.test"}},
    "a policy without sense": {
        "far.test": {"TXT": "v=spf1 -all"}, "_dmarc.far.test": {"TXT": "v=DMARC1; p=\x07\"(;;=;p"}},
}


@pytest.mark.parametrize("zone", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_zone_ends_within_its_bounds(tmp_path: Path, zone: dict[str, dict[str, str]]) -> None:
    # The client gives up after `PATIENCE`.
    code, _, verdicts = hostile(tmp_path, zone=zone)
    assert code in (250, 451, 550)
    assert verdicts["dmarc"] != "pass"
    if verdicts["spf"] == "temperror":
        assert code == 451
