"""A running server whose disk is full: mail is put off, everything else goes on, and it recovers by itself."""

import random
import smtplib
from collections import Counter
from pathlib import Path

import pytest

from cli.program import spawn
from whole.disks import tmpfs
from whole.internet import until
from whole.oracle import Oracle, digests
from whole.server import YOU, Server

DISK = 24 * 2**20
SMALL, LARGE = 50_000, 400_000


def hand_in(client: smtplib.SMTP, octets: bytes) -> int:
    """The reply to a message, on a connection that goes on whatever it is."""
    client.mail("stranger@elsewhere.test")
    code, _ = client.rcpt(YOU)
    if code == 250:
        code, words = client.data(octets)
        assert code == 250 or words.startswith(b"4.3.1 "), words
    else:
        client.rset()
    assert client.noop()[0] == 250
    return code


def fill(client: smtplib.SMTP, oracle: Oracle, chance: random.Random, size: int) -> None:
    """Messages of that size until one is put off."""
    for _ in range(DISK // size):
        digest, octets = oracle.letter(chance, size)
        code = hand_in(client, octets)
        if code != 250:
            break
        oracle.promise("inbox", digest)
    assert code == 452


@pytest.mark.root
@pytest.mark.slow
def test_a_full_disk_puts_mail_off_and_nothing_else_and_deleting_makes_room(tmp_path: Path) -> None:
    chance = random.Random(5)
    with tmpfs(tmp_path / "server" / "data", DISK):
        server = Server(tmp_path / "server")
        oracle = Oracle(tmp_path / "promises")
        with server.running() as process, smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=30) as client:
            client.ehlo("stranger.test")
            for size in (LARGE, SMALL):
                fill(client, oracle, chance, size)
            # Most of the disk was used for mail.
            assert sum(map(len, server.inbox())) > 0.6 * DISK
            with server.mailbox(readonly=False) as reader:
                assert reader.append("INBOX", None, None, oracle.letter(chance, SMALL)[1])[0] == "NO"
                # Reading, changing and deleting go on, and so does administration.
                oracle.examine(server)
                assert reader.uid("STORE", "1:*", "+FLAGS", "(\\Seen)")[0] == "OK"
                assert reader.create("Kept")[0] == "OK"
                added = spawn("account", "add", "dora@example.org", "--config", server.settings)
                assert added.code == 0, added.err
                # Meanwhile the log was cut, so that there may be room for one or two more.
                fill(client, oracle, chance, SMALL)
                taken = len(oracle.promised)
                assert reader.uid("STORE", f"1:{taken // 2}", "+FLAGS", "(\\Deleted)")[0] == "OK"
                assert len(reader.expunge()[1]) == taken // 2
            left = digests(server)
            assert left.total() == taken - taken // 2
            again = Counter[str]()

            def room_used_again() -> int:
                digest, octets = oracle.letter(chance, SMALL)
                if hand_in(client, octets) == 250:
                    again[digest] += 1
                return SMALL * again.total()

            until(room_used_again, lambda octets: octets > DISK // 5)
            assert digests(server) == left + again
            client.quit()
            server.stop(process)
