"""`posthouse quickstart`: from nothing to a server that can be started, and a page of what is left to do."""

import asyncio
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from posthouse.cli.account import generate
from posthouse.cli.arguments import AddressType
from posthouse.cli.office import now, user_name
from posthouse.cli.records import Record, gather, records, zone_text
from posthouse.cli.terminal import Complaint, json_option, program, show
from posthouse.config import NAME, SYSTEM_FILE, Config, load
from posthouse.mail.address import Address, parse_domain
from posthouse.store import credentials, directory
from posthouse.store.database import Transaction
from posthouse.store.ids import NODES, Ids
from posthouse.store.sqlite import open_sqlite

SYSTEM_DATA = Path("/var/lib/posthouse")
SYSTEM_USER = "posthouse"

SETTINGS = """\
# Posthouse; docs/settings.md explains every key. Domains, accounts and aliases are managed with `posthouse`.

hostname = {hostname}
data_dir = {data_dir}

# A certificate that others trust, from a public authority. Without it a self-made one is used: mail still travels
# encrypted, but mail programs will ask whether to trust it.
# [tls]
# certificate = "/etc/letsencrypt/live/{hostname_bare}/fullchain.pem"
# key = "/etc/letsencrypt/live/{hostname_bare}/privkey.pem"
"""

UNIT = """\
[Unit]
Description=Posthouse mail server
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
ExecStart={program} serve --config {settings}
ExecReload=/bin/kill -HUP $MAINPID
{user}AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
Restart=on-failure
RestartSec=2
TimeoutStopSec=60
LimitNOFILE=65536
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={data}
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the new server will live."""

    settings: Path
    data: Path
    hostname: str
    address: Address


@click.command("quickstart")
@click.argument("address", type=AddressType(), metavar="YOU@EXAMPLE.ORG")
@click.option(
    "--dir", "folder", type=click.Path(file_okay=False, path_type=Path),
    help="Keep all in this folder; else root uses /etc/posthouse and /var/lib/posthouse, others this one.",
)
@click.option("--hostname", help="Name of this machine in the DNS; mx.DOMAIN where not given.")
@json_option
def quickstart_command(address: Address, folder: Path | None, hostname: str | None, as_json: bool) -> None:
    """Set up a server for the domain of an address, with that address as its first account.

    Writes the settings, makes keys, database and account, and prints the password, the DNS records to publish and a
    unit for systemd. Nothing that is there already is changed.

    \b
    posthouse quickstart you@example.org
    posthouse quickstart you@example.org --dir ./mail --hostname mail.example.org
    """
    plan = _plan(address, folder, hostname)
    if plan.settings.exists():
        raise Complaint(f"{plan.settings} is there already; posthouse account add makes further accounts")
    if (plan.data / "posthouse.db").exists():
        raise Complaint(f"{plan.data} holds a server's data already; remove it, or choose another --dir")
    plan.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    plan.settings.parent.mkdir(parents=True, exist_ok=True)
    # The settings come last: where anything before them fails, the same command can be given again.
    text = _settings(plan)
    draft = plan.settings.with_name(f"{plan.settings.name}.new")
    draft.write_text(text, "utf-8")
    try:
        config = load(draft)
        password = generate()
        found = asyncio.run(_furnish(config, address, password))
        draft.replace(plan.settings)
    finally:
        draft.unlink(missing_ok=True)
    zone, unit = zone_text(address.domain, config.hostname, found), _unit(plan)
    data = {
        "settings": str(plan.settings), "data": str(plan.data), "hostname": config.hostname,
        "address": str(address), "password": password, "records": [record.facts() for record in found], "unit": unit,
    }
    show(data, as_json, lambda: _print(plan, password, zone, unit))


def _plan(address: Address, folder: Path | None, hostname: str | None) -> Plan:
    if address.literal is not None:
        raise click.UsageError(f"{address} has an address literal, not a domain")
    try:
        host = parse_domain(hostname) if hostname else f"mx.{address.domain}"
    except ValueError as error:
        raise click.UsageError(f"--hostname {hostname!r}: {error}") from None
    if folder is None and os.geteuid() == 0:
        return Plan(SYSTEM_FILE, SYSTEM_DATA, host, address)
    place = (folder or Path()).absolute()
    return Plan(place / NAME, place / "data", host, address)


def _settings(plan: Plan) -> str:
    import json

    # JSON's strings are TOML's basic strings.
    beside = plan.data.parent == plan.settings.parent
    return SETTINGS.format(
        hostname=json.dumps(plan.hostname), hostname_bare=plan.hostname,
        data_dir=json.dumps(plan.data.name if beside else str(plan.data)),
    )


async def _furnish(config: Config, address: Address, password: str) -> list[Record]:
    """Make the database with domain, keys and account, and the certificate that serves until there is a better one;
    gives the records to be published."""
    from posthouse.serve.tls import Keyring
    from posthouse.store import signing

    Keyring(config.hostname, config.tls.certificate, config.tls.key, config.data_dir)
    database = open_sqlite(config.database_file, readers=1)
    try:
        secret = credentials.make(password)
        keys = signing.generate(address.domain, now())
        account_id = Ids(NODES - 1).next(now())

        def unit(tx: Transaction) -> list[Record]:
            directory.add_domain(tx, address.domain, now())
            signing.add(tx, keys, signing.KeyState.ACTIVE, now())
            directory.add_account(tx, account_id, address, now())
            credentials.save(tx, account_id, secret)
            return records(address.domain, config, *gather(tx, address.domain))

        return await database.write(unit)
    finally:
        await database.close()


def _unit(plan: Plan) -> str:
    call = str(Path(sys.argv[0]).absolute())
    user = f"User={SYSTEM_USER if os.geteuid() == 0 else user_name()}\n"
    return UNIT.format(program=call, settings=plan.settings, user=user, data=plan.data)


def _print(plan: Plan, password: str, zone: str, unit: str) -> None:
    call = program()
    root = os.geteuid() == 0
    step = 1
    print(f"The server for {plan.address.domain} is set up.\n")
    print(f"  account   {plan.address}\n  password  {password}\n  settings  {plan.settings}\n  data      {plan.data}\n")
    print("What is left to do:\n")
    print(f"{step}. Publish these records in the DNS:\n\n{_indented(zone)}")
    if root:
        step += 1
        print(f"{step}. Let the server have a user of its own, who owns the data:\n")
        print(f"    useradd --system --home-dir {plan.data} --shell /usr/sbin/nologin {SYSTEM_USER}")
        print(f"    chown -R {SYSTEM_USER}: {shlex.quote(str(plan.data))}\n")
    print(f"{step + 1}. Start it with the machine; as /etc/systemd/system/posthouse.service:\n\n{_indented(unit)}")
    print("    systemctl daemon-reload && systemctl enable --now posthouse\n")
    print(f"   or by hand:  {call} serve --config {shlex.quote(str(plan.settings))}\n")
    print(f"{step + 2}. Set up your mail program: IMAP {plan.hostname} port 993 and SMTP port 465, both with TLS,")
    print(f"   user name {plan.address}. Until there is a certificate of a public authority, it will ask about ours.")


def _indented(text: str) -> str:
    return "".join(f"    {line}" if line.strip() else line for line in text.splitlines(keepends=True))
