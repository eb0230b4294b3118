"""SPF: is this address allowed to send for this domain (RFC 7208)."""
