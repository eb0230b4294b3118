"""Running the program in tests: inside this process for speed, or as a process of its own."""

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from posthouse.cli.main import run

PROGRAM = str(Path(sys.executable).with_name("posthouse"))


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def call(*arguments: str | Path, stdin: bytes = b"") -> Outcome:
    """One command line in this process, with standard input, output and error as they would be in a pipe."""
    out, err = io.StringIO(), io.StringIO()
    with (
        redirect_stdout(out), redirect_stderr(err),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8")),
        mock.patch.object(sys, "argv", ["posthouse", *map(str, arguments)]),
    ):
        code = run([str(argument) for argument in arguments])
    return Outcome(code, out.getvalue(), err.getvalue())


def spawn(
    *arguments: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Outcome:
    """One command line in a process of its own."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)], input=stdin, capture_output=True, timeout=60, cwd=cwd,
        env={"PATH": "/usr/bin:/bin", **(env or {})},
    )
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())
