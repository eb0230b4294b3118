"""Who wrote a message, and whether its header is fit to be believed: strict where all else here is tolerant.

Everybody who says who a mail is from (policy, DMARC, store, pages, command line) asks `author`.
"""

from posthouse.mail.address import Address
from posthouse.mail.headers import Header


class AuthorError(ValueError):
    """The header names no author, or more than one could be read from it. The text is a sentence for an SMTP reply."""


def author(header: Header) -> Address:
    """The one mailbox in the one From field. Raises AuthorError with a sentence for anything else."""
    raise NotImplementedError


def flaws(header: Header) -> str:
    """What makes a header unfit to be taken, as a sentence for a 550 reply; empty where it is fit.

    Names that are no field names or have white space before the colon, fields that may stand once and stand twice
    (RFC 5322 §3.6), whatever `author` refuses, and headers beyond the bounds.
    """
    raise NotImplementedError
