"""Under which circumstances a message came: the envelope and the client, as somebody gives them, or as it records.

    known = circumstances(header, trust, Given(ip="192.0.2.1"))
    known.ip, known.mail_from, known.sources["mail_from"]        "192.0.2.1", Address(…), "Return-Path"

A file keeps no envelope. But the last host writes Return-Path (RFC 5321 §4.4), its Received field has the client and
the name that it gave, and others note down the rest. Whoever sends a message may write all of these fields himself, so
they count only where they stand above the field at which trust begins, or in that field; and each value says where it
comes from.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from posthouse.checks.story.hops import Hop
from posthouse.checks.story.recorded import envelope_notes
from posthouse.checks.story.trust import Trust
from posthouse.mail.address import Address, AddressError, parse_path
from posthouse.mail.headers import Header
from posthouse.mail.instant import Instant
from posthouse.mail.mailboxes import mailboxes, parse_address_list

GIVEN: Final = "given"
# Fields in which programs that deliver note down whom they deliver to.
_DELIVERED = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to", "x-forwarded-to")
_RECIPIENTS: Final = 20
_PATH_OCTETS: Final = 1_000
# Exim and Dovecot write the sender into a comment behind the clause `by`.
_find_envelope_from = re.compile(r"\(envelope-from (<[^<>\s]*>|[^<>\s()]+@[^<>\s()]+)\)", re.IGNORECASE).finditer


@dataclass(frozen=True, slots=True)
class Given:
    """What is known from elsewhere; "" and None where it is not. `mail_from` is a path in angle brackets, or was meant
    to be one.

    `from_line` is the sender in the "From " line that mbox files put before each message.
    """

    ip: str = ""
    helo: str = ""
    mail_from: str = ""
    rcpt_to: tuple[Address, ...] = ()
    at: Instant | None = None
    from_line: str = ""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """`mail_from` None is the null reverse-path where `has_mail_from` is True, and otherwise unknown; other values are
    "" or empty where they are unknown. `at` is when the message came in. `flaw` is a sentence where the sender that was
    given is no address that a server would take; `mail_from` is then as near to one as can be, for SPF to look at.

    `sources` tells of "ip", "helo", "mail_from", "rcpt_to" and "at" where each was taken from. `through` is that of
    trust, where client or sender hang on it.
    """

    ip: str = ""
    helo: str = ""
    mail_from: Address | None = None
    has_mail_from: bool = False
    rcpt_to: tuple[Address, ...] = ()
    at: Instant | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    flaw: str = ""
    through: Hop | None = None

    @property
    def return_path(self) -> str:
        """The reverse-path as one would write it, `<alice@posthouse.test>`; "" where it is unknown."""
        if not self.has_mail_from:
            return ""
        return f"<{self.mail_from}>" if self.mail_from is not None else "<>"


def circumstances(header: Header, trust: Trust, given: Given) -> Circumstances:
    """Never raises."""
    sources: dict[str, str] = {}
    flaw = ""
    ip = _first(sources, "ip", ((GIVEN, given.ip), *_clients(header, trust)))
    entry = trust.entry
    said = ((entry.where, entry.received.frm),) if entry is not None else ()
    helo = _first(sources, "helo", ((GIVEN, given.helo), *said))
    if given.mail_from:
        has_mail_from = True
        sources["mail_from"] = GIVEN
        try:
            mail_from = parse_path(given.mail_from, smtputf8=True)
        except AddressError as error:
            flaw, mail_from = str(error), _nearly(given.mail_from)
    else:
        mail_from, has_mail_from = _reverse_path(header, trust, given, sources)
    rcpt_to = given.rcpt_to or _recipients(header, trust, sources)
    if given.rcpt_to:
        sources["rcpt_to"] = GIVEN
    at = given.at
    if at is not None:
        sources["at"] = GIVEN
    elif entry is not None and entry.at is not None:
        at, sources["at"] = entry.at, entry.where
    through = None if sources.get("ip") == sources.get("mail_from") == GIVEN else trust.through
    return Circumstances(ip, helo, mail_from, has_mail_from, rcpt_to, at, sources, flaw, through)


def _nearly(path: str) -> Address:
    """What SPF would be asked about by a server that takes anything."""
    local_part, _, domain = path.removeprefix("<").removesuffix(">").rpartition("@")
    return Address(local_part, domain.lower())


def _first(sources: dict[str, str], name: str, values: tuple[tuple[str, str], ...]) -> str:
    for where, value in values:
        if value:
            sources[name] = where
            return value
    return ""


def _clients(header: Header, trust: Trust) -> Iterator[tuple[str, str]]:
    """Addresses of the client, the best first."""
    if trust.entry is not None:
        yield trust.entry.where, trust.entry.received.ip
    for note in envelope_notes(header, trust):
        yield note.kind, _address(note.value("smtp", "client-ip") or note.value("smtp", "remote-ip"))


def _address(text: str) -> str:
    try:
        return str(ip_address(text.strip("[]").removeprefix("IPv6:")))
    except ValueError:
        return ""


def _reverse_path(
    header: Header, trust: Trust, given: Given, sources: dict[str, str]
) -> tuple[Address | None, bool]:
    """The best of what was recorded that is a path at all, and whether there is one."""
    for where, path in _paths(header, trust, given):
        try:
            found = parse_path(path, smtputf8=True)
        except AddressError:
            continue
        sources["mail_from"] = where
        return found, True
    return None, False


def _paths(header: Header, trust: Trust, given: Given) -> Iterator[tuple[str, str]]:
    """Reverse-paths in angle brackets, the best first: what came in with the message is none."""
    entry = trust.entry
    if entry is not None:
        yield entry.where, _envelope_from(entry.received.raw)
    found = header.get("return-path")
    # Without a client nothing is asked about it, and it may be shown wherever it stands.
    above = len(header.fields) if entry is None and not given.ip else entry.place if entry is not None else 0
    if found is not None and found in header.fields[:above]:
        path = found.unfolded[:_PATH_OCTETS].decode("utf-8", "replace")
        yield "Return-Path", path if path.startswith("<") else f"<{path}>"
    for note in envelope_notes(header, trust):
        path = note.value("smtp", "mailfrom") or note.value("smtp", "mfrom")
        # Many write the domain only, which is no address.
        if "@" in path or path == "<>":
            yield note.kind, path if path.startswith("<") else f"<{path}>"
    if given.from_line:
        yield "From line", "<>" if given.from_line.upper() == "MAILER-DAEMON" else f"<{given.from_line}>"


def _envelope_from(raw: str) -> str:
    """The sender noted in a Received field, in angle brackets; "" where there is none.

    The client may have put such a comment into its name or into its address: one that is not the only one, or has a
    `by` behind it, is not believed.
    """
    found = list(_find_envelope_from(raw))
    if len(found) != 1 or raw.lower().count("envelope-from") > 1 or " by " in raw[found[0].end() :].lower():
        return ""
    return found[0][1] if found[0][1].startswith("<") else f"<{found[0][1]}>"


def _recipients(header: Header, trust: Trust, sources: dict[str, str]) -> tuple[Address, ...]:
    for key in _DELIVERED:
        field = header.get(key)
        if field is not None:
            found = tuple(
                mailbox.address
                for mailbox in mailboxes(parse_address_list(field.value[:_PATH_OCTETS]))
                if mailbox.address is not None
            )[:_RECIPIENTS]
            if found:
                sources["rcpt_to"] = field.name
                return found
    for hop in trust.hops:
        if hop.trusted and hop.received.for_:
            try:
                address = Address.parse(hop.received.for_)
            except AddressError:
                continue
            sources["rcpt_to"] = hop.where
            return (address,)
    return ()
