"""Replies of a remote server as they come in: lines put together, bounded, and what EHLO said (RFC 5321 §4.2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from posthouse.mail.reply import Reply
from posthouse.wire.buffer import BadLine, Lines, ProtocolError

# RFC 5321 §4.5.3.1.5 asks for 512 octets a line; many servers put more words into one.
REPLY_LINE = 2048
REPLY_LINES = 128


class ReplyReader:
    """Octets in, whole replies out."""

    __slots__ = ("_collected", "lines")

    def __init__(self) -> None:
        self.lines = Lines()
        self._collected: list[str] = []

    def next(self) -> Reply | None:
        """The next complete reply. ProtocolError for what is none, or never ends."""
        while True:
            try:
                line = self.lines.line(REPLY_LINE)
            except BadLine as bad:
                raise ProtocolError(f"the server's reply cannot be read: {bad.flaw.value.lower()}") from None
            if line is None:
                return None
            self._collected.append(line.decode("utf-8", "replace"))
            if len(self._collected) > REPLY_LINES:
                raise ProtocolError("the server's reply has too many lines")
            # RFC 5321 §4.2.1: a hyphen behind the code means that more lines follow.
            if line[3:4] != b"-":
                collected, self._collected = self._collected, []
                try:
                    return Reply.parse(collected)
                except ValueError as error:
                    raise ProtocolError(str(error)) from None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server offers: keywords in upper case with their arguments; `esmtp` is False after HELO."""

    esmtp: bool = False
    keywords: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, reply: Reply) -> "Capabilities":
        """From a positive reply to EHLO: the first line is a greeting, each other a keyword (RFC 5321 §4.1.1.1)."""
        keywords: dict[str, str] = {}
        for line in reply.text.split("\n")[1:]:
            # "AUTH=PLAIN LOGIN" is an old way to write it.
            keyword, _, argument = line.strip().partition("=" if line.upper().startswith("AUTH=") else " ")
            keywords.setdefault(keyword.upper(), argument.strip())
        return cls(True, keywords)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    @property
    def max_size(self) -> int | None:
        """The largest message it takes, in octets; None where it sets no limit (RFC 1870 §4)."""
        argument = self.keywords.get("SIZE", "")
        size = int(argument) if argument.isascii() and argument.isdigit() and len(argument) <= 20 else 0
        return size or None

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms it offers, in upper case."""
        return tuple(self.keywords.get("AUTH", "").upper().split())
