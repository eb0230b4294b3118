"""Wake-ups: "something changed about this topic, look again". The truth is in the store, so a lost hint is harmless.

Within a process a plain bus; between the processes of one machine Unix datagrams to the sockets in one folder.
Whoever waits for a hint also looks by himself every 30 seconds. Publish only after the commit.

Topics are short texts without spaces, such as `account:123` (mailboxes of that account changed) or `queue`.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from time import monotonic

QUEUE = "queue"
"""New or released deliveries wait in the queue."""
RETRY = "retry"
"""Somebody asks for what waits to be tried now: told before QUEUE, so that hosts that were down are asked again."""

TOPIC_LIMIT = 200
"""Longest topic in octets."""
TELL_SECONDS = 0.005
"""Other processes are told at most so late: under load one datagram stands for many changes."""
LOOK_SECONDS = 2.0
"""How often the folder is looked at for processes that came."""

_SUFFIX = ".hints"
# Linux takes a Unix socket's path of up to 107 octets; a longer one is reached through the open folder.
_PATH_LIMIT = 107
_OPEN_FOLDER = "/proc/self/fd"
_NAME_LIMIT = 23  # "/4194304-0123abcd.hints"
_DATAGRAMS = 1_000  # heard in a row before others get their turn


def account_topic(account_id: int) -> str:
    """The topic for changes in the mailboxes of an account."""
    return f"account:{account_id}"


class Hints:
    """The bus of one process. All methods are called in the event loop's thread."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` (made when missing) holds a socket for each process; None: this process only."""
        self._folder = folder
        self._descriptor = -1       # of the folder, where its path is too long for a socket
        self._subscribers: dict[str, dict[int, Callable[[], None]]] = {}
        self._next = 0
        self._socket: socket.socket | None = None
        self._path: Path | None = None
        self._others: list[str] = []
        self._untold: dict[str, None] = {}  # in the order of what happened
        self._looked = float("-inf")
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Begins to hear other processes; before it only this process is heard. Raises OSError."""
        if self._folder is None or self._socket is not None:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{os.getpid()}-{token_hex(4)}{_SUFFIX}"
        # All processes decide alike, however long their own names are.
        if len(os.fsencode(self._folder)) > _PATH_LIMIT - _NAME_LIMIT:
            self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.bind(self._address(path.name))
        path.chmod(0o600)
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._hear)

    def publish(self, topic: str) -> None:
        """Calls every subscriber of the topic here, and tells the other processes soon; never blocks, never raises."""
        self._call(topic)
        if self._loop is not None:
            if not self._untold:
                self._loop.call_later(TELL_SECONDS, self._tell_all)
            self._untold[topic] = None

    def subscribe(self, topic: str, callback: Callable[[], None]) -> Callable[[], None]:
        """`callback()` is called after each hint about `topic`, until the function that is returned is called.

        It must not raise; what it raises goes to the event loop's exception handler.
        """
        number = self._next = self._next + 1
        self._subscribers.setdefault(topic, {})[number] = callback

        def unsubscribe() -> None:
            callbacks = self._subscribers.get(topic, {})
            callbacks.pop(number, None)
            if not callbacks:
                self._subscribers.pop(topic, None)

        return unsubscribe

    async def close(self) -> None:
        """Tells what is to be told, stops listening and removes this process's socket."""
        self._tell_all()
        if self._socket is not None and self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = self._loop = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _address(self, name: str) -> str:
        """The path by which the socket of that name in the folder is bound or told."""
        return f"{_OPEN_FOLDER}/{self._descriptor}/{name}" if self._descriptor >= 0 else f"{self._folder}/{name}"

    def _call(self, topic: str) -> None:
        callbacks = self._subscribers.get(topic)
        if not callbacks:
            return
        for callback in list(callbacks.values()):
            try:
                callback()
            except Exception as error:
                context = {"message": f"a subscriber of {topic} failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    def _tell_all(self) -> None:
        topics, self._untold = self._untold, {}
        if self._socket is not None:
            for topic in topics:
                self._tell(self._socket, topic)

    def _tell(self, channel: socket.socket, topic: str) -> None:
        now = monotonic()
        if now - self._looked > LOOK_SECONDS:
            self._looked = now
            self._look()
        if not self._others:
            return
        octets = topic.encode()
        gone = []
        for path in self._others:
            try:
                channel.sendto(octets, path)
            except (ConnectionRefusedError, FileNotFoundError):
                gone.append(path)
            except OSError:
                # Its buffer is full: it has plenty of hints to follow already, and looks by itself later.
                continue
        for path in gone:
            self._others.remove(path)
            # Whoever made it died without taking it away.
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _look(self) -> None:
        with contextlib.suppress(OSError):
            self._others = [
                self._address(entry.name)
                for entry in os.scandir(self._folder)
                if entry.name.endswith(_SUFFIX) and (self._path is None or entry.name != self._path.name)
            ]

    def _hear(self) -> None:
        for _ in range(_DATAGRAMS):
            try:
                octets = self._socket.recv(TOPIC_LIMIT + 1) if self._socket is not None else b""
            except OSError:
                return
            if not octets:
                return
            with contextlib.suppress(UnicodeDecodeError):
                self._call(octets.decode())
