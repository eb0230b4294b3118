"""What an alias sends on: the reverse-path, the way back, the seal, and what does not go on at all."""

from pathlib import Path

import pytest

from posthouse.checks.dkim import signing as dkim_signing
from posthouse.mail.address import Address
from posthouse.mail.delivery import Attempt, Outcome, Schedule
from posthouse.mail.envelope import Notify, RcptTo
from posthouse.mail.instant import DAY
from posthouse.mail.journey import Step
from posthouse.mail.message import Message
from posthouse.mail.reply import Reply
from posthouse.route import srs
from posthouse.route.observer import Unobserved
from posthouse.route.settlement import Result, Settlement
from posthouse.store import directory, journeys, queue
from posthouse.store.mailboxes import SpecialUse
from posthouse.store.queue import QueuedMessage
from route.believers import FAR, OURS, STRICT, chain, examine, give_keys, keys, names, signatures
from route.office import BEGIN, LETTER, Office, codes, in_office, steps

ALICE, CAROL, DAVE, ERIN = "alice@posthouse.test", "carol@far.test", "dave@elsewhere.test", "erin@strict.test"
INFO = "info@posthouse.test"

# By far.test's own host, and signed by it.
SIGNED = dkim_signing.sign(LETTER, keys(FAR)[:1], BEGIN) + LETTER
SPOOF = LETTER.replace(b"Carol <carol@far.test>", b"Alice <alice@posthouse.test>")


async def queued(office: Office) -> QueuedMessage:
    (entry,) = await office.queued()
    return entry.message


async def octets_of(office: Office, message: QueuedMessage) -> bytes:
    return message.prefix + await office.blobs.read(message.blob_id)


# --- the reverse-path -----------------------------------------------------------------------------------


