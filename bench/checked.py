"""Mail from outside, examined: Posthouse with its checks beside Postfix with Rspamd, which does SPF, DKIM and DMARC.

The client comes from an address of the documentation networks, which the loopback interface is given for a while, so
that neither side takes it for one of its own. Both ask the same unbound. The message is one, signed with RSA-2048, and
sent again and again, as the load program knows no other way.
"""

import os
import shutil
import signal
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from bench.load import source
from bench.processes import cpu_seconds
from bench.servers import (
    ACCEPTED,
    BenchError,
    PostfixDovecot,
    Posthouse,
    Server,
    fill_template,
    free_port,
    settle,
)
from bench.workloads import Sample, Workload
from posthouse.checks.dkim import SigningKey, sign
from posthouse.mail.instant import SECOND, rfc5322_date

CLIENT = "203.0.113.7"
DOMAIN = "signed.test"
SELECTOR = "bench"
SIZE = 4096

# Octets of one string in a TXT record.
_STRING = 255
_RSPAMD_OFF = ("worker-normal.inc", "worker-controller.inc", "fuzzy_check.conf", "rspamd_update.conf")


class Outside(AbstractContextManager["Outside"]):
    """The client's address and the DNS about it. `dns` is the port of the resolver, `message` the file to send."""

    def __init__(self, folder: Path) -> None:
        if os.geteuid() != 0:
            raise BenchError("only root can give the loopback interface an address")
        if shutil.which("unbound", path=os.environ.get("PATH", "") + ":/usr/sbin") is None:
            raise BenchError("unbound is missing: apt install unbound")
        self._folder = folder
        self.dns = free_port()
        self.message = folder / "signed.eml"

    def __enter__(self) -> "Outside":
        key = SigningKey.generate(DOMAIN, SELECTOR)
        self.message.write_bytes(message(key).replace(b"\r\n", b"\n"))
        texts = {
            DOMAIN: f"v=spf1 ip4:{CLIENT} -all",
            f"_dmarc.{DOMAIN}": "v=DMARC1; p=reject; adkim=s; aspf=s",
            key.dns_name: key.dns_record(),
        }
        records = "\n".join(f"  local-data: '{name}. 3600 IN TXT {_strings(text)}'" for name, text in texts.items())
        config = self._folder / "unbound.conf"
        fill_template("unbound.conf", config, DNS=self.dns, DIR=self._folder, RECORDS=records)
        subprocess.run(["ip", "addr", "add", f"{CLIENT}/32", "dev", "lo"], check=True)
        self._unbound = subprocess.Popen(["/usr/sbin/unbound", "-d", "-c", config], stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._unbound.terminate()
        self._unbound.wait()
        subprocess.run(["ip", "addr", "del", f"{CLIENT}/32", "dev", "lo"], check=True)

    def posthouse(self, folder: Path, sink: int, processes: int) -> Posthouse:
        settings = f'[dns]\nservers = ["127.0.0.1:{self.dns}"]\n'
        return Posthouse(folder, sink, processes, CLIENT, settings)

    def postfix(self, folder: Path, sink: int) -> "PostfixRspamd":
        return PostfixRspamd(folder, sink, self.dns)


class PostfixRspamd(PostfixDovecot):
    """Postfix, with Rspamd as its milter."""

    name = "Postfix and Rspamd"

    def __init__(self, folder: Path, sink: int, dns: int) -> None:
        if shutil.which("rspamd") is None:
            raise BenchError("rspamd is missing: apt install rspamd")
        self._rspamd = folder / "rspamd"
        self._dns = dns
        socket = self._rspamd / "run" / "milter.sock"
        super().__init__(
            folder,
            sink,
            CLIENT,
            f"smtpd_milters = unix:{socket}\nmilter_default_action = tempfail\nmilter_protocol = 6",
        )

    def start(self) -> None:
        for name in ("local.d", "run", "db", "log"):
            (self._rspamd / name).mkdir(parents=True)
        words = {"DIR": self._folder, "DNS": self._dns, "CLIENT": CLIENT}
        for name in ("options.inc", "worker-proxy.inc", "settings.conf", "logging.inc"):
            fill_template(f"rspamd/{name}", self._rspamd / "local.d" / name, **words)
        for name in _RSPAMD_OFF:
            fill_template("rspamd/off.inc", self._rspamd / "local.d" / name)
        for folder in (self._rspamd, *self._rspamd.iterdir()):
            shutil.chown(folder, "_rspamd", "_rspamd")
        self._folder.chmod(0o755)
        places = {"LOCAL_CONFDIR": "", "RUNDIR": "run", "DBDIR": "db", "LOGDIR": "log"}
        self._filter = subprocess.Popen(
            ["rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", "/etc/rspamd/rspamd.conf"]
            + [f"--var={name}={self._rspamd / place}" for name, place in places.items()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 60
        while not (self._rspamd / "run" / "milter.sock").exists():
            if self._filter.poll() is not None or time.monotonic() > end:
                raise BenchError("rspamd does not start")
            time.sleep(0.1)
        super().start()

    def stop(self) -> None:
        super().stop()
        self._filter.send_signal(signal.SIGTERM)
        self._filter.wait()

    def roots(self) -> list[int]:
        return [*super().roots(), self._filter.pid]


def examined(outside: Outside) -> list[Workload]:
    """The workloads for these two."""

    def measure(server: Server, work: Workload, messages: int) -> Sample:
        settle(server)
        os.sync()
        before = cpu_seconds(server.roots())
        seconds = source(
            server.smtp,
            server.rcpt_to(ACCEPTED),
            messages=messages,
            sessions=work.sessions,
            size=SIZE,
            kept=True,
            host=CLIENT,
            mail_from=f"a@{DOMAIN}",
            file=outside.message,
        )
        settle(server)
        return Sample(messages / seconds, (cpu_seconds(server.roots()) - before) * 1000 / messages)

    return [
        Workload("checked", f"SPF, DKIM and DMARC checked, 4 KB, {sessions} kept", measure, 10_000, 2_500, 3, sessions)
        for sessions in (10, 50)
    ]


def message(key: SigningKey) -> bytes:
    """A message of 4 KB, signed."""
    now = int(time.time()) * SECOND
    head = (
        f"From: A <a@{DOMAIN}>\r\nTo: x@discard.test\r\nSubject: signed\r\nDate: {rfc5322_date(now)}\r\n"
        f"Message-ID: <bench@{DOMAIN}>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
    ).encode()
    line = b"The quick brown fox jumps over the lazy dog, again and again.\r\n"
    octets = head + line * ((SIZE - len(head)) // len(line))
    return sign(octets, [key], now) + octets


def _strings(text: str) -> str:
    return " ".join(f'"{text[at : at + _STRING]}"' for at in range(0, len(text), _STRING))
