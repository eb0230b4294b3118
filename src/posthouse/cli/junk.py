"""`posthouse account junk`: what an account has called junk, and what its filter has learnt from that."""

import sys
from dataclasses import dataclass
from pathlib import Path

import click

from posthouse.checks.bayes import TRAINED
from posthouse.cli.arguments import AddressType
from posthouse.cli.office import Office, work
from posthouse.cli.terminal import Complaint, config_option, json_option, show, table
from posthouse.mail.address import Address
from posthouse.store import directory, junk, learners
from posthouse.store.database import Transaction
from posthouse.store.junk import Word
from posthouse.store.learners import Learner, learnt_topic

WORDS = 12


@dataclass(frozen=True, slots=True)
class Learning:
    """What is shown."""

    account_id: int
    learner: Learner
    waiting: int
    for_junk: list[Word]
    for_good: list[Word]
    origins: list[Word]


@click.command("junk")
@click.argument("address", type=AddressType())
@click.option("--words", type=click.IntRange(1, 1_000), default=WORDS, show_default=True, help="Words of each kind.")
@click.option("--forget", is_flag=True, help="Forget all of it, as if the account were new.")
@click.option("--yes", is_flag=True, help="Do not ask before that.")
@config_option
@json_option
def junk_command(
    address: Address, words: int, forget: bool, yes: bool, config_path: Path | None, as_json: bool
) -> None:
    """Tell what the account ADDRESS has called junk: how much, the words that say most, and whose mail it was.

    It learns from what is moved into Junk and out of it, or marked $Junk and $NotJunk, and takes as much of what was
    read and kept for good mail.

    \b
    posthouse account junk you@example.org
    posthouse account junk you@example.org --forget
    """

    async def look(office: Office) -> Learning:
        found = await office.database.read(lambda tx: _look(tx, address, words))
        if found is None:
            raise Complaint(f"there is no account {address}")
        return found

    found = work(config_path, look)
    if not forget:
        show(_facts(address, found), as_json, lambda: _print(address, found))
        return
    if not yes:
        if not sys.stdin.isatty():
            raise Complaint("this forgets what the account has learnt about junk: say --yes")
        click.confirm(f"Forget what {address} has learnt about junk?", abort=True, err=True)

    async def task(office: Office) -> None:
        await office.database.write(lambda tx: junk.forget(tx, found.account_id))
        office.hints.publish(learnt_topic(found.account_id))

    work(config_path, task)
    show({"forgotten": str(address)}, as_json, lambda: print(f"{address} knows nothing about junk any more."))


def _look(tx: Transaction, address: Address, words: int) -> Learning | None:
    account = directory.find_account(tx, address)
    if account is None:
        return None
    account_id = account.account_id
    for_junk, for_good = junk.strongest(tx, account_id, words)
    return Learning(
        account_id, learners.find(tx, account_id), junk.lessons(tx, account_id), for_junk, for_good,
        junk.origins(tx, account_id, words),
    )  # fmt: skip


def _facts(address: Address, found: Learning) -> dict[str, object]:
    learner = found.learner
    return {
        "address": str(address),
        "junk": learner.junk,
        "good": learner.good,
        "judging": min(learner.junk, learner.good) >= TRAINED,
        "tokens": learner.tokens,
        "waiting": found.waiting,
        "junk_words": [_word(word) for word in found.for_junk],
        "good_words": [_word(word) for word in found.for_good],
        "senders": [_word(word) for word in found.origins],
    }


def _word(word: Word) -> dict[str, object]:
    return {"text": word.text, "junk": word.counts.junk, "good": word.counts.good}


def _print(address: Address, found: Learning) -> None:
    learner = found.learner
    seen = f"{learner.junk:,} junk and {learner.good:,} good messages"
    print(f"{address} has learnt {learner.tokens:,} words from {seen}.")
    if found.waiting:
        print(f"{found.waiting:,} more messages wait to be learnt.")
    if min(learner.junk, learner.good) < TRAINED:
        print(f"Words are judged by when there are {TRAINED} of each.")
    for title, rows in (
        ("says junk", found.for_junk), ("says good", found.for_good), ("sender", found.origins)
    ):  # fmt: skip
        if rows:
            print()
            table((title, ">in junk", ">in good"), [(row.text, row.counts.junk, row.counts.good) for row in rows], "")
