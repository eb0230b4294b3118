"""Sealing (RFC 8617 §5.1): one more set for a message that goes on.

    octets = seal(message, key, chain, b"mx.example.org; spf=pass …", now) + message

The results are those of reception, `chain` is what `validate` said then; the message is as it leaves, with every
change made and our own DKIM signature on it. The message signature covers what a DKIM signature of ours would, and the
DKIM signatures that stand on the message.
"""

import re

from posthouse.checks.arc.chain import AAR, AMS, SEAL, SETS_MOST, Arc, ChainFault, collect, highest, present
from posthouse.checks.dkim.canonicalization import relaxed_field
from posthouse.checks.dkim.keys import SigningKey
from posthouse.checks.dkim.signing import SigningFault, canonical, chosen, completed, read
from posthouse.mail.headers import Header, Octets, scan_header
from posthouse.mail.instant import SECOND, Instant

# What begins a line of its own would be a field of its own.
_breaks_out = re.compile(rb"\r(?!\n)|(?<!\r)\n|\n(?![ \t])|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search


def seal(octets: Octets, key: SigningKey, chain: Arc, recorded: bytes, now: Instant, *, prefix: bytes = b"") -> bytes:
    """The three fields of the next set, CRLF included, to be put in front of everything; b"" where none may be added.

    `recorded` is the authres-payload: authserv-id and results, as in Authentication-Results behind its name; it may be
    folded. `prefix` as in `dkim.sign`. Nothing is sealed on a chain whose newest sealer says that it failed, nor beyond
    50 sets. Raises SigningFault, also where `octets` have not the chain that `chain` is about.
    """
    if _breaks_out(recorded):
        raise SigningFault("The results that are to be sealed have a line or a control character of their own")
    # Only the octets can have a chain: what we put in front has none.
    header = scan_header(octets)
    newest, given_up = highest(header)
    # RFC 8617 §5.1, step 2, and §4.2.1
    if given_up or newest >= SETS_MOST:
        return b""
    instance = newest + 1
    results = f"{AAR}: i={instance}; ".encode("ascii") + recorded.strip(b" \t\r\n") + b"\r\n"
    signature = _signature(octets, key, instance, now, prefix)
    before = _sealed_so_far(header, chain)
    for field in (results, signature):
        name, _, value = field.partition(b":")
        before += relaxed_field(name, value.removesuffix(b"\r\n")) + b"\r\n"
    tags = f" i={instance}; a={key.algorithm}; cv={chain.result}; d={key.domain}; s={key.selector}; t={now // SECOND};"
    return completed(SEAL, tags, before, key) + signature + results


def _signature(octets: Octets, key: SigningKey, instance: int, now: Instant, prefix: bytes) -> bytes:
    """The ARC-Message-Signature."""
    draft = read(octets, prefix)
    # RFC 8617 §4.1.2: the DKIM signatures that stand on the message should be covered.
    names = chosen(draft.fields) + ["dkim-signature" for field in draft.fields if field.key == "dkim-signature"]
    tags = (
        f" i={instance}; a={key.algorithm}; c=relaxed/relaxed; d={key.domain}; s={key.selector}; t={now // SECOND};"
        f" h={':'.join(names)}; bh={draft.body_hash};"
    )
    return completed(AMS, tags, canonical(draft.fields, names), key)


def _sealed_so_far(header: Header, chain: Arc) -> bytes:
    """The fields of earlier sets as the new seal covers them (RFC 8617 §5.1.1)."""
    if (chain.result == "none") == present(header):
        raise SigningFault("The chain on the message is not the one that was validated")
    # RFC 8617 §5.1.2: on a chain that failed, the new set is sealed as if it were the only one.
    if chain.result != "pass":
        return b""
    try:
        links = collect(header)
    except ChainFault:
        raise SigningFault("The chain on the message is not the one that was validated") from None
    fields = (field for link in links for field in (link.recorded, link.signature, link.seal))
    return b"".join(relaxed_field(field.name.encode("ascii"), field.value) + b"\r\n" for field in fields)
