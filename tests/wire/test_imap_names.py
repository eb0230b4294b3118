"""Mailbox names on the wire: modified UTF-7, what is refused, and the wildcards of LIST (RFC 3501 §5.1.3, §6.3.8)."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from posthouse.wire.imap import utf7
from posthouse.wire.imap.faults import Refusal
from posthouse.wire.imap.patterns import Pattern
from posthouse.wire.imap.scanner import MAX_MAILBOX_NAME, mailbox_name
from posthouse.wire.imap.utf7 import Utf7Error


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (b"INBOX", "INBOX"),
        (b"", ""),
        (b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
        (b"Entw&APw-rfe", "Entwürfe"),
        (b"R&-D", "R&D"),
        (b"&-", "&"),
        (b"&2D3eAA-", "\U0001f600"),
        (b"a+b=c~", "a+b=c~"),
    ],
)
def test_names_and_their_one_spelling(octets: bytes, name: str) -> None:
    assert utf7.decode(octets) == name
    assert utf7.encode(name) == octets


@pytest.mark.parametrize(
    "octets",
    [
        b"&",  # an open shift
        b"R&D",
        b"&AOk",
        b"&Jjo!-",  # not base64
        b"&AGE-",  # "a", which stands for itself
        b"&U,BTFw-&ZeVnLIqe-",  # a superfluous shift
        b"&U,BTFx-",  # bits left over that are not zero
        b"&AO-",  # half a character
        b"&2D0-",  # half a pair
        b"&3gA-",
        b"&A-",
        b"&-&-&",
        b"caf\xe9",
        b"caf\xc3\xa9",
    ],
)
def test_any_other_spelling_is_refused(octets: bytes) -> None:
    with pytest.raises(Utf7Error):
        utf7.decode(octets)
    with pytest.raises(Refusal) as refused:
        mailbox_name(octets)
    assert refused.value.code == "CANNOT"


@given(st.text())
def test_every_name_comes_back(name: str) -> None:
    try:
        octets = utf7.encode(name)
    except Utf7Error:
        assert any("\ud800" <= character <= "\udfff" for character in name)
        return
    assert octets.isascii()
    assert utf7.decode(octets) == name


@given(st.binary(max_size=40) | st.text("&-,AaOk9+/= é").map(lambda text: text.encode("latin-1")))
@example(b"&AAA-")
def test_two_spellings_never_lead_to_one_name(octets: bytes) -> None:
    try:
        name = utf7.decode(octets)
    except Utf7Error:
        return
    assert utf7.encode(name) == octets


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (b"inbox", "INBOX"),
        (b"InBox/Work", "INBOX/Work"),
        (b"inboxes", "inboxes"),
        (b"a/inbox", "a/inbox"),
        (b"Entwu&Awg-rfe", "Entwürfe"),
        (b"../../etc/passwd", "../../etc/passwd"),
    ],
)
def test_names_are_composed_and_inbox_is_in_capitals(octets: bytes, name: str) -> None:
    assert mailbox_name(octets) == name


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"&AAA-", "CANNOT"),
        (b"a&AAo-b", "CANNOT"),
        (b"a\nb", "CANNOT"),
        (b"&ICg-", "CANNOT"),
        (b"&,,8-", "CANNOT"),
        (b"a" * (MAX_MAILBOX_NAME + 1), "LIMIT"),
    ],
)
def test_names_that_nobody_could_read_are_refused(octets: bytes, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        mailbox_name(octets)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", "INBOX a a/b a/b/c é"),
        ("%", "INBOX a é"),
        ("%/%", "a/b"),
        ("a*", "a a/b a/b/c"),
        ("a%", "a"),
        ("a/%", "a/b"),
        ("*b*", "INBOX a/b a/b/c"),
        ("*%c", "a/b/c"),
        ("%*", "INBOX a a/b a/b/c é"),
        ("inbox", "INBOX"),
        ("iN%", "INBOX"),
        ("A", ""),
        ("", ""),
        ("é", "é"),
        ("[a]", ""),
        ("a/b/c", "a/b/c"),
    ],
)
def test_wildcards(pattern: str, names: str) -> None:
    found = [name for name in ("INBOX", "a", "a/b", "a/b/c", "é") if Pattern(pattern).matches(name)]
    assert found == names.split()


@given(st.text("ab/*%", max_size=8), st.text("ab/", max_size=10))
def test_wildcards_as_a_regular_expression_has_them(pattern: str, name: str) -> None:
    wild = {"*": ".*", "%": "[^/]*"}
    expression = "".join(wild.get(character, re.escape(character)) for character in pattern)
    assert Pattern(pattern).matches(name) == (re.fullmatch(expression, name, re.DOTALL) is not None)


def test_a_pattern_made_to_go_astray_does_not() -> None:
    assert not Pattern("*a" * 400 + "b").matches("a" * 1000)
    assert Pattern("%*" * 400 + "a").matches("a" * 1000)
