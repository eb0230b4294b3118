"""The program as a whole: help, errors in one line, exit codes, start-up, what it imports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.program import PROGRAM, call, spawn
from posthouse.cli import main


def test_help_lists_every_command_without_importing_one() -> None:
    done = spawn("--help")
    assert done.code == 0
    for section in main.COMMANDS.values():
        for name, (_, line) in section.items():
            assert name in done.out
            assert line.split()[0] in done.out


def test_version_is_told() -> None:
    assert call("--version").out.startswith("posthouse 0.")


@pytest.mark.parametrize(
    "arguments",
    [("quene",), ("queue", "lits"), ("serve", "--what"), ("account", "add"), ("account", "add", "no address"),
     ("queue", "show", "xyz"), ("demo", "--port-base", "-1")],
)
def test_bad_usage_is_one_line_and_exit_2(arguments: tuple[str, ...]) -> None:
    done = call(*arguments)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert done.err.startswith("posthouse: ")
    assert not done.out


def test_a_mistyped_command_names_the_nearest() -> None:
    assert "did you mean queue?" in call("quene").err


def test_missing_settings_are_one_line_and_exit_1(tmp_path: Path) -> None:
    done = call("domain", "list", "--config", tmp_path / "none.toml")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "none.toml" in done.err


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "posthouse.toml").write_text('hostnam = "mx.example.org"\n')
    done = call("domain", "list", "--config", tmp_path / "posthouse.toml")
    assert done.code == 1
    assert "hostname" in done.err


def test_an_unexpected_error_is_one_line_unless_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a fault\nof ours\x1b[31m")

    monkeypatch.setattr(main.posthouse, "main", broken)
    done = call("queue", "list")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "ZeroDivisionError" in done.err
    assert "\x1b" not in done.err
    monkeypatch.setenv(main.DEBUG, "1")
    assert "Traceback" in call("queue", "list").err


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main.posthouse, "main", interrupted)
    assert call("queue", "list").code == 130


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """A closed pipe as standard output."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([PROGRAM, "--help"], stdout=writing, stderr=subprocess.PIPE, timeout=60)
    os.close(writing)
    assert done.stderr == b""


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
@pytest.mark.parametrize("command", ["--help", "explain letter --zone zone", "explain letter --zone zone --json"])
def test_closed_output_is_no_error(command: str, closed: str, tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("From: alice@example.org\n\nHello\n", "ascii")
    (tmp_path / "zone").write_text("{}", "ascii")
    line = f"exec '{PROGRAM}' {command} {closed}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")


def test_other_names_are_other_commands() -> None:
    assert main._arguments(["/usr/sbin/sendmail", "-t", "-i"]) == ["sendmail", "-t", "-i"]
    assert main._arguments(["mailq"]) == ["queue", "list"]
    assert main._arguments(["posthouse", "trace"]) == ["trace"]


@pytest.mark.parametrize("arguments", [("--help",), ("queue", "list", "--help"), ("sendmail", "--help")])
def test_nothing_heavy_is_imported_to_explain_a_command(arguments: tuple[str, ...]) -> None:
    script = (
        "import sys; from posthouse.cli.main import run; "
        f"run({list(arguments)!r}); "
        "print(sorted(sys.modules.keys() & set(sys.argv[1:])), file=sys.stderr)"
    )
    heavy = ["rich", "cryptography", "dns", "uvicorn", "starlette", "uvloop", "prometheus_client", "structlog"]
    done = subprocess.run([sys.executable, "-c", script, *heavy], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "[]"
