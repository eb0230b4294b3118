"""The header as signatures see it: the fields that h= names, canonicalized once for all of them (RFC 6376 §3.7, 5.4.2).

    header = SignedHeader(message)
    header.digest(signed, field)             the SHA-256 that the signature in `field` should be of
"""

from hashlib import sha256

from posthouse.checks.dkim.canonicalization import relaxed_field
from posthouse.checks.dkim.fields import FieldFault, without_signature
from posthouse.mail.headers import Field
from posthouse.mail.message import Message

# A signature over more than this is not looked at.
SIGNED_OCTETS = 1_000_000


class SignedHeader:
    """The fields of one message, each canonicalized when it is first asked for."""

    __slots__ = ("_fields", "_octets", "_relaxed")

    def __init__(self, message: Message) -> None:
        self._octets = message.octets
        self._fields = message.header
        self._relaxed: dict[int, bytes] = {}

    def digest(self, names: tuple[str, ...], canonicalization: str, field: Field) -> bytes:
        """The SHA-256 of the fields in `names` and of the signature `field` itself. Raises FieldFault."""
        relaxed = canonicalization == "relaxed"
        pieces: list[bytes] = []
        left: dict[str, list[Field]] = {}
        size = 0
        for name in names:
            # RFC 6376 §5.4.2: from the bottom of the header to the top; names beyond what is there stand for nothing.
            instances = left.get(name)
            if instances is None:
                instances = left[name] = list(self._fields.all(name))
            if not instances:
                continue
            chosen = instances.pop()
            if chosen.start == field.start:
                # RFC 6376 §3.5: h= must not include the signature being verified.
                raise FieldFault("neutral", "The signature is malformed: it names itself")
            piece = self.relaxed(chosen) if relaxed else self._simple(chosen)
            size += len(piece)
            if size > SIGNED_OCTETS:
                raise FieldFault("neutral", "The signature covers too many fields")
            pieces.append(piece)
        pieces.append(relaxed_signature(field) if relaxed else self._simple_signature(field))
        return sha256(b"".join(pieces)).digest()

    def relaxed(self, field: Field) -> bytes:
        """A field in relaxed form, CRLF included."""
        piece = self._relaxed.get(field.start)
        if piece is None:
            piece = self._relaxed[field.start] = relaxed_field(field.name.encode("ascii"), field.value) + b"\r\n"
        return piece

    def _simple(self, field: Field) -> bytes:
        octets = self._octets[field.start : field.end]
        return octets if octets.endswith(b"\r\n") else octets.rstrip(b"\r\n") + b"\r\n"

    def _simple_signature(self, field: Field) -> bytes:
        octets = self._octets[field.start : field.end]
        name, colon, value = octets.partition(b":")
        return name + colon + without_signature(value.removesuffix(b"\n").removesuffix(b"\r"))


def relaxed_signature(field: Field) -> bytes:
    """A signature field in relaxed form as it was signed: with an empty b= and without its CRLF."""
    return relaxed_field(field.name.encode("ascii"), without_signature(field.value))
