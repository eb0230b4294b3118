"""Public suffixes: which part of a domain somebody registered, by the list of publicsuffix.org.

    registrable("mail.example.co.uk")     "example.co.uk"
    registrable("co.uk")                  None: nobody's own, below it others register
    public_suffix("mail.example.co.uk")   "co.uk"

For comparing names of strangers and for gathering hosts in summaries. DMARC does not ask it: who belongs to whom is
found there by the tree walk (`dmarc.discovery`), which asks the owners themselves. The list comes with the package
`publicsuffixlist` and is as old as that; an unlisted top level counts as a public suffix.
"""

from functools import cache, lru_cache

from publicsuffixlist import PublicSuffixList

# Domains seen lately; one entry costs some 200 octets.
_CACHE = 4096


@cache
def _list() -> PublicSuffixList:
    """Read when first asked for: it takes a tenth of a second."""
    return PublicSuffixList()


@lru_cache(maxsize=_CACHE)
def registrable(domain: str) -> str | None:
    """The registrable domain of a domain in lower case and A-labels; None for a public suffix and for no domain."""
    return _list().privatesuffix(domain)


@lru_cache(maxsize=_CACHE)
def public_suffix(domain: str) -> str | None:
    """The public suffix of a domain in lower case and A-labels; None for what is no domain."""
    return _list().publicsuffix(domain)
