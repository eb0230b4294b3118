"""The names of the small internet: zones as plain data or master files, and how they answer a question.

    names = Names()
    zone = names.add_zone("posthouse.test")
    zone.add("posthouse.test", "MX", "10 mx.posthouse.test")
    zone.add("mx.posthouse.test", "A", "127.0.0.1")
    zone.add("posthouse.test", "TXT", "v=spf1 mx -all")
    names.fault("slow.test", Fault.TIMEOUT)             # whoever asks for it waits in vain
    octets = names.answer(question, datagram=True)

Answers are those of an authoritative server (RFC 1034 §4.3.2): AA is set, CNAMEs are followed while they stay in
our zones, wildcards are expanded, a name that is missing gives NXDOMAIN and a missing type gives an empty answer,
both with the SOA that says how long to remember it (RFC 2308 §3). Outside all zones the answer is REFUSED; a lab
that wants to be the whole internet adds the root zone `.`, and everything unknown is then NXDOMAIN.

Names in records are absolute, with or without the trailing dot; there is no relative name but in a master file.
No sockets here: `posthouse.lab.nameserver` carries the octets.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.zone

from posthouse.mail.instant import MINUTE, SECOND

TTL = 5 * MINUTE // SECOND
NEGATIVE_TTL = MINUTE // SECOND
# RFC 1035 §4.2.1: what a datagram holds where the asker did not say that it takes more (RFC 6891 §6.2.3).
DATAGRAM_OCTETS = 512
# What we send at most in a datagram, however much the asker takes: what passes everywhere unfragmented.
LARGEST_DATAGRAM = 1232
STREAM_OCTETS = 65535
CNAME_HOPS = 8

Records = Mapping[str, Mapping[str, str | Sequence[str]]]


class Fault(StrEnum):
    """How a name misbehaves on demand."""

    TIMEOUT = "timeout"
    SERVFAIL = "servfail"
    REFUSED = "refused"
    TRUNCATED = "truncated"     # every datagram says: ask again over TCP


class ZoneError(ValueError):
    """A record or master file that cannot be understood; its text is a sentence."""


def absolute(name: str) -> dns.name.Name:
    """The name as dnspython holds it; case does not matter in comparisons. ZoneError for what is no name."""
    try:
        return dns.name.from_text(name, dns.name.root)
    except dns.exception.DNSException as error:
        raise ZoneError(f"{name!r} is no domain name: {error}") from None


def _character_strings(text: str) -> str:
    """A text of any length as the quoted strings of at most 255 octets that a TXT record is made of."""
    octets = text.encode()
    chunks = [octets[start : start + 255] for start in range(0, len(octets), 255)] or [b""]
    return " ".join('"' + "".join(_escaped(octet) for octet in chunk) + '"' for chunk in chunks)


def _escaped(octet: int) -> str:
    if octet in b'"\\':
        return f"\\{chr(octet)}"
    return chr(octet) if 32 <= octet < 127 else f"\\{octet:03d}"


class Zone:
    """The records at and below one origin. Changes are seen by the next question."""

    def __init__(self, origin: str, records: Records | None = None) -> None:
        self.origin = absolute(origin)
        self._nodes: dict[dns.name.Name, dict[dns.rdatatype.RdataType, dns.rdataset.Rdataset]] = {}
        host = dns.name.from_text("ns", self.origin).to_text()
        self.add(origin, "SOA", f"{host} {host} 1 3600 600 604800 {NEGATIVE_TTL}")
        self.add(origin, "NS", host)
        for name, types in (records or {}).items():
            for rdtype, data in types.items():
                self.add(name, rdtype, *([data] if isinstance(data, str) else data))

    @classmethod
    def parse(cls, text: str, origin: str) -> "Zone":
        """From a master file (RFC 1035 §5); $INCLUDE is not followed. Its SOA and NS take the place of ours."""
        zone = cls(origin)
        try:
            parsed = dns.zone.from_text(text, zone.origin, relativize=False, check_origin=False)
        except (dns.exception.DNSException, ValueError) as error:
            raise ZoneError(f"the master file of {origin}: {error}") from None
        for name, rdataset in parsed.iterate_rdatasets():
            zone._nodes.setdefault(name, {})[rdataset.rdtype] = rdataset
        return zone

    def add(self, name: str, rdtype: str, *data: str, ttl: int = TTL) -> None:
        """Add records of one type; `data` as a master file writes it, but TXT as the bare text, of any length."""
        owner = absolute(name)
        if not owner.is_subdomain(self.origin):
            raise ZoneError(f"{name} does not lie in the zone {self.origin}")
        try:
            number = dns.rdatatype.from_text(rdtype)
            texts = [_character_strings(text) for text in data] if number == dns.rdatatype.TXT else data
            records = [dns.rdata.from_text(dns.rdataclass.IN, number, text, dns.name.root, False) for text in texts]
        except (dns.exception.DNSException, ValueError) as error:
            raise ZoneError(f"{name} {rdtype} {' '.join(data)}: {error}") from None
        node = self._nodes.setdefault(owner, {})
        rdataset = node.setdefault(number, dns.rdataset.Rdataset(dns.rdataclass.IN, number))
        for record in records:
            rdataset.add(record, ttl)

    def remove(self, name: str, rdtype: str | None = None) -> None:
        """Take away the records of one type, or all of that name. Nothing happens where there are none."""
        node = self._nodes.get(absolute(name), {})
        for number in [dns.rdatatype.from_text(rdtype)] if rdtype else list(node):
            # A zone without its SOA could not even say that something is missing.
            if number != dns.rdatatype.SOA:
                node.pop(number, None)
        if not node:
            self._nodes.pop(absolute(name), None)

    def text(self) -> str:
        """The zone as a master file, names absolute."""
        return "".join(
            f"{rdataset.to_text(name, dns.name.root, relativize=False)}\n"
            for name, node in sorted(self._nodes.items())
            for _, rdataset in sorted(node.items())
        )

    def soa(self) -> dns.rrset.RRset:
        """The SOA for negative answers, with the time for which they may be remembered (RFC 2308 §3)."""
        rdataset = self._nodes[self.origin][dns.rdatatype.SOA]
        return dns.rrset.from_rdata_list(self.origin, min(rdataset.ttl, rdataset[0].minimum), tuple(rdataset))

    def find(
        self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType
    ) -> tuple[bool, tuple[dns.rrset.RRset, ...]]:
        """Whether the name exists, and its records of that type; its CNAME where there is one instead."""
        node = self._node(name)
        if node is None:
            return False, ()
        if rdtype == dns.rdatatype.ANY:
            return True, tuple(_rrset(name, rdataset) for rdataset in node.values())
        rdataset = node.get(rdtype) or node.get(dns.rdatatype.CNAME)
        return True, (_rrset(name, rdataset),) if rdataset else ()

    def _node(
        self, name: dns.name.Name
    ) -> dict[dns.rdatatype.RdataType, dns.rdataset.Rdataset] | None:
        """The records of a name, by a wildcard if need be; empty for a name that only has others below it."""
        if name in self._nodes:
            return self._nodes[name]
        # RFC 8020: a name with something below it exists, though it has no records itself.
        if any(other.is_subdomain(name) for other in self._nodes):
            return {}
        # RFC 4592 §3.3.1: the wildcard counts only at the closest encloser, the nearest ancestor that exists.
        encloser = name.parent()
        while not any(other.is_subdomain(encloser) for other in self._nodes):
            encloser = encloser.parent()
        return self._nodes.get(dns.name.Name((b"*", *encloser.labels)))


def _rrset(name: dns.name.Name, rdataset: dns.rdataset.Rdataset) -> dns.rrset.RRset:
    return dns.rrset.from_rdata_list(name, rdataset.ttl, tuple(rdataset))


class Names:
    """All zones of the small internet, the faults that were ordered, and the answers to questions.

    `asked` holds the last thousand questions as `"MX far.test"`, oldest first.
    """

    def __init__(self) -> None:
        self._zones: dict[dns.name.Name, Zone] = {}
        self._faults: dict[tuple[dns.name.Name, dns.rdatatype.RdataType | None], Fault] = {}
        self.asked: deque[str] = deque(maxlen=1000)

    def add_zone(self, zone: str | Zone, records: Records | None = None) -> Zone:
        """Serve a zone, given as such or by its origin; it takes the place of one with the same origin."""
        added = Zone(zone, records) if isinstance(zone, str) else zone
        self._zones[added.origin] = added
        return added

    def fault(self, name: str, fault: Fault | None, rdtype: str | None = None) -> None:
        """Let questions for that name (and type, else all) go wrong from now on; None mends it."""
        key = (absolute(name), dns.rdatatype.from_text(rdtype) if rdtype else None)
        if fault is None:
            self._faults.pop(key, None)
        else:
            self._faults[key] = fault

    def answer(self, question: bytes, *, datagram: bool) -> bytes | None:
        """The answer to one message; None where silence is the answer (garbage, an answer, an ordered time-out)."""
        try:
            query = dns.message.from_wire(question, ignore_trailing=True)
        except (dns.exception.DNSException, ValueError):
            return None
        if query.flags & dns.flags.QR:
            return None
        response = dns.message.make_response(query, our_payload=LARGEST_DATAGRAM)
        fault = self._fill(query, response)
        if fault is Fault.TIMEOUT:
            return None
        if fault is Fault.TRUNCATED and datagram:
            response.answer.clear()
            response.flags |= dns.flags.TC
        return _octets(query, response, datagram)

    def _fill(self, query: dns.message.Message, response: dns.message.Message) -> Fault | None:
        """Put the answer into `response`; gives back the fault that was ordered for this question, if any."""
        if query.opcode() != dns.opcode.QUERY:
            response.set_rcode(dns.rcode.NOTIMP)
            return None
        if len(query.question) != 1:
            response.set_rcode(dns.rcode.FORMERR)
            return None
        (question,) = query.question
        self.asked.append(f"{dns.rdatatype.to_text(question.rdtype)} {question.name.to_text(omit_final_dot=True)}")
        fault = self._faults.get((question.name, question.rdtype)) or self._faults.get((question.name, None))
        if fault is Fault.SERVFAIL:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif fault is Fault.REFUSED or question.rdclass != dns.rdataclass.IN:
            response.set_rcode(dns.rcode.REFUSED)
        elif fault is not Fault.TIMEOUT:
            self._resolve(question.name, question.rdtype, response)
        return fault

    def _resolve(
        self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType, response: dns.message.Message
    ) -> None:
        for hop in range(CNAME_HOPS):
            zone = self._zone(name)
            if zone is None:
                if hop == 0:
                    response.set_rcode(dns.rcode.REFUSED)
                return
            response.flags |= dns.flags.AA
            exists, rrsets = zone.find(name, rdtype)
            response.answer.extend(rrsets)
            if not rrsets:
                # RFC 2308 §2.1: at the end of a CNAME chain as well, the last name decides.
                response.set_rcode(dns.rcode.NOERROR if exists else dns.rcode.NXDOMAIN)
                response.authority.append(zone.soa())
                return
            if rdtype in (dns.rdatatype.CNAME, dns.rdatatype.ANY) or rrsets[0].rdtype != dns.rdatatype.CNAME:
                return
            name = rrsets[0][0].target

    def _zone(self, name: dns.name.Name) -> Zone | None:
        """The zone nearest to the name."""
        return next((self._zones[above] for above in _upwards(name) if above in self._zones), None)


def _upwards(name: dns.name.Name) -> Iterator[dns.name.Name]:
    """The name, then each of its ancestors, up to the root."""
    yield name
    while name != dns.name.root:
        name = name.parent()
        yield name


def _octets(query: dns.message.Message, response: dns.message.Message, datagram: bool) -> bytes:
    """As sent; what does not fit into a datagram is left out whole, and TC says so (RFC 2181 §9)."""
    if not datagram:
        return response.to_wire(max_size=STREAM_OCTETS)
    asked = max(query.payload, DATAGRAM_OCTETS) if query.edns >= 0 else DATAGRAM_OCTETS
    try:
        return response.to_wire(max_size=min(asked, LARGEST_DATAGRAM))
    except dns.exception.TooBig:
        response.answer.clear()
        response.authority.clear()
        response.flags |= dns.flags.TC
        return response.to_wire()
