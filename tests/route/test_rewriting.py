"""Groups in their own name, where nobody would believe the author's."""

from pathlib import Path

import pytest

from posthouse.checks.dkim import signing as dkim_signing
from posthouse.mail.address import Address
from posthouse.mail.journey import Step
from posthouse.mail.mailboxes import mailboxes
from posthouse.mail.message import Message
from posthouse.route.exemption import Exemptions
from posthouse.route.policy import Policy, Preset
from route.believers import FAR, OURS, chain, examine, give_keys, keys, names, signatures
from route.office import BEGIN, LETTER, Office, codes, in_office, steps

ALICE, CAROL, DAVE = "alice@posthouse.test", "carol@far.test", "dave@elsewhere.test"
TEAM, INFO = "team@posthouse.test", "info@posthouse.test"


async def sent(office: Office) -> bytes:
    """What is queued, as it will be sent."""
    (entry,) = await office.queued()
    return entry.message.prefix + await office.blobs.read(entry.message.blob_id)


def fields(octets: bytes, name: str) -> list[bytes]:
    return [field.unfolded.strip() for field in Message.parse(octets).header.all(name)]


async def team(office: Office) -> None:
    await give_keys(office)
    examine(office)
    await office.alias(TEAM, ALICE, DAVE)


def test_an_author_whose_hosts_alone_prove_him_is_told_in_the_name_of_the_group(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await team(office)
        replies = await office.receive(CAROL, [TEAM])
        octets = await sent(office)
        assert fields(octets, "from") == [b"Carol via team <team@posthouse.test>"]
        assert fields(octets, "reply-to") == [b"Carol <carol@far.test>"]
        assert fields(octets, "original-from") == [b"Carol <carol@far.test>"]
        # Nothing else of it has changed.
        for name in ("to", "subject", "date", "message-id"):
            assert fields(octets, name) == fields(LETTER, name)
        assert octets.endswith(b"\r\n\r\nAt noon?\r\n")
        # Believed: signed by the domain that From names now, and sealed with what was found out about the author.
        assert await signatures(octets) == [(OURS, "pass"), (OURS, "pass")]
        found = await chain(octets)
        assert (found.result, found.sealers) == ("pass", (OURS,))
        told = [s for s in (await office.journey(replies[-1])).stamps if s.step in (Step.ADDED, Step.SIGNED)]
        assert [stamp.step for stamp in told] == [Step.ADDED, Step.SIGNED]
        assert "as from <team@posthouse.test>" in str(told[0].facts["field"])

    in_office(tmp_path, work)


def test_members_here_get_the_letter_itself(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await team(office)
        await office.receive(CAROL, [TEAM])
        (filed,) = await office.mailbox(ALICE)
        assert filed.octets == LETTER
        assert b"Original-From" not in filed.prefix
        assert b"DKIM-Signature" not in filed.prefix

    in_office(tmp_path, work)


def test_a_signed_letter_goes_on_unchanged(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await team(office)
        signed = dkim_signing.sign(LETTER, keys(FAR)[:1], BEGIN) + LETTER
        await office.receive(CAROL, [TEAM], signed)
        assert (await sent(office)).endswith(b"\r\n" + signed)

    in_office(tmp_path, work)


def test_a_forward_for_one_person_goes_on_unchanged(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        examine(office)
        await office.alias(INFO, DAVE)
        await office.receive(CAROL, [INFO])
        assert (await sent(office)).endswith(b"\r\n" + LETTER)

    in_office(tmp_path, work)


@pytest.mark.parametrize("policy", ["v=DMARC1; p=none", "no policy"])
def test_where_nothing_is_asked_for_nothing_is_changed(tmp_path: Path, policy: str) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        examine(office, names({"_dmarc.far.test": {"TXT": policy}}))
        await office.alias(TEAM, ALICE, DAVE)
        await office.receive(CAROL, [TEAM])
        assert (await sent(office)).endswith(b"\r\n" + LETTER)

    in_office(tmp_path, work)


def test_where_our_own_hosts_prove_the_author_nothing_is_changed(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        ours = {
            "posthouse.test": {"TXT": "v=spf1 ip4:192.0.2.7 -all"},
            "_dmarc.posthouse.test": {"TXT": "v=DMARC1; p=reject"},
        }
        examine(office, names(ours))  # type: ignore[arg-type]
        await office.alias(TEAM, ALICE, DAVE)
        letter = LETTER.replace(b"carol@far.test", b"alice@posthouse.test")
        await office.receive(ALICE, [TEAM], letter)
        assert (await sent(office)).endswith(b"\r\n" + letter)

    in_office(tmp_path, work)


def test_what_proves_nothing_never_leaves_in_our_name(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        # It fails, and is accepted only because the domain is watched.
        policy = Policy(Preset.CAUTIOUS, Exemptions(monitor=frozenset({FAR})))
        examine(office, names({FAR: {"TXT": "v=spf1 -all"}}), policy)
        await office.alias(TEAM, ALICE, DAVE)
        assert codes(await office.receive(CAROL, [TEAM]))[-1] == (250, "2.0.0")
        octets = await sent(office)
        assert fields(octets, "from") == [b"Carol <carol@far.test>"]

    in_office(tmp_path, work)


def test_answers_go_where_the_author_wanted_them(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await team(office)
        await office.receive(CAROL, [TEAM], b"Reply-To: desk@far.test\r\n" + LETTER)
        assert fields(await sent(office), "reply-to") == [b"desk@far.test"]

    in_office(tmp_path, work)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (b"carol@far.test", "carol via team"),
        (b'"boss@bank.test" <carol@far.test>', "carol via team"),
        (b"=?utf-8?q?Kar=C3=B6l?= <carol@far.test>", "Karöl via team"),
        (b'"Smith, Carol" <carol@far.test>', "Smith, Carol via team"),
        (b'"' + b"long " * 40 + b'" <carol@far.test>', "long " * 16 + "via team"),
    ],
    ids=["none", "address", "encoded", "quoted", "long"],
)
def test_the_name_is_the_authors_and_nothing_else(tmp_path: Path, written: bytes, name: str) -> None:
    async def work(office: Office) -> None:
        await team(office)
        replies = await office.receive(CAROL, [TEAM], LETTER.replace(b"Carol <carol@far.test>", written))
        assert codes(replies)[-1] == (250, "2.0.0")
        octets = await sent(office)
        header = Message.parse(octets).header
        (mailbox,) = mailboxes(header.addresses("from"))
        assert (mailbox.display_name, mailbox.address) == (name, Address.parse(TEAM))
        assert header.flaw == ""
        assert header.get("bcc") is None
        assert fields(octets, "original-from") == [written]
        assert await signatures(octets) == [(OURS, "pass"), (OURS, "pass")]

    in_office(tmp_path, work)


def test_a_large_letter_is_written_anew_as_well(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await team(office)
        large = LETTER + b"A line of some length, again and again.\r\n" * 20_000
        await office.receive(CAROL, [TEAM], large)
        octets = await sent(office)
        assert octets.endswith(large.partition(b"\r\n\r\n")[2])
        assert await signatures(octets) == [(OURS, "pass"), (OURS, "pass")]
        (filed,) = await office.mailbox(ALICE)
        assert filed.octets == large

    in_office(tmp_path, work)


def test_without_keys_the_group_still_speaks_for_itself(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        examine(office)
        await office.alias(TEAM, ALICE, DAVE)
        replies = await office.receive(CAROL, [TEAM])
        octets = await sent(office)
        # SPF is aligned with it by the reverse-path.
        assert fields(octets, "from") == [b"Carol via team <team@posthouse.test>"]
        assert b"DKIM-Signature" not in octets
        assert Step.SIGNED not in steps(await office.journey(replies[-1]))

    in_office(tmp_path, work)
