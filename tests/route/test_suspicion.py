"""What single accounts make of a message: lookalikes, impostors, reputation, junk; Junk for one and not for another."""

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from posthouse.checks.lookalike import Kin, Known
from posthouse.mail.address import Address
from posthouse.mail.journey import Step
from posthouse.mail.message import Message
from posthouse.route import suspicion
from posthouse.route.authentication import Authentication, CheckSettings
from posthouse.route.opinion import Opinion
from posthouse.route.reception import Inspection, Reception
from posthouse.store import directory
from posthouse.store.database import Fault, StoreFault
from posthouse.store.junk import Kind
from posthouse.store.mailboxes import SpecialUse
from route.asked import ZoneResolver, case
from route.office import STRANGER, Office, in_office
from route.watching import ALICE, BOB, CAROL, GOOD_BODY, JUNK_BODY, PLAIN, RECORDS, Watch, teach, watched


def test_a_letter_from_nobody_in_particular_gets_no_opinion(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        reply = await watch.receive()
        assert await watch.verdicts(reply) == {}
        assert await watch.warning(reply) == ""
        (filed,) = await watch.office.mailbox(ALICE)
        assert b"Posthouse-Warning" not in filed.prefix

    watched(tmp_path, work)


def test_a_domain_that_looks_like_ours_brings_a_warning_and_stays_in_the_inbox(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        reply = await watch.receive("it@p0sthouse.test")
        result, reason = (await watch.verdicts(reply))["lookalike"]
        assert result == "fail"
        assert reason.startswith("looks like posthouse.test, but ")
        assert (await watch.warning(reply)).startswith("looks like posthouse.test, but ")
        (filed,) = await watch.office.mailbox(ALICE)
        warning = Message.parse(filed.prefix + b"\r\n").header.text("posthouse-warning")
        assert warning.startswith("This message looks like posthouse.test, but ")
        assert warning.endswith(".")
        assert filed.prefix.index(b"Posthouse-Warning") < filed.prefix.index(b"Received:")

    watched(tmp_path, work)


def test_a_lookalike_of_a_correspondent_is_told_to_whoever_knows_him(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        await watch.know(Address("carol", "example.com"), "Carol")
        reply = await watch.receive("carol@exarnple.com", [ALICE, BOB])
        assert (await watch.verdicts(reply, ALICE))["lookalike"][0] == "fail"
        assert "example.com" in await watch.warning(reply, ALICE)
        assert await watch.verdicts(reply, BOB) == {}
        assert await watch.warning(reply, BOB) == ""

    watched(tmp_path, work)


def test_a_name_of_the_settings_is_protected(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        reply = await watch.receive('"PayPal Service" <info@strange.test>')
        assert await watch.warning(reply) == "calls itself PayPal, but is from strange.test"

    watched(tmp_path, work, [Known("paypal.com", Kin.PROTECTED, "PayPal")])


def test_the_name_of_our_domain_is_told_to_an_account_that_knows_nobody(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        reply = await watch.receive('"Posthouse Helpdesk" <info@strange.test>')
        assert await watch.warning(reply) == "calls itself posthouse.test, but is from strange.test"

    watched(tmp_path, work)


def test_the_name_of_a_colleague_before_a_strange_address_is_told(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        bob = watch.office.accounts[BOB]
        await watch.office.db.write(lambda tx: directory.set_name(tx, bob, "Robert Miller"))
        reply = await watch.receive("Robert Miller <robert.miller77@gmail.com>")
        assert "has the name of Robert Miller <bob@posthouse.test>" in await watch.warning(reply)

    watched(tmp_path, work)


def test_people_of_other_domains_of_the_house_are_not_told_of(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        stranger = await watch.office.add("zoe@other.test")
        await watch.office.db.write(lambda tx: directory.set_name(tx, stranger, "Zoe Secret"))
        reply = await watch.receive("Zoe Secret <zoe@gmail.com>")
        assert await watch.warning(reply) == ""
        reply = await watch.receive("Zoe Secret <zoe@gmail.com>", ["zoe@other.test"])
        assert "has the name of Zoe Secret" in await watch.warning(reply, "zoe@other.test")

    watched(tmp_path, work)


def test_money_in_a_hurry_and_an_answer_elsewhere_add_up_to_a_warning_and_nothing_is_dropped(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        bob = watch.office.accounts[BOB]
        await watch.office.db.write(lambda tx: directory.set_name(tx, bob, "Robert Miller"))
        reply = await watch.receive(
            "Robert Miller <boss@strange.test>", subject="Urgent wire transfer",
            body="Please process a payment to our new bank account. It is urgent. I am in a meeting, do not call.",
            fields="Reply-To: ceo.office@gmail.com\r\n",
        )
        warning = await watch.warning(reply)
        assert "may be an attempt to get at money" in warning
        assert "ceo.office@gmail.com" in warning
        (filed,) = await watch.office.mailbox(ALICE)
        assert b"\r\nPosthouse-Warning: This message " in b"\r\n" + filed.prefix
        assert (await watch.verdicts(reply))["impostor"][0] == "softfail"

    watched(tmp_path, work)


def test_a_new_account_of_an_acquaintance_whom_nothing_proves_brings_a_warning(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        body = "Our bank details have changed, please send the payment there."
        for domain, warned in (("far.test", False), ("nobody.test", True)):
            await watch.know(Address("carol", domain), "Carol")
            reply = await watch.receive(f"Carol <carol@{domain}>", body=body)
            assert (f"nothing proves that it is from {domain}" in await watch.warning(reply)) is warned

    watched(tmp_path, work)


def test_what_is_a_mere_curiosity_is_told_on_the_journey_alone(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        reply = await watch.receive(fields="Reply-To: desk@helpers.test\r\n")
        result, reason = (await watch.verdicts(reply))["impostor"]
        assert (result, "helpers.test" in reason) == ("neutral", True)
        assert await watch.warning(reply) == ""

    watched(tmp_path, work)


def test_a_list_that_nothing_proves_is_no_reason_to_send_answers_there(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        reply = await watch.receive(fields="Reply-To: desk@helpers.test\r\nList-Id: <desk.helpers.test>\r\n")
        assert (await watch.verdicts(reply))["impostor"][0] == "neutral"

    watched(tmp_path, work)


def test_what_is_hidden_is_found_by_an_account_that_knows_nobody(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        address = await watch.receive('"alice@posthouse.test" <x@strange.test>')
        assert "calls itself alice@posthouse.test" in await watch.warning(address)
        turned = await watch.receive(subject="=?utf-8?q?in=E2=80=AEgpj.exe?=")
        assert "turns the direction" in await watch.warning(turned)
        attached = await watch.receive(
            fields='MIME-Version: 1.0\r\nContent-Type: application/x; name="=?utf-8?q?x=E2=80=AEfdp=2Eexe?="\r\n'
                   'Content-Disposition: attachment; filename="=?utf-8?q?x=E2=80=AEfdp=2Eexe?="\r\n'
        )  # fmt: skip
        assert "attachment whose name is read backwards" in await watch.warning(attached)

    watched(tmp_path, work)




@pytest.mark.parametrize(
    ("octets", "plain"),
    [
        (PLAIN, True),
        (PLAIN.replace(b"Carol", b"=?utf-8?q?Carol?="), False),
        (PLAIN.replace(b"Carol", "Cárol".encode()), False),
        (PLAIN.replace(b"Carol", b'"carol@far.test"'), False),
        (PLAIN.replace(b"Lunch", b"=?utf-8?q?Lunch?="), False),
        (b"Reply-To: x@y.test\r\n" + PLAIN, False),
        (b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=x.pdf\r\n" + PLAIN, False),
    ],
)
def test_only_what_is_plain_is_passed_over(octets: bytes, plain: bool) -> None:
    assert suspicion.is_plain(case(octets)) is plain



def test_what_looks_like_the_junk_of_one_account_is_junk_for_that_one_alone(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        await teach(watch)
        reply = await watch.receive("new@strange.test", [ALICE, BOB], subject="Your pills", body=JUNK_BODY)
        assert "Your pills" in await watch.subjects(ALICE, SpecialUse.JUNK)
        assert await watch.subjects(BOB, SpecialUse.INBOX) == ["Your pills"]
        result, reason = (await watch.verdicts(reply))["bayes"]
        assert result == "fail"
        assert "most of all by “cheap”" in reason
        assert await watch.verdicts(reply, BOB) == {}
        journey = await watch.office.journey(reply)
        decided = [stamp.facts for stamp in journey.stamps if stamp.step is Step.DECISION]
        done = [(facts["action"], facts.get("account")) for facts in decided]
        assert done == [("accept", None), ("quarantine", ALICE)]
        (judged,) = [stamp.facts for stamp in journey.stamps if stamp.facts.get("method") == "bayes"]
        assert any(str(clue).startswith("pharmacy ") for clue in judged["clues"])  # type: ignore[union-attr]

    watched(tmp_path, work)


def test_good_mail_goes_on_coming_in(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        await teach(watch)
        reply = await watch.receive("friend99@far.test", subject="Minutes", body=GOOD_BODY)
        assert (await watch.verdicts(reply))["bayes"][0] == "pass"
        assert "Minutes" in await watch.subjects(ALICE, SpecialUse.INBOX)

    watched(tmp_path, work)


def test_an_account_that_has_called_little_anything_has_no_opinion(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        await teach(watch, count=9)
        reply = await watch.receive("new@strange.test", subject="Your pills", body=JUNK_BODY)
        assert await watch.verdicts(reply) == {}
        assert "Your pills" in await watch.subjects(ALICE, SpecialUse.INBOX)

    watched(tmp_path, work)


def test_who_is_known_and_proved_is_never_junk_for_his_words(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        await teach(watch)
        await watch.know(CAROL)
        reply = await watch.receive("carol@far.test", subject="Look at this", body=JUNK_BODY)
        assert (await watch.verdicts(reply))["bayes"][0] == "fail"
        assert "Look at this" in await watch.subjects(ALICE, SpecialUse.INBOX)
        # Somebody who only says that he is Carol is nobody's friend.
        await watch.know(Address("dave", "unproven.test"))
        await watch.receive("dave@unproven.test", subject="And this", body=JUNK_BODY)
        assert "And this" in await watch.subjects(ALICE, SpecialUse.JUNK)

    watched(tmp_path, work)


def test_a_sender_whose_mail_was_junk_each_time_is_junk(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        for number in range(suspicion.CALLED_JUNK):
            await watch.receive("news@shop.test", subject=f"News {number}")
            await watch.call(ALICE, Kind.JUNK)
        reply = await watch.receive("offers@shop.test", subject="Once more")
        assert (await watch.verdicts(reply))["reputation"][0] == "fail"
        assert "Once more" in await watch.subjects(ALICE, SpecialUse.JUNK)
        reply = await watch.receive("news@far.test", subject="Lunch")
        assert "reputation" not in await watch.verdicts(reply)
        # Who only calls himself so is not he: the policy is for him.
        office = watch.office
        octets = b"From: news@shop.test\r\nDate: Sun, 15 Jun 2025 15:06:40 +0000\r\nMessage-ID: <x@x>\r\n\r\nx\r\n"
        spoofer = replace(STRANGER, ip="198.51.100.9")
        spoof = (await office.hand_in(office.reception, spoofer, "x@evil.test", [ALICE], octets))[-1]
        assert "reputation" not in await watch.verdicts(spoof)

    watched(tmp_path, work)


def test_of_a_provider_for_everybody_each_address_has_a_reputation_of_its_own() -> None:
    assert suspicion.origin_of(Address("spammer", "gmail.com")) == "spammer@gmail.com"
    assert suspicion.origin_of(Address("news", "mail.shop.co.uk")) == "shop.co.uk"


def test_a_sender_whose_mail_was_good_each_time_is_not_junk_for_his_words(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        await teach(watch)
        for number in range(suspicion.CALLED_GOOD):
            await watch.receive("news@shop.test", subject=f"News {number}", body=GOOD_BODY)
        await watch.call(ALICE, Kind.GOOD)
        reply = await watch.receive("news@shop.test", subject="Pharmacy", body=JUNK_BODY)
        verdicts = await watch.verdicts(reply)
        assert (verdicts["reputation"][0], verdicts["bayes"][0]) == ("pass", "fail")
        assert "Pharmacy" in await watch.subjects(ALICE, SpecialUse.INBOX)

    watched(tmp_path, work)


def test_a_large_message_is_looked_at_where_it_lies(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        bob = watch.office.accounts[BOB]
        await watch.office.db.write(lambda tx: directory.set_name(tx, bob, "Robert Miller"))
        filler = "\r\n".join(["and so on and on it goes with words of no meaning"] * 12_000)
        reply = await watch.receive(
            "Robert Miller <boss@strange.test>", subject="Payment", fields="Reply-To: ceo@gmail.com\r\n",
            body=f"Urgent: make a payment to the new bank account.\r\n{filler}",
        )
        assert "may be an attempt to get at money" in await watch.warning(reply)

    watched(tmp_path, work)


def test_a_store_that_cannot_be_asked_leaves_no_opinion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(watch: Watch) -> None:
        async def broken(*args: object) -> None:
            raise StoreFault(Fault.BUSY, "too much to do")

        monkeypatch.setattr(watch.acquaintances, "of", broken)
        reply = await watch.receive("it@p0sthouse.test")
        assert await watch.verdicts(reply) == {}

    watched(tmp_path, work)


def test_an_opinion_in_the_letter_files_one_copy_into_junk_and_remembers(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        remembered: list[int] = []

        class Mood:
            async def opinions(self, *args: object) -> dict[int, Opinion]:
                also = lambda tx: remembered.append(1)  # noqa: E731
                return {office.accounts[BOB]: Opinion(junk="it is boring", warning="is “boring”", also=also)}

        office.reception = Reception(office.acceptance, inspection=Inspection(suspicion=Mood()))
        await office.receive("carol@far.test", [ALICE, BOB])
        assert len(await office.mailbox(ALICE)) == 1
        assert await office.mailbox(BOB) == []
        (filed,) = await office.mailbox(BOB, SpecialUse.JUNK)
        assert Message.parse(filed.prefix + b"\r\n").header.text("posthouse-warning") == 'This message is "boring".'
        assert filed.prefix.isascii()
        assert remembered

    in_office(tmp_path, work)


def test_a_long_warning_is_folded_and_cut() -> None:
    opinion = Opinion(warning="looks odd; " * 500)
    lines = opinion.fields.split(b"\r\n")
    assert all(len(line) <= 78 for line in lines)
    assert len(opinion.fields) < 1_200


def test_of_an_enormous_message_only_the_header_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspicion, "LOOKED_AT", 2_000)

    async def work(watch: Watch) -> None:
        filler = "\r\n".join(["and so on and on it goes with words of no meaning"] * 100)
        reply = await watch.receive(
            '"bob@posthouse.test" <boss@strange.test>', subject="Payment", fields="Reply-To: ceo@gmail.com\r\n",
            body=f"Urgent: make a payment to the new bank account.\r\n{filler}",
        )
        warning = await watch.warning(reply)
        assert "calls itself bob@posthouse.test" in warning
        assert "get at money" not in warning

    watched(tmp_path, work)


def test_mail_from_a_trusted_network_is_nobodys_suspicion(tmp_path: Path) -> None:
    async def work(watch: Watch) -> None:
        settings = CheckSettings("mx.posthouse.test", (ip_network("192.0.2.0/24"),))
        checks = Authentication(ZoneResolver(RECORDS), settings)
        inspection = watch.office.reception._inspection
        watch.office.reception._inspection = replace(inspection, authentication=checks)
        reply = await watch.receive("it@p0sthouse.test")
        assert await watch.verdicts(reply) == {}

    watched(tmp_path, work)
