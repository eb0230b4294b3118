"""The DNS records that make a domain's mail come here and be believed elsewhere, and only those that this program
stands by today."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from posthouse.config import Config, Endpoint
from posthouse.mail.address import Address
from posthouse.store import directory
from posthouse.store.database import Transaction

if TYPE_CHECKING:
    from posthouse.store.signing import StoredKey

# RFC 1035 §3.3: a character-string; a TXT record has as many as it needs, and they are read as one (RFC 6376 §3.6.2.2).
STRING_OCTETS = 255
_strings = re.compile(r'"[^"]*"').findall
# The address for reports, where there is one of that name; postmaster is there in any case.
REPORTS = "dmarc-reports"

# RFC 6186 and RFC 8314 §5.1: how a mail program finds the services of an address. Service → our listener.
SERVICES = {"_submissions._tcp": "submissions", "_imaps._tcp": "imaps", "_pop3s._tcp": "pop3s"}


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `data` None where only the admin knows it, then `purpose` says what belongs there."""

    name: str
    rdtype: str
    data: str | None
    purpose: str

    def facts(self) -> dict[str, str | None]:
        """For JSON."""
        return {"name": self.name, "type": self.rdtype, "data": self.data, "purpose": self.purpose}


def gather(tx: Transaction, domain: str) -> tuple[Address, "list[StoredKey]"]:
    """What the records need to know of a domain of ours: where reports go, and the keys that have to be published."""
    from posthouse.store import signing

    reports = Address(REPORTS, domain)
    # Not by way of a catch-all, which nobody reads for that.
    if directory.find_account(tx, reports) is None and not any(
        alias.name == str(reports) for alias in directory.aliases(tx)
    ):
        reports = Address("postmaster", domain)
    keys = [key for key in signing.keys(tx, domain) if key.state is not signing.KeyState.WITHDRAWN]
    return reports, keys


def records(domain: str, config: Config, reports: Address, keys: "Iterable[StoredKey]") -> list[Record]:
    """What to publish for a domain served by the host that `config` describes."""
    host = config.hostname
    found = [
        Record(host, "A", None, "the IPv4 address of this machine"),
        Record(host, "AAAA", None, "the IPv6 address of this machine, if it has one"),
        Record(domain, "MX", f"10 {host}.", "mail for the domain comes to this machine"),
        Record(domain, "TXT", '"v=spf1 mx -all"', "only this machine sends mail of the domain (SPF)"),
        Record(host, "TXT", '"v=spf1 a -all"', "the same for the name it gives in EHLO"),
        *key_records(keys),
        Record(
            f"_dmarc.{domain}", "TXT", f'"v=DMARC1; p=quarantine; rua=mailto:{reports}"',
            "what neither of these proves is suspect elsewhere (DMARC); begin with p=none if others send for it",
        ),
    ]
    for label, service in SERVICES.items():
        places: tuple[Endpoint, ...] = getattr(config.listen, service)
        if places:
            data = f"0 1 {places[0].port} {host}."
            found.append(Record(f"{label}.{domain}", "SRV", data, "mail programs find the service by the address"))
    return found


def key_records(keys: "Iterable[StoredKey]") -> list[Record]:
    """The records of signing keys."""
    return [
        Record(key.dns_name, "TXT", txt(key.record), f"{_PURPOSES[key.state]} (DKIM)") for key in keys
    ]


_PURPOSES = {
    "published": "a key with which mail will be signed, once this is published",
    "active": "the keys with which mail of the domain is signed",
    "retired": "keys that were in use, for mail that is still under way",
    "withdrawn": "a key that nobody needs any more",
}


def txt(text: str) -> str:
    """The data of a TXT record, in quoted strings that are no longer than they may be; `text` in ASCII."""
    pieces = [text[start : start + STRING_OCTETS] for start in range(0, len(text), STRING_OCTETS)]
    return " ".join(f'"{piece}"' for piece in pieces)


def zone_text(domain: str, host: str, found: Sequence[Record]) -> str:
    """As lines of a zone file."""
    lines = [f"; records for {domain}, served by {host}"]
    said = ""
    for record in found:
        purpose = record.purpose if record.data is not None else f"{record.purpose}, to be filled in"
        if purpose != said:
            lines.append(f"; {purpose}:")
            said = purpose
        lines.append(zone_line(record))
    lines.append(f"; and at the owner of the machine's address: its reverse name (PTR) must be {host}.")
    return "\n".join(lines) + "\n"


def zone_line(record: Record) -> str:
    """As a zone file has it: a record of several strings in parentheses, a string on each line (RFC 1035 §5.1)."""
    front = f"{record.name}.".ljust(34) + f" 3600 IN {record.rdtype:5}"
    if record.data is None:
        # What has to be filled in stays a comment, so that nothing wrong gets published.
        return f";{front}…"
    strings = _strings(record.data)
    if len(strings) < 2:
        return front + record.data
    return front + "(\n" + "\n".join(f"    {string}" for string in strings) + " )"
