"""What is refused after it has come in whole has a journey; how many are kept has a bound."""

from pathlib import Path

import pytest

from posthouse.mail.instant import MINUTE
from posthouse.mail.journey import Stamp, Step
from posthouse.mail.peer import Peer, Role
from posthouse.mail.reply import Reply
from posthouse.route import refusal
from posthouse.route.observer import Observer
from posthouse.route.reception import Reception
from posthouse.store import journeys
from posthouse.store.database import Fault, StoreFault
from posthouse.store.ids import from_text
from route.office import LETTER, Office, codes, in_office, steps

TWO_AUTHORS = b"From: eve@far.test\r\n" + LETTER


class Listening:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, list[Step]]] = []
        self.faults: list[str] = []

    def happened(self, event: str, queue_id: str, stamps: list[Stamp]) -> None:
        self.heard.append((event, queue_id, [stamp.step for stamp in stamps]))

    def failed(self, doing: str, error: BaseException) -> None:
        self.faults.append(doing)


def named(reply: Reply) -> str:
    """The id at the end of a reply, or ""."""
    return reply.text.rpartition("(")[2].removesuffix(")") if reply.text.endswith(")") else ""


def listening(office: Office) -> Listening:
    observer = Listening()
    typed: Observer = observer  # type: ignore[assignment]
    office.reception = Reception(office.acceptance, observer=typed)
    return observer


def test_a_refusal_has_a_journey_that_ends_with_its_reply(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        observer = listening(office)
        wanted = ["nobody@posthouse.test", "alice@posthouse.test"]
        reply = (await office.receive("carol@far.test", wanted, TWO_AUTHORS))[-1]
        assert (reply.code, reply.enhanced) == (550, "5.6.0")
        journey = await office.db.read(lambda tx: journeys.load(tx, from_text(named(reply))))
        assert journey is not None
        told = [Step.CONNECTED, Step.ENVELOPE, Step.RECIPIENT, Step.RECEIVED, Step.DECISION, Step.REFUSED]
        assert steps(journey) == told
        facts = {stamp.step: stamp.facts for stamp in journey.stamps}
        assert facts[Step.RECIPIENT]["address"] == "alice@posthouse.test"
        assert (facts[Step.DECISION]["action"], facts[Step.DECISION]["rule"]) == ("reject", "fit-header")
        assert facts[Step.REFUSED]["reply"] == str(reply)
        assert journey.message_id == "lunch@far.test"
        assert observer.heard == [("refused", named(reply), told)]
        assert await office.mailbox("alice@posthouse.test") == []

    in_office(tmp_path, work)


def test_one_network_has_a_bounded_part_of_the_journal_and_all_together_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusal, "KEPT_OF_A_NETWORK", 2)
    monkeypatch.setattr(refusal, "KEPT_A_MINUTE", 3)

    async def work(office: Office) -> None:
        observer = listening(office)

        async def refused(ip: str) -> bool:
            peer = Peer(Role.SMTP, ip, 40_000, helo="mx.far.test", esmtp=True)
            replies = await office.hand_in(
                office.reception, peer, "carol@far.test", ["alice@posthouse.test"], TWO_AUTHORS
            )
            assert codes(replies)[-1] == (550, "5.6.0")
            return bool(named(replies[-1]))

        assert [await refused(ip) for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.3")] == [True, True, False]
        assert [await refused(ip) for ip in ("198.51.100.1", "203.0.113.1", "2001:db8::1")] == [True, False, False]
        # What is not kept is logged all the same.
        assert len(observer.heard) == 6
        office.clock.pass_by(MINUTE)
        assert [await refused(ip) for ip in ("2001:db8::1", "2001:db8::2", "2001:db8::3")] == [True, True, False]

    in_office(tmp_path, work)


def test_a_store_that_fails_changes_nothing_in_the_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(office: Office) -> None:
        observer = listening(office)

        async def broken(*_: object, **__: object) -> None:
            raise StoreFault(Fault.BUSY, "full up")

        monkeypatch.setattr(office.db, "write", broken)
        replies = await office.receive("carol@far.test", ["alice@posthouse.test"], TWO_AUTHORS)
        assert codes(replies)[-1] == (550, "5.6.0")
        assert named(replies[-1]) == ""
        assert observer.faults == ["writing down a refusal"]

    in_office(tmp_path, work)
