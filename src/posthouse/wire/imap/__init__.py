"""IMAP4rev1 as a server speaks it (RFC 3501 and its extensions): octets to commands, facts to responses. No I/O."""
