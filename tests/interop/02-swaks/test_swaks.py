"""swaks speaks every corner of SMTP and shows what it hears."""

from pathlib import Path

import pytest

from interop.world import Demo, need, run

# From where far.test sends, as its SPF record says.
FAR_LEAVES_FROM = "127.0.0.26"


def swaks(demo: Demo, *options: str | Path, code: int | None = 0) -> str:
    program = need("swaks", "swaks", "libnet-ssleay-perl")
    return run(program, "--server", "127.0.0.1", "--helo", "client.test", *options, code=code)


def login(demo: Demo, mechanism: str = "PLAIN") -> tuple[str, ...]:
    return ("--auth", mechanism, "--auth-user", demo.alice.address, "--auth-password", demo.alice.password)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_submission_with_starttls_reaches_a_neighbour(demo: Demo, mechanism: str) -> None:
    subject = f"swaks {mechanism}"
    swaks(
        demo, "--port", str(demo.ports["submission"]), "--tls", "--tls-verify", "--tls-ca-path", demo.ca,
        *login(demo, mechanism), "--from", demo.alice.address, "--to", demo.bob.address,
        "--header", f"Subject: {subject}",
    )  # fmt: skip
    letter = demo.bob.wait_for(subject)
    assert letter["Return-Path"] == f"<{demo.alice.address}>"
    assert "ESMTPSA" in letter["Received"]
    assert "127.0.0.1" not in letter["Received"]


def test_submission_under_tls_reaches_the_far_host(demo: Demo) -> None:
    swaks(
        demo, "--port", str(demo.ports["submissions"]), "--tls-on-connect", *login(demo),
        "--from", demo.alice.address, "--to", demo.carol.address, "--header", "Subject: swaks far away",
    )  # fmt: skip
    letter = demo.carol.wait_for("swaks far away")
    hops = letter.get_all("Received") or []
    assert len(hops) == 2
    assert "ESMTPS" in hops[0]
    assert "TLSv1.3" in hops[0]


def test_the_far_host_can_write_back_without_a_login(demo: Demo) -> None:
    swaks(
        demo, "--port", str(demo.ports["smtp"]), "--from", demo.carol.address, "--to", demo.bob.address,
        "--header", "Subject: swaks from outside", "--header", f"From: {demo.carol.address}", "--pipeline",
        "--local-interface", FAR_LEAVES_FROM, "--ehlo", "mx.far.test",
    )  # fmt: skip
    letter = demo.bob.wait_for("swaks from outside")
    assert letter["Return-Path"] == f"<{demo.carol.address}>"
    assert "dmarc=pass" in letter["Authentication-Results"]


def test_who_is_not_the_far_host_cannot_write_as_its_people(demo: Demo) -> None:
    said = swaks(
        demo, "--port", str(demo.ports["smtp"]), "--from", demo.carol.address, "--to", demo.bob.address,
        "--header", f"From: {demo.carol.address}", code=26,
    )  # fmt: skip
    assert "550 5.7.26 Refused by the DMARC policy of far.test" in said


def test_no_login_before_tls(demo: Demo) -> None:
    said = swaks(
        demo, "--port", str(demo.ports["submission"]), *login(demo),
        "--from", demo.alice.address, "--to", demo.bob.address, code=None,
    )  # fmt: skip
    assert "250-AUTH" not in said
    assert "250 AUTH" not in said
    assert "Accepted" not in said


def test_a_wrong_password_is_refused(demo: Demo) -> None:
    said = swaks(
        demo, "--port", str(demo.ports["submission"]), "--tls", "--auth", "PLAIN",
        "--auth-user", demo.alice.address, "--auth-password", "wrong", "--from", demo.alice.address,
        "--to", demo.bob.address, code=28,
    )  # fmt: skip
    assert "535 5.7.8" in said


def test_an_unknown_recipient_is_refused_at_once(demo: Demo) -> None:
    said = swaks(
        demo, "--port", str(demo.ports["smtp"]), "--from", demo.carol.address, "--to", "nobody@posthouse.test",
        code=24,
    )  # fmt: skip
    assert "550 5.1.1" in said


def test_strangers_cannot_relay(demo: Demo) -> None:
    said = swaks(
        demo, "--port", str(demo.ports["smtp"]), "--from", demo.carol.address, "--to", "someone@elsewhere.test",
        code=24,
    )  # fmt: skip
    assert "550 5.7.1" in said


def test_submission_wants_a_login(demo: Demo) -> None:
    said = swaks(
        demo, "--port", str(demo.ports["submission"]), "--tls", "--from", demo.alice.address,
        "--to", demo.bob.address, code=23,
    )  # fmt: skip
    assert "530 5.7.0" in said


def test_an_account_cannot_send_as_another(demo: Demo) -> None:
    said = swaks(
        demo, "--port", str(demo.ports["submissions"]), "--tls-on-connect", *login(demo),
        "--from", demo.bob.address, "--to", demo.carol.address, code=None,
    )  # fmt: skip
    assert "55" in said
    assert "5.7.1" in said
