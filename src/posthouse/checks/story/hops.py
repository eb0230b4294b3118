"""The way of a message, as its Received fields tell it: from the bottom of the header, where it set out, to the top.

    way = hops(header)
    way[0].client, way[1].delay                # who began it, and how long the second hop took, in microseconds

Each host on the way puts a field on top (RFC 5321 §4.4), with its own clock and in its own time zone; the times here
are points in time, so that two clocks on two sides of the world can be compared. `trust` finds out whom to believe,
`consistency` what cannot be true.
"""

from dataclasses import dataclass, replace
from typing import Final

from posthouse.mail.headers import Header
from posthouse.mail.instant import Instant
from posthouse.mail.received import Received, parse_received

# Four times what any server lets through (THREATS: 50); of a header with more the topmost are told.
HOPS: Final = 200


@dataclass(frozen=True, slots=True)
class Hop:
    """One Received field. `number` counts from the top of the header, as a reader finds it there; 1 is the newest.

    `place` is its index among all fields of the header. `delay` is the time since the hop before it (the last one
    whose time is known) in microseconds, negative where the clocks say so, and None where there is nothing to compare,
    as where a time is in no zone that is known.
    `trusted` where a host of our own wrote it.
    """

    number: int
    place: int
    received: Received
    delay: Instant | None = None
    trusted: bool = False

    @property
    def at(self) -> Instant | None:
        return self.received.at

    @property
    def where(self) -> str:
        """As a person would say which field it is."""
        return f"Received {self.number}"

    @property
    def by(self) -> str:
        """Who wrote it, in lower case; "" where it does not say."""
        return self.received.by.lower().rstrip(".")

    @property
    def client(self) -> str:
        """The best name of who brought it: what it called itself, else the name of its address, else that."""
        received = self.received
        return (received.frm or received.host or received.ip).lower().rstrip(".")


def hops(header: Header) -> tuple[Hop, ...]:
    """In the order of travel; the topmost 200 fields are looked at. Linear."""
    found: list[Hop] = []
    for place, field in enumerate(header.fields):
        if field.key == "received":
            found.append(Hop(len(found) + 1, place, parse_received(field.value)))
            if len(found) == HOPS:
                break
    found.reverse()
    before: Instant | None = None
    for at, hop in enumerate(found):
        if hop.at is not None and not hop.received.unzoned:
            found[at] = replace(hop, delay=hop.at - before) if before is not None else hop
            before = hop.at
    return tuple(found)
