"""What a check noticed that proves nothing, but that a reader should see: a kind, a severity, a plain sentence.

    Finding("lookalike", Severity.HIGH, "looks like example.com, but the l is a 1", "example.com")
    result(findings)         none | neutral | softfail | fail, by the gravest of them

SPF, DKIM and DMARC say who sent a message; findings say whom it takes itself for. They warn, and no rule may refuse
a message for them alone: a name that resembles another one may well be honest.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding is worth to a reader. The value is stored: never rename one."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Finding:
    """`text` is a sentence without its subject and full stop, on one line; `about` whom it concerns, if anybody.

    `kind` is a word that programs go by: lookalike, mixed-scripts, homograph, hidden; embedded-address, namesake,
    brand, reply-to, bec.
    """

    kind: str
    severity: Severity
    text: str
    about: str = ""


_ORDER = (Severity.HIGH, Severity.MEDIUM, Severity.LOW)
# Words of RFC 8601 §2.7.1, in the order of `_ORDER`.
_RESULTS = ("fail", "softfail", "neutral")


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The gravest first, each once, otherwise in the order they came."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: _ORDER.index(finding.severity)))


def result(findings: Iterable[Finding]) -> str:
    """The word of a verdict for the gravest finding; none where there is nothing to tell."""
    severities = {finding.severity for finding in findings}
    return next((word for word, severity in zip(_RESULTS, _ORDER, strict=True) if severity in severities), "none")


def sentence(findings: Iterable[Finding], otherwise: str) -> str:
    """All of them in one line, the gravest first; `otherwise` where there are none."""
    return "; ".join(finding.text for finding in ranked(findings)) or otherwise
