"""What the checks found about one message, side by side: what a story is told from.

    checked = Checked(author=author, spf=spf, signatures=signatures, arc=arc, dmarc=dmarc)
    checked.verdicts

None stands for what was not asked, and `unasked` says why: a file without an envelope leaves nothing to ask SPF about.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from posthouse.checks.arc import Arc
from posthouse.checks.dkim import UNSIGNED, Signature
from posthouse.checks.dmarc import Dmarc
from posthouse.checks.dnsbl import Dnsbl
from posthouse.checks.impostor import Impostor
from posthouse.checks.iprev import Iprev
from posthouse.checks.lookalike import Lookalike
from posthouse.checks.spf import Spf
from posthouse.mail.address import Address
from posthouse.mail.verdict import Verdict

if TYPE_CHECKING:
    # What reads certificates takes a while to load, and only few messages have a logo.
    from posthouse.checks.bimi import Bimi


@dataclass(frozen=True, slots=True)
class Checked:
    """`author` is the one of `mail.author`, None where `flaw` says why there is none.

    `unasked`: method → a sentence, for a verdict of "none". `others` are verdicts that hold for the reader only.
    """

    author: Address | None = None
    flaw: str = ""
    iprev: Iprev | None = None
    spf: Spf | None = None
    signatures: tuple[Signature, ...] = ()
    arc: Arc | None = None
    dmarc: Dmarc | None = None
    dnsbl: Dnsbl | None = None
    bimi: "Bimi | None" = None
    lookalike: Lookalike | None = None
    impostor: Impostor | None = None
    others: tuple[Verdict, ...] = ()
    unasked: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """In the order in which a reader asks: who connects, who vouches, what that makes of the author."""
        found: list[Verdict] = []
        for check in (self.iprev, self.dnsbl, self.spf):
            found += [check.verdict] if check is not None else []
        found += [signature.verdict for signature in self.signatures] or [UNSIGNED]
        for other in (self.arc, self.dmarc, self.bimi, self.lookalike, self.impostor):
            found += [other.verdict] if other is not None else []
        found += self.others
        told = {verdict.method for verdict in found}
        found += [Verdict(method, "none", "", why) for method, why in self.unasked.items() if method not in told]
        return tuple(found)
