"""What the verification of one DKIM signature found (RFC 6376 §3.9), in the words of RFC 8601 §2.7.1.

    pass       it verifies, and nothing is wrong with it; the only result that speaks for the domain
    policy     it verifies, but is not taken: it signs a part of the body only (`l=`), it is past its time, or a field
               that may stand once stands twice in the message
    fail       the message or the signature was altered
    neutral    the field is malformed, or asks for what nobody here knows; or it failed with a key that is in testing
    permerror  the domain has no fit key for it, or it does not sign From
    temperror  the key could not be asked for now
"""

from dataclasses import dataclass
from typing import Literal

from posthouse.mail.verdict import Verdict

# What there is to say of a message without a signature.
UNSIGNED = Verdict("dkim", "none", "", "Nobody has signed it")

Result = Literal["pass", "policy", "fail", "neutral", "permerror", "temperror"]


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of a message.

    `domain` (d=) and `selector` (s=) are lower case and in A-labels, and "" where the field gives no valid ones;
    `identity` is i= decoded, "@" and the domain where there is none. `testing` tells of the key's flag t=y: such a key
    asks that nobody rely on its signatures. `headers` are the keys of h=, in its order.
    """

    result: Result
    domain: str
    selector: str
    algorithm: str
    identity: str
    testing: bool
    headers: tuple[str, ...]
    verdict: Verdict
