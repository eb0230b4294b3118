"""What lists, searches and threads need to know of a message, found once, at delivery."""

from dataclasses import dataclass

from posthouse.mail.address import Address
from posthouse.mail.instant import Instant
from posthouse.mail.message import Message


@dataclass(frozen=True, slots=True)
class Facts:
    """`message_id`, `in_reply_to` and `references` are without angle brackets, "" or empty where absent.

    `base_subject` is that of RFC 5256 §2.1, casefolded; `sent_at` the Date field; `header_from` the first mailbox of
    From, tolerantly read; `preview` the first 200 characters of the text, one line.
    """

    message_id: str
    subject: str
    base_subject: str
    sent_at: Instant | None
    header_from: Address | None
    display_name: str
    in_reply_to: str
    references: tuple[str, ...]
    has_attachment: bool
    preview: str


def facts(message: Message) -> Facts:
    """Never raises, whatever the octets."""
    raise NotImplementedError
