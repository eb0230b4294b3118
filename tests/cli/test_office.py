"""As whom the management commands work."""

import os
from pathlib import Path

import pytest

from cli.server import YOU, Server
from posthouse.cli import office
from posthouse.cli.terminal import Complaint


class Machine:
    """Notes who the process becomes instead of becoming it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, caller: int, owner: int) -> None:
        self.steps: list[object] = []
        monkeypatch.setattr(os, "geteuid", lambda: caller)
        monkeypatch.setattr(os, "setgroups", lambda groups: self.steps.append(groups))
        monkeypatch.setattr(os, "setgid", lambda gid: self.steps.append(("gid", gid)))
        monkeypatch.setattr(os, "setuid", lambda uid: self.steps.append(("uid", uid)))
        found = os.stat_result((0o40700, 0, 0, 1, owner, owner + 1, 0, 0, 0, 0))
        monkeypatch.setattr(Path, "stat", lambda self: found)


def test_root_becomes_the_owner_of_the_data_groups_first(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, caller=0, owner=990)
    office._become_owner(Path("data"))
    assert machine.steps == [[], ("gid", 991), ("uid", 990)]


@pytest.mark.parametrize(("caller", "owner"), [(0, 0), (1000, 990), (990, 990)])
def test_nobody_else_becomes_anybody(monkeypatch: pytest.MonkeyPatch, caller: int, owner: int) -> None:
    machine = Machine(monkeypatch, caller, owner)
    office._become_owner(Path("data"))
    assert machine.steps == []


def test_an_owner_who_cannot_read_the_program_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, caller=0, owner=990)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(Complaint, match="cannot be read by the owner of data"):
        office._become_owner(Path("data"))


def test_data_of_somebody_else_are_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = Server(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "belongs to" in server.refused("account", "list")
    assert server("sendmail", YOU, stdin=b"From: you@example.org\n\nx\n").code == 77


def test_the_caller_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert office.user_name()
    monkeypatch.setattr(os, "getuid", lambda: 123_456_789)
    assert office.user_name() == "123456789"
