"""A fresh server's folder, and the commands on it."""

import asyncio
from pathlib import Path

from cli.program import Outcome, call
from posthouse.config import load
from posthouse.store import credentials, directory
from posthouse.store.sqlite import open_sqlite

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
        return done.err

    def password_is(self, address: str, password: str) -> bool:
        async def look() -> bool:
            database = open_sqlite(load(self.settings).database_file)
            try:
                found = await database.read(
                    lambda tx: next(
                        credentials.load(tx, account.account_id)
                        for account in directory.accounts(tx) if str(account.address) == address
                    )
                )
            finally:
                await database.close()
            return found is not None and credentials.verify(password, found.password_hash)

        return asyncio.run(look())
