"""How much is too much: counts that fade with time, in bounded memory, and the networks an address belongs to.

    failures = Tally(half_life=300.0, most=50_000)
    for network in networks("192.0.2.7"):          # its /32, /26 and /21
        failures.add(network, now)                 # now in seconds of a monotonic clock
    if failures.count(network, now) >= 160: …

Nothing here locks anybody out for good: every count halves with time. When more keys come than are kept, those longest
untouched are forgotten; wide networks are counted beside narrow ones, so an attacker who brings many addresses to push
his own out of memory still meets the count of his network.
"""

from collections import OrderedDict
from collections.abc import Hashable
from ipaddress import IPv6Address
from typing import Protocol


class Counts(Protocol):
    """A count for each key; `now` in seconds of a monotonic clock. A `Tally`, or a `Sketch` of many processes."""

    def add(self, key: Hashable, now: float, amount: float = 1.0) -> float:
        """Count `amount` more; gives the new count."""
        ...

    def count(self, key: Hashable, now: float) -> float:
        """The count as it has faded by now; 0.0 for an unknown key."""
        ...

    def forget(self, key: Hashable, now: float) -> None: ...


class Tally:
    """Counts per key that halve every `half_life` seconds. At most `most` keys are kept."""

    __slots__ = ("_counts", "_half_life", "_most")

    def __init__(self, half_life: float, most: int = 50_000) -> None:
        self._half_life = half_life
        self._most = most
        self._counts: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def add(self, key: Hashable, now: float, amount: float = 1.0) -> float:
        count = self.count(key, now) + amount
        self._counts[key] = (count, now)
        self._counts.move_to_end(key)
        if len(self._counts) > self._most:
            self._counts.popitem(last=False)
        return count

    def count(self, key: Hashable, now: float) -> float:
        kept = self._counts.get(key)
        if kept is None:
            return 0.0
        count, at = kept
        # A clock that steps back does not make counts grow.
        return float(count * 0.5 ** (max(0.0, now - at) / self._half_life))

    def forget(self, key: Hashable, now: float) -> None:
        self._counts.pop(key, None)

    def __len__(self) -> int:
        return len(self._counts)


# The widths of networks whose failures are counted, narrowest first.
IPV4_WIDTHS = (32, 26, 21)
IPV6_WIDTHS = (64, 48, 32)


def networks(ip: str) -> tuple[tuple[int, int, int], ...]:
    """The networks an address belongs to, narrowest first, as (version, width, leading bits): cheap to hash."""
    if ":" in ip:
        bits = int(IPv6Address(ip.partition("%")[0]))
        return tuple((6, width, bits >> (128 - width)) for width in IPV6_WIDTHS)
    a, b, c, d = ip.split(".")
    bits = int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d)
    return tuple((4, width, bits >> (32 - width)) for width in IPV4_WIDTHS)
