"""The whole story of one message, put together: where it came from, who vouches for it, what it gives away.

    trust = find(hops(header), hosts)
    known = circumstances(header, trust, given)
    …                                              the checks are asked, under these circumstances
    story = tell(message, trust, known, checked, now)
    story.judgement, story.hops, story.leaks, story.findings, story.verdicts

Nothing is asked here, so that a story can be told of any file: what was not checked is told as it was recorded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from posthouse.checks.finding import Finding, Severity, ranked
from posthouse.checks.story.checked import Checked
from posthouse.checks.story.circumstances import Circumstances
from posthouse.checks.story.consistency import Doubt, doubts
from posthouse.checks.story.hops import Hop
from posthouse.checks.story.judgement import judge
from posthouse.checks.story.leaks import Leak, leaks
from posthouse.checks.story.recorded import Note, recorded
from posthouse.checks.story.strands import Strand, strands
from posthouse.checks.story.trust import Trust
from posthouse.mail.author import flaws
from posthouse.mail.headers import Header
from posthouse.mail.instant import Instant
from posthouse.mail.message import Message
from posthouse.mail.verdict import Verdict

_COMPARED = ("spf", "dkim", "dmarc")


@dataclass(frozen=True, slots=True)
class Story:
    """`findings` are all of them, the gravest first: those of `doubts`, of the checks, and of what was recorded."""

    judgement: str
    known: Circumstances
    checked: Checked
    trust: Trust
    strands: tuple[Strand, ...]
    notes: tuple[Note, ...]
    doubts: tuple[Doubt, ...]
    leaks: tuple[Leak, ...]
    findings: tuple[Finding, ...]

    @property
    def hops(self) -> tuple[Hop, ...]:
        """In the order of travel."""
        return self.trust.hops

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        return self.checked.verdicts


def tell(message: Message, trust: Trust, known: Circumstances, checked: Checked, now: Instant) -> Story:
    """`now` is when the message was looked at: what is dated later is in the future. Never raises; linear."""
    header = message.header
    pulled = strands(known, checked)
    notes = recorded(header, trust, checked.arc)
    doubted = doubts(trust, header, now)
    found: list[Finding] = [doubt.finding for doubt in doubted]
    for check in (checked.lookalike, checked.impostor):
        found += check.findings if check is not None else ()
    found += [*_flaws(header, checked), *_changed(notes, checked), *_forged(notes, trust)]
    findings = ranked(found)
    judgement = judge(checked, known, findings, pulled, notes, header.flaw if header.is_cut else "")
    return Story(
        judgement, known, checked, trust, pulled, notes, doubted, leaks(header, trust.hops), findings
    )


def _flaws(header: Header, checked: Checked) -> Iterator[Finding]:
    """What a strict receiver would refuse the message for."""
    flaw = flaws(header)
    if flaw and flaw != checked.flaw:
        yield Finding("malformed", Severity.MEDIUM, f"is malformed: {flaw[:1].lower()}{flaw[1:]}")
    elif flaw:
        yield Finding("malformed", Severity.HIGH, f"can be read in more than one way: {flaw[:1].lower()}{flaw[1:]}")


def _changed(notes: Sequence[Note], checked: Checked) -> Iterator[Finding]:
    """Where a host that is believed found something else than is found now."""
    now: dict[str, set[str]] = {
        "spf": {checked.spf.result} if checked.spf is not None else set(),
        "dkim": {signature.result for signature in checked.signatures},
        "dmarc": {checked.dmarc.result} if checked.dmarc is not None else set(),
    }
    told: set[str] = set()
    for note in reversed(notes):
        if not note.believed or note.instance:
            continue
        for result in note.results:
            found = now.get(result.method, set())
            # What could not be asked, then or now, says nothing.
            if result.method in told or not found or result.result in found or found & {"temperror"}:
                continue
            if "pass" in (result.result, *found):
                told.add(result.method)
                text = (
                    f"was found {result.method}={result.result} by {note.by or 'its receiver'}, and is"
                    f" {result.method}={', '.join(sorted(found))} now: records change, and so do messages"
                )
                yield Finding("recorded-otherwise", Severity.LOW, text, note.by)


def _forged(notes: Sequence[Note], trust: Trust) -> Iterator[Finding]:
    """Results in our name that came in from outside."""
    entry = trust.entry
    below = min((hop.place for hop in trust.hops if entry is not None and hop.place > entry.place), default=None)
    for note in notes:
        if below is not None and note.place > below and not note.instance and trust.ours(note.by.lower()):
            severity = Severity.LOW if trust.assumed else Severity.MEDIUM
            text = f"brought {note.kind} in the name of {note.by} from outside, which nobody may believe"
            yield Finding("forged-results", severity, text, note.by)
            return
