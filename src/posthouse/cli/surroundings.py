"""What a command that needs no server can make use of where there is one: its settings, its domains, its people.

    around = find(config_path)
    around.config, around.domains, around.people          None and empty where there is no server here

With --config the settings are meant, and whatever is wrong with them or with the data is an error. Without, they are
taken where they can be had: a message or a domain can be examined on any machine, by anybody.
"""

from dataclasses import dataclass
from pathlib import Path

from posthouse.checks.impostor import Acquaintance
from posthouse.config import Config, ConfigError, find_config, load


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`domains` are ours, `people` have accounts here; `has_data` where these could be looked up."""

    config: Config | None = None
    domains: tuple[str, ...] = ()
    people: tuple[Acquaintance, ...] = ()
    has_data: bool = False


def find(config_path: Path | None) -> Surroundings:
    """ConfigError and Complaint only where `config_path` names the settings."""
    from posthouse.cli.terminal import Complaint
    from posthouse.store.database import StoreFault

    try:
        config = load(find_config(config_path))
    except ConfigError:
        if config_path is not None:
            raise
        return Surroundings()
    try:
        return _with_data(config, config_path)
    except (Complaint, StoreFault, OSError):
        if config_path is not None:
            raise
        return Surroundings(config)


def keys(config_path: Path | None, around: Surroundings, domain: str) -> dict[str, str]:
    """Selector → record of every key of a domain of ours that has to be in the DNS; empty for others."""
    if domain not in around.domains:
        return {}
    from posthouse.cli.office import Office, work
    from posthouse.store import signing

    async def task(office: Office) -> dict[str, str]:
        found = await office.database.read(lambda tx: signing.keys(tx, domain))
        return {key.selector: key.record for key in found if key.state is not signing.KeyState.WITHDRAWN}

    return work(config_path, task)


def _with_data(config: Config, config_path: Path | None) -> Surroundings:
    from posthouse.cli.office import Office, work
    from posthouse.store import directory

    if not config.database_file.exists():
        return Surroundings(config)

    async def task(office: Office) -> Surroundings:
        domains, accounts = await office.database.read(lambda tx: (directory.domains(tx), directory.accounts(tx)))
        people = tuple(Acquaintance(account.name, account.address, own=True) for account in accounts)
        return Surroundings(config, tuple(domains), people, has_data=True)

    return work(config_path, task)
