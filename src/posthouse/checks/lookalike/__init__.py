"""Does a domain look like one that it is not? Confusable letters, swapped digits, one letter off, another ending.

    index = Index(Known("example.com", Kin.OWN), …)     made once, for thousands of names
    check("examp1e.com", index).findings                (Finding("lookalike", HIGH, "looks like example.com, but …"),)

The letters that are confused with each other come from the Unicode Consortium (UTS 39): `confusables.txt` and
`scripts.txt` beside this file are made from its tables and stand under its licence, `LICENSE-UNICODE.txt`.
"""

from posthouse.checks.lookalike.index import Index, Kin, Known, Lookalike, check, compare

__all__ = ["Index", "Kin", "Known", "Lookalike", "check", "compare"]
