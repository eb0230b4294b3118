"""A small internet in one process: zone, hosts and senders, for the demo and for tests."""
