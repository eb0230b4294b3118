"""The `Fetch` port: one document from the web, for checks that have to look at what a stranger points to.

Whoever keeps it follows the rules against requests that a stranger steers (addresses of the inside are refused, the
address that was looked at is the one that is connected to, sizes and times have an end). A check never opens anything
itself, and is told in plain words why there is no document.
"""

from typing import Protocol


class FetchFault(Exception):
    """There is no document. The text is a sentence; `temporary` tells whether a later try may find one."""

    def __init__(self, reason: str, *, temporary: bool) -> None:
        super().__init__(reason)
        self.temporary = temporary


class Fetch(Protocol):
    """GET over HTTP; `https` with a certificate that is valid for the host, `http` only where the URL says so."""

    async def get(self, url: str, *, limit: int) -> bytes:
        """The body of a successful answer, without its transfer and content encodings.

        Raises FetchFault, also for a body of more than `limit` octets.
        """
        ...
