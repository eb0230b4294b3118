"""msmtp submits as a sendmail would, with certificates checked."""

from pathlib import Path

import pytest

from interop.world import Demo, need, run


@pytest.mark.parametrize("mechanism", ["plain", "login", "scram-sha-256"])
@pytest.mark.parametrize("service", ["submission", "submissions"])
def test_a_letter_goes_out(demo: Demo, tmp_path: Path, mechanism: str, service: str) -> None:
    settings = tmp_path / "msmtprc"
    settings.write_text(
        f"""account default
host 127.0.0.1
port {demo.ports[service]}
tls on
tls_starttls {"on" if service == "submission" else "off"}
tls_trust_file {demo.ca}
auth {mechanism}
user {demo.alice.address}
password {demo.alice.password}
from {demo.alice.address}
"""
    )
    settings.chmod(0o600)
    subject = f"msmtp {mechanism} {service}"
    letter = (
        f"From: {demo.alice.address}\nTo: {demo.bob.address}\nBcc: {demo.carol.address}\nSubject: {subject}\n\nhi\n"
    )
    run(need("msmtp"), "-C", settings, "--read-recipients", input=letter)
    arrived = demo.bob.wait_for(subject)
    assert arrived["Message-ID"]
    assert arrived["Date"]
    assert arrived["Bcc"] is None
    assert demo.carol.wait_for(subject)["Bcc"] is None
