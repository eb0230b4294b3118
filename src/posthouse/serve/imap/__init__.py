"""The IMAP door (RFC 3501): one session for each connection, what each command does, one file for each group.

`door` joins `wire.imap.engine` to the mailbox rooms of the store. A session holds UIDs and no messages: whatever is
told is read from the store when it is told, and what others changed shows at the end of each command and during IDLE.
"""

from posthouse.serve.imap.conversation import door
from posthouse.serve.imap.session import Post

__all__ = ["Post", "door"]
