"""A running server whose accounts have opinions: junk by what a mail program moves, warnings, logos of strangers."""

import asyncio
import imaplib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from cli.program import Outcome, call
from posthouse.lab.zone import Fault
from posthouse.mail.journey import Step
from posthouse.mail.message import Message
from posthouse.store import bimi, junk
from whole.border import ALICE, BOB, PASSWORD, PATIENCE, Border, border

FAR, SPAM = "127.0.0.2", "127.0.0.3"
ZONE: dict[str, dict[str, str | list[str]]] = {
    "far.test": {"TXT": "v=spf1 ip4:127.0.0.2 -all", "MX": "10 mx.far.test"},
    "_dmarc.far.test": {"TXT": "v=DMARC1; p=reject"},
    "mx.far.test": {"A": FAR},
    "2.0.0.127.in-addr.arpa": {"PTR": "mx.far.test"},
    "faar.test": {"TXT": "v=spf1 ip4:127.0.0.2 -all", "MX": "10 mx.far.test"},
    "_dmarc.faar.test": {"TXT": "v=DMARC1; p=reject"},
}
GOOD = "The minutes of the meeting are in the wiki, see you on Thursday with the slides."
BAD = "Cheap pills from our online pharmacy, special offer, no prescription needed!"


def play(folder: Path, scene: Callable[[Border], Awaitable[None]], more: str = "") -> None:
    settings = f"[checks]\ntrusted_networks = []\n{more}[policy]\npreset = 'cautious'\n"

    async def main() -> None:
        async with border(folder, ZONE, settings) as gate:
            await scene(gate)

    asyncio.run(main())


def letter(author: str, subject: str, body: str, *more: str) -> bytes:
    lines = [f"From: {author}", f"To: {ALICE}", f"Subject: {subject}", "Date: Sun, 15 Jun 2025 15:06:40 +0000",
             f"Message-ID: <{hash((author, subject, body))}@far.test>", *more, "", body, ""]
    return "\r\n".join(lines).encode()


async def bring(gate: Border, author: str, subject: str, body: str, *more: str, ip: str = FAR) -> None:
    address = str(Message.parse(f"From: {author}\r\n\r\n".encode()).header.addresses("from")[0].address)  # type: ignore[union-attr]
    code, words = await gate.bring(ip, address, [ALICE], letter(author, subject, body, *more))
    assert code == 250, words


async def mail_program(gate: Border, *commands: tuple[str, ...], mailbox: str = "INBOX") -> None:
    """Some UID commands of a mail program, with the standard library's client."""

    def run() -> None:
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        with imaplib.IMAP4("127.0.0.1", gate.house.ports["imap"], timeout=PATIENCE) as client:
            client.starttls(trust)
            client.login(ALICE, PASSWORD)
            client.select(mailbox)
            for name, *arguments in commands:
                status, words = client.uid(name, *arguments)
                assert status == "OK", words

    await asyncio.to_thread(run)


async def learnt(gate: Border, least_junk: int, least_good: int = 0) -> None:
    """Waits until the lessons are learnt."""
    account_id = gate.accounts[ALICE]
    async with asyncio.timeout(PATIENCE):
        while True:
            corpus = await gate.house.database.read(lambda tx: junk.corpus(tx, account_id))
            waiting = await gate.house.database.read(lambda tx: junk.lessons(tx, account_id))
            if corpus.junk >= least_junk and corpus.good >= least_good and not waiting:
                return
            await asyncio.sleep(0.02)


async def command(gate: Border, folder: Path, *arguments: str) -> Outcome:
    """A command line on the data of the running house."""
    path = folder / "posthouse.toml"
    path.write_text(f'hostname = "mx.posthouse.test"\ndata_dir = "{gate.house.config.data_dir}"\n')
    done = await asyncio.to_thread(call, *arguments, "--config", path)
    assert done.code == 0, done.err
    return done


def test_after_ten_messages_were_moved_to_junk_the_eleventh_goes_there_by_itself(tmp_path: Path) -> None:
    async def scene(gate: Border) -> None:
        for number in range(10):
            await bring(gate, f"friend{number}@far.test", f"Minutes {number}", GOOD)
        await mail_program(gate, ("STORE", "1:10", "+FLAGS", r"(\Seen)"))
        for number in range(10):
            await bring(gate, f"pills{number}@spam{number}.test", f"Offer {number}", BAD, ip=SPAM)
        await mail_program(gate, ("MOVE", "11:20", "Junk"))
        await learnt(gate, 10, 10)
        await bring(gate, "new@elsewhere.test", "Another offer", BAD, ip=SPAM)
        assert len(await gate.junk(ALICE)) == 11
        traced = (await command(gate, tmp_path, "trace")).out
        assert "bayes fail for alice@posthouse.test: it looks like junk (100.0%), most of all by “cheap”" in traced
        assert "pharmacy 98%" in traced
        assert "decided to quarantine the copy of alice@posthouse.test by the rule account" in traced
        assert "put into Junk of alice@posthouse.test" in traced
        clues = [stamp.facts["clues"] for stamp in (await gate.journey()).stamps if "clues" in stamp.facts]
        assert any("pharmacy" in str(clue) for clue in clues[0])  # type: ignore[union-attr]
        await bring(gate, "friend77@far.test", "Minutes of May", GOOD)
        assert len(await gate.mailbox(ALICE)) == 11
        told = (await command(gate, tmp_path, "account", "junk", ALICE)).out
        assert "from 10 junk and 10 good messages" in told
        data = (await command(gate, tmp_path, "account", "junk", ALICE, "--json")).json
        assert (data["junk"], data["good"], data["judging"], data["waiting"]) == (10, 10, True, 0)
        assert {"text": "cheap", "junk": 10, "good": 0} in data["junk_words"]
        # Nobody proved who sent the junk, and to have read a message is not to speak for its sender.
        assert data["senders"] == []
        await command(gate, tmp_path, "account", "junk", ALICE, "--forget", "--yes")
        await bring(gate, "newer@elsewhere.test", "One more offer", BAD, ip=SPAM)
        assert len(await gate.junk(ALICE)) == 11

    play(tmp_path, scene)


