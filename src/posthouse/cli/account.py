"""`posthouse account`: who logs in and has mailboxes."""

import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from posthouse.cli.arguments import AddressType, SizeType
from posthouse.cli.office import Office, now, work
from posthouse.cli.terminal import Complaint, config_option, json_option, octets_text, show, table
from posthouse.mail.address import Address
from posthouse.mail.instant import rfc3339
from posthouse.store import credentials, directory
from posthouse.store.database import Transaction

# Without characters that are easily taken for one another; 20 of them hold 100 bits.
ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
GROUPS, GROUP_LENGTH = 4, 5


@dataclass(frozen=True, slots=True)
class Password:
    """A password, and whether it was made here and has to be shown."""

    text: str
    generated: bool


def generate() -> str:
    """A password with 100 bits in it, easy to read out and to type."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))
    return "-".join(groups)


def obtain(from_stdin: bool, generated: bool) -> Password:
    """The password: from standard input, made here, or typed at the prompt (made here too where nobody is there)."""
    if from_stdin and generated:
        raise click.UsageError("--password-stdin and --generate exclude each other")
    if from_stdin:
        text = sys.stdin.readline().rstrip("\r\n")
        if not text:
            raise Complaint("standard input holds no password")
        return Password(text, False)
    if not generated and sys.stdin.isatty():
        typed: str = _ask("Password (empty: one is made)")
        if typed and _ask("Once more") != typed:
            raise Complaint("the two passwords differ, nothing was changed")
        if typed:
            return Password(typed, False)
    return Password(generate(), True)


def _ask(question: str) -> str:
    answer: str = click.prompt(question, hide_input=True, default="", show_default=False, err=True)
    return answer


@click.group("account", no_args_is_help=True)
def account_command() -> None:
    """Who logs in and has mailboxes. An account you@example.org also receives as you+anything@example.org.

    \b
    posthouse account add you@example.org
    pass show mail | posthouse account passwd you@example.org --password-stdin
    """


@account_command.command("add")
@click.argument("address", type=AddressType())
@click.option("--name", default="", help="Display name.")
@click.option("--quota", type=SizeType(), metavar="SIZE", help="Largest size of all mailboxes, such as 5GiB.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@click.option("--generate", "generated", is_flag=True, help="Make a password and print it.")
@config_option
@json_option
def add_command(
    address: Address, name: str, quota: int | None, password_stdin: bool, generated: bool,
    config_path: Path | None, as_json: bool,
) -> None:
    """Make an account for ADDRESS, with Inbox, Drafts, Sent, Archive, Junk and Trash.

    Without an option the password is asked for; where there is no terminal, one is made and printed.
    """
    # Settled before anything is asked: a domain that is not ours, or an address that is taken.
    work(config_path, lambda office: _examine(office, address))
    password = obtain(password_stdin, generated)

    async def task(office: Office) -> None:
        secret = credentials.make(password.text)
        account_id = office.next_id()

        def unit(tx: Transaction) -> None:
            directory.add_account(tx, account_id, address, now(), name=name, quota=quota)
            credentials.save(tx, account_id, secret)

        await office.database.write(unit)

    work(config_path, task)
    _report("added", address, password, as_json)


async def _examine(office: Office, address: Address) -> None:
    def unit(tx: Transaction) -> tuple[bool, bool]:
        return directory.is_local(tx, address.domain), directory.find_account(tx, address) is not None

    ours, taken = await office.database.read(unit)
    if not ours:
        raise Complaint(f"{address.domain} is not ours: posthouse domain add {address.domain}")
    if taken:
        raise Complaint(f"{address} has an account already")


def _report(done: str, address: Address, password: Password, as_json: bool) -> None:
    data: dict[str, object] = {"address": str(address)}
    if password.generated:
        data["password"] = password.text

    def human() -> None:
        if password.generated:
            print(f"{address}, password {password.text}")
        else:
            print(f"{address} {done}.")

    show(data, as_json, human)


@account_command.command("list")
@config_option
@json_option
def list_command(config_path: Path | None, as_json: bool) -> None:
    """All accounts, with what their mailboxes hold."""

    async def task(office: Office) -> list[directory.Account]:
        return await office.database.read(directory.accounts)

    found = work(config_path, task)
    data = [
        {
            "address": str(account.address), "name": account.name, "octets": account.octets, "quota": account.quota,
            "suspended": account.suspended, "created": rfc3339(account.created),
        }
        for account in found
    ]
    rows = [
        (
            account.address, account.name, octets_text(account.octets),
            octets_text(account.quota) if account.quota is not None else "", "suspended" if account.suspended else "",
        )
        for account in found
    ]
    columns = ("address", "name", ">size", ">quota", "")
    show(
        {"accounts": data},
        as_json,
        lambda: table(columns, rows, "No account yet: posthouse account add ADDRESS"),
    )


@account_command.command("passwd")
@click.argument("address", type=AddressType())
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@click.option("--generate", "generated", is_flag=True, help="Make a password and print it.")
@config_option
@json_option
def passwd_command(
    address: Address, password_stdin: bool, generated: bool, config_path: Path | None, as_json: bool
) -> None:
    """Give the account a new password; the old one is worth nothing from then on."""

    async def find(office: Office) -> directory.Account:
        return await _account(office, address)

    account = work(config_path, find)
    password = obtain(password_stdin, generated)

    async def task(office: Office) -> None:
        secret = credentials.make(password.text)
        await office.database.write(lambda tx: credentials.save(tx, account.account_id, secret))

    work(config_path, task)
    _report("has a new password", address, password, as_json)


@account_command.command("remove")
@click.argument("address", type=AddressType())
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@json_option
def remove_command(address: Address, yes: bool, config_path: Path | None, as_json: bool) -> None:
    """Remove the account with its mailboxes and every message in them. There is no way back."""

    async def find(office: Office) -> directory.Account:
        return await _account(office, address)

    account = work(config_path, find)
    if not yes:
        if not sys.stdin.isatty():
            raise Complaint(f"this removes {octets_text(account.octets)} of mail: say --yes")
        click.confirm(f"Remove {address} with {octets_text(account.octets)} of mail?", abort=True, err=True)

    async def task(office: Office) -> None:
        await office.database.write(lambda tx: directory.remove_account(tx, account.account_id))

    work(config_path, task)
    show({"removed": str(address)}, as_json, lambda: print(f"{address} is removed."))


async def _account(office: Office, address: Address) -> directory.Account:
    found = await office.database.read(lambda tx: directory.find_account(tx, address))
    if found is None:
        raise Complaint(f"there is no account {address}")
    return found
