"""The DNS for commands that examine something: the network, or a file that stands in for it.

    async with asker(read_zone(path), config) as ask:
        dns = ask.within(20)

With a file nothing leaves this machine. Without, the questions go to the resolvers of the settings, where there are
any, else to those of the system.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from posthouse.cli.terminal import Complaint
from posthouse.config import Config
from posthouse.mail.dns import Dns

if TYPE_CHECKING:
    from posthouse.checks.dnsbl import DnsList
    from posthouse.route.authentication import Resolver

# Longest time for one question; a person waits.
QUESTION_SECONDS: Final = 6.0
ZONE_OCTETS: Final = 32 * 1024 * 1024


class FileAsker:
    """`route.authentication.Resolver` over a `Dns` that has all its answers at hand."""

    def __init__(self, dns: Dns) -> None:
        self._dns = dns

    def within(self, seconds: float) -> Dns:
        return self._dns

    def expect(self, kind: str, name: str) -> None:
        """There is nothing to wait for."""


def read_zone(path: Path) -> FileAsker:
    """A zone in JSON or as a master file. Complaint for what is none, OSError."""
    from posthouse.checks.zonefile import ZoneDns, ZoneError

    with path.open("rb") as file:
        octets = file.read(ZONE_OCTETS + 1)
    if len(octets) > ZONE_OCTETS:
        raise Complaint(f"{path}: is too large for a zone")
    try:
        return FileAsker(ZoneDns.parse(octets.decode("utf-8", "surrogateescape")))
    except ZoneError as error:
        raise Complaint(f"{path}: {error}") from None


def blocklists(zones: Sequence[str], config: Config | None) -> tuple["DnsList", ...]:
    """The lists in the DNS that the settings name, with their weights, and those that somebody names besides.

    Complaint, as for bad usage, where one can be none.
    """
    from posthouse.checks.dnsbl import ListError
    from posthouse.checks.dnslists import chosen, named

    settled = chosen(config.checks.lists, config.checks.domain_lists) if config is not None else ()
    try:
        besides = {each.zone: each for each in map(named, zones)}
    except ListError as error:
        raise Complaint(str(error), 2) from None
    return tuple((besides | {each.zone: each for each in settled}).values())


@asynccontextmanager
async def asker(zone: FileAsker | None, config: Config | None) -> AsyncIterator["Resolver"]:
    """Where questions go."""
    if zone is not None:
        yield zone
        return
    from posthouse.serve.resolver import Resolver

    servers = [(server.host, server.port) for server in config.dns.servers] if config is not None else []
    trust = config.dns.trust_ad if config is not None else False
    resolver = Resolver(servers, timeout=QUESTION_SECONDS, trust_ad=trust)
    try:
        yield resolver
    finally:
        await resolver.close()
