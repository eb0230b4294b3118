"""What is asked at a terminal: passwords that are not shown, and whether a removal is meant."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

from cli.program import PROGRAM
from cli.server import YOU, Server

PROMPTS = (b"is made): ", b"Once more: ", b"[y/N]: ")


def typed(server: Server, arguments: tuple[str, ...], answers: list[str]) -> tuple[int, str]:
    """Run a command at a terminal of its own, and answer each time it has asked something."""
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, *arguments, "--config", server.settings], stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    waiting = list(answers)
    try:
        while True:
            try:
                octets = os.read(terminal, 4096)
            except OSError:  # so Linux says that nobody has the terminal open any more
                break
            shown += octets
            if waiting and shown.endswith(PROMPTS):
                os.write(terminal, f"{waiting.pop(0)}\n".encode())
                shown += b"\n"
        return process.wait(timeout=30), shown.decode()
    finally:
        os.close(terminal)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "server")


def test_a_password_is_asked_for_twice_and_never_shown(server: Server) -> None:
    code, shown = typed(server, ("account", "add", "ann@example.org"), ["correct horse", "correct horse"])
    assert code == 0, shown
    assert "correct" not in shown
    assert server.password_is("ann@example.org", "correct horse")


def test_no_answer_means_that_one_is_made(server: Server) -> None:
    code, shown = typed(server, ("account", "passwd", YOU), [""])
    assert code == 0, shown
    assert server.password_is(YOU, shown.strip().rpartition("password ")[2])


def test_two_different_passwords_change_nothing(server: Server) -> None:
    code, shown = typed(server, ("account", "passwd", YOU), ["one", "two"])
    assert code == 1
    assert "differ" in shown
    assert server.password_is(YOU, server.made.json["password"])


@pytest.mark.parametrize(("answer", "left"), [("n", 1), ("y", 0)])
def test_a_removal_is_asked_about(server: Server, answer: str, left: int) -> None:
    code, shown = typed(server, ("account", "remove", YOU), [answer])
    assert code == (0 if answer == "y" else 130), shown
    assert len(server.good("account", "list", "--json").json["accounts"]) == left
