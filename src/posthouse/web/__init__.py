"""Doors with pages."""
