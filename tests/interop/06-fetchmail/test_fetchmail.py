"""fetchmail empties a maildrop by POP3, and reads by IMAP."""

from pathlib import Path

import pytest

from interop.world import Demo, need, run

LETTER = "From: x@far.test\r\nSubject: {0}\r\n\r\n.a line with a dot\r\nFrom here on\r\n"


@pytest.mark.parametrize("service", ["pop3s", "pop3", "imaps"])
def test_letters_are_fetched_and_removed(demo: Demo, tmp_path: Path, service: str) -> None:
    program = need("fetchmail")
    subject = f"fetchmail by {service}"
    with demo.alice.open() as client:
        client.append("INBOX", None, None, LETTER.format(subject).encode())
    target = tmp_path / "mbox"
    settings = tmp_path / "fetchmailrc"
    tls = "ssl" if service.endswith("s") else "sslproto TLS1.2+"
    settings.write_text(
        f"""poll localhost protocol {service.removesuffix("s").upper()} port {demo.ports[service]} auth password
  user "{demo.alice.address}" password "{demo.alice.password}" {tls} sslcertck sslcertfile "{demo.ca}"
  mda "cat >> {target}" fetchall nokeep
"""
    )
    settings.chmod(0o600)
    run(program, "-f", settings, "--pidfile", tmp_path / "pid", "-v", "--nodetach", "--nosyslog", "-N")
    text = target.read_text()
    assert f"Subject: {subject}" in text
    assert "\n.a line with a dot\n" in text
    assert subject not in [letter["Subject"] for letter in demo.alice.letters()]
