"""APPEND whose client is lost: before the last octet nothing is stored, after it the message is, whole and once."""

import asyncio
import socket
import struct
import sys
from pathlib import Path

import pytest

from posthouse.serve.dialogue import Dialogue
from posthouse.store import mailboxes
from posthouse.store.blobs import INLINE_LIMIT, Spool
from posthouse.store.mailboxes import Mailbox
from serve.imap_rooms import LETTER, Client, Rooms, rooms
from serve.loops import on_both_loops, run
from serve.test_imap_clients import NAME, PASSWORD, opened

SMALL = LETTER
LARGE = LETTER + b"".join(b"%07d: more than is kept in memory while it comes in\r\n" % n for n in range(8_000))
assert len(LARGE) > INLINE_LIMIT


def files(folder: Path) -> list[Path]:
    return [path for path in (folder / "blobs").rglob("*") if path.is_file()]


async def inbox(house: Rooms) -> Mailbox:
    found = await house.database.read(lambda tx: mailboxes.find(tx, house.account_id, "INBOX"))
    assert found is not None
    return found


async def used(house: Rooms) -> int:
    return await house.database.read(lambda tx: mailboxes.quota(tx, house.account_id).used)


async def ended(client: Client) -> None:
    """Waits for the task of a connection that is lost."""
    task = client.conversation._task
    assert task is not None
    await asyncio.wait([task], timeout=20)
    assert task.done()


def half_close(client: Client) -> None:
    """The client sends no more, and waits."""
    client.conversation.eof_received()


def lose(client: Client) -> None:
    """The connection is gone."""
    client.transport.close()


@pytest.mark.parametrize("loss", [lose, half_close])
@pytest.mark.parametrize(
    ("letter", "sent"),
    [
        (SMALL, 0), (SMALL, 1), (SMALL, len(SMALL) - 1), (SMALL, len(SMALL)),
        (LARGE, 1), (LARGE, INLINE_LIMIT), (LARGE, INLINE_LIMIT + 70_000), (LARGE, len(LARGE) - 1), (LARGE, len(LARGE)),
    ],
)  # fmt: skip
def test_lost_in_the_middle_it_stores_nothing_and_leaves_no_spool(
    letter: bytes, sent: int, loss: object, tmp_path: Path
) -> None:
    async def main() -> None:
        async with rooms(tmp_path) as house:
            client = await house.connect().enter("INBOX")
            before = await inbox(house)
            client.send(b"x APPEND INBOX (\\Seen $Forwarded) {%d}\r\n" % len(letter))
            assert await client.line() == "+ OK"
            # The command ends with its CRLF, which is never sent here.
            client.send(letter[:sent])
            for _ in range(20):
                await asyncio.sleep(0)
            assert bool(files(tmp_path)) == (sent > INLINE_LIMIT)
            loss(client)  # type: ignore[operator]
            await ended(client)
            assert files(tmp_path) == []
            assert await inbox(house) == before
            assert await used(house) == 0
            assert (await house.database.read(lambda tx: tx.one("SELECT COUNT(*) FROM blobs"))) == (0,)
            again = await house.connect().enter("INBOX")
            assert (await again.say(b"APPEND INBOX {%d+}\r\n" % len(letter) + letter))[-1].startswith("OK")

    run(main())


@pytest.mark.parametrize("letter", [SMALL, LARGE])
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13])
def test_lost_after_the_last_octet_it_is_stored_once_and_told_to_others(
    letter: bytes, turns: int, tmp_path: Path
) -> None:
    async def main() -> None:
        async with rooms(tmp_path) as house:
            other = await house.connect().enter("INBOX")
            other.send(b"i IDLE\r\n")
            assert (await other.line()).startswith("+")
            client = await house.connect().enter()
            client.send(b"x APPEND INBOX {%d}\r\n" % len(letter))
            assert await client.line() == "+ OK"
            client.send(letter + b"\r\n")
            while not client.conversation._session.filing and not client.transport.written.endswith(b"Appended\r\n"):
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            lose(client)
            assert await other.line() == "* 1 EXISTS"
            await ended(client)
            assert (await inbox(house)).messages == 1
            assert len(files(tmp_path)) == int(len(letter) > INLINE_LIMIT)
            reader = await house.connect().enter("INBOX")
            (line, _) = await reader.say("FETCH 1:* BODY.PEEK[]")
            assert line == f"* 1 FETCH (BODY[] {{{len(letter)}}}\r\n{letter.decode()})"

    run(main())


