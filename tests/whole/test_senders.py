"""A running server that asks who sends: real DNS, real connections, real SMTP."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from posthouse.checks.dkim import SigningKey, sign
from posthouse.house import now
from posthouse.mail.journey import Step
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
