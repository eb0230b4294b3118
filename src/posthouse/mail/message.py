"""A message: octets, header, and the tree of its parts, all as offsets into the octets (RFC 5322, 2045, 2046).

    message = Message.parse(octets)          bytes, or an mmap of a spool file: bodies are never copied
    message.header.text("subject")
    for part in message.root.walk(): …       the tree is built when `root` is first asked for, in one pass
    message.find("2.1").decoded()            IMAP part numbers (RFC 3501 §6.4.5)
"""

from collections.abc import Iterator

from posthouse.mail.headers import Header, Octets


class Part:
    """One node of the MIME tree.

    `octets[start:body_start]` is its header with the empty line, `octets[body_start:end]` its body as transferred.
    `content_type` is lower case; `parameters` by lower-case name, decoded. `parts` are the children of a multipart;
    `message` is the root of the message inside a message/rfc822 or message/global. `number` is the IMAP part
    number: "1" for a lone body, "" for a multipart at the top. `disposition` is "attachment", "inline", another
    token or ""; `encoding` the lower-case transfer encoding, "7bit" where absent.
    """

    octets: Octets
    header: Header
    start: int
    body_start: int
    end: int
    content_type: tuple[str, str]
    parameters: dict[str, str]
    encoding: str
    parts: tuple["Part", ...]
    message: "Part | None"
    number: str

    @property
    def disposition(self) -> str:
        raise NotImplementedError

    @property
    def disposition_parameters(self) -> dict[str, str]:
        raise NotImplementedError

    @property
    def filename(self) -> str:
        """The file name given in Content-Disposition or Content-Type, or ""; a name, not a safe path."""
        raise NotImplementedError

    @property
    def size(self) -> int:
        """Octets of the body as transferred."""
        raise NotImplementedError

    @property
    def lines(self) -> int:
        """Lines of the body as transferred."""
        raise NotImplementedError

    def walk(self) -> Iterator["Part"]:
        """This part and all below it, in the order they stand, messages inside included."""
        raise NotImplementedError

    def body(self) -> bytes:
        """The body as transferred."""
        raise NotImplementedError

    def decoded(self, limit: int | None = None) -> bytes:
        """The body with its transfer encoding undone, at most the first `limit` octets; never raises."""
        raise NotImplementedError

    def text(self, limit: int | None = None) -> str:
        """The decoded body as text by its charset, line ends as `\\n`; never raises."""
        raise NotImplementedError


class Message:
    """One message. `octets` is kept as given."""

    octets: Octets
    header: Header

    @classmethod
    def parse(cls, octets: Octets) -> "Message":
        """Never raises: beyond a bound the rest is an opaque leaf, and `header.flaw` tells of a bad header."""
        raise NotImplementedError

    @property
    def root(self) -> Part:
        raise NotImplementedError

    def find(self, number: str) -> Part | None:
        """The part with an IMAP part number, "" for the root."""
        raise NotImplementedError
