"""mbsync carries a Maildir and our mailboxes both ways: letters, flags, removals, folders."""

from pathlib import Path

import pytest

from interop.world import Demo, need, run

LETTER = "From: bob@posthouse.test\nTo: bob@posthouse.test\nSubject: {0}\nMessage-ID: <{0}@maildir.test>\n\n{0} text\n"


@pytest.fixture
def sync(demo: Demo, tmp_path: Path) -> Path:
    """A settings file that keeps a Maildir below the folder `mail` beside it."""
    need("mbsync", "isync")
    (tmp_path / "mail").mkdir()
    settings = tmp_path / "mbsyncrc"
    settings.write_text(
        f"""IMAPAccount demo
Host localhost
Port {demo.ports["imaps"]}
User {demo.bob.address}
Pass {demo.bob.password}
SSLType IMAPS
CertificateFile {demo.ca}

IMAPStore far
Account demo

MaildirStore near
Path {tmp_path}/mail/
Inbox {tmp_path}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
"""
    )
    return settings


def mbsync(settings: Path) -> str:
    return run("mbsync", "-c", settings, "-a")


def letters(folder: Path) -> dict[str, Path]:
    """Subject → file of a Maildir folder."""
    found = {}
    for part in ("cur", "new"):
        for path in (folder / part).iterdir():
            for line in path.read_text(errors="replace").splitlines():
                if line.startswith("Subject: "):
                    found[line[9:]] = path
                    break
    return found


def test_both_ways(demo: Demo, sync: Path) -> None:
    mail = sync.parent / "mail"
    with demo.bob.open() as client:
        client.append("INBOX", None, None, LETTER.format("from-imap").replace("\n", "\r\n").encode())
        client.create('"Projects/&ANw-ber"')
    mbsync(sync)
    assert "from-imap" in letters(mail / "INBOX")
    assert (mail / "Sent").is_dir()
    assert (mail / "Projects" / "&ANw-ber").is_dir()

    (mail / "INBOX" / "new" / "1.near.test").write_text(LETTER.format("from-maildir"))
    mbsync(sync)
    assert demo.bob.wait_for("from-maildir")["Message-ID"] == "<from-maildir@maildir.test>"

    path = letters(mail / "INBOX")["from-maildir"]
    path.rename(mail / "INBOX" / "cur" / (path.name.partition(":2,")[0] + ":2,FS"))
    mbsync(sync)
    with demo.bob.open() as client:
        client.select("INBOX")
        _, found = client.search(None, "SUBJECT", "from-maildir", "SEEN", "FLAGGED")
        assert len(found[0].split()) == 1
        _, numbers = client.search(None, "SUBJECT", "from-imap")
        client.store(numbers[0].decode().replace(" ", ","), "+FLAGS", "\\Deleted")
        client.expunge()

    letters(mail / "INBOX")["from-maildir"].unlink()
    mbsync(sync)
    assert "from-imap" not in letters(mail / "INBOX")
    assert "from-maildir" not in [letter["Subject"] for letter in demo.bob.letters()]


def test_a_second_run_changes_nothing(demo: Demo, sync: Path) -> None:
    mbsync(sync)
    before = sorted(path.name for path in (sync.parent / "mail").rglob("*") if path.is_file())
    mbsync(sync)
    assert sorted(path.name for path in (sync.parent / "mail").rglob("*") if path.is_file()) == before
