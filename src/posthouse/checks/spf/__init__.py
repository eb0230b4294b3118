"""SPF (RFC 7208): does the domain in the envelope let this address send for it?

    found = await spf.check("192.0.2.1", "mx.example.org", mail_from, dns, receiver="mx.posthouse.test", now=now)
    found.result, found.domain, found.verdict.reason

`record` reads what a domain publishes, `macros` expands its targets, `evaluation` finds the result.
"""

from posthouse.checks.spf.evaluation import Spf, check, check_helo

__all__ = ["Spf", "check", "check_helo"]
