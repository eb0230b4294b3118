"""Where trust begins: which Received fields were written by hosts of our own, and which are only what strangers claim.

    trust = find(hops(header), hosts={"mx.posthouse.test"})
    trust.entry.received.ip          who really brought it
    trust.how                        "mx.posthouse.test took it from 192.0.2.1"

Whoever sends a message may put any field into it, but only below those that later hosts put on top. So the top is
believed, down to the field in which a host of our own says that it took the message from outside. Where nobody says
which hosts are ours, they are those of the organization that wrote the topmost field: the file comes from its mailbox.

What a client calls itself is its own choice, and behind a proxy strangers have private addresses too. So a step over
such an address is an assumption, which `through` remembers; and no host hands a message to itself that way.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from posthouse.checks.story.hops import Hop
from posthouse.checks.story.networks import inside, is_inside_name, is_public_name, same_network
from posthouse.checks.suffixes import registrable

# How programs that fetch mail from a mailbox name what they did.
_FETCHED = frozenset(("IMAP", "IMAPS", "IMAP4", "POP3", "POP3S", "POP"))
_is_smtp = re.compile(r"(?:UTF8|E)?SMTP(?:SA|S|A)?").fullmatch
_is_submitted = re.compile(r"(?:UTF8|E)SMTPS?A").fullmatch
# "by host (192.0.2.7)", "by host ([IPv6:2001:db8::7])"
_find_own_address = re.compile(r"\bby\s+\S+\s+\(\[?(?:IPv6:)?([0-9A-Fa-f:.]{3,45})\]?[ )]", re.IGNORECASE).search


class Trust(NamedTuple):
    """`hops` in the order of travel, those of our own marked; `entry` is the one that took the message from outside.

    `entry` is None where no field is trusted. `assumed` where nobody said which hosts are ours. `how` is a sentence.
    `through` is the topmost one that was handed the message over a private network, where fields below it are trusted:
    that it was another host of ours is likely, and no more.
    """

    hops: tuple[Hop, ...]
    entry: Hop | None
    assumed: bool
    how: str
    through: Hop | None = None

    def ours(self, name: str) -> bool:
        """Whether a host belongs to the organization of those that are trusted."""
        return bool(name) and any(_organization(hop.by) == _organization(name) for hop in self.hops if hop.trusted)


def find(way: Sequence[Hop], hosts: Collection[str] = (), ip: str = "") -> Trust:
    """`hosts` are names of our hosts or their domains; `ip` is the client's address where that is known otherwise.

    With an address, and no hosts, nothing is assumed: the only field to be trusted is one that has that address.
    """
    if not way:
        return Trust((), None, not hosts, "it has no Received field: nobody says how it came here")
    searched = _Search({host.lower().rstrip(".") for host in hosts}, ip)
    trusted = searched.walk(tuple(reversed(way)))
    marked = tuple(replace(hop, trusted=hop.number in trusted) for hop in way)
    entry = next((hop for hop in marked if hop.trusted), None)
    through = next(
        (hop for hop in reversed(marked) if hop is not entry and hop.trusted and _is_closed(hop.received.ip)), None
    )
    return Trust(marked, entry, not hosts, searched.sentence(marked, entry), through)


class _Search:
    """The walk from the top down. `_ours` grows by the organizations from which trusted hosts were handed it."""

    def __init__(self, hosts: set[str], ip: str) -> None:
        self._hosts = hosts
        self._ip = ip
        self._ours: set[str] = set()

    def walk(self, downwards: Sequence[Hop]) -> set[int]:
        """The numbers of the fields that are trusted."""
        if self._ip and not self._hosts:
            # Fields above the one that knows the client are younger than that.
            at = next((at for at, hop in enumerate(downwards) if hop.received.ip == self._ip), None)
            return {hop.number for hop in downwards[: at + 1]} if at is not None and self._one(downwards, at) else set()
        trusted: set[int] = set()
        from_inside = fetched = False
        before: Hop | None = None
        for hop in downwards:
            if before is not None and not fetched and hop.by == before.by and _is_closed(before.received.ip):
                break
            before = hop
            if not (fetched or self._is_ours(hop.by, from_inside or not (trusted or self._hosts))):
                break
            trusted.add(hop.number)
            self._adopt(hop.by)
            # Whatever was fetched lay in a mailbox of ours, and the topmost field below is by the server of that.
            fetched = hop.received.protocol in _FETCHED
            if not (fetched or self._came_from_inside(hop)):
                break
            from_inside = True
            self._adopt((hop.received.host or hop.received.frm).lower())
        return trusted

    def sentence(self, way: Sequence[Hop], entry: Hop | None) -> str:
        if entry is None and self._hosts:
            return f"the topmost Received field is by {way[-1].by or 'nobody'}, which is none of ours"
        if entry is None:
            return f"no Received field tells of {self._ip}: all of them came with it"
        taken = entry.received.ip or entry.client or "a program on the same machine"
        return f"{entry.by or 'the topmost host'} took it from {taken}"

    def _adopt(self, name: str) -> None:
        if is_public_name(name):
            self._ours.add(_organization(name))

    def _one(self, downwards: Sequence[Hop], at: int) -> bool:
        """Whether all fields down to one are by a single organization."""
        return len({_organization(hop.by) for hop in downwards[: at + 1] if is_public_name(hop.by)}) <= 1

    def _is_ours(self, by: str, welcome: bool) -> bool:
        """`welcome`: what has no name of its own, or any name, is believed because of where it stands."""
        if self._hosts and any(by == host or by.endswith(f".{host}") for host in self._hosts):
            return True
        if not welcome:
            return False
        return not is_public_name(by) or not self._ours or _organization(by) in self._ours

    def _came_from_inside(self, hop: Hop) -> bool:
        """Whether the host that wrote the field was handed the message by another one of its own house."""
        received = hop.received
        if received.ip:
            if inside(received.ip):
                # Behind a proxy strangers have such addresses as well: who bears the name of another house is one.
                frm = received.frm.lower().rstrip(".")
                return not is_public_name(frm) or self._is_ours(frm, False) or _organization(frm) in self._ours
            own = _find_own_address(received.raw)
            return bool(
                (received.host and self._is_ours(received.host.lower(), False))
                or (received.host and _organization(received.host.lower()) in self._ours)
                or (own is not None and same_network(own[1], received.ip))
            )
        if not received.frm:
            # Who logs in to submit is not told, and may have written the rest.
            return not _is_submitted(received.protocol)
        # Without an address there is but the name to go by, which is whatever a client of SMTP says.
        local = received.raw.startswith("(from ") or bool(received.protocol and not _is_smtp(received.protocol))
        return local and is_inside_name(received.frm)


def _is_closed(ip: str) -> bool:
    """Whether an address is of a network of several machines that is closed to the world."""
    return inside(ip) not in ("", "this machine")


def _organization(name: str) -> str:
    """The registrable domain of a host; the name itself where there is none."""
    return registrable(name) or name
