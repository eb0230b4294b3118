"""What the checks found and what was decided, as stamps of the journey.

A VERDICT stamp holds the word, whom it is about, the sentence, and the evidence in short: questions and answers of the
DNS, as many and as much of each as a person reads. The DECISION stamp names the line of the table that decided, or
tells that the score did; with it stand the score and every other line that spoke.
"""

from collections.abc import Iterator
from typing import Final

from posthouse.mail.instant import Instant
from posthouse.mail.journey import Fact, Stamp, Step
from posthouse.mail.verdict import Accept, Decision, Defer, Quarantine, Verdict
from posthouse.route.authentication import Findings
from posthouse.route.policy import Line, Ruling

# Of the evidence of one verdict.
EVIDENCE_LINES: Final = 12
EVIDENCE_CHARACTERS: Final = 160


def told(findings: Findings | None, ruling: Ruling, at: Instant) -> Iterator[Stamp]:
    """The stamps of one examination, the decision last."""
    if findings is not None:
        for verdict in findings.verdicts:
            yield verdict_stamp(verdict, at)
    yield decision_stamp(ruling, at)


def verdict_stamp(verdict: Verdict, at: Instant) -> Stamp:
    facts: dict[str, Fact] = {
        "method": verdict.method,
        "result": verdict.result,
        "identity": verdict.identity,
        "reason": verdict.reason,
    }
    if verdict.evidence:
        facts["evidence"] = [
            _short(f"{each.question}: {', '.join(each.answer) or 'nothing'}")
            for each in verdict.evidence[:EVIDENCE_LINES]
        ]
    return Stamp(at, Step.VERDICT, facts)


def decision_stamp(ruling: Ruling, at: Instant) -> Stamp:
    decision = ruling.decision
    facts: dict[str, Fact] = {
        "action": _action(decision),
        "rule": decision.rule,
        "reason": decision.reason,
    }
    # The one that decided is told already.
    lines = [line for line in ruling.lines if line.rule != decision.rule]
    if lines:
        facts["score"] = ruling.score
        facts["lines"] = [_line(line) for line in lines]
    if ruling.overrides:
        facts["overrides"] = [f"{each.kind}: {each.comment}" for each in ruling.overrides]
    return Stamp(at, Step.DECISION, facts)


def _action(decision: Decision) -> str:
    if isinstance(decision, Accept):
        return "accept"
    if isinstance(decision, Quarantine):
        return "quarantine"
    return "defer" if isinstance(decision, Defer) else "reject"


def _line(line: Line) -> str:
    points = f" {line.points:+}" if line.points else ""
    return f"{line.rule}{points}: {line.reason}"


def _short(text: str) -> str:
    return text if len(text) <= EVIDENCE_CHARACTERS else f"{text[: EVIDENCE_CHARACTERS - 1]}…"
