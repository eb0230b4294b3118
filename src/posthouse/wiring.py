"""What the rooms want to know, made from the settings: each function here is one sentence of docs/settings.md in code.

`house` builds a server from these; nothing here opens anything.
"""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path

from cryptography import x509

from posthouse.checks import bimi
from posthouse.checks.dnslists import chosen
from posthouse.checks.lookalike import Kin, Known
from posthouse.config import Config, ConfigError, Endpoint, is_network, read_credentials
from posthouse.mail.address import Address, parse_domain
from posthouse.mail.delivery import Schedule
from posthouse.route.authentication import Authentication, CheckSettings, OurDomains
from posthouse.route.bureau import Bureau
from posthouse.route.discernment import Discernment, DiscernmentSettings
from posthouse.route.exchanges import RoutingSettings, SmarthostLogin, StaticRoute, TlsRule
from posthouse.route.exemption import Exemptions
from posthouse.route.greylisting import Greylisting
from posthouse.route.outage import Outages
from posthouse.route.policy import GREYLISTS, Policy, Preset
from posthouse.route.reception import Inspection
from posthouse.route.relay import RelaySettings
from posthouse.route.reporting import ReportSettings
from posthouse.serve.metrics import Metrics
from posthouse.serve.resolver import Resolver
from posthouse.store.database import Database


def resolver(config: Config, metrics: Metrics) -> Resolver:
    return Resolver(
        [(server.host, server.port) for server in config.dns.servers],
        timeout=config.dns.timeout.seconds,
        trust_ad=config.dns.trust_ad,
        counted=lambda kind, result: metrics.dns.labels(kind, result).inc(),
    )


def inspection(
    config: Config, dns: Resolver, db: Database, bureau: Bureau, discernment: Discernment
) -> Inspection:
    """Who is asked about mail from outside; nobody who sent it where that is switched off."""
    checks, settings = config.checks, config.policy
    if not checks.enabled:
        return Inspection(arrival=bureau.arrival)
    lists = chosen(checks.lists, checks.domain_lists)
    networks = tuple(ip_network(network) for network in checks.trusted_networks)
    greylists = settings.greylisting and Preset(settings.preset) in GREYLISTS
    return Inspection(
        Authentication(dns, CheckSettings(config.hostname, networks, lists), OurDomains(db)),
        policy(config),
        Greylisting(db) if greylists else None,
        Outages(db),
        discernment.suspicion,
        counts=bureau.counts,
        arrival=bureau.arrival,
        indicators=discernment.indicators,
    )


def discernment(config: Config) -> DiscernmentSettings:
    """ConfigError where the roots cannot be read."""
    checks = config.checks
    protected = tuple(
        Known(parse_domain(domain), Kin.PROTECTED, name) for domain, name in checks.protected.items()
    )
    roots = read_roots(checks.bimi_roots) if checks.bimi_roots is not None else ()
    return DiscernmentSettings(checks.suspicion, protected, checks.bimi, roots)


def read_roots(path: Path) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM file. ConfigError where there are none."""
    try:
        return bimi.roots(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except ValueError:
        raise ConfigError(f"{path}: holds no certificates in PEM") from None


def reports(config: Config) -> ReportSettings:
    settings = config.reports
    author = Address.parse(settings.author) if settings.author else None
    return ReportSettings(
        settings.send, settings.failures, settings.redact, author, settings.organization, settings.keep
    )


def policy(config: Config) -> Policy:
    settings = config.policy
    exemptions = Exemptions(
        monitor=_domains(settings.monitor),
        quarantine=_domains(settings.quarantine),
        reject=_domains(settings.reject),
        mailing_lists=_domains(settings.mailing_lists),
        forwarders=_domains(each for each in settings.forwarders if not is_network(each)),
        networks=tuple(ip_network(each) for each in settings.forwarders if is_network(each)),
        sealers=_domains(settings.sealers),
    )
    return Policy(Preset(settings.preset), exemptions)


def _domains(names: Iterable[str]) -> frozenset[str]:
    return frozenset(parse_domain(name) for name in names)


def relay(config: Config) -> RelaySettings:
    settings = config.queue
    schedule = Schedule(tuple(settings.gaps), settings.delay_notice, settings.expire)
    return RelaySettings(settings.concurrency, settings.per_destination, schedule)


def routing(config: Config) -> RoutingSettings:
    logins = read_credentials(config.relay.credentials_file) if config.relay.credentials_file else {}
    own_ips = {place.host for places in config.listen.all().values() for place in places if _is_own(place)}
    return RoutingSettings(
        own_names=frozenset({config.hostname}),
        own_ips=frozenset(own_ips).union(config.public_addresses),
        routes={domain.lower(): _route(place, logins) for domain, place in config.relay.routes.items()},
        allow_private=config.relay.private_networks,
        port=config.relay.port,
    )


def _route(place: Endpoint, logins: Mapping[str, tuple[str, str]]) -> StaticRoute:
    login = logins.get(place.host.lower())
    return StaticRoute(
        place.host,
        place.port,
        # A password goes nowhere but to a host that has proved its name.
        TlsRule.REQUIRED if login else TlsRule.OPPORTUNISTIC,
        # RFC 8314 §7.3
        implicit_tls=place.port == 465,
        login=SmarthostLogin(*login) if login else None,
    )


def _is_own(place: Endpoint) -> bool:
    """An address that leads to this host alone; loopback leads to every one, in a laboratory too."""
    return place.host != "*" and not ip_address(place.host).is_loopback
