"""Envelope beside header: what each proof speaks for, and whether that is the author whom people see.

    for strand in strands(known, checked):
        strand.label, strand.domain, strand.method, strand.result, strand.holds

A strand leads from a name that was proven (or was not) to the domain in From. Where the author's domain has a DMARC
record it is as RFC 9989 §4.4 compares; where it has none, names of one registrable domain are taken for one
organization, which is what a record would most likely say.
"""

from collections.abc import Iterator
from typing import NamedTuple

from posthouse.checks.dmarc import Identifier
from posthouse.checks.story.checked import Checked
from posthouse.checks.story.circumstances import Circumstances
from posthouse.checks.suffixes import registrable


class Strand(NamedTuple):
    """`label` is where the name stands: "MAIL FROM", "HELO", "DKIM d=". `holds`: it passed and speaks for the author.

    `aligned` tells whether the name is the author's, whatever the result; `remark` is what that means, in a few words.
    """

    label: str
    domain: str
    method: str
    result: str
    aligned: bool
    holds: bool
    remark: str


def strands(known: Circumstances, checked: Checked) -> tuple[Strand, ...]:
    """That of SPF first, then one for each signature, top down."""
    identifiers = list(checked.dmarc.identifiers) if checked.dmarc is not None else []
    return tuple(_strands(known, checked, identifiers))


def _strands(known: Circumstances, checked: Checked, identifiers: list[Identifier]) -> Iterator[Strand]:
    author = checked.author.domain if checked.author is not None else ""
    spf = checked.spf
    if spf is not None:
        label = "HELO" if spf.scope == "helo" else "MAIL FROM"
        found = identifiers.pop(0) if identifiers and identifiers[0].method == "spf" else None
        yield _strand(label, spf.domain or known.helo, "spf", spf.result, author, found)
    elif known.has_mail_from:
        domain = known.mail_from.domain if known.mail_from is not None else ""
        yield Strand("MAIL FROM", domain, "spf", "", _related(domain, author), False, "not asked")
    for at, signature in enumerate(checked.signatures):
        found = identifiers[at] if at < len(identifiers) else None
        yield _strand("DKIM d=", signature.domain, "dkim", signature.result, author, found)


def _strand(label: str, domain: str, method: str, result: str, author: str, found: Identifier | None) -> Strand:
    aligned = _related(domain, author) if found is None or found.result not in ("pass", "temperror") else found.aligned
    if not author:
        remark = "nobody to compare with"
    elif not domain:
        remark = "names nobody"
    elif domain == author:
        remark = "the very name"
    elif found is not None and found.unknown:
        remark = "the DNS would not tell"
    elif found is not None and found.mode == "strict" and _related(domain, author):
        remark = "not the very name, as is demanded"
        aligned = False
    else:
        remark = "the same organization" if aligned else "another organization"
    return Strand(label, domain, method, result, aligned, aligned and result == "pass", remark)


def _related(domain: str, author: str) -> bool:
    if not domain or not author:
        return False
    return domain == author or (registrable(domain) or domain) == (registrable(author) or author)
