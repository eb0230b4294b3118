"""Identifier alignment: does what passed speak for the author's domain (RFC 9989 §4.4, §4.10.2)?

An identifier is the domain that SPF was asked about, or the `d=` of a DKIM signature. Only one that passed can align;
one whose check could not be finished is compared as well, since a later try could pass.
"""

from dataclasses import dataclass
from typing import Literal

from posthouse.checks.dmarc.discovery import Lookups
from posthouse.checks.dmarc.record import Mode
from posthouse.mail.address import AddressError, parse_domain
from posthouse.mail.dns import DnsFault

Method = Literal["spf", "dkim"]

# Results of a check after which its identifier is compared.
_COMPARED = frozenset(("pass", "temperror"))


@dataclass(frozen=True, slots=True)
class Identifier:
    """One identifier beside the author's domain.

    `domain` is "" where the check had none that is a domain name. `result` is that of the check by itself, `aligned`
    whether the identifier belongs to the author; only both together (`speaks`) count. `organizational_domain` is
    known where it had to be asked for, `unknown` tells that the DNS would not say.
    """

    method: Method
    domain: str
    selector: str
    result: str
    mode: Mode
    organizational_domain: str
    aligned: bool
    unknown: bool

    @property
    def speaks(self) -> bool:
        """Whether it passed and is aligned: what DMARC asks for."""
        return self.aligned and self.result == "pass"

    @property
    def might_speak(self) -> bool:
        """Whether a later try could find that it does: something that was needed could not be asked for now."""
        return self.unknown or (self.aligned and self.result == "temperror")


class Comparison:
    """Compares identifiers with one author's domain; `organization` is that of the author, "" until it is needed."""

    __slots__ = ("_author", "_lookups", "organization")

    def __init__(self, author: str, lookups: Lookups) -> None:
        self._author = author
        self._lookups = lookups
        self.organization = ""

    async def compare(self, method: Method, domain: str, selector: str, result: str, mode: Mode) -> Identifier:
        """Never raises DnsFault: the identifier is then `unknown`."""
        domain = _normal(domain)
        organization, aligned, unknown = "", False, False
        if domain and domain == self._author:
            # RFC 9989 §4.10.2: the same name is aligned in any mode, whoever it belongs to.
            aligned = True
        elif domain and mode == "relaxed" and result in _COMPARED:
            try:
                organization, aligned = await self._related(domain)
            except DnsFault:
                unknown = True
        return Identifier(method, domain, selector, result, mode, organization, aligned, unknown)

    async def _related(self, domain: str) -> tuple[str, bool]:
        if domain.rpartition(".")[2] != self._author.rpartition(".")[2]:
            return "", False
        if not self.organization:
            self.organization = await self._lookups.organizational_domain(self._author)
        ours = self.organization
        # An organizational domain is the name itself or stands above it: outside of ours there is nothing to ask.
        if domain != ours and not domain.endswith(f".{ours}"):
            return "", False
        theirs = await self._lookups.organizational_domain(domain)
        return theirs, theirs == ours


def _normal(domain: str) -> str:
    """The domain in lower case and A-labels (RFC 8616 §6); "" for what is no domain name."""
    try:
        return parse_domain(domain[:-1] if domain.endswith(".") else domain)
    except AddressError:
        return ""