def test_a_piece_of_a_message_is_not_kept_while_the_next_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[bytes] = []
    monkeypatch.setattr(Spool, "write", lambda spool, octets: pieces.append(octets))

    async def main() -> None:
        async with rooms(tmp_path) as house:
            client = await house.connect().enter()
            client.send(b"x APPEND INBOX {1000000}\r\n")
            assert await client.line() == "+ OK"
            client.send(b"x" * 100_000)
            while sum(map(len, pieces)) < 100_000:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            nobodys = [bytes(bytearray(1_000))]
            counts = sys.getrefcount(pieces[-1]), sys.getrefcount(nobodys[-1])
            assert counts[0] == counts[1]

    run(main())


def test_lost_while_its_file_is_synced_it_waits_for_no_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that syncs cannot be stopped: what it completes is stored, and is no file that nobody knows of."""

    async def main() -> None:
        async with rooms(tmp_path) as house:
            client = await house.connect().enter()
            loop = asyncio.get_running_loop()
            complete = Spool._complete

            def slowly(spool: Spool, path: Path) -> None:
                gone = asyncio.run_coroutine_threadsafe(client.leave(), loop)
                gone.result(20)
                complete(spool, path)

            monkeypatch.setattr(Spool, "_complete", slowly)
            client.send(b"x APPEND INBOX {%d+}\r\n" % len(LARGE) + LARGE + b"\r\n")
            while not client.transport.closed:
                await asyncio.sleep(0)
            await ended(client)
            (path,) = files(tmp_path)
            assert path.read_bytes() == LARGE
            assert (await inbox(house)).messages == 1

    run(main())


def test_a_house_that_closes_finishes_the_message_that_is_complete(tmp_path: Path) -> None:
    async def main() -> None:
        async with rooms(tmp_path) as house:
            halfway, whole = await house.connect().enter(), await house.connect().enter()
            halfway.send(b"x APPEND INBOX {100}\r\n")
            assert await halfway.line() == "+ OK"
            halfway.send(b"abc")
            whole.send(b"x APPEND INBOX {%d+}\r\n" % len(LARGE) + LARGE + b"\r\n")
            while not whole.conversation._session.filing:
                await asyncio.sleep(0)
            for client in (halfway, whole):
                client.conversation.drain()
            assert (await halfway.line()).startswith("* BYE")
            assert (await whole.line()).startswith("x OK [APPENDUID")
            assert (await whole.line()).startswith("* BYE")
            assert len(files(tmp_path)) == (await inbox(house)).messages == 1

    run(main())


@on_both_loops
def test_a_client_that_resets_its_connection_over_tls_leaves_nothing_torn(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as place:
            stored = 0
            for sent in (INLINE_LIMIT + 100_000, len(LARGE), len(LARGE) + 2):
                reader, writer = await place.connect()
                writer.write(f'a LOGIN {NAME} "{PASSWORD}"\r\nb APPEND INBOX {{{len(LARGE)}}}\r\n'.encode())
                while not (await reader.readline()).startswith(b"+ "):
                    pass
                writer.write((LARGE + b"\r\n")[:sent])
                await writer.drain()
                if sent > len(LARGE):
                    # Whatever way it ends, it is there once or not at all.
                    await asyncio.sleep(0)
                else:
                    while not files(tmp_path):
                        await asyncio.sleep(0.001)
                connection = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                while place.listeners["imaps"].census.open:
                    await asyncio.sleep(0.001)
                while any(path.parent.name == "tmp" for path in files(tmp_path)):
                    await asyncio.sleep(0.001)
                if sent > len(LARGE):
                    name = Dialogue._run.__qualname__
                    tasks = [task for task in asyncio.all_tasks() if task.get_coro().__qualname__ == name]
                    # Cancelled or not, as it comes.
                    await asyncio.gather(*tasks, return_exceptions=True)
                    stored = (await inbox(place.house)).messages
                    assert stored in (0, 1)
                else:
                    assert (await inbox(place.house)).messages == 0
            assert [path.read_bytes() for path in files(tmp_path)] == [LARGE] * stored

    run(main(), loop)
