"""`posthouse domain`: which domains are ours, and what to publish about them."""

from pathlib import Path

import click

from posthouse.cli.arguments import DomainType
from posthouse.cli.office import Office, now, settings, work
from posthouse.cli.terminal import config_option, json_option, show, table
from posthouse.store import directory


@click.group("domain", no_args_is_help=True)
def domain_command() -> None:
    """The domains that are ours: mail for their addresses is delivered here, and for no other domain.

    \b
    posthouse domain add example.org
    posthouse domain dns example.org
    """


@domain_command.command("add")
@click.argument("domain", type=DomainType())
@config_option
@json_option
def add_command(domain: str, config_path: Path | None, as_json: bool) -> None:
    """Receive mail for DOMAIN from now on."""

    async def task(office: Office) -> None:
        await office.database.write(lambda tx: directory.add_domain(tx, domain, now()))

    work(config_path, task)
    show(
        {"domain": domain},
        as_json,
        lambda: print(f"{domain} is ours. posthouse domain dns {domain} prints what to publish."),
    )


@domain_command.command("list")
@config_option
@json_option
def list_command(config_path: Path | None, as_json: bool) -> None:
    """All our domains, with how many accounts and aliases each has."""

    async def task(office: Office) -> list[tuple[str, int, int]]:
        names, accounts, aliases = await office.database.read(
            lambda tx: (directory.domains(tx), directory.accounts(tx), directory.aliases(tx))
        )
        return [
            (
                name,
                sum(account.address.domain == name for account in accounts),
                sum(alias.name.rpartition("@")[2] == name for alias in aliases),
            )
            for name in names
        ]

    rows = work(config_path, task)
    show(
        {"domains": [{"domain": name, "accounts": accounts, "aliases": aliases} for name, accounts, aliases in rows]},
        as_json,
        lambda: table(("domain", ">accounts", ">aliases"), rows, "No domain yet: posthouse domain add DOMAIN"),
    )


@domain_command.command("remove")
@click.argument("domain", type=DomainType())
@config_option
@json_option
def remove_command(domain: str, config_path: Path | None, as_json: bool) -> None:
    """Receive no more mail for DOMAIN. Its accounts must be gone first; its aliases go with it."""

    async def task(office: Office) -> None:
        await office.database.write(lambda tx: directory.remove_domain(tx, domain))

    work(config_path, task)
    show({"removed": domain}, as_json, lambda: print(f"{domain} is no longer ours."))


@domain_command.command("dns")
@click.argument("domain", type=DomainType())
@config_option
@json_option
def dns_command(domain: str, config_path: Path | None, as_json: bool) -> None:
    """The records to publish for DOMAIN, as lines of a zone file."""
    from posthouse.cli.records import records, zone_text

    config = settings(config_path)
    found = records(domain, config)
    show(
        {"domain": domain, "records": [record.facts() for record in found]},
        as_json,
        lambda: print(zone_text(domain, config.hostname, found), end=""),
    )
