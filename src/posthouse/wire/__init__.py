"""Protocol engines: octets in, events out, and back; no I/O."""
