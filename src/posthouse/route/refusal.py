"""Refusing a message that has come in whole: its journey is kept, so that `posthouse trace` can tell why.

    reply = await refusals.refuse(letter, peer.ip, decision.reply, units)

Spoofs come by the thousand, and nobody may fill our disk with what we did not even take: of one network, and of all
together, so many journeys are kept in a minute, and refused ones are forgotten earlier than others
(`store.refusals`). What is not kept is still logged and counted.
"""

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Final

from posthouse.mail.instant import MINUTE, Instant
from posthouse.mail.journey import Stamp, Step
from posthouse.mail.reply import Reply
from posthouse.route.acceptance import TAKEN, Acceptance
from posthouse.route.letter import Letter, opening
from posthouse.route.observer import Observer
from posthouse.store import journeys, refusals
from posthouse.store.database import StoreFault, Transaction
from posthouse.store.ids import to_text

# Journeys of refused messages kept in a minute, of all clients and of one network (IPv4 /24, IPv6 /64).
KEPT_A_MINUTE: Final = 120
KEPT_OF_A_NETWORK: Final = 30
_NETWORK_BITS: Final = {4: 24, 6: 64}

Unit = Callable[[Transaction], None]


class Refusals:
    """Those of one desk."""

    def __init__(self, acceptance: Acceptance, observer: Observer) -> None:
        self._acceptance = acceptance
        self._observer = observer
        self._minute = 0
        self._kept = 0
        self._of_network: dict[tuple[int, int], int] = {}

    async def refuse(self, letter: Letter, ip: str, reply: Reply, units: Sequence[Unit] = ()) -> Reply:
        """Writes the journey down, with `units`, throws the content away, and gives the reply for the client.

        `letter` is what it would have been accepted as. A store that fails changes nothing in the reply but that it
        names no journey.
        """
        queue_id = to_text(letter.journey_id)
        kept = self._may_keep(ip, letter.now)
        said = Reply(reply.code, reply.enhanced, f"{reply.text} ({queue_id})") if kept else reply
        stamps = _stamps(letter, said)

        def write(tx: Transaction) -> None:
            for unit in units:
                unit(tx)
            if kept:
                journeys.begin(tx, letter.journey_id, letter.reading.message.message_id, stamps)
                refusals.note(tx, letter.journey_id)

        if kept or units:
            try:
                await self._acceptance.db.write(write, quick=True)
            except StoreFault as fault:
                self._observer.failed("writing down a refusal", fault)
                said = reply
        self._observer.happened("refused", queue_id, stamps)
        return await self._acceptance.refuse(letter.content, said)

    def _may_keep(self, ip: str, now: Instant) -> bool:
        minute = now // MINUTE
        if minute != self._minute:
            self._minute, self._kept = minute, 0
            self._of_network.clear()
        if self._kept >= KEPT_A_MINUTE:
            return False
        address = ip_address(ip)
        network = (address.version, int(address) >> (address.max_prefixlen - _NETWORK_BITS[address.version]))
        count = self._of_network.get(network, 0)
        if count >= KEPT_OF_A_NETWORK:
            return False
        self._of_network[network] = count + 1
        self._kept += 1
        return True


def _stamps(letter: Letter, reply: Reply) -> list[Stamp]:
    taken = [
        Stamp(letter.now, Step.RECIPIENT, {"address": str(rcpt.address), "reply": str(TAKEN)})
        for rcpt in letter.envelope.rcpt_to
    ]
    return [*opening(letter), *taken, *letter.found, Stamp(letter.now, Step.REFUSED, {"reply": str(reply)})]
