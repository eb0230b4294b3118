"""ARC (RFC 8617): what earlier hops vouched for, and vouching ourselves for what goes on.

    chain = await validate(message, dns, now)
    chain.trusted({"lists.example.org"})                  the set whose recorded results may be believed, or None
    fields = seal(octets, key, chain, recorded, now)
"""

from posthouse.checks.arc.chain import Arc, ArcSet
from posthouse.checks.arc.sealing import seal
from posthouse.checks.arc.validation import validate

__all__ = ["Arc", "ArcSet", "seal", "validate"]
