"""BIMI: the logo that a domain wants to be shown beside its mail, and whether somebody vouches for it.

    found = await bimi.check(header, author, dmarc, signatures, dns, fetch, now, trusted=bimi.roots(pem))
    found.result, found.indicator, found.authority, found.verdict.reason

Only mail that passed DMARC under a policy that is enforced has a logo at all. `record` reads what the domain says,
`discovery` finds it, `mark` and `logotype` read the certificates that vouch for logos, `svg` lets nothing through that
is more than a drawing, `evaluation` puts them together. As draft-brand-indicators-for-message-identification, version
12, has it; what it asks of the web goes through the port `mail.fetch`.
"""

from posthouse.checks.bimi.evaluation import RECEIVER_FIELDS, Bimi, check, fields, recorded
from posthouse.checks.bimi.mark import Mark, MarkError, roots
from posthouse.checks.bimi.svg import SvgError, sanitise

__all__ = [
    "RECEIVER_FIELDS", "Bimi", "Mark", "MarkError", "SvgError", "check", "fields", "recorded", "roots", "sanitise",
]