def test_what_was_junk_by_mistake_is_unlearnt_and_keywords_teach_as_well(tmp_path: Path) -> None:
    async def scene(gate: Border) -> None:
        for number in range(3):
            await bring(gate, f"friend{number}@far.test", f"Minutes {number}", GOOD)
        await mail_program(gate, ("STORE", "1", "+FLAGS", "($Junk)"), ("STORE", "2", "+FLAGS", "($NotJunk)"))
        await learnt(gate, 1, 1)
        await mail_program(gate, ("COPY", "3", "Junk"), ("STORE", "3", "+FLAGS", r"(\Deleted)"), ("EXPUNGE", "3"))
        await learnt(gate, 2, 1)
        await mail_program(gate, ("MOVE", "1", "INBOX"), mailbox="Junk")
        await learnt(gate, 1, 2)
        account_id = gate.accounts[ALICE]
        assert await gate.house.database.read(lambda tx: junk.corpus(tx, account_id)) == (1, 2)
        # Taking a keyword away says nothing, and both together contradict themselves.
        await mail_program(gate, ("STORE", "1", "+FLAGS", "($NotJunk)"))
        await learnt(gate, 0, 3)
        await mail_program(gate, ("STORE", "1", "-FLAGS", "($Junk)"), ("STORE", "2", "+FLAGS", "($Junk $NotJunk)"))
        assert await gate.house.database.read(lambda tx: junk.lessons(tx, account_id)) == 0
        assert await gate.house.database.read(lambda tx: junk.corpus(tx, account_id)) == (0, 3)
        data = (await command(gate, tmp_path, "account", "junk", ALICE, "--json")).json
        assert data["senders"] == [{"text": "far.test", "junk": 0, "good": 3}]

    play(tmp_path, scene)


def test_a_lookalike_of_whom_an_account_writes_to_brings_a_warning(tmp_path: Path) -> None:
    async def scene(gate: Border) -> None:
        await bring(gate, "dave@examp1es.org", "Offer", "Please see.", ip=SPAM)
        assert "lookalike" not in await gate.verdicts()
        # It waits in the queue: no notice about it comes between.
        gate.names.fault("examples.org", Fault.SERVFAIL)
        octets = b"From: alice@posthouse.test\r\nTo: dave@examples.org\r\n\r\nHi\r\n"
        code, _ = await gate.submit(ALICE, ["dave@examples.org"], octets)
        assert code == 250
        await bring(gate, "dave@examp1es.org", "Invoice", "Please see.", ip=SPAM)
        filed = (await gate.mailbox(ALICE))[-1]
        warning = Message.parse(filed).header.text("posthouse-warning")
        assert warning.startswith("This message looks like examples.org, but ")
        assert (await gate.verdicts())["lookalike"] == "fail"

    play(tmp_path, scene)


def test_an_attempt_to_get_at_money_is_warned_of_in_the_message_and_in_its_journey(tmp_path: Path) -> None:
    async def scene(gate: Border) -> None:
        await bring(
            gate, f'"{BOB}" <boss@faar.test>', "Urgent payment",
            "Please make a payment to the new bank account today, it is urgent. Keep this between us.",
            "Reply-To: office.boss@gmail.com",
        )  # fmt: skip
        (filed,) = await gate.mailbox(ALICE)
        assert b"\r\nPosthouse-Warning: This message " in filed
        traced = (await command(gate, tmp_path, "trace")).out
        assert "warned the reader alice@posthouse.test: the message " in traced
        assert "may be an attempt to get at money" in traced

    play(tmp_path, scene)


def test_without_suspicion_nobody_has_an_opinion(tmp_path: Path) -> None:
    async def scene(gate: Border) -> None:
        await bring(gate, "it@p0sthouse.test", "Password", "Please see.", ip=SPAM)
        assert "lookalike" not in await gate.verdicts()
        assert Step.WARNING not in {stamp.step for stamp in (await gate.journey()).stamps}

    play(tmp_path, scene, "suspicion = false\n")


def test_a_logo_that_leads_inside_is_not_fetched_and_the_message_does_not_wait(tmp_path: Path) -> None:
    async def scene(gate: Border) -> None:
        zone = gate.names
        zone.add_zone("logo.test", {
            "logo.test": {"TXT": "v=spf1 ip4:127.0.0.2 -all", "A": "127.0.0.1"},
            "_dmarc.logo.test": {"TXT": "v=DMARC1; p=reject"},
            "default._bimi.logo.test": {"TXT": "v=BIMI1; l=https://logo.test/logo.svg"},
        })  # fmt: skip
        await bring(gate, "news@logo.test", "News", "Look at our logo.")
        async with asyncio.timeout(PATIENCE):
            while "bimi" not in await gate.verdicts():
                await asyncio.sleep(0.02)
        assert (await gate.verdicts())["bimi"] == "fail"
        kept = await gate.house.database.read(lambda tx: bimi.find(tx, "logo.test", "default"))
        assert kept is not None
        assert kept.reason.endswith("logo.test has an address outside the public internet")
        assert kept.indicator == b""

    play(tmp_path, scene, "bimi = true\n")
