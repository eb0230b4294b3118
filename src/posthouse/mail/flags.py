"""The marks on a message in a mailbox: system flags as bits, keywords as names (RFC 3501 §2.3.2).

The bits are what the store keeps and the wire engines render; a value is stored and never renumbered.
"""

from enum import IntFlag


class Flag(IntFlag):
    """System flags. \\Recent is none of them: it belongs to a session, not to a message."""

    SEEN = 1
    ANSWERED = 2
    FLAGGED = 4
    DELETED = 8
    DRAFT = 16


# RFC 3501 §2.3.2 sets no bound; ours is what fits beside the system flags into one integer of 63 bits.
MAX_KEYWORDS = 58
MAX_KEYWORD_LENGTH = 100
