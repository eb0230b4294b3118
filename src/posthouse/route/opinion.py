"""What one account's own knowledge makes of a message: it may lie in Junk for one recipient and not for another.

    letter = Letter(…, opinions={account_id: Opinion(junk="it looks like junk (99%), most of all by …", …)})

`route.suspicion` forms opinions, `route.acceptance` acts on them where it files the message: the account's copy goes to
Junk, its prefix begins with `fields`, and the journey has `verdicts`, then `warning` and `junk` where there is
something to tell. An opinion never refuses a message; what is decided for everybody is the policy's affair.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from posthouse.checks.finding import Finding
from posthouse.mail.address import Address
from posthouse.mail.compose import format_field
from posthouse.mail.instant import Instant
from posthouse.mail.journey import Fact, Stamp, Step
from posthouse.mail.verdict import Verdict
from posthouse.mail.words import one_line
from posthouse.store.database import Transaction

WARNING_FIELD = "Posthouse-Warning"
"""The header field in front of a message that tells its reader what to beware of; one that comes in is taken out."""

_WARNING_CHARACTERS = 1_000
_PLAIN_QUOTES = str.maketrans("“”", '""')


@dataclass(frozen=True, slots=True)
class Opinion:
    """`verdicts` are those of the checks that look at the account; `clues` the words by which its junk filter decided.

    `junk` is the reason why the account's copy goes to Junk, "" where it does not. `warning` is a sentence for the
    reader without its subject and full stop, "" without one. `also` is a further unit of work for the transaction that
    files the copy: what the account remembers of it.
    """

    verdicts: tuple[Verdict, ...] = ()
    findings: tuple[Finding, ...] = ()
    clues: tuple[str, ...] = ()
    junk: str = ""
    warning: str = ""
    also: Callable[[Transaction], None] | None = None

    @property
    def fields(self) -> bytes:
        """Header fields for the front of the account's copy, folded, CRLF included."""
        if not self.warning:
            return b""
        # With plain quotes most warnings are ASCII, which people can read in the source of a message as well.
        said = f"This message {one_line(self.warning)[:_WARNING_CHARACTERS]}.".translate(_PLAIN_QUOTES)
        return format_field(WARNING_FIELD, said).encode("ascii")

    def stamps(self, account: Address, at: Instant) -> list[Stamp]:
        """What the journey tells of it, each with the account that it holds for."""
        told: list[Stamp] = []
        for verdict in self.verdicts:
            facts: dict[str, Fact] = {
                "method": verdict.method, "result": verdict.result, "identity": verdict.identity or str(account),
                "reason": verdict.reason, "account": str(account),
            }  # fmt: skip
            if verdict.method == "bayes" and self.clues:
                facts["clues"] = list(self.clues)
            told.append(Stamp(at, Step.VERDICT, facts))
        if self.warning:
            told.append(Stamp(at, Step.WARNING, {"account": str(account), "warning": self.warning}))
        if self.junk:
            facts = {"action": "quarantine", "rule": "account", "reason": self.junk, "account": str(account)}
            told.append(Stamp(at, Step.DECISION, facts))
        return told


NO_OPINION: Final = Opinion()

Opinions = Mapping[int, Opinion]
"""Account id → its opinion; accounts that have none are missing."""
