"""SMTP (RFC 5321) as two engines without I/O: `server.ServerEngine` and `client.ClientEngine`."""
