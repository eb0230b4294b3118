"""An authenticated received chain (RFC 8617 §4): its sets, and what its validation found."""

from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

from posthouse.mail.verdict import Verdict


@dataclass(frozen=True, slots=True)
class ArcSet:
    """One set. `sealer` is d= of the ARC-Seal and `selector` its s=.

    `recorded` is the authres-payload of its ARC-Authentication-Results, on one line.
    """

    instance: int
    sealer: str
    selector: str
    recorded: bytes


@dataclass(frozen=True, slots=True)
class Arc:
    """What was found: `sets` from instance 1 to N, empty where the chain is malformed or there is none.

    `sealers` are the domains of the seals, newest first. `oldest_pass` is the instance of the oldest message signature
    that still verifies, 0 where all do (RFC 8617 §5.2), None where the chain does not pass.
    """

    result: Literal["none", "pass", "fail"]
    sealers: tuple[str, ...]
    sets: tuple[ArcSet, ...]
    oldest_pass: int | None
    verdict: Verdict

    def trusted(self, sealers: Container[str]) -> ArcSet | None:
        """The oldest set whose sealer and all later ones are trusted, of a chain that passes; None where there is none.

        Whoever seals later could have moved an older chain onto another message, so one stranger ends the trust.
        """
        raise NotImplementedError
