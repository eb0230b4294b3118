"""The settings: one TOML file, few keys, and an error that says in one line what to mend.

    hostname = "mx.example.org"
    data_dir = "/var/lib/posthouse"

    [tls]
    certificate = "/etc/posthouse/fullchain.pem"
    key = "/etc/posthouse/key.pem"

Every key but `hostname` has a default; docs/settings.md lists them all. Sizes are written as `"50 MiB"` or a number of
octets, spans of time as `"90s"`, `"4h"` or `"1h30m"`, and places to listen at as `"address:port"`, where `*` is
every address of both families and port 0 a free port. Relative paths start at the folder of the file. A key nobody
knows is an error that names the nearest known one.

Domains, accounts and aliases are not settings: they live in the database and are managed while the server runs.
"""

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from posthouse.mail.address import Address, AddressError, parse_domain
from posthouse.mail.instant import DAY, HOUR, MINUTE, SECOND
from posthouse.measures import Duration as Duration
from posthouse.measures import Endpoint as Endpoint
from posthouse.measures import Size as Size

NAME = "posthouse.toml"
VARIABLE = "POSTHOUSE_CONFIG"
LIST_WEIGHT = 100  # more decides nothing more
SYSTEM_FILE = Path("/etc/posthouse") / NAME


class ConfigError(Exception):
    """What is wrong with the settings, as one line with the file and the path of the key."""

    def __init__(self, words: str) -> None:
        super().__init__("".join(c if c.isprintable() else "?" for c in words))


def _everywhere(port: int) -> tuple[Endpoint, ...]:
    return (Endpoint("*", port),)


