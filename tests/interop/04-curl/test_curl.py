"""curl speaks SMTP, IMAP and POP3."""

from pathlib import Path

import pytest

from interop.world import Box, Demo, need, run


def curl(demo: Demo, *options: str | Path, who: Box | None = None) -> str:
    box = who or demo.alice
    return run(
        need("curl"), "--silent", "--show-error", "--ssl-reqd", "--cacert", demo.ca,
        "--user", f"{box.address}:{box.password}", *options,
    )  # fmt: skip


def submit(demo: Demo, tmp_path: Path, subject: str, to: Box, text: str = "hello") -> None:
    letter = tmp_path / "letter"
    letter.write_text(f"From: {demo.alice.address}\r\nTo: {to.address}\r\nSubject: {subject}\r\n\r\n{text}\r\n")
    curl(
        demo, f"smtps://127.0.0.1:{demo.ports['submissions']}", "--mail-from", demo.alice.address,
        "--mail-rcpt", to.address, "--upload-file", letter,
    )  # fmt: skip
    to.wait_for(subject)


@pytest.mark.parametrize("scheme", ["imap", "imaps"])
def test_imap_lists_and_reads(demo: Demo, tmp_path: Path, scheme: str) -> None:
    submit(demo, tmp_path, f"curl by {scheme}", demo.bob)
    root = f"{scheme}://127.0.0.1:{demo.ports[scheme]}"
    listed = curl(demo, f"{root}/", who=demo.bob)
    for name in ("INBOX", "Drafts", "Sent", "Archive", "Junk", "Trash"):
        assert name in listed
    assert "\\Sent" in listed
    numbers = curl(demo, f"{root}/INBOX?SUBJECT%20%22curl%20by%20{scheme}%22", who=demo.bob).split()
    assert numbers[:2] == ["*", "SEARCH"]
    assert f"Subject: curl by {scheme}" in curl(demo, f"{root}/INBOX;MAILINDEX={numbers[2]}", who=demo.bob)


def test_imap_takes_a_letter(demo: Demo, tmp_path: Path) -> None:
    letter = tmp_path / "draft"
    letter.write_text("From: a@posthouse.test\r\nSubject: appended by curl\r\n\r\ntext\r\n")
    curl(demo, f"imaps://127.0.0.1:{demo.ports['imaps']}/Drafts", "--upload-file", letter)
    assert demo.alice.wait_for("appended by curl", "Drafts")


@pytest.mark.parametrize("scheme", ["pop3", "pop3s"])
def test_pop3_lists_and_reads(demo: Demo, tmp_path: Path, scheme: str) -> None:
    submit(demo, tmp_path, f"curl by {scheme}", demo.bob, "line\r\n.dot")
    root = f"{scheme}://127.0.0.1:{demo.ports[scheme]}"
    listing = curl(demo, f"{root}/", who=demo.bob).splitlines()
    last = [line for line in listing if line][-1].split()[0]
    text = curl(demo, f"{root}/{last}", who=demo.bob)
    assert f"Subject: curl by {scheme}" in text
    assert "\n.dot\n" in text
