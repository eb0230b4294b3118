"""Values of settings that are more than a text or a number: sizes, spans of time, places.

Each is read from the form in which people write it, and says in one line what it should have been.
"""

import re
from ipaddress import ip_address

from posthouse.mail.instant import DAY, HOUR, MINUTE, SECOND

_SIZE = re.compile(r"(\d{1,12})\s*([KMG]i?B|B|)", re.IGNORECASE | re.ASCII)
_SIZE_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_DURATION_PART = re.compile(r"(\d{1,9})(ms|d|h|m|s)", re.ASCII)
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern}\s*)+", re.ASCII)
_DURATION_UNITS = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": SECOND // 1000}
_ENDPOINT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.*-]+)):(\d{1,5})", re.ASCII)


class Size(int):
    """A number of octets; `Size.parse("50 MiB")`."""

    @classmethod
    def parse(cls, text: str) -> "Size":
        """Decimal (KB, MB, GB) and binary (KiB, MiB, GiB) units; ValueError for anything else."""
        found = _SIZE.fullmatch(text.strip())
        if found is None:
            raise ValueError(f'must be a size such as "50 MiB", not "{text}"')
        return cls(int(found[1]) * _SIZE_UNITS[found[2].lower()])


class Duration(int):
    """A span of time in microseconds, as `Instant` counts; `Duration.parse("1h30m")`."""

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """One or more of `5d 4h 30m 10s 250ms` without a sign; ValueError for anything else."""
        if _DURATION.fullmatch(text.strip()) is None:
            raise ValueError(f'must be a span of time such as "90s", "4h" or "5d", not "{text}"')
        return cls(sum(int(n) * _DURATION_UNITS[unit] for n, unit in _DURATION_PART.findall(text)))

    @property
    def seconds(self) -> float:
        return self / SECOND


class Endpoint:
    """A place to listen at or to connect to. `host` is an address, a name, or `*` for every address of the machine."""

    __slots__ = ("host", "port")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """`127.0.0.1:25`, `[::1]:25`, `mail.example:587`, `*:25`; ValueError for anything else."""
        found = _ENDPOINT.fullmatch(text)
        if found is None or int(found[3]) > 65535:
            raise ValueError(f'must be "address:port", such as "127.0.0.1:25", "[::1]:25" or "*:25", not "{text}"')
        if found[1] is not None:
            ip_address(found[1])
        return cls(found[1] or found[2], int(found[3]))

    def __repr__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Endpoint) and (self.host, self.port) == (other.host, other.port)

    def __hash__(self) -> int:
        return hash((self.host, self.port))
