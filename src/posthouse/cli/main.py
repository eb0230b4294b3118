"""The program `posthouse`: finds the command, runs it, and turns whatever goes wrong into one clear line.

Commands are imported only when they are called: `COMMANDS` holds their one-line descriptions for `posthouse --help`.
Exit codes: 0 done, 1 an error, 2 bad usage, 130 interrupted. With POSTHOUSE_DEBUG=1 an unexpected error shows its
traceback; without, never. Called by the name `sendmail`, `mailq` or `newaliases` (a link to the program), it is that.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import PurePath

import click

from posthouse import __version__
from posthouse.cli.terminal import Complaint, clean, forget_stdout

DEBUG = "POSTHOUSE_DEBUG"

# Section → name → (module, one line). The function in the module is called as the command, with `_command` behind it.
COMMANDS: dict[str, dict[str, tuple[str, str]]] = {
    "Try it": {
        "demo": ("demo", "Run a small internet on this machine: two hosts, three accounts."),
    },
    "Run a server": {
        "quickstart": ("quickstart", "Make settings, keys and the first account; print what to publish."),
        "serve": ("serve", "Run the server."),
    },
    "Manage it, also while it runs": {
        "domain": ("domain", "The domains that are ours."),
        "account": ("account", "Who logs in and has mailboxes."),
        "alias": ("alias", "Other addresses, groups, forwards, catch-all."),
    },
    "Watch the mail": {
        "queue": ("queue", "What waits to be delivered to other servers."),
        "trace": ("trace", "The journey of one message: every step, every decision."),
        "reports": ("reports", "Who sends in your name, as others report it; what we report."),
    },
    "Look into mail": {
        "explain": ("explain", "Tell the story of any raw message: its way, who vouches for it."),
        "check": ("check", "Examine a domain as the world sees it; say what to mend."),
    },
    "Send mail": {
        "send": ("send", "Compose a message and submit it."),
        "sendmail": ("sendmail", "Submit a message from standard input, with sendmail's usual options."),
    },
}

_BY_NAME = {name: entry for section in COMMANDS.values() for name, entry in section.items()}

# What the program is when it is called by one of these names: the arguments put in front.
_OTHER_NAMES = {"sendmail": ("sendmail",), "mailq": ("queue", "list"), "newaliases": ("sendmail", "-bi")}


class LazyGroup(click.Group):
    """The top of the command tree; imports the module of a command when it is called or asked for its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_BY_NAME)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _BY_NAME:
            return None
        module = import_module(f"posthouse.cli.{_BY_NAME[cmd_name][0]}")
        command = getattr(module, f"{cmd_name}_command")
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _BY_NAME and not name.startswith("-"):
            ctx.fail(f"there is no command {clean(name)!r}{_nearest(name)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, line) for name, (_, line) in commands.items()])


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    found = get_close_matches(name, _BY_NAME, n=1)
    return f", did you mean {found[0]}?" if found else ""


@click.group(
    "posthouse",
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="posthouse COMMAND --help tells more, with examples. Every command takes --json.",
)
@click.version_option(__version__, "-V", "--version", message="posthouse %(version)s")
def posthouse() -> None:
    """A whole mail system in one program, which also explains what it did with each message."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit; the entry point of the console script."""
    # Where they were closed the interpreter has none: nobody wants to read what is written.
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as the program runs
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for as long as the program runs
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a character shows another one, and no command fails for it.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(run(_arguments(sys.argv) if arguments is None else list(arguments)))


def _arguments(argv: Sequence[str]) -> list[str]:
    return [*_OTHER_NAMES.get(PurePath(argv[0]).name, ()), *argv[1:]]


def run(arguments: list[str]) -> int:
    """Run one command line; gives back the exit code. Nothing but SystemExit of the interpreter's own escapes."""
    try:
        code = posthouse.main(arguments, prog_name="posthouse", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.UsageError as error:
        return _usage(error)
    except click.ClickException as error:
        return _complain(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _complain("interrupted", 130)
    except BrokenPipeError:
        # Whoever read our output has seen enough: no error of ours. 141 is what a program killed by SIGPIPE gives.
        forget_stdout()
        return 141
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except Exception as error:
        if os.environ.get(DEBUG) == "1":
            import traceback

            traceback.print_exc()
        return _complain(*_words(error))


def _usage(error: click.UsageError) -> int:
    """Bad usage: the complaint, and where to read how it is meant; a bare group shows its help instead."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return error.exit_code
    where = error.ctx.command_path if error.ctx is not None else "posthouse"
    message = error.format_message().rstrip(".")
    code = error.ctx.find_root().meta.get("usage_exit", 2) if error.ctx is not None else 2
    return _complain(f"{message[:1].lower()}{message[1:]} (see {where} --help)", code)


def _complain(message: str, code: int) -> int:
    click.echo(f"posthouse: {clean(message)}", err=True)
    return code


def _words(error: Exception) -> tuple[str, int]:
    """What went wrong, in words of a person, and the exit code."""
    if isinstance(error, Complaint):
        return str(error), error.exit_code
    # Modules that were never imported cannot have raised; so none is imported here to look.
    for module, name in (
        ("posthouse.config", "ConfigError"),
        ("posthouse.store.database", "StoreFault"),
        ("posthouse.store.directory", "DirectoryError"),
        ("posthouse.store.credentials", "PasswordError"),
        ("posthouse.mail.address", "AddressError"),
        ("posthouse.serve.listener", "ListenError"),
        ("posthouse.serve.supervisor", "ServeError"),
        ("posthouse.serve.tls", "TlsError"),
    ):
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(error, kind):
            return str(error), 1
    if isinstance(error, OSError) and error.strerror:
        return f"{f'{error.filename}: ' if error.filename else ''}{error.strerror}", 1
    return f"unexpected error, {type(error).__name__}: {error} ({DEBUG}=1 shows where)", 1
