"""`posthouse domain`: which domains are ours, the keys that sign their mail, and what to publish about them."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from posthouse.cli.arguments import DomainType
from posthouse.cli.office import Office, now, work
from posthouse.cli.terminal import Complaint, config_option, json_option, show, table
from posthouse.config import Config
from posthouse.store import directory
from posthouse.store.database import Transaction

if TYPE_CHECKING:
    from posthouse.cli.records import Record


@click.group("domain", no_args_is_help=True)
def domain_command() -> None:
    """The domains that are ours: mail for their addresses is delivered here, and for no other domain.

    \b
    posthouse domain add example.org
    posthouse domain dns example.org
    posthouse domain rotate-dkim example.org
    """


@domain_command.command("add")
@click.argument("domain", type=DomainType())
@config_option
@json_option
def add_command(domain: str, config_path: Path | None, as_json: bool) -> None:
    """Receive mail for DOMAIN from now on, and sign what leaves from it: two keys are made, RSA and Ed25519."""
    from posthouse.cli.rotation import KEYLESS
    from posthouse.store import signing

    async def task(office: Office) -> bool:
        # It may have been ours before.
        known = await office.database.read(lambda tx: signing.keys(tx, domain))
        keys = signing.generate(domain, now(), [key.selector for key in known])

        def unit(tx: Transaction) -> None:
            directory.add_domain(tx, domain, now())
            signing.add(tx, keys, signing.KeyState.ACTIVE, now())

        await office.database.write(unit)
        return bool(keys)

    unsigned = "" if work(config_path, task) else f" Its mail leaves unsigned, since {KEYLESS.format(domain)}."
    show(
        {"domain": domain},
        as_json,
        lambda: print(f"{domain} is ours. posthouse domain dns {domain} prints what to publish.{unsigned}"),
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
    """Receive no more mail for DOMAIN. Its accounts must be gone first; its aliases and keys go with it."""
    from posthouse.store import signing

    async def task(office: Office) -> None:
        def unit(tx: Transaction) -> None:
            directory.remove_domain(tx, domain)
            signing.forget(tx, domain, now())

        await office.database.write(unit)

    work(config_path, task)
    show({"removed": domain}, as_json, lambda: print(f"{domain} is no longer ours."))


@domain_command.command("dns")
@click.argument("domain", type=DomainType())
@config_option
@json_option
def dns_command(domain: str, config_path: Path | None, as_json: bool) -> None:
    """The records to publish for DOMAIN, as lines of a zone file."""
    from posthouse.cli.records import gather, records, zone_text

    async def task(office: Office) -> "tuple[Config, list[Record]]":
        def unit(tx: Transaction) -> "list[Record]":
            _must_be_ours(tx, domain)
            return records(domain, office.config, *gather(tx, domain))

        return office.config, await office.database.read(unit)

    config, found = work(config_path, task)
    show(
        {"domain": domain, "records": [record.facts() for record in found]},
        as_json,
        lambda: print(zone_text(domain, config.hostname, found), end=""),
    )


@domain_command.command("rotate-dkim")
@click.argument("domain", type=DomainType())
@click.option("--force", is_flag=True, help="Neither look into the DNS nor wait; a leaked key is reason enough.")
@config_option
@json_option
def rotate_command(domain: str, force: bool, config_path: Path | None, as_json: bool) -> None:
    """Replace the keys that sign mail of DOMAIN: the next of three steps, each time it is called.

    First new keys are made, and their records printed. Once these are seen in the DNS, the new keys sign, and the old
    ones are retired: their private halves are forgotten, but their records stay for mail that is under way. When that
    time is over, the old records may go. Called too early, it says what it waits for and changes nothing; the exit code
    is 75 then.

    \b
    posthouse domain rotate-dkim example.org
    """
    from posthouse.cli.rotation import Turn, advance, words

    async def task(office: Office) -> Turn:
        await office.database.read(lambda tx: _must_be_ours(tx, domain))
        return await advance(office, domain, force=force)

    turn = work(config_path, task)
    show({"domain": domain, **turn.facts()}, as_json, lambda: print(words(domain, turn), end=""))
    if turn.waits:
        sys.exit(os.EX_TEMPFAIL)


def _must_be_ours(tx: Transaction, domain: str) -> None:
    if not directory.is_local(tx, domain):
        raise Complaint(f"{domain} is not one of our domains: posthouse domain add {domain}")
