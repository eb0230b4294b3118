"""`posthouse serve` as a process: how it begins, lives through signals and deaths, and ends."""

import os
import pwd
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from posthouse.serve import supervisor
from posthouse.serve.supervisor import Notifier, Occupancy, ServeError, become
from serve.server import PROGRAM, ServerProcess, asleep, lives, until

LETTER = b"From: a@far.test\r\nTo: b@far.test\r\nSubject: x\r\n\r\nHello\r\n"


@contextmanager
def smtp(server: ServerProcess) -> Iterator[smtplib.SMTP]:
    """A client that leaves without a word."""
    client = smtplib.SMTP("127.0.0.1", server.port("smtp"), timeout=20)
    try:
        client.ehlo("far.test")
        yield client
    finally:
        client.close()


def test_it_serves_until_it_is_asked_to_stop(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server, smtp(server) as client:
        assert client.noop()[0] == 250
        health = f"http://127.0.0.1:{server.port('http')}/healthz"
        assert urllib.request.urlopen(health, timeout=20).read() == b"ok\n"
        assert server.stop() == 0
        # Whoever was connected was told.
        assert client.sock is not None
        assert client.sock.recv(100).startswith(b"421 4.3.2 ")
        assert [line["event"] for line in server.lines][-1] == "stopping"
        assert not any("Traceback" in str(line) for line in server.lines)


@contextmanager
def begun(server: ServerProcess) -> Iterator[smtplib.SMTP]:
    """A client in the middle of a message for somebody who is there."""
    server.port("http")
    server.run("domain", "add", "example.org")
    server.run("account", "add", "you@example.org", "--password-stdin", stdin="a long password\n")
    with smtp(server) as client:
        assert client.docmd("MAIL FROM:<a@far.test>")[0] == 250
        assert client.docmd("RCPT TO:<you@example.org>")[0] == 250
        assert client.docmd("DATA")[0] == 354
        client.send(LETTER)
        yield client


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_message_under_way_is_finished_before_it_stops(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server, begun(server) as client:
        server.send(signal.SIGTERM)
        server.saw("stopping")
        # It says so a moment before the door is shut.
        until(lambda: is_refused(server.port("smtp")))
        client.send(b".\r\n")
        assert client.getreply()[0] == 250
        assert client.getreply()[0] == 421
        assert server.process.wait(20) == 0
        server.saw("accepted", delivered=1)


def test_a_second_order_to_stop_makes_it_short(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, '[run]\ngrace = "1h"\n') as server, begun(server) as client:
        server.send(signal.SIGTERM)
        server.saw("stopping")
        assert server.process.poll() is None
        assert server.stop(signal.SIGINT) == 0
        assert client.sock is not None
        try:
            assert client.sock.recv(100) == b""
        except ConnectionError:
            pass


def test_ctrl_c_is_one_order_for_several_processes_too(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, '[run]\nprocesses = 2\ngrace = "1h"\n') as server, begun(server) as client:
        # A terminal sends it to every process of the group in front.
        group = os.getpgid(server.process.pid)
        for pid in (server.process.pid, *server.children()):
            if os.getpgid(pid) == group:
                os.kill(pid, signal.SIGINT)
        server.saw("stopping", count=2)
        client.send(b".\r\n")
        assert client.getreply()[0] == 250
        assert client.getreply()[0] == 421
        assert server.process.wait(20) == 0


def test_a_second_order_is_not_lost_on_a_child_that_had_no_time_for_the_first(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, '[run]\nprocesses = 2\ngrace = "1h"\n') as server, begun(server):
        children = server.children()
        with asleep(*children):
            for order in (signal.SIGTERM, signal.SIGINT):
                server.send(order)
                until(lambda order=order: all(is_pending(child, order) for child in children))  # type: ignore[misc]
        assert server.process.wait(20) == 0


def is_pending(pid: int, number: int) -> bool:
    """Whether the signal waits for the process."""
    status = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    return bool(int(status["ShdPnd"], 16) & 1 << number - 1)


def test_mistakes_are_one_line_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "posthouse.toml").write_text('hostname = "mx.example.org"\nlisten = 5\n')
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    file = tmp_path / "file"
    file.touch()
    cases = {
        'hostname = "mx.example.org"\nlisten = 5\n': "posthouse.toml: listen: expected object",
        f'hostname = "mx.example.org"\n[listen]\nsmtp = ["127.0.0.1:{port}"]\n': "cannot listen at 127.0.0.1",
        f'hostname = "mx.example.org"\ndata_dir = "{file}/x"\n[listen]\nsmtp=[]\nsubmission=[]\nsubmissions=[]\n'
        "imap=[]\nimaps=[]\npop3=[]\npop3s=[]\nhttp=[]\n": "Not a directory",
    }
    for text, words in cases.items():
        (tmp_path / "posthouse.toml").write_text(text)
        done = subprocess.run(
            [PROGRAM, "serve", "--config", str(tmp_path / "posthouse.toml")], capture_output=True, text=True, timeout=20
        )
        assert done.returncode == 1, done
        assert words in done.stderr
        assert done.stderr.startswith("posthouse: ")
        assert done.stderr.count("\n") == 1
    taken.close()


def test_two_servers_do_not_share_a_data_folder(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as first:
        first.port("http")
        done = subprocess.run(
            [PROGRAM, "serve", "--config", str(first.settings)], capture_output=True, text=True, timeout=20
        )
        assert done.returncode == 1
        assert f"is in use by a running server (process {first.process.pid})" in done.stderr
        first.process.kill()
        first.process.wait()
        # A lock of the dead holds nobody up.
        with ServerProcess(tmp_path) as second:
            second.port("http")
            assert second.stop() == 0


def test_the_lock_names_its_holder_and_is_given_back(tmp_path: Path) -> None:
    first = Occupancy(tmp_path)
    with pytest.raises(ServeError, match=f"process {os.getpid()}"):
        Occupancy(tmp_path)
    first.release()
    Occupancy(tmp_path).release()
    with pytest.raises(ServeError, match="No such file"):
        Occupancy(tmp_path / "missing")


# --- signals ----------------------------------------------------------------------------------------


def size_offered(client: smtplib.SMTP) -> int:
    client.ehlo("far.test")
    return int(client.esmtp_features["size"])


def test_a_reload_takes_new_settings_and_old_conversations_end_in_peace(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, '[limits]\nmessage_size = "1 MiB"\n') as server:
        with smtp(server) as old:
            assert size_offered(old) == 2**20
            changed = server.settings.read_text().replace("1 MiB", "2 MiB").replace("processes = 1", 'grace = "5s"')
            server.settings.write_text(changed)
            server.send(signal.SIGHUP)
            server.saw("settings reloaded")
            server.saw("needs a restart, the old setting stays", setting="run")
            with smtp(server) as new:
                assert size_offered(new) == 2 * 2**20
            assert old.sock is not None
            assert old.sock.recv(100).startswith(b"421 ")
        # Again, and back.
        server.settings.write_text(server.settings.read_text().replace("2 MiB", "3 MiB"))
        server.send(signal.SIGHUP)
        server.saw("settings reloaded", 2)
        with smtp(server) as newest:
            assert size_offered(newest) == 3 * 2**20
        assert server.stop() == 0


def test_a_reload_of_broken_settings_changes_nothing(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server, smtp(server) as client:
        good = server.settings.read_text()
        server.settings.write_text(good + "[limits]\nmesage_size = 5\n")
        server.send(signal.SIGHUP)
        assert "did you mean message_size" in server.saw("settings not reloaded")["reason"]
        server.settings.write_text(good + '[tls]\ncertificate = "no.pem"\nkey = "no.pem"\n')
        server.send(signal.SIGHUP)
        assert "No such file" in server.saw("settings not reloaded", 2)["error"]
        assert client.noop()[0] == 250
        with smtp(server) as another:
            assert another.noop()[0] == 250
        assert server.stop() == 0


def test_a_reload_without_changes_keeps_every_connection(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server, smtp(server) as client:
        server.send(signal.SIGHUP)
        server.saw("certificate reloaded")
        assert client.noop()[0] == 250
        (tmp_path / "data" / "self-made.pem").write_text("rubbish")
        server.send(signal.SIGHUP)
        server.saw("certificate not reloaded")
        assert client.starttls()[0] == 220
        client.close()
        assert server.stop() == 0


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(20)
        yield channel


def heard(channel: socket.socket, word: str) -> str:
    while True:
        message = channel.recv(1000).decode()
        if word in message:
            return message
        assert "STOPPING=1" not in message


@pytest.mark.parametrize("processes", [1, 2])
def test_systemd_is_told_how_it_goes(processes: int, tmp_path: Path, systemd: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
    with ServerProcess(tmp_path, f"[run]\nprocesses = {processes}\n", **environ) as server:
        heard(systemd, "READY=1")
        heard(systemd, "WATCHDOG=1")
        server.send(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in heard(systemd, "RELOADING=1")
        heard(systemd, "READY=1")
        server.send(signal.SIGTERM)
        heard(systemd, "STOPPING=1")
        assert server.process.wait(20) == 0


def test_a_notifier_without_systemd_is_silent() -> None:
    Notifier({}).tell("READY=1")
    Notifier({"NOTIFY_SOCKET": "/nonexistent/socket"}).tell("READY=1")
    assert Notifier({}).watchdog_seconds is None
    assert Notifier({"WATCHDOG_USEC": "4000000"}).watchdog_seconds == 2.0
    assert Notifier({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}).watchdog_seconds is None
    assert Notifier({"WATCHDOG_USEC": "rubbish"}).watchdog_seconds is None


def test_a_flood_beyond_the_descriptors_is_waited_out_without_spinning(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, descriptors=256) as server:
        place = ("127.0.0.1", server.port("smtp"))
        metrics = f"http://127.0.0.1:{server.port('http')}/metrics"
        flood = [
            socket.create_connection(place, 20, source_address=(f"127.0.{number // 8 + 1}.1", 0))
            for number in range(300)
        ]
        try:
            # Three quarters of the descriptors are for them, the rest stays in the backlog unanswered.
            for client in flood[1:192]:
                assert client.recv(3) == b"220"
            flood[250].settimeout(0.5)
            with pytest.raises(TimeoutError):
                flood[250].recv(3)
            # Who is inside is served as ever: for a large message files are opened.
            server.run("domain", "add", "example.org")
            server.run("account", "add", "you@example.org", "--password-stdin", stdin="a long password\n")
            inside = smtplib.SMTP()
            inside.sock, inside.file = flood[0], flood[0].makefile("rb")
            inside.getreply()
            assert inside.sendmail("a@far.test", ["you@example.org"], LETTER + b"x" * 70 + b"\r\n" * 200_000) == {}
            inside.file.close()
            for client in flood[:150]:
                client.close()
            flood[250].settimeout(20)
            assert flood[250].recv(3) == b"220"
        finally:
            for client in flood:
                client.close()
        text = urllib.request.urlopen(metrics, timeout=20).read().decode()
        rests = [line for line in text.splitlines() if "why=\"exhausted\"" in line and "refused_total" in line]
        assert 0 < sum(float(line.split()[-1]) for line in rests) < 300
        assert server.stop() == 0


# --- several processes ------------------------------------------------------------------------------


def test_children_share_the_work_and_the_dead_are_replaced(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "[run]\nprocesses = 2\n") as server:
        server.saw("serving", processes=2)
        first = server.children()
        assert len(first) == 2
        for pid in first:
            os.kill(pid, signal.SIGKILL)
            server.saw("process died and will be started again", status=-9)
            with smtp(server) as client:
                assert client.noop()[0] == 250
            until(lambda: len(server.children()) == 2)
        server.saw("process died and will be started again", 2)
        second = server.children()
        assert not set(first) & set(second)
        until(lambda: len([x for x in server.lines if x["event"] == "listening" and x["service"] == "smtp"]) == 4)
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{server.port('http')}/metrics", timeout=20).read()
        assert b'process="' in metrics
        assert server.stop() == 0
        assert not any(lives(pid) for pid in second)


def test_children_share_the_memory_of_what_was_loaded_before_them(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "[run]\nprocesses = 2\n") as server:
        server.saw("serving", processes=2)
        for pid in server.children():
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
            assert kilobytes["Shared_Dirty"] > kilobytes["Private_Dirty"]
        assert server.stop() == 0


def greeting(port: int, held: ExitStack) -> bytes:
    return held.enter_context(socket.create_connection(("127.0.0.1", port), 20)).recv(200)


def test_an_address_has_no_more_places_in_two_processes_than_in_one(tmp_path: Path) -> None:
    more = "[limits]\nconnections_per_address = 4\n[run]\nprocesses = 2\n"
    with ServerProcess(tmp_path, more) as server, ExitStack() as held:
        server.saw("serving", processes=2)
        port = server.port("smtp")
        one, other = server.children()
        with asleep(one):
            leaving = held.enter_context(socket.create_connection(("127.0.0.1", port), 20))
            assert leaving.recv(200).startswith(b"220 ")
            assert all(greeting(port, held).startswith(b"220 ") for _ in range(3))
        with asleep(other):
            assert greeting(port, held).startswith(b"421 4.7.0 ")
        # Who leaves makes room, whichever process he was with.
        leaving.close()
        until(lambda: greeting(port, held).startswith(b"220 "))
        # What a process held that died is free again as soon as it is back.
        os.kill(other, signal.SIGKILL)
        server.saw("process died and will be started again")
        until(lambda: greeting(port, held).startswith(b"220 "))
        held.close()
        assert server.stop() == 0


def failed_login(server: ServerProcess) -> int:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = smtplib.SMTP("127.0.0.1", server.port("submission"), timeout=20)
    try:
        client.starttls(context=context)
        client.ehlo("far.test")
        try:
            client.login("nobody@example.org", "wrong")
        except smtplib.SMTPAuthenticationError as error:
            return error.smtp_code
        raise AssertionError("nobody got in")
    finally:
        client.close()


def test_failed_logins_count_for_both_of_two_processes(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "[run]\nprocesses = 2\n") as server:
        server.saw("serving", processes=2)
        one, other = server.children()
        with asleep(one):
            until(lambda: failed_login(server) == 454)
        with asleep(other):
            assert failed_login(server) == 454
        # They outlive the process that counted them.
        os.kill(other, signal.SIGKILL)
        server.saw("listening", 3, service="submission")
        with asleep(one):
            assert failed_login(server) == 454
        assert server.stop() == 0


def test_children_do_not_outlive_their_parent(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "[run]\nprocesses = 2\n") as server:
        server.saw("serving", processes=2)
        children = server.children()
        server.process.kill()
        until(lambda: not any(lives(pid) for pid in children))


def test_where_no_child_can_begin_the_parent_ends(tmp_path: Path) -> None:
    more = '[tls]\ncertificate = "no.pem"\nkey = "no.pem"\n[run]\nprocesses = 2\n'
    with ServerProcess(tmp_path, more) as server:
        assert server.process.wait(20) == 1
        assert "No such file" in server.saw("process failed")["error"]


# --- root -------------------------------------------------------------------------------------------


def nobody_can_run_python() -> bool:
    command = [sys.executable, "-c", "import importlib.readers, posthouse"]
    try:
        return subprocess.run(command, user="nobody", capture_output=True, timeout=20).returncode == 0
    except PermissionError:
        return False


@pytest.mark.root
@pytest.mark.parametrize("processes", [1, 2])
def test_root_is_given_up_for_good(processes: int, tmp_path: Path) -> None:
    if not nobody_can_run_python():
        pytest.skip("THE PYTHON OF THESE TESTS CANNOT BE RUN BY NOBODY")
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:3]:
        if parent.stat().st_uid == 0 and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    with ServerProcess(tmp_path, f'[run]\nuser = "nobody"\nprocesses = {processes}\n') as server:
        server.port("http")
        nobody = pwd.getpwnam("nobody")
        for pid in [server.process.pid, *server.children()]:
            status = dict(
                line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
            )
            assert status["Uid"].split() == [str(nobody.pw_uid)] * 4
            assert status["Gid"].split() == [str(nobody.pw_gid)] * 4
            assert "0" not in status["Groups"].split()
            assert int(status["CapEff"], 16) == 0
        assert (tmp_path / "data").stat().st_uid == nobody.pw_uid
        with smtp(server) as client:
            assert client.noop()[0] == 250
        assert server.stop() == 0


@pytest.mark.root
def test_the_way_back_to_root_is_closed() -> None:
    script = (
        "import os\nfrom posthouse.serve.supervisor import become\nbecome('nobody')\n"
        "for back in (os.setuid, os.seteuid, os.setgid):\n"
        "    try:\n        back(0)\n    except PermissionError:\n        continue\n    raise SystemExit(1)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=20).returncode == 0


def test_who_is_not_root_becomes_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor.os, "geteuid", lambda: 12345)
    with pytest.raises(ServeError, match="only root can become root"):
        become("root")
    with pytest.raises(ServeError, match="there is no such account"):
        become("no-such-account-anywhere")
    monkeypatch.setattr(supervisor.os, "geteuid", lambda: 0)
    become("")
    become("root")
    assert os.getuid() == os.geteuid()