def test_what_goes_on_has_a_reverse_path_of_ours_and_the_journey_says_so(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.alias(INFO, DAVE)
        replies = await office.receive(CAROL, [INFO])
        path = (await queued(office)).envelope.mail_from
        assert path is not None
        assert path.domain == OURS
        assert path.local_part.startswith("SRS0=")
        journey = await office.journey(replies[-1])
        (told,) = [stamp for stamp in journey.stamps if stamp.step is Step.REWRITTEN]
        assert told.facts == {"mail_from": str(path), "original": CAROL}
        (envelope,) = [stamp for stamp in journey.stamps if stamp.step is Step.ENVELOPE]
        assert envelope.facts["mail_from"] == CAROL

    in_office(tmp_path, work)


def test_the_reverse_path_is_in_the_domain_of_the_alias(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.db.write(lambda tx: directory.add_domain(tx, "second.test", BEGIN))
        await office.alias("info@second.test", DAVE)
        await office.receive(CAROL, ["info@second.test"])
        path = (await queued(office)).envelope.mail_from
        assert path is not None
        assert path.domain == "second.test"

    in_office(tmp_path, work)


def test_the_copy_in_a_mailbox_keeps_the_reverse_path_it_came_with(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.alias(INFO, DAVE, ALICE)
        await office.receive(CAROL, [INFO])
        (filed,) = await office.mailbox(ALICE)
        assert filed.prefix.startswith(b"Return-Path: <carol@far.test>\r\n")
        assert str((await queued(office)).envelope.mail_from).startswith("SRS0=")

    in_office(tmp_path, work)


@pytest.mark.parametrize("mail_from", [None, "bob@posthouse.test"])
def test_the_null_one_and_our_own_stay_as_they_are(tmp_path: Path, mail_from: str | None) -> None:
    async def work(office: Office) -> None:
        await office.alias(INFO, DAVE)
        replies = await office.receive(mail_from, [INFO])
        path = (await queued(office)).envelope.mail_from
        assert (None if path is None else str(path)) == mail_from
        assert Step.REWRITTEN not in steps(await office.journey(replies[-1]))

    in_office(tmp_path, work)


def test_what_our_own_accounts_send_to_an_alias_leaves_as_it_is(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        await office.alias(INFO, DAVE)
        await office.submit(ALICE, [INFO], SPOOF)
        message = await queued(office)
        assert str(message.envelope.mail_from) == ALICE
        octets = await octets_of(office, message)
        assert await signatures(octets) == [(OURS, "pass"), (OURS, "pass")]
        assert b"ARC-Seal" not in octets

    in_office(tmp_path, work)


# --- the way back ---------------------------------------------------------------------------------------


async def path_of_forward(office: Office, mail_from: str = CAROL) -> Address:
    await office.alias(INFO, DAVE)
    await office.receive(mail_from, [INFO])
    path = (await queued(office)).envelope.mail_from
    assert path is not None
    message = await queued(office)
    await office.db.write(lambda tx: queue.drop(tx, message.journey_id))
    return path


BOUNCE = LETTER.replace(b"Carol <carol@far.test>", b"Mail System <postmaster@elsewhere.test>")


@pytest.mark.parametrize(
    "mail_from", [CAROL, "bounces+1234567-89ab-info=posthouse.test@em1234.newsletter.shop.test", '"c d"@far.test']
)
def test_a_notification_finds_back_to_whom_the_message_came_from(tmp_path: Path, mail_from: str) -> None:
    async def work(office: Office) -> None:
        path = await path_of_forward(office, mail_from)
        rcpt = RcptTo(path, "rfc822;info@posthouse.test", Notify.NEVER)
        replies = await office.receive(None, [rcpt], BOUNCE)
        assert codes(replies) == [(250, "2.1.0"), (250, "2.1.5"), (250, "2.0.0")]
        (entry,) = await office.queued()
        assert entry.message.envelope.mail_from is None
        (delivery,) = entry.deliveries
        assert delivery.rcpt == RcptTo(Address.parse(mail_from), rcpt.orcpt, Notify.NEVER)
        journey = await office.journey(replies[-1])
        (via,) = [stamp.facts["via"] for stamp in journey.stamps if stamp.step is Step.RECIPIENT]
        assert via == [f"{path} → {mail_from} (what it stands for)"]

    in_office(tmp_path, work)


def test_a_notification_for_somebody_who_lives_here_by_now_is_put_into_the_mailbox(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        path = await path_of_forward(office)
        await office.add(CAROL)
        await office.receive(None, [str(path)], BOUNCE)
        assert len(await office.mailbox(CAROL)) == 1
        assert await office.queued() == []

    in_office(tmp_path, work)


def test_a_forged_address_is_refused_even_where_a_catch_all_would_take_it(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        path = await path_of_forward(office)
        await office.alias("@posthouse.test", ALICE)
        forged = path.local_part.replace("carol", "victim")
        replies = await office.receive(None, [f"{forged}@posthouse.test"], BOUNCE)
        assert codes(replies) == [(250, "2.1.0"), (550, "5.1.1")]
        assert "made here" in replies[-1].text

    in_office(tmp_path, work)


def test_an_address_that_is_too_old_is_refused(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        path = await path_of_forward(office)
        office.clock.pass_by((srs.DAYS + 1) * DAY)
        replies = await office.receive(None, [str(path)], BOUNCE)
        assert codes(replies) == [(250, "2.1.0"), (550, "5.1.1")]
        assert "too long ago" in replies[-1].text

    in_office(tmp_path, work)


def test_a_message_nobody_remembers_has_nobody_to_be_told(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        path = await path_of_forward(office, "carol@[192.0.2.77]")
        await office.db.write(lambda tx: journeys.sweep(tx, office.clock.now + DAY))
        replies = await office.receive(None, [str(path)], BOUNCE)
        assert codes(replies) == [(250, "2.1.0"), (550, "5.1.1")]
        assert "Nothing is known any more" in replies[-1].text

    in_office(tmp_path, work)


def test_only_notifications_take_this_way(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        path = await path_of_forward(office)
        replies = await office.receive(None, [str(path)], BOUNCE)
        assert replies[1].code == 250
        # Nor does it help to come right after one that was taken.
        replies = await office.receive("mallory@elsewhere.test", [str(path)])
        assert codes(replies) == [(250, "2.1.0"), (550, "5.7.1")]
        replies = await office.submit(ALICE, [str(path)], SPOOF)
        assert replies[-1].code == 550

    in_office(tmp_path, work)


def test_an_address_in_a_domain_of_others_is_not_ours_to_reverse(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        path = await path_of_forward(office)
        replies = await office.receive(None, [f"{path.local_part}@elsewhere.test"], BOUNCE)
        assert codes(replies) == [(250, "2.1.0"), (550, "5.7.1")]

    in_office(tmp_path, work)


async def fail(office: Office) -> None:
    """Lets the relay give up on the only delivery in the queue."""
    now = office.clock.now
    (claim,) = await office.db.write(lambda tx: queue.claim(tx, now, "test", 1, DAY))
    attempt = Attempt(now, Outcome.PERMANENT, "mx.elsewhere.test", "192.0.2.8", "", Reply(550, "5.1.1", "No such user"))
    settlement = Settlement(office.acceptance, Schedule(), lambda: 0.0, Unobserved())
    await settlement.settle(Result(claim.message, claim.deliveries, [attempt]))


@pytest.mark.parametrize("mail_from", [CAROL, "carol@[192.0.2.77]"])
def test_where_the_forward_fails_we_tell_the_sender_and_not_ourselves(tmp_path: Path, mail_from: str) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        await office.alias(INFO, DAVE)
        reply = (await office.receive(mail_from, [INFO]))[-1]
        await fail(office)
        (entry,) = await office.queued()
        assert entry.message.envelope.mail_from is None
        assert [str(delivery.rcpt.address) for delivery in entry.deliveries] == [mail_from]
        octets = await octets_of(office, entry.message)
        assert b"SRS0=" not in octets.partition(b"\r\n\r\n")[0]
        # A notice of ours is signed, though the result was known before anybody could sign it.
        assert await signatures(octets) == [(OURS, "pass"), (OURS, "pass")]
        journey = await office.journey(reply)
        assert steps(journey)[-2:] == [Step.FAILED, Step.BOUNCED]
        assert journey.stamps[-1].facts["to"] == mail_from

    in_office(tmp_path, work)


def test_who_asked_not_to_be_told_is_not_told(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.alias(INFO, DAVE)
        await office.receive(CAROL, [RcptTo(Address.parse(INFO), notify=Notify.NEVER)])
        await fail(office)
        assert await office.queued() == []

    in_office(tmp_path, work)


# --- the seal -------------------------------------------------------------------------------------------


def test_what_goes_on_keeps_its_signature_and_is_sealed(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        examine(office)
        await office.alias(INFO, DAVE)
        replies = await office.receive(CAROL, [INFO], SIGNED)
        octets = await octets_of(office, await queued(office))
        assert octets.endswith(SIGNED)
        # The author's, and nobody's in his place.
        assert await signatures(octets) == [(FAR, "pass")]
        found = await chain(octets)
        assert (found.result, found.sealers) == ("pass", (OURS,))
        results = found.sets[0].results()
        assert results is not None
        assert results.authserv_id == "mx.posthouse.test"
        assert {(result.method, result.result) for result in results.results} >= {
            ("spf", "pass"), ("dkim", "pass"), ("dmarc", "pass"),
        }
        journey = await office.journey(replies[-1])
        (sealed,) = [stamp for stamp in journey.stamps if stamp.step is Step.SEALED]
        assert sealed.facts == {"domain": OURS, "selector": keys(OURS)[0].selector, "chain": "none"}

    in_office(tmp_path, work)


def test_the_copy_in_a_mailbox_has_no_seal(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        examine(office)
        await office.alias(INFO, DAVE, ALICE)
        await office.receive(CAROL, [INFO], SIGNED)
        (filed,) = await office.mailbox(ALICE)
        assert b"ARC-Seal" not in filed.prefix

    in_office(tmp_path, work)


def test_a_chain_grows_by_one_set_at_each_of_us(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        examine(office)
        await office.alias(INFO, DAVE)
        await office.receive(CAROL, [INFO], SIGNED)
        message = await queued(office)
        once = await octets_of(office, message)
        once = once[once.index(b"ARC-Seal"):]
        await office.db.write(lambda tx: queue.drop(tx, message.journey_id))
        await office.receive(DAVE, [INFO], once)
        twice = await octets_of(office, await queued(office))
        found = await chain(twice)
        assert (found.result, found.sealers) == ("pass", (OURS, OURS))
        assert await signatures(twice) == [(FAR, "pass")]
        # A chain that was broken on its way here is sealed as such, and nobody trusts it again.
        message = await queued(office)
        await office.db.write(lambda tx: queue.drop(tx, message.journey_id))
        broken = once.replace(b"t=1750000000", b"t=1650000000", 1)
        replies = await office.receive(DAVE, [INFO], broken)
        assert (await chain(await octets_of(office, await queued(office)))).result == "fail"
        (sealed,) = [s for s in (await office.journey(replies[-1])).stamps if s.step is Step.SEALED]
        assert sealed.facts["chain"] == "fail"

    in_office(tmp_path, work)


def test_a_chain_that_has_ended_is_left_alone_and_the_journey_says_so(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        examine(office)
        await office.alias(INFO, DAVE)
        ended = b"ARC-Seal: i=1; a=rsa-sha256; cv=fail; d=x.test; s=s; t=1; b=YQ==\r\n" + SIGNED
        replies = await office.receive(CAROL, [INFO], ended)
        octets = await octets_of(office, await queued(office))
        assert octets.count(b"ARC-Seal") == 1
        (told,) = [s for s in (await office.journey(replies[-1])).stamps if s.step is Step.UNSIGNED]
        assert "chain of seals has ended" in str(told.facts["reason"])

    in_office(tmp_path, work)


def test_a_domain_of_another_host_seals_where_the_host_has_no_key(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        examine(office)
        await office.db.write(lambda tx: directory.add_domain(tx, STRICT, BEGIN))
        await give_keys(office, STRICT)
        await office.alias("info@strict.test", DAVE)
        await office.receive(CAROL, ["info@strict.test"], SIGNED)
        assert (await chain(await octets_of(office, await queued(office)))).sealers == (STRICT,)

    in_office(tmp_path, work)


@pytest.mark.parametrize(("has_keys", "examines"), [(False, True), (True, False)])
def test_without_keys_or_checks_nothing_is_sealed_and_all_goes_on(
    tmp_path: Path, has_keys: bool, examines: bool
) -> None:
    async def work(office: Office) -> None:
        if has_keys:
            await give_keys(office)
        if examines:
            examine(office)
        await office.alias(INFO, DAVE)
        replies = await office.receive(CAROL, [INFO], SIGNED)
        octets = await octets_of(office, await queued(office))
        assert b"ARC-Seal" not in octets
        assert not {Step.SEALED, Step.UNSIGNED} & set(steps(await office.journey(replies[-1])))

    in_office(tmp_path, work)


def test_what_a_relay_of_ours_brings_is_not_sealed_since_nothing_was_found_out(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        examine(office, trusted=("192.0.2.0/24",))
        await office.alias(INFO, DAVE)
        await office.receive(CAROL, [INFO], SIGNED)
        assert b"ARC-Seal" not in await octets_of(office, await queued(office))
        # Nor does it have to prove anything.
        message = await queued(office)
        await office.db.write(lambda tx: queue.drop(tx, message.journey_id))
        assert codes(await office.receive(ALICE, [INFO], SPOOF))[-1] == (250, "2.0.0")

    in_office(tmp_path, work)


# --- what does not go on --------------------------------------------------------------------------------


@pytest.mark.parametrize("mail_from", ["mallory@elsewhere.test", ALICE, None])
def test_nobody_borrows_our_name_by_way_of_an_alias(tmp_path: Path, mail_from: str | None) -> None:
    """SPF passes for us wherever we send: a From of ours that was not proven here would look proven there."""

    async def work(office: Office) -> None:
        examine(office, names({"_dmarc.posthouse.test": {"TXT": "v=DMARC1; p=none"}}))
        await office.alias(INFO, DAVE)
        replies = await office.receive(mail_from, [INFO], SPOOF)
        assert codes(replies)[-1] == (550, "5.7.1")
        assert "only sent on if DMARC passes" in replies[-1].text
        assert await office.queued() == []

    in_office(tmp_path, work)


@pytest.mark.parametrize("author", [b"ceo@sub.posthouse.test", b"ceo@mx.posthouse.test"])
def test_nor_that_of_a_name_below(tmp_path: Path, author: bytes) -> None:
    async def work(office: Office) -> None:
        await office.alias(INFO, DAVE)
        spoof = LETTER.replace(b"carol@far.test", author)
        assert codes(await office.receive("m@elsewhere.test", [INFO], spoof))[-1] == (550, "5.7.1")

    in_office(tmp_path, work)


def test_nor_by_way_of_a_notification(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        path = await path_of_forward(office)
        replies = await office.receive(None, [str(path)], SPOOF)
        assert codes(replies)[-1] == (550, "5.7.1")

    in_office(tmp_path, work)


def test_what_proves_to_be_ours_goes_on(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        examine(office, names({"_dmarc.posthouse.test": {"TXT": "v=DMARC1; p=reject"}}))
        await office.alias(INFO, DAVE)
        ours = dkim_signing.sign(SPOOF, keys(OURS)[:1], BEGIN) + SPOOF
        assert codes(await office.receive("news@elsewhere.test", [INFO], ours))[-1] == (250, "2.0.0")
        assert await office.waiting_for() == [DAVE]

    in_office(tmp_path, work)


def test_a_domain_that_asks_for_nothing_is_sent_on_without_proof(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        examine(office)
        await office.alias(INFO, DAVE)
        assert codes(await office.receive("web@elsewhere.test", [INFO], SPOOF))[-1] == (250, "2.0.0")

    in_office(tmp_path, work)


def test_suspect_mail_is_not_sent_on(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        examine(office)
        await office.alias(INFO, DAVE)
        spoof = LETTER.replace(b"carol@far.test", b"erin@strict.test")
        replies = await office.receive("mallory@elsewhere.test", [INFO], spoof)
        assert codes(replies)[-1] == (550, "5.7.1")
        assert "suspect mail is not sent on" in replies[-1].text
        # Whoever lives here finds the same in Junk.
        assert codes(await office.receive("mallory@elsewhere.test", [ALICE], spoof))[-1] == (250, "2.0.0")

    in_office(tmp_path, work)


@pytest.mark.parametrize("rcpts", [[ALICE, INFO], [INFO, ALICE], ["team@posthouse.test"]])
def test_who_lives_here_gets_suspect_mail_into_junk_though_others_elsewhere_do_not(
    tmp_path: Path, rcpts: list[str]
) -> None:
    async def work(office: Office) -> None:
        examine(office)
        await office.alias(INFO, DAVE)
        await office.alias("team@posthouse.test", ALICE, DAVE)
        spoof = LETTER.replace(b"carol@far.test", b"erin@strict.test")
        asked = [RcptTo(Address.parse(rcpt), notify=Notify.SUCCESS) for rcpt in rcpts]
        replies = await office.receive("mallory@elsewhere.test", asked, spoof)
        assert codes(replies)[-1] == (250, "2.0.0")
        assert len(await office.mailbox(ALICE, SpecialUse.JUNK)) == 1
        assert DAVE not in await office.waiting_for()
        journey = await office.journey(replies[-1])
        (dropped,) = [stamp for stamp in journey.stamps if stamp.step is Step.DROPPED]
        assert dropped.facts == {"address": DAVE, "reason": f"not sent on: suspect mail (<{DAVE}>)"}
        # Told where it happens, after the decision that it follows from.
        order = [Step.DECISION, Step.DELIVERED, Step.DROPPED]
        assert [stamp.step for stamp in journey.stamps if stamp.step in order] == order
        # Nobody who may never have written is told that it was delivered.
        assert Step.BOUNCED not in [stamp.step for stamp in journey.stamps]
        assert await office.queued() == []

    in_office(tmp_path, work)


def test_who_lives_here_gets_what_borrows_our_name_though_it_does_not_go_on(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await office.alias("team@posthouse.test", ALICE, DAVE)
        asked = [RcptTo(Address.parse(rcpt), notify=Notify.SUCCESS) for rcpt in (ALICE, "team@posthouse.test")]
        replies = await office.receive("mallory@elsewhere.test", asked, SPOOF)
        assert codes(replies)[-1] == (250, "2.0.0")
        assert len(await office.mailbox(ALICE)) == 1
        assert DAVE not in await office.waiting_for()
        journey = await office.journey(replies[-1])
        (dropped,) = [stamp for stamp in journey.stamps if stamp.step is Step.DROPPED]
        assert "in our own name" in str(dropped.facts["reason"])
        # Nobody is told of a delivery to the whole group.
        assert [stamp.facts["about"] for stamp in journey.stamps if stamp.step is Step.BOUNCED] == [[ALICE]]

    in_office(tmp_path, work)


@pytest.mark.parametrize("author", ["erin@strict.test", ALICE])
def test_a_message_that_may_not_be_sent_on_is_refused_with_a_journey(tmp_path: Path, author: str) -> None:
    async def work(office: Office) -> None:
        examine(office, names({"_dmarc.posthouse.test": {"TXT": "v=DMARC1; p=none"}}))
        await office.alias(INFO, DAVE)
        forged = b"Authentication-Results: mx.posthouse.test; dmarc=pass\r\n"
        spoof = forged + LETTER.replace(b"carol@far.test", author.encode())
        reply = (await office.receive("mallory@elsewhere.test", [INFO], spoof))[-1]
        assert (reply.code, reply.enhanced) == (550, "5.7.1")
        journey = await office.journey(reply)
        assert steps(journey)[-2:] == [Step.DECISION, Step.REFUSED]
        (decision,) = [stamp for stamp in journey.stamps if stamp.step is Step.DECISION]
        assert (decision.facts["action"], decision.facts["rule"]) == ("reject", "forward")
        (refused,) = [stamp for stamp in journey.stamps if stamp.step is Step.REFUSED]
        assert refused.facts["reply"] == str(reply)
        # What was found out stands there as for every refusal, and neither body stays.
        assert Step.VERDICT in steps(journey)
        assert await office.db.read(lambda tx: tx.all("SELECT blob_id FROM blobs")) == []

    in_office(tmp_path, work)


@pytest.mark.parametrize("rcpts", [[INFO], [ALICE, INFO]])
@pytest.mark.parametrize(("mail_from", "broken"), [(CAROL, FAR), (ALICE, OURS)])
def test_a_fault_of_the_dns_keeps_nothing_from_anybody_for_good(
    tmp_path: Path, mail_from: str, broken: str, rcpts: list[str]
) -> None:
    async def work(office: Office) -> None:
        examine(office, names({broken: {"TXT": "SERVFAIL"}, "_dmarc.posthouse.test": {"TXT": "v=DMARC1; p=none"}}))
        await office.alias(INFO, DAVE)
        reply = (await office.receive(mail_from, rcpts, LETTER.replace(CAROL.encode(), mail_from.encode())))[-1]
        assert (reply.code, reply.enhanced) == (451, "4.7.5")
        assert await office.mailbox(ALICE) == await office.mailbox(ALICE, SpecialUse.JUNK) == []
        (decision,) = [stamp for stamp in (await office.journey(reply)).stamps if stamp.step is Step.DECISION]
        assert (decision.facts["action"], decision.facts["rule"]) == ("defer", "forward")

    in_office(tmp_path, work)


def test_a_key_that_changes_nothing_is_not_waited_for(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        lost = {"_dmarc.strict.test": {"TXT": "v=DMARC1; p=quarantine"}, keys(FAR)[0].dns_name: {"TXT": "SERVFAIL"}}
        examine(office, names(lost))
        await office.alias(INFO, DAVE)
        suspect = SIGNED.replace(b"From: Carol <carol@far.test>", b"From: Erin <erin@strict.test>")
        assert codes(await office.receive("mallory@elsewhere.test", [INFO], suspect))[-1] == (550, "5.7.1")
        assert codes(await office.receive("mallory@elsewhere.test", [ALICE, INFO], suspect))[-1] == (250, "2.0.0")
        assert len(await office.mailbox(ALICE, SpecialUse.JUNK)) == 1

    in_office(tmp_path, work)


def test_the_octets_go_on_as_they_came(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        await give_keys(office)
        examine(office)
        await office.alias(INFO, DAVE)
        await office.receive(CAROL, [INFO], SIGNED)
        message = await queued(office)
        assert await office.blobs.read(message.blob_id) == SIGNED
        fields = [field.key for field in Message.parse(message.prefix).header.fields]
        assert fields[:4] == ["delivered-to", "arc-seal", "arc-message-signature", "arc-authentication-results"]

    in_office(tmp_path, work)
