"""Headers for tests of stories: written top down, as they stand in a message."""

from posthouse.checks.story import Given, Trust, circumstances, find, hops
from posthouse.checks.story.circumstances import Circumstances
from posthouse.mail.message import Message

OURS = "mx.posthouse.test"


def message(*fields: str, body: str = "Hello\r\n") -> Message:
    """Each field on one or more lines, without line ends."""
    return Message.parse("".join(f"{field}\r\n" for field in fields).encode() + b"\r\n" + body.encode())


def received(frm: str, by: str, date: str, protocol: str = "ESMTPS") -> str:
    return f"Received: {f'from {frm} ' if frm else ''}by {by} with {protocol}; {date}"


def trusted(*fields: str, hosts: tuple[str, ...] = (), ip: str = "") -> Trust:
    return find(hops(message(*fields).header), hosts, ip)


def known(*fields: str, hosts: tuple[str, ...] = (), given: Given | None = None) -> Circumstances:
    header = message(*fields).header
    given = given or Given()
    return circumstances(header, find(hops(header), hosts, given.ip), given)
