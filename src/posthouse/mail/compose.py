"""A message made from its parts: DSNs, and what is sent from the shell or by the house itself.

The caller gives Date, Message-ID and the boundary; nothing here is random or reads a clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


class ComposeError(ValueError):
    """A field, name or value that cannot stand in a message. The text is a sentence."""


@dataclass(frozen=True, slots=True)
class Body:
    """A leaf: `octets` are its content before transfer encoding, which is chosen here.

    For text/* and message/* line ends may be LF or CRLF; `filename` makes it an attachment unless `disposition`
    says otherwise.
    """

    octets: bytes
    content_type: str = "text/plain"
    parameters: Mapping[str, str] = field(default_factory=dict)
    filename: str = ""
    disposition: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Multipart:
    """A multipart/`subtype` with its parts; `parameters` without the boundary (`report-type`, say)."""

    subtype: str
    parts: Sequence["Body | Multipart"]
    parameters: Mapping[str, str] = field(default_factory=dict)


def text_body(text: str, subtype: str = "plain") -> Body:
    """Text as a UTF-8 (or ASCII, where that does) body."""
    raise NotImplementedError


def compose(
    fields: Sequence[tuple[str, str]], body: Body | Multipart, *, boundary: str, smtputf8: bool = False
) -> bytes:
    """The octets of a message, CRLF throughout, 7-bit unless `smtputf8` (which then leaves addresses as UTF-8).

    `fields` come in the order given and without MIME-Version and Content-*, which are added; text outside ASCII
    is encoded, address fields keep their structure, lines fold at 78. `boundary` is any token unique to the
    message (its id, say); it is changed as long as a part contains it. Raises ComposeError for CR, LF or NUL.
    """
    raise NotImplementedError


def format_mailbox(display_name: str, address: str) -> str:
    """`Name <local@domain>` with the name quoted or encoded where it needs to be. Raises ComposeError."""
    raise NotImplementedError
