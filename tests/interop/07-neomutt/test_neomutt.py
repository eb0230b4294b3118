"""neomutt sends in batch mode, and reads and files through IMAP on a terminal of its own."""

import os
import pty
import subprocess
from pathlib import Path

from interop.world import Demo, need, run


def settings(demo: Demo, folder: Path) -> Path:
    path = folder / "muttrc"
    path.write_text(
        f"""set from="{demo.alice.address}" realname="Alice"
set smtp_url="smtps://{demo.alice.address.replace("@", "%40")}@localhost:{demo.ports["submissions"]}/"
set smtp_pass="{demo.alice.password}"
set imap_user="{demo.alice.address}" imap_pass="{demo.alice.password}"
set folder="imaps://localhost:{demo.ports["imaps"]}/" spoolfile="+INBOX" record="+Sent"
set ssl_force_tls=yes ssl_ca_certificates_file="{demo.ca}"
set ssl_verify_host=yes ssl_verify_dates=yes
set confirmappend=no delete=yes quit=yes mark_old=no header_cache="" message_cachedir=""
set sleep_time=0 wait_key=no abort_key="\\007"
"""
    )
    return path


def test_batch_mode_sends(demo: Demo, tmp_path: Path) -> None:
    program = need("neomutt", "neomutt", "libsasl2-modules")
    run(
        program, "-F", settings(demo, tmp_path), "-s", "neomutt: grüße", "--", demo.bob.address,
        input="ein Brief\n", env={"HOME": str(tmp_path), "LANG": "C.UTF-8"},
    )  # fmt: skip
    assert demo.bob.wait_for("neomutt")["From"] == f"Alice <{demo.alice.address}>"


def test_a_letter_is_read_and_filed(demo: Demo, tmp_path: Path) -> None:
    program = need("neomutt", "neomutt", "libsasl2-modules")
    with demo.alice.open() as client:
        client.append("INBOX", None, None, b"From: x@far.test\r\nSubject: for neomutt\r\n\r\nread me\r\n")
    keys = "<limit>for neomutt<enter><display-message><exit><save-message>=Archive<enter><sync-mailbox><quit>"
    master, slave = pty.openpty()
    done = subprocess.run(
        [program, "-F", str(settings(demo, tmp_path)), "-e", f'push "{keys}"'],
        stdin=slave, stdout=slave, stderr=slave, timeout=60,
        env=os.environ | {"HOME": str(tmp_path), "TERM": "xterm", "LANG": "C.UTF-8"},
    )  # fmt: skip
    os.close(master)
    os.close(slave)
    assert done.returncode == 0
    assert demo.alice.wait_for("for neomutt", "Archive")
    with demo.alice.open() as client:
        client.select("INBOX")
        _, found = client.search(None, "SUBJECT", "neomutt", "UNDELETED")
    assert found[0].split() == []
