"""What a check found out, with its evidence, and what policy makes of it (words of RFC 8601)."""

from dataclasses import dataclass

from posthouse.mail.reply import Reply


@dataclass(frozen=True, slots=True)
class Evidence:
    """A question that was asked, `"TXT example.com"`, and what came back."""

    question: str
    answer: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One finding. `result` is a registered word of RFC 8601 §2.7; `reason` is a sentence for people."""

    method: str
    result: str
    identity: str
    reason: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Accept:
    """Take it and file it as usual."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Take it, but file it into Junk."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Defer:
    """Not now: `reply` is 4xx and the sender keeps the message."""

    rule: str
    reason: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class Reject:
    """Never: `reply` is 5xx and the sender is told so."""

    rule: str
    reason: str
    reply: Reply


Decision = Accept | Quarantine | Defer | Reject
