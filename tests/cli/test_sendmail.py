"""sendmail, as programs on a server call it: options, recipients from the header, cron's mail, exit codes."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from cli.program import PROGRAM
from cli.server import YOU, Server
from posthouse.config import load
from posthouse.mail.instant import Instant
from posthouse.mail.message import Message
from posthouse.store import queue
from posthouse.store.blobs import Blobs
from posthouse.store.ids import Ids
from posthouse.store.sqlite import open_sqlite

LETTER = b"From: You <you@example.org>\nTo: you@example.org\nSubject: Hello\n\nHello.\n"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "server")


def stored(server: Server) -> list[bytes]:
    """What lies in all mailboxes, as it was handed in, without what was put in front."""
    async def look() -> list[bytes]:
        config = load(server.settings)
        database = open_sqlite(config.database_file)
        try:
            blobs = Blobs(config.blobs_folder, database, Ids(), lambda: Instant(0))
            rows = await database.read(lambda tx: tx.all("SELECT DISTINCT blob_id FROM messages ORDER BY blob_id"))
            return [await blobs.read(row[0]) for row in rows]
        finally:
            await database.close()

    return asyncio.run(look())


def envelopes(server: Server) -> list[tuple[str, list[str]]]:
    """From and to of everything in the queue."""
    found = server.good("queue", "list", "--json").json["messages"]
    return [(m["mail_from"], [d["address"] for d in m["deliveries"]]) for m in found]


def test_a_message_goes_to_whom_the_command_line_says(server: Server) -> None:
    done = server.good("sendmail", "-i", "ann@elsewhere.example", "ben@elsewhere.example", stdin=LETTER)
    assert (done.out, done.err) == ("", "")
    assert envelopes(server) == [(YOU, ["ann@elsewhere.example", "ben@elsewhere.example"])]


def test_recipients_of_the_header_with_t_and_bcc_leaves_no_trace(server: Server) -> None:
    letter = b"Bcc: secret@elsewhere.example\nCc: Ann <ann@elsewhere.example>,\n ben@elsewhere.example\n" + LETTER
    server.good("sendmail", "-t", "-oi", stdin=letter)
    (mail_from, rcpts), = envelopes(server)
    assert mail_from == YOU
    assert sorted(rcpts) == ["ann@elsewhere.example", "ben@elsewhere.example", "secret@elsewhere.example"]
    (octets,) = stored(server)
    assert b"secret" not in octets
    assert octets.endswith(b"\r\n\r\nHello.\r\n")


def test_a_dot_ends_the_message_unless_told_otherwise(server: Server) -> None:
    server.good("sendmail", YOU, stdin=LETTER + b".\nnot sent\n")
    server.good("sendmail", "-i", YOU, stdin=LETTER + b".\nsent\n")
    short, long = stored(server)
    assert short.endswith(b"Hello.\r\n")
    assert long.endswith(b"Hello.\r\n.\r\nsent\r\n")


def test_line_ends_of_every_kind_become_crlf(server: Server) -> None:
    server.good("sendmail", YOU, stdin=b"From: you@example.org\r\nSubject: x\n\none\rtwo\r\nthree\nfour")
    (octets,) = stored(server)
    assert octets.endswith(b"\r\n\r\none\r\ntwo\r\nthree\r\nfour\r\n")


def test_a_message_with_crlf_throughout_is_taken_as_it_is(server: Server) -> None:
    server.good("sendmail", "-t", stdin=b"From: you@example.org\r\nTo: you@example.org\r\nSubject: x\r\n\r\none\r\n")
    (octets,) = stored(server)
    assert octets.endswith(b"\r\nSubject: x\r\n\r\none\r\n")


def test_text_without_a_header_is_a_body(server: Server) -> None:
    server.good("sendmail", "-f", YOU, "-F", "Jörg", YOU, stdin=b"no header, just text\n")
    (octets,) = stored(server)
    message = Message.parse(octets)
    assert octets.endswith(b"\r\n\r\nno header, just text\r\n")
    assert message.header.text("from") == f"Jörg <{YOU}>"


def test_mail_of_cron_finds_its_reader(server: Server) -> None:
    letter = b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@mx> test\n\noutput\n"
    assert server("sendmail", "-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root", stdin=letter).code == 77
    server.good("alias", "add", "root@example.org", YOU)
    server.good("sendmail", "-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root", stdin=letter)
    (octets,) = stored(server)
    assert Message.parse(octets).header.text("from") == "CronDaemon <root@example.org>"


def test_one_argument_may_name_several(server: Server) -> None:
    server.good("sendmail", f"{YOU}, Ann <ann@elsewhere.example>", "ben@elsewhere.example", stdin=LETTER)
    (_, rcpts), = envelopes(server)
    assert sorted(rcpts) == ["ann@elsewhere.example", "ben@elsewhere.example"]
    assert len(stored(server)) == 1


def test_an_mbox_line_is_no_header_field(server: Server) -> None:
    server.good("sendmail", YOU, stdin=b"From you@example.org Sat Mar  1 18:15:30 2025\n" + LETTER)
    (octets,) = stored(server)
    assert octets.startswith(b"From: You")


def test_what_notices_shall_do_is_in_the_envelope(server: Server) -> None:
    server.good("sendmail", "-N", "success,delay", "-R", "hdrs", "-V", "order 7", "ann@elsewhere.example", stdin=LETTER)

    async def look() -> queue.Entry:
        database = open_sqlite(load(server.settings).database_file)
        try:
            return (await database.read(lambda tx: queue.list_entries(tx)))[0]
        finally:
            await database.close()

    entry = asyncio.run(look())
    assert entry.message.envelope.envid == "order 7"
    assert str(entry.message.envelope.ret) == "HDRS"
    notify = entry.deliveries[0].rcpt.notify
    assert notify is not None
    assert sorted(flag.name or "" for flag in notify) == ["DELAY", "SUCCESS"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        ((), LETTER, 64),
        (("-N", "often", YOU), LETTER, 64),
        (("-R", "some", YOU), LETTER, 64),
        (("-V", "a\r\nRCPT TO:<ann@elsewhere.example>", YOU), LETTER, 64),
        (("-V", "\u00e9", YOU), LETTER, 64),
        (("-V", "x" * 101, YOU), LETTER, 64),
        (("-bs",), LETTER, 64),
        (("--nothing",), LETTER, 64),
        (("not@@address",), LETTER, 65),
        ((YOU,), LETTER + b"\0", 65),
        ((YOU,), b"Subject: Hello\rBcc: ann@elsewhere.example\n\nA CR begins no field of its own.\n", 65),
        ((YOU,), b"From you Mon Jan  1\nSubject: Hello\rBcc: ann@elsewhere.example\n\nNor here.\n", 65),
        ((YOU,), b"Subject: Hello\r\r\nBcc: ann@elsewhere.example\r\n\r\nNor here.\r\n", 65),
        (("-t",), b"From: you@example.org\n\nnobody\n", 65),
        ((YOU,), b"From: you@example.org, ann@example.org\n\nx\n", 77),
        (("nobody@example.org",), LETTER, 67),
        (("-f", "ann@elsewhere.example", YOU), LETTER, 77),
    ],
)
def test_the_exit_code_tells_why(server: Server, arguments: tuple[str, ...], stdin: bytes, code: int) -> None:
    done = server("sendmail", *arguments, stdin=stdin)
    assert done.code == code, done.err
    assert done.err.count("\n") == 1
    assert stored(server) == []


def test_a_message_beyond_the_limit_is_refused(server: Server) -> None:
    server.settings.write_text(server.settings.read_text() + '\n[limits]\nmessage_size = "64 KiB"\n')
    assert server("sendmail", YOU, stdin=LETTER + b"x" * 70_000).code == 65


def test_the_queue_is_listed_and_run(server: Server) -> None:
    server.good("sendmail", "ann@elsewhere.example", stdin=LETTER)
    assert "<ann@elsewhere.example>" in server.good("sendmail", "-bp").out
    server.postpone()
    assert server.good("sendmail", "-q30m", "--json").json == {"retried": 1}
    assert server.good("sendmail", "-q", "--json").json == {"retried": 0}
    assert server.good("sendmail", "-bi").code == 0


def test_json_tells_the_queue_id(server: Server) -> None:
    found = server.good("sendmail", "--json", YOU, stdin=LETTER).json
    assert len(found["id"]) == 13
    assert found["recipients"] == [YOU]


def test_trouble_of_the_server_has_codes_as_well(server: Server) -> None:
    database = server.folder / "data" / "posthouse.db"
    octets = database.read_bytes()
    database.write_bytes(b"no database at all" * 1000)
    assert server("sendmail", YOU, stdin=LETTER).code == 75
    database.write_bytes(octets)
    server.settings.write_text("hostname = 7\n")
    assert server("sendmail", YOU, stdin=LETTER).code == 78


def test_a_link_named_sendmail_is_sendmail(server: Server, tmp_path: Path) -> None:
    for name in ("sendmail", "mailq"):
        (tmp_path / name).symlink_to(PROGRAM)
    env = {"POSTHOUSE_CONFIG": str(server.settings), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([tmp_path / "sendmail", "-i", "ann@elsewhere.example"], input=LETTER, env=env, timeout=60)
    assert done.returncode == 0
    listed = subprocess.run([tmp_path / "mailq"], capture_output=True, env=env, timeout=60)
    assert b"<ann@elsewhere.example>" in listed.stdout
