"""What is to become of a message, from what the checks found: one table of rules, and three columns to choose from.

    ruling = Policy(PolicySettings(Preset.BALANCED)).judge(case, findings)
    ruling.decision, ruling.score, ruling.lines             what is done, and every line of the table that spoke

`RULES` is read from the top. A line that applies gives a sentence, and its cell in the column of the preset says what
that means: an action decides at once, a number is added to the score (a negative one speaks for the sender). Where no
line decided, the score does, by `LIMITS`. `posthouse trace` shows every line that spoke.

    cautious    loses no mail: what looks bad goes to Junk, and nothing is refused for what a check found
    balanced    refuses what its author's domain asks to be refused, unless it may have come by a list or a forwarder
    strict      refuses that in any case, and more besides

What proves little adds points only. A DMARC policy is not kept where the settings make an exception (`exemption`);
what was done instead, and why, is for the report to the author's domain (`Ruling.disposition`, `Ruling.overrides`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from functools import partial
from typing import Final, NamedTuple

from posthouse.checks.dmarc import Policy as Disposition
from posthouse.checks.reports.aggregate import Reason
from posthouse.mail.reply import Reply
from posthouse.mail.verdict import Accept, Decision, Defer, Quarantine, Reject
from posthouse.route.authentication import Findings
from posthouse.route.case import Case
from posthouse.route.exemption import (
    Exemption,
    Exemptions,
    carrier,
    detour,
    enforced,
    exempt,
    insisted,
    proven,
    vouched,
)


class Preset(StrEnum):
    """A column of the table."""

    CAUTIOUS = "cautious"
    BALANCED = "balanced"
    STRICT = "strict"


class Action(Enum):
    """What a cell does when its line applies."""

    QUARANTINE = "quarantine"
    DEFER = "defer"
    REJECT = "reject"


class Line(NamedTuple):
    """A line of the table that spoke: `points` it added, and why."""

    rule: str
    points: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ruling:
    """What was decided, and `lines`: all that spoke, in the order of the table; the last one decided where one did.

    `disposition` is what was done as far as DMARC is concerned, `overrides` why that is not what the author's domain
    asked for (RFC 9990). `stranger`: it is accepted, but nobody vouches for it, and who sends it is to be asked to come
    again if nobody knows him (`route.greylisting`).
    """

    decision: Decision
    score: int = 0
    lines: tuple[Line, ...] = ()
    disposition: Disposition = "none"
    overrides: tuple[Reason, ...] = ()
    stranger: bool = False
    pending: bool = False


# Of mail about which nobody was asked.
UNEXAMINED: Final = Ruling(Accept("unexamined", "no check is switched on"))


class View(NamedTuple):
    """What the lines look at. `exemption`: why the author's DMARC policy is not kept, if it is not. `carrier`: who is
    trusted to pass on mail, and brought it. `enforced`: what a DMARC failure asks for, or would. `insisted`: it
    is the settings that ask for refusal. `late`: an answer that cannot be had was waited for long enough."""

    case: Case
    findings: Findings
    exemption: Exemption | None
    carrier: Exemption | None
    enforced: Disposition
    insisted: bool
    late: bool

    @property
    def excused(self) -> bool:
        """Whether somebody is trusted who breaks what SPF proves."""
        return self.exemption is not None or self.carrier is not None


# A sentence where the line applies, "" where not; and how many times its points count.
Applies = tuple[str, int]
_NO: Final[Applies] = ("", 0)


class Rule(NamedTuple):
    """A line of the table: its name, when it applies, the three cells, and the reply where it refuses."""

    name: str
    applies: Callable[[View], Applies]
    cautious: int | Action
    balanced: int | Action
    strict: int | Action
    reply: Callable[[View], Reply] | None = None


# --- when a line applies --------------------------------------------------------------------------------


def _exempted(view: View) -> Applies:
    return (view.exemption.sentence, 1) if view.exemption is not None else _NO


def _passed_on(view: View) -> Applies:
    found = view.findings.dmarc
    if view.carrier is None or view.exemption is not None or (found is not None and found.result == "pass"):
        return _NO
    return view.carrier.sentence, 1


def _dmarc_unknown(known: bool, late: bool, view: View) -> Applies:
    """`known`: the record is at hand, and only whether something speaks for its domain is not."""
    found = view.findings.dmarc
    if found is None or found.result != "temperror" or view.late is not late or (found.record is not None) is not known:
        return _NO
    # RFC 9989 §4.10.1: left to the receiver. What would be taken whatever the answer is need not wait for it.
    if view.exemption is not None or (known and view.enforced == "none"):
        return _NO
    return (f"{found.verdict.reason}; that has been so for long" if late else found.verdict.reason), 1


def _dmarc(policy: Disposition, view: View) -> Applies:
    found = view.findings.dmarc
    if found is None or found.result != "fail" or view.enforced != policy or view.exemption is not None:
        return _NO
    if policy == found.policy:
        return found.verdict.reason, 1
    return f"{found.verdict.reason}, but the settings say {policy} for {found.author_domain}", 1


def _dmarc_by_detour(view: View) -> Applies:
    reason, times = _dmarc("reject", view)
    # RFC 9989 §7.4: never for p=reject alone; where it may have come by a list, as if it were p=quarantine.
    trace = detour(view.case, view.findings) if reason and not view.insisted else ""
    return (f"{reason}; but {trace}", times) if trace else _NO


def _spf(result: str, view: View) -> Applies:
    found = view.findings.spf
    # RFC 7208 §8.4: what somebody else vouches for need not come from where its author's mail comes from.
    if found is None or found.result != result or view.excused or vouched(view.findings):
        return _NO
    return found.verdict.reason, 1


def _name(result: str, view: View) -> Applies:
    found = view.findings.iprev
    return (found.verdict.reason, 1) if found is not None and found.result == result else _NO


def _nothing_proven(view: View) -> Applies:
    if view.findings.spf is None or vouched(view.findings):
        return _NO
    return "neither its envelope nor a signature proves who sent it", 1


def _poses_as_us(view: View) -> Applies:
    findings = view.findings
    found = findings.dmarc
    if not findings.ours or view.excused or (found is not None and found.result == "pass"):
        return _NO
    # A domain without a DMARC record of its own is aligned with what passes all the same.
    if findings.author.domain in proven(findings):
        return _NO
    return f"it comes from outside in the name of {findings.author.domain}, which is ours, and nothing proves it", 1


def _listed(view: View) -> Applies:
    found = view.findings.dnsbl
    return (found.verdict.reason, found.score) if found is not None and found.score else _NO


# --- what is said where a line refuses ------------------------------------------------------------------


def _come_again(view: View) -> Reply:
    # RFC 7372 has no code for it; X.7.5 is a check that could not be finished (RFC 3463 §3.8).
    return Reply(451, "4.7.5", f"Whether {view.findings.author.domain} sent this cannot be found out now, try again")


def _by_dmarc(view: View) -> Reply:
    findings = view.findings
    failed = findings.spf is not None and findings.spf.result in ("fail", "softfail", "permerror")
    broken = bool(findings.signatures) and all(signature.result != "pass" for signature in findings.signatures)
    # RFC 7372 §3.4, §4: where more than one check failed.
    code = "5.7.26" if failed or broken else "5.7.1"
    author = findings.author.domain
    published = findings.dmarc is not None and findings.dmarc.policy == "reject"
    whose = f"by the DMARC policy of {author}" if published else "by a rule of this server"
    return Reply(550, code, f"Refused {whose}, as nothing proves that {author} sent it")


def _by_spf(view: View) -> Reply:
    found = view.findings.spf
    assert found is not None
    # RFC 7208 §8.4, RFC 7372 §3.2
    said = f" {found.domain} explained: {found.explanation}" if found.explanation else ""
    return Reply(550, "5.7.23", f"{found.domain} does not let {view.findings.ip} send for it.{said}")


QUARANTINE, DEFER, REJECT = Action.QUARANTINE, Action.DEFER, Action.REJECT

RULES: Final = (
    #    name                applies                        cautious    balanced    strict      refusal
    Rule("dmarc-exempted",   _exempted,                     0,          0,          0),
    Rule("passed-on",        _passed_on,                    0,          0,          0),
    Rule("dmarc-unknown",    partial(_dmarc_unknown, False, False), 0,  DEFER,      DEFER,      _come_again),
    Rule("dmarc-late",       partial(_dmarc_unknown, False, True), 0,   2,          DEFER,      _come_again),
    # Whoever breaks the names of a domain that would speak for the author must gain nothing by it.
    Rule("dmarc-unproven",   partial(_dmarc_unknown, True, False), QUARANTINE, DEFER, DEFER,      _come_again),
    Rule("unproven-late",    partial(_dmarc_unknown, True, True), QUARANTINE, QUARANTINE, DEFER, _come_again),
    Rule("dmarc-detour",     _dmarc_by_detour,              QUARANTINE, QUARANTINE, REJECT,     _by_dmarc),
    Rule("dmarc-reject",     partial(_dmarc, "reject"),     QUARANTINE, REJECT,     REJECT,     _by_dmarc),
    Rule("dmarc-quarantine", partial(_dmarc, "quarantine"), QUARANTINE, QUARANTINE, QUARANTINE),
    Rule("spf-fail",         partial(_spf, "fail"),         2,          3,          REJECT,     _by_spf),
    Rule("spf-softfail",     partial(_spf, "softfail"),     1,          1,          2),
    Rule("spf-broken",       partial(_spf, "permerror"),    0,          1,          1),
    Rule("no-name",          partial(_name, "permerror"),   1,          2,          3),
    Rule("false-name",       partial(_name, "fail"),        0,          1,          2),
    Rule("nothing-proven",   _nothing_proven,               0,          1,          2),
    Rule("poses-as-us",      _poses_as_us,                  2,          4,          5),
    Rule("lists",            _listed,                       1,          1,          1),
)


class Limits(NamedTuple):
    """The score from which a message goes to Junk, and from which it is refused; None: never."""

    junk: int
    refuse: int | None


LIMITS: Final = {
    Preset.CAUTIOUS: Limits(7, None),
    Preset.BALANCED: Limits(5, 12),
    Preset.STRICT: Limits(4, 8),
}


# What a proof would silence: while one cannot be asked for, these lines refuse nothing for good.
UNPROVEN: Final = frozenset(("spf-fail", "spf-softfail", "spf-broken", "nothing-proven", "poses-as-us"))
_PENDING: Final = "; but what may prove it cannot be asked for now"

# Where strangers are asked to come again.
GREYLISTS: Final = frozenset((Preset.BALANCED, Preset.STRICT))


class Policy:
    """The table with one column chosen."""

    def __init__(self, preset: Preset = Preset.BALANCED, exemptions: Exemptions | None = None) -> None:
        self._limits = LIMITS[preset]
        self._exemptions = exemptions or Exemptions()
        self._table = [(rule, getattr(rule, preset.value)) for rule in RULES]

    def judge(self, case: Case, findings: Findings, *, late: bool = False) -> Ruling:
        """Pure; never raises. `late` where an answer that cannot be had was waited for long enough (`route.outage`)."""
        if findings.waived:
            return Ruling(Accept("trusted", findings.waived))
        named = self._exemptions
        view = View(
            case, findings, exempt(findings, named), carrier(findings, named), enforced(findings, named),
            insisted(findings, named), late,
        )  # fmt: skip
        lines: list[Line] = []
        score = 0
        for rule, cell in self._table:
            reason, times = rule.applies(view)
            if not reason:
                continue
            if isinstance(cell, Action):
                lines.append(Line(rule.name, 0, reason))
                return _ruling(_act(cell, rule, reason, view), score, lines, view)
            score += cell * times
            lines.append(Line(rule.name, cell * times, reason))
        ruling = _ruling(self._by_score(score, lines, view), score, lines, view)
        if isinstance(ruling.decision, Accept) and _is_stranger(view):
            return replace(ruling, stranger=True)
        return ruling

    def _by_score(self, score: int, lines: list[Line], view: View) -> Decision:
        junk, refuse = self._limits
        if score < junk:
            return Accept("score", f"a score of {score} is below {junk}, where Junk begins")
        counted = "; ".join(f"{line.rule} {line.points:+}" for line in lines if line.points)
        if refuse is not None and score >= refuse:
            why = f"a score of {score} reaches {refuse}, where mail is refused ({counted})"
            proven = score - sum(line.points for line in lines if line.rule in UNPROVEN)
            if view.findings.unfinished and proven < refuse:
                return Defer("score", f"{why}{_PENDING}", _come_again(view))
            said = "; ".join(line.reason for line in lines if line.points > 0)
            reply = Reply(550, "5.7.1", f"Too much speaks against this message: {said}"[:_REPLY_CHARACTERS])
            return Reject("score", why, reply)
        return Quarantine("score", f"a score of {score} reaches {junk}, where Junk begins ({counted})")


def _is_stranger(view: View) -> bool:
    listed = view.findings.dnsbl
    return not view.excused and not vouched(view.findings) and not (listed is not None and listed.score < 0)


def awaits_names(ruling: Ruling) -> bool:
    """Whether the message is put off because the DNS does not answer."""
    return isinstance(ruling.decision, Defer) and ruling.decision.rule in ("dmarc-unknown", "dmarc-unproven")


# RFC 5321 §4.5.3.1.5: a line of a reply has up to 512 octets.
_REPLY_CHARACTERS: Final = 450


def _act(action: Action, rule: Rule, reason: str, view: View) -> Decision:
    if action is Action.QUARANTINE:
        return Quarantine(rule.name, reason)
    assert rule.reply is not None
    if rule.name in UNPROVEN and view.findings.unfinished:
        return Defer(rule.name, f"{reason}{_PENDING}", _come_again(view))
    reply = rule.reply(view)
    return Defer(rule.name, reason, reply) if action is Action.DEFER else Reject(rule.name, reason, reply)


def _ruling(decision: Decision, score: int, lines: list[Line], view: View) -> Ruling:
    """With what is to be told to the author's domain (RFC 9990)."""
    found = view.findings.dmarc
    pending = (found is not None and found.result == "temperror") or (
        bool(lines) and view.findings.unfinished and any(line.rule in UNPROVEN for line in lines)
    )
    if found is None or found.result not in ("fail", "temperror"):
        return Ruling(decision, score, tuple(lines), pending=pending)
    disposition: Disposition = "none"
    if isinstance(decision, Reject):
        disposition = "reject"
    elif isinstance(decision, Quarantine):
        disposition = "quarantine"
    overrides: tuple[Reason, ...] = ()
    if view.exemption is not None:
        overrides = (view.exemption.reason,)
    elif disposition != found.policy:
        overrides = (Reason("local_policy", f"{decision.rule}: {decision.reason}"),)
    return Ruling(decision, score, tuple(lines), disposition, overrides, pending=pending)
