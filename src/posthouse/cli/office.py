"""Where the management commands work: directly on the database of a server, whether it runs or not.

    def task(office: Office) -> Awaitable[list[str]]: ...
    names = work(config_path, task)

Several processes may have the database open, so nothing is asked of the server; what changed is hinted to it after
the commit, and it looks by itself every 30 seconds besides. Started as root, a command becomes the owner of the data
first, so that it leaves behind no file that the server could not read.
"""

import asyncio
import os
import pwd
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from posthouse.cli.terminal import Complaint
from posthouse.config import Config, find_config, load
from posthouse.mail.instant import Instant
from posthouse.store.database import Database
from posthouse.store.hints import Hints
from posthouse.store.ids import NODES, Ids
from posthouse.store.sqlite import open_sqlite

# Commands make ids under the upper nodes, chosen by process id; a server's processes count from 0.
COMMAND_NODES = 256

T = TypeVar("T")


class NotAllowed(Complaint):
    """The data belong to somebody else."""


@dataclass(frozen=True, slots=True)
class Office:
    """What a management command has at hand; `caller` is the account of the machine that called it."""

    config: Config
    caller: str
    database: Database
    ids: Ids
    hints: Hints

    def next_id(self) -> int:
        return self.ids.next(now())


def now() -> Instant:
    return time.time_ns() // 1000


def settings(config_path: Path | None) -> Config:
    """The settings meant by --config or found in the usual places; ConfigError where that gives none."""
    return load(find_config(config_path))


def work(config_path: Path | None, task: Callable[[Office], Awaitable[T]]) -> T:
    """Run a task in the office of the server that the settings describe."""
    config = settings(config_path)
    if not config.data_dir.is_dir():
        raise Complaint(f"{config.data_dir}: there is no such folder; posthouse quickstart sets a server up")
    caller = user_name()
    _become_owner(config.data_dir)
    if not os.access(config.data_dir, os.R_OK | os.W_OK | os.X_OK):
        owner = user_name(config.data_dir.stat().st_uid)
        raise NotAllowed(f"{config.data_dir} belongs to {owner}: run this as {owner} or as root")
    return asyncio.run(_work(config, caller, task))


def user_name(uid: int | None = None) -> str:
    """The name of an account of the machine, by default of the one as which this program runs now."""
    number = os.getuid() if uid is None else uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


async def _work(config: Config, caller: str, task: Callable[[Office], Awaitable[T]]) -> T:
    database = open_sqlite(config.database_file, readers=1)
    hints = Hints(config.hints_folder)
    try:
        # Only who listens is heard by the others.
        await hints.start()
        ids = Ids(NODES - 1 - os.getpid() % COMMAND_NODES)
        return await task(Office(config, caller, database, ids, hints))
    finally:
        await hints.close()
        await database.close()


def _become_owner(folder: Path) -> None:
    owner = folder.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
        for path in (__file__, os.__file__):
            if not os.access(path, os.R_OK):
                raise Complaint(f"{path}: cannot be read by the owner of {folder}, as whom the server runs")
