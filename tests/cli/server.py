"""A fresh server's folder, and the commands on it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cli.program import Outcome, call
from posthouse.config import load
from posthouse.mail.address import Address
from posthouse.store import credentials, directory
from posthouse.store.database import Transaction
from posthouse.store.sqlite import open_sqlite

T = TypeVar("T")
YOU = "you@example.org"


class Server:
    """Made by `posthouse quickstart`; calls are commands with its --config."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "posthouse.toml"
        self.made = call("quickstart", YOU, "--dir", folder, "--json")

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Outcome:
        return call(*arguments, "--config", self.settings, stdin=stdin)

    def good(self, *arguments: str, stdin: bytes = b"") -> Outcome:
        done = self(*arguments, stdin=stdin)
        assert done.code == 0, done.err
        return done

    def refused(self, *arguments: str, stdin: bytes = b"") -> str:
        """The one line about what is wrong."""
        done = self(*arguments, stdin=stdin)
        assert done.code == 1, done
        assert done.err.count("\n") == 1
        assert not done.out
        assert "unexpected" not in done.err
        return done.err

    def password_is(self, address: str, password: str) -> bool:
        def find(tx: Transaction) -> credentials.Credentials | None:
            found = directory.find_account(tx, Address.parse(address))
            return credentials.load(tx, found.account_id) if found else None

        found = self.write(find)
        return found is not None and credentials.verify(password, found.password_hash)

    def postpone(self) -> None:
        """Let everything in the queue wait for an hour, as after a failure."""
        self.write(lambda tx: tx.execute("UPDATE deliveries SET due = due + 3600000000"))

    def write(self, unit: Callable[[Transaction], T]) -> T:
        async def work() -> T:
            database = open_sqlite(load(self.settings).database_file)
            try:
                return await database.write(unit)
            finally:
                await database.close()

        return asyncio.run(work())
