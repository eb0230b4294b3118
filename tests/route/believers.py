"""What other servers make of mail of ours: the keys of the office's domain, and a DNS in which they stand."""

from functools import cache
from ipaddress import ip_network

from posthouse.checks import arc, dkim
from posthouse.checks.arc import Arc
from posthouse.checks.dkim import Signature, SigningKey
from posthouse.checks.zonefile import ZoneDns
from posthouse.mail.dns import Dns
from posthouse.mail.message import Message
from posthouse.route.authentication import Authentication, CheckSettings
from posthouse.route.policy import Policy, Preset
from posthouse.route.reception import Inspection, Reception
from posthouse.store import signing
from posthouse.store.signing import KeyState
from route.office import BEGIN, Office

OURS, FAR, STRICT = "posthouse.test", "far.test", "strict.test"


@cache
def keys(domain: str) -> tuple[SigningKey, ...]:
    """Made once: RSA takes its time."""
    return signing.generate(domain, BEGIN)


class Names(ZoneDns):
    """A zone as reception's resolver."""

    def within(self, seconds: float) -> Dns:
        return self

    def expect(self, kind: str, name: str) -> None:
        pass


Records = dict[str, dict[str, str | list[str]]]


def names(more: Records | None = None) -> Names:
    """far.test asks for rejection and lets the stranger of the office send; strict.test signs only."""
    records: Records = {
        "far.test": {"TXT": "v=spf1 ip4:192.0.2.7 -all"},
        "_dmarc.far.test": {"TXT": "v=DMARC1; p=reject"},
        "_dmarc.strict.test": {"TXT": "v=DMARC1; p=reject"},
        "posthouse.test": {"TXT": "v=spf1 ip4:192.0.2.1 -all", "MX": "10 mx.posthouse.test."},
        "mx.posthouse.test": {"A": "192.0.2.1"},
    }
    for domain in (OURS, FAR, STRICT):
        for key in keys(domain):
            records[key.dns_name] = {"TXT": key.dns_record()}
    return Names(records | (more or {}))


async def give_keys(office: Office, domain: str = OURS) -> tuple[SigningKey, ...]:
    """Lets the office sign for a domain."""
    await office.db.write(lambda tx: signing.add(tx, keys(domain), KeyState.ACTIVE, BEGIN))
    return keys(domain)


def examine(
    office: Office, dns: Names | None = None, policy: Policy | None = None, trusted: tuple[str, ...] = ()
) -> Reception:
    """Reception that asks who sent the message, in place of the office's own."""
    networks = tuple(ip_network(network) for network in trusted)
    checks = Authentication(dns or names(), CheckSettings("mx.posthouse.test", networks))
    office.reception = Reception(office.acceptance, inspection=Inspection(checks, policy or Policy(Preset.CAUTIOUS)))
    return office.reception


async def signatures(octets: bytes, now: int = BEGIN) -> list[tuple[str, str]]:
    """(domain, result) of each signature, from the top."""
    found: tuple[Signature, ...] = await dkim.verify(Message.parse(octets), names(), now)
    return [(signature.domain, signature.result) for signature in found]


async def chain(octets: bytes, now: int = BEGIN) -> Arc:
    return await arc.validate(Message.parse(octets), names(), now)
