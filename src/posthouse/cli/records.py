"""The DNS records that make a domain's mail come here, and only those that this program stands by today."""

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.config import Config, Endpoint

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


def records(domain: str, config: Config) -> list[Record]:
    """What to publish for a domain served by the host that `config` describes."""
    host = config.hostname
    found = [
        Record(host, "A", None, "the IPv4 address of this machine"),
        Record(host, "AAAA", None, "the IPv6 address of this machine, if it has one"),
        Record(domain, "MX", f"10 {host}.", "mail for the domain comes to this machine"),
        Record(domain, "TXT", '"v=spf1 mx -all"', "only this machine sends mail of the domain (SPF)"),
        Record(host, "TXT", '"v=spf1 a -all"', "the same for the name it gives in EHLO"),
    ]
    for label, service in SERVICES.items():
        places: tuple[Endpoint, ...] = getattr(config.listen, service)
        if places:
            data = f"0 1 {places[0].port} {host}."
            found.append(Record(f"{label}.{domain}", "SRV", data, "mail programs find the service by the address"))
    return found


def zone_text(domain: str, host: str, found: Sequence[Record]) -> str:
    """As lines of a zone file."""
    lines = [f"; records for {domain}, served by {host}"]
    said = ""
    for record in found:
        purpose = record.purpose if record.data is not None else f"{record.purpose}, to be filled in"
        if purpose != said:
            lines.append(f"; {purpose}:")
            said = purpose
        line = f"{record.name}.".ljust(34) + f" 3600 IN {record.rdtype:5}{record.data or '…'}"
        # What has to be filled in stays a comment, so that nothing wrong gets published.
        lines.append(line if record.data is not None else f";{line}")
    lines.append(f"; and at the owner of the machine's address: its reverse name (PTR) must be {host}.")
    return "\n".join(lines) + "\n"
