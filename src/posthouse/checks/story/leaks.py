"""What a message gives away about whoever wrote it: addresses, programs, names of machines, where he sits.

    for leak in leaks(header, hops(header)):
        leak.what, leak.value, leak.where          "client address", "192.0.2.100", "Received 2"

None of it is an error, and most writers do not know of it. The values are as they stand in the header, on one line;
whoever shows them sees to what they may do to a terminal.
"""

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Final, NamedTuple

from posthouse.checks.story.hops import Hop
from posthouse.checks.story.networks import inside, is_inside_name
from posthouse.mail.dates import parse_date
from posthouse.mail.headers import Header

VALUE_CHARACTERS: Final = 200
# More are not told; a header with thousands of fields would otherwise be told in thousands of lines.
LEAKS: Final = 60

# Fields in which programs say what they are, and others in which providers note down who their customer is.
_SOFTWARE = (
    "x-mailer", "user-agent", "x-newsreader", "x-mimeole", "x-posting-agent", "x-originating-software",
    "x-mailer-info", "x-php-originating-script", "x-php-script", "x-library", "x-mailing-software", "x-generated-by",
)
_ADDRESSES = (
    "x-originating-ip", "x-sender-ip", "x-client-ip", "x-source-ip", "x-real-ip", "x-forwarded-for", "x-remote-ip",
    "x-originating-client", "x-sender-ip-address", "x-aol-ip", "x-webmail-client-ip", "x-get-message-sender-via-ip",
)
_LOGINS = (
    "x-authenticated-sender", "x-auth-user", "x-authuser", "x-authenticated-user", "x-authentication-id", "x-sender-id",
    "x-login", "x-get-message-sender-via", "x-source-auth", "x-sender-login",
)
_MACHINES = ("x-originating-host", "x-source", "x-source-dir", "x-source-args", "x-hostname", "x-originating-server")

_find_address = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]+:[0-9A-Fa-f:.]*").search
_find_login = re.compile(r"\b[Aa]uthenticated[ -](?:sender|id|user)?[:=]?\s*([^\s()\[\];,]{1,100})").search
_find_user = re.compile(r"\b(?:from userid|invoked by uid|by uid|\(uid) (\d{1,9})\b").search
_find_server = re.compile(
    r"\((Exim [\w.]+|Postfix [\w.]+|Sendmail [\w./]+|qmail \d[\w.]*|[\d.]+/[\d.]+|MDaemon[^()]{1,40}|Haraka/[\w.]+"
    r"|Cyrus v[\w.-]+|Dovecot [\w.]+|Lotus Domino[^()]{1,60}|Microsoft SMTP Server[^()]{0,20}version=[\w.]+)"
).search
_match_domain = re.compile(rb"[ \t]*<[^<>@]*@\[?([^<>\s\]]{1,255})\]?>").match


class Leak(NamedTuple):
    """`what` is what a person would call it, `where` the field: "X-Mailer", "Received 2" (counted from the top)."""

    what: str
    value: str
    where: str


def leaks(header: Header, way: Sequence[Hop]) -> tuple[Leak, ...]:
    """Each once, those of the way first. Linear."""
    found: dict[tuple[str, str], Leak] = {}
    for leak in (*_way(way), *_fields(header), *_identifier(header), *_zone(header)):
        value = leak.value[:VALUE_CHARACTERS]
        if value:
            found.setdefault((leak.what, value.lower()), leak._replace(value=value))
    return tuple(found.values())[:LEAKS]


def _way(way: Sequence[Hop]) -> Iterator[Leak]:
    for at, hop in enumerate(way):
        received, where = hop.received, hop.where
        ip = received.ip or (received.frm if _is_address(received.frm) else "")
        # The one hop of a short way is that of the server that brought it, unless somebody logged in there.
        began = at == 0 and (len(way) > 1 or received.protocol.endswith(("A", "AS")) or "HTTP" in received.protocol)
        if began and ip and not inside(ip):
            yield Leak("client address", ip, where)
            if received.frm and received.frm != ip:
                yield Leak("client name", received.frm, where)
        for address in dict.fromkeys((ip, received.frm, received.by)):
            if inside(address) not in ("", "this machine"):
                yield Leak("private address", address, where)
        for name in dict.fromkeys((received.frm, received.host, received.by)):
            if is_inside_name(name) and name.lower() not in ("localhost", "localhost.localdomain", "unknown"):
                yield Leak("host name", name, where)
        for find, what in ((_find_login, "login name"), (_find_user, "user number"), (_find_server, "server software")):
            match = find(received.raw)
            if match is not None:
                yield Leak(what, match[1].strip(), where)


def _fields(header: Header) -> Iterator[Leak]:
    for field in header.fields:
        key = field.key
        if key in _SOFTWARE:
            yield Leak("software", field.text, field.name)
        elif key in _ADDRESSES:
            match = _find_address(field.text)
            if match is not None and _is_address(match[0]):
                what = "private address" if inside(match[0]) else "client address"
                yield Leak(what, match[0], field.name)
        elif key in _LOGINS:
            yield Leak("login name", field.text, field.name)
        elif key in _MACHINES:
            yield Leak("host name", field.text, field.name)
        elif key == "bcc" and field.text:
            yield Leak("blind copies", field.text, field.name)


def _identifier(header: Header) -> Iterator[Leak]:
    """The machine that made the Message-ID, and the program that drew the boundary between the parts."""
    field = header.get("message-id")
    match = _match_domain(field.value[:1000]) if field is not None else None
    if match is not None:
        name = match[1].decode("ascii", "replace")
        if inside(name):
            yield Leak("private address", name, "Message-ID")
        elif is_inside_name(name) and name.lower() not in ("localhost", "localhost.localdomain"):
            yield Leak("host name", name, "Message-ID")
    field = header.get("content-type")
    if field is not None and b"Apple-Mail" in field.value:
        yield Leak("software", "Apple Mail", "Content-Type")
    elif field is not None and b"----=_NextPart_" in field.value:
        yield Leak("software", "Microsoft Outlook, or one that writes as it does", "Content-Type")


def _zone(header: Header) -> Iterator[Leak]:
    """The offset of the writer's clock, which tells a third of the world."""
    field = header.get("date")
    date = parse_date(field.value) if field is not None else None
    if date is not None and date.offset:
        hours, minutes = divmod(abs(date.offset), 60)
        yield Leak("time zone", f"{'-' if date.offset < 0 else '+'}{hours:02d}{minutes:02d}", "Date")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
