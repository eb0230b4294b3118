"""A `Dns` that answers from a file instead of the network: what-if, old cases and tests, without a server.

    dns = ZoneDns({"example.org": {"MX": ["10 mx.example.org"], "TXT": ["v=spf1 mx -all"]},
                   "mx.example.org": {"A": ["192.0.2.1"]},
                   "slow.example.org": {"ANY": ["TIMEOUT"]}})
    dns = ZoneDns.parse(text)                       # that as JSON, or a master file (RFC 1035 §5)

Data is written as in a master file, but TXT in JSON as the bare text, of any length. The data `TIMEOUT` or `SERVFAIL`
makes that fault for its type, the type `ANY` for all types of the name that are not there; in a master file stands
`slow TXT TIMEOUT`, without quotes. Names are absolute, with or without the trailing dot; in a master file `$ORIGIN`
and `$TTL` count and `$INCLUDE` is refused. Wildcards work (RFC 4592), CNAMEs are followed. The whole DNS is what
stands in the file: any other name does not exist. Types that the port does not ask for only make their name exist.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple

import msgspec

from posthouse.mail.dns import Answer, DnsFault, Mx, Tlsa

CNAME_HOPS = 8
TTL = 300
FAULTS = {"TIMEOUT": "no answer in time", "SERVFAIL": "the server answered SERVFAIL"}

Records = Mapping[str, Mapping[str, str | Sequence[str]]]

# A type for private use carries a fault through the reader of master files.
_FAULT_TYPE = 65_280
_fault_line = re.compile(
    rf"^((?:[^;\"\n]*[ \t])?)([A-Za-z0-9-]+)[ \t]+({'|'.join(FAULTS)})[ \t]*(;.*)?$",
    re.MULTILINE | re.IGNORECASE,
)
_without_place = re.compile(r"<zone>:\d+: ?").sub


class ZoneError(ValueError):
    """A file that is no zone; its text is a sentence that names the place."""


class ZoneDns:
    """`posthouse.mail.dns.Dns` over records at hand. ZoneError for data that cannot be read."""

    def __init__(self, records: Records) -> None:
        self._names: dict[str, dict[str, list[Any]]] = {}
        # RFC 8020: a name with something below it exists, though it has no records itself.
        self._above: set[str] = set()
        for name, types in records.items():
            for kind, data in types.items():
                texts = (data,) if isinstance(data, str) else data
                self._add(name, kind.upper(), [_Fault(text) if text in FAULTS else text for text in texts])

    @classmethod
    def parse(cls, text: str) -> "ZoneDns":
        """From JSON `{name: {type: [data]}}` or a master file. ZoneError."""
        if not text.lstrip().startswith("{"):
            zone = cls({})
            for name, kind, data in _master_file(text):
                zone._add(name, kind, [data])
            return zone
        try:
            # The reader of the standard library also takes what stands for single octets ("\udc96").
            records = msgspec.convert(json.loads(text), type=dict[str, dict[str, str | list[str]]])
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ZoneError(f"the zone is no JSON of names, types and data: {error}") from None
        return cls(records)

    async def a(self, name: str) -> Answer[str]:
        return self.find(name, "A")

    async def aaaa(self, name: str) -> Answer[str]:
        return self.find(name, "AAAA")

    async def mx(self, name: str) -> Answer[Mx]:
        return self.find(name, "MX")

    async def txt(self, name: str) -> Answer[bytes]:
        return self.find(name, "TXT")

    async def ptr(self, ip: str) -> Answer[str]:
        """The names of an address. ValueError where `ip` is none."""
        return self.find(ip_address(ip).reverse_pointer, "PTR")

    async def tlsa(self, name: str) -> Answer[Tlsa]:
        return self.find(name, "TLSA")

    def find(self, name: str, kind: str) -> Answer[Any]:
        """What stands in the file about a name, through its aliases. DnsFault where a fault is ordered."""
        at = _plain(name)
        for _ in range(CNAME_HOPS + 1):
            types = self._types(at)
            if types is None:
                return Answer((), exists=False, ttl=TTL)
            records = types.get(kind) or types.get("CNAME") or types.get("ANY") or []
            for record in records:
                if isinstance(record, _Fault):
                    raise DnsFault(f"{FAULTS[record.name]} about {kind} {name}")
            if kind in types or "CNAME" not in types:
                return Answer(tuple(records), ttl=TTL)
            at = records[0]
        raise DnsFault(f"a chain of more than {CNAME_HOPS} aliases begins at {name}")

    def _types(self, name: str) -> dict[str, list[Any]] | None:
        """The records of a name, by a wildcard if need be; None where there is no such name."""
        found = self._names.get(name)
        if found is not None:
            return found
        if name in self._above:
            return {}
        # RFC 4592 §3.3.1: the wildcard counts only at the closest encloser, the nearest ancestor that exists.
        while name:
            name = name.partition(".")[2]
            if name in self._above or name in self._names:
                return self._names.get(f"*.{name}" if name else "*")
        return None

    def _add(self, name: str, kind: str, data: "Sequence[str | _Fault]") -> None:
        at = _plain(name)
        read = _READERS.get(kind, str)
        try:
            values = [each if isinstance(each, _Fault) else read(each) for each in data]
        except ValueError as error:
            raise ZoneError(f"{name} {kind}: {error}") from None
        self._names.setdefault(at, {}).setdefault(kind, []).extend(values)
        while at:
            at = at.partition(".")[2]
            self._above.add(at)


class _Fault(NamedTuple):
    """Stands where records would, and is raised instead; a name of `FAULTS`."""

    name: str


def _plain(name: str) -> str:
    return name.lower().rstrip(".")


def _any(text: str) -> str:
    raise ValueError(f"the type ANY stands for all others and takes only {' or '.join(FAULTS)}, not {text!r}")


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _ip4(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise ValueError(f"{text!r} is no IPv4 address") from None


def _ip6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except ValueError:
        raise ValueError(f"{text!r} is no IPv6 address") from None
    if address.scope_id is not None:
        raise ValueError(f"{text!r} counts on one machine only, and has no place in the DNS")
    return str(address)


def _number(text: str, most: int) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= most else None


def _mx(text: str) -> Mx:
    written, exchange = [*text.split(None, 1), "", ""][:2]
    preference = _number(written, 65_535)
    if preference is None or not exchange.strip():
        words = "is no preference (0 to 65535) and exchange, such as '10 mx.example.org'"
        raise ValueError(f"{text!r} {words}")
    return Mx(preference, _plain(exchange.strip()))


def _tlsa(text: str) -> Tlsa:
    written, numbers = text.split(None, 3), [_number(each, 255) for each in text.split(None, 3)[:3]]
    try:
        data = bytes.fromhex(written[3])
        usage, selector, matching = (number for number in numbers if number is not None)
    except (IndexError, ValueError):
        words = "is not three numbers (0 to 255) and data in hexadecimal, such as '3 1 1 0123abcd…'"
        raise ValueError(f"{text!r} {words}") from None
    return Tlsa(usage, selector, matching, data)


_READERS: dict[str, Callable[[str], Any]] = {
    "A": _ip4,
    "AAAA": _ip6,
    "MX": _mx,
    "TXT": _text,
    "PTR": _plain,
    "CNAME": _plain,
    "TLSA": _tlsa,
    "ANY": _any,
}


def _master_file(text: str) -> Iterator[tuple[str, str, str | _Fault]]:
    """Name, type and data of each record. ZoneError."""
    # The reader of master files takes a while to load, and JSON does without.
    import dns.exception
    import dns.tokenizer
    import dns.zonefile

    class Lines(dns.tokenizer.Tokenizer):
        """Remembers where a record began: most errors are noticed behind its last line."""

        begun = 1

        def get(self, want_leading: bool = False, want_comment: bool = False) -> dns.tokenizer.Token:
            if want_leading:
                self.begun = self.where()[1]
            return super().get(want_leading, want_comment)

    class Collected(dns.zonefile.RRsetsReaderTransaction):
        """Only a list: a zone would want all its names below one origin, and we read any name in the DNS."""

        def add(self, *args: Any) -> None:
            name, _, record = args
            # RFC 2181 §5: the same record twice is one.
            kept[name, record] = None

    kept: dict[tuple[Any, Any], None] = {}
    lines = Lines(_fault_line.sub(_mark, text), "<zone>")
    manager = dns.zonefile.RRSetsReaderManager()
    collected = Collected(manager, True, False)  # type: ignore[no-untyped-call]  # dnspython leaves it untyped
    try:
        dns.zonefile.Reader(lines, manager.rdclass, collected, default_ttl=TTL).read()
    except (dns.exception.DNSException, ValueError) as error:
        words = _without_place("", str(error))
        raise ZoneError(f"the zone is no master file: near line {lines.begun}: {words}") from None
    for name, record in kept:
        yield name.to_text(omit_final_dot=True), *_written(record)


def _mark(match: re.Match[str]) -> str:
    """A line that orders a fault, as a record that a master file may hold."""
    octets = f"{match[2].upper()} {match[3].upper()}".encode()
    return f"{match[1]}TYPE{_FAULT_TYPE} \\# {len(octets)} {octets.hex()}"


def _written(record: Any) -> tuple[str, str | _Fault]:
    """Type and data of a record that dnspython has read."""
    import dns.rdatatype

    if record.rdtype == _FAULT_TYPE:
        kind, _, fault = record.data.decode().partition(" ")
        return kind, _Fault(fault)
    if record.rdtype == dns.rdatatype.TXT:
        # RFC 7208 §3.3, RFC 6376 §3.6.2.2: the strings of one record are joined without a space.
        return "TXT", b"".join(record.strings).decode("utf-8", "surrogateescape")
    return dns.rdatatype.to_text(record.rdtype), record.to_text()
