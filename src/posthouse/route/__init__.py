"""Decisions about a message: reception, submission, filing, relay and bounce."""
