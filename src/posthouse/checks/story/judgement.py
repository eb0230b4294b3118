"""One sentence about a message, for whoever reads no further.

    judge(checked, known, findings)
    "It is really from example.org, which signed it and lets 192.0.2.1 send for it."

What was proven comes first, then what a reader should beware of. A domain is proven, never a person; and a proof says
nothing about whether its owner means well. SPF is no proof where the client's address is only assumed.
"""

from collections.abc import Sequence

from posthouse.checks.evidence import shown
from posthouse.checks.finding import Finding, Severity
from posthouse.checks.story.checked import Checked
from posthouse.checks.story.circumstances import Circumstances
from posthouse.checks.story.recorded import Note
from posthouse.checks.story.strands import Strand
from posthouse.checks.story.wording import listed

# Findings about the name of the author's domain; all others are about the message.
_OF_THE_NAME = frozenset(("lookalike", "mixed-scripts", "homograph"))
_WISHES = {"reject": "to reject", "quarantine": "to put aside"}
_TEXT = 300


def judge(
    checked: Checked, known: Circumstances, found: Sequence[Finding], pulled: Sequence[Strand],
    notes: Sequence[Note] = (), cut: str = "",
) -> str:
    """`found` with the gravest first; `pulled` are the strands, `notes` what others wrote down; `cut` a sentence where
    the header goes on beyond what was read.
    """
    sentence, is_open = _proven(checked, known, pulled)
    if is_open:
        sentence += _excuse(checked, pulled) or _remembered(checked, known, notes)
    # That nobody can tell who wrote it has been said then.
    found = [finding for finding in found if checked.author is not None or finding.kind != "malformed"]
    grave = [finding for finding in found if finding.severity is Severity.HIGH]
    grave = grave or [finding for finding in found if finding.severity is Severity.MEDIUM]
    if grave:
        subject = "its name" if grave[0].kind in _OF_THE_NAME else "it"
        sentence += f"; beware, {subject} {shown_text(grave[0].text)}"
    if cut:
        sentence = f"{cut}, and the rest was not read; as far as it was, {sentence[:1].lower()}{sentence[1:]}"
    return f"{sentence}."


def shown_text(text: str) -> str:
    """A finding in a sentence: not endless."""
    return text if len(text) <= _TEXT else f"{text[: _TEXT - 1]}…"


def _proven(checked: Checked, known: Circumstances, pulled: Sequence[Strand]) -> tuple[str, bool]:
    """Whom it is from, as far as that is known; and whether there was no proof, so that a reason would help."""
    if checked.author is None:
        flaw = checked.flaw[:1].lower() + checked.flaw[1:]
        return f"Nobody can tell who wrote it: {flaw or 'it names no author'}", False
    author = checked.author.domain
    dmarc = checked.dmarc
    proofs = _proofs([strand for strand in pulled if strand.holds], known, author)
    if dmarc is not None and dmarc.result == "pass":
        if known.through is not None and not any(strand.holds and strand.method == "dkim" for strand in pulled):
            by = shown(known.through.by) or "its receiver"
            return f"If {by} got it from a host of its own, as it seems, it is from {author}{proofs}", False
        return f"It is really from {author}{proofs}", False
    if dmarc is not None and dmarc.result == "temperror":
        return f"Nobody can tell for now whether it is from {author}: the DNS gave no answer", False
    if dmarc is not None and dmarc.result == "fail":
        wish = _WISHES.get(dmarc.policy)
        asks = f", and {dmarc.policy_domain} asks {wish} such mail" if wish else ""
        return f"It says that it is from {author}, but nothing proves it{asks}", True
    if dmarc is not None and dmarc.result == "permerror":
        return f"It says that it is from {author}, whose DMARC record cannot be used{proofs}", False
    if proofs:
        return f"It seems to be from {author}{proofs}; {author} has no DMARC policy", False
    if checked.spf is not None and checked.spf.result == "fail" and any(strand.aligned for strand in pulled[:1]):
        return f"It is hardly from {author}, which does not let {known.ip} send for it", True
    return f"Nothing proves that it is from {author}, and nothing disproves it", True


def _proofs(holding: Sequence[Strand], known: Circumstances, author: str) -> str:
    """", which signed it and lets 192.0.2.1 send for it"; others of its organization are named."""
    said: dict[str, list[str]] = {}
    for strand in holding:
        what = "signed it" if strand.method == "dkim" else f"lets {known.ip} send for it"
        told = said.setdefault(strand.domain, [])
        if what not in told:
            told.append(what)
    own = said.pop(author, [])
    clauses = [f"which {listed(own)}"] if own else []
    clauses += [f"{shown(domain)} {listed(told)}" for domain, told in said.items()]
    if not clauses:
        return ""
    return f"{',' if own else ':'} {', and '.join(clauses)}"


def _excuse(checked: Checked, pulled: Sequence[Strand]) -> str:
    """What may have broken the proof on the way, where somebody honest could have."""
    arc = checked.arc
    if arc is not None and arc.result == "pass":
        oldest = arc.sets[0].results() if arc.sets else None
        passed = oldest is not None and any(found.result == "pass" for found in oldest.of("dmarc"))
        said = ", which noted that it was genuine when it came there" if passed else ""
        sealers = dict.fromkeys(shown(sealer) for sealer in reversed(arc.sealers))
        return f"; {listed(list(sealers))} sealed it on the way{said}"
    if any(strand.method == "dkim" and strand.aligned and strand.result == "fail" for strand in pulled):
        return "; its own signature does not hold, as happens when mail is altered on the way"
    return ""


def _remembered(checked: Checked, known: Circumstances, notes: Sequence[Note]) -> str:
    """Why there is no proof any more, where one was seen, or could not be asked for."""
    for note in reversed(notes):
        if known.through is not None and note.place > known.through.place:
            continue
        if note.believed and not note.instance and any(
            result.method == "dmarc" and result.result == "pass" for result in note.results
        ):
            return f"; {shown(note.by) or 'its receiver'} noted that it was genuine when it came"
    return "; who sent it could not be asked, for its envelope is not known" if checked.spf is None else ""
