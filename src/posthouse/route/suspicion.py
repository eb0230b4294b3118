"""What the accounts that a message goes to make of it: whom it resembles, whom it pretends to be from, is it junk.

    opinions = await suspicion.opinions(case, findings, ruling)      {account_id: Opinion(…)}

Asked after the policy, of mail that is let in and that was examined. For each account:

- *lookalike*: the author's domain against our own, the protected names, and the account's correspondents;
- *impostor*: names, Reply-To, words that press for money, against the same people;
- *reputation*: what the account has called the other messages of a sender whom DMARC proved;
- *bayes*: what it has called messages with these words, once it has called enough of them anything.

What looks grave is a warning, which the reader sees (`opinion.WARNING_FIELD`) and which moves nothing: nobody loses a
message for how it looks. What the account itself has called junk, and looks the same, goes to Junk; but never a
message from somebody it knows, if DMARC proves him, for its words alone.

An account that knows nobody and has called nothing junk costs a few microseconds, unless the message has something in
it that needs no acquaintance to be suspicious.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from posthouse.checks import bayes, impostor
from posthouse.checks.bayes import TRAINED, Bayes, Corpus, Count
from posthouse.checks.finding import Finding, Severity, ranked, sentence
from posthouse.checks.impostor import FREEMAIL, Impostor
from posthouse.checks.lookalike import Lookalike
from posthouse.checks.suffixes import registrable
from posthouse.mail.address import Address
from posthouse.mail.mailboxes import mailboxes
from posthouse.mail.message import Message
from posthouse.mail.verdict import Accept, Verdict
from posthouse.route import exemption
from posthouse.route.acceptance import Acceptance
from posthouse.route.acquaintance import Acquaintances, Knowledge
from posthouse.route.authentication import Findings
from posthouse.route.case import Case
from posthouse.route.opinion import NO_OPINION, Opinion, Opinions
from posthouse.route.policy import Ruling
from posthouse.store import junk
from posthouse.store.database import StoreFault, Transaction

# Words are looked at where we stand in a message of up to so many octets, for so many accounts; otherwise in a thread.
# Of one that is larger than `LOOKED_AT` the header says all.
_INLINE: Final = 16 * 1024
_FEW: Final = 3
LOOKED_AT: Final = 4 * 1024 * 1024

# So many messages of a sender, all of one kind, are an opinion of him.
CALLED_JUNK: Final = 3
CALLED_GOOD: Final = 2


class _Seen(NamedTuple):
    """What the octets say, for each account that has to be asked, and the tokens where some account knows tokens."""

    impostors: dict[int, Impostor]
    tokens: tuple[str, ...]


class _Learnt(NamedTuple):
    """What an account has learnt that concerns one message."""

    corpus: Corpus
    counts: dict[str, Count]
    origin: Count


_UNSEEN: Final = _Seen({}, ())
_NOTHING: Final = _Learnt(Corpus(0, 0), {}, Count(0, 0))


class Suspicion:
    """Keeps `route.reception.Suspicion` for one house."""

    def __init__(self, acceptance: Acceptance, acquaintances: Acquaintances) -> None:
        self._acceptance = acceptance
        self._acquaintances = acquaintances

    async def opinions(self, case: Case, findings: Findings | None, ruling: Ruling) -> Opinions:
        """The opinions of the accounts that have one. Never raises."""
        if findings is None or findings.waived:
            return {}
        try:
            return await self._opinions(case, findings, isinstance(ruling.decision, Accept))
        except StoreFault:
            # Acceptance asks the store again, and says so if it cannot be asked.
            return {}

    async def _opinions(self, case: Case, findings: Findings, accepted: bool) -> Opinions:
        author = findings.author
        proven = _is_proven(findings)
        known = await self._acquaintances.of(case.envelope, case.now)
        resembled = {knowledge.account_id: knowledge.lookalike(author.domain) for knowledge in known}
        name = _name(case.message)
        compared = [
            each for each in known
            if each.named or resembled[each.account_id].findings or impostor.claimed(name, author, each.circle)
        ]  # fmt: skip
        if len(compared) < len(known) and not is_plain(case):
            compared = known
        judging = any(min(each.learner.junk, each.learner.good) >= TRAINED for each in known)
        senders = frozenset(exemption.proven(findings))
        looked = compared or judging
        seen = await self._see(case, compared, resembled, judging, senders) if looked else _UNSEEN
        opinions: dict[int, Opinion] = {}
        for knowledge in known:
            account_id = knowledge.account_id
            opinion = NO_OPINION
            if account_id in seen.impostors or knowledge.learner.junk or knowledge.learner.good:
                learnt = await self._learnt(knowledge, author if proven else None, seen.tokens)
                opinion = _opinion(findings, knowledge, resembled[account_id], seen, learnt)
            if accepted and proven and not opinion.junk:
                unit = self._acquaintances.hears(knowledge, author, name, case.now)
                opinion = replace(opinion, also=unit) if unit is not None else opinion
            if opinion != NO_OPINION:
                opinions[account_id] = opinion
        return opinions

    async def _see(
        self, case: Case, known: Sequence[Knowledge], resembled: dict[int, Lookalike], judging: bool,
        proven: frozenset[str],
    ) -> _Seen:
        """One look at the message, in a thread where it is large or many want to know."""
        view = partial(_see, known=known, resembled=resembled, judging=judging, proven=proven)
        content = case.content
        if content.size > LOOKED_AT:
            return view(Message(case.message.octets[: case.message.header.end], case.message.header))
        if content.octets is None:
            return await self._acceptance.look(content, lambda octets: view(Message.parse(octets)))
        if content.size <= _INLINE and len(known) <= _FEW:
            return view(case.message)
        return await asyncio.to_thread(view, case.message)

    async def _learnt(self, knowledge: Knowledge, proven: Address | None, tokens: Sequence[str]) -> _Learnt:
        learner = knowledge.learner
        if not learner.junk and not learner.good:
            return _NOTHING
        wanted = tokens if min(learner.junk, learner.good) >= TRAINED else ()
        origin = origin_of(proven) if proven is not None else ""
        read = partial(_read, account_id=knowledge.account_id, tokens=wanted, origin=origin)
        return await self._acceptance.db.read(read, quick=not wanted)


def is_plain(case: Case) -> bool:
    """Whether nothing in the message could be suspicious to somebody who knows nobody.

    Then its author has a name that is only a name, an answer goes to him, nothing in sight is encoded and nothing is
    attached.
    """
    header = case.message.header
    if case.reading.message.has_attachment or header.get("reply-to") is not None:
        return False
    for name in ("from", "subject"):
        field = header.get(name)
        value = field.value if field is not None else b""
        if not value.isascii() or b"=?" in value or (name == "from" and value.count(b"@") != 1):
            return False
    return True


def origin_of(author: Address) -> str:
    """By whom a sender is remembered: his organization; his very address where anybody gets one."""
    organization = registrable(author.domain) or author.domain
    return str(author) if organization in FREEMAIL else organization


def _see(
    message: Message, known: Sequence[Knowledge], resembled: dict[int, Lookalike], judging: bool,
    proven: frozenset[str],
) -> _Seen:
    impostors = {
        knowledge.account_id: impostor.check(
            message, knowledge.circle, resembled[knowledge.account_id].findings, proven
        )
        for knowledge in known
    }
    return _Seen(impostors, lexicon(message) if judging else ())


def lexicon(message: Message) -> tuple[str, ...]:
    """The tokens of a message as the junk filter counts them, in one order each time."""
    # No database takes half a surrogate pair for text.
    return tuple(sorted(token for token in bayes.tokens(message) if token.isprintable()))


def _read(tx: Transaction, account_id: int, tokens: Sequence[str], origin: str) -> _Learnt:
    return _Learnt(
        junk.corpus(tx, account_id),
        junk.counts(tx, account_id, tokens) if tokens else {},
        junk.origin(tx, account_id, origin) if origin else Count(0, 0),
    )


def _opinion(
    checked: Findings, knowledge: Knowledge, resembled: Lookalike, seen: _Seen, learnt: _Learnt
) -> Opinion:
    author = checked.author
    proven = _is_proven(checked)
    posing = seen.impostors.get(knowledge.account_id)
    verdicts: list[Verdict] = []
    findings: list[Finding] = list(resembled.findings)
    if resembled.findings:
        verdicts.append(resembled.verdict)
    if posing is not None and posing.findings:
        verdicts.append(posing.verdict)
        findings += posing.findings
    reputation = _reputation(author, learnt.origin)
    verdicts += [reputation] if reputation is not None else []
    words: Bayes | None = None
    if learnt.counts or min(learnt.corpus) >= TRAINED:
        words = bayes.judge(seen.tokens, learnt.counts, learnt.corpus)
        verdicts.append(words.verdict)
    clues = tuple(f"{clue.token} {clue.probability:.0%}" for clue in words.clues) if words is not None else ()
    trusted = (proven and knowledge.circle.knows(author)) or (reputation is not None and reputation.result == "pass")
    why = ""
    if reputation is not None and reputation.result == "fail":
        why = reputation.reason
    elif words is not None and words.verdict.result == "fail" and not trusted:
        why = words.verdict.reason
    return Opinion(tuple(verdicts), tuple(ranked(findings)), clues, why, _warning(findings))


def _is_proven(findings: Findings) -> bool:
    return findings.dmarc is not None and findings.dmarc.result == "pass"


def _reputation(author: Address, count: Count) -> Verdict | None:
    """What the account has called the other messages of this sender; None where that says nothing."""
    who = origin_of(author)
    if count.junk >= CALLED_JUNK and not count.good:
        reason = f"all {count.junk} messages from {who} that the account has called anything were junk to it"
        return Verdict("reputation", "fail", who, reason)
    if count.good >= CALLED_GOOD and not count.junk:
        reason = f"all {count.good} messages from {who} that the account has called anything were good to it"
        return Verdict("reputation", "pass", who, reason)
    return None


def _warning(findings: Sequence[Finding]) -> str:
    """What the reader is told: whatever is more than a curiosity."""
    return sentence([finding for finding in findings if finding.severity is not Severity.LOW], "")


def _name(message: Message) -> str:
    authors = mailboxes(message.header.addresses("from")[:1])
    return authors[0].display_name if authors else ""
