"""`posthouse serve`: run the server in the foreground until a signal ends it."""

from pathlib import Path

import click

from posthouse.cli.terminal import config_option, json_option
from posthouse.config import find_config, load


@click.command("serve")
@config_option
@json_option
def serve_command(config_path: Path | None, as_json: bool) -> int:
    """Run the server: all listeners of the settings, the queue, and the pages.

    SIGTERM and Ctrl-C end it after what is under way; SIGHUP reads certificates and settings again. Logs go to
    standard error; --json makes each line a JSON object, whatever the settings say.

    \b
    posthouse serve
    posthouse serve --config /etc/posthouse/posthouse.toml
    """
    path = find_config(config_path)
    config = load(path)
    # Not before the settings are known to be good: this is most of the program.
    from posthouse.house import serve
    from posthouse.serve.log import logger

    log = logger("json" if as_json else config.log.format, config.log.level)
    return serve(path, config, log)