class Listen(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where each service listens. An empty list switches the service off."""

    smtp: Annotated[tuple[Endpoint, ...], Meta(description="mail from other servers")] = _everywhere(25)
    submission: Annotated[tuple[Endpoint, ...], Meta(description="mail from accounts, STARTTLS")] = _everywhere(587)
    submissions: Annotated[tuple[Endpoint, ...], Meta(description="mail from accounts, TLS")] = _everywhere(465)
    imap: Annotated[tuple[Endpoint, ...], Meta(description="IMAP, STARTTLS")] = _everywhere(143)
    imaps: Annotated[tuple[Endpoint, ...], Meta(description="IMAP, TLS")] = _everywhere(993)
    pop3: Annotated[tuple[Endpoint, ...], Meta(description="POP3, STLS")] = _everywhere(110)
    pop3s: Annotated[tuple[Endpoint, ...], Meta(description="POP3, TLS")] = _everywhere(995)
    http: Annotated[tuple[Endpoint, ...], Meta(description="status page, health and metrics")] = (
        Endpoint("127.0.0.1", 8080),
    )
    https: Annotated[tuple[Endpoint, ...], Meta(description="the same with TLS")] = ()

    def all(self) -> dict[str, tuple[Endpoint, ...]]:
        """Service name → places, the services that are switched off left out."""
        return {name: places for name in self.__struct_fields__ if (places := getattr(self, name))}


class Tls(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The certificate of this host."""

    certificate: Annotated[
        Path | None, Meta(description="PEM chain, our own first; absent: a self-made one is kept in data_dir")
    ] = None
    key: Annotated[Path | None, Meta(description="PEM private key of the certificate")] = None


class Limits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one client may ask of the server."""

    message_size: Annotated[Size, Meta(description="largest message accepted, announced by SIZE")] = Size(50 * 2**20)
    recipients: Annotated[int, Meta(ge=1, le=100_000, description="recipients of one message")] = 1000
    connections: Annotated[int, Meta(ge=1, description="connections open at once in one process")] = 20_000
    connections_per_address: Annotated[
        int, Meta(ge=1, description="connections before login of one IPv4 address")
    ] = 10
    connections_per_network: Annotated[int, Meta(ge=1, description="connections before login of one IPv6 /64")] = 20


class Queue(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Mail on its way out."""

    gaps: Annotated[
        tuple[Duration, ...],
        Meta(min_length=1, description="waits after each failure, at least 1m each, the last one repeating"),
    ] = tuple(Duration(n * MINUTE) for n in (5, 10, 20, 40, 80, 160, 240))
    delay_notice: Annotated[Duration, Meta(description="when the author is told that a message waits")] = Duration(
        4 * HOUR
    )
    expire: Annotated[Duration, Meta(description="when a message that cannot be delivered is given up")] = Duration(
        5 * DAY
    )
    concurrency: Annotated[int, Meta(ge=1, le=10_000, description="deliveries under way at once in one process")] = 100
    per_destination: Annotated[int, Meta(ge=1, description="of these, to one destination")] = 10


class Relay(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How mail leaves for other servers."""

    port: Annotated[int, Meta(ge=1, le=65535, description="port at which MX hosts are called")] = 25
    helo: Annotated[str, Meta(description="name given in EHLO; empty: hostname")] = ""
    sources: Annotated[
        tuple[str, ...], Meta(description="own addresses from which mail leaves, one of each family; empty: any")
    ] = ()
    private_networks: Annotated[
        bool, Meta(description="also deliver to MX hosts with loopback, private or link-local addresses")
    ] = False
    routes: Annotated[
        dict[str, Endpoint], Meta(description='domain → "host:port" instead of its MX; "*" is the smarthost')
    ] = {}
    credentials_file: Annotated[
        Path | None, Meta(description='lines "host user password" for smarthosts; readable by nobody else')
    ] = None
    ca_file: Annotated[Path | None, Meta(description="PEM roots trusted besides those of the system")] = None


class Dns(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom we ask for names."""

    servers: Annotated[
        tuple[Endpoint, ...], Meta(description='resolvers as "address:port"; empty: those of /etc/resolv.conf')
    ] = ()
    timeout: Annotated[Duration, Meta(description="longest time for one question, all tries together")] = Duration(
        10 * SECOND
    )
    trust_ad: Annotated[
        bool, Meta(description="believe the DNSSEC flag (AD) of a resolver on a loopback address")
    ] = False


class Checks(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is found out about whoever brings mail to port 25."""

    enabled: Annotated[
        bool, Meta(description="ask SPF, DKIM, DMARC, ARC and reverse DNS about each message from outside")
    ] = True
    trusted_networks: Annotated[
        tuple[str, ...], Meta(description="networks whose mail is not examined: this machine, relays of your own")
    ] = ("127.0.0.0/8", "::1/128")
    authserv_id: Annotated[
        str, Meta(description="name under which Authentication-Results is written; empty: hostname")
    ] = ""
    lists: Annotated[
        dict[str, int], Meta(description="blocklists and allowlists in the DNS, with their weights; none is asked else")
    ] = {}
    domain_lists: Annotated[
        dict[str, int], Meta(description="the same for lists that are asked about domains, where they are not known")
    ] = {}
    suspicion: Annotated[
        bool, Meta(description="compare senders with whom each account knows, file what looks like its junk as such")
    ] = True
    protected: Annotated[
        dict[str, str], Meta(description="domains that nobody may pass for, with the names their owners go by")
    ] = {}
    bimi: Annotated[
        bool, Meta(description="fetch the logos of senders whom DMARC proves, from their web servers")
    ] = False
    bimi_roots: Annotated[
        Path | None, Meta(description="PEM roots that may vouch for logos; absent: domains vouch for themselves")
    ] = None


class Policy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is done with what the checks found."""

    preset: Annotated[
        Literal["cautious", "balanced", "strict"], Meta(description="which column of the table of rules counts")
    ] = "balanced"
    greylisting: Annotated[
        bool, Meta(description="ask strangers whom nobody vouches for to come again, except with preset cautious")
    ] = True
    monitor: Annotated[
        tuple[str, ...], Meta(description="author's domains whose DMARC policy is watched and not kept")
    ] = ()
    quarantine: Annotated[
        tuple[str, ...],
        Meta(description="author's domains whose mail goes to Junk where DMARC fails, whatever they ask"),
    ] = ()
    reject: Annotated[
        tuple[str, ...], Meta(description="author's domains whose mail is refused where DMARC fails, whatever they ask")
    ] = ()
    forwarders: Annotated[
        tuple[str, ...], Meta(description="domains and networks that pass on what others wrote to you")
    ] = ()
    mailing_lists: Annotated[tuple[str, ...], Meta(description="domains from which your mailing lists send")] = ()
    sealers: Annotated[
        tuple[str, ...], Meta(description="domains whose ARC seals are believed where DMARC fails")
    ] = ()


class Reports(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """DMARC and TLS reports, those of ours and those about us."""

    send: Annotated[
        bool, Meta(description="tell domains that ask for it, once a day, what came in their name")
    ] = True
    failures: Annotated[
        bool, Meta(description="tell domains that ask for it at once of messages that fail; a few in an hour")
    ] = False
    redact: Annotated[
        bool, Meta(description="leave out of failure reports what tells of people")
    ] = True
    author: Annotated[
        str, Meta(description="address that reports come from; empty: postmaster of your first domain")
    ] = ""
    organization: Annotated[str, Meta(description="your name in reports; empty: the domain of their author")] = ""
    keep: Annotated[Duration, Meta(description="how long reports about your domains are kept, at least 1d")] = Duration(
        400 * DAY
    )


class Submission(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Mail from our own accounts."""

    show_client: Annotated[bool, Meta(description="put the client's address into Received")] = False


class Login(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How accounts prove who they are."""

    scram_plus: Annotated[
        bool, Meta(description="offer SCRAM-SHA-256-PLUS; some mail programs choose it and then fail")
    ] = False


class Web(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The pages."""

    metrics_from: Annotated[tuple[str, ...], Meta(description="networks that may read /metrics")] = (
        "127.0.0.0/8",
        "::1/128",
    )


class Run(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The processes."""

    user: Annotated[str, Meta(description="account of the machine to become after binding as root")] = ""
    group: Annotated[str, Meta(description="its group; empty: the first group of user")] = ""
    processes: Annotated[
        int, Meta(ge=0, le=64, description="server processes that share the sockets; 0: one for each core, up to 4")
    ] = 0
    loop: Annotated[Literal["uvloop", "asyncio"], Meta(description="event loop")] = "uvloop"
    grace: Annotated[Duration, Meta(description="longest time for work under way when stopping")] = Duration(
        30 * SECOND
    )

    @property
    def process_count(self) -> int:
        """How many processes serve. More than a few gain nothing by themselves: one at a time commits."""
        if self.processes or not hasattr(os, "sched_getaffinity"):
            return self.processes or 1  # beyond Linux there is one, unless more are asked for
        return min(len(os.sched_getaffinity(0)), 4)


class Journeys(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is remembered of each message."""

    keep: Annotated[Duration, Meta(description="how long, at least 1d; longer while the message waits")] = Duration(
        90 * DAY
    )


class Log(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is written to standard error."""

    format: Annotated[Literal["json", "console"], Meta(description="one JSON object a line, or for people")] = "json"
    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="least level that is written")] = (
        "info"
    )


class Config(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings of one server; in tests made by keyword, else by `load`."""

    hostname: Annotated[str, Meta(description="name of this host: greeting, EHLO, Received, certificate")]
    data_dir: Annotated[Path, Meta(description="database, messages and keys")] = Path("/var/lib/posthouse")
    public_addresses: Annotated[
        tuple[str, ...], Meta(description="addresses under which others reach this host, where it has them from a NAT")
    ] = ()
    listen: Listen = Listen()
    tls: Tls = Tls()
    limits: Limits = Limits()
    queue: Queue = Queue()
    relay: Relay = Relay()
    dns: Dns = Dns()
    checks: Checks = Checks()
    policy: Policy = Policy()
    reports: Reports = Reports()
    submission: Submission = Submission()
    login: Login = Login()
    web: Web = Web()
    journeys: Journeys = Journeys()
    run: Run = Run()
    log: Log = Log()

    # Where things lie in data_dir, for the server and for the commands that manage it while it runs.

    @property
    def database_file(self) -> Path:
        return self.data_dir / "posthouse.db"

    @property
    def blobs_folder(self) -> Path:
        return self.data_dir / "blobs"

    @property
    def hints_folder(self) -> Path:
        return self.data_dir / "hints"


def find_config(argument: str | os.PathLike[str] | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The settings file: the argument, else $POSTHOUSE_CONFIG, ./posthouse.toml, /etc/posthouse/posthouse.toml.

    The first two are meant and need not exist here (`load` says so); ConfigError where none of the others does.
    """
    if named := argument or environ.get(VARIABLE):
        return Path(named)
    for path in (Path(NAME), SYSTEM_FILE):
        if path.is_file():
            return path
    raise ConfigError(f"no settings found: neither --config, ${VARIABLE}, ./{NAME} nor {SYSTEM_FILE} names a file")


def load(path: str | os.PathLike[str]) -> Config:
    """The settings in a file; ConfigError in one line for whatever is wrong with it."""
    path = Path(path)
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    return parse(text, name=str(path), folder=path.resolve().parent)


def parse(text: str, *, name: str = NAME, folder: Path | None = None) -> Config:
    """The settings in a TOML text. `name` stands in errors; relative paths start at `folder`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}") from None
    for path, key, known in _unknown_keys(table, Config, ""):
        raise ConfigError(f"{name}: {path}{key}: is no setting{_nearest(key, known)}")
    try:
        config = msgspec.convert(table, Config, dec_hook=_Decoder(folder or Path.cwd()))
        _examine(config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {_plain(str(error))}") from None
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None
    return config


def read_credentials(path: Path) -> dict[str, tuple[str, str]]:
    """Host → (user, password) from a file of lines `host user password`; `#` begins a comment line.

    The password is the rest of the line, so it may hold spaces. ConfigError where the file cannot be read, or where
    others than its owner and group may read it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IRWXO:
                raise ConfigError(f"{path}: must not be readable by everybody (chmod o= {path})")
            lines = file.read(1 << 20).splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = line.split(None, 2)
        if len(words) != 3:
            raise ConfigError(f'{path}: line {number}: must be "host user password"')
        found[words[0].lower()] = (words[1], words[2].rstrip())
    return found


class _Decoder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, kind: type[Any], value: object) -> object:
        if kind is Size and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return Size(value)
        if not isinstance(value, str):
            raise ValueError(f"must be a text, not {type(value).__name__}")
        if kind is Path:
            return self.folder / Path(value).expanduser()
        if kind is Size:
            return Size.parse(value)
        if kind is Duration:
            return Duration.parse(value)
        return Endpoint.parse(value)


def _unknown_keys(
    table: Mapping[str, object], kind: type[Struct], path: str
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in table.items():
        if key not in fields:
            yield path, key, tuple(fields)
        elif isinstance(value, dict) and isinstance(fields[key], type) and issubclass(fields[key], Struct):
            yield from _unknown_keys(value, fields[key], f"{path}{key}.")


def _nearest(key: str, known: tuple[str, ...]) -> str:
    found = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else f"; known are {', '.join(known)}"


_AT = re.compile(r"(.*?)(?: - at `\$\.?(.*?)`)?", re.DOTALL)


def _plain(error: str) -> str:
    """`Expected `int`, got `str` - at `$.limits.recipients`` → `limits.recipients: expected int, got str`."""
    found = _AT.fullmatch(error)
    words, path = (found[1], found[2] or "") if found else (error, "")
    words = words.replace("`", "")
    if words.startswith("Object missing required field "):
        return f"{path + '.' if path else ''}{words.removeprefix('Object missing required field ')}: is missing"
    if words.startswith("Invalid enum value "):
        return f"{path}: must be one of {', '.join(_choices(path))}, not {words.removeprefix('Invalid enum value ')}"
    return f"{path}: {words[0].lower()}{words[1:]}" if path else words


def _choices(path: str) -> tuple[str, ...]:
    kind: Any = Config
    for key in path.split("."):
        kind = get_type_hints(kind)[key]
    return get_args(kind)


_HOSTNAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+")


def _examine(config: Config) -> None:
    """What holds between keys or needs more than a type; ValueError with the key's path in front."""
    if _HOSTNAME.fullmatch(config.hostname) is None:
        raise ValueError(f'hostname: must be a full domain name in lower case, such as "mx.example.org", not '
                         f'"{config.hostname}"')
    for index, address in enumerate(config.public_addresses):
        try:
            ip_address(address)
        except ValueError as error:
            raise ValueError(f"public_addresses[{index}]: {error}") from None
    _relay(config.relay)
    if (config.tls.certificate is None) is not (config.tls.key is None):
        raise ValueError("tls: certificate and key belong together, one of them is missing")
    if config.limits.message_size < 64 * 1024:
        # RFC 5321 §4.5.3.1.7: at least 64K octets must be taken.
        raise ValueError("limits.message_size: must be at least 64 KiB")
    if config.queue.expire < config.queue.delay_notice:
        raise ValueError("queue.expire: must not be shorter than queue.delay_notice")
    if min(config.queue.gaps) < MINUTE:
        raise ValueError("queue.gaps: must each be at least 1m")
    if config.journeys.keep < DAY:
        raise ValueError("journeys.keep: must be at least 1d")
    if config.run.group and not config.run.user:
        raise ValueError("run.group: needs run.user")
    for server in config.dns.servers:
        _address(server, "dns.servers")
    for name, places in config.listen.all().items():
        for place in places:
            if place.host != "*":
                _address(place, f"listen.{name}")
    _networks(config.web.metrics_from, "web.metrics_from")
    _networks(config.checks.trusted_networks, "checks.trusted_networks")
    _senders(config.checks, config.policy)
    _reports(config.reports)


def _relay(relay: Relay) -> None:
    if relay.helo and _HOSTNAME.fullmatch(relay.helo) is None:
        raise ValueError(f'relay.helo: must be a full domain name in lower case, not "{relay.helo}"')
    for index, source in enumerate(relay.sources):
        try:
            ip_address(source)
        except ValueError:
            raise ValueError(f'relay.sources[{index}]: must be an IP address, not "{source}"') from None


def _senders(checks: Checks, policy: Policy) -> None:
    if checks.authserv_id and _HOSTNAME.fullmatch(checks.authserv_id) is None:
        raise ValueError(f'checks.authserv_id: must be a domain name in lower case, not "{checks.authserv_id}"')
    for domain in checks.protected:
        _domain(domain, f"checks.protected.{domain}")
    if checks.bimi_roots is not None and not checks.bimi:
        raise ValueError("checks.bimi_roots: needs checks.bimi")
    for name in ("lists", "domain_lists"):
        for zone, weight in getattr(checks, name).items():
            _domain(zone, f"checks.{name}.{zone}")
            if not -LIST_WEIGHT <= weight <= LIST_WEIGHT:
                raise ValueError(f"checks.{name}.{zone}: must be from {-LIST_WEIGHT} to {LIST_WEIGHT}")
    if both := checks.lists.keys() & checks.domain_lists.keys():
        raise ValueError(f"checks.domain_lists.{min(both)}: stands in checks.lists as well")
    for name in ("monitor", "quarantine", "reject", "mailing_lists", "sealers"):
        for index, domain in enumerate(getattr(policy, name)):
            _domain(domain, f"policy.{name}[{index}]")
    for index, forwarder in enumerate(policy.forwarders):
        path = f"policy.forwarders[{index}]"
        if is_network(forwarder):
            _network(forwarder, path)
        else:
            _domain(forwarder, path)


def _reports(reports: Reports) -> None:
    if reports.keep < DAY:
        raise ValueError("reports.keep: must be at least 1d")
    if not reports.organization.isprintable():
        raise ValueError("reports.organization: must not hold control characters")
    if reports.author:
        try:
            Address.parse(reports.author)
        except AddressError as error:
            raise ValueError(f'reports.author: "{reports.author}" is no address: {error}') from None


def is_network(text: str) -> bool:
    """Whether a setting that may hold domains and networks holds a network here."""
    return "/" in text or ":" in text or text.replace(".", "").isdecimal()


def _networks(networks: Iterable[str], path: str) -> None:
    for index, network in enumerate(networks):
        _network(network, f"{path}[{index}]")


def _network(network: str, path: str) -> None:
    try:
        ip_network(network)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _domain(domain: str, path: str) -> None:
    try:
        parse_domain(domain)
    except AddressError as error:
        raise ValueError(f'{path}: "{domain}" is no domain: {error}') from None


def _address(place: Endpoint, path: str) -> None:
    try:
        ip_address(place.host)
    except ValueError:
        raise ValueError(f'{path}: must be an IP address, not the name "{place.host}"') from None
