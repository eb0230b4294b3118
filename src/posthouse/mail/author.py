"""Who wrote a message, and whether its header is fit to be believed: strict where all else here is tolerant.

    author(header)     Address("alice", "posthouse.test"), or AuthorError("The From field names more than one …")
    flaws(header)      "" or the sentence for a 550 reply

Everybody who says who a mail is from (policy, DMARC, store, pages, command line) asks `author`, and takes in only
what `flaws` finds nothing in. What programs could read in two ways is refused here, however likely the harmless
reading is: two From fields, two mailboxes, a route, a group, an address in the wrong place, names of fields with
white space (THREATS "Sender spoofing"; Chen, Paxson, Jiang: Composition Kills, 2020).
"""

import re
from functools import lru_cache
from unicodedata import normalize

from posthouse.mail.address import Address, AddressError
from posthouse.mail.headers import Header
from posthouse.mail.tokens import unfold

# A From field longer than this is no name and address.
FROM_OCTETS = 2000
_AUTHORS_KEPT = 1024

# RFC 5322 §3.6: at most one of each; and those of MIME (RFC 2045 §3), of which two would be two messages.
SINGLETONS = frozenset((
    "date", "from", "sender", "reply-to", "to", "cc", "bcc", "message-id", "in-reply-to", "references", "subject",
    "mime-version", "content-type", "content-transfer-encoding", "content-disposition", "content-id",
))

# [ name ] "<" addr-spec ">" [ comment ], or addr-spec [ comment ]. A name in quotes may hold anything; one without
# may hold no special that could begin an address, a list or a group elsewhere, and comments only that hold none
# themselves. Octets outside ASCII are text (RFC 6532) wherever text may stand.
_QUOTED = rb'"[^"\\\0\r\n]*+(?:\\[ -~\t\x80-\xff][^"\\\0\r\n]*+)*+"'
_WORD = rb"[^\0-\x1f\x7f \"(),:;<>@\\]++"
_COMMENT = rb"\([^\0-\x08\x0a-\x1f\x7f()<>@,:;\\\"]*+\)"
_match_from = re.compile(
    rb"(?P<name>(?:(?:" + _QUOTED + rb"|" + _WORD + rb"|" + _COMMENT + rb")[ \t]*+)*+)"
    rb"<(?P<angle>[^<>]*+)>[ \t]*+(?:" + _COMMENT + rb")?"
    rb"|(?P<bare>[^<>(), \t:;\\]++|\"[^<>\\\"]*+\"@[^<>(), \t:;\\]++)[ \t]*+(?:" + _COMMENT + rb")?",
).fullmatch
# "alice@a.example <alice@a.example>", which many programs write without the quotes it should have.
_match_doubled = re.compile(rb"([^\s<>(),:;\\\"]+) ?<([^<>]*)>").fullmatch
# What a local part may hold that needs quotes without being taken for the end of an address, or for a list.
_has_specials = re.compile(r'[<>()\[\]\\,;:@"]').search


class AuthorError(ValueError):
    """The header names no author, or more than one could be read from it. The text is a sentence for an SMTP reply."""


def author(header: Header) -> Address:
    """The one mailbox in the one From field. Raises AuthorError with a sentence for anything else."""
    found = header.all("from")
    if not found and header.is_cut:
        raise AuthorError("No From field is among the fields that were read")
    if len(found) != 1:
        raise AuthorError("There is no From field" if not found else "There is more than one From field")
    value = unfold(found[0].value)
    if len(value) > FROM_OCTETS:
        raise AuthorError("The From field is too long")
    return _one_mailbox(value)


# The same people write again and again.
@lru_cache(_AUTHORS_KEPT)
def _one_mailbox(value: bytes) -> Address:
    match = _match_from(value)
    if match is not None:
        octets = match["bare"] if match["angle"] is None else match["angle"]
    else:
        doubled = _match_doubled(value)
        if doubled is None or doubled[1].lower() != doubled[2].lower():
            raise AuthorError(_reason(value))
        octets = doubled[2]
    try:
        address = Address.parse(octets.decode())
    except (AddressError, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, AddressError) else "the address is not valid UTF-8"
        raise AuthorError(f"The From field has no valid address: {reason}") from None
    # An encoded word is decoded by some programs wherever it stands, and quoted specials are unquoted by some; people
    # and programs that normalize take a wide @ for a narrow one.
    local_part = normalize("NFKC", address.local_part)
    if "=?" in local_part or _has_specials(local_part):
        raise AuthorError("The address in the From field can be read in more than one way")
    return address


def flaws(header: Header) -> str:
    """What makes a header unfit to be taken, as a sentence for a 550 reply; empty where it is fit.

    Lines that are no fields, names with white space before the colon, fields that may stand once and stand twice
    (RFC 5322 §3.6), whatever `author` refuses, and headers beyond the bounds.
    """
    if header.flaw:
        return header.flaw
    doubled = SINGLETONS & header.repeated()
    if doubled:
        names = {field.key: field.name for field in header.fields}
        return f"There is more than one {names[min(doubled)]} field"
    try:
        author(header)
    except AuthorError as error:
        return str(error)
    return ""


def _reason(value: bytes) -> str:
    if not value or value == b"<>":
        return "The From field is empty"
    if b"\0" in value:
        return "The From field contains a NUL"
    if value.count(b"@") == 0:
        return "The From field has no address"
    if b"<@" in value.replace(b" ", b""):
        return "The From field has a source route"
    return "The From field is not exactly one mailbox: a name with one address in angle brackets, or an address alone"
