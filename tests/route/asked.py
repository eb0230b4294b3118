"""The checks of reception without a network: a zone as a dict, one message, and what the policy makes of it."""

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import sha256

from posthouse.checks.dnsbl import DnsList
from posthouse.checks.zonefile import ZoneDns
from posthouse.mail.address import Address
from posthouse.mail.dns import Dns
from posthouse.mail.envelope import Envelope, RcptTo
from posthouse.mail.message import Message
from posthouse.mail.peer import Peer, Role
from posthouse.route.authentication import Authentication, CheckSettings, Findings
from posthouse.route.case import Case
from posthouse.route.exemption import Exemptions
from posthouse.route.filing import read
from posthouse.route.policy import Policy, Preset, Ruling
from posthouse.store.blobs import Content
from route.office import BEGIN

Records = Mapping[str, Mapping[str, str | Sequence[str]]]


class ZoneResolver(ZoneDns):
    """A zone as the checks ask it; `expected` is what was announced."""

    def __init__(self, records: Records) -> None:
        super().__init__(records)
        self.expected: list[tuple[str, str]] = []
        self.limits: list[float] = []

    def within(self, seconds: float) -> Dns:
        self.limits.append(seconds)
        return self

    def expect(self, kind: str, name: str) -> None:
        self.expected.append((kind, name))


def case(
    octets: bytes, ip: str = "192.0.2.7", mail_from: str | None = "carol@far.test", helo: str = "mx.far.test",
    now: int = BEGIN,
) -> Case:
    content = Content(1, sha256(octets).digest(), len(octets), octets, None)
    envelope = Envelope(Address.parse(mail_from) if mail_from else None, (RcptTo(Address("alice", "posthouse.test")),))
    peer = Peer(Role.SMTP, ip, 40_000, helo=helo, esmtp=True)
    return Case(peer, envelope, content, read(octets, content, now), Message.parse(octets), None, now)


def examine(
    made: Case, records: Records | ZoneResolver, *, lists: Sequence[DnsList] = (), ours: Sequence[str] = ()
) -> Findings:
    class Ours:
        async def have(self, domain: str, now: int) -> bool:
            return domain in ours

    resolver = records if isinstance(records, ZoneResolver) else ZoneResolver(records)
    settings = CheckSettings("mx.posthouse.test", (), tuple(lists))
    return asyncio.run(Authentication(resolver, settings, Ours()).examine(made))  # type: ignore[arg-type]


def judge(
    made: Case, found: Findings, preset: Preset = Preset.BALANCED, exemptions: Exemptions | None = None
) -> Ruling:
    return Policy(preset, exemptions).judge(made, found)
