"""Who a mail is from: the table of ways to make two programs read two authors, and the honest forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.address import Address
from posthouse.mail.author import SINGLETONS, AuthorError, author, flaws
from posthouse.mail.headers import scan_header
from posthouse.mail.mailboxes import mailboxes
from posthouse.mail.words import encode_phrase

A = "a@x.example"


def header(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape") + b"\r\nBody\r\n"


@pytest.mark.parametrize(
    "value",
    [
        "a@x.example",
        "<a@x.example>",
        "Alice <a@x.example>",
        "Alice<a@x.example>",
        '"Smith, Alice" <a@x.example>',
        '"Alice \\"Al\\" Smith" <a@x.example>',
        "a@x.example (Cron Daemon)",
        "<a@x.example> (Alice)",
        "Alice (Sales) <a@x.example>",
        "(Dr.) Alice <a@x.example>",
        "=?utf-8?q?J=C3=B6rg?= <a@x.example>",
        '=?utf-8?q?a?= =?utf-8?q?b?= "c" d. <a@x.example>',
        "[JIRA] Alice <a@x.example>",
        "Jörg <a@x.example>",
        "J\udcf6rg <a@x.example>",
        "Alice Q. Smith <a@x.example>",
        "O'Neil, <a@x.example>".replace(",", ""),
        '"b@y.example" <a@x.example>',
        "a@x.example <a@x.example>",
        "A@X.example <a@x.example>",
        "Alice\r\n <a@x.example>",
        "\r\n\ta@x.example",
    ],
)
def test_one_mailbox_is_an_author(value: str) -> None:
    found = scan_header(header(f"From: {value}"))
    assert author(found) == Address("a", "x.example")
    assert flaws(found) == ""


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("<jörg@bücher.example>", Address("jörg", "xn--bcher-kva.example")),
        ('"a b"@x.example', Address("a b", "x.example")),
        ('Alice <"a b"@x.example>', Address("a b", "x.example")),
        ("u@[192.0.2.1]", Address("u", "[192.0.2.1]")),
        ("A.B+c@X.Example", Address("A.B+c", "x.example")),
    ],
)
def test_rare_addresses_are_authors_as_well(value: str, address: Address) -> None:
    assert author(scan_header(header(f"From: {value}"))) == address


# THREATS "Sender spoofing", with the variants that were used against mail services.
TWO_READINGS = {
    "empty": "",
    "null": "<>",
    "name only": "Alice",
    "two mailboxes": "a@x.example, b@y.example",
    "two mailboxes, one in angles": "a@x.example,<b@y.example>",
    "two angles": "<a@x.example>,<b@y.example>",
    "two angles without a comma": "<a@x.example> <b@y.example>",
    "text after the angle": "<a@x.example>b@y.example",
    "address before the angle": "a@x.example <b@y.example>",
    "address and name before the angle": "a@x.example Alice <b@y.example>",
    "semicolon": "a@x.example;b@y.example",
    "encoded address": "=?utf-8?B?YUB4LmV4YW1wbGU=?=",
    "encoded address in angles": "<=?utf-8?B?YUB4LmV4YW1wbGU=?=>",
    "encoded list": "=?utf-8?Q?a=40x=2Eexample=2C?=b@y.example",
    "encoded local part": "=?utf-8?Q?=61?=@x.example",
    "wide at in the local part": "<a＠x.example@y.example>",
    "small at in the local part": "a﹫x.example@y.example",
    "wide angle bracket in the local part": "<a＞b@y.example>",
    "encoded at": "<=?utf-8?Q?a=40x.example?=@y.example>",
    "route": "<@a.example,@b.example:u@c.example>",
    "route of one": "<@a.example:u@c.example>",
    "route outside angles": "@a.example:u@c.example",
    "quoted pair": "<a\\@x.example>",
    "quoted pair of an angle": "<a@x.example\\>b@y.example>",
    "quoted pair in a local part": '"a\\"b"@x.example',
    "quoted address as local part": '"a@x.example"@y.example',
    "quoted angle as local part": '"<a@x.example>"@y.example',
    "quoted list as local part": '"a@x.example,"@y.example',
    "two at signs": "a@x.example@y.example",
    "group": "friends: a@x.example;",
    "empty group": "undisclosed-recipients:;",
    "group without an end": "a@x.example: b@y.example",
    "comment in the address": "a(c)@x.example",
    "comment before the domain": "a@(b@y.example)x.example",
    "comment with an address": "(b@y.example) a@x.example",
    "comment with an angle": "a@x.example (<b@y.example>)",
    "comment never closed": "a@x.example (",
    "comment in the name": "Alice (b@y.example) <a@x.example>",
    "angle never closed": "<a@x.example",
    "angle never opened": "a@x.example>",
    "angles in angles": "<<a@x.example>>",
    "quote never closed": '"Alice <a@x.example>',
    "angle in a name": '"x"<b@y.example>@a.example',
    "space in the address": "a @ x.example",
    "space before the domain": "<a@ x.example>",
    "NUL at the end": "a@x.example\0",
    "NUL in the midst": "<a@x.example\0@y.example>",
    "NUL in the name": "Al\0ice <a@x.example>",
    "dot outside ASCII": "<a@x。example>",
    "direction mark": "<a@\u202eelpmaxe.x>",
    "at sign outside ASCII": "<a＠x.example>",
    "folded address": "<a@x.\r\n example>",
    "not UTF-8": "<\udcf6@x.example>",
    "no domain": "<alice>",
    "trailing dot": "<a@x.example.>",
    "far too long": "x" * 3000 + " <a@x.example>",
}


@pytest.mark.parametrize("value", TWO_READINGS.values(), ids=TWO_READINGS.keys())
def test_whatever_could_be_read_in_two_ways_is_refused(value: str) -> None:
    found = scan_header(header(f"From: {value}"))
    with pytest.raises(AuthorError) as caught:
        author(found)
    assert str(caught.value).isprintable()
    assert str(caught.value).isascii()
    assert flaws(found)


@pytest.mark.parametrize(
    "fields", [(f"From: {A}", "From: b@y.example"), (f"From: {A}", f"FROM: {A}"), ("To: b@y.example",)]
)
def test_there_is_one_from_field_or_no_author(fields: tuple[str, ...]) -> None:
    with pytest.raises(AuthorError, match="From field"):
        author(scan_header(header(*fields)))


# The same attack by fields instead of by values.
BAD_FIELDS = {
    "none": ["To: b@y.example"],
    "two": [f"From: {A}", "From: b@y.example"],
    "two alike": [f"From: {A}", f"From: {A}"],
    "two in two cases": [f"From: {A}", "FROM: b@y.example"],
    "space first": [" From: b@y.example", f"From: {A}"],
    "tab first": ["\tFrom: b@y.example", f"From: {A}"],
    "space before the colon": [f"From: {A}", "From : b@y.example"],
    "only with space before the colon": [f"From : {A}"],
    "tab before the colon": [f"From: {A}", "From\t: b@y.example"],
    "folded before the colon": [f"From: {A}", "From", " : b@y.example"],
    "first folded before the colon": ["From", f" : {A}"],
    "folded after its space": [f"From: {A}", "From ", "\t: b@y.example"],
    "NUL in the name": [f"From: {A}", "From\0: b@y.example"],
    "no colon": [f"From: {A}", "From b@y.example"],
    "mbox line": [f"From {A}", f"From: {A}"],
    "letters outside ASCII": [f"From: {A}", "Frоm: b@y.example"],
    "text in between": [f"From: {A}", "Hello", "From: b@y.example"],
    "boundary in between": [f"From: {A}", "--x: y"],
    "two senders": [f"From: {A}", "Sender: b@y.example", "Sender: c@y.example"],
    "two subjects": [f"From: {A}", "Subject: a", "Subject: b"],
    "two content types": [f"From: {A}", "Content-Type: text/plain", "Content-Type: text/html"],
}


@pytest.mark.parametrize("lines", BAD_FIELDS.values(), ids=BAD_FIELDS.keys())
def test_headers_that_hide_a_field_are_refused(lines: list[str]) -> None:
    sentence = flaws(scan_header(header(*lines)))
    assert sentence
    assert sentence.isprintable()
    assert sentence.isascii()
    assert len(sentence) < 300


@pytest.mark.parametrize("name", sorted(SINGLETONS - {"from"}))
def test_what_may_stand_once_may_not_stand_twice(name: str) -> None:
    assert flaws(scan_header(header(f"From: {A}", f"{name}: x"))) == ""
    assert name in flaws(scan_header(header(f"From: {A}", f"{name}: x", f"{name.upper()}: y"))).lower()


@pytest.mark.parametrize(
    "other", ["Sender: b@y.example", "Resent-From: b@y.example", "Reply-To: b@y.example", "X-From: b@y.example"]
)
def test_no_other_field_changes_who_wrote_it(other: str) -> None:
    for lines in ((other, f"From: {A}"), (f"From: {A}", other)):
        found = scan_header(header(*lines))
        assert flaws(found) == ""
        assert author(found) == Address("a", "x.example")


def test_a_header_beyond_the_bounds_is_refused() -> None:
    assert "fields" in flaws(scan_header(header(f"From: {A}", *["X: y"] * 10_000)))


display_names = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=30).map(str.strip)
locals_ = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_{|}~-]{1,12}", fullmatch=True).filter(lambda text: "=?" not in text)


@given(display_names, locals_)
def test_every_mailbox_that_is_properly_written_is_taken(name: str, local: str) -> None:
    phrase = encode_phrase(name) + " " if name else ""
    assert author(scan_header(header(f"From: {phrase}<{local}@x.example>"))) == Address(local, "x.example")


@given(st.text('ab@x.example<>(),;:"\\ =?', max_size=40) | st.sampled_from(sorted(TWO_READINGS.values())))
def test_the_strict_and_the_tolerant_reader_never_name_two_authors(value: str) -> None:
    found = scan_header(header(f"From: {value}"))
    try:
        address = author(found)
    except AuthorError:
        return
    assert [mailbox.address for mailbox in mailboxes(found.addresses("from"))] == [address]


@given(st.binary(max_size=200))
def test_no_octets_raise_anything_else(octets: bytes) -> None:
    assert isinstance(flaws(scan_header(b"From: " + octets)), str)
    assert isinstance(flaws(scan_header(octets)), str)
