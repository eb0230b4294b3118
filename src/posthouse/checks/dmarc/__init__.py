"""DMARC (RFC 9989): does anything that passed speak for the author that people see, and what if not?

    found = await dmarc.check(author, spf, signatures, dns)
    found.result, found.policy, found.verdict.reason

`record` reads what a domain publishes, `discovery` walks the DNS for it, `alignment` compares, `evaluation` judges.
"""

from posthouse.checks.dmarc.alignment import Identifier
from posthouse.checks.dmarc.discovery import Lookups
from posthouse.checks.dmarc.evaluation import Dmarc, check
from posthouse.checks.dmarc.record import Destination, Policy, Record, parse

__all__ = ["Destination", "Dmarc", "Identifier", "Lookups", "Policy", "Record", "check", "parse"]
