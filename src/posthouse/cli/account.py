"""`posthouse account`: who logs in and has mailboxes."""

import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from posthouse.cli.arguments import AddressType, SizeType
from posthouse.cli.junk import junk_command
from posthouse.cli.office import Office, now, work
from posthouse.cli.terminal import Complaint, config_option, json_option, octets_text, show, table
from posthouse.mail.address import Address
from posthouse.mail.instant import rfc3339
from posthouse.store import credentials, directory
from posthouse.store.database import Transaction
from posthouse.store.hints import account_topic

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
    posthouse account set you@example.org --name "Ann Example" --quota 5GiB
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
    rows = [
        (
            account.address, account.name, octets_text(account.octets),
            octets_text(account.quota) if account.quota is not None else "", "suspended" if account.suspended else "",
        )
        for account in found
    ]
    columns = ("address", "name", ">size", ">quota", "")
    show(
        {"accounts": [_facts(account) for account in found]},
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


@account_command.command("set")
@click.argument("address", type=AddressType())
@click.option("--name", metavar="TEXT", help="Display name; empty takes it away.")
@click.option("--quota", type=SizeType(), metavar="SIZE", help="Largest size of all mailboxes, such as 5GiB.")
@click.option("--no-quota", is_flag=True, help="No limit but the disk.")
@click.option("--suspend", is_flag=True, help="Let it neither log in, read nor send; its mail is still received.")
@click.option("--resume", is_flag=True, help="Let it in again.")
@config_option
@json_option
def set_command(
    address: Address, name: str | None, quota: int | None, no_quota: bool, suspend: bool, resume: bool,
    config_path: Path | None, as_json: bool,
) -> None:
    """Change what the account is called, how much it may hold, and whether it may be used.

    All that is given is changed together. A quota below what the account holds removes nothing: no more mail is taken
    until there is room.
    """
    if quota is not None and no_quota:
        raise click.UsageError("--quota and --no-quota exclude each other")
    if suspend and resume:
        raise click.UsageError("--suspend and --resume exclude each other")
    if name is None and quota is None and not (no_quota or suspend or resume):
        raise click.UsageError("say what to change: --name, --quota, --no-quota, --suspend or --resume")

    async def task(office: Office) -> directory.Account:
        account_id = (await _account(office, address)).account_id

        def unit(tx: Transaction) -> directory.Account | None:
            if name is not None:
                directory.set_name(tx, account_id, name)
            if quota is not None or no_quota:
                directory.set_quota(tx, account_id, quota)
            if suspend or resume:
                directory.set_suspended(tx, account_id, suspend)
            return directory.account(tx, account_id)

        changed = await office.database.write(unit)
        office.hints.publish(account_topic(account_id))
        if changed is None:
            raise Complaint(f"there is no account {address}")
        return changed

    account = work(config_path, task)
    show(_facts(account), as_json, lambda: print(_sentence(account)))


def _sentence(account: directory.Account) -> str:
    size = octets_text(account.octets)
    room = f"{size} of {octets_text(account.quota)}" if account.quota is not None else f"{size}, no quota"
    named = f" ({account.name})" if account.name else ""
    return f"{account.address}{named}: {room}{', suspended' if account.suspended else ''}."


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
        office.hints.publish(account_topic(account.account_id))

    work(config_path, task)
    show({"removed": str(address)}, as_json, lambda: print(f"{address} is removed."))


account_command.add_command(junk_command)


def _facts(account: directory.Account) -> dict[str, object]:
    return {
        "address": str(account.address), "name": account.name, "octets": account.octets, "quota": account.quota,
        "suspended": account.suspended, "created": rfc3339(account.created),
    }


async def _account(office: Office, address: Address) -> directory.Account:
    found = await office.database.read(lambda tx: directory.find_account(tx, address))
    if found is None:
        raise Complaint(f"there is no account {address}")
    return found
