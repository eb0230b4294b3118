"""Wake-ups: "something changed about this topic, look again". The truth is in the store, so a lost hint is harmless.

Within a process a plain bus; between the processes of one machine Unix datagrams to the sockets in one folder.
Whoever waits for a hint also looks by himself every 30 seconds. Publish only after the commit.

Topics are short texts without spaces, such as `account:123` (mailboxes of that account changed) or `queue`.
"""

from collections.abc import Callable
from pathlib import Path

QUEUE = "queue"
"""New or released deliveries wait in the queue."""


def account_topic(account_id: int) -> str:
    """The topic for changes in the mailboxes of an account."""
    return f"account:{account_id}"


class Hints:
    """The bus of one process. All methods are called in the event loop's thread."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` (made when missing) holds a socket for each process; None: this process only."""
        raise NotImplementedError

    async def start(self) -> None:
        """Begins to hear other processes; before it only this process is heard."""
        raise NotImplementedError

    def publish(self, topic: str) -> None:
        """Calls every subscriber of the topic here, and tells the other processes; never blocks, never raises."""
        raise NotImplementedError

    def subscribe(self, topic: str, callback: Callable[[], None]) -> Callable[[], None]:
        """`callback()` is called after each hint about `topic`, until the function that is returned is called."""
        raise NotImplementedError

    async def close(self) -> None:
        """Stops listening and removes this process's socket."""
        raise NotImplementedError
