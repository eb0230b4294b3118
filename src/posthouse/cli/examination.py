"""All checks asked about a message that lies in a file, as reception would ask them if it came in now.

    telling = await tell_story(raw, given, Means(asker, around), now)
    telling.story.judgement, telling.examination.decision

The same `Authentication` and the same `Policy` as at port 25, with the settings of the server here where there is one.
What the file does not tell is not asked: without the address of the client there is no SPF and no reverse DNS, and
DMARC rests on signatures alone. No network is trusted, since it is the message that is to be examined, and greylisting
is left out, since a file does not come again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from posthouse.checks import arc, dkim, dmarc, impostor, iprev, lookalike, spf
from posthouse.checks.impostor import Acquaintance, Circle
from posthouse.checks.lookalike import Index, Kin, Known
from posthouse.checks.story import GIVEN, Checked, Circumstances, Given, Story, circumstances, hops, tell
from posthouse.checks.story import find as find_trust
from posthouse.cli.asking import blocklists
from posthouse.cli.rawmessage import RawMessage
from posthouse.cli.surroundings import Surroundings
from posthouse.mail.address import Address, parse_domain
from posthouse.mail.author import AuthorError, author
from posthouse.mail.envelope import Envelope, RcptTo
from posthouse.mail.facts import Facts, facts
from posthouse.mail.fetch import Fetch
from posthouse.mail.instant import Instant
from posthouse.mail.mailboxes import Mailbox, mailboxes
from posthouse.mail.message import Message
from posthouse.mail.peer import Peer, Role
from posthouse.mail.reply import Reply
from posthouse.mail.verdict import Accept, Decision, Defer, Quarantine, Reject
from posthouse.route.authentication import Authentication, CheckSettings, Findings, Resolver
from posthouse.route.case import Case
from posthouse.route.filing import read_message
from posthouse.route.policy import Line, Policy
from posthouse.route.reception import ReceptionSettings, few_hops, fit_header
from posthouse.store.blobs import Content

if TYPE_CHECKING:
    from posthouse.cli.readers import Insight, Readers

# A server looks at a message once, and somebody waits for it; here a person waits.
CHECK_SECONDS: Final = 20.0
_CORRESPONDENTS: Final = 50


class Examination(NamedTuple):
    """`decision` is what reception would do, `lines` the rules that spoke."""

    checked: Checked
    decision: Decision
    score: int = 0
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Telling:
    """All that there is to tell of one message. `header_from` is the author's address, as far as there is one."""

    raw: RawMessage
    message: Message
    facts: Facts
    story: Story
    examination: Examination

    @property
    def header_from(self) -> str:
        author = self.story.checked.author or self.facts.header_from
        return str(author) if author is not None else ""

    @property
    def display_name(self) -> str:
        return self.facts.display_name

    def decided(self) -> dict[str, object]:
        """The decision for JSON, with the rules that spoke."""
        _, decision, score, lines = self.examination
        return {
            "action": type(decision).__name__.lower(), "rule": decision.rule, "reason": decision.reason,
            "reply": str(decision.reply) if isinstance(decision, Defer | Reject) else None, "score": score,
            "lines": [line._asdict() for line in lines],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Means:
    """What an examination has at hand: where to ask, what is known of the server here, and what the person wants.

    `trusted` are hosts of ours besides the one of the settings, `lists` zones of DNS lists besides theirs; `readers`
    the accounts here; `fetch` brings logos, and None leaves them where they are.
    """

    asker: Resolver
    around: Surroundings
    trusted: Sequence[str] = ()
    lists: Sequence[str] = ()
    readers: "Readers | None" = None
    fetch: Fetch | None = None


async def tell_story(raw: RawMessage, given: Given, means: Means, now: Instant) -> Telling:
    """`now` is the time of the clock. Never raises for what a message or the DNS may do."""
    message = Message.parse(raw.octets)
    header = message.header
    way = hops(header)
    config = means.around.config
    hosts = {*means.trusted, *((config.hostname,) if config is not None else ())}
    trust = find_trust(way, hosts, given.ip)
    if trust.entry is None and not means.trusted:
        # A file from elsewhere, looked at on a server.
        trust = find_trust(way, (), given.ip)
    known = circumstances(header, trust, given)
    came = min(known.at, now) if known.at is not None and given.at is None else known.at or now
    examined = await examine(message, known, means, came)
    story = tell(message, trust, known, examined.checked, given.at or now)
    return Telling(raw, message, facts(message), story, examined)


async def examine(message: Message, known: Circumstances, means: Means, now: Instant) -> Examination:
    """As reception would, at the time `now`."""
    case = _case(message, known, now)
    settings = CheckSettings(_hostname(means.around), (), blocklists(means.lists, means.around.config))
    findings, checked = await _asked(case, known, means.asker, settings)
    ruling = _policy(means.around).judge(case, findings) if findings is not None else None
    insight = None
    if findings is not None and ruling is not None and means.readers is not None:
        insight = await means.readers.look(case, findings, ruling)
    if checked.author is not None:
        checked = await _with_logo(message, checked, means, now)
        checked = _compared(message, checked, known, means.around, insight)
    refusal = _refused(case, known)
    if refusal is not None or ruling is None:
        return Examination(checked, refusal or _unreadable(checked))
    decision = ruling.decision
    if insight is not None and insight.opinion.junk and isinstance(decision, Accept):
        # What the account itself has learnt; it moves its own copy only.
        decision = Quarantine("account", insight.opinion.junk)
    return Examination(checked, decision, ruling.score, ruling.lines)


def _refused(case: Case, known: Circumstances) -> Reject | None:
    """What is refused before any check is asked."""
    if known.flaw:
        return Reject("mail-from", known.flaw, Reply(553, "5.1.7", known.flaw))
    for step in (fit_header, few_hops):
        reply = step(case, ReceptionSettings())
        if reply is not None:
            return Reject(step.__name__.replace("_", "-"), reply.text, reply)
    return None


def _unreadable(checked: Checked) -> Reject:
    return Reject("fit-header", checked.flaw, Reply(550, "5.6.0", checked.flaw))


async def _with_logo(message: Message, checked: Checked, means: Means, now: Instant) -> Checked:
    if checked.dmarc is None or checked.dmarc.result != "pass" or checked.author is None:
        return checked
    dns = means.asker.within(CHECK_SECONDS)
    if means.fetch is None:
        from posthouse.checks.story.logo import published

        found = await published(message.header, checked.author, checked.dmarc, checked.signatures, dns)
        return replace(checked, bimi=found)
    from posthouse.checks import bimi
    from posthouse.wiring import read_roots

    config = means.around.config
    roots = read_roots(config.checks.bimi_roots) if config is not None and config.checks.bimi_roots else ()
    found = await bimi.check(
        message.header, checked.author, checked.dmarc, checked.signatures, dns, means.fetch, now, trusted=roots
    )
    return replace(checked, bimi=found)


async def _asked(
    case: Case, known: Circumstances, asker: Resolver, settings: CheckSettings
) -> tuple[Findings | None, Checked]:
    """Everything that can be asked; None where there is no author whom DMARC could be asked about."""
    try:
        wrote, flaw = author(case.message.header), ""
    except AuthorError as error:
        wrote, flaw = None, str(error)
    if wrote is not None and known.ip and known.has_mail_from:
        found = await Authentication(asker, settings).examine(case)
        return found, _side_by_side(found, await _chain(case, asker))
    message, now = case.message, case.now
    signatures = await dkim.verify(message, asker.within(CHECK_SECONDS), now)
    chain = await _chain(case, asker)
    named_back = await iprev.check(known.ip, asker.within(CHECK_SECONDS)) if known.ip else None
    sender = None
    if known.ip and known.has_mail_from:
        sender = await spf.check(
            known.ip, known.helo, known.mail_from, asker.within(CHECK_SECONDS), receiver=settings.hostname, now=now
        )
    unasked = {}
    if sender is None:
        missing = " and ".join(
            what for what, there in (("the address of the client", known.ip), ("MAIL FROM", known.has_mail_from))
            if not there
        )  # fmt: skip
        unasked["spf"] = f"nobody who can be believed recorded {missing}, without which SPF cannot be asked"
    if named_back is None:
        unasked["iprev"] = "nobody recorded the address of the client"
    if wrote is None:
        unasked["dmarc"] = f"there is no author whose policy could be asked for: {flaw}"
        return None, Checked(
            flaw=flaw, iprev=named_back, spf=sender, signatures=signatures, arc=chain, unasked=unasked
        )
    policy = await dmarc.check(wrote, sender, signatures, asker.within(CHECK_SECONDS))
    found = Findings(
        known.ip, wrote, iprev=named_back, spf=sender, signatures=signatures, arc=chain, dmarc=policy
    )
    return found, replace(_side_by_side(found, chain), unasked=unasked)


async def _chain(case: Case, asker: Resolver) -> arc.Arc:
    """Also where there is none: a story tells so."""
    return await arc.validate(case.message, asker.within(CHECK_SECONDS), case.now)


def _side_by_side(found: Findings, chain: arc.Arc) -> Checked:
    return Checked(
        author=found.author,
        iprev=found.iprev,
        spf=found.spf,
        signatures=found.signatures,
        arc=chain,
        dmarc=found.dmarc,
        dnsbl=found.dnsbl,
    )


def _case(message: Message, known: Circumstances, now: Instant) -> Case:
    octets = bytes(message.octets)
    content = Content(0, sha256(octets).digest(), len(octets), octets, None)
    peer = Peer(Role.SMTP, known.ip, 0, known.helo, esmtp=True)
    envelope = Envelope(known.mail_from, tuple(RcptTo(address) for address in known.rcpt_to))
    return Case(peer, envelope, content, read_message(message, content, now), message, None, now)


def _policy(around: Surroundings) -> Policy:
    if around.config is None:
        return Policy()
    from posthouse.wiring import policy

    return policy(around.config)


def _hostname(around: Surroundings) -> str:
    # RFC 7208 §7.3: the macro r is "unknown" where the receiver has no name to tell.
    return around.config.hostname if around.config is not None else "unknown"


def _compared(
    message: Message, checked: Checked, known: Circumstances, around: Surroundings, insight: "Insight | None"
) -> Checked:
    """Whom the author looks like: whom the account knows that it is for, else our own and those whom it is for."""
    wrote = checked.author
    assert wrote is not None
    if insight is not None and insight.knowledge is not None:
        found = insight.knowledge.lookalike(wrote.domain)
        circle = insight.knowledge.circle
        others = tuple(each for each in insight.opinion.verdicts if each.method in ("reputation", "bayes"))
        checked = replace(checked, others=others)
    else:
        names, circle = _neighbourhood(message, wrote, known, around)
        found = lookalike.check(wrote.domain, Index(names))
    proven = {signature.domain for signature in checked.signatures if signature.result == "pass"}
    if checked.spf is not None and checked.spf.result == "pass":
        proven.add(checked.spf.domain)
    seen = impostor.check(message, circle, found.findings, frozenset(proven))
    return replace(checked, lookalike=found, impostor=seen)


def _neighbourhood(
    message: Message, wrote: Address, known: Circumstances, around: Surroundings
) -> tuple[list[Known], Circle]:
    """For a message that is for nobody here."""
    # Whoever writes to himself is no acquaintance for that.
    recipients = [mailbox for mailbox in _recipients(message) if mailbox.address not in (None, wrote)]
    own = [*around.domains, *(each.domain for each in known.rcpt_to if known.sources.get("rcpt_to") == GIVEN)]
    others = [each.domain for each in known.rcpt_to]
    others += [mailbox.address.domain for mailbox in recipients if mailbox.address is not None]
    protected = around.config.checks.protected if around.config is not None else {}
    names = [Known(domain, Kin.OWN) for domain in own if domain]
    names += [Known(parse_domain(domain), Kin.PROTECTED, name) for domain, name in protected.items()]
    names += [Known(domain) for domain in others if domain]
    met = {str(person.address) for person in around.people}
    people = [
        *around.people,
        *(
            Acquaintance(mailbox.display_name, mailbox.address, own=mailbox.address.domain in own)
            for mailbox in recipients
            if mailbox.address is not None and str(mailbox.address) not in met
        ),
    ]
    return names, Circle(people, names)


def _recipients(message: Message) -> Iterable[Mailbox]:
    header = message.header
    return mailboxes([*header.addresses("to")[:_CORRESPONDENTS], *header.addresses("cc")[:_CORRESPONDENTS]])
