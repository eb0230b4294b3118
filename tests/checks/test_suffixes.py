"""Public suffixes: the published tests, with the list in the package and with the list beside them."""

import re
from pathlib import Path

import pytest
from publicsuffixlist import PublicSuffixList

from posthouse.checks.suffixes import public_suffix, registrable
from posthouse.mail.address import AddressError, parse_domain

# test_psl.txt is the same list of cases as the input of a JavaScript function.
_CALL = re.compile(r"checkPublicSuffix\((null|'[^']*'), (null|'[^']*')\);")


def cases(vectors: Path, name: str) -> list[tuple[str, str]]:
    found = []
    for line in (vectors / "psl" / name).read_text("utf-8").splitlines():
        call = _CALL.fullmatch(line)
        if call:
            found.append((call[1].strip("'"), call[2].strip("'")))
        elif line and not line.startswith("//"):
            domain, expected = line.split()
            found.append((domain, expected))
    return found


def normal(domain: str) -> str:
    """As domains are in the house: lower case, A-labels."""
    try:
        return parse_domain(domain)
    except AddressError:
        return ""


@pytest.mark.parametrize("name", ["tests.txt", "test_psl.txt"])
@pytest.mark.parametrize("source", ["of the package", "of the vectors"])
def test_the_published_cases_hold(vectors: Path, name: str, source: str) -> None:
    published = PublicSuffixList((vectors / "psl" / "public_suffix_list.dat").read_bytes())
    find = registrable if source == "of the package" else published.privatesuffix
    wrong = {}
    for domain, expected in cases(vectors, name):
        # The null input is one of JavaScript's: here a domain is a text.
        if domain == "null":
            continue
        found = find(normal(domain))
        if found != (None if expected == "null" else normal(expected)):
            wrong[domain] = found
    assert len(cases(vectors, name)) > 60
    assert not wrong


def test_a_suffix_is_what_others_register_under() -> None:
    assert public_suffix("mail.example.co.uk") == "co.uk"
    assert registrable("mail.example.co.uk") == "example.co.uk"
    assert registrable("co.uk") is None


def test_an_unlisted_top_level_counts_as_a_suffix() -> None:
    assert public_suffix("posthouse.test") == "test"
    assert registrable("mail.posthouse.test") == "posthouse.test"


@pytest.mark.parametrize("text", ["", ".", "a..b", ".com"])
def test_what_is_no_domain_has_none(text: str) -> None:
    assert registrable(text) is None
