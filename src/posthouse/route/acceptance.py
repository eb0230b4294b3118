"""Acceptance is a commit: one message becomes one unit of work, and 250 is said only after it is durable."""

from posthouse.mail.instant import Clock
from posthouse.store.blobs import Blobs
from posthouse.store.database import Database
from posthouse.store.hints import Hints
from posthouse.store.ids import Ids


class Acceptance:
    """The one way into the store for messages. `hostname` is our own name, as Received and Message-ID show it."""

    def __init__(self, db: Database, blobs: Blobs, ids: Ids, hints: Hints, clock: Clock, hostname: str) -> None:
        self.db = db
        self.blobs = blobs
        self.ids = ids
        self.hints = hints
        self.clock = clock
        self.hostname = hostname
