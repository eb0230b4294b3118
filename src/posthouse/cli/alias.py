"""`posthouse alias`: other addresses of accounts, groups, forwards and catch-all."""

from pathlib import Path

import click

from posthouse.cli.arguments import AddressType
from posthouse.cli.office import Office, work
from posthouse.cli.terminal import config_option, json_option, show, table
from posthouse.mail.address import Address
from posthouse.store import directory


class AliasName(click.ParamType[str]):
    """An address, or `@domain` for every address of the domain that is nothing else."""

    name = "alias"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            if value.startswith("@"):
                return f"@{Address.parse(f'postmaster{value}').domain}"
            return str(Address.parse(value))
        except ValueError as error:
            self.fail(f"{value!r} is neither an address nor @domain: {error}", param, ctx)


@click.group("alias", no_args_is_help=True)
def alias_command() -> None:
    """Other addresses: an alias hands mail on to one or more accounts or to addresses elsewhere.

    \b
    posthouse alias add info@example.org you@example.org
    posthouse alias add team@example.org ann@example.org ben@elsewhere.example
    posthouse alias add @example.org you@example.org        # catch-all
    """


@alias_command.command("add")
@click.argument("name", type=AliasName(), metavar="ALIAS")
@click.argument("targets", type=AddressType(), nargs=-1, required=True, metavar="TARGET...")
@config_option
@json_option
def add_command(name: str, targets: tuple[Address, ...], config_path: Path | None, as_json: bool) -> None:
    """Hand mail for ALIAS on to each TARGET; targets that it has already stay."""

    async def task(office: Office) -> directory.Alias:
        return await office.database.write(lambda tx: directory.add_alias(tx, name, targets))

    alias = work(config_path, task)
    show(_facts(alias), as_json, lambda: print(f"{alias.name} → {_joined(alias)}"))


@alias_command.command("list")
@config_option
@json_option
def list_command(config_path: Path | None, as_json: bool) -> None:
    """All aliases with their targets."""

    async def task(office: Office) -> list[directory.Alias]:
        return await office.database.read(directory.aliases)

    found = work(config_path, task)
    rows = [(alias.name, _joined(alias)) for alias in found]
    show(
        {"aliases": [_facts(alias) for alias in found]},
        as_json,
        lambda: table(("alias", "targets"), rows, "No alias yet: posthouse alias add ALIAS TARGET"),
    )


@alias_command.command("remove")
@click.argument("name", type=AliasName(), metavar="ALIAS")
@click.argument("targets", type=AddressType(), nargs=-1, metavar="[TARGET]...")
@config_option
@json_option
def remove_command(name: str, targets: tuple[Address, ...], config_path: Path | None, as_json: bool) -> None:
    """Take TARGETs from ALIAS; the whole alias where none is given."""

    async def task(office: Office) -> None:
        await office.database.write(lambda tx: directory.remove_alias(tx, name, targets))

    work(config_path, task)
    gone = [str(target) for target in targets]
    show(
        {"alias": name, "removed": gone or "all"},
        as_json,
        lambda: print(f"{name} no longer leads to {', '.join(gone)}." if gone else f"{name} is removed."),
    )


def _facts(alias: directory.Alias) -> dict[str, object]:
    return {"alias": alias.name, "targets": [str(target) for target in alias.targets]}


def _joined(alias: directory.Alias) -> str:
    return ", ".join(map(str, alias.targets))
