"""Postfix as the other server, both ways over TLS: it sends to us, and we relay to it."""

import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from interop.world import POSTHOUSE, Box, need, run
from posthouse.lab.authority import Authority

pytestmark = pytest.mark.root

MAIN = """compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = mx.postfix.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
disable_dns_lookups = yes
smtp_host_lookup = native
virtual_mailbox_domains = postfix.test
virtual_mailbox_maps = inline:{{ {{ dora@postfix.test = dora/ }} }}
virtual_mailbox_base = {folder}/mail
virtual_minimum_uid = 8
virtual_uid_maps = static:8
virtual_gid_maps = static:8
transport_maps = inline:{{ {{ house.test = smtp:[127.0.0.1]:{house} }} }}
smtpd_tls_security_level = encrypt
smtpd_tls_received_header = yes
smtpd_tls_cert_file = {folder}/host.pem
smtpd_tls_key_file = {folder}/host.key
smtp_tls_security_level = secure
smtp_tls_CAfile = {ca}
smtp_tls_secure_cert_match = mx.house.test, localhost
"""

MASTER = """127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

SETTINGS = """hostname = "mx.house.test"
data_dir = "{folder}/data"
[listen]
smtp = ["127.0.0.1:{smtp}"]
submission = []
submissions = ["127.0.0.1:{submissions}"]
imap = ["127.0.0.1:{imap}"]
imaps = []
pop3 = []
pop3s = []
http = []
[tls]
certificate = "{folder}/host.pem"
key = "{folder}/host.key"
[relay]
private_networks = true
routes = {{ "postfix.test" = "127.0.0.1:{postfix}" }}
[queue]
gaps = ["1m"]
"""


@dataclass(frozen=True)
class Pair:
    """Posthouse with anna@house.test, and Postfix with dora@postfix.test."""

    anna: Box
    submissions: int
    postfix: int
    mail: Path
    log: Path

    def dora(self, subject: str) -> Message:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for path in self.mail.glob("dora/new/*"):
                letter = message_from_bytes(path.read_bytes())
                if letter["Subject"] == subject:
                    return letter
            time.sleep(0.2)
        raise AssertionError(f"Postfix did not get {subject!r}:\n{self.log.read_text(errors='replace')}")


def free_ports(*names: str) -> dict[str, int]:
    """A port of its own for each name."""
    probes = {name: socket.create_server(("127.0.0.1", 0)) for name in names}
    ports = {name: int(probe.getsockname()[1]) for name, probe in probes.items()}
    for probe in probes.values():
        probe.close()
    return ports


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that Postfix's own users can reach, which pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="posthouse-postfix-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def pair(folder: Path) -> Iterator[Pair]:
    need("postfix")
    ports = free_ports("smtp", "submissions", "imap", "postfix")
    authority = Authority.open(folder)
    theirs, ours = folder / "postfix", folder / "house"
    for place in (theirs / "etc", theirs / "spool", theirs / "mail", ours / "data"):
        place.mkdir(parents=True)
    authority.issue(theirs / "host", ["mx.postfix.test"], ["127.0.0.1"])
    authority.issue(ours / "host", ["mx.house.test"], ["127.0.0.1"])
    shutil.chown(theirs / "mail", 8, 8)
    facts = {"folder": theirs, "house": ports["smtp"], "ca": authority.path}
    (theirs / "etc" / "main.cf").write_text(MAIN.format(**facts))
    (theirs / "etc" / "master.cf").write_text(MASTER.format(port=ports["postfix"]))
    settings = ours / "posthouse.toml"
    settings.write_text(SETTINGS.format(folder=ours, **ports))
    password = "a word for anna"
    run(POSTHOUSE, "domain", "add", "house.test", "--config", settings)
    run(POSTHOUSE, "account", "add", "anna@house.test", "--password-stdin", "--config", settings, input=password + "\n")
    with (ours / "log").open("wb") as log:
        process = subprocess.Popen([POSTHOUSE, "serve", "--config", settings], stdout=log, stderr=log)
    started = subprocess.run(["postfix", "-c", theirs / "etc", "start"], capture_output=True, text=True)
    try:
        assert started.returncode == 0, started.stderr + (theirs / "log").read_text(errors="replace")
        _wait(ports["imap"])
        _wait(ports["postfix"])
        anna = Box("anna@house.test", password, ports["imap"], authority.path)
        yield Pair(anna, ports["submissions"], ports["postfix"], theirs / "mail", theirs / "log")
    finally:
        subprocess.run(["postfix", "-c", theirs / "etc", "stop"], capture_output=True)
        process.terminate()
        code = process.wait(30)
    text = (ours / "log").read_text(errors="replace")
    assert code == 0, text
    assert "Traceback" not in text, text


def _wait(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nobody answers on port {port}")


def swaks(*options: str) -> str:
    return run(need("swaks", "swaks", "libnet-ssleay-perl"), "--server", "127.0.0.1", *options)


def test_we_relay_to_postfix_over_tls(pair: Pair) -> None:
    swaks(
        "--port", str(pair.submissions), "--tls-on-connect", "--auth", "PLAIN", "--auth-user", pair.anna.address,
        "--auth-password", pair.anna.password, "--from", pair.anna.address, "--to", "dora@postfix.test",
        "--header", "Subject: to postfix", "--body", ".dots\n..and\nmore",
    )  # fmt: skip
    letter = pair.dora("to postfix")
    assert letter["Return-Path"] == "<anna@house.test>"
    first = (letter.get_all("Received") or [])[0]
    assert "TLSv1.3" in first
    assert "from mx.house.test" in first
    assert letter.get_payload().replace("\r\n", "\n").startswith(".dots\n..and\nmore")


def test_postfix_sends_to_us_over_tls(pair: Pair) -> None:
    swaks(
        "--port", str(pair.postfix), "--tls", "--from", "dora@postfix.test", "--to", pair.anna.address,
        "--header", "Subject: from postfix", "--body", ".dots\n..and\nmore",
    )  # fmt: skip
    letter = pair.anna.wait_for("from postfix")
    assert letter["Return-Path"] == "<dora@postfix.test>"
    first = (letter.get_all("Received") or [])[0]
    assert "ESMTPS" in first
    assert "TLSv1.3" in first
    assert letter.get_payload().replace("\r\n", "\n").startswith(".dots\n..and\nmore")


def test_a_recipient_that_postfix_refuses_comes_back_as_a_notice(pair: Pair) -> None:
    swaks(
        "--port", str(pair.submissions), "--tls-on-connect", "--auth", "PLAIN", "--auth-user", pair.anna.address,
        "--auth-password", pair.anna.password, "--from", pair.anna.address, "--to", "nobody@postfix.test",
        "--header", "Subject: comes back",
    )  # fmt: skip
    deadline = time.monotonic() + 30
    notices: list[Message] = []
    while time.monotonic() < deadline and not notices:
        notices = [each for each in pair.anna.letters() if each.get_content_type() == "multipart/report"]
        time.sleep(0.2)
    assert len(notices) == 1
    text = notices[0].as_string()
    assert "final-recipient: rfc822;nobody@postfix.test" in text.lower().replace("; ", ";")
    assert "550" in text
    assert notices[0]["Return-Path"] == "<>"


def test_postfix_gives_back_what_we_refuse(pair: Pair) -> None:
    swaks(
        "--port", str(pair.postfix), "--tls", "--from", "dora@postfix.test", "--to", "nobody@house.test",
        "--header", "Subject: refused",
    )  # fmt: skip
    notice = pair.dora("Undelivered Mail Returned to Sender")
    assert "550 5.1.1" in notice.as_string()


def test_the_certificate_is_ours(pair: Pair) -> None:
    context = ssl.create_default_context(cafile=str(pair.anna.ca))
    with (
        socket.create_connection(("127.0.0.1", pair.submissions), 10) as plain,
        context.wrap_socket(plain, server_hostname="mx.house.test") as encrypted,
    ):
        assert encrypted.version() == "TLSv1.3"
