"""Posthouse: a whole mail system in one package, which also explains what it did with each message."""

__version__ = "0.1.0"
